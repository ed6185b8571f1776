"""What numbers have to do with the right ones and with the size of the question.

    sized_relation(cases)    # "Your result is too large by 2 · `width` · `length`."

Not here: one factor or one number more in all cases (`number_relations.py`). No chapter teaches
this.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor

Case = tuple[Mapping[str, Any], np.ndarray, np.ndarray]
"""The arguments by name, what is right, and what came, of one shape."""

CLOSE = 1e-4
EXACT = 1e-6

_FUNCTIONS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("{}", lambda n: n),
    ("1 divided by {}", lambda n: 1 / n),
    ("the logarithm of {}", math.log),
    ("the root of {}", math.sqrt),
    ("the square of {}", lambda n: n * n),
)


def sized_relation(cases: list[Case]) -> str | None:
    """A sentence on the part that a size has in what is wrong; None if it has none.

    Args:
        cases: those whose answer is wrong; at least three, or nothing can be told.
    """
    if len(cases) < 3 or not all(np.isfinite(got).all() for _, _, got in cases):
        return None
    cases = [(inputs, np.atleast_1d(t), np.atleast_1d(g)) for inputs, t, g in cases]
    return _added(cases) or _multiplied(cases) or _term(cases)


def _added(cases: list[Case]) -> str | None:
    """A size, or its logarithm, is added or taken away."""
    gaps = [_one_value(got - truth) for _, truth, got in cases]
    found = [gap for gap in gaps if gap is not None and abs(gap) > EXACT]
    if len(found) < len(cases) or np.ptp(found) < EXACT:
        return None
    for what, sizes in _sizes(cases):
        for how, function in _FUNCTIONS:
            try:
                values = [function(size) for size in sizes]
            except (ValueError, ZeroDivisionError, OverflowError):
                continue
            for sign, side in ((1, "large"), (-1, "small")):
                if np.allclose([sign * v for v in values], found, rtol=CLOSE, atol=EXACT):
                    return f"Your result is too {side} by {how.format(what)}."
    return None


def _multiplied(cases: list[Case]) -> str | None:
    """A number, times a power of a size."""
    ratios = [_factor(truth, got) for _, truth, got in cases]
    found = [ratio for ratio in ratios if ratio is not None]
    if len(found) < len(cases) or np.ptp(found) < EXACT:
        return None
    for what, sizes in _sizes(cases):
        if len(set(sizes)) < 3:
            continue
        for power, how in ((1, what), (-1, f"1 / {what}"), (0.5, f"the root of {what}"),
                           (-0.5, f"1 / the root of {what}"), (2, f"the square of {what}"),
                           (-2, f"1 / the square of {what}")):  # fmt: skip
            if not all(size > 0 for size in sizes):
                continue
            rest = np.array(found) / np.array(sizes) ** power
            if np.allclose(rest, rest[0], rtol=CLOSE):
                number = "" if abs(rest[0] - 1) < CLOSE else f" times {rest[0]:.4g}"
                return f"Your result is the right one times {how}{number}."
    return None


def _term(cases: list[Case]) -> str | None:
    """A product of the arguments is there too much, or missing."""
    if any(truth.size != 1 for _, truth, _ in cases):
        return None
    gaps = np.array([float(got.item() - truth.item()) for _, truth, got in cases])
    scalars = [(name, values) for name, values in _scalars([inputs for inputs, _, _ in cases])]
    distinct = len({tuple(values[n] for _, values in scalars) for n in range(len(cases))})
    if not 0 < len(scalars) < 7 or distinct < 3 or (np.abs(gaps) < EXACT).any():
        return None
    numbers = np.array([values for _, values in scalars])
    choices = itertools.product((0, 1, 2), repeat=len(scalars))
    for powers in sorted((p for p in choices if 0 < sum(p) < 4), key=sum):
        product = np.prod(numbers ** np.array(powers)[:, None], axis=0)
        factors = gaps / product
        if not np.allclose(factors, factors[0], rtol=EXACT):
            continue
        if len(set(np.round(product, 9).tolist())) < 3:
            continue
        simple = Fraction(float(factors[0])).limit_denominator(12)
        if simple and abs(float(simple) - factors[0]) < EXACT and abs(simple.numerator) < 25:
            side = "large" if factors[0] > 0 else "small"
            said = [f"`{name}`" + "²" * (power == 2)
                    for (name, _), power in zip(scalars, powers, strict=True) if power]  # fmt: skip
            amount = [] if abs(simple) == 1 else [str(abs(simple))]
            return (
                f"Your result is too {side} by {' · '.join(amount + said)}: a term is "
                f"{'there that does not belong' if factors[0] > 0 else 'missing'}."
            )
    return None


def _one_value(array: np.ndarray) -> float | None:
    first = float(array.flat[0])
    return first if np.allclose(array, first, rtol=CLOSE, atol=EXACT) else None


def _factor(truth: np.ndarray, got: np.ndarray) -> float | None:
    where = np.abs(truth) > EXACT
    if not where.any() or not np.isfinite(truth).all():
        return None
    factor = float(np.median(got[where] / truth[where]))
    return factor if factor and np.allclose(got, factor * truth, rtol=CLOSE, atol=EXACT) else None


def _sizes(cases: list[Case]) -> Iterator[tuple[str, list[float]]]:
    """What each case has one number of, and the same less one and more one."""
    inputs = [given for given, _, _ in cases]
    found = [*_scalars(inputs), *_lengths(inputs)]
    for what, sizes in found:
        shown = what if what.startswith("the ") or "`" in what else f"`{what}`"
        if len(set(sizes)) > 1:
            yield shown, sizes
            yield f"({shown} less 1)", [size - 1 for size in sizes]
            yield f"({shown} plus 1)", [size + 1 for size in sizes]


def _scalars(inputs: list[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for name in inputs[0]:
        values = [given.get(name) for given in inputs]
        numbers = [float(v) for v in values
                   if isinstance(v, int | float) and not isinstance(v, bool)]  # fmt: skip
        if len(numbers) == len(values) and min(numbers) > 0:
            yield name, numbers


def _lengths(inputs: list[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for name in inputs[0]:
        values = [given.get(name) for given in inputs]
        tensors = [v for v in values if isinstance(v, Tensor) and v.ndim]
        if len(tensors) == len(values):
            for axis, place in ((-1, "last"), (0, "first"), (-2, "last but one")):
                if all(t.ndim >= abs(axis) + (axis == 0) for t in tensors):
                    sizes = [float(t.shape[axis]) for t in tensors]
                    yield f"`{name}`'s size along the {place} axis", sizes
        elif all(isinstance(v, list | tuple | str | bytes) for v in values):
            lengths = [float(len(v)) for v in values if v is not None]
            yield f"the length of `{name}`", lengths
