"""Rarer mistakes of the exercises on number formats and speed. Chapter 08 teaches this."""

import itertools

import torch

from llmcourse.checks.bank.precision import loss_scales, round_at_random, round_bf16, utilisation


def _gap(x, bits=7, exponent=torch.floor, smallest=1e-40):
    """The distance of neighbours, with another number of bits or another exponent."""
    return 2.0 ** (exponent(x.double().abs().clamp(min=smallest).log2()) - bits)


def _to_grid(x, gap, to=torch.round):
    return (to(x.double() / gap) * gap).float()


def _half_odd(x):
    return torch.where((x - x.floor()) == 0.5, 2 * torch.floor(x / 2) + 1, torch.round(x))


@round_bf16.mistake(
    "halves go down",
    hint="You send a tie to the smaller number. It goes to the neighbour with the even mantissa.",
)
def _(x):
    return _to_grid(x, _gap(x), lambda y: torch.ceil(y - 0.5))


@round_bf16.mistake(
    "halves go to the odd mantissa",
    hint="You send a tie to the neighbour with the odd mantissa. The even one wins.",
)
def _(x):
    return _to_grid(x, _gap(x), _half_odd)


@round_bf16.mistake(
    "always away from zero",
    hint="You always round away from zero. Take the nearer of the two neighbours.",
)
def _(x):
    return _to_grid(x, _gap(x), lambda y: y.sign() * y.abs().ceil())


@round_bf16.mistake(
    "rounded to eight-bit floats",
    hint="You round to a float of eight bits in all. bf16 has eight *significant* bits.",
)
def _(x):
    return _to_grid(x, _gap(x, bits=3))


@round_bf16.mistake(
    "no gap narrower than at 1",
    hint="You let the exponent be 0 at least. Below 1 it is negative, and the gaps get narrower.",
)
def _(x):
    return _to_grid(x, _gap(x, smallest=1.0))


@round_bf16.mistake(
    "small numbers get too wide a gap",
    hint="Your clamp, made for zero, catches small numbers too. Choose one far below all of them.",
)
def _(x):
    return _to_grid(x, _gap(x, smallest=1e-8))


@round_bf16.mistake(
    "rounded to 256 steps of the largest",
    hint="You divide the range of the vector into equal steps, as int8 does. A float's steps grow "
    "with the number.",
)
def _(x):
    return _to_grid(x, x.double().abs().max().clamp(min=1e-40) / 127)


@round_bf16.mistake(
    "the error in place of the number",
    hint="You return what rounding changes. Asked for is the rounded number.",
)
def _(x):
    return x - _to_grid(x, _gap(x))


@round_bf16.mistake(
    "the gap in place of the number",
    hint="You return how far neighbours are apart. Asked for is the rounded number.",
)
def _(x):
    return _gap(x).float()


@round_bf16.mistake(
    "rounded twice",
    hint="You round to more bits first and then again. The first rounding may make a tie that was "
    "none: round once.",
)
def _(x):
    half = _to_grid(x, _gap(x, bits=10))
    return _to_grid(half, _gap(half))


@round_bf16.mistake(
    "more than float16 can hold is cut",
    hint="You limit the numbers to 65,504, which is float16's largest. bf16 reaches as far as "
    "float32.",
)
def _(x):
    return _to_grid(x, _gap(x)).clamp(-65504, 65504)


def _drawn(x, draws, gap=None, up=lambda share, draws: draws < share):
    """Rounding by draws, with another gap, or another way to choose."""
    gap = _gap(x) if gap is None else gap
    lower = torch.floor(x.double() / gap)
    share = x.double() / gap - lower
    return ((lower + up(share, draws)) * gap).float()


@round_at_random.mistake(
    "noise of a whole gap",
    hint="You add the draw to the number, counted in gaps, and round to the nearest. That lies "
    "half a gap too high on average.",
)
def _(x, draws):
    gap = _gap(x)
    return (torch.round(x.double() / gap + draws) * gap).float()


@round_at_random.mistake(
    "a coin, even where nothing is to round",
    hint="You go up where the draw is below one half, even from a number that bf16 has. The share "
    "of the way is the chance.",
)
def _(x, draws):
    return _drawn(x, draws, up=lambda share, draws: draws < 0.5)


@round_at_random.mistake(
    "the draws decide ties alone",
    hint="You round to the nearest and ask the draw at ties only. Each number between two "
    "neighbours is drawn.",
)
def _(x, draws):
    return _drawn(
        x, draws, up=lambda share, draws: (share > 0.5) | ((share == 0.5) & (draws < 0.5))
    )


