"""A run's curves, read off its log, and the few things that are measured on a curve.

Not here: what they say about the run's health (`diagnosis.py`), and the figures and commands of its
report (`history.py`). Chapter 08 teaches this.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from llmcourse.runs.log import Ending, read_ending


@dataclass(frozen=True)
class Summary:
    """A run's curves, as arrays without gaps, and the levels that they are compared with.

    Attributes:
        records: the log.
    """

    records: list[dict[str, Any]]

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

    @cached_property
    def evaluations(self) -> list[tuple[int, float]]:
        """Step and held-out loss of every evaluation, in nats a token."""
        return [(r["step"], r["loss"]) for r in self._of("evaluate") if math.isfinite(r["loss"])]

    @cached_property
    def unigram(self) -> float | None:
        """What guessing by frequency costs, in nats a token; None if the log does not say.

        The log has it in bits per byte, and an evaluation tells the ratio of the two units. That
        holds where the loss is paid for text alone: where a uniform guess, too, comes out as the
        logarithm of the vocabulary. A loss for pairs of sentences, say, has no such level.
        """
        baseline = next(self._of("baseline"), {})
        scored = next((r for r in self._of("evaluate") if r.get("bits_per_byte")), None)
        if "unigram_bits_per_byte" not in baseline or scored is None:
            return None
        ratio = scored["loss"] / scored["bits_per_byte"]
        if {"vocab_size", "uniform_bits_per_byte"} <= baseline.keys():
            share = baseline["uniform_bits_per_byte"] * ratio / math.log(baseline["vocab_size"])
            if not 0.9 < share < 1.1:
                return None
        return float(baseline["unigram_bits_per_byte"] * ratio)

    @property
    def predicts_text(self) -> bool:
        """Whether the task is to say tokens, as far as the log tells.

        A loss for pairs or views may rise before it falls: at first it is that of a lucky guess.
        """
        evaluations = list(self._of("evaluate"))
        return not evaluations or any("bits_per_byte" in record for record in evaluations)

    @property
    def ending(self) -> Ending | None:
        """How the run ended, or None if it did not."""
        return read_ending(self.records)

    @property
    def first(self) -> float:
        """The loss at the start."""
        return float(self.losses[0])

    @property
    def last(self) -> float:
        """The loss at the end, over the last tenth of the records and at least three."""
        return float(self.losses[-max(3, len(self.losses) // 10) :].mean())

    @property
    def falling(self) -> float:
        """The share by which the loss fell from the third quarter of the run to the last."""
        return float(self.part(0.5, 0.75).mean() / self.part(0.75, 1).mean() - 1)

    @property
    def worse_than_unigram(self) -> bool:
        """Whether the last evaluation is worse than guessing by frequency."""
        return bool(
            self.unigram is not None and self.evaluations and self.evaluations[-1][1] > self.unigram
        )

    def part(self, start: float, end: float) -> Float[np.ndarray, " n"]:
        """The losses between two shares of the run, such as its third quarter, `part(.5, .75)`."""
        n = len(self.losses)
        return self.losses[int(start * n) : max(int(end * n), int(start * n) + 1)]

    def around(self, step: float) -> float:
        """The training loss about a step, over a tenth of the records."""
        index = int(np.searchsorted(self.steps, step))
        half = max(2, len(self.losses) // 20)
        return float(self.losses[max(0, index - half) : index + half].mean())

    def _of(self, kind: str) -> Iterator[dict[str, Any]]:
        return (record for record in self.records if record["kind"] == kind)

    def _training(self, name: str) -> Float[np.ndarray, " N"]:
        rows = [r for r in self._of("train") if math.isfinite(r["loss"])]
        values = np.array([float(r.get(name, math.nan)) for r in rows], dtype=float)
        return np.where(np.isfinite(values), values, math.nan)


def smooth(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " n"]:
    """Means over an eighth of the values at each place."""
    width = max(3, len(values) // 8)
    return np.convolve(values, np.ones(width) / width, mode="valid")


def without_trend(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """What is left of a curve without its best parabola."""
    if len(values) < 4:
        return np.zeros(0)
    places = np.linspace(-1, 1, len(values))
    return values - np.polyval(np.polyfit(places, values, 2), places)


def likeness(waves: Float[np.ndarray, " N"], lag: int) -> float:
    """The correlation of a curve with itself, `lag` records later."""
    one, other = waves[:-lag], waves[lag:]
    if not (one.std() and other.std()):
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])
