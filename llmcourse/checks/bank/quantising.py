"""The exercises on whole numbers for weights: int8, how many bytes, one scale or many.

Not here: the exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 17
teaches this.
"""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from llmcourse.checks.answers import value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn.int8 import quantize_rows

CHAPTER = "17"
SMALL = "4. Can the numbers be smaller?"

# 2. Quantise


@exercise(CHAPTER, axes=("N D", "N 1"), read=SMALL)
def to_int8(weight: Float[Tensor, "N D"]) -> tuple[Int8[Tensor, "N D"], Float[Tensor, "N 1"]]:
    """Whole numbers and scales, by the largest magnitude of each row."""
    return tuple(quantize_rows(weight))


@to_int8.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[1.27, -0.504, 0.004]]))
    yield case("four rows", torch.randn(4, 6))
    yield case("rows of different size", torch.randn(3, 5) * torch.tensor([[1e-3], [1.0], [500.0]]))
    yield case("the largest is negative", torch.tensor([[0.5, -2.0, 1.0], [-3.0, 1.0, 0.2]]))
    yield case("all negative", -torch.rand(2, 4) - 0.5)
    yield case("a row of zeros", torch.tensor([[0.0, 0.0], [1.0, -0.3]]))
    yield case("a tiny row", torch.tensor([[3e-9, -1e-9, 2e-9], [1.0, -0.3, 0.2]]))
    yield case("square", torch.randn(5, 5))
    yield case("half a step", torch.tensor([[127.0, 0.5, 1.5, -2.5, -0.5]]))


def _int8(weight, *, axis=1, steps=127, largest=None, how=torch.round):
    largest = weight.abs().amax(axis, keepdim=True) if largest is None else largest
    scales = torch.where(largest > 0, largest / steps, torch.ones_like(largest))
    return how(weight / scales).to(torch.int8), scales


@to_int8.mistake(
    "cut off, not rounded",
    hint="`.to(torch.int8)` cuts digits off towards 0. Round first: that halves the error.",
)
def _(weight):
    return _int8(weight, how=torch.trunc)


@to_int8.mistake("128 steps", hint="The largest becomes 127: 128 does not fit into int8.")
def _(weight):
    return _int8(weight, steps=128, how=lambda x: x.round().clamp(-127, 127))


@to_int8.mistake("one scale for all", hint="Each row has a scale of its own: the largest along D.")
def _(weight):
    values, scales = _int8(weight, largest=weight.abs().max().reshape(1, 1))
    return values, scales.expand(len(weight), 1)


@to_int8.mistake(
    "the largest, not the largest magnitude", hint="A large negative weight needs room, too: |W|."
)
def _(weight):
    largest = weight.amax(1, keepdim=True)
    scales = torch.where(largest != 0, largest / 127, torch.ones_like(largest))
    return (weight / scales).round().to(torch.int8), scales


@to_int8.mistake(
    "nothing for a row of zeros", hint="0/0 is no number. Give a row of zeros the scale 1."
)
def _(weight):
    scales = weight.abs().amax(1, keepdim=True) / 127
    return (weight / scales).round().to(torch.int8), scales


@to_int8.mistake(
    "the reciprocal of the scale", hint="`scale * value` has to give the weight back: max / 127."
)
def _(weight):
    values, scales = _int8(weight)
    return values, 1 / scales


@to_int8.mistake("floats", hint="The whole numbers are right. Store them as torch.int8.")
def _(weight):
    values, scales = _int8(weight)
    return values.float(), scales


@to_int8.mistake(
    "float32 scales", hint="The scales have the dtype of the weights, which may be float64."
)
def _(weight):
    values, scales = _int8(weight)
    return values, scales.float()


@to_int8.mistake("float64 scales", hint="The scales have the dtype of the weights: no `.double()`.")
def _(weight):
    values, scales = _int8(weight)
    return values, scales.double()


