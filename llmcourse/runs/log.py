"""A run's log: what happened in it, one JSON object a line, and how it ended.

On resume the log is cut back to the checkpoint, so that a run that was killed and went on leaves
the log of one that was never stopped, but for what clocks measure. There is a dataclass for each
kind of record; how a run ended is an `Ending`, and the `reason` beside it is for people. Not here:
the folder (`directory.py`) and what the log tells (`history.py`, `diagnosis.py`). Chapter 08
teaches this.
"""

import enum
import json
import math
import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, naming, read_file
from llmcourse.plain import parse_json
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


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record of a log; what is None was not measured, and is not written.

    Attributes:
        kind: its name in the log.
        step: optimizer steps taken.
    """

    kind: ClassVar[str]
    step: int


@dataclass(frozen=True, kw_only=True)
class Baseline(Record):
    """What guessing costs, what nobody can beat, and how large all is; before the first step."""

    kind: ClassVar[str] = "baseline"
    uniform_bits_per_byte: float | None = None
    unigram_bits_per_byte: float | None = None
    entropy_bits_per_byte: float | None = None
    parameters: int | None = None
    vocab_size: int | None = None
    train_tokens: int | None = None
    valid_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Training(Record):
    """An interval of steps: its mean loss, and the learning rate and gradient norm at its end.

    `grad_norm` is from before clipping; `tokens` and `seconds` are counted from the run's start.
    """

    kind: ClassVar[str] = "train"
    tokens: int | None = None
    loss: float
    lr: float | None = None
    grad_norm: float | None = None
    tokens_per_second: float | None = None
    seconds: float | None = None
    mfu: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(Record):
    """A score on held-out text; `metrics` are the objective's own, each a key of the record."""

    kind: ClassVar[str] = "evaluate"
    tokens: int | None = None
    loss: float
    bits_per_byte: float | None = None
    perplexity: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def selection_metric(self) -> float:
        """Metric by which a run chooses its best model: bits per byte, or else the loss."""
        return self.loss if self.bits_per_byte is None else self.bits_per_byte


@dataclass(frozen=True, kw_only=True)
class Sample(Record):
    """A text that the model wrote."""

    kind: ClassVar[str] = "sample"
    text: str


@dataclass(frozen=True, kw_only=True)
class End(Record):
    """How the run ended, and why in words, which are for people: no code reads them."""

    kind: ClassVar[str] = "end"
    seconds: float | None = None
    ending: Ending
    reason: str = "for no reason given"


