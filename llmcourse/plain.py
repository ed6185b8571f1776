"""Dataclasses from plain values, such as JSON holds; nothing is taken that was not declared.

The way back is `dataclasses.asdict`. Also JSON itself, and text in Markdown. Not here: files,
and what older versions wrote into them.
"""

import dataclasses
import json
import math
import types
import typing
from typing import Any, Literal, TypeVar

from llmcourse.errors import CONTROLS, UserError, nearest, visible

T = TypeVar("T")


def parse_json(text: str | bytes) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is no JSON, or is nested so deep that nobody meant it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def json_line(value: Any) -> str:
    """The value as JSON in one line: letters as they are, what steers a terminal as `\\u009b`."""
    line = json.dumps(value, ensure_ascii=False)
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def as_code(text: str) -> str:
    """Anybody's text as code within a line of Markdown, where no mark of it means anything."""
    line = visible(" ".join(text.split())).replace("`", "'")
    return f"`{line or ' '}`"


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
            raise UserError(f"{what} {where + name}={value!r:.60} is not of type {hints[name]}")
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
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
        return whole or (hint is float and isinstance(value, float) and math.isfinite(value))
    return isinstance(value, hint)