@to_int8.mistake("whole numbers in int32", hint="The numbers are right. Store them as torch.int8.")
def _(weight):
    values, scales = _int8(weight)
    return values.int(), scales


@to_int8.mistake(
    "halves rounded up",
    hint="Adding 0.5 and cutting off takes halves up. Here they go to the even neighbour: `round`.",
)
def _(weight):
    return _int8(weight, how=lambda x: (x + 0.5).floor())


@to_int8.mistake(
    "halves rounded away from 0", hint="Halves go to the even neighbour, as `torch.round` does."
)
def _(weight):
    return _int8(weight, how=lambda x: x.sign() * (x.abs() + 0.5).floor())


@to_int8.mistake(
    "a scale a column", hint="Each row has a scale of its own: the largest magnitude along D."
)
def _(weight):
    return _int8(weight, axis=0)


@to_int8.mistake("scales without an axis", hint="Keep the axis: scales are `[N, 1]` (`keepdim`).")
def _(weight):
    values, scales = _int8(weight)
    return values, scales[:, 0]


@to_int8.mistake(
    "from the smallest to the largest",
    hint="That is asymmetric quantisation. Here 0 stays 0, and the largest magnitude becomes 127.",
)
def _(weight):
    low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    scales = torch.where(high > low, (high - low) / 255, torch.ones_like(high))
    return ((weight - low) / scales).round().sub(128).to(torch.int8), scales


@to_int8.mistake(
    "half the range",
    hint="The scale is the largest magnitude over 127, not the range from smallest to largest.",
)
def _(weight):
    return _int8(weight, largest=(weight.amax(1, keepdim=True) - weight.amin(1, keepdim=True)) / 2)


def _clamped(weight, largest, steps=127):
    scales = torch.where(largest > 0, largest / steps, torch.ones_like(largest))
    return (weight / scales).round().clamp(-127, 127).to(torch.int8), scales


@to_int8.mistake(
    "the mean magnitude",
    hint="The scale comes from the largest magnitude: else it does not fit in.",
)
def _(weight):
    return _clamped(weight, weight.abs().mean(1, keepdim=True))


@to_int8.mistake(
    "the standard deviation", hint="The scale comes from the largest magnitude, not from a spread."
)
def _(weight):
    return _clamped(weight, 3 * weight.std(1, keepdim=True))


@to_int8.mistake("the norm", hint="The largest magnitude is wanted, not the norm of the row.")
def _(weight):
    return _int8(weight, largest=weight.norm(dim=1, keepdim=True))


@to_int8.mistake("the first weight", hint="Look at all D weights of a row: `amax(dim=1)`.")
def _(weight):
    return _clamped(weight, weight[:, :1].abs())


@to_int8.mistake("255 steps", hint="int8 has 127 steps on each side of 0: the largest becomes 127.")
def _(weight):
    return _int8(weight, steps=255)


@to_int8.mistake("7 steps", hint="7 steps on each side of 0 are int4. In int8 there are 127.")
def _(weight):
    return _int8(weight, steps=7)


@to_int8.mistake("clipped at 126", hint="The largest becomes 127: nothing is cut off at the ends.")
def _(weight):
    return _int8(weight, how=lambda x: x.round().clamp(-126, 126))


@to_int8.mistake(
    "the largest is returned", hint="A scale is what one step is worth: the largest over 127."
)
def _(weight):
    values, _ = _int8(weight)
    return values, _int8(weight, steps=1)[1]


@to_int8.mistake(
    "scaled back", hint="Return the whole numbers themselves: whoever reads them scales them back."
)
def _(weight):
    values, scales = _int8(weight)
    return values * scales, scales


@to_int8.mistake("rounded before dividing", hint="Divide by the scale first, then round.")
def _(weight):
    scales = _int8(weight)[1]
    return (weight.round() / scales).to(torch.int8), scales


