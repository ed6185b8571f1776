"""Dropout, written out: in training a random fraction of the numbers is zero.

Models use `nn.Dropout`, which the tests prove equal. Not here: where in a block it stands
(`blocks.py`, `attention.py`). Chapter 06 teaches this.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError


def dropout(
    x: Float[Tensor, "*N"], p: float, generator: torch.Generator | None = None
) -> Float[Tensor, "*N"]:
    """Dropout: set each number to zero with probability `p`, and divide the others by `1 - p`.

    So the mean stays what it was, and nothing has to change when dropout is off. A unit that may be
    gone tomorrow cannot be relied on by one other alone (Srivastava et al., 2014).

    Args:
        x: activations, in training; in evaluation do not call it.
        p: the fraction that is dropped.
        generator: where chance comes from; the global one unless given.

    Raises:
        UserError: `p` is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise UserError(f"p={p} is the fraction that is dropped: give a number from 0 to 1")
    # E[kept] = 1 - p, so the division keeps the mean; with p = 1 nothing is left to divide.
    kept = torch.empty_like(x).bernoulli_(1 - p, generator=generator)
    return x * kept / (1 - p) if p < 1 else torch.zeros_like(x)
