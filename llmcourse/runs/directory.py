"""A run's folder: the names in it, its lock, its settings and its environment.

Not here: the log (`log.py`), checkpoints (`train/checkpoint.py`), and the page that shows it all
(`report.py`). Chapter 08 teaches this.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, clean_up, lock_holder, try_lock


class RunDirectory:
    """The names of what a run leaves behind, and the lock that keeps it to one process."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._lock: BinaryIO | None = None

    @classmethod
    def create(cls, path: str | os.PathLike, *, resume: bool) -> "RunDirectory":
        """Make or take up the folder of a run, for this process alone until `close`.

        What a killed process left half-done in it is finished or removed.

        Raises:
            UserError: there is a run already (or none to resume), or it is in use.
        """
        run = cls(path)
        if resume and not run.holds_a_run:
            raise UserError(f"there is no run to resume in {run.path}: leave out --resume")
        if run.path.exists() and not run.path.is_dir():
            raise UserError(f"{run.path} is a file, not a folder: choose another --out")
        run.path.mkdir(parents=True, exist_ok=True)
        run._acquire()
        try:
            if not resume and run.holds_a_run:
                raise UserError(
                    f"{run.path} holds a run already: add --resume to go on with it, "
                    "or choose another --out"
                )
            for folder in (run.path, run.checkpoints, run.data):
                folder.mkdir(exist_ok=True)
                clean_up(folder)
        except BaseException:
            run.close()
            raise
        return run

    def _acquire(self) -> None:
        path = self.path / ".lock"
        self._lock = try_lock(path)
        if self._lock is None:
            raise UserError(
                f"{self.path} is in use by {lock_holder(path)}: "
                "wait until it has ended, stop it, or choose another --out"
            )

    def close(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def holds_a_run(self) -> bool:
        """Whether a run has begun here."""
        return self.config.exists()

    @property
    def config(self) -> Path:
        """The settings."""
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        """The versions, the machine and the command."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """The log: one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        """What the model wrote along the way."""
        return self.path / "samples.md"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def model(self) -> Path:
        """The folder of the best weights."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """The folder of everything that a restart needs."""
        return self.path / "checkpoints"

    @property
    def tensorboard(self) -> Path:
        """The folder that TensorBoard reads."""
        return self.path / "tensorboard"

    @property
    def data(self) -> Path:
        """The folder of the packed tokens."""
        return self.path / "data"

    def write_config(self, settings: dict[str, Any]) -> None:
        """Write the settings; from now on the folder holds a run."""
        atomic_write_text(self.config, json.dumps(settings, indent=2) + "\n")

    def write_environment(self) -> None:
        """Write where and how the run was started; a resumed run keeps that, and adds itself."""
        from llmcourse.runs.environment import describe_environment  # brings torch

        started = describe_environment()
        first = read_object(self.environment)
        if first:
            first["resumed"] = [*first.get("resumed", []), started]
        text = json.dumps(first or started, indent=2) + "\n"
        atomic_write_text(self.environment, text)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return {}
