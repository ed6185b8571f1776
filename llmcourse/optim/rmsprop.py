"""RMSProp: each weight's step divided by the size of its recent gradients. Written out.

The tests prove it equal to `torch.optim.RMSprop` step for step. Not here: momentum on top
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


class RMSProp(PerParameterOptimizer):
    """RMSProp: steps of about one size for every weight (Tieleman and Hinton, 2012, lecture 6e).

    With gradient `g`, which decay turns into `g + λ θ`, all elementwise:

        v ← α v + (1 - α) g²                     the mean of recent squares
        θ ← θ - lr · g / (√v + ε)

    The mean begins at zero and nothing undoes that: the first steps are too long, by a factor of up
    to `1 / √(1 - α)`. Adam is this with that mended, and momentum.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        alpha: the decay rate of the mean square, α.
        eps: what keeps the division finite, ε.
        weight_decay: λ; decay is part of the gradient here, the L2 penalty `λ/2 |θ|²`.

    Raises:
        UserError: an option out of its range.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "eps", "weight_decay")
            require_betas(group, "alpha")

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        alpha = group["alpha"]
        mean_square = self._state(parameter, "mean_square").mul_(alpha)
        mean_square.addcmul_(gradient, gradient, value=1 - alpha)
        # Divided by its own recent size, a gradient is near ±1: a step is near `lr` for any scale.
        parameter.addcdiv_(gradient, mean_square.sqrt().add_(group["eps"]), value=-group["lr"])
