"""Dataclasses from plain values, such as JSON holds; nothing is taken that was not declared.

The way back is `dataclasses.asdict`. Not here: files, and what older versions wrote into them.
"""

import dataclasses
import types
import typing
from typing import Any, Literal, TypeVar

from llmcourse.errors import UserError, nearest

T = TypeVar("T")


def from_plain(kind: type[T], values: Any, what: str = "field", where: str = "") -> T:
    """The dataclass that a table of plain values describes; fields left out take their defaults.

    `what` is a field's name in messages, and `where` the dotted name of the table, if any.

    Raises:
        UserError: an unknown or a missing field, or a value of the wrong type.
    """
    if not isinstance(values, dict):
        raise UserError(f"{what} {where.rstrip('.') or 'root'} must be a table, not {values!r}")
    hints = typing.get_type_hints(kind)
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise UserError(f"unknown {what} {where + name!r}{nearest(name, hints)}")
        if dataclasses.is_dataclass(hints[name]):
            value = from_plain(hints[name], value, what, f"{where}{name}.")
        elif not _fits(value, hints[name]):
            raise UserError(f"{what} {where + name}={value!r} is not of type {hints[name]}")
        # JSON knows lists alone.
        chosen[name] = tuple(value) if isinstance(value, list) else value
    try:
        return kind(**chosen)
    except TypeError as error:  # a field without a default is missing
        raise UserError(f"{what}s are missing: {error}") from None


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):  # the second for Literal | None
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:  # of any length, of one type: `tuple[str, ...]`
        of_type = typing.get_args(hint)[0]
        return isinstance(value, (list, tuple)) and all(_fits(one, of_type) for one in value)
    if hint in (int, float):  # JSON writes 1.0 as 1 in other hands; True is a number to Python
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (hint is float and isinstance(value, float))
    return isinstance(value, hint)
