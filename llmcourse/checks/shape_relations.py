"""What numbers have to do with the right ones where their shape is another one.

    of_another_shape([(truth, got), ...])    # "All is right, and the first entry ... is missing."

Not here: numbers of the right shape (`number_relations.py`). No chapter teaches this.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from llmcourse.checks.number_relations import near


def _is_cut(axis: int, kept: slice, swap: bool = False) -> Callable[[Any, Any], bool]:
    """Whether one of two arrays is the other without some entries along an axis."""

    def holds(truth: np.ndarray, got: np.ndarray) -> bool:
        long, short = (got, truth) if swap else (truth, got)
        if long.ndim != short.ndim or not long.ndim or long.size <= short.size:
            return False
        cut = np.moveaxis(np.moveaxis(long, axis, 0)[kept], 0, axis)
        return cut.shape == short.shape and near(cut, short)

    return holds


def _is_part(axis: int, end: bool) -> Callable[[Any, Any], bool]:
    """Whether the right array goes on, or begins earlier, along an axis."""

    def holds(truth: np.ndarray, got: np.ndarray) -> bool:
        if truth.ndim != got.ndim or not got.ndim or not 0 < got.shape[axis] < truth.shape[axis]:
            return False
        size = got.shape[axis]
        kept = slice(-size, None) if end else slice(size)
        cut = np.moveaxis(np.moveaxis(truth, axis, 0)[kept], 0, axis)
        return cut.shape == got.shape and near(cut, got)

    return holds


_CUT = tuple(
    (said.format(what), _is_cut(axis, kept, swap))
    for axis, what in ((0, "along the first axis"), (-1, "along the last axis"))
    for kept, swap, said in (
        (slice(1, None), False, "All is right, and the first entry {} is missing."),
        (slice(None, -1), False, "All is right, and the last entry {} is missing."),
        (slice(1, None), True, "All is right, and an entry {} stands before it."),
        (slice(None, -1), True, "All is right, and there is one entry {} too many at its end."),
    )
)


def of_another_shape(arrays: list[tuple[np.ndarray | None, np.ndarray | None]]) -> str | None:
    """Tensors of other shapes: one entry more or less, an axis kept, dropped or moved."""
    if any(truth is None or got is None for truth, got in arrays):
        return None
    looks: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
        *_CUT,
        ("The numbers are right; an axis of size 1 is there too much or too little.",
         lambda t, g: t.size == g.size and near(t.squeeze(), g.squeeze())
         if t.squeeze().shape == g.squeeze().shape else False),
        *((f"All is right {where}, and what {comes} is missing.", _is_part(axis, end))
          for axis, where in ((-1, "along the last axis"), (0, "along the first axis"))
          for end, comes in ((False, "comes after it"), (True, "comes before it"))),
        ("The right numbers are there, with the last two axes exchanged.",
         lambda t, g: t.ndim > 1 and t.swapaxes(-1, -2).shape == g.shape
         and near(t.swapaxes(-1, -2), g)),
        ("The right numbers are there, in one row after the other: their shape is missing.",
         lambda t, g: t.size == g.size and near(t.ravel(), g.ravel())),
        ("Your result is not yet averaged: its mean is the right one.",
         lambda t, g: t.size == 1 < g.size and near(g.mean(), t.item())),
        ("Your result is not yet added up: its sum is the right one.",
         lambda t, g: t.size == 1 < g.size and near(g.sum(), t.item())),
    )  # fmt: skip
    for said, holds in looks:
        if all(holds(truth, got) for truth, got in arrays):
            return said
    return None
