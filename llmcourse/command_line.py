"""Command lines from dataclasses, by the `tyro` library, with errors that take one line.

Not here: what the commands do (`train/__main__.py`, `generate/__main__.py`).
"""

import contextlib
import dataclasses
import io
import math
import re
from typing import Any, TypeVar, cast

import tyro

from llmcourse.errors import UserError

T = TypeVar("T")


def parse(kind: type[T], arguments: list[str], *, prog: str, about: str, default: T | None) -> T:
    """Fill a dataclass from arguments such as `--model.n-layers 6`.

    `about` is the command's docstring; a line that begins with `$` is kept on its own in the help.

    Raises:
        UserError: an unknown option (the nearest is named) or a value that cannot be.
        SystemExit: help was asked for and given.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            filled = tyro.cli(kind, prog=prog, description=about, default=default, args=arguments)
    except SystemExit as end:
        if not end.code:
            raise
        raise UserError(_one_line(said.getvalue())) from None
    check_numbers(filled)
    return cast(T, filled)


def check_numbers(settings: Any, prefix: str = "") -> None:
    """Refuse, in a tree of dataclasses, numbers that no computation can use.

    Raises:
        UserError: one that is not finite, or a whole one of more than 64 bits; it is named.
    """
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), prefix + field.name
        if dataclasses.is_dataclass(value):
            check_numbers(value, f"{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name}={value} must be a finite number")
        elif isinstance(value, int) and abs(value) >= 2**63:
            raise UserError(f"{name}={value} is too large: write it with fewer digits")


def _one_line(box: str) -> str:
    """The gist of the library's framed message."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()]
    lines = [line for line in lines[1:] if line.strip("-")]  # a frame is of dashes in ASCII
    text = " ".join(lines)
    unknown = re.match(r"Unrecognized options: (\S+?),? ", text + " ")
    if unknown:
        meant = re.search(r"Perhaps you meant: (--\S+)", text)
        hint = f"did you mean {meant[1]}?" if meant else "--help lists them all"
        return f"unknown option {unknown[1]}; {hint}"
    gist = re.split(r"Argument helptext:|For full helptext", text)[0].strip()
    return re.sub(r"^Error parsing \w+: ", "", gist)
