"""The exercises on numbers and speed: rounding, scales of a loss, utilisation.

Not here: the exercises on the loop itself (`loop.py`), the exercises' texts (`solutions/`), and how
checking works (`harness.py`). Chapter 08 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.labs.throughput import mfu
from llmcourse.nn.formats import BF16, power_of_two, round_to
from llmcourse.optim.loss_scaling import LossScaler

CHAPTER = "08"


# 4. Round to bf16


BITS = "5. What do sixteen bits lose?"


@exercise(CHAPTER, axes="N", tolerance=0.0, variants=("non-contiguous",), read=BITS)
def round_bf16(x: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The nearest number with 8 significant bits, ties to even; the type stays float32."""
    return round_to(x, BF16)


@round_bf16.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([1.0, 1.003, 1.005, 257.0]))
    yield case("random numbers", torch.randn(200))
    yield case("halfway between neighbours", torch.tensor([257.0, 259.0, 261.0, 263.0, -257.0]))
    yield case("large and small", torch.randn(100) * 10 ** torch.linspace(-20, 20, 100))
    yield case("zero among others", torch.tensor([0.0, 3.14159, -2.71828]))
    yield case("up to the next power of two", torch.tensor([1.999, 0.4999, 255.9]))
    yield case("powers of two", torch.tensor([1.0, -2.0, 0.25, 1024.0, -(2.0**-30)]))
    yield case("negative numbers", torch.tensor([-1.003, -1.005, -3.14159, -0.1]))
    yield case("halfway, small", torch.tensor([1.00390625, 1.01171875, -1.00390625]))


def _spacing(x: Tensor, bits: int = 7) -> Tensor:
    exponents = torch.frexp(x.double()).exponent - 1
    return power_of_two(exponents) * 2.0**-bits


