"""Adam, with decay as part of the gradient, and AdamW, with decay apart from it. Written out.

A run uses `torch.optim.AdamW`, which does the same in one fused pass; the tests prove the two equal
step for step. Not here: which parameters decay (`groups.py`), and how `lr` moves
(`schedules.py`). Chapter 06 teaches this.
"""

from typing import Any

from torch import Tensor

from llmcourse.optim.base import (
    Parameters,
    PerParameterOptimizer,
    require_at_least_zero,
    require_betas,
)


class Adam(PerParameterOptimizer):
    """Adam: steps whose size does not depend on the gradient's (Kingma and Ba, 2015, algorithm 1).

    With gradient `g` at step `t`, which decay turns into `g + λ θ`, all elementwise:

        m ← β₁ m + (1 - β₁) g                    the mean of recent gradients
        v ← β₂ v + (1 - β₂) g²                   the mean of their squares
        m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)     both began at zero: undo that pull
        θ ← θ - lr · m̂ / (√v̂ + ε)

    Decay goes through the division like the rest of the gradient: where gradients are large, a
    weight hardly decays. `AdamW` mends that.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        betas: the decay rates of the mean gradient, β₁, and of the mean square, β₂.
        eps: what keeps the division finite, ε.
        weight_decay: λ of the L2 penalty `λ/2 |θ|²`.

    Raises:
        UserError: an option out of its range.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        for group in self.param_groups:
            require_at_least_zero(group, "lr", "eps", "weight_decay")
            require_betas(group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        # L2: the penalty's gradient λ θ joins the loss's, and is divided by √v̂ like it.
        gradient = gradient.add(parameter, alpha=group["weight_decay"])
        self._adapt(parameter, gradient, group)

    def _adapt(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Remember the gradient, and step by what is remembered."""
        beta1, beta2 = group["betas"]
        # m and v of algorithm 1, changed in place: they live in the optimizer's state.
        mean = self._state(parameter, "mean").mul_(beta1)
        mean.add_(gradient, alpha=1 - beta1)
        mean_square = self._state(parameter, "mean_square").mul_(beta2)
        mean_square.addcmul_(gradient, gradient, value=1 - beta2)
        t = self._count_step(parameter)
        # Both began at zero and are short by the factor 1 - βᵗ; ε stands outside the root.
        size = (mean_square / (1 - beta2**t)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(mean / (1 - beta1**t), size, value=-group["lr"])


class AdamW(Adam):
    """Adam with decoupled decay (Loshchilov and Hutter, 2019, algorithm 2).

    The gradient stays as it is, and the weight decays by itself:

        θ ← θ - lr · λ θ

    So every weight decays by the same fraction, however large its gradients are.

    Args:
        params: parameters, or groups of them.
        lr: the learning rate.
        betas: the decay rates of the mean gradient, β₁, and of the mean square, β₂.
        eps: what keeps the division finite, ε.
        weight_decay: λ; a step takes the fraction `lr λ` off every weight.

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
        super().__init__(params, lr, betas, eps, weight_decay)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        # First, and apart: the gradient, and so m and v, know nothing of the decay.
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        self._adapt(parameter, gradient, group)
