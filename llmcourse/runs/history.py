"""A run read back: its records, its curves as arrays, and the few things measured on them.

`RunHistory.read("runs/mine")` is the one way to read a run, for the report, the diagnosis and every
picture. Whatever is missing is None or empty, so that a run that was killed, or has only begun, can
be read too. Not here: how the log is written (`log.py`), what the curves say about the run's health
(`diagnosis.py`), how it is shown (`report.py`). Chapter 08 teaches this.
"""

import math
import os
import statistics
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from llmcourse.runs.directory import RunDirectory, read_object
from llmcourse.runs.log import Baseline, End, Ending, Evaluation, Record, Training, read_log

R = TypeVar("R", bound=Record)
Points = list[tuple[int, float]]
"""Pairs of a step and the value there."""


@dataclass(frozen=True)
class RunHistory:
    """What happened in a run.

    Attributes:
        records: the log, oldest first.
        config: the settings, as `config.json` has them.
        environment: versions, machine and command.
    """

    records: list[Record]
    config: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike) -> "RunHistory":
        """The history in a run's folder; an empty one where there is none.

        Raises:
            UserError: the log is damaged.
        """
        run = RunDirectory(path)
        return cls(read_log(run.metrics), read_object(run.config), read_object(run.environment))

    # --- its records ------------------------------------------------------------------------------

    def of(self, kind: type[R]) -> list[R]:
        """The records of one kind, oldest first."""
        return [record for record in self.records if isinstance(record, kind)]

    def points(self, kind: type[Record], name: str) -> Points:
        """A number of one kind of record over the steps, with NaN where it was not finite."""
        values = [(record.step, getattr(record, name)) for record in self.of(kind)]
        return [(step, float(value)) for step, value in values if value is not None]

    def latest(self, name: str) -> float | None:
        """The last finite value of a number."""
        values = (finite(getattr(record, name, None)) for record in reversed(self.records))
        return next((value for value in values if value is not None), None)

    def typical(self, name: str) -> float | None:
        """The median of a number over the training records."""
        values = [y for _, y in self.points(Training, name) if math.isfinite(y)]
        return statistics.median(values) if values else None

    @property
    def last_step(self) -> int:
        """How far the run came."""
        return max((record.step for record in self.records), default=0)

    @property
    def end(self) -> End | None:
        """The record of the run's end, or None if it has not ended."""
        return next(reversed(self.of(End)), None)

    @property
    def ending(self) -> Ending | None:
        """How the run ended, or None if it has not."""
        return self.end.ending if self.end else None

    @property
    def complete(self) -> bool:
        """Whether the run came to its end, be it early for want of progress."""
        return self.ending is not None and self.ending.complete

    @property
    def objective(self) -> str:
        """What the model learned to do."""
        objective = self.config.get("objective", "clm")  # a name alone in older runs
        return str(objective["name"] if isinstance(objective, dict) else objective)

    # --- its evaluations, and what guessing costs -------------------------------------------------

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """The records of all evaluations."""
        return self.of(Evaluation)

    @cached_property
    def held_out(self) -> Points:
        """Step and held-out loss of every evaluation with a finite one, in nats a token."""
        return [(each.step, each.loss) for each in self.evaluations if math.isfinite(each.loss)]

    @property
    def best(self) -> Evaluation | None:
        """The evaluation with the lowest metric; its weights are the run's model."""
        scored = [each for each in self.evaluations if math.isfinite(each.selection_metric)]
        return min(scored, key=lambda each: each.selection_metric, default=None)

    @property
    def predicts_text(self) -> bool:
        """Whether the task is to say tokens, as far as the log tells."""
        evaluations = self.evaluations
        return not evaluations or any(each.bits_per_byte is not None for each in evaluations)

    @property
    def nats_per_bit(self) -> float | None:
        """Nats a token for one bit a byte of validation text: what converts the two units.

        None where there is no evaluation, or where the loss is not about tokens alone.
        """
        for evaluation in self.evaluations:
            if "token_loss" in evaluation.metrics:
                return None
            loss, bits = finite(evaluation.loss), finite(evaluation.bits_per_byte)
            if loss and bits:
                return loss / bits
        return None

    @cached_property
    def baselines(self) -> dict[str, float]:
        """Bits per byte of guessing, the weaker guess first, and the entropy, as far as known."""
        values = {
            name: finite(getattr(record, f"{name}_bits_per_byte"))
            for record in self.of(Baseline)
            for name in ("uniform", "unigram", "entropy")
        }
        return {name: value for name, value in values.items() if value is not None}

    @cached_property
    def unigram(self) -> float | None:
        """What guessing by frequency costs, in nats a token; None if the log does not say.

        The log has it in bits per byte, and an evaluation tells the ratio of the two units. That
        holds where the loss is paid for text alone: where a uniform guess, too, comes out as the
        logarithm of the vocabulary. A loss for pairs of sentences, say, has no such level.
        """
        ratio, vocab_size = self.nats_per_bit, self.latest("vocab_size")
        if "unigram" not in self.baselines or ratio is None:
            return None
        if vocab_size and "uniform" in self.baselines:
            uniform = self.baselines["uniform"] * ratio
            if not 0.9 < uniform / math.log(vocab_size) < 1.1:
                return None
        return self.baselines["unigram"] * ratio

    @property
    def worse_than_unigram(self) -> bool:
        """Whether the last evaluation is worse than guessing by frequency."""
        return bool(
            self.unigram is not None and self.held_out and self.held_out[-1][1] > self.unigram
        )

    # --- its training curves, without the steps whose loss was not finite -------------------------

    @cached_property
    def steps(self) -> Float[np.ndarray, " N"]:
        """The steps at which a finite training loss was logged."""
        return self._training("step")

    @cached_property
    def losses(self) -> Float[np.ndarray, " N"]:
        """The training loss at those steps, in nats a token."""
        return self._training("loss")

    @cached_property
    def norms(self) -> Float[np.ndarray, " N"]:
        """The gradient's norm at those steps, before clipping; NaN where it was not finite."""
        return self._training("grad_norm")

    def _training(self, name: str) -> Float[np.ndarray, " N"]:
        known = [getattr(each, name) for each in self.of(Training) if math.isfinite(each.loss)]
        values = np.array(known, dtype=float)
        return np.where(np.isfinite(values), values, math.nan)

    @property
    def first_loss(self) -> float:
        """The training loss at the start."""
        return float(self.losses[0])

    @property
    def last_loss(self) -> float:
        """The training loss at the end, over the last tenth of the records and at least three."""
        return float(self.losses[-max(3, len(self.losses) // 10) :].mean())

    def losses_between(self, start: float, end: float) -> Float[np.ndarray, " n"]:
        """The losses between two parts of the run, such as its third quarter, from 0.5 to 0.75."""
        n = len(self.losses)
        return self.losses[int(start * n) : max(int(end * n), int(start * n) + 1)]

    def loss_around(self, step: float) -> float:
        """The training loss about a step, over a tenth of the records."""
        index = int(np.searchsorted(self.steps, step))
        half = max(2, len(self.losses) // 20)
        return float(self.losses[max(0, index - half) : index + half].mean())

    @property
    def falling(self) -> float:
        """The fraction by which the loss fell from the third quarter of the run to the last."""
        return float(
            self.losses_between(0.5, 0.75).mean() / self.losses_between(0.75, 1).mean() - 1
        )


def finite(value: float | None) -> float | None:
    """The value, if it is a finite number."""
    return None if value is None or not math.isfinite(value) else float(value)
