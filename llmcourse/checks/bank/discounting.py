"""The exercise on Kneser-Ney: a row of probabilities in which each seen word pays a discount.

Not here: perplexity and counts (`counting.py`), the exercise's text (`solutions/`), and how
checking works (`harness.py`). Chapter 02 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "02"


@exercise(CHAPTER, axes="V", read="4. How do you leave room for what you never saw?")
def kneser_ney_row(pairs: Int[Tensor, "V V"], before: int, d: float) -> Float[Tensor, " V"]:
    """`(c(h w) - d) / c(h) + d N(h) / c(h) p(w)`, and `p(w)` from continuations.

    `pairs[h, w]` says how often w followed h. Kneser and Ney, 1995, interpolated.
    """
    continuation = (pairs > 0).sum(0) / (pairs > 0).sum()
    row = pairs[before]
    if not row.any():
        return continuation
    rest = d * (row > 0).sum() / row.sum()
    return (row - d).clamp(min=0) / row.sum() + rest * continuation


@kneser_ney_row.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[0, 3, 1], [2, 0, 0], [1, 0, 0]]), 0, 0.5)
    trap = torch.tensor([[0, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 2]])
    yield case("San Francisco", trap, 0, 0.75)
    yield case("after an unknown word", trap, 1, 0.75)
    many = torch.randint(0, 3, (6, 6))
    yield case("a table of noise", many, 2, 0.75)
    yield case("no discount", torch.tensor([[2, 1], [1, 0]]), 0, 0.0)
    yield case("another row of noise", many, 4, 0.3)
    yield case("a discount of one", many, 1, 1.0)
    yield case("one word only followed it", torch.tensor([[0, 5, 0], [2, 1, 0], [4, 0, 1]]), 0, 0.5)


@kneser_ney_row.mistake(
    "the shorter context counts how often",
    hint="That is absolute discounting: it bets on Francisco after any unknown word. For p(w), "
    "count in how many *rows* of the table the word's column is not 0.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, pairs.sum(0) / pairs.sum())


@kneser_ney_row.mistake(
    "continuations along the wrong axis",
    hint="Row h, column w. You counted the different words that *follow* each word.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, (pairs > 0).sum(1) / (pairs > 0).sum())


@kneser_ney_row.mistake(
    "what was discounted is given to nobody",
    hint="Your row sums to less than one. N(h) words paid d each: hand that on.",
)
def _(pairs, before, d):
    row = pairs[before]
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() if row.any() else whole


@kneser_ney_row.mistake(
    "the unseen words pay, too",
    hint="A count of 0 less d is negative. Nobody can pay who has nothing: clamp at 0.",
)
def _(pairs, before, d):
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    row = pairs[before]
    if not row.any():
        return whole
    return (row - d) / row.sum() + d * (row > 0).sum() / row.sum() * whole


@kneser_ney_row.mistake(
    "the rest is d, whatever the context",
    hint="What was collected depends on the context: d from each of its N(h) different words, out "
    "of c(h). Does your row sum to one?",
)
def _(pairs, before, d):
    row = pairs[before]
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() + d * whole if row.any() else whole


@kneser_ney_row.mistake(
    "an unknown context divides by zero",
    hint="Nothing ever followed this word, so c(h) is 0. Then there is only the shorter context "
    "to ask: return p(w).",
)
def _(pairs, before, d):
    row = pairs[before]
    rest = d * (row > 0).sum() / row.sum()
    whole = (pairs > 0).sum(0) / (pairs > 0).sum()
    return (row - d).clamp(min=0) / row.sum() + rest * whole


@kneser_ney_row.mistake(
    "the column instead of the row",
    hint="Rows are contexts: what followed `before` stands in *its row*, `pairs[before]`.",
)
def _(pairs, before, d):
    row, shorter = pairs[:, before], _continuation(pairs)
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d * (row > 0).sum() / row.sum() * shorter


@kneser_ney_row.mistake(
    "V instead of N(h)",
    hint="Only the words that were seen after h paid d. N(h) is how many these are, not the whole "
    "vocabulary.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d * len(row) / row.sum() * shorter


@kneser_ney_row.mistake(
    "after an unknown word, all words alike",
    hint="Where nothing ever followed, there is still the shorter context: return p(w), not 1/V.",
)
def _(pairs, before, d):
    if not pairs[before].any():
        return torch.full((len(pairs),), 1 / len(pairs))
    return kneser_ney_row.right(pairs, before, d)


@kneser_ney_row.mistake(
    "after an unknown word, nothing",
    hint="After an unknown word comes *some* word: a row of zeros is no distribution. Return p(w).",
)
def _(pairs, before, d):
    row = kneser_ney_row.right(pairs, before, d)
    return row if pairs[before].any() else torch.zeros(len(pairs))


@kneser_ney_row.mistake(
    "nothing is taken off",
    hint="You hand on d N(h) / c(h) and never collected it: the counts stay whole. Your row sums "
    "to more than one.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return row / row.sum() + d * (row > 0).sum() / row.sum() * shorter


@kneser_ney_row.mistake(
    "a fixed mixture of the two",
    hint="You mix with d and 1 - d, whatever the context. Here each seen word pays d of its count, "
    "and the rest depends on how many paid.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    return (1 - d) * row / row.sum() + d * shorter if row.any() else shorter


@kneser_ney_row.mistake(
    "d is collected once, not N(h) times",
    hint="Each of the N(h) different words paid d. You hand on what one of them paid.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d / row.sum() * shorter


@kneser_ney_row.mistake(
    "N(h) counts what was seen once",
    hint="N(h) is the number of entries above 0, however large. You counted the ones.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d * (row == 1).sum() / row.sum() * shorter


@kneser_ney_row.mistake(
    "p(w) is 1 part in V",
    hint="What was collected is shared by how many words each one follows, not alike: that was "
    "the idea of Kneser and Ney.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, torch.full((len(pairs),), 1 / len(pairs)))


@kneser_ney_row.mistake(
    "p(w) divided by V",
    hint="The numbers of different words before have to sum to one: divide by the number of "
    "different pairs in all, not by the vocabulary.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, (pairs > 0).sum(0) / len(pairs))


@kneser_ney_row.mistake(
    "the rest only for unseen words",
    hint="p(w) is added for *every* word, also for those that were seen after h: the formula is a "
    "sum, no choice. (Backing off is another method.)",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    rest = d * (row > 0).sum() / row.sum() * shorter
    return torch.where(row > 0, (row - d).clamp(min=0) / row.sum(), rest)


@kneser_ney_row.mistake(
    "divided by all pairs, not by the row's",
    hint="c(h) is the sum of one row: how often h was seen. You divided by the sum of the whole "
    "table.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return ((row - d).clamp(min=0) + d * (row > 0).sum() * shorter) / pairs.sum()


@kneser_ney_row.mistake(
    "c(h) counts the different words",
    hint="c(h) is how often h was seen, the *sum* of its row. You took N(h), the number of "
    "different words.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / (row > 0).sum() + d * shorter


@kneser_ney_row.mistake(
    "d is always 0.75",
    hint="0.75 is what people often take. Here d is an argument: use it.",
)
def _(pairs, before, d):
    return kneser_ney_row.right(pairs, before, 0.75)


@kneser_ney_row.mistake(
    "the whole of p(w) is added",
    hint="You add p(w) in full. Only what was collected is handed on: d N(h) / c(h) of it.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    return (row - d).clamp(min=0) / row.sum() + shorter if row.any() else shorter


@kneser_ney_row.mistake(
    "p(w) is not divided",
    hint="The numbers of different words before are no probabilities yet: divide by the number of "
    "all different pairs.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, (pairs > 0).sum(0).double())


@kneser_ney_row.mistake(
    "p(w) divided by all pairs, copies included",
    hint="Above stand *different* words, so below stand the *different* pairs: not the sum of the "
    "counts.",
)
def _(pairs, before, d):
    return _mixed(pairs, before, d, (pairs > 0).sum(0) / pairs.sum())


@kneser_ney_row.mistake(
    "a share is taken off, not d",
    hint="You take d of each count as a share. Each seen word pays the same amount: c - d.",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    return (1 - d) * row / row.sum() + d * (row > 0).sum() / row.sum() * shorter


@kneser_ney_row.mistake(
    "add-k instead",
    hint="That is add-k smoothing with d: it adds to every count. Kneser and Ney take off.",
)
def _(pairs, before, d):
    row = pairs[before]
    shorter = _continuation(pairs)
    return (row + d) / (row.sum() + d * len(row)) if row.any() else shorter


@kneser_ney_row.mistake(
    "divided by what is left",
    hint="You divide what is left by its own sum, so that it is whole again, and then add the "
    "rest. Both parts are divided by c(h).",
)
def _(pairs, before, d):
    row, shorter = pairs[before], _continuation(pairs)
    if not row.any():
        return shorter
    kept = (row - d).clamp(min=0)
    whole = kept.sum().clamp(min=1e-9)
    return kept / whole + d * (row > 0).sum() / row.sum() * shorter


@kneser_ney_row.mistake(
    "only p(w)",
    hint="Your row is the same after every word: that is the shorter context alone. What was seen "
    "after h comes first.",
)
def _(pairs, before, d):
    return _continuation(pairs)


def _continuation(pairs: Tensor) -> Tensor:
    return (pairs > 0).sum(0) / (pairs > 0).sum()


def _mixed(pairs: Tensor, before: int, d: float, shorter: Tensor) -> Tensor:
    """The right mixture with a given distribution of single words."""
    row = pairs[before]
    if not row.any():
        return shorter
    return (row - d).clamp(min=0) / row.sum() + d * (row > 0).sum() / row.sum() * shorter
