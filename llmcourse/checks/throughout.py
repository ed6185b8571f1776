"""Slips that are made wherever they can be: a number, a function or an axis that is another one.

Not here: slips at one place (`slips.py`). No chapter teaches this.
"""

import ast
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from llmcourse.checks.mutations import CALLS
from llmcourse.checks.taken_for import STEPS, TAKEN

Whole = Callable[[ast.Module], ast.Module]
"""Changes a whole definition."""


def nodes(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node with its parent, in one order for all copies of a tree."""
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            yield child, parent


def is_number(node: ast.AST, parent: ast.AST) -> bool:
    """Whether a node is a number to compute with, and no place or axis."""
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
        and not isinstance(parent, ast.Subscript | ast.Slice | ast.keyword)
    )


def near(value: float) -> list[float]:
    """Numbers that a number is taken for."""
    others = [2 * value, value / 2, value + 1, value - 1, value * 10, value / 10, value**2]
    others += [0, 1, 2, 3, 4, 6, 8, 10, 100]
    if isinstance(value, int):
        others = [int(v) if v == int(v) else v for v in others]
    return [v for v in dict.fromkeys(others) if v != value]


def everywhere(tree: ast.Module, span: tuple[int, int]) -> Iterator[tuple[str, Whole]]:
    """One number, one function or the axis changed wherever it stands; two steps exchanged."""
    within = [(n, p) for n, p in nodes(tree) if span[0] <= getattr(n, "lineno", 0) <= span[1]]
    values: list[Any] = [getattr(n, "value", None) for n, p in within if is_number(n, p)]
    for value in dict.fromkeys(v for v in values if values.count(v) > 1):
        for other in near(value):
            yield f"{value} were {other} throughout", _all_numbers(value, other)
    axes = [k for n, _ in within if isinstance(n, ast.Call) for k in n.keywords if k.arg == "dim"]
    if len(axes) > 1:
        for axis, where in ((0, "the first axis"), (1, "axis 1"), (-2, "the last but one")):
            yield f"all were done along {where}", _all_axes(axis)
    methods = [n.func.attr for n, _ in within
               if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)]  # fmt: skip
    if {"sin", "cos"} <= set(methods):
        yield (
            "sine and cosine were exchanged throughout",
            _all_methods({"sin": "cos", "cos": "sin"}),
        )
    for name in dict.fromkeys(m for m in methods if methods.count(m) > 1):
        yield f"{STEPS.get(name, f'`{name}`')} were left out throughout", _all_methods({name: ""})
        for other, said in (*TAKEN.get(name, ()), *CALLS.get(name, ())):
            yield f"{said}, throughout", _all_methods({name: other})
    for body in (getattr(n, "body", ()) for n in ast.walk(tree)):
        steps = [s for s in body if isinstance(s, ast.Assign | ast.AugAssign | ast.Expr)
                 and span[0] <= s.lineno <= span[1]] if isinstance(body, list) else []  # fmt: skip
        for one, other in itertools.pairwise(steps):
            yield "two steps were taken in the other order", _steps_turned(one.lineno, other.lineno)


def _steps_turned(one: int, other: int) -> Whole:
    def make(tree: ast.Module) -> ast.Module:
        for node in ast.walk(tree):
            body: Any = getattr(node, "body", None)
            lines = [getattr(s, "lineno", 0) for s in body] if isinstance(body, list) else []
            if one in lines and other in lines:
                i, j = lines.index(one), lines.index(other)
                body[i], body[j] = body[j], body[i]
                break
        return tree

    return make


def _all_methods(others: dict[str, str]) -> Whole:
    """Methods of these names become others, or are left out where there is no other."""

    class Renamed(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            self.generic_visit(node)
            if not isinstance(node.func, ast.Attribute) or node.func.attr not in others:
                return node
            if other := others[node.func.attr]:
                node.func.attr = other
                return node
            return node.func.value

    return Renamed().visit


def _all_numbers(value: float, other: float) -> Whole:
    def make(tree: ast.Module) -> ast.Module:
        for node, parent in nodes(tree):
            if is_number(node, parent) and isinstance(node, ast.Constant) and node.value == value:
                node.value = other
        return tree

    return make


def _all_axes(axis: int) -> Whole:
    def make(tree: ast.Module) -> ast.Module:
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "dim":
                node.value = ast.Constant(axis)
        return tree

    return make
