"""Muon: a matrix's step, made to move every direction alike. Written out.

In bfloat16 the tests prove it equal, step for step, to `torch.optim.Muon`, which knows no other
format; on a processor it multiplies in float32. A run uses the batched form, below. Not here: which
parameters are matrices in this sense (`groups.py`), and the rest, which AdamW takes (`adam.py`).
Chapter 06 teaches this.
"""

import math
from collections import defaultdict
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.device import sliced_like, whole
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
    matrix: Float[Tensor, "*n M N"], steps: int = 5, dtype: torch.dtype | None = None
) -> Float[Tensor, "*n M N"]:
    """Orthogonalise a matrix: roughly `U Vᵀ` of the matrix's singular value decomposition `U S Vᵀ`.

    Newton-Schulz iteration: an odd polynomial of a matrix acts on its singular values alone,

        X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X

    maps each `s` to `a s + b s³ + c s⁵`. From a matrix of Frobenius norm 1, five steps bring every
    `s` above 0.005 to between 0.68 and 1.16. That is near enough: to be exact would take more steps
    and train no better.
    Jordan et al., 2024 (the iteration); Björck and Bowie, 1971 (the idea).

    Args:
        matrix: what to orthogonalise, or a stack of such; zero stays zero.
        steps: how often to iterate.
        dtype: the format to multiply in; unless given, float32 on a CPU, most of which have no
            units for bfloat16, and elsewhere bfloat16, whose rounding is below what five steps
            leave open.
    """
    a, b, c = COEFFICIENTS
    if dtype is None:
        dtype = torch.float32 if matrix.device.type == "cpu" else torch.bfloat16
    is_tall = matrix.size(-2) > matrix.size(-1)
    x = (matrix.mT if is_tall else matrix).to(dtype)  # wide, so that X Xᵀ is the smaller product
    # No singular value exceeds the Frobenius norm: after this all lie in [0, 1], as they must.
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=EPS)
    for _ in range(steps):
        gram = x @ x.mT
        x = _multiply_add(x, _multiply_add(gram, gram, gram, b, c), x, a, 1.0)
    return (x.mT if is_tall else x).to(matrix.dtype)


def _multiply_add(bias: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Tensor:
    """`beta · bias + alpha · left right`, in one kernel, for one matrix or a stack."""
    fused = torch.addmm if bias.ndim == 2 else torch.baddbmm
    return fused(bias, left, right, beta=beta, alpha=alpha)


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
        dtype: the format that it multiplies in; what suits the device unless given.

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
        dtype: torch.dtype | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "steps": steps,
            "dtype": dtype,
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
        update = orthogonalize(
            self._ahead(parameter, gradient, group), group["steps"], group["dtype"]
        )
        self._move(parameter, update, group)

    def _ahead(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        """The mean gradient, looked ahead to as Nesterov does."""
        momentum = group["momentum"]
        # Written with lerp, whose rounding is the library's: a last bit lost here is a whole digit
        # after the iteration in bfloat16.
        mean = self._state(parameter, "momentum_buffer").lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)

    def _move(self, parameter: Tensor, update: Tensor, group: dict[str, Any]) -> None:
        # The N columns of a tall U Vᵀ have length 1 and entries near 1/√M: make them 1/√N, as the
        # rows of a wide one have.
        tall = max(1, parameter.size(0) / parameter.size(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * math.sqrt(tall))


class BatchedMuon(Muon):
    """The same steps, all matrices of one shape orthogonalised together.

    A model has a few shapes and many matrices of each, too small to keep a processor busy alone.
    """

    def _update_group(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                ahead = self._ahead(parameter, parameter.grad, group)
                by_shape[parameter.shape].append((parameter, ahead))
        for alike in by_shape.values():
            # Orthogonal is a matrix as a whole: one that lies in slices is put together first.
            stack = torch.stack([whole(ahead) for _, ahead in alike])
            updates = orthogonalize(stack, group["steps"], group["dtype"])
            for (parameter, _), update in zip(alike, updates, strict=True):
                self._move(parameter, sliced_like(update, parameter), group)