@to_int8.mistake("the whole numbers alone", hint="Two tensors are wanted: the scales, too.")
def _(weight):
    return _int8(weight)[0]


@to_int8.mistake(
    "1 for the largest of a row of zeros",
    hint="A row of zeros has the *scale* 1. You put the 1 in before you divide by 127.",
)
def _(weight):
    largest = weight.abs().amax(1, keepdim=True)
    return _int8(weight, largest=torch.where(largest > 0, largest, torch.ones_like(largest)))


@to_int8.mistake(
    "a little is added to the scale",
    hint="A small number against 0/0 changes every scale. Treat a row of zeros apart: scale 1.",
)
def _(weight):
    scales = weight.abs().amax(1, keepdim=True) / 127 + 1e-8
    return (weight / scales).round().to(torch.int8), scales


@to_int8.mistake("rows of zeros are left out", hint="Keep every row: a row of zeros has scale 1.")
def _(weight):
    return _int8(weight[weight.abs().amax(1) > 0])


@to_int8.mistake("the smallest magnitude", hint="The *largest* magnitude becomes 127: `amax`.")
def _(weight):
    return _clamped(weight, weight.abs().amin(1, keepdim=True))


@to_int8.mistake("the largest, and at least 0", hint="A negative weight may be the largest: `abs`.")
def _(weight):
    return _clamped(weight, weight.amax(1, keepdim=True).clamp(min=0))


@to_int8.mistake("without the signs", hint="int8 has signs: the magnitude is for the scale alone.")
def _(weight):
    values, scales = _int8(weight)
    return values.abs(), scales


@to_int8.mistake("nothing below 0", hint="int8 goes from −127 to 127: cut nothing off at 0.")
def _(weight):
    values, scales = _int8(weight)
    return values.clamp(min=0), scales


@to_int8.mistake("a scale for each weight", hint="One scale a row is enough: `[N, 1]`.")
def _(weight):
    values, scales = _int8(weight)
    return values, scales.expand_as(weight)


@to_int8.mistake(
    "the largest is at least 1", hint="Only a row of *zeros* is special. Small weights are not."
)
def _(weight):
    return _int8(weight, largest=weight.abs().amax(1, keepdim=True).clamp(min=1))


@to_int8.mistake("moved to the mean", hint="0 stays 0 here: take no mean away.")
def _(weight):
    return _int8(weight - weight.mean(1, keepdim=True))


@to_int8.mistake(
    "columns of scales for rows", hint="Row n has the scale n: its largest magnitude along D."
)
def _(weight):
    values, scales = _int8(weight, axis=0)
    return values, scales.mT


# 3. How many bytes?


@exercise(CHAPTER, read=SMALL)
def int8_bytes(shapes: list[list[int]]) -> int:
    """Bytes of tensors: matrices in int8 with a float32 scale a row, all else in float32."""
    sizes = [math.prod(s) + 4 * s[0] if len(s) == 2 else 4 * math.prod(s) for s in shapes]
    return sum(sizes)


@int8_bytes.cases
def _() -> Iterator[Case]:
    yield case("by hand", [[3, 10], [10]])
    yield case("a matrix", [[64, 256]])
    yield case("a vector", [[64]])
    yield case("several", [[512, 64], [64], [64, 64], [256, 64], [64]])
    yield case("nothing", [])
    yield case("a single number", [[]])
    yield case("three axes", [[8, 4, 3]])
    yield case("two of the same", [[6, 5], [6, 5], [7], [7]])
    yield case("wider and narrower", [[2, 9], [9, 2]])
    yield case("a row that is a matrix", [[1, 12]])
    yield case("a column that is a matrix", [[12, 1]])


@int8_bytes.mistake("no scales", hint="Each row of a matrix has a scale: four bytes more a row.")
def _(shapes):
    return sum(math.prod(s) if len(s) == 2 else 4 * math.prod(s) for s in shapes)


