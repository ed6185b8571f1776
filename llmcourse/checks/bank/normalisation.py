"""The exercises on norms: LayerNorm, and an RMSNorm with a leak.

Not here: the other parts (`transformer.py`), the exercises' texts (`solutions/`), and how checking
works (`harness.py`). Chapter 05 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import DEFAULT_VARIANTS, Case, case, exercise
from llmcourse.nn import norms

CHAPTER = "05"
WITH_GRADIENTS = (*DEFAULT_VARIANTS, "gradients")
SLOPES = 1e-4
"""How far off a norm may be: the gradient at a small token is a difference of large numbers."""


# 1. LayerNorm


@exercise(
    CHAPTER,
    axes="B T D",
    tolerance=SLOPES,
    variants=WITH_GRADIENTS,
    read="2. What keeps the stream in bounds?",
)
def layer_norm(
    hidden: Float[Tensor, "B T D"],
    weight: Float[Tensor, " D"],
    bias: Float[Tensor, " D"],
    eps: float = 1e-5,
) -> Float[Tensor, "B T D"]:
    """`(x - mean) / sqrt(var + eps) * weight + bias`, over the width of each token."""
    return norms.layer_norm(hidden, weight, bias, eps)


@layer_norm.cases
def _() -> Iterator[Case]:
    plain = torch.ones(4), torch.zeros(4)
    yield case("a token of equal entries", torch.full((1, 1, 4), 7.0), *plain)
    yield case("by hand", torch.tensor([[[1.0, 2.0, 3.0, 6.0]]]), *plain)
    yield case("two texts", 3 * torch.randn(2, 5, 4) + 1, torch.rand(4) + 0.5, torch.randn(4))
    yield case(
        "as many tokens as the width", torch.randn(1, 4, 4) - 2, torch.rand(4), torch.ones(4)
    )
    yield case("a small token", 0.01 * torch.randn(2, 1, 4), *plain)
    yield case("a large eps", torch.randn(1, 2, 4), *plain, eps=0.5)


@layer_norm.mistake(
    "`std` with its habits",
    hint="`std` divides by D - 1 unless told otherwise, and eps belongs under the root, beside the "
    "variance.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (hidden.std(-1, keepdim=True) + eps) * weight + bias


@layer_norm.mistake(
    "the mean square, not the variance",
    hint="The variance is the mean square of the *deviations*. You square the entries as they are.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (hidden.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "normalised over the batch",
    hint="Axis 0 is the batch. Every token is normalised by itself, over its width, the last axis.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(0, keepdim=True)
    return centred / (centred.square().mean(0, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "eps forgotten",
    hint="A token whose entries are all equal has the variance 0, and you divide by its root. That "
    "is what eps is for, under the root.",
)
def _(hidden, weight, bias, eps=1e-5):
    return layer_norm.right(hidden, weight, bias, 0.0)


@layer_norm.mistake(
    "`** 1/2` divides last",
    hint="Python reads `x ** 1/2` as `(x ** 1) / 2`. Write `** 0.5`, or `.sqrt()`.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / ((centred.square().mean(-1, keepdim=True) + eps) / 2) * weight + bias


@layer_norm.mistake(
    "the bias is scaled too",
    hint="First times weight, then plus bias. You add the bias before you multiply.",
)
def _(hidden, weight, bias, eps=1e-5):
    normal = layer_norm.right(hidden, torch.ones_like(weight), torch.zeros_like(bias), eps)
    return (normal + bias) * weight


@layer_norm.mistake(
    "the mean of the absolute deviations",
    hint="The deviations are squared, averaged, and the root is taken. You average them without "
    "their sign.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (centred.abs().mean(-1, keepdim=True) + eps) * weight + bias


@layer_norm.mistake(
    "the gradient is cut off",
    hint="The numbers are right, but the gradient is not: mean and variance depend on `hidden` "
    "too. Look for `.item()`, `.detach()`, numpy or `no_grad`.",
)
def _(hidden, weight, bias, eps=1e-5):
    with torch.no_grad():
        mean = hidden.mean(-1, keepdim=True)
        variance = hidden.var(-1, correction=0, keepdim=True)
    return (hidden - mean) / (variance + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "the variance is divided by D - 1",
    hint="`var` and `std` divide by D - 1 unless told otherwise: that estimates the variance of a "
    "population from a sample. Here the D entries are all there is.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (hidden.var(-1, keepdim=True) + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "eps outside the root",
    hint="The formula takes the root of variance + eps. Where a token is small, the two differ.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (hidden.var(-1, correction=0, keepdim=True).sqrt() + eps) * weight + bias


@layer_norm.mistake(
    "nothing is subtracted",
    hint="You divide by the right number, but the mean is still in what you divide.",
)
def _(hidden, weight, bias, eps=1e-5):
    variance = hidden.var(-1, correction=0, keepdim=True)
    return hidden / (variance + eps).sqrt() * weight + bias


@layer_norm.mistake(
    "RMSNorm",
    hint="That is the norm of Llama: it divides by the root mean square and centres nothing. "
    "LayerNorm subtracts the mean first.",
)
def _(hidden, weight, bias, eps=1e-5):
    return norms.rms_norm(hidden, weight, eps) + bias


@layer_norm.mistake(
    "normalised over the tokens",
    hint="Every token is normalised by itself, over its width, the last axis. Yours mixes tokens, "
    "so late ones leak into early ones.",
)
def _(hidden, weight, bias, eps=1e-5):
    return (
        norms.layer_norm(hidden.mT, torch.ones(hidden.size(1)).to(hidden), None, eps).mT * (weight)
        + bias
    )


@layer_norm.mistake(
    "normalised over tokens and width together",
    hint="One mean and one variance for a whole text: each token should have its own.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean((-1, -2), keepdim=True)
    return (
        centred * torch.rsqrt(centred.square().mean((-1, -2), keepdim=True) + eps) * weight + bias
    )


@layer_norm.mistake(
    "weight and bias left out",
    hint="The normalising is right. At the end comes what is learned: times weight, plus bias.",
)
def _(hidden, weight, bias, eps=1e-5):
    return norms.layer_norm(hidden, torch.ones_like(weight), None, eps)


@layer_norm.mistake(
    "divided by the variance",
    hint="Divide by the standard deviation: the root is missing.",
)
def _(hidden, weight, bias, eps=1e-5):
    centred = hidden - hidden.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps) * weight + bias


# 2. Find the bug


@exercise(
    CHAPTER,
    axes="B T D",
    tolerance=SLOPES,
    variants=WITH_GRADIENTS,
    read="2. What keeps the stream in bounds?",
)
def rms_norm(
    hidden: Float[Tensor, "B T D"], weight: Float[Tensor, " D"], eps: float = 1e-5
) -> Float[Tensor, "B T D"]:
    """`x / sqrt(mean(x^2) + eps) * weight`, over the width of each token."""
    return norms.rms_norm(hidden, weight, eps)


@rms_norm.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[[3.0, 4.0, 0.0, 0.0]]]), torch.ones(4))
    yield case("zeros", torch.zeros(1, 1, 4), torch.ones(4))
    yield case("two texts", 2 * torch.randn(2, 5, 4) + 1, torch.rand(4) + 0.5)
    yield case("as many tokens as the width", torch.randn(1, 4, 4), torch.rand(4))
    yield case("a small token", 0.01 * torch.randn(2, 3, 4), torch.ones(4))
    yield case("a large eps", torch.randn(1, 2, 4), torch.ones(4), eps=0.5)


@rms_norm.mistake(
    "eps outside the root",
    hint="The formula takes the root of mean + eps. Where a token is small, the two differ.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().mean(-1, keepdim=True).sqrt() + eps) * weight


@rms_norm.mistake(
    "divided by the mean square",
    hint="The root is missing: RMS is the *root* of the mean square.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().mean(-1, keepdim=True) + eps) * weight


@rms_norm.mistake(
    "`** 1/2` divides last",
    hint="Python reads `x ** 1/2` as `(x ** 1) / 2`. Write `** 0.5`, or `.sqrt()`.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / ((hidden.square().mean(-1, keepdim=True) + eps) / 2) * weight


@rms_norm.mistake(
    "the mean of the absolute values",
    hint="Square first, then average, then take the root. You average without squaring.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.abs().mean(-1, keepdim=True) + eps) * weight


@rms_norm.mistake(
    "the gradient is cut off",
    hint="The numbers are right, but the gradient is not: a token's size depends on `hidden` too. "
    "Look for `.item()`, `.detach()`, numpy or `no_grad`.",
)
def _(hidden, weight, eps=1e-5):
    size = (hidden.detach().square().mean(-1, keepdim=True) + eps).sqrt()
    return hidden / size * weight


@rms_norm.mistake(
    "over the tokens: the colleague's bug",
    hint="That is the code that you were given. `dim=1` of B T D is the text: each entry is "
    "divided by its size over all tokens, later ones included.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().mean(1, keepdim=True) + eps).sqrt() * weight


@rms_norm.mistake(
    "over the whole text",
    hint="Better hidden, still a leak: one size for all tokens of a text. Each token has its own.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().mean((1, 2), keepdim=True) + eps).sqrt() * weight


@rms_norm.mistake(
    "over the batch",
    hint="Axis 0 is the batch. Now the texts of a batch depend on each other.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().mean(0, keepdim=True) + eps).sqrt() * weight


@rms_norm.mistake(
    "the sum instead of the mean",
    hint="The right axis, but you divide by the vector's length (in the sense of Pythagoras). "
    "Entries should come out of size 1, whatever D is: mean, not sum.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / (hidden.square().sum(-1, keepdim=True) + eps).sqrt() * weight


@rms_norm.mistake(
    "eps forgotten",
    hint="A token of zeros has the size 0, and you divide by it. That is what eps is for, under "
    "the root.",
)
def _(hidden, weight, eps=1e-5):
    return hidden / hidden.square().mean(-1, keepdim=True).sqrt() * weight


@rms_norm.mistake(
    "LayerNorm",
    hint="RMSNorm subtracts nothing: that is what it saves.",
)
def _(hidden, weight, eps=1e-5):
    return norms.layer_norm(hidden, weight, None, eps)
