r"""Two models on the same questions: is one really better?

Both were asked the same, so what counts is the difference question by question: an easy question is
easy for both, and that part of the chance drops out. Three tests that ask it: the paired bootstrap
(draw the questions again), a permutation test (exchange the two models' answers at random), and for
right and wrong McNemar's test (how many did only one of them get right?). Not here: the interval of
one model (`intervals.py`). Chapter 16 teaches this.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from llmcourse.errors import require
from llmcourse.evaluate.intervals import Interval

CHUNK = 256
"""How many draws are made at once."""


class Comparison(NamedTuple):
    """How much better A is than B, with its interval, and how likely chance alone is to do so.

    Attributes:
        difference: A less B.
        p: of a difference at least so far from 0 if both were equally good.
    """

    difference: Interval
    p: float


def paired_bootstrap(
    a: Shaped[np.ndarray, " N"],
    b: Shaped[np.ndarray, " M"],
    rng: np.random.Generator,
    *,
    counts: Shaped[np.ndarray, " _"] | None = None,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The difference of two means over the same N questions, with its bootstrap interval.

    Each draw takes N questions with replacement, the *same* for both (Koehn, 2004; percentile
    method). With `counts` it is the difference of two ratios, sum of totals over sum of counts.

    Raises:
        UserError: no questions, or not as many on both sides.
    """
    _check(a, b)
    weights = np.ones(len(a)) if counts is None else counts
    gap = np.asarray(a, float) - np.asarray(b, float)
    found = []
    for start in range(0, draws, CHUNK):
        chosen = rng.integers(len(a), size=(min(CHUNK, draws - start), len(a)))
        found.append(gap[chosen].sum(axis=1) / weights[chosen].sum(axis=1))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(gap.sum() / weights.sum()), float(low), float(high))


def permutation_test(
    a: Shaped[np.ndarray, " N"],
    b: Shaped[np.ndarray, " M"],
    rng: np.random.Generator,
    draws: int = 10_000,
) -> float:
    """The p-value of a difference, two-sided: how often exchanged answers differ at least as much.

    If both were equally good, it would be chance which answer is whose: the sign of each difference
    is thrown anew. One is added to both counts, so that no p is 0 (Phipson and Smyth, 2010). Up to
    12 questions, all signs are tried, and the p-value is exact.

    Raises:
        UserError: no questions, or not as many on both sides.
    """
    _check(a, b)
    gap = np.asarray(a, float) - np.asarray(b, float)
    seen = abs(gap.sum()) * (1 - 1e-12)
    if len(gap) <= 12:
        signs = 1 - 2 * (np.arange(2 ** len(gap))[:, None] >> np.arange(len(gap)) & 1)
        return float((abs(signs @ gap) >= seen).mean())
    gap = gap[gap != 0]  # where both are equal, a sign changes nothing
    at_least = 0
    for start in range(0, draws, CHUNK):
        signs = rng.integers(2, size=(min(CHUNK, draws - start), len(gap))) * 2 - 1
        at_least += int((abs(signs @ gap) >= seen).sum())
    return (at_least + 1) / (draws + 1)


def mcnemar(a: Shaped[np.ndarray, " N"], b: Shaped[np.ndarray, " M"]) -> float:
    r"""The exact p-value of a difference in right answers, two-sided (McNemar, 1947).

    Only questions count that one of the two got right. If both were equally good, each would be
    A's with probability ½: the p-value is a binomial tail, doubled.

    Raises:
        UserError: no questions, or not as many on both sides.
    """
    _check(a, b)
    a, b = np.asarray(a, bool), np.asarray(b, bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, k = only_a + only_b, min(only_a, only_b)
    tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n if n < 1000 else _tail(k, n)
    return min(1.0, 2 * tail)


def compare(
    a: Shaped[np.ndarray, " N"],
    b: Shaped[np.ndarray, " M"],
    rng: np.random.Generator,
    counts: Shaped[np.ndarray, " _"] | None = None,
) -> Comparison:
    """The difference of two models with its interval, and its p-value.

    McNemar's test where the values are right and wrong, else a permutation test.
    """
    interval = paired_bootstrap(a, b, rng, counts=counts)
    binary = all(set(np.unique(side)) <= {0, 1} for side in (a, b))
    return Comparison(interval, mcnemar(a, b) if binary else permutation_test(a, b, rng))


def questions_needed(
    share_a: float, share_b: float, *, both: float | None = None, z: float = 1.96
) -> int:
    r"""How many questions it takes until the difference of two shares is z standard errors.

    Of independent answers the difference has the variance $p_a(1-p_a) + p_b(1-p_b)$ a question. On
    the *same* questions it is $p_a + p_b - 2 p_{ab} - (p_a - p_b)^2$, where $p_{ab}$, given as
    `both`, is the share that both get right. At this number, one difference in two is still missed.

    Raises:
        UserError: the shares are equal, or no shares.
    """
    require(0 <= share_a <= 1 and 0 <= share_b <= 1, "give two shares, from 0 to 1")
    gap = share_a - share_b
    require(gap != 0, f"both shares are {share_a}: no number of questions tells equals apart")
    if both is None:
        variance = share_a * (1 - share_a) + share_b * (1 - share_b)
    else:
        low, high = max(0.0, share_a + share_b - 1), min(share_a, share_b)
        require(low <= both <= high, f"both={both} must be from {low:g} to {high:g}")
        variance = share_a + share_b - 2 * both - gap**2
    return math.ceil(z**2 * variance / gap**2 - 1e-9)


def _tail(k: int, n: int) -> float:
    """The probability of at most k heads in n throws, where the numbers are too large to write."""
    log_p = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2)
        for i in range(k + 1)
    ]
    return math.fsum(math.exp(value) for value in log_p)


def _check(a: Shaped[np.ndarray, " N"], b: Shaped[np.ndarray, " M"]) -> None:
    require(
        len(a) == len(b) > 0,
        f"{len(a)} answers of one model and {len(b)} of the other: the same questions are needed",
    )