@int8_bytes.mistake("the scales of one byte each", hint="A scale is a float32: four bytes.")
def _(shapes):
    return sum(math.prod(s) + s[0] if len(s) == 2 else 4 * math.prod(s) for s in shapes)


@int8_bytes.mistake(
    "a scale a column", hint="Shapes are [out, in]. A scale belongs to an output channel: a row."
)
def _(shapes):
    return sum(math.prod(s) + 4 * s[1] if len(s) == 2 else 4 * math.prod(s) for s in shapes)


@int8_bytes.mistake("vectors in int8, too", hint="Vectors (norms, biases) stay float32.")
def _(shapes):
    return sum(math.prod(s) + (4 * s[0] if len(s) == 2 else 0) for s in shapes)


@int8_bytes.mistake("bits", hint="Wanted are bytes. A byte has eight bits.")
def _(shapes):
    return 8 * sum(math.prod(s) + 4 * s[0] if len(s) == 2 else 4 * math.prod(s) for s in shapes)


def _bytes(shapes, matrix=lambda out, d: out * d + 4 * out, other=lambda s: 4 * math.prod(s)):
    return sum(matrix(*s) if len(s) == 2 else other(s) for s in shapes)


@int8_bytes.mistake(
    "more than two axes are taken for a matrix",
    hint="Only a shape of two numbers is stored in int8. Three axes stay float32.",
)
def _(shapes):
    return sum(math.prod(s) + 4 * s[0] if len(s) >= 2 else 4 * math.prod(s) for s in shapes)


@int8_bytes.mistake(
    "a scale for each row of more than two axes",
    hint="What has three axes has no scale: it stays float32.",
)
def _(shapes):
    return sum(
        math.prod(s) + 4 * math.prod(s[:-1]) if len(s) >= 2 else 4 * math.prod(s) for s in shapes
    )


@int8_bytes.mistake(
    "a single number counts as nothing", hint="`[]` is a single number: four bytes."
)
def _(shapes):
    return _bytes(shapes, other=lambda s: 4 * math.prod(s) if s else 0)


@int8_bytes.mistake(
    "sizes are added up", hint="How many numbers a tensor holds is the product of its shape."
)
def _(shapes):
    return _bytes(shapes, other=lambda s: 4 * sum(s))


