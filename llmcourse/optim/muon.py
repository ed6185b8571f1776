"""Muon: a matrix's step, made to move every direction alike. Written out.

A run uses `torch.optim.Muon`; the tests prove the two equal step for step. Not here: which
parameters are matrices in this sense (`groups.py`), and the rest, which AdamW takes (`adam.py`).
Chapter 06 teaches this.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.optim.base import (
    Parameters,
    PerParameterOptimizer,
    require_at_least_zero,
    require_betas,
)

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic `a s + b s³ + c s⁵`: as steep at zero as it can be while it stays near one."""

EPS = 1e-7
"""The least norm that a matrix is divided by."""


def orthogonalize(
    matrix: Float[Tensor, "M N"], steps: int = 5, dtype: torch.dtype = torch.bfloat16
) -> Float[Tensor, "M N"]:
    """Orthogonalise a matrix: roughly `U Vᵀ` of the matrix's singular value decomposition `U S Vᵀ`.

    Newton-Schulz iteration: an odd polynomial of a matrix acts on its singular values alone,

        X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X

    maps each `s` to `a s + b s³ + c s⁵`. From a matrix of Frobenius norm 1, five steps bring every
    `s` above 0.005 to between 0.68 and 1.16. That is near enough: to be exact would take more steps
    and train no better.
    Jordan et al., 2024 (the iteration); Björck and Bowie, 1971 (the idea).

    Args:
        matrix: what to orthogonalise; zero stays zero.
        steps: how often to iterate.
        dtype: the format to multiply in. Its rounding is below what five steps leave open.
    """
    a, b, c = COEFFICIENTS
    wide = matrix.mT if matrix.size(0) > matrix.size(1) else matrix  # X Xᵀ is then the smaller one
    x = wide.to(dtype)
    # No singular value exceeds the Frobenius norm: after this all lie in [0, 1], as they must.
    x = x / x.norm().clamp(min=EPS)
    for _ in range(steps):
        gram = x @ x.mT
        # addmm(C, A, B) = beta C + alpha A B: here a X + (b G + c G²) X with G = X Xᵀ.
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if wide is not matrix else x).to(matrix.dtype)


class Muon(PerParameterOptimizer):
    """Muon: momentum, orthogonalised (Jordan et al., 2024). For matrices between hidden states.

    With gradient `G` of a matrix of shape `[M, N]`:

        B ← μ B + (1 - μ) G                      momentum
        O = orthogonalize((1 - μ) G + μ B)       Nesterov's look ahead
        W ← W - lr · λ W                         decoupled decay
        W ← W - lr · √max(1, M / N) · O          a wide and a tall matrix move their outputs alike

    A gradient's few large singular values would take most of an ordinary step; here all count the
    same.

    Args:
        params: matrices, or groups of them.
        lr: the learning rate; about the fraction of a matrix's size that a step may change.
        weight_decay: λ; a step takes the fraction `lr λ` off every weight.
        momentum: the decay rate of the mean gradient, μ.
        steps: of the iteration in `orthogonalize`.

    Raises:
        UserError: an option out of its range, or a parameter that is no matrix.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        steps: int = 5,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "steps": steps,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "weight_decay", "steps")
            require_betas(group, "momentum")
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise UserError(
                        f"Muon takes matrices, not a parameter of shape {tuple(parameter.shape)}: "
                        "give it to AdamW (optim.groups.split_for_muon tells them apart)"
                    )

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, momentum = group["lr"], group["momentum"]
        # Written with lerp, whose rounding is the library's: a last bit lost here is a whole digit
        # after the iteration in bfloat16.
        mean = self._state(parameter, "momentum").lerp_(gradient, 1 - momentum)
        update = orthogonalize(gradient.lerp(mean, momentum), group["steps"])
        # The N columns of a tall U Vᵀ have length 1 and entries near 1/√M: make them 1/√N, as the
        # rows of a wide one have.
        tall = max(1, parameter.size(0) / parameter.size(1))
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.add_(update, alpha=-lr * math.sqrt(tall))
