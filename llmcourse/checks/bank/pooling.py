"""The exercise on what a head reads: one vector for each text, without the filler behind it.

Not here: the exercise's text (`solutions/`), those on what moves (`fine_tuning.py`) and on making a
small set last (`few_labels.py`), and how checking works (`harness.py`). Chapter 11 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.finetune.heads import pool
from llmcourse.nn.masks import padding

CHAPTER = "11"
HEAD = "2. Where does the head go?"


# 1. A mean without filler


@exercise(CHAPTER, axes="B D", strict=False, read=HEAD)
def masked_mean(hidden: Float[Tensor, "B T D"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B D"]:
    """The mean of the states of each row's text: of its first `lengths[b]` tokens."""
    return pool(hidden, padding(lengths, hidden.size(1)), "mean")


@masked_mean.cases
def _() -> Iterator[Case]:
    by_hand = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]]])
    yield case("by hand", by_hand, torch.tensor([2]))
    yield case("two rows of two lengths", torch.randn(2, 5, 3), torch.tensor([2, 4]))
    yield case("no filler anywhere", torch.randn(2, 4, 3), torch.tensor([4, 4]))
    yield case("a single token of text", torch.randn(3, 4, 2), torch.tensor([1, 1, 3]))
    yield case("rows of one token", torch.randn(2, 1, 3), torch.tensor([1, 1]))
    yield case("large numbers in the filler", _with_filler(1e4), torch.tensor([1, 3]))
    zero = torch.tensor([[[0.0, 2.0], [4.0, 2.0], [9.0, 9.0]]])
    yield case("a state of exactly 0", zero, torch.tensor([2]))
    yield case("as many rows as tokens", torch.randn(4, 4, 4), torch.tensor([1, 2, 3, 4]))
    again = torch.tensor([[[1.0, 2.0], [1.0, 2.0], [0.0, 0.0], [9.0, 9.0]]])
    yield case("a state twice, and one of zeros", again, torch.tensor([3]))
    yield case("four rows of four lengths", torch.randn(4, 5, 2), torch.tensor([3, 5, 2, 4]))


def _with_filler(value: float) -> Tensor:
    hidden = torch.randn(2, 4, 3)
    hidden[0, 1:] = value
    hidden[1, 3:] = value
    return hidden


def _real(hidden: Tensor, lengths: Tensor) -> Tensor:
    return (torch.arange(hidden.size(1)) < lengths[:, None]).to(hidden)[..., None]


@masked_mean.mistake(
    "the filler is in the mean",
    hint="A plain mean counts what stands behind the text. Then the answer for a text depends on "
    "how long the other texts of the batch are.",
)
def _(hidden, lengths):
    return hidden.mean(dim=1)


@masked_mean.mistake(
    "the filler is in the divisor",
    hint="You left the filler out of the sum, and then divided by the length of the *row*. Divide "
    "by the number of tokens that you added up.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths)).mean(dim=1)


@masked_mean.mistake(
    "the filler is in the sum",
    hint="The divisor is right. The sum still holds the states of the filler: set them to 0 first.",
)
def _(hidden, lengths):
    return hidden.sum(dim=1) / lengths[:, None]


@masked_mean.mistake(
    "a sum, not a mean",
    hint="Long texts would have large vectors. Divide by the number of tokens.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(dim=1)


@masked_mean.mistake(
    "one token too many",
    hint="The places count from 0: a text of length 2 has the places 0 and 1. Place `lengths[b]` "
    "is filler.",
)
def _(hidden, lengths):
    real = (torch.arange(hidden.size(1)) <= lengths[:, None]).to(hidden)[..., None]
    return (hidden * real).sum(dim=1) / real.sum(dim=1)


@masked_mean.mistake(
    "the last token alone",
    hint="That is pooling by the *last* token: what a model wants that looks backwards only. Asked "
    "is the mean over the whole text.",
)
def _(hidden, lengths):
    return hidden[torch.arange(len(hidden)), lengths - 1]


@masked_mean.mistake(
    "the first token alone",
    hint="That is pooling by the *first* token, as BERT does with its `[CLS]`. Asked is the mean.",
)
def _(hidden, lengths):
    return hidden[:, 0]


@masked_mean.mistake(
    "the mean of the filler",
    hint="Your mask is the wrong way round: True belongs where a place is *below* the length.",
)
def _(hidden, lengths):
    rest = 1 - _real(hidden, lengths)
    return (hidden * rest).sum(dim=1) / rest.sum(dim=1)


@masked_mean.mistake(
    "all rows are cut at the shortest text",
    hint="You read as many tokens of every row as the shortest text has. Each row has its own "
    "length.",
)
def _(hidden, lengths):
    return hidden[:, : int(lengths.min())].mean(dim=1)


@masked_mean.mistake(
    "all rows are cut at the longest text",
    hint="Cut there, the shorter texts still have filler. Each row has its own length.",
)
def _(hidden, lengths):
    return hidden[:, : int(lengths.max())].mean(dim=1)


@masked_mean.mistake(
    "the largest instead of the mean",
    hint="You take the maximum of each entry over the text: max pooling. Asked is the mean.",
)
def _(hidden, lengths):
    return hidden.masked_fill(_real(hidden, lengths) == 0, -torch.inf).amax(dim=1)


@masked_mean.mistake(
    "one mean over the whole batch",
    hint="You divide by the tokens of all rows together. Each row is divided by its own length.",
)
def _(hidden, lengths):
    return (hidden * _real(hidden, lengths)).sum(dim=1) / lengths.sum()


@masked_mean.mistake(
    "one token too few",
    hint="The last token of each text is missing. `row[:n]` ends before place n already.",
)
def _(hidden, lengths):
    rows = zip(hidden, lengths.tolist(), strict=True)
    return torch.stack([row[: max(1, n - 1)].mean(dim=0) for row, n in rows])


@masked_mean.mistake(
    "the first token is left out",
    hint="Every token of the text counts, the first one, too. (A `[CLS]` that one might leave out "
    "is not in these rows.)",
)
def _(hidden, lengths):
    rows = zip(hidden, lengths.tolist(), strict=True)
    return torch.stack([row[min(1, n - 1) : n].mean(dim=0) for row, n in rows])


@masked_mean.mistake(
    "the end of the row, as if the filler stood in front",
    hint="`row[-n:]` takes the last places. Here the text stands first, and the filler behind it.",
)
def _(hidden, lengths):
    rows = zip(hidden, lengths.tolist(), strict=True)
    return torch.stack([row[-n:].mean(dim=0) for row, n in rows])


@masked_mean.mistake(
    "the first row alone",
    hint="Your loop returns in its first round. Collect the means of all rows and stack them.",
)
def _(hidden, lengths):
    return hidden[0, : int(lengths[0])].mean(dim=0)
