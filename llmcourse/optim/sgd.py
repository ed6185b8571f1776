"""Gradient descent: straight down, with momentum, and with Nesterov's look ahead. Written out.

The tests prove it equal to `torch.optim.SGD` step for step. Not here: steps whose size does not
depend on the gradient's (`rmsprop.py`, `adam.py`). Chapter 06 teaches this.
"""

from typing import Any

from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.optim.base import (
    Parameters,
    PerParameterOptimizer,
    require_at_least_zero,
    require_betas,
)


class SGD(PerParameterOptimizer):
    """Stochastic gradient descent (Robbins and Monro, 1951).

    With gradient `g`, which decay turns into `g + λ θ`:

        b ← μ b + g                              momentum (Polyak, 1964); b = g where μ = 0
        θ ← θ - lr · b                           or, with Nesterov's look ahead (1983),
        θ ← θ - lr · (g + μ b)

    In a constant slope momentum multiplies the step by `1 / (1 - μ)`: with 0.9, by ten.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        momentum: the decay rate of the running sum of gradients, μ.
        nesterov: whether to step from where momentum is about to lead.
        weight_decay: λ; decay is part of the gradient here, the L2 penalty `λ/2 |θ|²`.

    Raises:
        UserError: an option out of its range, or Nesterov's look ahead without momentum.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "weight_decay")
            require_betas(group, "momentum")
            if group["nesterov"] and not group["momentum"]:
                raise UserError("nesterov=True looks ahead along the momentum: give momentum=0.9")

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        momentum = group["momentum"]
        # The penalty's gradient λ θ is part of the gradient, and so of the momentum.
        step = gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if momentum:
            step = self._state(parameter, "momentum").mul_(momentum).add_(gradient)
            if group["nesterov"]:
                # b counts once more: the step is taken from where momentum leads.
                step = gradient.add(step, alpha=momentum)
        parameter.add_(step, alpha=-group["lr"])
