"""An exercise's reference as text, from which a check makes wrong answers by program.

The text comes from the solutions, by `make exercises`, and is read here, never shown. Not here:
the ways of being wrong (`mutations.py`) and the wrong answers (`mutants.py`). No chapter teaches
this.
"""

import ast
import contextlib
import functools
import itertools
import json
import linecache
from dataclasses import dataclass
from importlib import resources
from types import CodeType
from typing import Any

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"

_numbers = itertools.count()


@dataclass(frozen=True)
class Reference:
    """A right answer's source.

    Attributes:
        name: what the source defines, a function or a class.
        source: its definition, with the markers of what a learner writes.
        around: what stands beside it in its notebook: imports, other functions, constants.
    """

    name: str
    source: str
    around: tuple[str, ...] = ()

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last line of what a learner writes."""
        lines = self.source.split("\n")
        marks = [n for n, line in enumerate(lines, 1) if BEGIN in line or END in line]
        return (min(marks), max(marks)) if marks else (1, len(lines))

    def tree(self) -> ast.Module:
        """The source, parsed; lines are numbered as in `span`."""
        return ast.parse(self.source)

    def namespace(self) -> dict[str, Any]:
        """A fresh module's names, with everything that stands around the reference."""
        return dict(_namespace(self.around))

    def made(self, code: CodeType | None = None) -> Any:
        """The answer that the source, or compiled code in its place, defines."""
        names = self.namespace()
        exec(code or _compiled(self.source), names)
        return names[self.name]


@functools.cache
def _namespace(around: tuple[str, ...]) -> dict[str, Any]:
    """What the statements around a reference define; it is run once."""
    names: dict[str, Any] = {"__name__": "llmcourse references"}
    for statement in around:
        # A default may name what a cell computed on the way: no answer needs that one.
        with contextlib.suppress(NameError):
            exec(compile(statement, "<around a reference>", "exec"), names)
    return names


@functools.cache
def _compiled(source: str) -> CodeType:
    """The source compiled, with its lines where tracebacks look for them."""
    name = f"<reference {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    return compile(source, name, "exec")


@functools.cache
def _all() -> dict[str, Any]:
    file = resources.files("llmcourse.checks") / "references.json"
    return json.loads(file.read_text(encoding="utf-8"))


def find(chapter: str, check: str) -> Reference | None:
    """The reference of a chapter's exercise; None if it has none, as a choice has."""
    found = _all().get(chapter, {})
    answer = found.get("answers", {}).get(check)
    if answer is None:
        return None
    return Reference(answer["name"], "\n".join(answer["source"]), tuple(found["around"]))
