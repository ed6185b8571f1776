"""The exercises on distances between tokens: ALiBi's biases and T5's buckets.

Offsets and distances are in tokens. Shapes are given in the letters of `shapes.py`. Not here:
angles (`positions.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 04 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn import positions as reference

CHAPTER = "04"
PLAIN = ("non-contiguous",)


# 4. ALiBi


@exercise(CHAPTER, axes="H T S", read="5. Can it be simpler still?")
def alibi_bias(n_heads: int, n_queries: int, n_keys: int) -> Float[Tensor, "H T S"]:
    """`-slope * (t - s)` for each head; the last query stands at the last key."""
    return reference.ALiBi(n_heads)(n_queries, n_keys)


@alibi_bias.cases
def _() -> Iterator[Case]:
    yield case("one head, two tokens", 1, 2, 2)
    yield case("eight heads, three tokens", 8, 3, 3)
    yield case("two heads", 2, 4, 4)
    yield case("one new token, five keys", 4, 1, 5)
    yield case("sixteen heads", 16, 2, 3)
    yield case("far apart", 2, 2, 300)


def _biased(n_queries: int, n_keys: int, slopes: Tensor, sign: float = -1.0) -> Tensor:
    distances = reference.offsets(n_queries, n_keys).abs()
    return sign * slopes[:, None, None] * distances


@alibi_bias.mistake(
    "the last row for every query",
    hint="All rows are alike in yours. Each query measures from its own place.",
)
def _(n_heads, n_queries, n_keys):
    return alibi_bias.right(n_heads, 1, n_keys).expand(n_heads, n_queries, n_keys).clone()


@alibi_bias.mistake(
    "the distance has a sign",
    hint="Keys after the query count by their distance too: 1 token away is 1, on either side. "
    "Yours rewards the future.",
)
def _(n_heads, n_queries, n_keys):
    slopes = reference.alibi_slopes(n_heads)[:, None, None]
    return slopes * reference.offsets(n_queries, n_keys)


@alibi_bias.mistake(
    "no bias on what comes after",
    hint="The past is right, and the future has 0. The text asks for its distance as well; hiding "
    "it is the mask's work.",
)
def _(n_heads, n_queries, n_keys):
    slopes = reference.alibi_slopes(n_heads)[:, None, None]
    return slopes * reference.offsets(n_queries, n_keys).clamp(max=0)


@alibi_bias.mistake(
    "a causal mask built in",
    hint="The past is right. The future is not hidden here: that is the mask's work, and keys "
    "after the query count by their distance too.",
)
def _(n_heads, n_queries, n_keys):
    offsets = reference.offsets(n_queries, n_keys)
    return alibi_bias.right(n_heads, n_queries, n_keys).masked_fill(offsets > 0, -math.inf)


@alibi_bias.mistake(
    "the key's position, not its distance",
    hint="You multiply by where the key stands. What counts is how far it is from the query.",
)
def _(n_heads, n_queries, n_keys):
    places = torch.arange(n_keys).expand(n_queries, n_keys)
    return -reference.alibi_slopes(n_heads)[:, None, None] * places


@alibi_bias.mistake(
    "the heads in reverse",
    hint="Head 1 is the steepest, and the last one has the slope 1/256.",
)
def _(n_heads, n_queries, n_keys):
    return alibi_bias.right(n_heads, n_queries, n_keys).flip(0)


@alibi_bias.mistake(
    "the exponent upside down",
    hint="The slope of head h is 2 to the power -8h / H: H divides.",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, 2.0 ** (-8 / torch.arange(1, n_heads + 1)))


@alibi_bias.mistake(
    "8 taken for the number of heads",
    hint="The exponent is -8 h / H. With 8 heads the two cancel; with another number they do not.",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, 2.0 ** (-n_heads * torch.arange(1, n_heads + 1) / 8))


@alibi_bias.mistake(
    "distance is rewarded",
    hint="Scores should fall with distance: there is a minus before the slope.",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, reference.alibi_slopes(n_heads), sign=1.0)


@alibi_bias.mistake(
    "the same slope for every head",
    hint="Every head of yours is equally short-sighted. Head h (counted from 1) has the slope "
    "2 ** (-8 h / H).",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, torch.full((n_heads,), 0.5))


@alibi_bias.mistake(
    "heads counted from zero",
    hint="The first head's slope is 2 ** (-8 / H), not 1. Count heads from one.",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, 2.0 ** (-8 * torch.arange(n_heads) / n_heads))


@alibi_bias.mistake(
    "slopes halve, however many heads there are",
    hint="For 8 heads that is right: 1/2, 1/4, 1/8. With H heads the exponents are 8h / H, so "
    "that the last slope is always 1/256.",
)
def _(n_heads, n_queries, n_keys):
    return _biased(n_queries, n_keys, 2.0 ** -torch.arange(1.0, n_heads + 1))


@alibi_bias.mistake(
    "the first query stands at the first key",
    hint="One new token with five keys is token 4, not token 0: the last query stands at the last "
    "key. Row t is at key t + S - T.",
)
def _(n_heads, n_queries, n_keys):
    distances = (torch.arange(n_queries)[:, None] - torch.arange(n_keys)).abs()
    return -reference.alibi_slopes(n_heads)[:, None, None] * distances


# 5. T5's buckets


@exercise(CHAPTER, axes="T", variants=PLAIN, read="4. What if only distance mattered?")
def relative_buckets(
    distances: Int[Tensor, " T"], n_buckets: int, max_distance: int
) -> Int[Tensor, " T"]:
    """The bucket of each distance `t - s >= 0`: half of them exact, the others ever wider."""
    return reference.relative_buckets(-distances, n_buckets, max_distance)


@relative_buckets.cases
def _() -> Iterator[Case]:
    near = torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 14])
    yield case("8 buckets to distance 16", near, 8, 16)
    yield case("T5's own", torch.tensor([0, 1, 15, 16, 20, 27, 40, 100, 127]), 32, 128)
    yield case("beyond the end", torch.tensor([15, 16, 17, 400, 5000]), 8, 16)
    yield case("few buckets", torch.tensor([1, 2, 3, 4, 5, 6, 8]), 4, 9)
    yield case("one distance", torch.tensor([7]), 8, 16)


def _bucketed(distances: Tensor, n_buckets: int, max_distance: int, **change: float) -> Tensor:
    exact = n_buckets // 2
    scale = change.get("scale", math.log(max_distance / exact))
    growth = torch.log(distances.clamp(min=1) / exact) / scale * change.get("width", exact)
    far = (change.get("start", exact) + growth + change.get("shift", 0.0)).floor().long()
    if change.get("clamped", True):
        far = far.clamp(max=change.get("last", n_buckets - 1))
    return far if change.get("always", False) else torch.where(distances < exact, distances, far)


@relative_buckets.mistake(
    "rounded to the nearest",
    hint="The formula rounds *down*: a distance belongs to the bucket that it has reached. "
    "`.long()` cuts off the fraction.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, shift=0.5)


@relative_buckets.mistake(
    "rounded up",
    hint="The formula rounds *down*: a distance belongs to the bucket that it has reached.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, shift=0.999999)


@relative_buckets.mistake(
    "the last bucket is n, not n - 1",
    hint="n buckets are numbered from 0 to n - 1. Hold the *bucket* at n - 1: if you hold the "
    "distance at max, the formula gives n there.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, last=n_buckets)


@relative_buckets.mistake(
    "stretched over all buckets",
    hint="The far distances share the n - e buckets that are left, not all n.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, width=n_buckets)


@relative_buckets.mistake(
    "every distance by the logarithm",
    hint="Distances below e have a bucket of their own, and no logarithm. Choose with "
    "`torch.where`.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, always=True)


@relative_buckets.mistake(
    "not divided by e before the logarithm",
    hint="The logarithm is of distance / e, and so is the one below it: it begins at 0 where the "
    "exact buckets end.",
)
def _(distances, n_buckets, max_distance):
    exact = n_buckets // 2
    growth = torch.log(distances.clamp(min=1).float()) / math.log(max_distance)
    far = (exact + growth * (n_buckets - exact)).long().clamp(max=n_buckets - 1)
    return torch.where(distances < exact, distances, far)


@relative_buckets.mistake(
    "half of the buckets for the other direction",
    hint="T5's encoder keeps half of its buckets for what comes after. Here all n are for the "
    "past: e is n / 2.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets // 2, max_distance)


@relative_buckets.mistake(
    "T5's own numbers, written in",
    hint="32 buckets and 128 tokens are T5's. Here both are arguments.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, 32, 128)


@relative_buckets.mistake(
    "1 added under the logarithm",
    hint="That keeps away from log(0), and moves every border. Distances that small are not "
    "chosen anyway: clamp them instead.",
)
def _(distances, n_buckets, max_distance):
    exact = n_buckets // 2
    growth = torch.log(distances / exact + 1) / math.log(max_distance / exact)
    far = (exact + growth * (n_buckets - exact)).long().clamp(max=n_buckets - 1)
    return torch.where(distances < exact, distances, far)


@relative_buckets.mistake(
    "no last bucket",
    hint="From max_distance on, all distances share bucket n_buckets - 1. Yours go on counting, "
    "and soon point beyond the table.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, clamped=False)


@relative_buckets.mistake(
    "wide buckets of equal width",
    hint="You cut the far half into equal pieces. The pieces should grow with the distance: take "
    "the logarithm.",
)
def _(distances, n_buckets, max_distance):
    exact = n_buckets // 2
    share = (distances - exact) / (max_distance - exact)
    far = (exact + share * (n_buckets - exact)).long().clamp(max=n_buckets - 1)
    return torch.where(distances < exact, distances, far)


@relative_buckets.mistake(
    "one bucket a distance, to the end",
    hint="The near half is right. From distance n_buckets // 2 on, several distances have to share "
    "a bucket, or there are none left for far ones.",
)
def _(distances, n_buckets, max_distance):
    return distances.clamp(max=n_buckets - 1)


@relative_buckets.mistake(
    "the far buckets start again at zero",
    hint="The logarithm counts from 0 at distance n_buckets // 2. Those buckets come after the "
    "exact ones: add n_buckets // 2.",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, start=0)


@relative_buckets.mistake(
    "the logarithm is not stretched",
    hint="log(distance / exact) has to run from 0 to 1 between exact and max_distance before it is "
    "multiplied: divide it by log(max_distance / exact).",
)
def _(distances, n_buckets, max_distance):
    return _bucketed(distances, n_buckets, max_distance, scale=1.0)
