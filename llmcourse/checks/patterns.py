"""Where a wrong result is right all the same: but for a factor of each row, where it is 0, ...

    pattern([(inputs, truth, got), ...])     # "Each row is right but for a factor of its own: ..."

Weaker than a relation (`relations.py`), which explains every number. No chapter teaches this.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

Case = tuple[Mapping[str, Any], np.ndarray, np.ndarray]
"""The arguments by name, what is right, and what came, of one shape."""

CLOSE = 1e-4


def pattern(triples: list[tuple[Mapping[str, Any], Any, Any]]) -> str | None:
    """A sentence on where or how results are wrong, if they are so in every case; else None.

    Args:
        triples: the arguments by name, what is right, and what came, of the wrong cases.
    """
    if not triples:
        return None
    cases: list[Case] = []
    for inputs, truth, got in triples:
        if not (isinstance(truth, Tensor) and isinstance(got, Tensor)):
            return None
        if truth.shape != got.shape or not truth.numel() or truth.is_complex() or got.is_complex():
            return None
        cases.append((inputs, *(t.detach().double().cpu().numpy() for t in (truth, got))))
    yes_or_no = all(str(truth.dtype) == "torch.bool" for _, truth, _ in triples)
    looks = (_masks,) if yes_or_no else (_with_an_argument, _stretched, _shifted, _holes)
    return next((said for look in looks if (said := look(cases))), None)


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.allclose(one, other, rtol=CLOSE, atol=1e-6, equal_nan=True))


def _masks(cases: list[Case]) -> str | None:
    """A yes too many or too few."""
    if all((got <= truth).all() for _, truth, got in cases):
        return "Every True of yours is right, and some are missing."
    if all((got >= truth).all() for _, truth, got in cases):
        return "Every False of yours is right, and some are missing."
    return None


def _with_an_argument(cases: list[Case]) -> str | None:
    """An argument is added to the right one, taken away from it, or multiplied by it."""
    ways: tuple[tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]], ...] = (
        ("plus", np.add), ("minus", np.subtract), ("times", np.multiply),
    )  # fmt: skip
    for name in cases[0][0]:
        given = [inputs.get(name) for inputs, _, _ in cases]
        tensors = [g for g in given if isinstance(g, Tensor) and g.is_floating_point()]
        if len(tensors) < len(given):
            continue
        arrays = [tensor.detach().double().cpu().numpy() for tensor in tensors]
        for word, operation in ways:
            try:
                made = [operation(t, a) for (_, t, _), a in zip(cases, arrays, strict=True)]
            except ValueError:  # numpy's, for shapes that do not fit
                break
            pairs = list(zip(cases, made, strict=True))
            if all(m.shape == got.shape and _near(got, m) for (_, _, got), m in pairs):
                return f"Your result is the right one {word} `{name}`."
    return None


def _stretched(cases: list[Case]) -> str | None:
    """Each piece along an axis is the right one, times a factor of its own."""
    for axis, piece in ((-1, "row"), (0, "piece along the first axis")):
        found = [_proportional(_pieces(t, axis), _pieces(g, axis)) for _, t, g in cases]
        if None not in found and any(found):
            return (
                f"Each {piece} is right but for a factor of its own: look at what you multiply or "
                "divide it by."
            )
    return None


def _shifted(cases: list[Case]) -> str | None:
    """Each row is the right one, plus a number of its own."""
    told = False
    for _, truth, got in cases:
        gaps = _pieces(got - truth, -1)
        if not np.isfinite(gaps).all() or not _near(gaps, gaps[:, :1]):
            return None
        told |= gaps.shape[1] > 1
    return "Each row is right but for a number of its own that is added." if told else None


def _pieces(array: np.ndarray, axis: int) -> np.ndarray:
    """Rows that hold together what has one place on all other axes (-1), or on this one (0)."""
    if axis == 0:
        return array.reshape(len(array), -1) if array.ndim else array.reshape(1, 1)
    return array.reshape(-1, array.shape[-1] if array.ndim else 1)


def _proportional(truth: np.ndarray, got: np.ndarray) -> bool | None:
    """Whether rows of several numbers are multiples of the right ones; None if one is not."""
    if not (np.isfinite(truth).all() and np.isfinite(got).all()):
        return None
    square = (truth * truth).sum(1, keepdims=True)
    factors = (truth * got).sum(1, keepdims=True) / np.where(square > 0, square, 1)
    told = (np.abs(truth) > 1e-6).sum(1) > 1
    if (np.abs(factors[told]) < 1e-6).any() or not _near(got, factors * truth):
        return None
    return bool(told.any())


def _holes(cases: list[Case]) -> str | None:
    """What is wrong is 0, or NaN, or ought to be 0."""
    found, names, everywhere = [], set(cases[0][0]), False
    for inputs, truth, got in cases:
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(got, truth, CLOSE, 1e-6, equal_nan=True)
        if not wrong.any():
            return None
        everywhere |= bool(wrong.all() and wrong.size > 1)
        found.append((truth[wrong], got[wrong]))
        names &= {n for n, a in inputs.items() if _there(a, wrong, got)}
    if everywhere:
        return (
            f"Where yours is wrong, `{min(names)}` has come through as it was." if names else None
        )
    if all((got == 0).all() for _, got in found):
        return "Where yours is wrong, it is 0: something is hidden or left out that belongs there."
    if names:
        return f"Where yours is wrong, `{min(names)}` has come through as it was."
    if all((truth == 0).all() for truth, _ in found):
        return "Yours is wrong where 0 is right: something counts that should not."
    if all(np.isnan(got).all() for _, got in found):
        return "Yours is right but for places that are NaN: what do you divide, or subtract, there?"
    return None


def _there(argument: Any, wrong: np.ndarray, got: np.ndarray) -> bool:
    """Whether an argument has these numbers at these places, or is these numbers."""
    if not isinstance(argument, Tensor) or argument.is_complex():
        return False
    array = argument.detach().double().cpu().numpy()
    if array.shape == got.shape:
        return _near(array[wrong], got[wrong])
    if not got.ndim or not array.ndim:
        return False
    numbers = got[wrong.any(-1)].ravel()  # whole rows: a number of one may be right by chance
    return array.size == numbers.size and _near(array.ravel(), numbers)
