"""What a wrong result has to do with the arguments, where it has nothing to do with the truth.

    on_arguments([(inputs, truth, got), ...])    # "Your result is the mean of `probabilities`."

Not here: what it has to do with the right result (`relations.py`). No chapter teaches this.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

Case = tuple[Mapping[str, Any], Any, Any]
"""The arguments by name, what is right, and what came."""

CLOSE = 1e-5
"""Relative: nothing here may be found by chance."""

POWERS = (1, -1, 2, -2)
MOST = 3
"""How many factors a product may have that is no chance."""

_CONSTANTS: tuple[tuple[float, str], ...] = (
    (1.0, ""), (-1.0, "-1"), (1 / math.log(2), "1 / ln 2"), (math.log(2), "ln 2"),
    (8.0, "8"), (0.125, "1/8"), (100.0, "100"), (2.0, "2"), (0.5, "1/2"),
)  # fmt: skip

_FUNCTIONS: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("", lambda x: x), ("the root of ", math.sqrt), ("the square of ", lambda x: x * x),
    ("1 divided by ", lambda x: 1 / x), ("1 minus ", lambda x: 1 - x),
    ("the exponential of ", math.exp), ("the logarithm of ", math.log),
    ("minus the logarithm of ", lambda x: -math.log(x)),
    ("the logarithm to base 2 of ", math.log2), ("minus ", lambda x: -x),
)  # fmt: skip


def on_arguments(cases: list[Case]) -> str | None:
    """A sentence on what single numbers have to do with the arguments; None if nothing.

    Args:
        cases: those whose answer is wrong.
    """
    got = [_number(came) for _, _, came in cases]
    if len(cases) < 2 or any(value is None for value in got):
        return None
    values = np.array(got, float)
    if not np.isfinite(values).all() or np.ptp(values) == 0:
        return None
    for what, numbers in _sizes([inputs for inputs, _, _ in cases]):
        for how, function in _FUNCTIONS:
            if _is(values, [_computed(function, number) for number in numbers]):
                return f"Your result is {how}{what}, and nothing else goes into it."
    return _product(cases, values) or _of_two(cases, values)


def _of_two(cases: list[Case], values: np.ndarray) -> str | None:
    """What two rows of one length have to do with each other: a mean square of differences, ..."""
    names = list(cases[0][0])
    for one, other in itertools.combinations(names, 2):
        rows = [(_row(inputs.get(one)), _row(inputs.get(other))) for inputs, _, _ in cases]
        kept = [(a, b) for a, b in rows if a is not None and b is not None and len(a) == len(b)]
        if len(kept) < len(rows):
            continue
        for what, function in _OF_TWO:
            if _is(values, [float(function(a, b)) for a, b in kept]):
                return f"Your result is {what} of `{one}` and `{other}`."
    return None


_OF_TWO: tuple[tuple[str, Callable[[np.ndarray, np.ndarray], Any]], ...] = (
    ("the mean squared difference", lambda a, b: ((a - b) ** 2).mean()),
    ("the mean absolute difference", lambda a, b: np.abs(a - b).mean()),
    ("the difference of the means", lambda a, b: abs(a.mean() - b.mean())),
    ("the root of the mean squared difference", lambda a, b: np.sqrt(((a - b) ** 2).mean())),
    ("the sum of the squared differences", lambda a, b: ((a - b) ** 2).sum()),
    ("the sum of the products", lambda a, b: (a * b).sum()),
    ("the mean of the products", lambda a, b: (a * b).mean()),
    ("the largest difference", lambda a, b: np.abs(a - b).max()),
    ("the share of equal ones", lambda a, b: (a == b).mean()),
)


def _product(cases: list[Case], values: np.ndarray) -> str | None:
    """The right one, times arguments or divided by them."""
    truths = [_number(truth) for _, truth, _ in cases]
    scalars = dict(_scalars([inputs for inputs, _, _ in cases]))
    if any(truth is None for truth in truths) or not 0 < len(scalars) <= min(3, len(cases)):
        return None
    numbers = np.array(list(scalars.values()))
    choices = itertools.product((0, *POWERS), repeat=len(scalars))
    few = (powers for powers in choices if 0 < sum(map(abs, powers)) <= MOST)
    for powers in sorted(few, key=lambda powers: sum(map(abs, powers))):
        factors = np.prod(numbers ** np.array(powers)[:, None], axis=0)
        for constant, said in _CONSTANTS:
            if _is(values, list(np.array(truths, float) * factors * constant)):
                return f"Your result is the right one times {_named(list(scalars), powers, said)}."
    return None


def _named(names: list[str], powers: tuple[int, ...], constant: str) -> str:
    """A product as it is written: `a`² · 2 / `b`."""
    said = [
        f"`{name}`" + "²" * (abs(power) == 2) for name, power in zip(names, powers, strict=True)
    ]
    above = [name for name, power in zip(said, powers, strict=True) if power > 0]
    below = [name for name, power in zip(said, powers, strict=True) if power < 0]
    return " / ".join([" · ".join([constant] * bool(constant) + above) or "1", *below])


def _sizes(inputs: list[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    """What each case has one number of: arguments, and sums, means, sizes of longer ones."""
    yield from ((f"`{name}`", numbers) for name, numbers in _scalars(inputs))
    for name in inputs[0]:
        arrays = [_row(case.get(name)) for case in inputs]
        kept = [array for array in arrays if array is not None]
        if len(kept) == len(arrays):
            for what, function in (("the sum", np.sum), ("the mean", np.mean),
                                   ("the largest", np.max), ("the smallest", np.min),
                                   ("the product", np.prod)):  # fmt: skip
                yield f"{what} of `{name}`", [float(function(array)) for array in kept]
        lengths = [_length(case.get(name)) for case in inputs]
        found = [length for length in lengths if length is not None]
        if len(found) == len(lengths):
            yield f"the length of `{name}`", found


def _length(value: Any) -> float | None:
    if isinstance(value, Tensor):
        return float(len(value)) if value.ndim else None
    return float(len(value)) if isinstance(value, str | list | tuple | dict) else None


def _scalars(inputs: list[Mapping[str, Any]]) -> Iterator[tuple[str, list[float]]]:
    for name in inputs[0]:
        values = [case.get(name) for case in inputs]
        numbers = [
            float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)
        ]
        if len(numbers) == len(values) and min(numbers) > 0 and len(set(numbers)) > 1:
            yield name, numbers


def _row(value: Any) -> np.ndarray | None:
    """The numbers of a tensor or a list; None of anything else."""
    if isinstance(value, Tensor) and value.numel() and not value.is_complex():
        return value.detach().double().numpy().ravel()
    plain = isinstance(value, list | tuple) and value
    if plain and all(isinstance(item, int | float) for item in value):
        return np.array(value, float)
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _computed(function: Callable[[float], float], number: float) -> float:
    try:
        return function(number)
    except (ValueError, OverflowError, ZeroDivisionError):
        return math.nan


def _is(values: np.ndarray, others: list[float]) -> bool:
    return bool(np.allclose(values, others, rtol=CLOSE, atol=1e-8))
