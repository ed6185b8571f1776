"""Of what kind the entries are that a list lacks, or has too many of.

    which_ones([(inputs, truth, got), ...], [])   # "You leave out those that were there before."

Not here: the first, the last, another order (`relations.py`); one thing for another
(`sequences.py`). No chapter teaches this.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from llmcourse.checks.compare import difference

Case = tuple[Mapping[str, Any], Any, Any]
"""The arguments by name, what is right, and what came."""

Test = Callable[[int, Any, list[Any], Mapping[str, Any]], bool]
"""Whether an entry is meant: its place, itself, the whole list, and the arguments."""


_Lists = tuple[Mapping[str, Any], list[Any], list[Any]]


def which_ones(cases: list[Case], right: list[Case]) -> str | None:
    """A sentence on the entries that are missing, or too many; None if they have nothing in common.

    Args:
        cases: those whose answer is wrong.
        right: those whose answer is right: nothing of the kind may stand in them.
    """
    rows = [_row(*case) for case in (*cases, *right)]
    found = [row for row in rows if row is not None]
    if not found or len(found) < len(rows) or not any(short for *_, short in found):
        return None
    for first, second, said in ((1, 2, "You leave out {}."), (2, 1, "{} stand there too many.")):
        wrong = found[: len(cases)]
        if not all(len(row[first]) > len(row[second]) for row in wrong):
            continue
        if sum(len(row[first]) - len(row[second]) for row in wrong) < 2:
            continue
        for what, test in _tests(found):
            if all(_without(test, row[first], row[0]) == row[second] for row in found):
                sentence = said.format(what)
                return sentence[0].upper() + sentence[1:]
    return None


def _row(
    inputs: Mapping[str, Any], truth: Any, got: Any
) -> tuple[Mapping[str, Any], list[Any], list[Any]] | None:
    """Both as lists; None of what is none."""
    if type(truth) is not type(got) or not isinstance(truth, list | str | Mapping):
        return None
    if isinstance(truth, Mapping):
        shared = [key for key in got if key in truth]
        if difference([truth[key] for key in shared], [got[key] for key in shared], loose=True):
            return None
    if not all(_is_plain(entry) for entry in (*truth, *got)):
        return None
    return inputs, list(truth), list(got)


def _is_plain(entry: Any) -> bool:
    """Whether an entry can be compared with any other: no tensor is in it."""
    if isinstance(entry, tuple | list):
        return all(map(_is_plain, entry))
    return entry is None or isinstance(entry, str | bytes | int | float)


def _without(test: Test, entries: list[Any], inputs: Mapping[str, Any]) -> list[Any]:
    kept = []
    for place, entry in enumerate(entries):
        try:
            meant = test(place, entry, entries, inputs)
        except (TypeError, ValueError, IndexError, AttributeError, RuntimeError):
            meant = False
        if not meant:
            kept.append(entry)
    return kept


_TESTS: tuple[tuple[str, Test], ...] = (
    ("those that were there before", lambda i, x, all_, _: x in all_[:i]),
    ("those that come again later", lambda i, x, all_, _: x in all_[i + 1 :]),
    ("those that are equal to the one before", lambda i, x, all_, _: i > 0 and all_[i - 1] == x),
    ("those that are 0", lambda i, x, *_: not isinstance(x, str) and x == 0),
    ("those below 0", lambda i, x, *_: x < 0),
    ("those of one alone", lambda i, x, *_: len(x) == 1),
    ("empty ones", lambda i, x, *_: len(x) == 0),
    ("blank ones", lambda i, x, *_: x.strip() == ""),
    ("those with capitals", lambda i, x, *_: x.lower() != x),
    ("those beyond ASCII", lambda i, x, *_: not x.isascii()),
    ("those that are no letters", lambda i, x, *_: not x.isalnum()),
    ("the largest", lambda i, x, all_, _: x == max(all_)),
    ("the smallest", lambda i, x, all_, _: x == min(all_)),
)
_OF_PLACES: tuple[tuple[str, Test], ...] = (
    ("every second one, from the first on", lambda i, x, *_: i % 2 == 0),
    ("every second one, from the second on", lambda i, x, *_: i % 2 == 1),
    ("all but the first", lambda i, x, *_: i > 0),
    ("all but the last", lambda i, x, all_, _: i < len(all_) - 1),
    ("the first and the last", lambda i, x, all_, _: i in (0, len(all_) - 1)),
)


def _tests(rows: list[_Lists]) -> Iterator[tuple[str, Test]]:
    yield from _TESTS
    for name in rows[0][0]:
        yield f"those that are in `{name}`", _is_in(name)
        yield f"those that are not in `{name}`", _is_not_in(name)
    entries = [entry for _, truth, got in rows for entry in (*truth, *got)]
    if entries and all(isinstance(entry, tuple) and entry for entry in entries):
        size = min(map(len, entries))
        for one, other in itertools.combinations(range(size), 2):
            for gap in (1, 2, 0):
                what = f"those whose [{one}] and [{other}] are {gap} apart" if gap else (
                    f"those whose [{one}] and [{other}] are equal")  # fmt: skip
                yield what, _is_apart(one, other, gap)
        for place in range(size):
            for value in dict.fromkeys(repr(entry[place]) for entry in entries[:40]):
                yield f"those whose [{place}] is {value}", _has(place, value)
    yield from _OF_PLACES


def _is_in(name: str) -> Test:
    return lambda i, x, all_, inputs: x == inputs[name] or x in inputs[name]


def _is_not_in(name: str) -> Test:
    return lambda i, x, all_, inputs: x not in inputs[name]


def _is_apart(one: int, other: int, gap: int) -> Test:
    return lambda i, x, *_: x[other] - x[one] == gap


def _has(place: int, value: str) -> Test:
    return lambda i, x, *_: repr(x[place]) == value
