"""What lists, texts and masks have to do with the right ones: one thing for another, or one more.

    in_sequences([(inputs, truth, got), ...])    # "Wherever yours is wrong, `mark` stands ..."

Not here: lists that are cut, turned or in another order (`relations.py`). No chapter teaches this.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

Case = tuple[Mapping[str, Any], Any, Any]
"""The arguments by name, what is right, and what came."""

_Rows = list[tuple[Mapping[str, Any], list[Any], list[Any]]]


def in_sequences(cases: list[Case]) -> str | None:
    """A sentence on how sequences are wrong, if they are so in every case; else None.

    Args:
        cases: those whose answer is wrong.
    """
    if said := _one_more(cases):
        return said
    rows = [_row(*case) for case in cases]
    found = [row for row in rows if row is not None]
    if not found or len(found) < len(rows):
        return None
    looks = (_substituted, _too_often, _sorted, _late)
    return next((said for look in looks if (said := look(found))), None)


def _row(
    inputs: Mapping[str, Any], truth: Any, got: Any
) -> tuple[Mapping[str, Any], list[Any], list[Any]] | None:
    """Both as rows of things that can be compared; None of what is no sequence."""
    if isinstance(truth, Mapping) and isinstance(got, Mapping):
        if list(truth) != list(got):
            return None
        truth, got = list(truth.values()), list(got.values())
    if type(truth) is not type(got):
        return None
    if isinstance(truth, Tensor) and isinstance(got, Tensor):
        if truth.is_floating_point() or truth.is_complex() or str(truth.dtype) == "torch.bool":
            return None
        truth, got = truth.flatten().tolist(), got.flatten().tolist()
    if isinstance(truth, str):
        return inputs, list(truth), list(got)
    if not isinstance(truth, list) or any(isinstance(v, float | bool) for v in (*truth, *got)):
        return None
    return inputs, [_entry(v) for v in truth], [_entry(v) for v in got]


def _entry(value: Any) -> Any:
    return value if isinstance(value, str | int) else repr(value)


def _shown(values: list[Any], rows: _Rows) -> str | None:
    """What to call a thing that is another one in each case: an argument, or what it always is."""
    for name in rows[0][0]:
        given = [inputs.get(name) for inputs, _, _ in rows]
        plain = all(isinstance(g, int | str) and not isinstance(g, bool) for g in given)
        if plain and [g for g in given if g != ""] == values:
            return f"`{name}`"
    return str(values[0]) if len(set(values)) == 1 else None


def _named(pairs: list[list[Any]], rows: _Rows) -> str | None:
    """The same thing throughout each case, in words; None where there are several."""
    if any(len(set(some)) != 1 for some in pairs):
        return None
    return _shown([some[0] for some in pairs], rows)


def _substituted(rows: _Rows) -> str | None:
    """One thing stands where another belongs."""
    if any(len(truth) != len(got) for _, truth, got in rows):
        return None
    wrong = [[(t, g) for t, g in zip(truth, got, strict=True) if t != g] for _, truth, got in rows]
    if sum(map(len, wrong)) < 2 or not all(wrong):
        return None
    shortened = [[_apart(t, g) for t, g in some] for some in wrong]
    belongs = _named([[t for t, _ in some] for some in shortened], rows)
    stands = _named([[g for _, g in some] for some in shortened], rows)
    if belongs and stands:
        return f"Wherever yours is wrong, {stands} stands where {belongs} belongs."
    if sum(map(len, wrong)) == sum(len(truth) for _, truth, _ in rows):
        return None  # nothing is right
    if stands and len({t for some in wrong for t, _ in some}) > 1:
        return f"Wherever yours is wrong, {stands} stands: something else belongs there."
    if belongs and len({g for some in wrong for _, g in some}) > 1:
        return f"Wherever yours is wrong, {belongs} belongs."
    return None


def _apart(truth: Any, got: Any) -> tuple[Any, Any]:
    """Two texts without what they begin and end with alike."""
    if not (isinstance(truth, str) and isinstance(got, str)):
        return truth, got
    end = 0
    while end < min(len(truth), len(got)) and truth[-1 - end] == got[-1 - end]:
        end += 1
    one, other = truth[: len(truth) - end], got[: len(got) - end]
    return (one, other) if one and other else (truth, got)


def _too_often(rows: _Rows) -> str | None:
    """All is right, but that one thing stands too often, or is missing."""
    more = [list((Counter(got) - Counter(truth)).elements()) for _, truth, got in rows]
    less = [list((Counter(truth) - Counter(got)).elements()) for _, truth, got in rows]
    for extra, other, long, words in ((more, less, 2, "stands too often"),
                                      (less, more, 1, "is missing")):  # fmt: skip
        if any(other) or not all(extra):
            continue
        pairs = [(row[long], row[3 - long]) for row in rows]
        if not all(_within(short, whole) for whole, short in pairs):
            continue
        if what := _named(extra, rows):
            if sum(map(len, extra)) < 2 and not what.startswith("`"):
                continue
            shown = what if what.startswith("`") else repr(what)
            return f"All else is right, and {shown} {words}: ask where it belongs, and where not."
    return None


def _within(short: list[Any], long: list[Any]) -> bool:
    rest = iter(long)
    return all(any(item == other for other in rest) for item in short)


def _sorted(rows: _Rows) -> str | None:
    """The right ones, sorted."""
    for how, reverse in (("sorted", False), ("sorted from the largest down", True)):
        if all(len(truth) < 3 or got == truth[::-1] for _, truth, got in rows):
            return None  # that is backwards, too
        try:
            if all(sorted(truth, reverse=reverse) == got for _, truth, got in rows):
                return f"The right ones are there, {how}, where another order is meant."
        except TypeError:  # Python's, for texts beside numbers
            return None
    return None


def _late(rows: _Rows) -> str | None:
    """Everything stands some places too late or too early, whatever happens at the ends."""
    if any(len(truth) != len(got) for _, truth, got in rows):
        return None
    for step in (1, -1, 2, -2):
        compared: list[tuple[Any, Any]] = []
        for _, truth, got in rows:
            kept = len(truth) - abs(step)
            late = got[max(step, 0) :][: max(kept, 0)]
            compared += zip(truth[max(-step, 0) :][: max(kept, 0)], late, strict=False)
        if (
            len(compared) > 3
            and len(set(map(str, compared))) > 2
            and all(t == g for t, g in compared)
        ):
            places = f"{abs(step)} place{'s' * (abs(step) > 1)}"
            return f"The right ones stand {places} too {'late' if step > 0 else 'early'}."
    return None


def _one_more(cases: list[Case]) -> str | None:
    """One too many is kept, or one too few, every time."""
    kept = [(_kept(truth, got), _kept(got, truth)) for _, truth, got in cases]
    if any(t is None or g is None or t.shape != g.shape for t, g in kept):
        return None
    if not all(_equal_where_kept(truth, got) for _, truth, got in cases):
        return None
    masks = [(t, g) for t, g in kept if t is not None and g is not None]
    for more, less, words in ((1, 0, "more"), (0, 1, "fewer")):
        if all((pair[less] <= pair[more]).all() for pair in masks):
            counts = {int(pair[more].sum() - pair[less].sum()) for pair in masks}
            if counts == {1} and len(masks) > 1:
                return f"You keep one {words} than you should, in every case that is wrong."
    return None


def _kept(value: Any, other: Any) -> np.ndarray | None:
    """Where something is kept: it is True, or not minus infinity (as `other` has it, too)."""
    if isinstance(value, Tensor):
        if str(value.dtype) == "torch.bool":
            return value.numpy()
        both = [t for t in (value, other) if isinstance(t, Tensor) and t.is_floating_point()]
        hidden = len(both) == 2 and any(bool((t == -math.inf).any()) for t in both)
        return (value != -math.inf).numpy() if hidden else None
    if isinstance(value, list) and value and all(isinstance(v, bool) for v in value):
        return np.array(value)
    return None


def _equal_where_kept(truth: Any, got: Any) -> bool:
    if not isinstance(truth, Tensor) or not truth.is_floating_point():
        return True
    one, other = (t.detach().double().numpy() for t in (truth, got))
    both = (one != -math.inf) & (other != -math.inf)
    return bool(np.allclose(one[both], other[both], rtol=1e-4, atol=1e-6))
