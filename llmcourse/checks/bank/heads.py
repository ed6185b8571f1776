"""The exercises on many heads: cut and merged, in groups, and what their cache weighs.

Shapes are given in the letters of `shapes.py`. Not here: what one head does (`attention.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 03 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn import attention as reference

CHAPTER = "03"


# 4. Many heads


@exercise(CHAPTER, axes="B H T K", read="6. Why several heads?")
def split_heads(x: Float[Tensor, "B T HK"], n_heads: int) -> Float[Tensor, "B H T K"]:
    """Cut the width into heads: `B T (H K) -> B H T K`."""
    return reference.split_heads(x, n_heads)


@split_heads.cases
def _() -> Iterator[Case]:
    yield case("two tokens, two heads", torch.arange(8.0).view(1, 2, 4), 2)
    yield case("a batch", torch.randn(2, 5, 12), 3)
    yield case("as many heads as tokens", torch.randn(2, 3, 6), 3)
    yield case("one head", torch.randn(1, 3, 4), 1)
    yield case("heads one wide", torch.randn(2, 3, 4), 4)
    yield case("two of everything", torch.randn(2, 2, 4), 2)


@split_heads.mistake(
    "the first slice for every head",
    hint="All heads got the first K numbers. Head 1 takes the next K, and so on.",
)
def _(x, n_heads):
    return x[:, None, :, : x.size(-1) // n_heads].expand(-1, n_heads, -1, -1).clone()


@split_heads.mistake(
    "the number of heads taken for their width",
    hint="You cut pieces of `n_heads` numbers. `n_heads` is how many pieces there are; each is "
    "`width // n_heads` wide.",
)
def _(x, n_heads):
    return x.unflatten(-1, (-1, n_heads)).transpose(1, 2)


@split_heads.mistake(
    "heads before the batch",
    hint="The pieces are right. Stack them on axis 1: the batch stays in front.",
)
def _(x, n_heads):
    return torch.stack(x.chunk(n_heads, dim=-1))


@split_heads.mistake(
    "tokens behind the width",
    hint="The heads are in their place, but the last two axes are K, T. They should be T, K.",
)
def _(x, n_heads):
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2).mT


@split_heads.mistake(
    "the sentence was cut, not the width",
    hint="Reshaping straight to B H T K keeps the order of memory, so a head gets whole vectors of "
    "some tokens. First unfold the width into H and K, then move H forward.",
)
def _(x, n_heads):
    batch, length, width = x.shape
    return x.reshape(batch, n_heads, length, width // n_heads)


@split_heads.mistake(
    "every H-th number instead of K neighbours",
    hint="Head 0 takes the first K numbers of a vector, head 1 the next K. Unfold the width as "
    "(H, K), in this order.",
)
def _(x, n_heads):
    return x.unflatten(-1, (-1, n_heads)).permute(0, 3, 1, 2)


@split_heads.mistake(
    "heads behind the positions",
    hint="The width is cut well, but the result is B T H K. Matrix products work on the last two "
    "axes: which two must those be, if tokens are to look at tokens?",
)
def _(x, n_heads):
    return x.unflatten(-1, (n_heads, -1))


@exercise(CHAPTER, axes="B T D", read="6. Why several heads?")
def merge_heads(x: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T HK"]:
    """The way back: `B H T K -> B T (H K)`."""
    return reference.merge_heads(x)


@merge_heads.cases
def _() -> Iterator[Case]:
    yield case("two heads, two tokens", torch.arange(8.0).view(1, 2, 2, 2))
    yield case("a batch", torch.randn(2, 3, 5, 4))
    yield case("as many heads as tokens", torch.randn(2, 3, 3, 2))
    yield case("one head", torch.randn(1, 1, 3, 4))
    yield case("two of everything", torch.randn(2, 2, 2, 2))


@merge_heads.mistake(
    "tokens merged, heads kept",
    hint="You put T and K together. T is the sentence, and stays; it is H that joins K.",
)
def _(x):
    return x.flatten(2)


@merge_heads.mistake(
    "heads behind one another, as if they were tokens",
    hint="The sentence became H times as long. Heads go side by side along the width, the last "
    "axis.",
)
def _(x):
    return torch.cat(list(x.unbind(1)), dim=1)


@merge_heads.mistake(
    "the mean of the heads",
    hint="Each head keeps its own place in the vector. Nothing is averaged here: o_proj mixes.",
)
def _(x):
    return x.mean(1)


@merge_heads.mistake(
    "reshaped without bringing the heads back",
    hint="The shape is right and the numbers are shuffled: reshape reads memory in order, and that "
    "is head by head. Put H beside K first.",
)
def _(x):
    batch, n_heads, length, width = x.shape
    return x.reshape(batch, length, n_heads * width)


@merge_heads.mistake(
    "heads interleaved",
    hint="A token's vector holds head 0's K numbers, then head 1's. Yours alternates.",
)
def _(x):
    return x.permute(0, 2, 3, 1).flatten(2)


@merge_heads.mistake(
    "heads added up",
    hint="Each head keeps its own place in the vector; mixing them is the work of o_proj. Nothing "
    "is summed here.",
)
def _(x):
    return x.sum(1)


# 6. Grouped heads


@exercise(CHAPTER, axes="B H S K", read="8. Must every head have keys of its own?")
def repeat_kv(x: Float[Tensor, "B G S K"], n_heads: int) -> Float[Tensor, "B H S K"]:
    """Give every query head its group's keys (or values): head `h` takes group `h G // H`."""
    return reference.repeat_kv(x, n_heads)


