"""What an answer changed for everybody, put back: a function replaced in `math` or in `torch`.

    with unpatched() as found:
        ...                 # the modules are as they were when the checks were imported
    found                   # ["math.log"]: what the block replaced, and what was put back

Not here: random generators and settings (`sandbox.py`). No chapter teaches this.
"""

import builtins
import contextlib
import math
import random
from collections.abc import Generator
from typing import Any

import numpy as np
import torch

_WATCHED: dict[str, Any] = {
    "builtins": builtins,
    "math": math,
    "random": random,
    "numpy": np,
    "torch": torch,
    "torch.linalg": torch.linalg,
    "torch.nn.functional": torch.nn.functional,
    "torch.nn.Module": torch.nn.Module,
    "torch.Tensor": torch.Tensor,
}
_SETTINGS = {"torch.Storage", "torch.manual_seed"}
"""What changes with a setting, such as the default format of numbers, or by PyTorch itself: the
first step of an optimizer imports its compiler, which wraps `manual_seed`."""

_PRISTINE = {name: dict(vars(place)) for name, place in _WATCHED.items()}
_MISSING = object()


@contextlib.contextmanager
def unpatched() -> Generator[list[str]]:
    """Run the block with the watched modules as they came; leave them as they were before it.

    The list that the block gets is filled at its end, with what the block itself replaced.
    """
    before = {name: dict(vars(place)) for name, place in _WATCHED.items()}
    found: list[str] = []
    for name, place in _WATCHED.items():
        _put_back(place, _changed(place, _PRISTINE[name]), _PRISTINE[name])
    try:
        yield found
    finally:
        for name, place in _WATCHED.items():
            changed = _changed(place, _PRISTINE[name])
            found += [f"{name}.{attribute}" for attribute in changed]
            _put_back(place, changed, _PRISTINE[name])
            others = [a for a, value in _PRISTINE[name].items() if before[name].get(a) is not value]
            _put_back(place, others, before[name])


def _changed(place: Any, pristine: dict[str, Any]) -> list[str]:
    """The attributes that are not what they were; of a class the new ones too.

    Modules get new ones all the time, when something is imported.
    """
    now = vars(place)
    changed = [
        name
        for name, value in pristine.items()
        if not name.startswith("__") and now.get(name, _MISSING) is not value
    ]
    changed = [name for name in changed if f"{place.__name__}.{name}" not in _SETTINGS]
    if isinstance(place, type):
        changed += [name for name in now if name not in pristine]
    return changed


def _put_back(place: Any, names: list[str], values: dict[str, Any]) -> None:
    for name in names:
        if name in values:
            setattr(place, name, values[name])
        elif name in vars(place):
            delattr(place, name)
