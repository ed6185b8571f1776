"""Right answers put together in the wrong way: each part by itself, or one part for the whole.

    for part in parts_of(reference, function):
        part.cause        # "each of `parts` were worked out by itself, and the mean taken"

A mean of means is the best known of these slips. Each is the reference, called on parts of what
it is given; nothing in it is changed. No chapter teaches this.
"""

import ast
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from llmcourse.checks.mutants import Mutant
from llmcourse.checks.references import Reference

Split = Callable[[Any], list[Any]]


@dataclass(frozen=True)
class Part(Mutant):
    """A wrong answer that calls the right one; `source` names what is done with it.

    Attributes:
        wrapped: makes the wrong answer of the right one.
    """

    wrapped: Callable[[Callable[..., Any]], Callable[..., Any]]

    def answer(self) -> Any:
        """The function that is wrong, the same one each time."""
        made = self.__dict__.get("_wrapped")
        if made is None:
            made = self.__dict__["_wrapped"] = self.wrapped(self.reference.made())
        return made


def parts_of(reference: Reference, function: ast.FunctionDef) -> Iterator[Part]:
    """Every way of going wrong with the parts of what comes in.

    Args:
        reference: the right answer.
        function: its definition, whose annotations say what comes in.
    """
    arguments = [a for a in function.args.args if a.annotation]
    kinds = {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation}
    order = [a.arg for a in function.args.args]
    for names, what, split in _splits(kinds):
        for said, joined in _JOINS:
            yield Part(
                reference,
                said.format(what),
                f"{'+'.join(names)}: {said}",
                _wrapper(order, names, split, joined),
            )
    for names in _groups([name for name, kind in kinds.items() if kind.startswith("list[list")]):
        said = f"{' and '.join(f'`{name}`' for name in names)} were all in one"
        yield Part(reference, said, said, _joined(order, names))
    tensors = [name for name, kind in kinds.items() if kind == "Tensor"]
    for names in ([tensors[0]] if tensors else []), tensors:
        if names and (len(names) > 1 or names != tensors or len(tensors) == 1):
            what = " and ".join(f"`{name}`" for name in names)
            said = f"rows and columns of {what} had changed places all the way"
            yield Part(reference, said, said, _turned(order, names))


def _splits(kinds: dict[str, str]) -> Iterator[tuple[list[str], str, Split]]:
    """Which arguments are cut into parts together, what a part is called, and how it is cut."""
    for prefix, split in (("list", _items), ("Tensor", _rows)):
        names = [name for name, kind in kinds.items() if kind.startswith(prefix)]
        for group in _groups(names):
            what = " and ".join(f"`{name}`" for name in group)
            yield group, f"each of {what}" if split is _items else f"each row of {what}", split
    for name, kind in kinds.items():
        if kind.startswith("list[tuple[Tensor"):
            yield [name], f"each row of `{name}`", _rows_of_pairs


def _groups(names: list[str]) -> list[list[str]]:
    return [[name] for name in names] + ([names] if len(names) > 1 else [])


def _joined(
    order: list[str], names: list[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapped(right: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(order, args, strict=False)) | kwargs
            whole = {name: [[item for part in given[name] for item in part]] for name in names}
            return right(**(given | whole))

        return answer

    return wrapped


def _items(value: Any) -> list[Any]:
    return [value[n : n + 1] for n in range(len(value))]


def _rows(value: Tensor) -> list[Tensor]:
    return [value[n : n + 1] for n in range(len(value))]


def _rows_of_pairs(value: list[tuple[Tensor, ...]]) -> list[Any]:
    cut = [[tuple(t[n : n + 1] for t in pair) for n in range(len(pair[0]))] for pair in value]
    return [[row] for pair in cut for row in pair]


def _wrapper(
    order: list[str], names: list[str], split: Split, joined: Callable[[list[Any]], Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapped(right: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(order, args, strict=False)) | kwargs
            pieces = [split(given[name]) for name in names]
            if len({len(p) for p in pieces}) > 1:
                raise ValueError("these do not belong together")
            found, empty = [], []
            for piece in zip(*pieces, strict=True):
                some = given | dict(zip(names, piece, strict=True))
                found.append(_tried(right, some))
                empty.append(_is_empty(piece))
            if joined is _mean:
                found = [value for value, nothing in zip(found, empty, strict=True) if not nothing]
            return joined(found) if found else right(**given)

        return answer

    return wrapped


def _is_empty(piece: tuple[Any, ...]) -> bool:
    """Whether there is nothing in a part: it holds empty lists alone."""
    return all(isinstance(some, list) and some and some[0] == [] for some in piece)


def _tried(right: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The result for one part; None where it has none."""
    try:
        value = right(**given)
    except Exception:
        return None
    numbers = isinstance(value, float) or (isinstance(value, Tensor) and value.numel() == 1)
    return None if numbers and math.isnan(float(value)) else value


def _mean(found: list[Any]) -> Any:
    kept = [value for value in found if value is not None]
    return sum(kept[1:], kept[0]) / len(kept)


def _mean_of_all(found: list[Any]) -> Any:
    kept = [value for value in found if value is not None]
    return sum(kept[1:], kept[0]) / len(found)


def _mean_of_some(found: list[Any]) -> Any:
    kept = [value for value in found if value is not None and value]
    return sum(kept[1:], kept[0]) / len(kept)


def _sum(found: list[Any]) -> Any:
    kept = [value for value in found if value is not None]
    return sum(kept[1:], kept[0])


def _largest(found: list[Any]) -> Any:
    return max(value for value in found if value is not None)


def _smallest(found: list[Any]) -> Any:
    return min(value for value in found if value is not None)


def _alike(found: list[Any]) -> Any:
    """The mean of lists of one number each, in each one's place."""
    values = [value[0] for value in found]
    return [sum(values) / len(values)] * len(values)


def _in_a_row(found: list[Any]) -> Any:
    if isinstance(found[0], Tensor):
        return torch.cat(found)
    return sum(found[1:], found[0])


_JOINS: tuple[tuple[str, Callable[[list[Any]], Any]], ...] = (
    ("{} were worked out by itself, and the mean taken", _mean),
    ("{} were worked out by itself, and the mean taken, empty ones included", _mean_of_all),
    ("{} were worked out by itself, and the mean taken, zeros left out", _mean_of_some),
    ("{} were worked out by itself, and the results added up", _sum),
    ("{} were worked out by itself, and the largest taken", _largest),
    ("{} were worked out by itself, and the smallest taken", _smallest),
    ("the mean over {} stood for each", _alike),
    ("{} were worked out by itself, whatever the others are", _in_a_row),
    ("{} but the first were left out", lambda found: found[0]),
    ("{} but the last were left out", lambda found: found[-1]),
)


def _turned(
    order: list[str], names: list[str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrapped(right: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(order, args, strict=False)) | kwargs
            turned = {name: _across(given[name]) for name in names}
            return _across(right(**(given | turned)))

        return answer

    return wrapped


def _across(value: Tensor) -> Tensor:
    return value.transpose(-1, -2) if value.ndim > 1 else value
