"""The exercises on positions: from clock hands to the bug that makes a model stutter.

Angles are in radians, offsets and distances in tokens. Shapes are given in the letters of
`shapes.py`; P is the number of pairs. Not here: the exercises' texts (`solutions/`), and how
checking works (`harness.py`). Chapter 04 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn import positions as reference
from llmcourse.nn.rope_scaling import LinearScaling

CHAPTER = "04"
ANGLES = 1e-4
"""How far off turned numbers may be: angles of some dozens of radians, in single precision."""
PLAIN = ("non-contiguous",)


def _frequencies(width: int, theta: float) -> Tensor:
    return reference.rope_frequencies(width, theta).float()


# 1. Clock hands


@exercise(CHAPTER, axes="T D", tolerance=ANGLES)
def sinusoids(n_positions: int, d_model: int) -> Float[Tensor, "T D"]:
    """`sin(t w)` in even columns and `cos(t w)` in odd ones, with `w = 10000 ** (-2 i / D)`."""
    return reference.sinusoids(n_positions, d_model)


@sinusoids.cases
def _() -> Iterator[Case]:
    yield case("two positions, width 4", 2, 4)
    yield case("thirty positions, width 16", 30, 16)
    yield case("one pair", 7, 2)
    yield case("one position", 1, 6)


def _interleaved(first: Tensor, second: Tensor) -> Tensor:
    return torch.stack([first, second], dim=-1).flatten(-2)


def _angles(n_positions: int, width: int) -> Tensor:
    return torch.outer(torch.arange(n_positions), _frequencies(width, 10_000.0))


@sinusoids.mistake(
    "all sines first, then all cosines",
    hint="The numbers are right, the columns are not: sine and cosine of one hand stand side by "
    "side, in columns 2i and 2i + 1.",
)
def _(n_positions, d_model):
    angles = _angles(n_positions, d_model)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


@sinusoids.mistake(
    "cosine before sine",
    hint="Position 0 should begin with sin(0) = 0. Yours begins with 1.",
)
def _(n_positions, d_model):
    angles = _angles(n_positions, d_model)
    return _interleaved(angles.cos(), angles.sin())


@sinusoids.mistake(
    "half the exponent",
    hint="The exponent is 2i / D for the i-th pair, so the last hand turns about 10000 times as "
    "slowly as the first. Yours turns only about 100 times as slowly.",
)
def _(n_positions, d_model):
    slow = 10_000.0 ** (-torch.arange(d_model // 2) / d_model)
    angles = torch.outer(torch.arange(n_positions).float(), slow)
    return _interleaved(angles.sin(), angles.cos())


@sinusoids.mistake(
    "every column has its own speed",
    hint="Sine and cosine in columns 2i and 2i + 1 belong to one hand: they share a frequency. "
    "With two frequencies they are no circle.",
)
def _(n_positions, d_model):
    column = torch.arange(d_model)
    angles = torch.outer(torch.arange(n_positions).float(), 10_000.0 ** (-column / d_model))
    return torch.where(column % 2 == 0, angles.sin(), angles.cos())


@sinusoids.mistake(
    "counted from one",
    hint="The first position is 0: all hands at noon, so its row is 0 1 0 1 and so on.",
)
def _(n_positions, d_model):
    return reference.sinusoids(n_positions + 1, d_model)[1:]


# 2. Turn a pair


@exercise(CHAPTER, tolerance=ANGLES, variants=PLAIN)
def rotate_pair(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The pair `(a, b)`, turned by an angle: `(a cos - b sin, b cos + a sin)`."""
    return a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()


@rotate_pair.cases
def _() -> Iterator[Case]:
    quarter = torch.tensor(math.pi / 2)
    yield case("(1, 0) by a quarter turn", torch.tensor(1.0), torch.tensor(0.0), quarter)
    yield case("many pairs, many angles", torch.randn(5), torch.randn(5), torch.rand(5) * 3)
    yield case("one angle for many pairs", torch.randn(2, 3), torch.randn(2, 3), torch.tensor(0.7))
    yield case("no turn", torch.randn(3), torch.randn(3), torch.zeros(3))


