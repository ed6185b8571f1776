"""Where two values differ first, said in words that help to find the reason.

Not here: running a learner's code (`sandbox.py`), and what a check makes of a difference
(`harness.py`). Every chapter's exercises rest on this; none teaches it.
"""

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

Axes = str | tuple[str | None, ...] | None
"""Letters of a result's axes, as in `"B T K"`; a tuple of them where several are returned."""

# Absolute and relative at once: |actual - expected| <= tolerance · (1 + |expected|). Each is some
# hundred roundings of its format, and far below what a real mistake makes.
TOLERANCES: dict[torch.dtype, float] = {
    torch.float64: 1e-10,
    torch.float32: 1e-5,
    torch.float16: 1e-2,
    torch.bfloat16: 5e-2,
    torch.complex128: 1e-10,
    torch.complex64: 1e-5,
}
NUMBER_TOLERANCE = 1e-6
"""For plain Python numbers, which have often been a float32 tensor's `item()`."""


@dataclass(frozen=True)
class _How:
    """How near values have to be, and whether any format will do."""

    tolerance: float | None = None
    loose: bool = False


def difference(
    expected: Any,
    actual: Any,
    *,
    axes: Axes = None,
    tolerance: float | None = None,
    loose: bool = False,
) -> str | None:
    """What is wrong with `actual`, as the rest of a sentence; None if nothing is.

    Looks at type, shape, dtype, NaN and values, in that order, and into tuples, lists and dicts.
    A single number may be a tensor of shape `[]` or `[1]`, or a plain one.

    Args:
        expected: what it should be.
        actual: what it is.
        axes: the letters of a tensor's axes, for the words.
        tolerance: absolute and relative; by default what the format allows.
        loose: take any format of numbers for another of its kind, and yes and no for 1 and 0.
    """
    try:
        return _difference(expected, actual, axes, _How(tolerance, loose))
    except Exception as error:  # a learner's object may do anything when it is looked at
        return f"is {a_kind(actual)} that cannot be compared ({type(error).__name__})"


def a_kind(value: Any) -> str:
    """A value's type with its article: "a tensor", "an int", "None"."""
    if value is None:
        return "None"
    if isinstance(value, Tensor):
        return "a tensor"
    if isinstance(value, np.ndarray):
        return "a numpy array"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def show_shape(shape: tuple[int, ...]) -> str:
    """A shape as `(2, 3)`, and a single number's as words."""
    return str(tuple(shape)) if len(shape) else "() (a single number)"


def _difference(expected: Any, actual: Any, axes: Axes, how: _How) -> str | None:
    if isinstance(expected, Tensor):
        return _tensors(expected, actual, axes, how)
    if isinstance(expected, np.ndarray):
        return _arrays(expected, actual, axes, how)
    if isinstance(expected, bool | np.bool_):
        return _booleans(bool(expected), actual, how)
    if isinstance(expected, Number):
        return _numbers(expected, actual, how)
    if isinstance(expected, str | bytes):
        return _texts(expected, actual)
    if isinstance(expected, Mapping):
        return _mappings(expected, actual, axes, how)
    if isinstance(expected, tuple | list):
        return _sequences(expected, actual, axes, how)
    if isinstance(expected, Set):
        return _sets(expected, actual)
    return None if actual == expected else f"is {actual!r:.80}; expected {expected!r:.80}"