@round_bf16.mistake(
    "cut off instead of rounded",
    hint="You throw the last digits away. The *nearest* number is wanted: `torch.round`, not floor "
    "or trunc.",
)
def _(x):
    spacing = _spacing(x)
    return (torch.trunc(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "a half is always rounded up",
    hint="257 lies halfway between 256 and 258. A half goes to the *even* neighbour, or sums would "
    "drift upwards: `torch.round` does that, `floor(x + 0.5)` does not.",
)
def _(x):
    spacing = _spacing(x)
    return (torch.floor(x.double() / spacing + 0.5) * spacing).float()


@round_bf16.mistake(
    "one digit too many",
    hint="bf16 stores 7 bits behind the leading one. So with 2^e the number's power of two, "
    "neighbours are 2^e times 2^-7 apart.",
)
def _(x):
    spacing = _spacing(x, 8)
    return (torch.round(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "the digits of fp16",
    hint="Ten bits of mantissa are fp16's. bf16 has 7: it spent the others on the exponent.",
)
def _(x):
    spacing = _spacing(x, 10)
    return (torch.round(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "one spacing for all numbers",
    hint="Floating point: each number has a spacing of its own, in proportion to its power of two. "
    "Yours is 2^-7 everywhere.",
)
def _(x):
    return (torch.round(x.double() * 2**7) / 2**7).float()


@round_bf16.mistake(
    "zero becomes NaN",
    hint="The logarithm of 0 is minus infinity, its spacing 0, and 0 / 0 is NaN. Zero is its own "
    "neighbour: treat it apart, or keep the power of two from below.",
)
def _(x):
    spacing = 2 ** torch.floor(torch.log2(x.abs().double())) * 2**-7
    return (torch.round(x / spacing) * spacing).float()


@round_bf16.mistake(
    "a half goes away from zero",
    hint="That is how one rounds at school. Here a half goes to the *even* neighbour: 257 to 256, "
    "and 259 to 260.",
)
def _(x):
    spacing = _spacing(x)
    size = torch.floor(x.double().abs() / spacing + 0.5) * spacing
    return (size * x.sign()).float()


@round_bf16.mistake(
    "a half goes towards zero",
    hint="A half goes to the *even* neighbour, which is at times the larger one: 259 to 260.",
)
def _(x):
    spacing = _spacing(x)
    size = torch.ceil(x.double().abs() / spacing - 0.5) * spacing
    return (size * x.sign()).float()


@round_bf16.mistake(
    "one digit too few",
    hint="Your neighbours are twice as far apart as they should be. e is the logarithm rounded "
    "*down*; the exponent of `frexp`, whose mantissa is below 1, is one more.",
)
def _(x):
    spacing = _spacing(x, 6)
    return (torch.round(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "the exponent rounded to the nearest",
    hint="e is the largest whole number with 2^e not above |x|: round the logarithm *down*.",
)
def _(x):
    gap = 2.0 ** (torch.round(torch.log2(x.abs().double().clamp(min=1e-38))) - 7)
    return (torch.round(x.double() / gap) * gap).float()


@round_bf16.mistake(
    "always down",
    hint="The *nearest* neighbour is wanted: `torch.round`, not floor.",
)
def _(x):
    spacing = _spacing(x)
    return (torch.floor(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "always up",
    hint="The *nearest* neighbour is wanted: `torch.round`, not ceil.",
)
def _(x):
    spacing = _spacing(x)
    return (torch.ceil(x.double() / spacing) * spacing).float()


@round_bf16.mistake(
    "digits of the decimal system",
    hint="bf16 has eight *binary* digits, about two and a half decimal ones. Neighbours are "
    "2^e · 2^-7 apart.",
)
def _(x):
    gap = 10.0 ** (torch.floor(torch.log10(x.abs().double().clamp(min=1e-38))) - 2)
    return (torch.round(x.double() / gap) * gap).float()


@round_bf16.mistake(
    "by way of fp16",
    hint="`.half()` has other digits, and nothing above 65,504 and below 6e-8. Compute the spacing "
    "of bf16.",
)
def _(x):
    return x.half().float()


@round_bf16.mistake(
    "signs lost",
    hint="The spacing comes from |x|. The number that is rounded keeps its sign.",
)
def _(x):
    return round_bf16.right(x).abs()


@round_bf16.mistake(
    "not multiplied back",
    hint="`round(x / gap)` counts how many gaps fit. Times the gap, it is a number again.",
)
def _(x):
    return torch.round(x.double() / _spacing(x)).float()


@round_bf16.mistake(
    "the spacing of the largest for all",
    hint="Each number has a spacing of its own: take the power of two of *each*.",
)
def _(x):
    spacing = _spacing(x.abs().max())
    return (torch.round(x.double() / spacing) * spacing).float()


@exercise(CHAPTER, axes="N", tolerance=0.0, variants=("non-contiguous",), read=BITS)
def round_at_random(x: Float[Tensor, " N"], draws: Float[Tensor, " N"]) -> Float[Tensor, " N"]:
    """The neighbour above where a draw is below the share of the way to it, else the one below."""
    gap = _spacing(x)
    below = torch.floor(x.double() / gap)
    up = draws.double() < x.double() / gap - below
    return ((below + up) * gap).float()


@round_at_random.cases
def _() -> Iterator[Case]:
    quarter = torch.full((3,), 1 + 2.0**-9)
    yield case("by hand", quarter, torch.tensor([0.2, 0.25, 0.9]))
    yield case("halfway", torch.full((3,), 257.0), torch.tensor([0.49, 0.5, 0.51]))
    yield case("below zero", -quarter, torch.tensor([0.7, 0.75, 0.1]))
    yield case(
        "numbers that bf16 has", torch.tensor([1.0, -2.5, 256.0]), torch.tensor([0.0, 0.0, 0.9])
    )
    yield case("zero", torch.tensor([0.0, 3.14159]), torch.tensor([0.0, 0.3]))
    yield case("up to the next power of two", torch.tensor([1.9990234375]), torch.tensor([0.1]))
    hair = torch.full((2,), 256 - 2.0**-16)
    yield case("a hair below a power of two", hair, torch.tensor([0.99999, 0.999995]))
    yield case("random numbers", torch.randn(200), torch.rand(200))
    large = torch.randn(100) * 10 ** torch.linspace(-20, 20, 100)
    yield case("large and small", large, torch.rand(100))


def _at_random(x: Tensor, up: Tensor, bits: int = 7) -> Tensor:
    gap = _spacing(x, bits)
    return ((torch.floor(x.double() / gap) + up) * gap).float()


def _share(x: Tensor, bits: int = 7) -> Tensor:
    places = x.double() / _spacing(x, bits)
    return places - torch.floor(places)


@round_at_random.mistake(
    "to the nearest, whatever is drawn",
    hint="That is your first function. Here the draw decides: a number a quarter of the way up "
    "goes up once in four times.",
)
def _(x, draws):
    return round_bf16.right(x)


@round_at_random.mistake(
    "up and down exchanged",
    hint="The further up a number is, the more often it has to go up: up where the draw is *below* "
    "the share.",
)
def _(x, draws):
    return _at_random(x, draws >= _share(x))


@round_at_random.mistake(
    "a fair coin",
    hint="Half up, half down, wherever the number lies: then the mean is off. The chance to go up "
    "is the share of the way.",
)
def _(x, draws):
    return _at_random(x, (draws < 0.5) & (_share(x) > 0))


@round_at_random.mistake(
    "the draw is added, and the sum rounded down",
    hint="As often up as it should be, but with other draws: up where the draw is *below* the "
    "share. Adding goes up where it is large.",
)
def _(x, draws):
    gap = _spacing(x)
    return (torch.floor(x.double() / gap + draws.double()) * gap).float()


@round_at_random.mistake(
    "the neighbour nearer to zero taken for the one below",
    hint="Below zero, cutting off goes *up*. The lower neighbour is the smaller number: floor.",
)
def _(x, draws):
    gap = _spacing(x)
    size = x.double().abs() / gap
    low = torch.floor(size)
    return ((low + (draws < size - low)) * gap * x.sign()).float()


@round_at_random.mistake(
    "the distance itself compared with the draw",
    hint="A distance of 0.002 is a quarter of the way where neighbours are 0.008 apart. Divide by "
    "the gap before you compare.",
)
def _(x, draws):
    return _at_random(x, draws < _share(x) * _spacing(x))


@round_at_random.mistake(
    "the limit included",
    hint="A number that bf16 has lies no part of the way up, and must stay even with a draw of 0: "
    "*below* the share.",
)
def _(x, draws):
    return _at_random(x, draws <= _share(x))


@round_at_random.mistake(
    "one spacing for all numbers",
    hint="Each number has a gap of its own, in proportion to its power of two.",
)
def _(x, draws):
    places = x.double() * 2**7
    low = torch.floor(places)
    return ((low + (draws < places - low)) / 2**7).float()


@round_at_random.mistake(
    "always down",
    hint="The neighbour below is one of two. Where the draw is below the share, take the other.",
)
def _(x, draws):
    return _at_random(x, torch.zeros_like(draws))


@round_at_random.mistake(
    "one digit too many or too few",
    hint="Neighbours are 2^e · 2^-7 apart, as in your first function.",
)
def _(x, draws):
    return _at_random(x, draws < _share(x, 8), 8)


@round_at_random.mistake(
    "1 minus the draw",
    hint="As often up as it should be, but with other draws: up where the draw *itself* is below "
    "the share.",
)
def _(x, draws):
    return _at_random(x, 1 - draws.double() < _share(x))


@round_at_random.mistake(
    "always up",
    hint="The neighbour above is one of two, and a number that bf16 has needs none of them.",
)
def _(x, draws):
    return _at_random(x, torch.ones_like(draws))


# 5. A scale for the loss


@exercise(CHAPTER, read="A gradient that becomes zero")
def loss_scales(finite: list[bool], scale: float, interval: int) -> list[float]:
    """The scale after each step: halved by a bad one, doubled by `interval` good ones in a row."""
    scaler, scales = LossScaler(scale, interval=interval), []
    for good in finite:
        scaler.update(good)
        scales.append(scaler.value)
    return scales


@loss_scales.cases
def _() -> Iterator[Case]:
    yield case("by hand", [True, True, False, True], 8.0, 2)
    yield case("all good", [True] * 9, 2.0, 3)
    yield case("all bad", [False] * 4, 1024.0, 2)
    yield case("never enough in a row", [True, True, False] * 3, 64.0, 3)
    yield case("good, bad, and good again", [True] * 4 + [False, False] + [True] * 7, 256.0, 3)
    yield case("no steps at all", [], 4.0, 2)
    yield case("from 1 down", [False, False, True], 1.0, 5)
    yield case("above 65,536", [True] * 4, 65536.0, 1)
    yield case("an odd scale", [False, True, True, False], 3.0, 2)
    yield case("every good step", [True, False, True, True], 2.0, 1)
    yield case("above 2^24", [True] * 10, 2.0**20, 1)
    yield case("far below 1", [False] * 5 + [True], 2.0**-30, 1)


def _scales(finite, scale, interval, *, reset_when_bad=True, reset_when_grown=True, late=0):
    """The rule, with parts of it left out."""
    good, scales = 0, []
    for fine in finite:
        if fine:
            good += 1
            if good >= interval + late:
                scale *= 2
                good = 0 if reset_when_grown else good
        else:
            scale /= 2
            good = 0 if reset_when_bad else good
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "a bad step does not start the count anew",
    hint="The good steps have to come in a row: after a bad one, count from zero again.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, reset_when_bad=False)


@loss_scales.mistake(
    "once it grows, it grows with every step",
    hint="After the scale has grown, the next growth needs `interval` good steps again: reset the "
    "count there, too.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, reset_when_grown=False)


@loss_scales.mistake(
    "grows one step late",
    hint="The step that makes it `interval` good ones in a row already doubles the scale.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, late=1)


@loss_scales.mistake(
    "never grows",
    hint="The scale falls with each overflow and stays there: soon small gradients vanish again.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, len(finite) + 1)


@loss_scales.mistake(
    "the scale before each step",
    hint="You note the scale first and change it then. Wanted is the scale *after* each step.",
)
def _(finite, scale, interval):
    return [scale, *_scales(finite, scale, interval)][: len(finite)]


@loss_scales.mistake(
    "never below 1",
    hint="Nothing stops the scale at 1: a bad step halves it, whatever it is.",
)
def _(finite, scale, interval):
    good, scales = 0, []
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else max(1.0, scale / 2)
        if good == interval:
            scale, good = scale * 2, 0
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "never above 65,536",
    hint="Nothing stops the scale at its usual beginning: good steps double it, whatever it is.",
)
def _(finite, scale, interval):
    good, scales = 0, []
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = min(65536.0, scale * 2), 0
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "a bad step counts as one of the row",
    hint="After a bad step the count is 0, not 1: only good steps count.",
)
def _(finite, scale, interval):
    steps, scales = 0, []
    for fine in finite:
        steps = steps + 1 if fine else 1
        scale = scale if fine else scale / 2
        if fine and steps >= interval:
            scale, steps = scale * 2, 0
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "every `interval` steps of the run",
    hint="You look at the step's number. What counts is how many good ones came *in a row*.",
)
def _(finite, scale, interval):
    scales = []
    for number, fine in enumerate(finite, 1):
        scale = scale / 2 if not fine else scale * 2 if number % interval == 0 else scale
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "a bad step begins the scale anew",
    hint="A bad step halves the scale of *now*. Yours goes back to the first one.",
)
def _(finite, scale, interval):
    good, value, scales = 0, scale, []
    for fine in finite:
        good = good + 1 if fine else 0
        value = value if fine else scale / 2
        if good == interval:
            value, good = value * 2, 0
        scales.append(value)
    return scales


@loss_scales.mistake(
    "good and bad exchanged",
    hint="`finite` is True where all is well. It is the others that halve the scale.",
)
def _(finite, scale, interval):
    return _scales([not fine for fine in finite], scale, interval)


@loss_scales.mistake(
    "the last scale alone",
    hint="One number for each step is asked, not the one at the end.",
)
def _(finite, scale, interval):
    return [scale, *_scales(finite, scale, interval)][-1]


@loss_scales.mistake(
    "a half where doubling is meant, and the reverse",
    hint="Overflow means that the scale is too *large*: a bad step halves it.",
)
def _(finite, scale, interval):
    good, scales = 0, []
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale * 2
        if good == interval:
            scale, good = scale / 2, 0
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "multiplied by the interval",
    hint="The interval says *when* the scale grows. It grows by a factor of 2.",
)
def _(finite, scale, interval):
    good, scales = 0, []
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale if fine else scale / 2
        if good == interval:
            scale, good = scale * interval, 0
        scales.append(scale)
    return scales


@loss_scales.mistake(
    "no entry for a bad step",
    hint="A step that is left out has a scale after it, too: one entry for each step.",
)
def _(finite, scale, interval):
    scales = _scales(finite, scale, interval)
    return [value for value, fine in zip(scales, finite, strict=True) if fine]


@loss_scales.mistake(
    "bad steps in a row halve once",
    hint="*Each* bad step halves the scale: it falls until a step fits.",
)
def _(finite, scale, interval):
    good, before, scales = 0, True, []
    for fine in finite:
        good = good + 1 if fine else 0
        scale = scale / 2 if before and not fine else scale
        if good == interval:
            scale, good = scale * 2, 0
        scales.append(scale)
        before = fine
    return scales


@loss_scales.mistake(
    "grows one step early",
    hint="`interval` good steps in a row are needed, and not one less.",
)
def _(finite, scale, interval):
    return _scales(finite, scale, interval, late=-1)


# 6. How much of the machine?


@exercise(CHAPTER, read="8. Where do time and memory go?")
def utilisation(
    tokens_per_second: float,
    n_weights: int,
    n_layers: int,
    d_model: int,
    context_length: int,
    peak: float,
) -> float:
    """MFU: `tokens/s · (6 N + 12 L D T) / peak`."""
    per_token = 6 * n_weights + 12 * n_layers * d_model * context_length
    return mfu(tokens_per_second, per_token, peak)


@utilisation.cases
def _() -> Iterator[Case]:
    yield case("by hand", 10.0, 100, 1, 10, 5, 24_000.0)
    yield case("GPT-2 small on an A100", 180_000.0, 123_600_000, 12, 768, 1024, 312e12)
    yield case("a long context", 20_000.0, 1_000_000, 4, 256, 8192, 1e13)
    yield case("as wide as deep", 100.0, 1000, 8, 8, 8, 1e7)
    yield case("no attention to speak of", 50.0, 7_000_000_000, 32, 4096, 1, 1e14)


@utilisation.mistake(
    "the way forward alone",
    hint="2 operations a weight forward, and twice as many on the way back: 6 in all. For "
    "attention likewise 4 and 8.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    per_token = 2 * n_weights + 4 * n_layers * d_model * context_length
    return tokens_per_second * per_token / peak


@utilisation.mistake(
    "attention left out",
    hint="6 N counts the weights. Every token also looks at T others in each of L layers: "
    "12 L D T.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return tokens_per_second * 6 * n_weights / peak


@utilisation.mistake(
    "attention of a single layer",
    hint="12 D T for one layer. How many are there?",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return tokens_per_second * (6 * n_weights + 12 * d_model * context_length) / peak


@utilisation.mistake(
    "the square of the context",
    hint="T² is what a whole row costs. A *token* looks at T others.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    per_token = 6 * n_weights + 12 * n_layers * d_model * context_length**2
    return tokens_per_second * per_token / peak


@utilisation.mistake(
    "upside down",
    hint="What is done over what could be done: the peak stands below.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    per_token = 6 * n_weights + 12 * n_layers * d_model * context_length
    return peak / (tokens_per_second * per_token)


def _utilised(tokens, for_weights, for_attention, peak):
    return tokens * (for_weights + for_attention) / peak


@utilisation.mistake(
    "the forward pass done twice",
    hint="8 N is what recomputed activations cost. The *model's* utilisation counts what the "
    "arithmetic needs: 6 N, however it was done.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 8 * n_weights, attention, peak)


@utilisation.mistake(
    "the way back alone",
    hint="4 N goes back, and 2 N went forward: 6 in all.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 4 * n_weights, attention, peak)


@utilisation.mistake(
    "attention of a single position",
    hint="A token looks at T positions: without T, attention does not grow with the context.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return _utilised(tokens_per_second, 6 * n_weights, 12 * n_layers * d_model, peak)


@utilisation.mistake(
    "weights counted once for each layer",
    hint="N is the number of *all* weights already. Only attention has an L.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 6 * n_weights * n_layers, attention, peak)


@utilisation.mistake(
    "operations a second, not a share",
    hint="That is how fast it is. What share of `peak` is that?",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return utilisation.right(tokens_per_second, n_weights, n_layers, d_model, context_length, 1.0)


@utilisation.mistake(
    "tokens of a second forgotten",
    hint="One token's operations over operations a *second*: the units do not cancel. How many "
    "tokens are there in a second?",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return utilisation.right(1.0, n_weights, n_layers, d_model, context_length, peak)


@utilisation.mistake(
    "the tokens multiply the weights' part alone",
    hint="*Both* parts are needed for every token: brackets around the sum.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return (tokens_per_second * 6 * n_weights + attention) / peak


@utilisation.mistake(
    "a token a context",
    hint="`tokens_per_second` counts tokens, not rows: nothing is to be multiplied or divided by T "
    "but attention.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    right = utilisation.right(tokens_per_second, n_weights, n_layers, d_model, context_length, peak)
    return right * context_length


@utilisation.mistake(
    "attention within the six",
    hint="12 L D T stands beside 6 N: it already has its six.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 6 * 12 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 6 * n_weights, attention, peak)


@utilisation.mistake(
    "the square of the width",
    hint="Attention's scores cost D for each pair of positions. D² is in the weights, in N.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model**2 * context_length
    return _utilised(tokens_per_second, 6 * n_weights, attention, peak)


@utilisation.mistake(
    "attention outside the division",
    hint="Brackets: both parts are multiplied by the tokens and divided by the peak.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return tokens_per_second * 6 * n_weights / peak + attention


@utilisation.mistake(
    "half of attention",
    hint="Attention costs 12 L D T, both ways together: 4 forward, and 8 back.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 6 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 6 * n_weights, attention, peak)


@utilisation.mistake(
    "the weights forward, attention both ways",
    hint="The 12 of attention counts the way back. For the weights both ways are 6.",
)
def _(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    attention = 12 * n_layers * d_model * context_length
    return _utilised(tokens_per_second, 2 * n_weights, attention, peak)
