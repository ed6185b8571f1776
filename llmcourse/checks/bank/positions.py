"""The exercises on positions: from clock hands to the bug that makes a model stutter.

Angles are in radians. Shapes are given in the letters of `shapes.py`; P is the number of pairs. Not
here: biases and buckets (`distances.py`), the exercises' texts (`solutions/`), and how checking
works (`harness.py`). Chapter 04 teaches this.
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


@exercise(CHAPTER, axes="T D", tolerance=ANGLES, read="2. Could each token wear a clock?")
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
    "pairs counted from one",
    hint="The first pair is number 0, and turns by one radian a token: 10000 to the power 0. Yours "
    "begins with the second.",
)
def _(n_positions, d_model):
    pair = torch.arange(1, d_model // 2 + 1)
    angles = torch.outer(torch.arange(n_positions).float(), 10_000.0 ** (-2 * pair / d_model))
    return _interleaved(angles.sin(), angles.cos())


@sinusoids.mistake(
    "the exponent runs up to 1",
    hint="Some libraries let the last hand turn exactly 10000 times as slowly. Here the exponent "
    "is 2i / D, and i ends at D/2 - 1.",
)
def _(n_positions, d_model):
    pair = torch.arange(d_model // 2) / max(d_model // 2 - 1, 1)
    angles = torch.outer(torch.arange(n_positions).float(), 10_000.0**-pair)
    return _interleaved(angles.sin(), angles.cos())


@sinusoids.mistake(
    "turns, not radians",
    hint="`sin` and `cos` want radians, and the formula has no 2 pi: hand 0 makes one radian a "
    "token, not a whole turn.",
)
def _(n_positions, d_model):
    angles = 2 * math.pi * _angles(n_positions, d_model)
    return _interleaved(angles.sin(), angles.cos())


@sinusoids.mistake(
    "the sines alone, in both columns",
    hint="Column 2i + 1 is the *cosine* of the same angle.",
)
def _(n_positions, d_model):
    angles = _angles(n_positions, d_model)
    return _interleaved(angles.sin(), angles.sin())


@sinusoids.mistake(
    "the exponent twice too large",
    hint="The exponent is 2i / D for pair i, so it ends just below 1. If your i counts columns, "
    "the 2 is in it already.",
)
def _(n_positions, d_model):
    pair = torch.arange(d_model // 2)
    angles = torch.outer(torch.arange(n_positions).float(), 10_000.0 ** (-4 * pair / d_model))
    return _interleaved(angles.sin(), angles.cos())


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


@exercise(CHAPTER, tolerance=ANGLES, variants=PLAIN, read="6. Could a position turn a vector?")
def rotate_pair(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """The pair `(a, b)`, turned by an angle: `(a cos - b sin, b cos + a sin)`."""
    return a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()


@rotate_pair.cases
def _() -> Iterator[Case]:
    sixth = torch.tensor(math.pi / 6)
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    yield case("(1, 0) by 30 degrees", one, zero, sixth)
    yield case("(0, 1) by 30 degrees", zero, one, sixth)
    yield case("(1, 0) by a quarter turn", one, zero, 3 * sixth)
    yield case("many pairs, many angles", torch.randn(5), torch.randn(5), torch.rand(5) * 3)
    yield case("one angle for many pairs", torch.randn(2, 3), torch.randn(2, 3), torch.tensor(0.7))
    yield case("many angles for one pair", 2 * one, one, torch.tensor([0.5, 1.0, 4.0]))
    yield case("no turn", torch.randn(3), torch.randn(3), torch.zeros(3))


@rotate_pair.mistake(
    "sine and cosine exchanged",
    hint="At an angle of 0 nothing should move: the cosine, which is 1 there, goes with a in the "
    "first row and with b in the second.",
)
def _(a, b, angle):
    return a * angle.sin() - b * angle.cos(), b * angle.sin() + a * angle.cos()


@rotate_pair.mistake(
    "only a is turned",
    hint="The first row is right. The second comes back as it was: it turns as well.",
)
def _(a, b, angle):
    return rotate_pair.right(a, b, angle)[0], b + 0 * angle


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


@exercise(
    CHAPTER,
    axes="T K",
    tolerance=ANGLES,
    variants=(*PLAIN, "gradients"),
    read="6. Could a position turn a vector?",
)
def rope(
    x: Float[Tensor, "T K"], positions: Int[Tensor, " T"], theta: float
) -> Float[Tensor, "T K"]:
    """Turn the pairs `(x[i], x[i + K/2])` by `position * theta ** (-2 i / K)`."""
    part = reference.RoPE(x.size(-1), theta=theta, context_length=int(positions.max()) + 1)
    return part(x[None, None], positions[None])[0, 0]


@rope.cases
def _() -> Iterator[Case]:
    by_hand = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    yield case("by hand: width 2, one radian a token", by_hand, torch.tensor([1, 0]), 100.0)
    each = torch.eye(4)[[0, 1]]
    yield case("width 4, one entry each", each, torch.tensor([1, 1]), 100.0)
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
    "each pair's speed at two neighbours, not at two halves",
    hint="Your frequencies come as w0 w0 w1 w1, which fits neighbours. With halves, entries i and "
    "i + K/2 share one: w0 w1 w0 w1.",
)
def _(x, positions, theta):
    angles = positions[:, None] * _frequencies(x.size(-1), theta).repeat_interleave(2)
    a, b = x.chunk(2, dim=-1)
    return x * angles.cos() + torch.cat([-b, a], dim=-1) * angles.sin()


@rope.mistake(
    "10,000 written in",
    hint="theta is an argument, and is not always 10,000. Llama 3 has 500,000.",
)
def _(x, positions, theta):
    return _turned(x, positions, _frequencies(x.size(-1), 10_000.0))


@rope.mistake(
    "positions counted from one",
    hint="`positions` says where a row stands. A row at position 0 is not turned at all.",
)
def _(x, positions, theta):
    return _turned(x, positions + 1, _frequencies(x.size(-1), theta))


@rope.mistake(
    "pairs counted from one",
    hint="The first pair is number 0, and turns by one radian a token. Yours begins with the "
    "second.",
)
def _(x, positions, theta):
    width = x.size(-1)
    return _turned(x, positions, theta ** (-2 * torch.arange(1, width // 2 + 1) / width))


@rope.mistake(
    "the exponent twice too large",
    hint="The exponent of pair i is 2i / K, and K is the whole width, not that of a half.",
)
def _(x, positions, theta):
    return _turned(x, positions, _frequencies(x.size(-1), theta) ** 2)


@rope.mistake(
    "degrees",
    hint="The angle is in radians already, as torch's sin and cos want it.",
)
def _(x, positions, theta):
    return _turned(x, positions * math.pi / 180, _frequencies(x.size(-1), theta))


@rope.mistake(
    "no minus sign",
    hint="With two plus signs a pair changes its length, and a rotation never does.",
)
def _(x, positions, theta):
    angles = positions[:, None] * _frequencies(x.size(-1), theta)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * angles.cos() + b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


@rope.mistake(
    "the second half uses the first half's result",
    hint="Both rows start from the old halves. You overwrote the first before the second was made.",
)
def _(x, positions, theta):
    angles = positions[:, None] * _frequencies(x.size(-1), theta)
    a, b = x.chunk(2, dim=-1)
    a = a * angles.cos() - b * angles.sin()
    return torch.cat([a, b * angles.cos() + a * angles.sin()], dim=-1)


@rope.mistake(
    "side by side, not half after half",
    hint="The pairs are turned well, and put back as neighbours. The first entries of all pairs "
    "come first, then the second ones: `torch.cat`.",
)
def _(x, positions, theta):
    a, b = _turned(x, positions, _frequencies(x.size(-1), theta)).chunk(2, dim=-1)
    return _interleaved(a, b)


@rope.mistake(
    "added, not turned",
    hint="You add sine and cosine to x, as the clock of exercise 1 is added. RoPE adds nothing: it "
    "turns each pair.",
)
def _(x, positions, theta):
    angles = positions[:, None] * _frequencies(x.size(-1), theta)
    return x + torch.cat([angles.sin(), angles.cos()], dim=-1)


@rope.mistake(
    "the same turn for every row",
    hint="Each row has its own position. Give them an axis for the pairs: `positions[:, None]`.",
)
def _(x, positions, theta):
    return _turned(x, positions[:1].expand(len(x)), _frequencies(x.size(-1), theta))


@rope.mistake(
    "the gradient is cut off",
    hint="The numbers are right, but no gradient flows back to x: look for `.item()`, `.detach()`, "
    "`torch.tensor(...)` around results, or numpy.",
)
def _(x, positions, theta):
    return _turned(x, positions, _frequencies(x.size(-1), theta)).detach()


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


# 6. Find the bug


@exercise(CHAPTER, axes="T", read="The cache that forgot to count")
def positions_of_new(n_cached: int, n_new: int) -> Int[Tensor, " T"]:
    """Where the new tokens stand when `n_cached` are in the cache: right after those."""
    return torch.arange(n_cached, n_cached + n_new)


@positions_of_new.cases
def _() -> Iterator[Case]:
    yield case("a prompt of four, nothing cached", 0, 4)
    yield case("one new token after four", 4, 1)
    yield case("three new tokens after two", 2, 3)
    yield case("the very first token", 0, 1)
    yield case("two new tokens after five", 5, 2)


@positions_of_new.mistake(
    "places counted from one",
    hint="The very first token stands at 0. With 4 in the cache, 0 to 3 are taken, and 4 is next.",
)
def _(n_cached, n_new):
    return torch.arange(n_new) + n_cached + 1


@positions_of_new.mistake(
    "moved by the number of new tokens",
    hint="How far to move is told by what is in the cache, not by how many come.",
)
def _(n_cached, n_new):
    return torch.arange(n_new) + n_new * (n_cached > 0)


@positions_of_new.mistake(
    "up to n_new, not n_new of them",
    hint="`torch.arange(a, b)` ends before b. The new tokens end before n_cached + n_new.",
)
def _(n_cached, n_new):
    return torch.arange(min(n_cached, n_new), max(n_cached, n_new))


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


@value(CHAPTER, rel=0.02, unit="tokens", read="6. Could a position turn a vector?")
def longest_wavelength() -> float:
    """How many tokens the slowest pair of Llama 3 takes to come round: K = 128, theta = 500,000."""
    return 2 * math.pi / reference.rope_frequencies(128, 500_000.0)[-1].item()


@longest_wavelength.mistake(
    "theta itself",
    hint="theta is the base of the frequencies. A wave is 2 pi over a frequency.",
)
def _():
    return 500_000


@longest_wavelength.mistake(
    "the last pair but one",
    hint="Pairs are numbered from 0 to 63: the last exponent is 126/128. Is your K 128? With heads "
    "of 64, the same number comes out.",
)
def _():
    return 2 * math.pi * 500_000.0 ** (62 / 64)


@longest_wavelength.mistake(
    "the base of the first transformers",
    hint="10,000 is the old base. Llama 3 has theta = 500,000.",
)
def _():
    return 2 * math.pi * 10_000.0 ** (126 / 128)


@longest_wavelength.mistake(
    "degrees",
    hint="You divided 360 by a frequency in radians. A whole turn has 2 pi radians.",
)
def _():
    return 360 * 500_000.0 ** (126 / 128)


@longest_wavelength.mistake(
    "half a turn",
    hint="After half a turn a pair points the opposite way. Back where it was: 2 pi.",
)
def _():
    return longest_wavelength.right() / 2


@longest_wavelength.mistake(
    "entries counted, not pairs",
    hint="Pair 63 is the last, and its exponent is 2 · 63 / 128. You took 127/128: that counts "
    "entries.",
)
def _():
    return 2 * math.pi * 500_000.0 ** (127 / 128)


@longest_wavelength.mistake(
    "the length that it was trained on",
    hint="8192 tokens is how long the texts were. How long the slowest pair takes is told by its "
    "frequency.",
)
def _():
    return 8192


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
    read="7. Who reads on beyond what it was trained on?",
    right=(
        "c",
        "ALiBi has nothing to learn about far distances: they are further down the same slope. Its "
        "steep heads see the same window at every length, and only its flat ones spread out.",
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


@exercise(CHAPTER, axes="T P", tolerance=ANGLES, read="8. Can a trained model be stretched?")
def interpolated_angles(
    n_positions: int, head_dim: int, theta: float, factor: float
) -> Float[Tensor, "T P"]:
    """By how much each pair is turned at each position, with rotations `factor` times as slow."""
    frequencies = reference.rope_frequencies(head_dim, theta)
    slow = LinearScaling(factor)(frequencies, theta)
    return torch.outer(torch.arange(n_positions).double(), slow).float()


@interpolated_angles.cases
def _() -> Iterator[Case]:
    yield case("by hand: four positions, twice as long", 4, 4, 100.0, 2.0)
    yield case("twice as long", 5, 4, 100.0, 2.0)
    yield case("four times as long", 33, 8, 10_000.0, 4.0)
    yield case("one and a half times", 6, 2, 100.0, 1.5)
    yield case("no longer than before", 4, 6, 100.0, 1.0)
    yield case("as many positions as pairs", 3, 6, 50.0, 8.0)


@interpolated_angles.mistake(
    "NTK scaling",
    hint="That slows the first pair not at all and the last by the whole factor. Linear "
    "interpolation slows every pair alike.",
)
def _(n_positions, head_dim, theta, factor):
    base = theta * factor ** (head_dim / max(head_dim - 2, 1))
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, base))


@interpolated_angles.mistake(
    "divided twice",
    hint="Positions *or* frequencies are divided by the factor. Both together slow the rotation by "
    "its square.",
)
def _(n_positions, head_dim, theta, factor):
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, theta)) / factor**2


@interpolated_angles.mistake(
    "the exponent is divided",
    hint="You divide the exponent, which makes the slow pairs faster. Divide the angle.",
)
def _(n_positions, head_dim, theta, factor):
    slow = _frequencies(head_dim, theta) ** (1 / factor)
    return torch.outer(torch.arange(n_positions), slow)


@interpolated_angles.mistake(
    "base divided by the factor",
    hint="A smaller base makes all pairs but the first faster. Every pair should be slower, by the "
    "same factor.",
)
def _(n_positions, head_dim, theta, factor):
    return torch.outer(torch.arange(n_positions), _frequencies(head_dim, theta / factor))


@interpolated_angles.mistake(
    "the first pair is left alone",
    hint="Linear interpolation slows every pair, the fastest one too.",
)
def _(n_positions, head_dim, theta, factor):
    angles = interpolated_angles.right(n_positions, head_dim, theta, factor)
    return torch.cat([angles[:, :1] * factor, angles[:, 1:]], dim=1)


@interpolated_angles.mistake(
    "half the exponent",
    hint="There are K/2 pairs, and the exponent of pair i is 2i / K.",
)
def _(n_positions, head_dim, theta, factor):
    slow = theta ** (-torch.arange(head_dim // 2) / head_dim)
    return torch.outer(torch.arange(n_positions) / factor, slow)


@interpolated_angles.mistake(
    "10,000 written in",
    hint="theta is an argument, and is not always 10,000.",
)
def _(n_positions, head_dim, theta, factor):
    return interpolated_angles.right(n_positions, head_dim, 10_000.0, factor)


@interpolated_angles.mistake(
    "positions counted from one",
    hint="The first position is 0, where nothing is turned.",
)
def _(n_positions, head_dim, theta, factor):
    return interpolated_angles.right(n_positions + 1, head_dim, theta, factor)[1:]


@interpolated_angles.mistake(
    "an angle for each entry, not for each pair",
    hint="The result is [T, K/2]: the two entries of a pair share an angle, and it stands there "
    "once.",
)
def _(n_positions, head_dim, theta, factor):
    angles = interpolated_angles.right(n_positions, head_dim, theta, factor)
    return torch.cat([angles, angles], dim=1)


@interpolated_angles.mistake(
    "pairs as rows",
    hint="A row is a position, a column a pair: [T, K/2]. Yours is the transpose.",
)
def _(n_positions, head_dim, theta, factor):
    return interpolated_angles.right(n_positions, head_dim, theta, factor).mT


@interpolated_angles.mistake(
    "the cosines of the angles",
    hint="The angles themselves are asked for, before any sine or cosine.",
)
def _(n_positions, head_dim, theta, factor):
    return interpolated_angles.right(n_positions, head_dim, theta, factor).cos()


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
