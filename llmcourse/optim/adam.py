"""Adam with decoupled weight decay, written out.

A run uses `torch.optim.AdamW`, which does the same in one fused pass; the tests prove the two equal
step for step. Not here: which parameters decay (`groups.py`), and how the rate moves
(`schedules.py`). Chapter 06 teaches this.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from llmcourse.errors import UserError

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Parameters, or groups of them: dicts with `params` and whatever options differ in the group."""


class AdamW(Optimizer):
    """Steps of a size that does not depend on the gradient's (Loshchilov and Hutter, 2019).

    With gradient `g` at step `t`, all elementwise:

        m ← β₁ m + (1 - β₁) g                    the mean of recent gradients
        v ← β₂ v + (1 - β₂) g²                   the mean of their squares
        m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)     both began at zero: undo that pull
        θ ← θ - lr · λ θ                         decay, apart from the gradient
        θ ← θ - lr · m̂ / (√v̂ + ε)

    Kingma and Ba, 2015, algorithm 1, with the decay of Loshchilov and Hutter, algorithm 2.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        betas: the memory of the gradient, β₁, and of its square, β₂.
        eps: what keeps the division finite, ε.
        weight_decay: the share of a weight, times the rate, that a step takes off, λ.

    Raises:
        UserError: an option out of its range.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "eps", "weight_decay")
            if not all(0 <= beta < 1 for beta in group["betas"]):
                raise UserError(f"betas={group['betas']} must be at least 0 and below 1")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient; returns what `closure` returns."""
        loss = evaluate_closure(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return loss

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            state["mean"] = torch.zeros_like(parameter)
            state["mean_square"] = torch.zeros_like(parameter)
        state["step"] += 1
        lr, (beta1, beta2) = group["lr"], group["betas"]
        state["mean"].mul_(beta1).add_(gradient, alpha=1 - beta1)
        state["mean_square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        mean = state["mean"] / (1 - beta1 ** state["step"])
        mean_square = state["mean_square"] / (1 - beta2 ** state["step"])
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.addcdiv_(mean, mean_square.sqrt().add_(group["eps"]), value=-lr)


def require_at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Check options of a parameter group.

    Raises:
        UserError: one of them is negative, infinite or no number.
    """
    for name in names:
        if not 0 <= group[name] < math.inf:
            raise UserError(f"{name}={group[name]} must be a number of at least 0")


def evaluate_closure(closure: Callable[[], Any] | None) -> Any:
    """What the closure of an optimizer's `step` returns, with gradients; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
