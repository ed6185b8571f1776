"""A run's folder: the names in it, its lock, its settings and its environment.

Not here: the log (`log.py`), checkpoints (`train/checkpoint.py`), and the page that shows it all
(`report.py`). Chapter 08 teaches this.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from llmcourse.checksums import SUMS
from llmcourse.errors import UserError
from llmcourse.files import (
    atomic_write_text,
    clean_up,
    kind_of,
    place_for_folder,
    read_file,
    remove_empty,
)
from llmcourse.locks import lock_holder, try_lock
from llmcourse.plain import parse_json

FILES = (
    *("config.json", "environment.json", "metrics.jsonl", "samples.md", "report.html", ".lock"),
    *("tokenizer.json", "tokenizer.model", "labels.json", "valid.json", "results.json"),
    SUMS,
)
FOLDERS = ("model", "checkpoints", "tensorboard", "data")
"""The names that a run gives what it leaves behind; all else in its folder is somebody's own."""


class RunDirectory:
    """The names of what a run leaves behind, and the lock that keeps it to one process."""

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._lock: BinaryIO | None = None
        self._made: list[Path] = []
        self._before: set[str] = set()

    @classmethod
    def create(cls, path: str | os.PathLike, *, resume: bool) -> "RunDirectory":
        """Make or take up the folder of a run, for this process alone until `close`.

        What a killed process left half-done in it is finished or removed.

        Raises:
            UserError: there is a run already (or none to resume), or it is in use.
        """
        run = cls(place_for_folder(path))
        run.check_kinds()
        if resume and not run.holds_a_run:
            raise UserError(f"there is no run to resume in {run.path}: leave out --resume")
        run._made = [place for place in (run.path, *run.path.parents) if not place.exists()]
        run._before = set() if run._made else set(os.listdir(run.path))
        if not resume and not run.holds_a_run:
            run._check_free()
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run._acquire()
            if not resume and run.holds_a_run:
                raise UserError(
                    f"{run.path} holds a run already: add --resume to go on with it, "
                    "or choose another --out"
                )
            for folder in (run.path, run.checkpoints, run.data):
                folder.mkdir(exist_ok=True)
                clean_up(folder)
        except BaseException:
            run.abandon()
            raise
        return run

    def check_kinds(self) -> None:
        """Refuse a folder where a run has a file, and the like: a pipe there would be waited for.

        Raises:
            UserError: names it.
        """
        wanted = dict.fromkeys(FILES, "a file") | dict.fromkeys(FOLDERS, "a folder")
        for name, kind in wanted.items():
            found = kind_of(self.path / name)
            if found not in ("", kind):
                raise UserError(f"{self.path / name} is {found}, not {kind}: move it away")

    def _check_free(self) -> None:
        """Refuse to write over what no run has left: one that died early has left its lock.

        Raises:
            UserError: names it.
        """
        taken = () if ".lock" in self._before else {*FILES, *FOLDERS} & self._before
        for name in sorted(taken):
            raise UserError(
                f"{self.path / name} is there already, and no run of ours wrote it: move it "
                "away, or choose another --out"
            )

    def _acquire(self) -> None:
        path = self.path / ".lock"
        self._lock = try_lock(path)
        if self._lock is None:
            raise UserError(
                f"{self.path} is in use by {lock_holder(path)}: "
                "wait until it has ended, stop it, or choose another --out"
            )

    def check_in_place(self) -> None:
        """Refuse to go on in a folder that was deleted or renamed, and so to make it anew.

        Raises:
            UserError: says so.
        """
        if self._lock is None or os.name == "nt":  # Windows lets nobody move what is in use
            return
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._lock.fileno()), os.stat(self.path / ".lock")):
                return
        raise UserError(
            f"{self.path} was moved or deleted while the run went on: if it is elsewhere, put it "
            "back and add --resume"
        )

    def abandon(self) -> None:
        """Close a folder in which no run has begun, and take away what the start left in it."""
        if self._lock is not None and not self.holds_a_run and self.path.is_dir():
            for name in {*FILES, *FOLDERS} - self._before:
                place = self.path / name
                if name in FOLDERS and not place.is_symlink():
                    shutil.rmtree(place, ignore_errors=True)
                else:
                    place.unlink(missing_ok=True)
        self.close()
        remove_empty(self._made)

    def close(self) -> None:
        """Let other processes have the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

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
    """The JSON object in a file; an empty one where there is no such file, or one that is damaged.

    Raises:
        OSError: it is there, but cannot be read now: who would write it anew must not.
    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, ValueError):
        value = parse_json(read_file(path))
        if isinstance(value, dict):
            return value
    return {}
