"""Rarer mistakes of the exercises on int8. Chapter 17 teaches this."""

import math

import torch

from llmcourse.checks.bank.quantising import int8_bytes, to_int8


def _rows(weight, *, size=None, top=127, rounded=torch.round, low=-128, shift=0, zero=1.0):
    """Rows to int8, with the size that makes a scale, or how it is rounded, exchanged."""
    most = weight.abs().amax(1, keepdim=True) if size is None else size(weight)
    scale = (most / top).where(most != 0, zero)
    whole = rounded(weight / scale + shift).nan_to_num(0.0).clamp(low, 127)
    return whole.to(torch.int8), scale


@to_int8.mistake(
    "a scale above a tiny number for all",
    hint="You keep every scale above 1e-8. Small rows have small scales: only a row of zeros is an "
    "exception.",
)
def _(weight):
    most = weight.abs().amax(1, keepdim=True)
    scale = (most / 127).clamp(min=1e-8).where(most != 0, 1.0)
    return (weight / scale).round().to(torch.int8), scale


@to_int8.mistake(
    "the largest weight, with its sign",
    hint="You take the largest weight, not the largest magnitude. A negative one may be larger.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.amax(1, keepdim=True))


@to_int8.mistake(
    "minus the smallest weight",
    hint="You take the size of the smallest weight. The largest magnitude may be positive.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.amin(1, keepdim=True).abs())


@to_int8.mistake(
    "half of the range",
    hint="You take half the distance between smallest and largest. The largest magnitude is asked "
    "for.",
)
def _(weight):
    return _rows(weight, size=lambda w: (w.amax(1, keepdim=True) - w.amin(1, keepdim=True)) / 2)


@to_int8.mistake(
    "the whole range",
    hint="You divide the distance between smallest and largest by 255. There is no offset here: "
    "the largest magnitude divides by 127.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.amax(1, keepdim=True) - w.amin(1, keepdim=True), top=255)


@to_int8.mistake(
    "three standard deviations",
    hint="You make the scale from the row's spread. Its largest magnitude is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: 3 * w.std(1, keepdim=True, correction=0))


@to_int8.mistake(
    "the mean of the magnitudes",
    hint="You make the scale from the mean magnitude. The largest one is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.abs().mean(1, keepdim=True))


@to_int8.mistake(
    "a quantile of the magnitudes",
    hint="You take the 99th percentile of the magnitudes, so that outliers are cut off. The "
    "largest is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.abs().quantile(0.99, dim=1, keepdim=True))


@to_int8.mistake(
    "all but a thousandth of the magnitudes",
    hint="You take the 99.9th percentile of the magnitudes, a little below the largest one. The "
    "largest itself is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.abs().quantile(0.999, dim=1, keepdim=True), low=-127)


@to_int8.mistake(
    "a whole number for the zero point",
    hint="You shift the row so that its smallest weight becomes -128. Here 0 stays 0, and the "
    "largest magnitude becomes 127.",
)
def _(weight):
    lowest = weight.amin(1, keepdim=True)
    step = (weight.amax(1, keepdim=True) - lowest) / 255
    step = step.where(step != 0, 1.0)
    zero = (-128 - lowest / step).round()
    return (weight / step + zero).round().clamp(-128, 127).to(torch.int8), step


@to_int8.mistake(
    "the first weight's magnitude",
    hint="You make a row's scale from its first weight. Its largest magnitude is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w[:, :1].abs())


@to_int8.mistake(
    "127.5 in place of 127",
    hint="You divide by 127.5. The largest magnitude becomes 127.",
)
def _(weight):
    return _rows(weight, top=127.5)


@to_int8.mistake(
    "256 in place of 127",
    hint="You divide by 256, all that a byte can say. Whole numbers go from −127 to 127.",
)
def _(weight):
    return _rows(weight, top=256)


@to_int8.mistake(
    "a power of two as the scale",
    hint="You round each scale up to a power of two. It is the largest magnitude over 127.",
)
def _(weight):
    most = weight.abs().amax(1, keepdim=True)
    scale = (2 ** (most / 127).log2().ceil()).where(most != 0, 1.0)
    return (weight / scale).round().to(torch.int8), scale


@to_int8.mistake(
    "half a step down",
    hint="You round half a step down. It goes to the even neighbour.",
)
def _(weight):
    return _rows(weight, rounded=lambda x: (x - 0.5).ceil())


@to_int8.mistake(
    "rounded by chance",
    hint="You round up or down by chance. Round to the nearest.",
)
def _(weight):
    return _rows(weight, rounded=lambda x: (x + torch.rand_like(x)).floor())


@to_int8.mistake(
    "scales rounded to half precision",
    hint="Your scales have been rounded to 16 bits on their way. Keep the precision of the "
    "weights.",
)
def _(weight):
    most = weight.abs().amax(1, keepdim=True)
    scale = (most / 127).half().to(weight.dtype).where(most != 0, 1.0)
    return (weight / scale).round().clamp(-128, 127).nan_to_num(0.0).to(torch.int8), scale


@to_int8.mistake(
    "the first row's scale for all",
    hint="You use the first row's scale for all rows. Each has its own.",
)
def _(weight):
    return _rows(weight, size=lambda w: w[:1].abs().amax().expand(len(w), 1))


def _bytes(shapes, *, scale=4, each=4, scaled=None, matrix=None, many=None, one=1):
    """The bytes, with what a scale takes, which shapes are matrices, or a number, exchanged."""
    total = 0
    for shape in shapes:
        n = math.prod(shape)
        if matrix(shape) if matrix else len(shape) == 2:
            rows = scaled(shape) if scaled else shape[0]
            total += n * one + scale * rows
        else:
            total += each * (many(shape) if many else n)
    return total


@int8_bytes.mistake(
    "a scale for each number",
    hint="You count four bytes for each number of a matrix, as its scale. A row has one.",
)
def _(shapes):
    return _bytes(shapes, scaled=math.prod)


@int8_bytes.mistake(
    "a vector as a matrix of one row",
    hint="You store a vector in int8, as one row. It stays float32.",
)
def _(shapes):
    return _bytes(
        shapes, matrix=lambda s: len(s) in (1, 2), scaled=lambda s: s[0] if len(s) == 2 else 1
    )


@int8_bytes.mistake(
    "a matrix of one row left alone",
    hint="You leave matrices of one row in float32. Two numbers make a matrix.",
)
def _(shapes):
    return _bytes(shapes, matrix=lambda s: len(s) == 2 and s[0] > 1)


@int8_bytes.mistake(
    "a matrix with a side of one left alone",
    hint="You take a shape with a 1 in it for a vector. Two numbers make a matrix.",
)
def _(shapes):
    return _bytes(shapes, matrix=lambda s: len(s) == 2 and min(s) > 1)


@int8_bytes.mistake(
    "more than two axes left out",
    hint="You count nothing for shapes with more than two axes. They stay float32.",
)
def _(shapes):
    return _bytes([s for s in shapes if len(s) <= 2])


@int8_bytes.mistake(
    "in whole KiB",
    hint="You return KiB. Bytes are asked for.",
)
def _(shapes):
    return _bytes(shapes) // 1024


@to_int8.mistake(
    "one more step below zero",
    hint="You let a negative largest weight become −128. The largest magnitude becomes ±127.",
)
def _(weight):
    most = weight.amax(1, keepdim=True) / 127
    least = -weight.amin(1, keepdim=True) / 128
    scale = torch.maximum(most, least)
    scale = scale.where(weight.abs().amax(1, keepdim=True) != 0, 1.0)
    return (weight / scale).round().clamp(-128, 127).to(torch.int8), scale


@to_int8.mistake(
    "the scale that loses least",
    hint="You try smaller scales, and take the one with the least error. A row's scale is its "
    "largest magnitude over 127.",
)
def _(weight):
    scale = _rows(weight)[1]
    tries = [scale * k / 20 for k in range(12, 21)]
    backs = [((weight / s).round().clamp(-127, 127) * s - weight).pow(2).sum(1) for s in tries]
    best = torch.stack(backs).argmin(0)
    scale = torch.stack(tries)[best, torch.arange(len(weight))]
    return (weight / scale).round().clamp(-127, 127).to(torch.int8), scale


@to_int8.mistake(
    "blocks of two",
    hint="You give the two halves of a row scales of their own, and return one. A row has one "
    "scale.",
)
def _(weight):
    half = max(weight.size(1) // 2, 1)
    parts = [_rows(p) for p in (weight[:, :half], weight[:, half:]) if p.size(1)]
    return torch.cat([w for w, _ in parts], 1), parts[0][1]


@to_int8.mistake(
    "the root of the mean square",
    hint="You make the scale from the root of the mean square. The largest magnitude is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.pow(2).mean(1, keepdim=True).sqrt())


@to_int8.mistake(
    "signs alone",
    hint="You keep the signs and the mean magnitude, one bit a weight. Whole numbers up to 127 are "
    "asked for.",
)
def _(weight):
    return weight.sign().to(torch.int8), weight.abs().mean(1, keepdim=True)


@to_int8.mistake(
    "the last weight's magnitude",
    hint="You make a row's scale from its last weight. Its largest magnitude is asked for.",
)
def _(weight):
    return _rows(weight, size=lambda w: w[:, -1:].abs())


@to_int8.mistake(
    "the second largest magnitude",
    hint="You leave the largest magnitude out, and cut it off. It makes the scale.",
)
def _(weight):
    return _rows(weight, size=lambda w: w.abs().sort(1).values[:, -2:-1])


@to_int8.mistake(
    "a millionth added to each scale",
    hint="You add a small number to the scales. Nothing is added: a row of zeros alone is special.",
)
def _(weight):
    scale = weight.abs().amax(1, keepdim=True) / 127
    scale = (scale + 1e-6).where(scale != 0, 1.0)
    return (weight / scale).round().to(torch.int8), scale


@int8_bytes.mistake(
    "the first number of a shape is its rows, a vector's, too",
    hint="You give each number of a vector a scale of its own besides its four bytes.",
)
def _(shapes):
    return _bytes(shapes) + sum(4 * s[0] for s in shapes if len(s) == 1)


@int8_bytes.mistake(
    "a header for each tensor",
    hint="You count eight bytes for each tensor's header. The numbers and scales alone count.",
)
def _(shapes):
    return _bytes(shapes) + 8 * len(shapes)


@int8_bytes.mistake(
    "a scale for each block of 32",
    hint="You count a scale for each 32 weights of a row. A row has one.",
)
def _(shapes):
    return _bytes(shapes, scaled=lambda s: s[0] * math.ceil(s[1] / 32))


@int8_bytes.mistake(
    "the first matrix in float32",
    hint="You leave the first matrix, as an embedding, in float32. All matrices are stored in "
    "int8.",
)
def _(shapes):
    first = next((s for s in shapes if len(s) == 2), None)
    if first is None:
        return _bytes(shapes)
    return _bytes(shapes) - _bytes([first]) + 4 * math.prod(first)


@int8_bytes.mistake(
    "square matrices alone",
    hint="You store square matrices alone in int8. Two numbers make a matrix.",
)
def _(shapes):
    return _bytes(shapes, matrix=lambda s: len(s) == 2 and s[0] == s[1])


@int8_bytes.mistake(
    "in MiB",
    hint="You return MiB. Bytes are asked for.",
)
def _(shapes):
    return _bytes(shapes) / 2**20


@int8_bytes.mistake(
    "in thousands",
    hint="You return kB. Bytes are asked for.",
)
def _(shapes):
    return _bytes(shapes) / 1000


@int8_bytes.mistake(
    "how many times smaller",
    hint="You return how many times smaller the model becomes. Its bytes are asked for.",
)
def _(shapes):
    return 4 * sum(map(math.prod, shapes)) / max(_bytes(shapes), 1)
