"""How far to trust a figure: intervals for shares, and for any ratio of sums.

A test set is a sample. With another one the figure would have been another; an interval says how
far off it may be. Not here: the figures. Chapters 07 and 16 teach this.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from llmcourse.errors import UserError

Z = 1.96
"""So many standard deviations to both sides hold 95 % of a normal distribution."""


class Interval(NamedTuple):
    """A measured value, and the bounds between which the true one lies, 19 times out of 20."""

    value: float
    low: float
    high: float


def wilson(right: int, n: int, z: float = Z) -> Interval:
    r"""The share `right / n` of independent trials, with Wilson's interval.

    The bounds are the shares $p$ whose distance to what was measured is z standard deviations,
    $|\hat p - p| = z \sqrt{p (1 - p) / n}$. They never leave [0, 1], and 50 right answers out of
    50 do not make a certainty. Wilson, 1927.

    Raises:
        UserError: no trials, or more right answers than trials.
    """
    if not 0 <= right <= n or n < 1:
        raise UserError(f"{right} of {n} is no share: give 0 <= right <= n and n >= 1")
    share, room = right / n, z * z / n
    middle = (share + room / 2) / (1 + room)
    reach = z * math.sqrt(share * (1 - share) / n + room / n / 4) / (1 + room)
    return Interval(share, max(0.0, middle - reach), min(1.0, middle + reach))


def bootstrap(
    totals: Shaped[np.ndarray, " N"],
    counts: Shaped[np.ndarray, " M"],
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """A ratio of sums over N texts, `sum(totals) / sum(counts)`, with its bootstrap interval.

    N texts are drawn again and again from the N texts, some twice, some not at all; the bounds cut
    off what is left and right of the middle `level` of the ratios (Efron, 1979; percentile method).
    It is texts that are drawn, not tokens: those of one text rise and fall together.

    Raises:
        UserError: no texts, or not as many totals as counts.
    """
    if len(totals) != len(counts) or len(totals) == 0:
        raise UserError(f"{len(totals)} totals for {len(counts)} counts: give one for each text")
    chosen = rng.integers(len(totals), size=(draws, len(totals)))
    ratios: Float[np.ndarray, " draws"] = totals[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(totals.sum() / counts.sum()), float(low), float(high))