@round_at_random.mistake(
    "always the upper neighbour",
    hint="You take the upper neighbour wherever the number lies between two. The draw decides.",
)
def _(x, draws):
    return _drawn(x, draws, up=lambda share, _: share > 0)


@round_at_random.mistake(
    "draws of its own",
    hint="You draw new numbers. Use those that you are given: only then it can be repeated.",
)
def _(x, draws):
    return _drawn(x, torch.rand(draws.shape))


@round_at_random.mistake(
    "the share squared",
    hint="You square the share of the way. The chance is the share itself, or it is not right on "
    "average.",
)
def _(x, draws):
    return _drawn(x, draws, up=lambda share, draws: draws < share**2)


@round_at_random.mistake(
    "the draws scaled to the largest",
    hint="You divide the draws by the largest of them. They are chances already: compare them as "
    "they are.",
)
def _(x, draws):
    return _drawn(x, draws / draws.max().clamp(min=1e-9))


@round_at_random.mistake(
    "seven bits at random",
    hint="Your gap is twice too wide: that is seven significant bits. Neighbours are 2^-7 of the "
    "power of two below the number apart.",
)
def _(x, draws):
    return _drawn(x, draws, gap=_gap(x, bits=6))


@round_at_random.mistake(
    "float16 at random",
    hint="You take the neighbours in float16. Those in bf16 are eight times as far apart.",
)
def _(x, draws):
    return _drawn(x, draws, gap=_gap(x, bits=10))


@round_at_random.mistake(
    "whole numbers at random",
    hint="You go to one of the two whole numbers beside it. The neighbours are those in bf16.",
)
def _(x, draws):
    return _drawn(x, draws, gap=torch.ones(()))


@round_at_random.mistake(
    "the exponent rounded to the nearest, at random",
    hint="You round the logarithm to the nearest whole number. The exponent is the logarithm "
    "rounded down.",
)
def _(x, draws):
    return _drawn(x, draws, gap=_gap(x, exponent=torch.round))


@round_at_random.mistake(
    "the nearest, and then perhaps one up",
    hint="You round to the nearest first, and go one gap up from there. Go up from the lower "
    "neighbour.",
)
def _(x, draws):
    gap = _gap(x)
    share = x.double() / gap - torch.floor(x.double() / gap)
    return ((torch.round(x.double() / gap) + (draws < share)) * gap).float()


@round_at_random.mistake(
    "what is on average",
    hint="You return the mean of what the draws could give. One of the two neighbours is asked "
    "for.",
)
def _(x, draws):
    return x.clone()


def _scales(finite, scale, interval, good=0, grow=2.0, shrink=2.0, reset=0):
    """The scale after each step, with another factor, or another count to begin with."""
    out = []
    for fine in finite:
        if fine:
            good += 1
            if good >= interval:
                scale *= grow
                good = reset
        else:
            scale /= shrink
            good = reset
        out.append(scale)
    return out


@loss_scales.mistake(
    "the count begins at 1",
    hint="Your count begins at one, so the first doubling comes a step too early. No step was good "
    "yet.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, good=1)


@loss_scales.mistake(
    "the count goes back to 1",
    hint="Your count goes back to one, so later doublings come a step too early. It goes back to "
    "zero.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, reset=1)


@loss_scales.mistake(
    "a bad step divides by 4",
    hint="You divide by four at a bad step. It halves the scale.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, shrink=4.0)


@loss_scales.mistake(
    "a bad step divides by 10",
    hint="You divide by ten at a bad step. It halves the scale.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, shrink=10.0)


@loss_scales.mistake(
    "grows by a thousandth",
    hint="You multiply by a number near one after good steps. They double the scale.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, grow=1.001)


@loss_scales.mistake(
    "halved at the second bad step in a row",
    hint="You halve only after two bad steps in a row. One is enough.",
)
def _(finite, scale, interval):
    out, good, bad = [], 0, 0
    for fine in finite:
        good, bad = (good + 1, 0) if fine else (0, bad + 1)
        if bad == 2:
            scale, bad = scale / 2, 0
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "bad steps in a row divide more and more",
    hint="A second bad step in a row divides by four in yours, a third by eight. Each halves.",
)
def _(finite, scale, interval):
    out, good, bad = [], 0, 0
    for fine in finite:
        good, bad = (good + 1, 0) if fine else (0, bad + 1)
        if bad:
            scale /= 2**bad
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "an interval of bad steps halves",
    hint="You wait for an interval of bad steps to halve the scale. One bad step is enough.",
)
def _(finite, scale, interval):
    out, good, bad = [], 0, 0
    for fine in finite:
        good, bad = (good + 1, 0) if fine else (0, bad + 1)
        if bad == interval:
            scale, bad = scale / 2, 0
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "back to the first scale",
    hint="A bad step takes you back to the scale that the run began with. Halve the present one.",
)
def _(finite, scale, interval):
    out, good, first = [], 0, scale
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else first
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "grows by the first scale",
    hint="After good steps you add the first scale. They double the present one.",
)
def _(finite, scale, interval):
    out, good, first = [], 0, scale
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = scale + first, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "never above 2^24",
    hint="You keep the scale at 2^24 at most. Nothing limits it from above.",
)
def _(finite, scale, interval):
    return [min(each, 2.0**24) for each in _scales(finite, scale, interval)]