@int8_bytes.mistake("scales of two bytes", hint="Two bytes are a float16: a scale is a float32.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + 2 * out)


@int8_bytes.mistake("one scale a matrix", hint="Each *row* of a matrix has a scale of four bytes.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + 4)


@int8_bytes.mistake("a scale a row and a column", hint="There is a scale for each row, no other.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + 4 * (out + d))


@int8_bytes.mistake(
    "a scale along the longer side", hint="Shapes are [out, in]. A scale belongs to a row: `out`."
)
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + 4 * max(out, d))


@int8_bytes.mistake("a zero point, too", hint="The rounding is symmetric: a scale a row is all.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + 8 * out)


@int8_bytes.mistake("weights of four bytes", hint="In int8 a weight takes one byte.")
def _(shapes):
    return _bytes(shapes, lambda out, d: 4 * out * d + 4 * out)


@int8_bytes.mistake("all in float32", hint="A matrix is stored in int8: one byte a weight.")
def _(shapes):
    return 4 * sum(map(math.prod, shapes))


@int8_bytes.mistake("all in int8", hint="Only matrices are in int8, and their scales come on top.")
def _(shapes):
    return sum(map(math.prod, shapes))


@int8_bytes.mistake("vectors of two bytes", hint="All but matrices stays float32: four bytes.")
def _(shapes):
    return _bytes(shapes, other=lambda s: 2 * math.prod(s))


@int8_bytes.mistake("matrices alone", hint="What is no matrix counts, too: four bytes a number.")
def _(shapes):
    return _bytes(shapes, other=lambda s: 0)


@int8_bytes.mistake("a scale for all that is no matrix", hint="Only matrices have scales.")
def _(shapes):
    return _bytes(shapes, other=lambda s: 4 * math.prod(s) + 4)


@int8_bytes.mistake("numbers, not bytes", hint="Each number takes one byte or four: count these.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d + out, math.prod)


@int8_bytes.mistake("in KiB", hint="Wanted are bytes: do not divide by 1024.")
def _(shapes):
    return _bytes(shapes) / 1024


@int8_bytes.mistake("rounded up to eight", hint="Count the bytes as they are, with no padding.")
def _(shapes):
    return sum(-(-_bytes([s]) // 8) * 8 for s in shapes)


@int8_bytes.mistake("equal shapes counted once", hint="Two tensors of one shape are two tensors.")
def _(shapes):
    return _bytes({tuple(s) for s in shapes})


@int8_bytes.mistake("one by one", hint="Wanted is one number: add them up.")
def _(shapes):
    return [_bytes([s]) for s in shapes]


@int8_bytes.mistake("int4", hint="In int8 a weight takes a byte; half a byte would be int4.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out * d // 2 + 4 * out)


@int8_bytes.mistake("scales for vectors, too", hint="Only matrices have scales, and int8 weights.")
def _(shapes):
    return _bytes(
        shapes, other=lambda s: math.prod(s) + 4 * s[0] if len(s) == 1 else 4 * math.prod(s)
    )


@int8_bytes.mistake("what is saved", hint="Wanted is how much they take, not how much is saved.")
def _(shapes):
    return 4 * sum(map(math.prod, shapes)) - _bytes(shapes)


@int8_bytes.mistake("the largest tensor", hint="Add up all tensors: `sum`, not `max`.")
def _(shapes):
    return max((_bytes([s]) for s in shapes), default=0)


@int8_bytes.mistake("rows plus columns", hint="A matrix holds out · d weights, not out + d.")
def _(shapes):
    return _bytes(shapes, lambda out, d: out + d + 4 * out)


@int8_bytes.mistake(
    "one and four exchanged",
    hint="A weight takes one byte, a scale four: you have it the other way.",
)
def _(shapes):
    return _bytes(shapes, lambda out, d: 4 * out * d + out)


# 8. One scale or many?


def weights() -> Float[Tensor, "64 256"]:
    """Rows of weights of very different size, the same at each call."""
    dice = torch.Generator().manual_seed(17)
    rows = torch.randn(64, 256, generator=dice, dtype=torch.float64)
    return rows * torch.logspace(-2, 1, 64, dtype=torch.float64)[:, None]


def _error(bits: int, *, by_row: bool = True) -> float:
    """Root of the mean squared error of the small half of the rows, in that of the weights."""
    matrix = weights()
    rows = matrix if by_row else matrix.flatten()[None]
    back = quantize_rows(rows, steps=2 ** (bits - 1) - 1).dequantize().view_as(matrix)
    return float((back - matrix)[:32].norm() / matrix[:32].norm())


def _left(by_row: bool, how: Callable[[Tensor], Tensor] = torch.round) -> Tensor:
    """What rounding to int8 and back changes, with a scale a row or one for all."""
    matrix = weights()
    rows = matrix if by_row else matrix.flatten()[None]
    scales = rows.abs().amax(-1, keepdim=True) / 127
    return (how(rows / scales) * scales).view_as(matrix) - matrix


def _ratio(
    size: Callable[[Tensor], Tensor], how: Callable[[Tensor], Tensor] = torch.round
) -> float:
    """The size of the error with one scale for all, over that with one a row."""
    return float(size(_left(False, how)) / size(_left(True, how)))


@value(CHAPTER, rel=0.02, read=SMALL)
def times_worse() -> float:
    """How many times larger the error of one scale is than that of one a row, at 8 bits."""
    return _error(8, by_row=False) / _error(8)


@times_worse.mistake("the other way round", hint="One scale for all divided by one a row.")
def _():
    return _error(8) / _error(8, by_row=False)


@times_worse.mistake("the error of one scale", hint="That is one error. Divide it by the other.")
def _():
    return _error(8, by_row=False)


@times_worse.mistake(
    "over all rows", hint="Only the small half, rows 0 to 31: the large rows drown them."
)
def _():
    matrix = weights()
    one = quantize_rows(matrix.flatten()[None]).dequantize().view_as(matrix)
    each = quantize_rows(matrix).dequantize()
    return float((one - matrix).norm() / (each - matrix).norm())


@times_worse.mistake("squared", hint="Take the root: the ratio of the norms, not of the squares.")
def _():
    return (_error(8, by_row=False) / _error(8)) ** 2


@times_worse.mistake(
    "the large half", hint="Rows 0 to 31 are the small ones: `[:32]`. You took those behind."
)
def _():
    return _ratio(lambda error: error[32:].norm())


@times_worse.mistake(
    "the largest errors, or the scales",
    hint="Wanted are norms, of the errors of all 32 rows. Single ones, and scales, grow less.",
)
def _():
    return _ratio(lambda error: error[:32].abs().max())


@times_worse.mistake("the mean errors", hint="Wanted are norms: roots of sums of squares.")
def _():
    return _ratio(lambda error: error[:32].abs().mean())


@times_worse.mistake(
    "the mean of the rows' quotients", hint="One norm of all 32 rows together, once for each way."
)
def _():
    return float((_left(False)[:32].norm(dim=1) / _left(True)[:32].norm(dim=1)).mean())


@times_worse.mistake("one row", hint="Take all the rows 0 to 31, not the first alone.")
def _():
    return _ratio(lambda error: error[0].norm())


@times_worse.mistake("31 rows", hint="Rows 0 to 31 are 32 rows: `[:32]`.")
def _():
    return _ratio(lambda error: error[:31].norm())


@times_worse.mistake("33 rows", hint="Row 32 is one too many: a slice's end is not in it.")
def _():
    return _ratio(lambda error: error[:33].norm())


@times_worse.mistake("32 columns", hint="`[:32]` takes rows; `[:, :32]` takes columns.")
def _():
    return _ratio(lambda error: error[:, :32].norm())


@times_worse.mistake("rounded down", hint="Round to the nearest: cutting off is another error.")
def _():
    return _ratio(lambda error: error[:32].norm(), torch.floor)


@times_worse.mistake("cut off", hint="`.to(torch.int8)` alone cuts digits off: round first.")
def _():
    return _ratio(lambda error: error[:32].norm(), torch.trunc)


@times_worse.mistake("int4", hint="int8 has 127 steps on each side of 0; 7 are those of int4.")
def _():
    return _error(4, by_row=False) / _error(4)


@times_worse.mistake("a difference", hint="How many *times* larger: divide one by the other.")
def _():
    return float(_left(False)[:32].norm() - _left(True)[:32].norm())


@times_worse.mistake("the error of one a row", hint="That is one error. It is what you divide by.")
def _():
    return float(_left(True)[:32].norm())


@times_worse.mistake(
    "the norm of one error",
    hint="That is the norm with one scale. Divide it by that with a scale a row.",
)
def _():
    return float(_left(False)[:32].norm())


@times_worse.mistake(
    "a part of the weights",
    hint="That is the error over the weights. Wanted is one error over the other.",
)
def _():
    return _error(8)


@times_worse.mistake("in decibels", hint="Hand in the quotient itself, with no logarithm.")
def _():
    return 20 * math.log10(_error(8, by_row=False) / _error(8))


@times_worse.mistake("a scale a column", hint="A row is an output channel: its largest is along D.")
def _():
    columns = quantize_rows(weights().mT).dequantize().mT
    return float(_left(False)[:32].norm() / (columns - weights())[:32].norm())
