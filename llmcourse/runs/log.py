"""A run's log: what happened in it, one JSON object a line, and how it ended.

On resume the log is cut back to the checkpoint, so that a run that was killed and went on leaves
the log of one that was never stopped, but for what clocks measure. How a run ended is an `Ending`;
the `reason` beside it is for people, and no code reads it. Not here: the folder (`directory.py`)
and what the log tells (`history.py`, `diagnosis.py`). Chapter 08 teaches this.
"""

import enum
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, naming
from llmcourse.runs.directory import RunDirectory


class Ending(enum.StrEnum):
    """How a run ended; the value stands in the log."""

    FINISHED = "finished"
    """All steps were taken, or the budget was used."""
    EARLY_STOPPED = "early_stopped"
    """Evaluations had not become better for as many times as `patience` allows."""
    STOPPED = "stopped"
    """Somebody, or something, asked it to stop."""
    FAILED = "failed"
    """An error ended it."""
    DIVERGED = "diverged"
    """The loss or the gradient was no longer a number."""

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, be it early for want of progress."""
        return self in (Ending.FINISHED, Ending.EARLY_STOPPED)

    @classmethod
    def of_error(cls, error: BaseException) -> "Ending":
        """What an error that leaves the loop makes of the run."""
        return cls.DIVERGED if isinstance(error, Diverged) else cls.FAILED


class Diverged(UserError):
    """The loss or the gradient is no longer a number. Every checkpoint is from before that."""


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


def read_ending(records: Iterable[Mapping[str, Any]]) -> Ending | None:
    """How the run of a log ended, by its last `end` record; None if it has not."""
    ends = [record for record in records if record["kind"] == "end"]
    if not ends:
        return None
    if ends[-1].get("ending") in list(Ending):
        return Ending(ends[-1]["ending"])
    return _ending_of_reason(str(ends[-1].get("reason", "")))


def _ending_of_reason(reason: str) -> Ending:
    """The ending of a log from before `ending` was written; the one place where words decide.

    These are the sentences that those versions wrote; what they write today may be reworded.
    """
    if reason.startswith("finished"):
        return Ending.EARLY_STOPPED if "no better" in reason else Ending.FINISHED
    if reason.startswith("failed"):
        return Ending.DIVERGED if "no longer a number" in reason else Ending.FAILED
    return Ending.STOPPED


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