KINDS = {kind.kind: kind for kind in (Baseline, Training, Evaluation, Sample, End)}


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
            # That the run had ended is no longer so.
            kept = [
                (values, record)
                for values, record in _read(run.metrics)
                if values["step"] <= keep_until_step and values["kind"] != End.kind
            ]
        # A checkpoint is written before its step is evaluated, and the run may have been killed on
        # either side of that. What the log says of the step already is not said again.
        self._said = {(values["kind"], values["step"]) for values, _ in kept}
        atomic_write_text(run.metrics, "".join(json.dumps(values) + "\n" for values, _ in kept))
        sections = [_section(r.step, r.text) for _, r in kept if isinstance(r, Sample)]
        atomic_write_text(run.samples, "".join(["# What the model wrote\n", *sections]))
        self._writer = _summary_writer(run, keep_until_step) if tensorboard else None

    def write(self, record: Record) -> None:
        """Append a record; it is in the file when this returns.

        What was said of the step before a resume is not said twice.

        Raises:
            OSError: no room; `filename` is set.
        """
        if (record.kind, record.step) in self._said:
            return
        values = _to_json(record)
        _append(self._run.metrics, json.dumps(values, allow_nan=False) + "\n")
        if isinstance(record, Sample):
            _append(self._run.samples, _section(record.step, record.text))
        if self._writer is not None:
            with naming(self._run.tensorboard):
                _mirror(self._writer, values)

    def close(self) -> None:
        """Finish TensorBoard's file; the others are whole after every record."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_log(path: str | os.PathLike) -> list[Record]:
    """The records of a log, oldest first; none where there is no log.

    A last line that was torn by a kill is left out, and so is what another version wrote and this
    one does not know. A number that was not finite is NaN.

    Raises:
        UserError: another line is no record.
    """
    return [record for _, record in _read(Path(path)) if record is not None]


def whole_characters(text: str) -> str:
    """The text with `?` for halves of surrogate pairs, which a model may write and UTF-8 lacks."""
    return text.encode("utf-8", "replace").decode()


def _read(path: Path) -> list[tuple[dict[str, Any], Record | None]]:
    """The JSON objects of a log, and the records that they are."""
    if not path.exists():
        return []
    found = []
    lines = read_file(path).split(b"\n")[:-1]  # behind the last newline: nothing, or a torn line
    for number, line in enumerate(lines, 1):
        try:
            values = parse_json(line)
            found.append((values, _from_json(values)))
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"line {number} of {path} is no record of a run: remove it, or start a new run"
            ) from None
    return found


def _to_json(record: Record) -> dict[str, Any]:
    """A record as a JSON object; a number that is not finite is null, for JSON knows no other."""
    values: dict[str, Any] = {"kind": record.kind}
    for name in (each.name for each in fields(record)):
        value = getattr(record, name)
        values |= value if name == "metrics" else {} if value is None else {name: value}
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def _from_json(values: dict[str, Any]) -> Record | None:
    """The record of a JSON object, whichever version wrote it; None if this one knows no such kind.

    Raises:
        TypeError, KeyError: it is none.
    """
    if not isinstance(values["step"], int):
        raise TypeError(values)
    kind = KINDS.get(values["kind"])
    if kind is None:
        return None
    values = {name: math.nan if value is None else value for name, value in values.items()}
    names = {each.name for each in fields(kind)}
    known: dict[str, Any] = {name: values[name] for name in names & values.keys()}
    if kind is Evaluation:
        others = [name for name in values if name not in names]
        known["metrics"] = {n: values[n] for n in others if isinstance(values[n], int | float)}
    if kind is End:
        known["ending"] = _ending(values)
    return kind(**known)


def _ending(values: dict[str, Any]) -> Ending:
    """The ending of a run, or what its reason says in a log from before `ending` was written.

    These are the sentences of those versions; what is written today may be reworded.
    """
    if values.get("ending") in list(Ending):
        return Ending(values["ending"])
    reason = str(values.get("reason", ""))
    if reason.startswith("finished"):
        return Ending.EARLY_STOPPED if "no better" in reason else Ending.FINISHED
    if reason.startswith("failed"):
        return Ending.DIVERGED if "no longer a number" in reason else Ending.FAILED
    return Ending.STOPPED


def _section(step: int, text: str) -> str:
    """A sample as Markdown, in a fence longer than any that the model wrote."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n## Step {step}\n\n{fence}text\n{whole_characters(text)}\n{fence}\n"


def _append(path: Path, text: str) -> None:
    with naming(path), open(path, "ab") as file:
        file.write(text.encode())


def _summary_writer(run: RunDirectory, keep_until_step: int | None) -> Any:
    """TensorBoard's writer, told to hide what a resumed run will repeat."""
    from torch.utils.tensorboard import SummaryWriter  # slow to import, and not always wanted

    purge = None if keep_until_step is None else keep_until_step + 1
    # In a folder of its own, whose name is the curve's: else TensorBoard calls it ".".
    folder = run.tensorboard / run.path.resolve().name
    with naming(folder):
        return SummaryWriter(str(folder), purge_step=purge, flush_secs=10)


def _tag(kind: str, name: str) -> str | None:
    """What TensorBoard calls a number; None where it would draw no curve that says anything new.

    It shows groups in the order of their names: the losses share the first one.
    """
    side = {Training.kind: "training", Evaluation.kind: "held_out"}.get(kind)
    if side is None or (side == "held_out" and name in ("tokens", "seconds")):
        return None
    if name in ("loss", "bits_per_byte", "perplexity") or name.endswith("_loss"):
        return f"loss/{side}" if name == "loss" else f"loss/{side}_{name}"
    return f"train/{name}" if side == "training" else f"metric/{side}_{name}"


def _mirror(writer: Any, values: dict[str, Any]) -> None:
    """Show a record's numbers, and a sample's text, in TensorBoard."""
    kind, step = values["kind"], values["step"]
    if kind == Baseline.kind:  # a chart of one point each would stand before all others
        rows = [f"| {name} | {value} |" for name, value in values.items() if name != "kind"]
        writer.add_text(kind, "\n".join(["| baseline | value |", "| --- | --- |", *rows]), step)
        return
    for name, value in values.items():
        tag = _tag(kind, name)
        if tag and name != "step" and isinstance(value, int | float):
            writer.add_scalar(tag, value, step)
    if kind == "sample":
        indented = "".join(
            f"    {line}\n" for line in whole_characters(values["text"]).splitlines()
        )
        writer.add_text(kind, indented, step)
