"""A failing case as a small table: what came in, what your answer made of it, what is expected.

Numbers that differ are marked, by more than a colour. Not here: the words about the mistake
(`harness.py`), and how a notebook draws the table (`notebook.py`). No chapter teaches this.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from llmcourse.checks.compare import difference, show_shape
from llmcourse.notebook import Part, Row

ITEMS = 12
"""Lists of up to so many entries are shown whole."""

ROWS, COLUMNS = 6, 8
"""Matrices of up to so many numbers are shown whole."""

CHARACTERS = 160


def table(inputs: Mapping[str, Any], truth: Any, got: Any) -> tuple[Row, ...]:
    """The rows of a failing case: each argument, then yours and the expected, differences marked.

    Empty where neither result can be shown whole.
    """
    yours, expected = parts(got, truth), parts(truth, got)
    if yours is None or expected is None:
        return ()
    rows = [Row(name, parts(value) or _summary(value)) for name, value in inputs.items()]
    return (*rows, Row("yours", yours), Row("expected", expected))


def parts(value: Any, other: Any = None) -> tuple[Part, ...] | None:
    """A value in pieces, those that differ from `other` marked; None if it is too long to show."""
    try:
        return _parts(value, other)
    except Exception:  # a learner's object may do anything when it is looked at
        return None


def size(value: Any) -> int:
    """How much there is to read in a value: numbers, characters, entries."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, Mapping):
        return sum(size(item) for item in value.values()) + len(value)
    if isinstance(value, list | tuple | set | frozenset):
        return sum(size(item) for item in value) + 1
    return 1


def _parts(value: Any, other: Any) -> tuple[Part, ...] | None:
    if isinstance(value, Tensor):
        other = other.detach().cpu().numpy() if isinstance(other, Tensor) else None
        return _array(_numbers(value), other)
    if isinstance(value, np.ndarray):
        return _array(value, other if isinstance(other, np.ndarray) else None)
    if isinstance(value, str | bytes):
        return _text(value, other)
    if isinstance(value, list | tuple):
        return _sequence(value, other)
    text = _plain(value)
    return (Part(text, other is not None and _differ(value, other)),) if _fits(text) else None


def _numbers(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def _array(value: np.ndarray, other: np.ndarray | None) -> tuple[Part, ...] | None:
    """A number, a row or a matrix, its columns aligned."""
    if value.ndim > 2 or value.size > ROWS * COLUMNS or not value.size:
        return None
    if value.shape[-1:] and value.shape[-1] > 2 * COLUMNS:
        return None
    marks = np.zeros(value.shape, bool)
    if other is not None and other.shape == value.shape:
        marks = ~np.isclose(value.astype(float), other.astype(float), 1e-5, 1e-6, equal_nan=True)
    texts = [_plain(item) for item in value.ravel().tolist()]
    width = max(map(len, texts))
    rows = value.reshape(-1, value.shape[-1] if value.ndim else 1)
    found: list[Part] = []
    for number, text in enumerate(texts):
        if number:
            found.append(Part("\n" if number % rows.shape[1] == 0 else "  "))
        found.append(Part(text.rjust(width), bool(marks.ravel()[number])))
    return tuple(found)


def _text(value: str | bytes, other: Any) -> tuple[Part, ...] | None:
    if len(value) > CHARACTERS:
        return None
    if not isinstance(other, type(value)) or other == value:
        return (Part(repr(value)),)
    pairs = enumerate(zip(value, other, strict=False))
    same = next((n for n, (a, b) in pairs if a != b), min(len(value), len(other)))
    return Part(repr(value[:same])), Part(" "), Part(repr(value[same:]), True)


def _sequence(value: list[Any] | tuple[Any, ...], other: Any) -> tuple[Part, ...] | None:
    if len(value) > ITEMS:
        return None
    opening, closing = "()" if isinstance(value, tuple) else "[]"
    found = [Part(opening)]
    others = list(other) if isinstance(other, list | tuple) else None
    for number, item in enumerate(value):
        if number:
            found.append(Part(", "))
        if isinstance(item, list | tuple | Tensor | np.ndarray):
            other_item = others[number] if others and number < len(others) else None
            if isinstance(item, Tensor | np.ndarray) and item.ndim > 1:  # in line with the rest
                item, other_item = _nested(item), _nested(other_item)
            inner = _parts(item, other_item)
            if inner is None:
                return None
            bare = isinstance(item, Tensor | np.ndarray) and item.ndim  # a list has its brackets
            found += [Part("["), *inner, Part("]")] if bare else inner
        else:
            wrong = others is not None and (number >= len(others) or _differ(item, others[number]))
            found.append(Part(_plain(item), wrong))
    found.append(Part(closing))
    return tuple(found) if _fits("".join(part.text for part in found)) else None


def _nested(value: Any) -> Any:
    """An array's numbers as lists in lists; anything else as it is."""
    if isinstance(value, Tensor):
        value = _numbers(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _differ(one: Any, other: Any) -> bool:
    return difference(one, other, loose=True) is not None


def _plain(value: Any) -> str:
    """A value in one line: numbers with four digits, functions by what one would call."""
    shown: Callable[[Any], str] = _function if inspect.isroutine(value) else repr
    if isinstance(value, float):
        text = f"{value:.4g}"
        return text if any(c in text for c in ".einf") else f"{text}."
    return " ".join(shown(value).split())


def _function(value: Any) -> str:
    """A function by its name, a container's method with the container."""
    name, owner = value.__name__, getattr(value, "__self__", None)
    if isinstance(owner, list | tuple | dict | str):
        return f"{owner!r}.{name}"
    return name if name.isidentifier() else "a function"


def _fits(text: str) -> bool:
    return len(text) <= 3 * CHARACTERS


def _summary(value: Any) -> tuple[Part, ...]:
    """What a value is that is too long to show."""
    if isinstance(value, Tensor | np.ndarray):
        kind = str(value.dtype).removeprefix("torch.")
        return (Part(f"{kind} of shape {show_shape(tuple(value.shape))}"),)
    if isinstance(value, str | bytes):
        return (Part(f"{value[:60]!r}... ({len(value):,} characters)"),)
    if isinstance(value, list | tuple | dict | set | frozenset):
        return (Part(f"{type(value).__name__} of {len(value):,}"),)
    return (Part(f"{type(value).__name__}"),)
