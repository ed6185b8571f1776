"""Numeric gradients, found by trying: nudge every number a little, and see what the loss does.

Slow, for it asks for the loss twice a number, and never wrong about which way is up: the referee of
every backward pass that was written by hand. Not here: those (`by_hand.py`). Chapter 06 uses it.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


@torch.no_grad()
def numeric_gradient(
    loss: Callable[[Tensor], Tensor], x: Float[Tensor, "*N"], nudge: float = 1e-6
) -> Float[Tensor, "*N"]:
    """The gradient of `loss` at `x`, by central differences.

    `(loss(x + h) - loss(x - h)) / 2h` for a nudge `h` of one number at a time. The error of the
    formula falls with `h²`, that of rounding grows with `1 / h`; in float64 a nudge of 1e-6 leaves
    about nine digits, in float32 none to speak of.

    Args:
        loss: from a tensor like `x` to one number.
        x: where to ask; it is left as it is.
        nudge: by how much to move a number, either way.
    """
    moved = x.detach().clone()
    flat = moved.view(-1)
    slopes = []
    for index in range(flat.numel()):
        usual = flat[index].item()
        flat[index] = usual + nudge
        above = loss(moved).item()
        flat[index] = usual - nudge
        below = loss(moved).item()
        flat[index] = usual
        slopes.append((above - below) / (2 * nudge))
    return torch.tensor(slopes, dtype=x.dtype).view(x.shape)
