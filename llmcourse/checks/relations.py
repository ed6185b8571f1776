"""What an answer has to do with the truth when no known mistake explains it.

    relation([(truth, got), ...])     # "Your result is always 1.443 times the right one: ..."

Each relation is looked for in every pair that differs, and named only if it holds in all of them.
Not here: relations between numbers of one shape (`number_relations.py`), the catalogued mistakes
(`harness.py`) and the ones made by program (`mutants.py`). No chapter teaches this.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llmcourse.checks import dependence
from llmcourse.checks.compare import a_kind, difference
from llmcourse.checks.number_relations import FACTORS, Numbers, near, number_relation
from llmcourse.checks.sequences import in_sequences
from llmcourse.checks.sized import sized_relation

LOOSE = (
    "Your rows sum to 1", "A row should sum to 1", "The right numbers are there, in another",
    "All is right but the", "Nothing is missing", "All of it belongs there", "It begins as",
    "It ends as", "You stop too early", "The beginning is missing", "The last is missing",
    "The first is missing", "The right ones are there, in another order",
    "Wherever yours is wrong",
    "You keep one",
)  # fmt: skip
"""How sentences begin that say where to look, and not what was done: a slip is said first."""


@dataclass(frozen=True)
class Pair:
    """One case: the arguments by name, what is right, and what came."""

    inputs: Mapping[str, Any]
    truth: Any
    got: Any


def relation(pairs: list[Pair], right: list[Pair] | None = None) -> str | None:
    """A sentence on what all answers have to do with the truths; None if there is nothing to say.

    Args:
        pairs: the cases whose answer is wrong, with a value to compare.
        right: the cases whose answer is right: "always" is said of what holds in them, too.
    """
    if not pairs:
        return None
    for look in (_unchanged, _exchanged, _container, _one_of_several, _in_sequences, _listed):
        if said := look(pairs):
            return said
    if said := _numeric(pairs, right or []):
        return said
    if said := _constant(pairs):
        return said
    cases = [(pair.inputs, pair.truth, pair.got) for pair in pairs]
    return dependence.on_arguments(cases)


def value_relation(truth: float, got: Any) -> str | None:
    """A sentence on what a single number has to do with the right one; None if nothing is known.

    One number alone is near many things: only what people really confuse is named.
    """
    if isinstance(got, bool) or not isinstance(got, int | float) or not got or not truth:
        return None
    for factor, said in FACTORS:
        if near(got / truth, factor):
            return f"Your number is {factor:.4g} times the right one: {said}."
    known = (
        ("1 minus the right one", 1 - truth),
        ("1 divided by the right one", 1 / truth),
        ("the right one's square", truth * truth),
    )
    for what, value in known:
        if near(got, value):
            return f"Your number is {what}."
    if isinstance(truth, int) and abs(got - truth) == 1:
        return f"Your number is too {'large' if got > truth else 'small'} by exactly 1."
    return None


def wrong_part(pairs: list[Pair]) -> tuple[int, list[Pair]] | None:
    """Of several results the one that is wrong, if it is always the same one, with its pairs."""
    several = [pair for pair in pairs if isinstance(pair.truth, tuple)]
    count = len(pairs[0].truth) if several else 0
    if count < 2 or not all(isinstance(p.got, tuple) and len(p.got) == count for p in pairs):
        return None
    parts = _parts(pairs, count)
    wrong = _wrong(parts)
    return (wrong[0], parts[wrong[0]]) if len(wrong) == 1 else None


def _parts(pairs: list[Pair], count: int) -> list[list[Pair]]:
    return [[Pair(p.inputs, p.truth[n], p.got[n]) for p in pairs] for n in range(count)]


def _wrong(parts: list[list[Pair]]) -> list[int]:
    """The results that are not right everywhere."""
    return [n for n, some in enumerate(parts) if not all(_equal(p.truth, p.got) for p in some)]


def _in_sequences(pairs: list[Pair]) -> str | None:
    return in_sequences([(pair.inputs, pair.truth, pair.got) for pair in pairs])


def _unchanged(pairs: list[Pair]) -> str | None:
    """An argument is given back as it came."""
    names = set.intersection(*(set(pair.inputs) for pair in pairs))
    for name in sorted(names):
        given = [pair.inputs[name] for pair in pairs]
        if all(isinstance(one, int | float) for one in given) and len(set(given)) < 2:
            continue  # a single number is met by chance
        if all(_equal(pair.inputs[name], pair.got) for pair in pairs):
            return f"You give back `{name}` as it came."
    return None


def _exchanged(pairs: list[Pair]) -> str | None:
    """Several results in another order."""
    truths = [pair.truth for pair in pairs]
    if not all(isinstance(t, tuple) and len(t) == len(truths[0]) > 1 for t in truths):
        return None
    if all(isinstance(pair.got, tuple) and _equal(pair.truth[::-1], pair.got) for pair in pairs):
        return "The results are right, and in the reverse order."
    return None


def _container(pairs: list[Pair]) -> str | None:
    """The right values in something else: a list for a tuple, tensors for numbers."""
    kinds = {(a_kind(pair.truth), a_kind(pair.got)) for pair in pairs}
    found = [_numbers(pair) for pair in pairs]
    alike = all(case is not None and near(case.got, case.truth) for case in found)
    alike = alike or all(_same_numbers(pair) for pair in pairs)
    if all(isinstance(p.truth, tuple) and _is_stack(p.truth, p.got) for p in pairs):
        return "The right results are there, put together in one tensor: give them back as a tuple."
    if not alike and not all(_same_entries(pair.truth, pair.got) for pair in pairs):
        return None
    if len(kinds) == 1 and len(set(*kinds)) == 2:
        ((wanted, came),) = kinds
        return f"The values are right, in {came} where {wanted} is expected."
    return "The values are right, and of another kind (or dtype) than expected."


def _constant(pairs: list[Pair]) -> str | None:
    """The same whatever comes in."""
    first = pairs[0]
    same = all(_equal(first.got, pair.got) for pair in pairs[1:])
    if same and any(not _equal(first.truth, pair.truth) for pair in pairs[1:]):
        return f"Your result is the same whatever comes in: {_short(first.got)}."
    return None


# Numbers


def _numeric(pairs: list[Pair], right: list[Pair]) -> str | None:
    found = [_numbers(pair) for pair in pairs]
    cases = [case for case in found if case is not None]
    if len(cases) < len(found):
        return _of_another_shape(pairs)
    if all(near(case.got, case.truth) for case in cases):
        return None  # the same numbers, in another nest or shape
    others = [case for case in map(_numbers, right) if case is not None]
    said = number_relation(cases, others)
    if others or (said and not said.startswith(LOOSE)):
        return said
    return sized_relation([(case.inputs, case.truth, case.got) for case in cases]) or said


def _numbers(pair: Pair) -> Numbers | None:
    truth, got = pair.truth, pair.got
    if isinstance(truth, Mapping) and isinstance(got, Mapping):
        if truth.keys() != got.keys():
            return None
        truth, got = list(truth.values()), [got[key] for key in truth]
    truth, got = _array(truth), _array(got)
    if truth is None or got is None or truth.shape != got.shape or not truth.size:
        return None
    return Numbers(pair.inputs, truth, got)


def _array(value: Any) -> np.ndarray | None:
    """A tensor, an array, a number, or a list of numbers, in float64; None of anything else."""
    try:
        if isinstance(value, Tensor):
            return value.detach().to(torch.float64).numpy()
        if isinstance(value, bool | int | float | np.ndarray | np.generic):
            return np.asarray(value, dtype=np.float64)
        if isinstance(value, list | tuple) and value:
            if all(isinstance(item, bool | int | float) for item in value):
                return np.asarray(value, dtype=np.float64)
            parts = [_array(item) for item in value]
            if all(part is not None for part in parts):
                return np.concatenate([part.ravel() for part in parts if part is not None])
    except (TypeError, ValueError, RuntimeError):
        pass
    return None


def _same_numbers(pair: Pair) -> bool:
    """The numbers of something else, one after the other, as several tensors in one are."""
    truth, got = _array(pair.truth), _array(pair.got)
    if truth is None or got is None or a_kind(pair.truth) == a_kind(pair.got):
        return False
    return truth.size == got.size and near(truth.ravel(), got.ravel())


def _one_of_several(pairs: list[Pair]) -> str | None:
    """Of several results, some alone are wrong, and always the same ones."""
    several = [pair for pair in pairs if isinstance(pair.truth, tuple)]
    count = len(pairs[0].truth) if several else 0
    if count < 2 or not all(isinstance(p.got, tuple) and len(p.got) == count for p in pairs):
        return None
    parts = _parts(pairs, count)
    wrong = _wrong(parts)
    if len(wrong) != 1:
        found = {relation([p for p in parts[n] if not _equal(p.truth, p.got)]) for n in wrong}
        said = found.pop()
        which = "each" if len(wrong) == count else " and ".join(f"[{n}]" for n in wrong)
        return (
            f"Of {which} of your results: {said[0].lower()}{said[1:]}"
            if said and not found
            else None
        )
    (number,) = wrong
    where = f"Of your results, [{number}] alone is wrong."
    for other, some in enumerate(parts):
        if other != number and all(
            _equal(p.got, q.truth) for p, q in zip(parts[number], some, strict=True)
        ):
            return f"{where} What [{other}] should be stands there as well."
    said = relation(parts[number])
    return f"{where} {said}" if said else where


def _is_stack(truth: tuple, got: Any) -> bool:
    """Whether several tensors stand in one, on an axis of its own."""
    if not isinstance(got, Tensor) or not all(isinstance(t, Tensor) for t in truth):
        return False
    axes = [axis for axis in range(got.ndim) if got.shape[axis] == len(truth)]
    return any(
        all(_equal(one, part) for one, part in zip(truth, got.unbind(axis), strict=True))
        for axis in axes
    )


def _same_entries(truth: Any, got: Any) -> bool:
    kinds = list | tuple
    return isinstance(truth, kinds) and isinstance(got, kinds) and _equal(list(truth), list(got))


def _is_cut(axis: int, kept: slice, swap: bool = False) -> Callable[[Any, Any], bool]:
    """Whether one of two arrays is the other without some entries along an axis."""

    def holds(truth: np.ndarray, got: np.ndarray) -> bool:
        long, short = (got, truth) if swap else (truth, got)
        if long.ndim != short.ndim or not long.ndim or long.size <= short.size:
            return False
        cut = np.moveaxis(np.moveaxis(long, axis, 0)[kept], 0, axis)
        return cut.shape == short.shape and near(cut, short)

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


def _of_another_shape(pairs: list[Pair]) -> str | None:
    """Tensors of other shapes: one entry more or less, an axis kept, dropped or moved."""
    arrays = [(_array(pair.truth), _array(pair.got)) for pair in pairs]
    if any(truth is None or got is None for truth, got in arrays):
        return None
    if not all(isinstance(pair.truth, Tensor | np.ndarray | float) for pair in pairs):
        return None
    looks: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
        *_CUT,
        ("The numbers are right; an axis of size 1 is there too much or too little.",
         lambda t, g: t.size == g.size and near(t.squeeze(), g.squeeze())
         if t.squeeze().shape == g.squeeze().shape else False),
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


# Lists and texts


def _listed(pairs: list[Pair]) -> str | None:
    kinds = (list, tuple, str, bytes)
    if not all(isinstance(p.truth, kinds) and isinstance(p.got, type(p.truth)) for p in pairs):
        return None
    looks: tuple[tuple[str, Callable[[Any, Any], bool]], ...] = (
        ("The right ones are there, backwards.", lambda t, g: g == t[::-1]),
        ("The first is missing.", lambda t, g: len(t) > 0 and g == t[1:]),
        ("The last is missing.", lambda t, g: len(t) > 0 and g == t[:-1]),
        ("You stop too early: what comes is right, and the rest is missing.",
         lambda t, g: len(g) < len(t) and g == t[: len(g)]),
        ("The beginning is missing.", lambda t, g: len(g) < len(t) and g == t[len(t) - len(g) :]),
        ("It begins as it should, and goes on too long.",
         lambda t, g: len(g) > len(t) and g[: len(t)] == t),
        ("It ends as it should, and something stands before it.",
         lambda t, g: len(g) > len(t) and g[len(g) - len(t) :] == t),
        ("The right ones are there, in another order.", lambda t, g: sorted(t) == sorted(g)),
        ("Nothing is missing, and there is more than there should be.",
         lambda t, g: len(g) > len(t) and _contains(g, t)),
        ("All of it belongs there, and something is missing.",
         lambda t, g: len(g) < len(t) and _contains(t, g)),
    )  # fmt: skip
    found = [(_entries(pair.truth), _entries(pair.got)) for pair in pairs]
    for said, holds in looks:
        if all(holds(truth, got) for truth, got in found):
            return said
    return None


def _entries(values: Any) -> Any:
    """A text as it is, and a list as its entries' texts: those can be compared, whatever it is."""
    return values if isinstance(values, str | bytes) else [repr(value) for value in values]


def _contains(large: Any, small: Any) -> bool:
    """Whether all of `small` is found in `large`, in its order."""
    rest = iter(large)
    return all(any(item == other for other in rest) for item in small)


def _equal(one: Any, other: Any) -> bool:
    return difference(one, other, loose=True) is None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