@rotate_pair.mistake(
    "turned the other way",
    hint="A quarter turn takes (1, 0) to (0, 1). Yours takes it to (0, -1): the minus sign "
    "belongs to the other row.",
)
def _(a, b, angle):
    return a * angle.cos() + b * angle.sin(), b * angle.cos() - a * angle.sin()


@rotate_pair.mistake(
    "the second row uses the first row's result",
    hint="Both rows start from the old a and b. You overwrote a before b was computed.",
)
def _(a, b, angle):
    turned = a * angle.cos() - b * angle.sin()
    return turned, b * angle.cos() + turned * angle.sin()


@rotate_pair.mistake(
    "no minus sign",
    hint="With two plus signs the pair changes its length, and a rotation never does. Check by "
    "a² + b².",
)
def _(a, b, angle):
    return a * angle.cos() + b * angle.sin(), b * angle.cos() + a * angle.sin()


@rotate_pair.mistake(
    "degrees",
    hint="The angle is in radians already, as torch's sin and cos want it.",
)
def _(a, b, angle):
    return rotate_pair.right(a, b, angle * math.pi / 180)


# 3. RoPE


@exercise(CHAPTER, axes="T K", tolerance=ANGLES, variants=PLAIN)
def rope(
    x: Float[Tensor, "T K"], positions: Int[Tensor, " T"], theta: float
) -> Float[Tensor, "T K"]:
    """Turn the pairs `(x[i], x[i + K/2])` by `position * theta ** (-2 i / K)`."""
    part = reference.RoPE(x.size(-1), theta=theta, context_length=int(positions.max()) + 1)
    return part(x[None, None], positions[None])[0, 0]


@rope.cases
def _() -> Iterator[Case]:
    yield case("by hand: width 2, one radian a token", torch.eye(2), torch.tensor([0, 1]), 100.0)
    yield case("width 4", torch.randn(3, 4), torch.arange(3), 100.0)
    yield case(
        "width 8, far into the text", torch.randn(3, 8), torch.tensor([20, 21, 22]), 10_000.0
    )
    yield case("positions in any order", torch.randn(4, 6), torch.tensor([7, 0, 7, 3]), 50.0)


def _turned(x: Tensor, positions: Tensor, frequencies: Tensor, sign: float = 1.0) -> Tensor:
    angles = positions[:, None] * frequencies
    a, b = x.chunk(2, dim=-1)
    cosines, sines = angles.cos(), sign * angles.sin()
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines], dim=-1)


@rope.mistake(
    "neighbours paired, not halves",
    hint="You turn (x[0], x[1]), as the paper does. Here entry i belongs to entry i + K/2. Both "
    "are fine for a model of your own; weights made for one are noise in the other.",
)
def _(x, positions, theta):
    angles = positions[:, None] * _frequencies(x.size(-1), theta)
    a, b = x[:, 0::2], x[:, 1::2]
    return _interleaved(a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())


@rope.mistake(
    "turned the other way",
    hint="The pair (1, 0) at a small angle becomes (cos, sin), with a plus. As long as queries and "
    "keys turn alike scores do not notice, but loaded weights do.",
)
def _(x, positions, theta):
    return _turned(x, positions, _frequencies(x.size(-1), theta), sign=-1.0)


@rope.mistake(
    "rows counted, positions ignored",
    hint="Row 0 need not stand at position 0: that is what `positions` is for.",
)
def _(x, positions, theta):
    return _turned(x, torch.arange(len(x)), _frequencies(x.size(-1), theta))


