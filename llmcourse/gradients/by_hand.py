"""Backward passes by hand: softmax with cross-entropy, LayerNorm, attention.

Each function takes what the forward pass knew and `gradient`, the loss's gradient with respect to
what came out, and returns the gradients with respect to what went in. A layer asks no more than
that; a network is a chain of such answers. The tests prove them equal to the library's autograd,
and to differences found by nudging. Not here: the forward passes (`nn/`, `objectives/`), and how a
machine finds the same by itself (`scalar.py`). Chapter 06 derives them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class ProductGradients(NamedTuple):
    """The gradients of a matrix product with respect to its two factors."""

    a: Float[Tensor, "*B M N"]
    b: Float[Tensor, "*B N P"]


def product_gradients(
    a: Float[Tensor, "*B M N"], b: Float[Tensor, "*B N P"], gradient: Float[Tensor, "*B M P"]
) -> ProductGradients:
    """Gradients of `C = A B`: `dA = dC Bᵀ` and `dB = Aᵀ dC`.

    No other product of the three has the right shapes, which is how to remember it.
    """
    return ProductGradients(gradient @ b.mT, a.mT @ gradient)


def softmax_gradient(
    weights: Float[Tensor, "*B S"], gradient: Float[Tensor, "*B S"]
) -> Float[Tensor, "*B S"]:
    """Gradient of `p = softmax(z)` over the last axis, with respect to `z`: `p (g - Σ p g)`.

    What all scores of a row gain alike, softmax does not see: the row's entries sum to zero.
    """
    return weights * (gradient - (weights * gradient).sum(-1, keepdim=True))


def cross_entropy_gradient(
    logits: Float[Tensor, "*B V"], targets: Int[Tensor, "*B"], label_smoothing: float = 0.0
) -> Float[Tensor, "*B V"]:
    """Gradient of the cross-entropy, summed over positions, with respect to the logits: `p - y`.

    `p` is what the model believes, `y` what it should: 1 for the target, or with smoothing `ε`,
    `1 - ε` for the target and `ε / V` for each token, the target included.
    """
    wanted = torch.zeros_like(logits).scatter_(-1, targets[..., None], 1.0)
    wanted = (1 - label_smoothing) * wanted + label_smoothing / logits.size(-1)
    return logits.softmax(-1) - wanted


class LayerNormGradients(NamedTuple):
    """The gradients of LayerNorm with respect to what it reads and what it has learned."""

    hidden: Float[Tensor, "*B D"]
    weight: Float[Tensor, " D"]
    bias: Float[Tensor, " D"]


def layer_norm_gradients(
    hidden: Float[Tensor, "*B D"],
    weight: Float[Tensor, " D"],
    gradient: Float[Tensor, "*B D"],
    eps: float = 1e-5,
) -> LayerNormGradients:
    """Gradients of `y = n w + b` with `n = (x - mean(x)) / s` and `s = sqrt(var(x) + eps)`.

        dn = dy w
        dx = (dn - mean(dn) - n mean(dn n)) / s
        dw = Σ dy n,  db = Σ dy                  over all positions

    The two means are what the norm removes: a gradient that shifts all entries alike, or that makes
    the whole vector longer, would change nothing, and is taken out (Ba et al., 2016).
    """
    centred = hidden - hidden.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + eps)  # 1 / s
    normal = centred * scale
    dn = gradient * weight
    along = (dn * normal).mean(-1, keepdim=True)
    dx = scale * (dn - dn.mean(-1, keepdim=True) - normal * along)
    positions = tuple(range(hidden.ndim - 1))
    if not positions:
        return LayerNormGradients(dx, gradient * normal, gradient)
    return LayerNormGradients(dx, (gradient * normal).sum(positions), gradient.sum(positions))


class AttentionGradients(NamedTuple):
    """The gradients of attention with respect to queries, keys and values."""

    q: Float[Tensor, "*B T K"]
    k: Float[Tensor, "*B S K"]
    v: Float[Tensor, "*B S K"]


def attention_gradients(
    q: Float[Tensor, "*B T K"],
    k: Float[Tensor, "*B S K"],
    v: Float[Tensor, "*B S K"],
    gradient: Float[Tensor, "*B T K"],
    mask: Bool[Tensor, "*#B T S"] | None = None,
) -> AttentionGradients:
    """Gradients of `o = p v` with `p = softmax(z)` and `z = q kᵀ / √K`, step by step.

        dp = do vᵀ,  dv = pᵀ do                  a product
        dz = p (dp - Σ p dp)                     a softmax, row by row
        dq = dz k / √K,  dk = dzᵀ q / √K         a product, and a scale

    `mask` is True where a query may look; each may look somewhere. A weight of zero sends nothing
    back, so what was hidden learns nothing (Dao et al., 2022, appendix B, recompute `p` like that).
    """
    scale = q.size(-1) ** -0.5
    scores = q @ k.mT * scale  # *B T S
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    d_weights, dv = product_gradients(weights, v, gradient)
    d_scores = softmax_gradient(weights, d_weights)
    dq, dk = product_gradients(q, k.mT, d_scores * scale)
    return AttentionGradients(dq, dk.mT, dv)
