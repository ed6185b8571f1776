"""A run's folder, and the log of what happened in it: everything that explains and repeats a run.

The log is one JSON object a line. On resume it is cut back to the checkpoint, so that a run that
was killed and went on leaves the log of one that was never stopped, but for what clocks measure.
Not here: checkpoints (`state.py`), and the page that shows it all (`report.py`). Chapter 08 teaches
this.
"""

import contextlib
import json
import math
import os
import re
from pathlib import Path
from typing import Any, BinaryIO

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, clean_up, lock_holder, naming, try_lock


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


class MetricsLog:
    """The log of a run, mirrored to `samples.md` and, if wanted, to TensorBoard.

    Args:
        run: where it is kept.
        tensorboard: mirror numbers to TensorBoard.
        keep_until_step: the step that the run goes on from; what the log says of later ones is cut
            off, for it will be repeated. None starts an empty log.

    Raises:
        UserError: the log to go on with is damaged.
        OSError: no room or no permission; `filename` is set.
    """

    def __init__(
        self, run: RunDirectory, *, tensorboard: bool, keep_until_step: int | None
    ) -> None:
        self._run = run
        kept = []
        if keep_until_step is not None:
            kept = [r for r in read_metrics(run.metrics) if _survives(r, keep_until_step)]
        # A checkpoint is written before its step is evaluated, and the run may have been killed on
        # either side of that. What the log says of the step already is not said again.
        self._said = {(record["kind"], record["step"]) for record in kept}
        atomic_write_text(run.metrics, "".join(_line(record) for record in kept))
        sections = [_section(r["step"], r["text"]) for r in kept if r["kind"] == "sample"]
        atomic_write_text(run.samples, "".join(["# What the model wrote\n", *sections]))
        self._writer = _summary_writer(run.tensorboard, keep_until_step) if tensorboard else None

    def log(self, kind: str, step: int, **values: Any) -> None:
        """Append one record; it is in the file when this returns.

        A number that is not finite is written as null, for JSON knows no other; `read_metrics`
        gives it back as NaN. What was said of the step before a resume is not said twice.

        Args:
            kind: `train`, `evaluate`, `sample`, `baseline` or `end`.
            step: optimizer steps taken.
            values: what was measured; a sample's is `text`.

        Raises:
            OSError: no room; `filename` is set.
        """
        if (kind, step) in self._said:
            return
        record = {"kind": kind, "step": step} | {k: _plain(v) for k, v in values.items()}
        _append(self._run.metrics, _line(record))
        if kind == "sample":
            _append(self._run.samples, _section(step, values["text"]))
        if self._writer is not None:
            with naming(self._run.tensorboard):
                _mirror(self._writer, record)

    def close(self) -> None:
        """Finish TensorBoard's file; the others are whole after every record."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The records of a log, oldest first; none where there is no log.

    A last line that was torn by a kill is left out, and a number that was not finite is NaN.

    Raises:
        UserError: another line is no record.
    """
    path = Path(path)
    if not path.exists():
        return []
    records = []
    lines = path.read_bytes().split(b"\n")[:-1]  # behind the last newline: nothing, or a torn line
    for number, line in enumerate(lines, 1):
        record = _parse(line)
        if record is None:
            raise UserError(
                f"line {number} of {path} is no record of a run: remove it, or start a new run"
            )
        records.append({k: math.nan if v is None else v for k, v in record.items()})
    return records


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(value, dict):
            return value
    return {}


def whole_characters(text: str) -> str:
    """The text with `?` for halves of surrogate pairs, which a model may write and UTF-8 lacks."""
    return text.encode("utf-8", "replace").decode()


def _parse(line: bytes) -> dict[str, Any] | None:
    """The record on a line, or None."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and {"kind", "step"} <= record.keys()
    return record if whole and isinstance(record["step"], int) else None


def _survives(record: dict[str, Any], step: int) -> bool:
    """Whether a run that goes on from `step` keeps a record; that it had ended is no longer so."""
    return record["step"] <= step and record["kind"] != "end"


def _plain(value: Any) -> Any:
    """A value as JSON knows it; tensors and numpy's numbers become Python's, NaN becomes None."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _line(record: dict[str, Any]) -> str:
    plain = {name: _plain(value) for name, value in record.items()}
    return json.dumps(plain, allow_nan=False) + "\n"


def _section(step: int, text: str) -> str:
    """A sample as Markdown, in a fence longer than any that the model wrote."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n## Step {step}\n\n{fence}text\n{whole_characters(text)}\n{fence}\n"


def _append(path: Path, text: str) -> None:
    with naming(path), open(path, "ab") as file:
        file.write(text.encode())


def _summary_writer(folder: Path, keep_until_step: int | None) -> Any:
    """TensorBoard's writer, told to hide what a resumed run will repeat."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always wanted

    purge = None if keep_until_step is None else keep_until_step + 1
    with naming(folder):
        return SummaryWriter(str(folder), purge_step=purge, flush_secs=10)


def _mirror(writer: Any, record: dict[str, Any]) -> None:
    """Show a record's numbers, and a sample's text, in TensorBoard."""
    kind, step = record["kind"], record["step"]
    for name, value in record.items():
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
            writer.add_scalar(f"{kind}/{name}", value, step)
    if kind == "sample":
        indented = "".join(
            f"    {line}\n" for line in whole_characters(record["text"]).splitlines()
        )
        writer.add_text(kind, indented, step)