@rope.mistake(
    "one speed for all pairs",
    hint="Every pair turns by one radian a token. Pair i should turn by theta ** (-2i / K).",
)
def _(x, positions, theta):
    return _turned(x, positions, torch.ones(x.size(-1) // 2))


@rope.mistake(
    "half the exponent",
    hint="There are K/2 pairs, and the exponent runs over 2i / K: 0, 2/K, 4/K and so on, nearly "
    "to 1. Yours stops half way.",
)
def _(x, positions, theta):
    width = x.size(-1)
    return _turned(x, positions, theta ** (-torch.arange(width // 2) / width))


@rope.mistake(
    "the slow pairs first",
    hint="The exponent is negative: pair 0 turns fastest, by one radian a token, and the others "
    "more slowly. Yours get faster.",
)
def _(x, positions, theta):
    return _turned(x, positions, 1 / _frequencies(x.size(-1), theta))


# 4. ALiBi


@exercise(CHAPTER, axes="H T S")
def alibi_bias(n_heads: int, n_queries: int, n_keys: int) -> Float[Tensor, "H T S"]:
    """`-slope * (t - s)` for each head; the last query stands at the last key."""
    return reference.ALiBi(n_heads)(n_queries, n_keys)


@alibi_bias.cases
def _() -> Iterator[Case]:
    yield case("eight heads, three tokens", 8, 3, 3)
    yield case("two heads", 2, 4, 4)
    yield case("one new token, five keys", 4, 1, 5)
    yield case("sixteen heads", 16, 2, 3)


def _biased(n_queries: int, n_keys: int, slopes: Tensor, sign: float = -1.0) -> Tensor:
    distances = reference.offsets(n_queries, n_keys).abs()
    return sign * slopes[:, None, None] * distances


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


@exercise(CHAPTER, axes="T", variants=PLAIN)
def relative_buckets(
    distances: Int[Tensor, " T"], n_buckets: int, max_distance: int
) -> Int[Tensor, " T"]:
    """The bucket of each distance `t - s >= 0`: half of them exact, the others ever wider."""
    return reference.relative_buckets(-distances, n_buckets, max_distance)


@relative_buckets.cases
def _() -> Iterator[Case]:
    yield case("8 buckets to distance 16", torch.arange(15), 8, 16)
    yield case("T5's own", torch.tensor([0, 1, 15, 16, 20, 27, 40, 100, 127]), 32, 128)
    yield case("beyond the end", torch.tensor([15, 16, 17, 400, 5000]), 8, 16)
    yield case("few buckets", torch.arange(1, 7), 4, 8)


def _bucketed(distances: Tensor, n_buckets: int, max_distance: int, **change: float) -> Tensor:
    exact = n_buckets // 2
    scale = change.get("scale", math.log(max_distance / exact))
    start = change.get("start", exact)
    growth = torch.log(distances.clamp(min=1) / exact) / scale
    far = (start + growth * (n_buckets - exact)).long()
    last = n_buckets - 1
    far = far.clamp(max=last) if change.get("clamped", True) else far
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


# 6. Find the bug


@exercise(CHAPTER, axes="T")
def positions_of_new(n_cached: int, n_new: int) -> Int[Tensor, " T"]:
    """Where the new tokens stand when `n_cached` are in the cache: right after those."""
    return torch.arange(n_cached, n_cached + n_new)


@positions_of_new.cases
def _() -> Iterator[Case]:
    yield case("a prompt of four, nothing cached", 0, 4)
    yield case("one new token after four", 4, 1)
    yield case("three new tokens after two", 2, 3)
    yield case("the very first token", 0, 1)


@positions_of_new.mistake(
    "every call starts at position 0",
    hint="That is the bug you were given. The tokens in the cache have taken the first places.",
)
def _(n_cached, n_new):
    return torch.arange(n_new)


@positions_of_new.mistake(
    "one place too far",
    hint="Four tokens in the cache stand at 0, 1, 2, 3. The next free place is 4, not 5.",
)
def _(n_cached, n_new):
    return torch.arange(n_new) + n_cached + (n_cached > 0)


@positions_of_new.mistake(
    "the last cached token's place is taken again",
    hint="With n tokens cached, the last of them stands at n - 1. The new one stands behind it.",
)
def _(n_cached, n_new):
    return torch.arange(n_new) + max(n_cached - 1, 0)


@positions_of_new.mistake(
    "all new tokens at one place",
    hint="Several tokens may be new at once, such as a prompt. Each stands one place further.",
)
def _(n_cached, n_new):
    return torch.full((n_new,), n_cached)


@positions_of_new.mistake(
    "the cached tokens' places come along",
    hint="The cached keys were turned when they came. Only the new tokens are asked for: the "
    "result has n_new entries.",
)
def _(n_cached, n_new):
    return torch.arange(n_cached + n_new)


# 7. Predict, then measure


@value(CHAPTER, rel=0.02, unit="tokens")
def longest_wavelength() -> float:
    """How many tokens the slowest pair of Llama 3 takes to come round: K = 128, theta = 500,000."""
    return 2 * math.pi / reference.rope_frequencies(128, 500_000.0)[-1].item()


@longest_wavelength.mistake(
    "radians, not turns",
    hint="That is the number of tokens for one radian. A whole turn has 2 pi of them.",
)
def _():
    return longest_wavelength.right() / (2 * math.pi)


@longest_wavelength.mistake(
    "one pair too many",
    hint="Pairs are counted from 0: the last of 64 is number 63, and the exponent is 126/128.",
)
def _():
    return 2 * math.pi * 500_000.0


@longest_wavelength.mistake(
    "the frequency, not the wavelength",
    hint="That is how far the pair turns in one token. How many tokens make a whole turn?",
)
def _():
    return 2 * math.pi / longest_wavelength.right()


@longest_wavelength.mistake(
    "half the exponent",
    hint="The exponent of pair i is 2i / K. You took i / K.",
)
def _():
    return 2 * math.pi * 500_000.0 ** (63 / 128)


@longest_wavelength.mistake(
    "the fastest pair",
    hint="Pair 0 comes round after 2 pi tokens, in every model. Which pair is the slowest?",
)
def _():
    return 2 * math.pi


# 8. A longer context

which_reads_on = choice(
    CHAPTER,
    "which_reads_on",
    right=(
        "c",
        "ALiBi has nothing to learn about far distances: they are further down the same slope. "
        "Each head goes on seeing what it saw in training.",
    ),
    wrong={
        "a": "A table has as many rows as it was given. Nobody trained a row 512.",
        "b": "The formula goes on for ever, but the network behind it has never met these vectors. "
        "In the chapter's experiment this one broke first.",
        "d": "The slow pairs reach angles that training never showed, and scores run wild. It "
        "can be rescued, by slowing the rotation down.",
        "e": "Nothing is out of range here, but softmax now spreads over four times as many keys, "
        "and nothing tells near from far. In the chapter's experiment it fell apart, too.",
    },
)


@exercise(CHAPTER, axes=("T", None), tolerance=ANGLES)
def interpolated_angles(
    n_positions: int, head_dim: int, theta: float, factor: float
) -> Float[Tensor, "T P"]:
    """By how much each pair is turned at each position, with rotations `factor` times as slow."""
    frequencies = reference.rope_frequencies(head_dim, theta)
    slow = LinearScaling(factor)(frequencies, theta)
    return torch.outer(torch.arange(n_positions).double(), slow).float()


@interpolated_angles.cases
def _() -> Iterator[Case]:
    yield case("twice as long", 5, 4, 100.0, 2.0)
    yield case("four times as long", 33, 8, 10_000.0, 4.0)
    yield case("one and a half times", 6, 2, 100.0, 1.5)
    yield case("no longer than before", 4, 6, 100.0, 1.0)


@interpolated_angles.mistake(
    "faster, not slower",
    hint="Position 8 should now look as position 4 did. You multiplied where you should divide.",
)
def _(n_positions, head_dim, theta, factor):
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, theta)) * factor


@interpolated_angles.mistake(
    "positions rounded to whole ones",
    hint="Position 1 of 2 now stands at one half. With `//` neighbours fall on the same place, and "
    "the model cannot tell them apart.",
)
def _(n_positions, head_dim, theta, factor):
    places = (torch.arange(n_positions) // factor).float()
    return torch.outer(places, _frequencies(head_dim, theta))


@interpolated_angles.mistake(
    "a larger base instead",
    hint="You scaled theta, which slows the last pairs and leaves the first as it is. That is the "
    "idea of NTK scaling. Linear interpolation slows every pair alike.",
)
def _(n_positions, head_dim, theta, factor):
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, theta * factor))


@interpolated_angles.mistake(
    "not slowed at all",
    hint="These are the plain angles. Where does the factor come in?",
)
def _(n_positions, head_dim, theta, factor):
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, theta))
