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
    numbers = (_with_an_argument, _stretched, _shifted, _holes, _places)
    looks = (_nearest, _masks, _places) if yes_or_no else numbers
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


def _nearest(cases: list[Case]) -> str | None:
    """Of what is True in each row, the first or last few alone are kept."""
    if not all(truth.ndim and (got <= truth).all() for _, truth, got in cases):
        return None
    rows = [(_pieces(truth, -1), _pieces(got, -1)) for _, truth, got in cases]
    if sum(int((t != g).any(1).sum()) for t, g in rows) < 2:
        return None  # in one row alone it may be anything
    most = max(int(got.sum(1).max()) for _, got in rows)
    for where, turn in (("last", slice(None, None, -1)), ("first", slice(None))):
        kept = [((t[:, turn].cumsum(1) <= most) & (t[:, turn] > 0), g[:, turn]) for t, g in rows]
        if most and all(np.array_equal(k, g > 0) for k, g in kept):
            places = f"{where} {most}" if most > 1 else where
            return f"Of what is True in a row, you keep the {places} alone."
    return None


_PLACES: tuple[tuple[str, Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]], ...] = (
    ("on the diagonal", lambda i, j, n, m: i == j),
    ("above the diagonal", lambda i, j, n, m: i < j),
    ("below the diagonal", lambda i, j, n, m: i > j),
    ("in the first row", lambda i, j, n, m: i == 0),
    ("in the last row", lambda i, j, n, m: i == n - 1),
    ("in the first column", lambda i, j, n, m: j == 0),
    ("in the last column", lambda i, j, n, m: j == m - 1),
    ("in every second column, from the first on", lambda i, j, n, m: j % 2 == 0),
    ("in every second column, from the second on", lambda i, j, n, m: j % 2 == 1),
)


def _places(cases: list[Case]) -> str | None:
    """What is wrong stands at places of one kind, and at no others."""
    found = []
    for _, truth, got in cases:
        if truth.ndim < 2 or min(truth.shape[-2:]) < 2:
            return None
        with np.errstate(all="ignore"):
            wrong = ~np.isclose(got, truth, CLOSE, 1e-6, equal_nan=True)
        found.append(wrong.reshape(-1, *truth.shape[-2:]).any(0))
    for where, holds in _PLACES:
        kinds = [holds(*np.indices(wrong.shape), *wrong.shape) for wrong in found]
        within = all(not (wrong & ~kind).any() for wrong, kind in zip(found, kinds, strict=True))
        most = 2 * sum(int(wrong.sum()) for wrong in found) >= sum(int(k.sum()) for k in kinds)
        if within and most:
            return f"Yours is right but for what stands {where}."
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
