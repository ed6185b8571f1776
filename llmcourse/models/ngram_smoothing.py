"""What to make of counts: five ways to leave something for words that were never seen.

Each takes a little from every n-gram that was seen, so that a *kept* share stays with it, and hands
the *rest* of a context's probability to something that is less particular:

    p(w | h) = kept(h w) + rest(h) p(w | h')

where `h'` is the context without its first word, and below single words stands the uniform guess.
Kept shares and rest add up to one in each context, so every distribution does. Not here: counting
(`ngram_counts`) and the model (`ngram`). Chapter 02 teaches this.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.ngram_counts import Level

LEAST_DISCOUNT = 0.05
"""An estimated discount is at least this: with 0, what was never seen would be impossible."""


class Shares(NamedTuple):
    """How one order's probability is split up.

    Attributes:
        kept: of each n-gram of the level.
        rest: of each context, for what is less particular; where nothing ever follows a context,
            it has no meaning, and the model asks a shorter one.
    """

    kept: Float[Tensor, " N"]
    rest: Float[Tensor, " C"]


@runtime_checkable
class Smoothing(Protocol):
    """A way to share out a level's probability."""

    @property
    def backs_off(self) -> bool:
        """Whether the rest goes to the next shorter context; else to all words alike."""
        ...

    def shares(self, level: Level, order: int, *, highest: bool, vocab_size: int) -> Shares:
        """The shares of a level of n-grams of the given order; `highest` if no longer ones are."""
        ...


@dataclass(frozen=True)
class AddK:
    """`p(w | h) = (c(h w) + k) / (c(h) + k V)`, from the longest context alone.

    `k = 1` is Laplace's rule of succession (1814), another `k` Lidstone's (1920). With `k = 0` it
    is the plain share, and what was not seen is impossible; a context that was never seen then says
    nothing, and all words are alike.

    Raises:
        UserError: `k` is below 0.
    """

    k: float = 1.0
    backs_off = False

    def __post_init__(self) -> None:
        if not self.k >= 0:
            raise UserError(f"k={self.k} must be at least 0: try 1, or 0.01")

    def shares(self, level: Level, order: int, *, highest: bool, vocab_size: int) -> Shares:
        """`kept = c(h w) / (c(h) + k V)`, `rest = k V / (c(h) + k V)`."""
        counts = level.occurrences.double()
        # k more for each of the V words, also those never seen: what is left to share out evenly.
        added = self.k * vocab_size
        whole = level.totals(counts) + added
        return Shares(counts / whole[level.contexts], added / whole)


@dataclass(frozen=True)
class Interpolation:
    """`p(w | h) = λ c(h w) / c(h) + (1 - λ) p(w | h')` (Jelinek and Mercer, 1980).

    Attributes:
        weight: λ, one for all orders, or a tuple with one for each order from single words up.

    Raises:
        UserError: a weight is not between 0 and 1.
    """

    weight: float | tuple[float, ...] = 0.7
    backs_off = True

    def __post_init__(self) -> None:
        _check_fractions("weight", self.weight)

    def shares(self, level: Level, order: int, *, highest: bool, vocab_size: int) -> Shares:
        """`kept = λ c(h w) / c(h)`, `rest = 1 - λ`."""
        counts = level.occurrences.double()
        totals = level.totals(counts)
        weight = _of_order("weight", self.weight, order)
        return Shares(weight * counts / totals[level.contexts], torch.full_like(totals, 1 - weight))


@dataclass(frozen=True)
class WittenBell:
    """Interpolation that trusts a context by how seldom it surprised (Witten and Bell, 1991).

    `1 - λ(h) = N(h) / (N(h) + c(h))`, with `N(h)` the number of *different* words after `h`: each
    of them was new once.
    """

    backs_off = True

    def shares(self, level: Level, order: int, *, highest: bool, vocab_size: int) -> Shares:
        """`kept = c(h w) / (N(h) + c(h))`, `rest = N(h) / (N(h) + c(h))`."""
        counts = level.occurrences.double()
        # Every first sight of a word counts as one surprise among c(h) + N(h) events.
        types = level.types.double()
        whole = types + level.totals(counts)
        return Shares(counts / whole[level.contexts], types / whole)


@dataclass(frozen=True)
class AbsoluteDiscounting:
    """Take the same `d` from every count: `max(c(h w) - d, 0) / c(h)` (Ney, Essen, Kneser, 1994).

    What was taken, `d N(h) / c(h)` with `N(h)` different words after `h`, goes to shorter contexts.

    Attributes:
        discount: d, one for all orders, or a tuple with one for each order from single words up,
            or None: `n1 / (n1 + 2 n2)` for each order, with `n1` n-grams counted once and `n2`
            twice (the same paper, equation 6 ff.; at least `LEAST_DISCOUNT`).

    Raises:
        UserError: a discount is not between 0 and 1.
    """

    discount: float | tuple[float, ...] | None = 0.75
    backs_off = True

    def __post_init__(self) -> None:
        if self.discount is not None:
            _check_fractions("discount", self.discount)

    def shares(self, level: Level, order: int, *, highest: bool, vocab_size: int) -> Shares:
        """`kept = (c(h w) - d) / c(h)` of each n-gram seen, so `c >= 1`; `rest = d N(h) / c(h)`."""
        counts = self._counts(level, highest)
        discount = self._discount(counts, order)
        counts = counts.double()
        totals = level.totals(counts)
        # d from each of N(h) different words: d N(h) is free for the shorter context.
        kept = (counts - discount) / totals[level.contexts]
        return Shares(kept, discount * level.types.double() / totals)

    def _counts(self, level: Level, highest: bool) -> Int[Tensor, " N"]:
        return level.occurrences

    def _discount(self, counts: Int[Tensor, " N"], order: int) -> float:
        if self.discount is not None:
            return _of_order("discount", self.discount, order)
        once, twice = (float((counts == times).sum()) for times in (1, 2))
        # Held-out counts fall by about this much: n-grams seen once tell how many were never seen.
        return max(LEAST_DISCOUNT, once / (once + 2 * twice) if once else 0.0)


@dataclass(frozen=True)
class KneserNey(AbsoluteDiscounting):
    """Absolute discounting whose shorter contexts ask: after how many *different* words?

    "Francisco" is frequent, but only after "San". When the context is no help, what counts is not
    how often a word occurs but how many words it can follow: below the highest order, counts are
    `continuations` (Kneser and Ney, 1995; interpolated, as Chen and Goodman, 1999, found best).
    """

    def _counts(self, level: Level, highest: bool) -> Int[Tensor, " N"]:
        # Above the highest order there is none whose different words could be counted.
        return level.occurrences if highest else level.continuations


def _check_fractions(name: str, given: float | tuple[float, ...]) -> None:
    for number in given if isinstance(given, tuple) else (given,):
        if not 0 <= number <= 1:
            raise UserError(f"{name}={number} must lie between 0 and 1: try 0.75")


def _of_order(name: str, given: float | tuple[float, ...], order: int) -> float:
    if not isinstance(given, tuple):
        return given
    if order > len(given):
        raise UserError(f"{name} has {len(given)} numbers: an order of {order} needs {order}")
    return given[order - 1]
