"""Norms, which keep the size of activations in check: LayerNorm and RMSNorm.

Each stands here twice: written out, to be read, and as a module that calls the library's kernel,
to be trained. The tests prove the two equal. Not here: where in a block they stand
(`nn/blocks.py`). Chapter 05 teaches this.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def layer_norm(
    hidden: Float[Tensor, "*B D"],
    weight: Float[Tensor, " D"],
    bias: Float[Tensor, " D"] | None = None,
    eps: float = 1e-5,
) -> Float[Tensor, "*B D"]:
    """Layer normalisation: subtract the width's mean, divide by its deviation, scale and shift.

    `y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias` (Ba et al., 2016, equation 4). The
    variance is the biased one, divided by D; `eps` stands inside the root.
    """
    centred = hidden - hidden.mean(-1, keepdim=True)
    # *B D -> *B 1: one mean and one variance a position, never across positions or rows.
    variance = centred.square().mean(-1, keepdim=True)
    normalised = centred * torch.rsqrt(variance + eps) * weight
    return normalised if bias is None else normalised + bias


def rms_norm(
    hidden: Float[Tensor, "*B D"], weight: Float[Tensor, " D"], eps: float = 1e-5
) -> Float[Tensor, "*B D"]:
    """RMS normalisation: divide by the root mean square over the width, then scale.

    Nothing is centred: `y = x / sqrt(mean(x^2) + eps) * weight`.
    Zhang and Sennrich, 2019, equation 4.
    """
    mean_square = hidden.square().mean(-1, keepdim=True)
    return hidden * torch.rsqrt(mean_square + eps) * weight


class LayerNorm(nn.Module):
    """`layer_norm` with a learned weight and, unless `bias=False`, a learned bias."""

    def __init__(self, d_model: int, *, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))
        self.bias = nn.Parameter(torch.zeros(d_model)) if bias else None

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Normalise over the last axis."""
        return F.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(nn.Module):
    """`rms_norm` with a learned weight."""

    def __init__(self, d_model: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(d_model))

    def forward(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Normalise over the last axis."""
        # Under autocast the input may be in half precision and the weight in single.
        weight = self.weight.to(hidden.dtype)
        return F.rms_norm(hidden, weight.shape, weight, self.eps)
