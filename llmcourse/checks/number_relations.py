"""What numbers have to do with the right ones of their shape: a factor, an offset, a function.

Not here: what is in other containers or shapes, and which of all relations is named
(`relations.py`). No chapter teaches this.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

CLOSE = 1e-4
"""Relative; an answer in float32 that is wrong by a factor has lost some digits on its way."""

FACTORS: tuple[tuple[float, str], ...] = (
    (-1.0, "the sign is the wrong way round"),
    (1 / math.log(2), "it is in bits, where nats are meant"),
    (math.log(2), "it is in nats, where bits are meant"),
    (1 / math.log(10), "the logarithm has base 10"),
    (math.log(2) / math.log(10), "the logarithm has base 10"),
    (math.log(10), "the logarithm is the natural one, where base 10 is meant"),
    (100.0, "it is in percent"),
    (0.01, "it is a hundredth, as if percent had been turned into a share twice"),
    (8.0, "bits and bytes are exchanged"),
    (0.125, "bits and bytes are exchanged"),
    (2.0, "everything is there twice"),
    (0.5, "half of it is missing"),
)


@dataclass(frozen=True)
class Numbers:
    """The numbers of one pair, of one shape; `inputs` as in the pair."""

    inputs: Mapping[str, Any]
    truth: np.ndarray
    got: np.ndarray


def number_relation(cases: list[Numbers], right: list[Numbers]) -> str | None:
    """A sentence on what all numbers have to do with the truths; None if nothing is known.

    `right` are the cases whose answer is right: "always" is said of what holds in them, too.
    """
    if said := _always(cases, right):
        return said
    looks: Iterable[Callable[[list[Numbers]], str | None]] = (
        _endless, _turned, _sums, _partly,
    )  # fmt: skip
    return next((said for look in looks if (said := look(cases))), None)


def _always(cases: list[Numbers], right: list[Numbers]) -> str | None:
    """One change that makes every answer of its truth, also where it changes nothing."""
    if not any((np.abs(case.truth) > 1e-9).any() for case in right) and (said := _factor(cases)):
        return said
    return (None if right else _offset(cases)) or _function([*cases, *right])


def near(one: np.ndarray | float, other: np.ndarray | float) -> bool:
    """Whether numbers are the same, up to what float32 loses on its way."""
    with np.errstate(all="ignore"):
        return bool(np.allclose(one, other, rtol=CLOSE, atol=1e-6, equal_nan=True))


def _endless(cases: list[Numbers]) -> str | None:
    """Infinity was to come, and something kept it away."""
    where = [np.isinf(case.truth) for case in cases]
    finite = all(np.isfinite(c.got[w]).all() for c, w in zip(cases, where, strict=True))
    kept = [(c.got[~w], c.truth[~w]) for c, w in zip(cases, where, strict=True)]
    rest = all(np.allclose(got, truth, rtol=1e-2) for got, truth in kept)
    if finite and rest and any(w.any() for w in where):
        return "Infinity is right here, and something of yours keeps it away."
    return None


def _factor(cases: list[Numbers]) -> str | None:
    """Everything is so many times too large: by one number, or by a size that each case has."""
    telling = [c for c in cases if (np.isfinite(c.truth) & (np.abs(c.truth) > 1e-9)).any()]
    factors = [factor for case in telling if (factor := _ratio(case)) is not None]
    if not factors or len(factors) < len(telling):
        return None
    if not all(_ratio(case) or _signs_agree(case, factors[0]) for case in cases):
        return None
    cases = telling
    first = factors[0]
    if all(near(factor, first) for factor in factors):
        for known, said in FACTORS:
            if near(first, known):
                return f"Your result is always {first:.4g} times the right one: {said}."
        if len(factors) > 1 or cases[0].truth.size > 1:
            return f"Your result is always {first:.4g} times the right one."
        return None
    for what, sizes in _sizes(cases):
        for power, said in ((1, "times"), (-1, "one part in"), (0.5, "the root of"),
                            (-0.5, "one part in the root of")):  # fmt: skip
            if all(near(f, n**power) for f, n in zip(factors, sizes, strict=True)):
                amount = f"{what} times" if said == "times" else f"{said} {what},"
                return (
                    f"Your result is {amount} the right one: look for a sum that should be a "
                    "mean, or a division that is missing or one too many."
                )
    return None


def _signs_agree(case: Numbers, factor: float | None) -> bool:
    """A case of zeros and infinities alone allows a factor."""
    with np.errstate(invalid="ignore"):
        return factor is not None and np.array_equal(case.got, factor * case.truth)


def _ratio(case: Numbers) -> float | None:
    """The one factor between the truth and what came; None if there is none, or it is 1."""
    where = np.isfinite(case.truth) & (np.abs(case.truth) > 1e-9)
    if not where.any() or not np.isfinite(case.got[where]).all():
        return None
    factor = float(np.median(case.got[where] / case.truth[where]))
    if abs(factor) < 1e-9 or near(factor, 1.0) or not near(case.got, factor * case.truth):
        return None
    return factor


def _sizes(cases: list[Numbers]) -> Iterator[tuple[str, list[float]]]:
    """What each case has a number of: entries of its arguments, their axes, their values."""
    names = [name for name in cases[0].inputs if all(name in case.inputs for case in cases)]
    for name in names:
        values = [case.inputs[name] for case in cases]
        if all(isinstance(v, Tensor) and v.ndim for v in values):
            for axis in (-1, 0, -2):
                if all(v.ndim >= abs(axis) + (axis == 0) for v in values):
                    place = {-1: "the last", 0: "the first", -2: "the last but one"}[axis]
                    yield f"`{name}`'s size along {place} axis", [v.shape[axis] for v in values]
            yield f"the number of entries of `{name}`", [v.numel() for v in values]
        elif all(isinstance(v, list | tuple | str | bytes) for v in values):
            yield f"the length of `{name}`", [max(len(v), 1) for v in values]
        elif all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in values):
            yield f"`{name}`", [float(v) for v in values]


def _offset(cases: list[Numbers]) -> str | None:
    """Everything is too large by one number."""
    with np.errstate(invalid="ignore"):  # infinity less infinity
        offsets = [case.got - case.truth for case in cases]
    first = offsets[0].flat[0]
    if not np.isfinite(first) or not all(near(offset, first) for offset in offsets):
        return None
    if len(offsets) == 1 and offsets[0].size == 1 and abs(first) != 1:
        return None
    side = "large" if first > 0 else "small"
    return f"Your result is always too {side} by {abs(first):.4g}."


def _function(cases: list[Numbers]) -> str | None:
    """The truth, with one thing more done to it, or one thing less."""
    if not all(np.isfinite(case.got).all() for case in cases):
        return None  # infinity is the exponential, the square, and more, of any large number
    functions: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("1 minus the right one", lambda x: 1 - x),
        ("1 divided by the right one", lambda x: 1 / x),
        ("the right one without its sign", np.abs),
        ("the exponential of the right one", np.exp),
        ("2 to the power of the right one", np.exp2),
        ("the logarithm of the right one", np.log),
        ("the logarithm to base 2 of the right one", np.log2),
        ("the square of the right one", np.square),
        ("the root of the right one", np.sqrt),
        ("the right one, rounded", np.round),
        ("the right one, rounded to one digit", lambda x: np.round(x, 1)),
        ("the right one, rounded to two digits", lambda x: np.round(x, 2)),
        ("the right one, rounded to three digits", lambda x: np.round(x, 3)),
        ("the right one, rounded down", np.floor),
        ("the right one, rounded up", np.ceil),
        ("the right one, never below 0", lambda x: np.maximum(x, 0)),
        ("the right one, never above 1", lambda x: np.minimum(x, 1)),
    )
    for what, function in functions:
        with np.errstate(all="ignore"):
            if all(near(case.got, function(case.truth)) for case in cases):
                return f"Your result is always {what}."
    return None


def _turned(cases: list[Numbers]) -> str | None:
    """The right numbers at other places."""
    moves: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
        ("with the last two axes exchanged", lambda x: x.swapaxes(-1, -2)),
        ("backwards", lambda x: x[::-1]),
        ("backwards along the last axis", lambda x: x[..., ::-1]),
        ("one place too far on", lambda x: np.roll(x, 1, -1)),
        ("one place too early", lambda x: np.roll(x, -1, -1)),
        ("one row too far on", lambda x: np.roll(x, 1, 0)),
        ("one row too early", lambda x: np.roll(x, -1, 0)),
    )
    for how, move in moves:
        try:
            pairs = [(case.got, move(case.truth)) for case in cases]
        except (ValueError, IndexError):  # numpy's, for too few axes
            continue
        if all(got.shape == moved.shape and near(got, moved) for got, moved in pairs):
            return f"The right numbers are there, {how}."
    # Of two values, such as yes and no, any arrangement is "another order".
    if all(len(np.unique(case.truth)) < 3 for case in cases):
        return None
    if all(near(np.sort(c.got, axis=None), np.sort(c.truth, axis=None)) for c in cases):
        return "The right numbers are there, in another order."
    return None


def _sums(cases: list[Numbers]) -> str | None:
    """Rows that ought to sum to 1 and do not."""
    if not all(case.truth.ndim and case.truth.shape[-1] > 1 for case in cases):
        return None
    if not all(near(case.truth.sum(-1), 1.0) and (case.truth >= 0).all() for case in cases):
        return None
    sums = [case.got.sum(-1) for case in cases]
    worst = max((float(s) for part in sums for s in np.ravel(part)), key=lambda s: abs(s - 1))
    if near(worst, 1.0):
        return "Your rows sum to 1, as they should: only how it is shared out is wrong."
    return f"A row should sum to 1; one of yours sums to {worst:.4g}."


def _partly(cases: list[Numbers]) -> str | None:
    """Right but for the first or last entries along an axis."""
    axes = (("entry", -1), ("row", 0))
    for what, axis in axes:
        if not all(case.truth.ndim and case.truth.shape[axis] > 1 for case in cases):
            continue
        for where, place in (("first", 0), ("last", -1)):
            rest = slice(1, None) if place == 0 else slice(None, -1)
            if all(
                near(np.moveaxis(c.got, axis, 0)[rest], np.moveaxis(c.truth, axis, 0)[rest])
                for c in cases
            ):
                return f"All is right but the {where} {what}."
    return None
