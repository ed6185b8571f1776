"""Int8 quantisation: weights in a quarter of the bytes, activations quantised as they come.

Weights are symmetric, with a scale for each output channel, fixed when the model is quantised;
activations are symmetric, with a scale for each token, found while the model runs ("dynamic"). So a
product of two matrices is one of whole numbers, times two scales. As in LLM.int8 (Dettmers et al.,
2022) without its outliers. Not here: files (`models/files.py`, `export/`). Chapter 17 teaches this.
"""

import copy
from typing import NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8
from torch import Tensor, nn

LARGEST = 127
"""The largest whole number that is used. -128 is left out, so that the range is symmetric."""
EXACT_IN_FLOAT32 = 2**24
"""Up to here every whole number is a float32."""


Module = TypeVar("Module", bound=nn.Module)


class Quantized(NamedTuple):
    """Rows of whole numbers, and what one step is worth in each row."""

    values: Int8[Tensor, "*B D"]
    scales: Float[Tensor, "*B 1"]

    def dequantize(self) -> Float[Tensor, "*B D"]:
        """The numbers that these stand for: `scale * value`."""
        return self.values * self.scales


def quantize_rows(x: Float[Tensor, "*B D"], steps: int = LARGEST) -> Quantized:
    """Round each row to even steps, so many to its largest magnitude and to minus that (absmax).

    `scale = max |x| / steps`, `value = round(x / scale)`; half a step goes to the even neighbour.
    The error is at most half a step, `scale / 2`. A row of zeros has the scale 1. Fewer steps than
    127 show what fewer bits would do: 7 are those of int4.
    """
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    scales = torch.where(largest > 0, largest / steps, 1.0)
    # The smallest float32 of all would make a quotient beyond the range.
    values = (x.detach() / scales).round().clamp(-steps, steps)
    return Quantized(values.to(torch.int8), scales)


def int8_matmul(x: Int8[Tensor, "*B D"], weight: Int8[Tensor, "out D"]) -> Float[Tensor, "*B out"]:
    """The product `x @ weight.T` of whole numbers, exact, as whole numbers in floating point.

    A chip with int8 units adds up in int32. Floats are exact as well as long as no sum can leave
    the whole numbers that they hold, and a CPU multiplies them with its best code.
    """
    exact = x.size(-1) * LARGEST**2 < EXACT_IN_FLOAT32
    dtype = torch.float32 if exact else torch.float64
    return (x.to(dtype) @ weight.to(dtype).T).to(torch.float32)


class Int8Linear(nn.Module):
    """A linear layer in int8: `round(x / s_x) round(W / s_W)^T * s_x * s_W + bias`.

    Attributes:
        values: the weights as whole numbers, `[out, in]`.
        scales: what a step is worth, for each output channel, `[out, 1]`.
        bias: as it was, in floating point; or None.
    """

    values: Tensor
    scales: Tensor
    bias: Tensor | None

    def __init__(self, weight: Quantized, bias: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("values", weight.values)
        self.register_buffer("scales", weight.scales)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    def forward(self, x: Float[Tensor, "*B in"]) -> Float[Tensor, "*B out"]:
        """Quantise each token's activations, multiply whole numbers, scale back."""
        activations = quantize_rows(x)
        product = int8_matmul(activations.values, self.values)
        # *B out, times a scale for each token and one for each channel
        output = product * activations.scales * self.scales.squeeze(-1)
        return (output if self.bias is None else output + self.bias).to(x.dtype)


class Int8Embedding(nn.Module):
    """An embedding in int8, with a scale for each token; what is looked up is scaled back."""

    values: Tensor
    scales: Tensor

    def __init__(self, weight: Quantized) -> None:
        super().__init__()
        self.register_buffer("values", weight.values)
        self.register_buffer("scales", weight.scales)

    def forward(self, ids: Int[Tensor, "*B"]) -> Float[Tensor, "*B D"]:
        """Each token's vector."""
        return F.embedding(ids, self.values) * F.embedding(ids, self.scales)


def quantize_model(model: Module, steps: int = LARGEST) -> Module:
    """A copy of a model whose linear layers and embeddings are in int8; norms stay as they are.

    A matrix that is tied is quantised once, and stays tied: a row is both a token's vector and an
    output channel. `steps` are those of the weights; activations always have 127. Not for models
    that read a layer's `weight` themselves, as BERT's tied head does.
    """
    smaller = copy.deepcopy(model).eval()
    done: dict[int, Quantized] = {}
    for name, module in list(smaller.named_modules()):
        if type(module) not in (nn.Linear, nn.Embedding):
            continue
        weight = module.weight
        if id(weight) not in done:
            done[id(weight)] = quantize_rows(weight.float(), steps)
        parent, _, leaf = name.rpartition(".")
        bias = getattr(module, "bias", None)
        part = (
            Int8Linear(done[id(weight)], bias)
            if type(module) is nn.Linear
            else Int8Embedding(done[id(weight)])
        )
        setattr(smaller.get_submodule(parent), leaf, part)
    return smaller.requires_grad_(False)


def is_quantized(model: nn.Module) -> bool:
    """Whether some of a model's layers are in int8."""
    return any(type(module) in (Int8Linear, Int8Embedding) for module in model.modules())