def _tensors(expected: Tensor, actual: Any, axes: Axes, how: _How) -> str | None:
    if expected.ndim == 0:
        actual = _scalar(actual, expected)
    if not isinstance(actual, Tensor):
        hint = {np.ndarray: ": torch.from_numpy makes it one", tuple: " (one value, not several)"}
        return f"is {a_kind(actual)} where a tensor is expected{hint.get(type(actual), '')}"
    letters = axes if isinstance(axes, str) else None
    if actual.shape != expected.shape:
        named = f" = {letters}" if letters and len(letters.split()) == expected.ndim else ""
        return f"has shape {show_shape(actual.shape)}; expected {show_shape(expected.shape)}{named}"
    expected, actual = expected.detach().cpu(), actual.detach().cpu().to_dense()
    format_of_both = _common_format(expected.dtype, actual.dtype, how)
    if format_of_both is None:
        return f"has dtype {actual.dtype}; expected {expected.dtype}"
    if not (expected.dtype.is_floating_point or expected.dtype.is_complex):
        return _values(expected, actual, expected != actual, letters)
    tolerance = TOLERANCES[format_of_both] if how.tolerance is None else how.tolerance
    wide = torch.complex128 if expected.dtype.is_complex else torch.float64
    close = torch.isclose(
        actual.to(wide), expected.to(wide), rtol=tolerance, atol=tolerance, equal_nan=True
    )
    return _values(expected, actual, ~close, letters)


def _scalar(actual: Any, expected: Tensor) -> Any:
    """A single number as a tensor of shape `[]`, however it was handed over."""
    if isinstance(actual, Tensor) and actual.numel() == 1:
        return actual.reshape(())
    plain = isinstance(actual, int | float | np.number) and not isinstance(actual, bool)
    if plain and expected.dtype.is_floating_point:
        return torch.tensor(float(actual), dtype=expected.dtype)
    return actual


def _common_format(expected: torch.dtype, actual: torch.dtype, how: _How) -> torch.dtype | None:
    """The format in which both may be compared; None if the actual one will not do."""
    if expected == actual:
        return expected
    if not how.loose or expected.is_complex or actual.is_complex:
        return None
    if expected.is_floating_point != actual.is_floating_point:
        return None
    if not expected.is_floating_point:
        return expected
    return max(expected, actual, key=lambda dtype: torch.finfo(dtype).eps)


def _values(expected: Tensor, actual: Tensor, wrong: Tensor, letters: str | None) -> str | None:
    """Report the first wrong number, and NaN or infinity, where unexpected, before the rest."""
    total, count = expected.numel(), int(wrong.sum())
    if not count:
        return None
    for name, test in (("NaN", torch.isnan), ("infinite", torch.isinf)):
        odd = test(actual) & ~test(expected)
        if odd.any():
            place = _place(odd, letters)
            return f"is {name}{place} ({int(odd.sum())} of {total} numbers are)"
    position = tuple(wrong.nonzero()[0].tolist())
    got, wanted = actual[position].item(), expected[position].item()
    sentence = _both(got, wanted, _place(wrong, letters))
    if total == 1:
        return sentence
    return f"{sentence} ({count} of {total} numbers differ{_largest(expected, actual)})"


def _place(wrong: Tensor, letters: str | None) -> str:
    """The first true position, with the axes' letters where they are known: ` at [B=0, T=2]`."""
    if wrong.ndim == 0:
        return ""
    position = wrong.nonzero()[0].tolist()
    names = letters.split() if letters else []
    if len(names) != len(position):
        return f" at {position}"
    return f" at [{', '.join(f'{n}={p}' for n, p in zip(names, position, strict=True))}]"


def _largest(expected: Tensor, actual: Tensor) -> str:
    """The largest difference of floating tensors, for the end of a message."""
    if not expected.dtype.is_floating_point:
        return ""
    gaps = (expected.double() - actual.double()).abs()
    return f", by up to {_number(gaps.nan_to_num(posinf=math.inf).max().item())}"


def _arrays(expected: np.ndarray, actual: Any, axes: Axes, how: _How) -> str | None:
    if not isinstance(actual, np.ndarray):
        hint = ": .numpy() makes it one" if isinstance(actual, Tensor) else ""
        return f"is {a_kind(actual)} where a numpy array is expected{hint}"
    if expected.dtype.kind not in "biuf" or actual.dtype.kind not in "biuf":
        return _difference(expected.tolist(), actual.tolist(), axes, how)
    return _tensors(torch.from_numpy(expected), torch.from_numpy(actual), axes, how)


