"""One call of a check: a case's arguments as they are, in float64, non-contiguous, with gradients.

Not here: what is called (`harness.py`) and how it is kept in hand (`sandbox.py`).
"""

import copy
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from llmcourse.checks import sandbox
from llmcourse.checks.compare import difference
from llmcourse.checks.sandbox import Outcome

Call = Callable[..., Any]
"""Turns an answer and a case's arguments into a result: `call(answer, *args, **kwargs)`."""


def plainly(answer: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Call the answer with the case's arguments, as one calls a function."""
    return answer(*args, **kwargs)


@dataclass(frozen=True)
class Case:
    """The arguments of one call, and a name that says what is special about them."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    gradients: bool = False

    def variants(self, kind: str) -> list["Case"]:
        """The same call in another way; empty where that would change nothing.

        Raises:
            KeyError: there is no variant of this kind.
        """
        name = f"{self.name}, {kind}"
        if kind == "gradients":
            return [replace(self, name=name, gradients=True)]
        change = {"float64": _to_float64, "non-contiguous": _scatter}[kind]
        changes: list[bool] = []
        args, kwargs = _map_tensors((self.args, self.kwargs), change, changes)
        return [Case(name, args, kwargs)] if any(changes) else []

    def with_own_arguments(self) -> "Case":
        """The same call on copies: an answer that empties a table empties nobody else's."""
        try:
            args, kwargs = copy.deepcopy((self.args, self.kwargs))
        except Exception:  # some arguments cannot be copied: their makers make them anew each time
            return self
        return replace(self, args=args, kwargs=kwargs)

    def named(self, signature_of: Callable[..., Any], skip: int) -> dict[str, Any]:
        """The arguments by the names that `signature_of` has for them, less its first `skip`."""
        bound = _signature(signature_of).bind(*[None] * skip, *self.args, **self.kwargs)
        return dict(list(bound.arguments.items())[skip:])


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)


def run(case: Case, answer: Any, call: Call, named: dict[str, Any], seconds: float) -> Outcome:
    """Hand the case's arguments to `answer`, and see what comes back and what it did to them."""
    if case.gradients:
        leaves: dict[str, Tensor] = {}
        args, kwargs = _with_gradients(case, named, leaves)
        return sandbox.run(
            lambda: _gradients(call(answer, *args, **kwargs), leaves), answer, seconds
        )
    before = {name: _snapshot(value) for name, value in named.items()}
    outcome = sandbox.run(lambda: call(answer, *case.args, **case.kwargs), answer, seconds)
    changed = tuple(
        name
        for name, value in named.items()
        if difference(before[name], _snapshot(value), tolerance=0.0)
    )
    return outcome if outcome.error or outcome.timed_out else replace(outcome, changed=changed)


def _with_gradients(
    case: Case, named: dict[str, Any], leaves: dict[str, Tensor]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with every floating tensor made a leaf; fills `leaves` with them by name."""
    made = {}
    for name, value in named.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            leaves[name] = made[id(value)] = value.detach().requires_grad_()
    args = tuple(made.get(id(value), value) for value in case.args)
    return args, {name: made.get(id(value), value) for name, value in case.kwargs.items()}


class Gradients(dict[str, Tensor | None]):
    """The gradient with respect to each floating argument; None where nothing flows back."""

    def difference(self, actual: "Gradients", tolerance: float | None) -> str | None:
        """What is wrong with `actual`, as a clause of its own; None if nothing is."""
        for name, gradient in self.items():
            other = actual[name]
            if other is None and gradient is not None and gradient.any():
                return f"no gradient flows back to {name}: look for .detach(), .item() or no_grad"
            if other is not None:  # that nothing flows and that zero flows is the same
                wanted = torch.zeros_like(other) if gradient is None else gradient
                if found := difference(wanted, other, tolerance=tolerance):
                    return f"the gradient of {name} {found}"
        return None


def _gradients(result: Any, leaves: dict[str, Tensor]) -> Gradients:
    """The gradients of a weighted sum of the result.

    The weights rise from 1 to 2: a plain sum would have no gradient through a softmax.
    """
    outputs = [t for t in _tensors(result) if t.is_floating_point() and t.requires_grad]
    if not outputs:
        return Gradients((name, None) for name in leaves)
    ramps = [torch.linspace(1, 2, t.numel()).to(t).view(t.shape) for t in outputs]
    with torch.enable_grad():  # which the answer may have turned off, and left off
        weighted = [(t * ramp).sum() for t, ramp in zip(outputs, ramps, strict=True)]
    # an answer may have held one of them still: then nothing flows back to it
    asked = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    found: Sequence[Tensor | None] = torch.autograd.grad(
        weighted, list(asked.values()), allow_unused=True
    )
    reached = dict(zip(asked, found, strict=True))
    return Gradients((name, reached.get(name)) for name in leaves)


def _tensors(value: Any) -> list[Tensor]:
    """Every tensor in a result, however it is nested."""
    found: list[Tensor] = []
    _map_tensors(value, lambda tensor: found.append(tensor) or tensor, [])
    return found


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor], changes: list[bool]) -> Any:
    """`value` with `change` applied to its tensors; `changes` hears whether each is a new one."""
    if isinstance(value, Tensor):
        new = change(value)
        changes.append(new is not value)
        return new
    if isinstance(value, dict):
        return {key: _map_tensors(item, change, changes) for key, item in value.items()}
    if isinstance(value, tuple | list):
        items = [_map_tensors(item, change, changes) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def _to_float64(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


def _scatter(tensor: Tensor) -> Tensor:
    """The same numbers laid out otherwise in memory, so that `view` cannot merge axes."""
    if tensor.numel() < 2:
        return tensor
    if tensor.ndim == 1:
        return torch.stack([tensor, tensor], dim=-1)[:, 0]
    backwards = tuple(reversed(range(tensor.ndim)))
    return tensor.permute(backwards).contiguous().permute(backwards)


def _snapshot(value: Any) -> Any:
    """A copy of what an argument holds, to see later whether it was changed; None if unknown."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, nn.Module):
        return {name: tensor.detach().clone() for name, tensor in value.state_dict().items()}
    if isinstance(value, np.ndarray | set):
        return value.copy()
    if isinstance(value, dict):
        return {key: _snapshot(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_snapshot(item) for item in value]
    return value if isinstance(value, str | int | float | bytes) else None
