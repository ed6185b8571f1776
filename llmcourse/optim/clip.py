"""Clipping: gradients shortened, all by one factor, when together they are too long.

A run uses `torch.nn.utils.clip_grad_norm_`, which the tests prove equal. Chapter 06 teaches this.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError

EPS = 1e-6
"""Added to the norm, so that the division by it is finite."""


def global_norm(tensors: Iterable[Tensor]) -> Float[Tensor, ""]:
    """The Euclidean norm of all the numbers in all the tensors, `√Σ x²`; 0 of none."""
    # The norm of the norms is the norm of all numbers, with no copy of them in one row.
    norms = [torch.linalg.vector_norm(tensor) for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros(())


@torch.no_grad()
def clip_by_global_norm(parameters: Iterable[Tensor], max_norm: float) -> Float[Tensor, ""]:
    """Clip the gradients, in place, to a global norm of at most `max_norm`.

    All are scaled by `min(1, max_norm / norm)`, so the direction of the step stays
    (Pascanu et al., 2013, algorithm 1). Returns the norm before that.

    Raises:
        UserError: `max_norm` is not above 0.
    """
    if not max_norm > 0:
        raise UserError(f"max_norm={max_norm} must be above 0; to leave gradients alone, use inf")
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = global_norm(gradients)
    # Never above 1: gradients that are short enough stay as they are.
    factor = (max_norm / (norm + EPS)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor)
    return norm