def _booleans(expected: bool, actual: Any, how: _How) -> str | None:
    actual = single(actual)
    yes_or_no = isinstance(actual, bool | np.bool_) or (how.loose and actual in (0, 1))
    if not yes_or_no:
        return f"is {a_kind(actual)} where True or False is expected"
    return None if bool(actual) == expected else f"is {actual}; expected {expected}"


def _numbers(expected: Any, actual: Any, how: _How) -> str | None:
    actual = single(actual)
    if (isinstance(actual, bool) and not how.loose) or not isinstance(actual, Number):
        return f"is {a_kind(actual)} where a number is expected"
    if expected == actual or (expected != expected and actual != actual):  # equal, or both NaN
        return None
    allowed = NUMBER_TOLERANCE if how.tolerance is None else how.tolerance
    exact = isinstance(expected, int) and how.tolerance is None
    gap = abs(actual - expected)
    if not exact and gap < math.inf and gap <= allowed * (1 + abs(expected)):
        return None
    return _both(actual, expected)


def _texts(expected: str | bytes, actual: Any) -> str | None:
    if not isinstance(actual, type(expected)):
        return f"is {a_kind(actual)} where {a_kind(expected)} is expected"
    if actual == expected:
        return None
    pairs = zip(expected, actual, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(actual)))
    start = max(0, same - 20)
    got, wanted = (repr(text[start : start + 60]) for text in (actual, expected))
    return f"is {got}; expected {wanted} (the same up to position {same})"


def _mappings(expected: Mapping, actual: Any, axes: Axes, how: _How) -> str | None:
    if not isinstance(actual, Mapping):
        return f"is {a_kind(actual)} where a dict is expected"
    for word, keys in (("lacks", expected.keys() - actual.keys()),
                       ("should not have", actual.keys() - expected.keys())):  # fmt: skip
        if keys:
            return f"{word} {_list(keys)}"
    for key, value in expected.items():
        if found := _difference(value, actual[key], axes, how):
            return _inside(f"[{key!r}]", found)
    return None


def _sequences(expected: tuple | list, actual: Any, axes: Axes, how: _How) -> str | None:
    kind = tuple if isinstance(expected, tuple) else list
    if not isinstance(actual, kind):
        return f"is {a_kind(actual)} where a {kind.__name__} of {len(expected)} is expected"
    if len(actual) != len(expected):
        return f"has length {len(actual)}; expected {len(expected)}"
    names = getattr(expected, "_fields", [f"[{i}]" for i in range(len(expected))])
    letters = axes if isinstance(axes, tuple) else (axes,) * len(expected)
    for name, value, other, own in zip(names, expected, actual, letters, strict=True):
        if isinstance(value, int) and isinstance(other, Tensor) and not how.loose:
            return _inside(name, f"is a tensor where {a_kind(value)} is expected: int(...)")
        if found := _difference(value, other, own, how):
            return _inside(name, found)
    return None


def _sets(expected: Set, actual: Any) -> str | None:
    if not isinstance(actual, Set):
        return f"is {a_kind(actual)} where a set is expected"
    if missing := expected - actual:
        return f"lacks {_list(missing)}"
    return f"should not have {_list(actual - expected)}" if actual - expected else None


def _inside(name: str, found: str) -> str:
    """Put the part's name before what is wrong with it: `in [0]: has shape …`."""
    return (
        f"in {name}, {found.removeprefix('in ')}"
        if found.startswith("in ")
        else f"in {name}: {found}"
    )


def _list(items: Any) -> str:
    names = sorted(repr(item) for item in items)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def single(value: Any) -> Any:
    """The number in a tensor or an array of one; everything else as it is."""
    if isinstance(value, Tensor):
        return value.detach().item() if value.numel() == 1 else value
    return value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value


def _both(got: Any, wanted: Any, place: str = "") -> str:
    """Both numbers, with as many digits as it takes to tell them apart."""
    if (short := _number(got)) != _number(wanted):
        return f"is {short}{place}; expected {_number(wanted)}"
    return f"is {got!r}{place}; expected {wanted!r}"


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
