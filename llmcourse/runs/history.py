"""What a run directory tells when it is read back: its records sorted, its figures, its commands.

Whatever is missing is None or empty, so that a run that was killed, or has only begun, can be read
too. Not here: how it is shown (`report.py`, `figures.py`) and how it was written (`log.py`).
"""

import math
import shlex
import statistics
from dataclasses import dataclass
from typing import Any

from llmcourse.runs.directory import RunDirectory, read_object
from llmcourse.runs.log import Ending, read_ending, read_metrics

Record = dict[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Story:
    """A run directory's contents.

    Attributes:
        run: where it is.
        records: the log.
        config: the settings.
        environment: versions, machine and command.
    """

    run: RunDirectory
    records: list[Record]
    config: Record
    environment: Record

    @classmethod
    def read(cls, run: RunDirectory) -> "Story":
        """Read what is there.

        Raises:
            UserError: the log is damaged.
        """
        config, environment = read_object(run.config), read_object(run.environment)
        return cls(run, read_metrics(run.metrics), config, environment)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.run.path.resolve().name

    def of(self, kind: str) -> list[Record]:
        """The records of one kind, oldest first."""
        return [record for record in self.records if record["kind"] == kind]

    def points(self, kind: str, name: str) -> list[Point]:
        """A figure over the steps, with NaN where it was not finite."""
        records = [r for r in self.of(kind) if isinstance(r.get(name), int | float)]
        return [(float(record["step"]), float(record[name])) for record in records]

    def latest(self, name: str) -> float | None:
        """The last finite value of a figure."""
        values = (finite(record.get(name)) for record in reversed(self.records))
        return next((value for value in values if value is not None), None)

    def typical(self, name: str) -> float | None:
        """The median of a figure over the training records."""
        values = [y for _, y in self.points("train", name) if math.isfinite(y)]
        return statistics.median(values) if values else None

    @property
    def steps(self) -> int:
        """How far the run came."""
        return max((record["step"] for record in self.records), default=0)

    @property
    def baselines(self) -> dict[str, float]:
        """Bits per byte of guessing, the weaker guess first, as far as they are known."""
        names = {"uniform": "uniform_bits_per_byte", "unigram": "unigram_bits_per_byte"}
        values = {label: self.latest(key) for label, key in names.items()}
        return {label: value for label, value in values.items() if value is not None}

    @property
    def objective(self) -> str:
        """What the model learned to do."""
        return str(self.config.get("objective", "clm"))

    @property
    def headline(self) -> str:
        """The figure by which the run chose its model: bits per byte, or else the loss."""
        has_bits = any("bits_per_byte" in record for record in self.of("evaluate"))
        return "bits_per_byte" if has_bits else "loss"

    @property
    def best(self) -> Record | None:
        """The evaluation with the lowest headline figure; its weights are the run's model."""
        name = self.headline
        scored = [r for r in self.of("evaluate") if finite(r.get(name)) is not None]
        return min(scored, key=lambda record: record[name], default=None)

    @property
    def nats_per_bit(self) -> float | None:
        """Nats a token for one bit a byte of validation text: what converts the two units.

        None where there is no evaluation, or where the loss is not about tokens alone.
        """
        for record in self.of("evaluate"):
            if "token_loss" in record:
                return None
            loss, bits = finite(record.get("loss")), finite(record.get("bits_per_byte"))
            if loss and bits:
                return loss / bits
        return None

    @property
    def reason(self) -> str | None:
        """Why the run ended, in words, or None if it did not."""
        ends = self.of("end")
        return str(ends[-1].get("reason", "for no reason given")) if ends else None

    @property
    def ending(self) -> Ending | None:
        """How the run ended, or None if it did not."""
        return read_ending(self.records)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end, be it early for want of progress."""
        return self.ending is not None and self.ending.complete

    @property
    def repeat_command(self) -> str | None:
        """The command that started the run, but into a folder of its own; None if not known."""
        words = shlex.split(str(self.environment.get("command", "")))
        if "llmcourse.train" not in words:
            return None  # started from Python, or by a test
        return shlex.join(_without_folder(words))

    @property
    def resume_command(self) -> str:
        """The command that goes on with the run; for one that is finished, for as long again."""
        further = f" --steps {2 * self.steps}" if self.finished else ""
        return f"python -m llmcourse.train --out {self._path} --resume{further}"

    @property
    def generate_command(self) -> str | None:
        """The command that lets the model write; None for one that does not go on with a text."""
        if self.objective != "clm":
            return None
        return f"python -m llmcourse.generate {self._path}"

    @property
    def report_command(self) -> str:
        """The command that makes the report anew."""
        return f"python -m llmcourse.runs.report {self._path}"

    @property
    def tensorboard_command(self) -> str:
        """The command that shows the curves in TensorBoard."""
        return f"tensorboard --logdir {shlex.quote(str(self.run.tensorboard))}"

    @property
    def _path(self) -> str:
        return shlex.quote(str(self.run.path))


def finite(value: object) -> float | None:
    """The value, if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def duration(seconds: float) -> str:
    """Seconds as a person says them: `8.2 s`, `2 min 41 s`, `3 h 5 min`, `1 d 2 h`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // part} {small}"
    return f"{whole // 60} min {whole % 60} s"


def _without_folder(words: list[str]) -> list[str]:
    """A command without `--out` and `--resume`, which name the folder that is full already."""
    kept, words = [], list(words)
    while words:
        word = words.pop(0)
        if word == "--out" and words:
            words.pop(0)
        elif word != "--resume" and not word.startswith("--out="):
            kept.append(word)
    return kept