@loss_scales.mistake(
    "never above the first scale",
    hint="You never go above the scale that the run began with. Nothing limits it.",
)
def _(finite, scale, interval):
    out, good, first = [], 0, scale
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = min(scale * 2, first), 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "only where it changes",
    hint="You note the scale where it changes. Note it after each step.",
)
def _(finite, scale, interval):
    scales = [scale, *_scales(finite, scale, interval)]
    return [after for before, after in itertools.pairwise(scales) if after != before]


def _used(tokens, peak, weights, attention):
    return tokens * (weights + attention) / peak


@utilisation.mistake(
    "activations computed again",
    hint="You count a second forward pass, as with checkpointing. What is computed again is not "
    "the model's own work: six a weight.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 8 * n_weights, 16 * pairs)


@utilisation.mistake(
    "three operations a weight",
    hint="You count a multiplication and an addition as one operation. They are two: six a weight "
    "in all.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 3 * n_weights, 6 * pairs)


@utilisation.mistake(
    "attention on the way forward only",
    hint="You count attention forward, 4LDT. With the way back it is three times that.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, 4 * pairs)


@utilisation.mistake(
    "the scores without the mixing",
    hint="You count the scores or the mixing of values, and not both. Together it is 12LDT.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, 2 * pairs)


@utilisation.mistake(
    "weights counted from the width",
    hint="You work the weights out as 12LD². They are given, and hold more than the blocks.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 72 * n_layers * d_model**2, 12 * pairs)


@utilisation.mistake(
    "the peak in TFLOP/s",
    hint="You take the peak to be in units of 10^12. It is in operations a second.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak * 1e12, 6 * n_weights, 12 * pairs)


@utilisation.mistake(
    "attention's share of the work",
    hint="You divide attention's operations by all. Asked for is what part of the peak is used.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = 12 * n_layers * d_model * context_length
    return pairs / (6 * n_weights + pairs)


@utilisation.mistake(
    "attention taken off",
    hint="You take attention's operations off the weights'. They come on top.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, -12 * pairs)


@round_bf16.mistake(
    "rounded to two decimals",
    hint="You round to two places behind the decimal point. bf16 keeps eight *binary* digits, "
    "wherever they stand.",
)
def _(x):
    return torch.round(x, decimals=2)


@round_bf16.mistake(
    "the exponent of the number plus 1",
    hint="You add one before you take the logarithm, perhaps for zero's sake. That changes the "
    "exponent of small numbers: clamp instead.",
)
def _(x):
    return _to_grid(x, _gap(x.abs() + 1))


@round_bf16.mistake(
    "the nearest power of two",
    hint="You round the exponent and drop the mantissa. Seven bits of it stay.",
)
def _(x):
    return x.sign() * 2.0 ** torch.round(x.abs().clamp(min=1e-40).log2())


@round_bf16.mistake(
    "up or down by chance",
    hint="You round at random. Here each number goes to the nearer neighbour.",
)
def _(x):
    return _to_grid(x, _gap(x), lambda y: torch.floor(y + torch.rand(y.shape)))


@round_bf16.mistake(
    "whole numbers stay whole",
    hint="You keep the whole part and round what is behind the point. Large whole numbers are "
    "rounded, too.",
)
def _(x):
    rest = x - x.trunc()
    return x.trunc() + _to_grid(rest, _gap(rest))


@round_at_random.mistake(
    "the sum of size and draw, cut off",
    hint="You add the draw to the size and cut off, so that large draws lead away from zero. It "
    "goes to the *larger* number where the draw is below its share.",
)
def _(x, draws):
    gap = _gap(x)
    return (x.sign() * torch.floor(x.double().abs() / gap + draws) * gap).float()


@round_at_random.mistake(
    "the mean draw for all",
    hint="You compare with the mean of the draws. Each number has a draw of its own.",
)
def _(x, draws):
    return _drawn(x, draws.mean())


@round_at_random.mistake(
    "the draws sorted",
    hint="You sort the draws. Each belongs to the number at its place.",
)
def _(x, draws):
    return _drawn(x, draws.sort().values)


@round_at_random.mistake(
    "the draw compared with the gap",
    hint="You compare the draw with the gap between the neighbours. Compare it with the share of "
    "the way.",
)
def _(x, draws):
    gap = _gap(x)
    return _drawn(x, draws, up=lambda share, draws: (draws < gap) & (share > 0))


@loss_scales.mistake(
    "the first good step after a bad one does not count",
    hint="After a bad step you begin to count one step late. The next good step is the first in "
    "the row.",
)
def _(finite, scale, interval):
    out, good = [], 0
    for fine in finite:
        good = good + 1 if fine else -1
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "a bad step takes one off the count",
    hint="A bad step takes one off your count. It clears it.",
)
def _(finite, scale, interval):
    out, good = [], 0
    for fine in finite:
        good = good + 1 if fine else max(0, good - 1)
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = scale * 2, 0
        out.append(scale)
    return out


@loss_scales.mistake(
    "the interval doubles with the scale",
    hint="Your interval gets longer with each doubling. It stays as it is.",
)
def _(finite, scale, interval):
    out, good = [], 0
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good, interval = scale * 2, 0, interval * 2
        out.append(scale)
    return out


@loss_scales.mistake(
    "grows a little at each good step",
    hint="You spread the doubling over the interval's steps. The scale stays until the last of "
    "them, and doubles then.",
)
def _(finite, scale, interval):
    out = []
    for fine in finite:
        scale = scale * 2 ** (1 / interval) if fine else scale / 2
        out.append(scale)
    return out


@loss_scales.mistake(
    "the first scale as well",
    hint="You note the scale before the first step, too. There is one for each step, after it.",
)
def _(finite, scale, interval):
    return [scale, *_scales(finite, scale, interval)]


@loss_scales.mistake(
    "ends at the first bad step",
    hint="You stop at the first bad step. The run goes on, with half of the scale.",
)
def _(finite, scale, interval):
    scales = _scales(finite, scale, interval)
    return scales[: finite.index(False) + 1] if False in finite else scales


@loss_scales.mistake(
    "no doubling after a bad step",
    hint="After the first bad step you never double again. Good steps in a row always do.",
)
def _(finite, scale, interval):
    out, good, fell = [], 0, False
    for fine in finite:
        good, fell = (good + 1, fell) if fine else (0, True)
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = scale if fell else scale * 2, 0
        out.append(scale)
    return out


@utilisation.mistake(
    "attention counted twice",
    hint="You count 24LDT for attention. The scores and the mixing, forward and back, are 12LDT.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, 24 * pairs)


@utilisation.mistake(
    "attention without its factor",
    hint="You count one operation where attention has twelve: two products, two operations each, "
    "three times for both ways.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, pairs)


@utilisation.mistake(
    "half of the positions and half a one",
    hint="You count the pairs that the mask leaves, half of the context and a half. The formula "
    "asked for counts all positions.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * (context_length + 1) / 2
    return _used(tokens_per_second, peak, 6 * n_weights, 12 * pairs)


@utilisation.mistake(
    "layer, width and positions added",
    hint="You add layers, width and positions. They are multiplied.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return _used(tokens_per_second, peak, 6 * n_weights, 12 * (n_layers + d_model + context_length))


@utilisation.mistake(
    "a share for each layer",
    hint="You divide by the number of layers. Asked for is the share of the whole model.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, 12 * pairs) / n_layers


@utilisation.mistake(
    "one operation a weight",
    hint="You count one operation for each weight. Forward there are two, back four.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, n_weights, 12 * pairs)


@utilisation.mistake(
    "nine operations a weight",
    hint="You count three products, forward and twice back, as three operations each. A product "
    "and a sum are two: six in all.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 9 * n_weights, 12 * pairs)


@loss_scales.mistake(
    "a bad step takes back the last doubling alone",
    hint="A bad step takes you back to the scale before the last doubling, and no further. Each "
    "one halves.",
)
def _(finite, scale, interval):
    out, good, before = [], 0, scale / 2
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else before
        if good == interval:
            before, scale, good = scale, scale * 2, 0
        out.append(scale)
    return out


@utilisation.mistake(
    "attention on the way back only",
    hint="You count attention on the way back, 8LDT. Forward it costs another 4LDT.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    pairs = n_layers * d_model * context_length
    return _used(tokens_per_second, peak, 6 * n_weights, 8 * pairs)
