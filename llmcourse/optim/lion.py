"""Lion: only the sign of the momentum counts. Written out.

Not here: optimizers that weigh a step by the gradient's size (`sgd.py`) or by its own history
(`adam.py`). Chapter 06 teaches this.
"""

from typing import Any

from torch import Tensor

from llmcourse.optim.base import (
    Parameters,
    PerParameterOptimizer,
    require_at_least_zero,
    require_betas,
)


class Lion(PerParameterOptimizer):
    """Lion: every weight moves by exactly `lr`, up or down (Chen et al., 2023, algorithm 2).

    With gradient `g`, all elementwise:

        u = sign(β₁ m + (1 - β₁) g)              which way
        θ ← θ - lr · λ θ                         decoupled decay
        θ ← θ - lr · u
        m ← β₂ m + (1 - β₂) g                    a longer mean than the step's

    Its state is half of Adam's. Its steps are larger than Adam's at the same `lr`: take one three
    to ten times smaller, and a decay as many times larger.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        betas: the weight of the mean in a step, β₁, and its decay rate, β₂.
        weight_decay: λ; a step takes the fraction `lr λ` off every weight.

    Raises:
        UserError: an option out of its range.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "weight_decay")
            require_betas(group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        lr, (beta1, beta2) = group["lr"], group["betas"]
        mean = self._state(parameter, "mean")
        # lerp(a, b, t) = (1 - t) a + t b. Of the step's own mean only the sign is left.
        direction = mean.lerp(gradient, 1 - beta1).sign_()
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.add_(direction, alpha=-lr)
        # The mean that is kept moves last, and by β₂: the step above has used the old one.
        mean.lerp_(gradient, 1 - beta2)
