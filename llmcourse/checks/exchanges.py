"""Two things exchanged on the way; a limit, or what is written twice, that is wrong throughout.

A learner who mixes two things up does so in a step, or from one step on, and not at a single place.
Not here: slips at one place (`slips.py`), parameters exchanged at the door (`mutations.py`). No
chapter teaches this.
"""

import ast
import itertools
from collections.abc import Callable, Iterator

from llmcourse.checks.taken_for import AROUND
from llmcourse.checks.words import Words

Whole = Callable[[ast.Module], ast.Module]

_OTHER_SIDE = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}


def exchanges(tree: ast.Module, span: tuple[int, int]) -> Iterator[tuple[str, Whole]]:
    """Each exchange with what makes it of (a copy of) the tree.

    Args:
        tree: a right answer.
        span: the first and the last line of what a learner writes.
    """
    words = Words(tree)
    yield from _limits(tree, span, words)
    yield from _repeated(tree, span, words)
    steps = [n for n in ast.walk(tree) if isinstance(n, ast.stmt)
             and not isinstance(n, ast.FunctionDef | ast.ClassDef)
             and span[0] <= n.lineno <= span[1]]  # fmt: skip
    steps.sort(key=lambda step: step.lineno)
    for step in steps:
        for last in (step.end_lineno or step.lineno, span[1]):
            read = _read([s for s in steps if step.lineno <= s.lineno <= last], words)
            for one, other in itertools.combinations(read, 2):
                if _kind(one, words) == _kind(other, words):
                    yield _said(one, other, words), _swapped(one, other, step.lineno, last)


def _read(steps: list[ast.stmt], words: Words) -> list[str]:
    """The variables that are read in some steps."""
    names = [n.id for step in steps for n in ast.walk(step)
             if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]  # fmt: skip
    return [name for name in dict.fromkeys(names) if words.origins.get(name)]


def _kind(name: str, words: Words) -> str:
    """What may be mixed up: parameters of one kind, or what was made on the way."""
    return words.parameters.get(name, "made on the way")


def _said(one: str, other: str, words: Words) -> str:
    first, second = (words.of(ast.Name(name, ast.Load())) for name in (one, other))
    if first == second:
        return (
            f"two things that are made from {first.removeprefix('what comes from ')} were exchanged"
        )
    return f"{first} and {second} were exchanged on the way"


def _swapped(one: str, other: str, first: int, last: int) -> Whole:
    others = {one: other, other: one}

    def make(tree: ast.Module) -> ast.Module:
        for node in ast.walk(tree):
            read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
            if read and first <= node.lineno <= last:
                node.id = others.get(node.id, node.id)
        return tree

    return make


def _repeated(tree: ast.Module, span: tuple[int, int], words: Words) -> Iterator[tuple[str, Whole]]:
    """What is written more than once, and each time wrong in the same way."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.BinOp | ast.Call | ast.Subscript)
             and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
             and span[0] <= n.lineno <= span[1] and words.made_from(n)]  # fmt: skip
    texts = [ast.unparse(node) for node in found]
    for text in dict.fromkeys(t for t in texts if texts.count(t) > 1):
        said = words.of(found[texts.index(text)])
        for clause, made in AROUND:
            yield (
                f"{clause.format(said)}, throughout",
                _instead(text, made.replace("{}", f"({text})")),
            )
        for name, kind in words.parameters.items():
            if kind in ("int", "float") and name not in words.places:
                yield f"`{name}` stood where {said} is meant, throughout", _instead(text, name)


def _instead(text: str, made: str) -> Whole:
    class Replaced(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> ast.AST:
            if isinstance(node, ast.expr) and ast.unparse(node) == text:
                return ast.parse(f"({made})", mode="eval").body
            return self.generic_visit(node)

    def make(tree: ast.Module) -> ast.Module:
        Replaced().visit(tree)
        return tree

    return make


def _limits(tree: ast.Module, span: tuple[int, int], words: Words) -> Iterator[tuple[str, Whole]]:
    """What is compared with one limit more than once: the limit itself on the other side."""
    found = [n for n in ast.walk(tree)
             if isinstance(n, ast.Compare) and span[0] <= n.lineno <= span[1]]  # fmt: skip
    sides = [side for n in found for side in (n.left, *n.comparators)]
    texts = [ast.unparse(side) for side in sides]
    for text in dict.fromkeys(t for t in texts if texts.count(t) > 1):
        side = sides[texts.index(text)]
        said = f"the limit itself, {words.of(side)}, belonged to the other side"
        yield said, _moved(text)


def _moved(limit: str) -> Whole:
    def make(tree: ast.Module) -> ast.Module:
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and limit in map(
                ast.unparse, (node.left, *node.comparators)
            ):
                node.ops = [_OTHER_SIDE.get(type(op), type(op))() for op in node.ops]
        return tree

    return make
