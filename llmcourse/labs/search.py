"""Looking for good settings: a grid, chance, and chance that gives up early on the hopeless.

A space names each setting and where its values come from. `grid` and `random` list candidates;
`successive_halving` trains all of them a little, keeps the better ones, trains those longer, and so
on. Everything is a function of the seed. Not here: models of the score (Bayesian optimisation), and
laws that carry a setting from small models to large ones (chapter 09). Chapter 08 teaches this.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmcourse.errors import UserError
from llmcourse.randomness import numpy_rng


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, evenly spread.

    Attributes:
        low: the smallest.
        high: the largest.
        by_ratio: spread their logarithms, so that 0.001 to 0.01 is as wide as 0.01 to 0.1: what
            learning rates want.

    Raises:
        UserError: `low` is not below `high`, or not above zero where ratios count.
    """

    low: float
    high: float
    by_ratio: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.by_ratio and self.low <= 0):
            above = "0 < low" if self.by_ratio else "low"
            raise UserError(f"low={self.low}, high={self.high}: give {above} < high")

    def at(self, share: float) -> float:
        """The value so far along the way, 0 being `low` and 1 `high`."""
        if self.by_ratio:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


Values = Between | Sequence[Any]
Candidate = dict[str, Any]


def grid(space: Mapping[str, Values], n: int) -> list[Candidate]:
    """Every combination of `n` evenly spaced values of each range, and all values of each list.

    Raises:
        UserError: `n` is below 2 where a range has to be divided.
    """
    if n < 2 and any(isinstance(values, Between) for values in space.values()):
        raise UserError(f"n={n}: a range needs at least its two ends in a grid")
    columns = [
        [values.at(i / (n - 1)) for i in range(n)] if isinstance(values, Between) else values
        for values in space.values()
    ]
    return [dict(zip(space, row, strict=True)) for row in itertools.product(*columns)]


def random(space: Mapping[str, Values], n: int, seed: int = 0) -> list[Candidate]:
    """`n` candidates, each setting drawn on its own (Bergstra and Bengio, 2012).

    With few settings that matter among many, `n` draws try `n` values of each of them, where a grid
    of `n` points tries only the `d`-th root of `n`. A longer list begins with the shorter one.
    """
    rng = numpy_rng(seed, "search")
    return [{name: _draw(values, rng) for name, values in space.items()} for _ in range(n)]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One round of successive halving.

    Attributes:
        steps: how many steps each candidate in it has had by its end.
        scores: the score of each, by its number; lower is better.
        kept: the numbers of those that go on, the best first.
    """

    steps: int
    scores: dict[int, float]
    kept: list[int]


def successive_halving(
    candidates: Sequence[Callable[[int], float]], *, first: int, eta: int = 3
) -> list[Rung]:
    """Train all a little, keep the best, train those `eta` times as long, until one is left.

    Jamieson and Talwalkar, 2016; the inner loop of Hyperband (Li et al., 2018). Each round costs
    about the same: `1 / eta` as many candidates, `eta` times the steps. The bet is that who is
    ahead early stays ahead: a slow starter with a better end is lost.

    Args:
        candidates: each, called with a number of steps, trains for so many *more* and returns its
            score; lower is better, and NaN is worst.
        first: how many steps everybody gets.
        eta: one in so many goes on.

    Raises:
        UserError: no candidates, or an option that leads nowhere.
    """
    if not candidates or first < 1 or eta < 2:
        raise UserError(
            f"{len(candidates)} candidates, first={first}, eta={eta}: give at least 1, 1 and 2"
        )
    rungs: list[Rung] = []
    alive, had, steps = list(range(len(candidates))), 0, first
    while True:
        scores = {number: candidates[number](steps - had) for number in alive}
        order = sorted(alive, key=lambda number: (_worst_if_nan(scores[number]), number))
        alive = order[: max(1, len(order) // eta)]
        rungs.append(Rung(steps=steps, scores=scores, kept=alive))
        if len(scores) <= eta:
            return rungs
        had, steps = steps, steps * eta


def total_steps(rungs: Sequence[Rung]) -> int:
    """How many steps a search took, over all its candidates."""
    before = [0, *(rung.steps for rung in rungs)]
    return sum(
        len(rung.scores) * (rung.steps - had) for rung, had in zip(rungs, before, strict=False)
    )


def _draw(values: Values, rng: np.random.Generator) -> Any:
    if isinstance(values, Between):
        return values.at(float(rng.random()))
    return values[int(rng.integers(len(values)))]


def _worst_if_nan(score: float) -> float:
    return math.inf if math.isnan(score) else score
