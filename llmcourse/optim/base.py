"""What the written-out optimizers share: the loop over parameters, and the checks of options.

Not here: the rules by which a parameter moves (`sgd.py`, `rmsprop.py`, `adam.py`, `lion.py`,
`muon.py`). Chapter 06 teaches those.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from llmcourse.errors import UserError

Parameters = Iterable[Tensor] | Iterable[dict[str, Any]]
"""Parameters, or groups of them: dicts with `params` and whatever options differ in the group."""


class PerParameterOptimizer(Optimizer, ABC):
    """An optimizer that updates each parameter by itself: a subclass says how, in `_update`.

    What it keeps of a parameter is tensors alone, so that a checkpoint can hold it.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient; returns what `closure` returns."""
        loss = None
        if closure is not None:
            # It calls `backward`, for which gradients have to be on again.
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update_group(group)
        return loss

    def _update_group(self, group: dict[str, Any]) -> None:
        """Take one step with every parameter of a group that has a gradient."""
        for parameter in group["params"]:
            if parameter.grad is not None:
                self._update(parameter, parameter.grad, group)

    @abstractmethod
    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take one step with one parameter; the gradient is left as it is."""

    def _state(self, parameter: Tensor, name: str) -> Tensor:
        """The state of a parameter under a name, of the parameter's shape; zeros at first."""
        state = self.state[parameter]
        # At the first step, not when it is built: by then the parameter is on its device.
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]

    def _count_step(self, parameter: Tensor) -> int:
        """How many updates the parameter has had, this one included."""
        # A tensor, for it goes into the checkpoint; of the CPU, for a GPU would have to be awaited.
        count = self.state[parameter].setdefault("step", torch.zeros((), dtype=torch.int64))
        return int(count.add_(1))


def require_at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Check options of a parameter group.

    Raises:
        UserError: one of them is negative, infinite or no number.
    """
    for name in names:
        if not 0 <= group[name] < math.inf:
            raise UserError(f"{name}={group[name]} must be a number of at least 0")


def require_betas(group: dict[str, Any], name: str = "betas") -> None:
    """Check the decay rates of an optimizer's running means: one number, or several.

    Raises:
        UserError: one of them is not in [0, 1).
    """
    betas = group[name] if isinstance(group[name], tuple | list) else (group[name],)
    if not all(0 <= beta < 1 for beta in betas):
        raise UserError(f"{name}={group[name]} must be at least 0 and below 1")
