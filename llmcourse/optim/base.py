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


class OneByOne(Optimizer, ABC):
    """An optimizer that moves each parameter by itself: a subclass says how, in `_move`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step for every parameter that has a gradient; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    @abstractmethod
    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """Take one step with one parameter; the gradient is left as it is."""

    def _memory(self, parameter: Tensor, name: str) -> Tensor:
        """What the optimizer remembers of a parameter under a name; zeros at first."""
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(parameter)
        return state[name]


def require_at_least_zero(group: dict[str, Any], *names: str) -> None:
    """Check options of a parameter group.

    Raises:
        UserError: one of them is negative, infinite or no number.
    """
    for name in names:
        if not 0 <= group[name] < math.inf:
            raise UserError(f"{name}={group[name]} must be a number of at least 0")


def require_memories(group: dict[str, Any], name: str = "betas") -> None:
    """Check the option that says how long an optimizer remembers: one share, or several.

    Raises:
        UserError: one of them is not in [0, 1).
    """
    shares = group[name] if isinstance(group[name], tuple | list) else (group[name],)
    if not all(0 <= share < 1 for share in shares):
        raise UserError(f"{name}={group[name]} must be at least 0 and below 1")
