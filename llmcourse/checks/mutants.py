"""Wrong answers made by program: a right one with one thing changed, and what that amounts to.

    for mutant in mutants_of(reference, inputs):
        mutant.cause      # "`beta2` were always 0.999"
        mutant.answer()   # the function that does it

Each is what a learner's slip does to a right answer: an operator swapped, a term dropped, a limit
included. A check names the slip if an answer behaves as one of them everywhere, and it is tested by
all of them. (The idea is mutation testing: DeMillo, Lipton and Sayward, 1978.) Not here: the
changes themselves (`mutations.py`). No chapter teaches this.
"""

import ast
import functools
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmcourse.checks import mutations
from llmcourse.checks.mutations import Make
from llmcourse.checks.references import Reference
from llmcourse.checks.words import Words


@dataclass(frozen=True)
class Mutant:
    """A wrong answer, made from a right one.

    Attributes:
        reference: the right answer.
        cause: what was changed, so that "as if " before it makes a clause.
        source: its definition.
    """

    reference: Reference
    cause: str
    source: str

    @property
    def line(self) -> str:
        """The first line that is not as it was, as it is now; it tells the mutant from others."""
        before = ast.unparse(self.reference.tree()).split("\n")
        after = self.source.split("\n")
        same = (one == other for one, other in zip(before, after, strict=False))
        first = next((n for n, equal in enumerate(same) if not equal), len(after) - 1)
        return after[first].strip()

    def answer(self) -> Any:
        """The function (or class) that is wrong, the same one each time.

        Raises:
            Exception: whatever the changed definition raises when it is run.
        """
        return self._made

    @functools.cached_property
    def _made(self) -> Any:
        code = compile(self.source, f"<mutant of {self.reference.name}>", "exec")
        return self.reference.made(code)


def mutants_of(reference: Reference, inputs: Mapping[str, Any]) -> list[Mutant]:
    """Every mutant of a reference, no two of one source.

    Args:
        reference: the right answer.
        inputs: values that its parameters have in a case, by name: a mutant holds each fast.
    """
    found: dict[str, Mutant] = {}
    plain = ast.unparse(reference.tree())
    for cause, tree in _trees(reference, inputs):
        source = ast.unparse(ast.fix_missing_locations(tree))
        if source != plain and _compiles(source):
            found.setdefault(source, Mutant(reference, cause, source))
    return list(found.values())


def _trees(reference: Reference, inputs: Mapping[str, Any]) -> Iterator[tuple[str, ast.Module]]:
    tree = reference.tree()
    kept = pickle.dumps(tree)  # read again, it is a copy in a tenth of the time of a deep one
    first, last = reference.span
    known = mutations.Known(_parameters(tree), Words(tree).origins)
    for number, place in enumerate(_places(tree)):
        if not first <= getattr(place.node, "lineno", 0) <= last:
            continue
        for cause, make in mutations.changes(place.node, place.parent, known):
            yield cause, _changed(pickle.loads(kept), number, make)
    for function in _functions(tree):
        if first <= (function.end_lineno or 0) and function.lineno <= last:
            for cause, line in mutations.entries(function, inputs):
                changed = pickle.loads(kept)
                twin = next(f for f in _functions(changed) if f.lineno == function.lineno)
                at = bool(ast.get_docstring(twin))
                twin.body[at:at] = ast.parse(line).body
                yield cause, changed


@dataclass(frozen=True)
class _Place:
    """Where a node stands: in a field of its parent, at an index if that is a list."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None


def _places(tree: ast.AST) -> Iterator[_Place]:
    """Every node below the root, in one order for all copies of a tree."""
    for field, value in ast.iter_fields(tree):
        children = value if isinstance(value, list) else [value]
        for index, child in enumerate(children):
            if isinstance(child, ast.AST):
                yield _Place(child, tree, field, index if isinstance(value, list) else None)
                yield from _places(child)


def _changed(changed: ast.Module, number: int, make: Make) -> ast.Module:
    """The tree, a copy, in which `make` has replaced the node of this number, or removed it."""
    place = next(p for n, p in enumerate(_places(changed)) if n == number)
    new = make(place.node)
    if place.index is None:
        setattr(place.parent, place.field, new)
    else:
        getattr(place.parent, place.field)[place.index] = new
    return changed


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def _parameters(tree: ast.AST) -> set[str]:
    """The names that a learner knows, because the stub has them."""
    arguments = (f.args for f in _functions(tree))
    return {a.arg for args in arguments for a in (*args.args, *args.kwonlyargs)} - {"self"}


def _compiles(source: str) -> bool:
    try:
        compile(source, "<mutant>", "exec")
    except (SyntaxError, ValueError):
        return False
    return True