@repeat_kv.cases
def _() -> Iterator[Case]:
    yield case("two groups, four heads", torch.arange(4.0).view(1, 2, 2, 1), 4)
    yield case("three groups, six heads", torch.randn(2, 3, 4, 5), 6)
    yield case("one group: multi-query", torch.randn(2, 1, 3, 4), 3)
    yield case("a group for each head", torch.randn(1, 4, 2, 3), 4)


@repeat_kv.mistake(
    "the first group for everybody",
    hint="All query heads got group 0. The first H // G of them should; then it is group 1's turn.",
)
def _(x, n_heads):
    return x[:, :1].expand(-1, n_heads, -1, -1).clone()


@repeat_kv.mistake(
    "every group as often as there are groups",
    hint="With 2 groups and 4 heads that is right by accident. Each group serves H // G heads.",
)
def _(x, n_heads):
    return x.repeat_interleave(x.size(1), dim=1)


@repeat_kv.mistake(
    "the batch repeated",
    hint="Axis 0 is the batch. The groups are axis 1.",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1), dim=0)


@repeat_kv.mistake(
    "the width repeated",
    hint="The last axis is the width of a head, and stays. The groups are axis 1.",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1), dim=-1)


@repeat_kv.mistake(
    "tiled instead of interleaved",
    hint="You made 0 1 0 1; neighbouring query heads share a group, so it is 0 0 1 1. The shape is "
    "the same, nothing crashes, and a loaded model talks nonsense.",
)
def _(x, n_heads):
    return x.repeat(1, n_heads // x.size(1), 1, 1)


@repeat_kv.mistake(
    "every group H times",
    hint="There are G groups already. How many query heads does each of them serve?",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads, dim=1)


@repeat_kv.mistake(
    "positions repeated",
    hint="Axis 2 is the sentence. The heads are axis 1.",
)
def _(x, n_heads):
    return x.repeat_interleave(n_heads // x.size(1), dim=2)


# 7. Predict, then measure


@value(CHAPTER, rel=0.02, unit="MB", read="8. Must every head have keys of its own?")
def cache_megabytes() -> float:
    """The keys and values of one text of 1024 tokens in GPT-2 medium, in half precision."""
    layers, heads, length, width, n_bytes = 24, 16, 1024, 64, 2
    return 2 * layers * heads * length * width * n_bytes / 1e6


@cache_megabytes.mistake(
    "a quarter of it",
    hint="Two factors of 2 are missing: keys *and* values, and *two* bytes for each number.",
)
def _():
    return cache_megabytes.right() / 4


@cache_megabytes.mistake(
    "half of it, in mebibytes",
    hint="A megabyte is a million bytes; and did you count values beside keys, and two bytes a "
    "number?",
)
def _():
    return cache_megabytes.right() / 2 * 1e6 / 2**20


@cache_megabytes.mistake(
    "four bytes for a number, in mebibytes",
    hint="Half precision takes 2 bytes a number, and a megabyte is a million of them.",
)
def _():
    return cache_megabytes.right() * 2 * 1e6 / 2**20


@cache_megabytes.mistake(
    "mebibytes",
    hint="You divided by 1024 twice. A megabyte is a million bytes, as the text says.",
)
def _():
    return cache_megabytes.right() * 1e6 / 2**20


@cache_megabytes.mistake(
    "bits instead of bytes",
    hint="Half precision has 16 bits, and that is 2 bytes.",
)
def _():
    return cache_megabytes.right() * 8


@cache_megabytes.mistake(
    "GPT-2 small",
    hint="12 layers of 12 heads: that is the small GPT-2. The medium one's numbers are above.",
)
def _():
    return cache_megabytes.right() / 24 / 16 * 12 * 12


@cache_megabytes.mistake(
    "one token of 1024",
    hint="That is what one token leaves behind. The text has 1024 of them.",
)
def _():
    return cache_megabytes.right() / 1024


@cache_megabytes.mistake(
    "the width of a head is missing",
    hint="You counted one number for each head and token. A key has 64 of them.",
)
def _():
    return cache_megabytes.right() / 64


@cache_megabytes.mistake(
    "gigabytes instead of megabytes",
    hint="Right, in gigabytes. A megabyte is a million bytes.",
)
def _():
    return cache_megabytes.right() / 1e3


@cache_megabytes.mistake(
    "the model's weights",
    hint="That is what the weights take. The cache holds keys and values, one of each for every "
    "token, layer and head.",
)
def _():
    return 710


@cache_megabytes.mistake(
    "half of it",
    hint="Did you count the values beside the keys, and *two* bytes for each number? One of these "
    "two factors of 2 is missing.",
)
def _():
    return cache_megabytes.right() / 2


@cache_megabytes.mistake(
    "one layer of twenty-four",
    hint="Every layer has keys and values of its own, and all of them wait in memory.",
)
def _():
    return cache_megabytes.right() / 24


@cache_megabytes.mistake(
    "one head of sixteen",
    hint="That is one head's share. All sixteen heads of a layer keep their own, in every layer.",
)
def _():
    return cache_megabytes.right() / 24 / 16


@cache_megabytes.mistake(
    "four bytes for a number",
    hint="That is float32. Half precision takes 2 bytes a number.",
)
def _():
    return cache_megabytes.right() * 2


@cache_megabytes.mistake(
    "bytes instead of megabytes",
    hint="Right, in bytes. Divide by a million.",
)
def _():
    return cache_megabytes.right() * 1e6


@cache_megabytes.mistake(
    "kilobytes instead of megabytes",
    hint="Right, in kilobytes. A megabyte is a million bytes.",
)
def _():
    return cache_megabytes.right() * 1e3
