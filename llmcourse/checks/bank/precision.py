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


@exercise(CHAPTER, axes="N", tolerance=0.0, variants=("non-contiguous",))
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


# 5. A scale for the loss


@exercise(CHAPTER)
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


# 6. How much of the machine?


@exercise(CHAPTER)
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
