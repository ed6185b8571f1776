"""Slips of place and of order: a column for a row, a round left out, a function on one factor.

Like those of `slips.py`, many change nothing: they only help to say what a wrong answer does. Not
here: rarer ways to write a step (`wider_slips.py`). No chapter teaches this.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

from llmcourse.checks.taken_for import STEPS
from llmcourse.checks.words import Words

Slip = tuple[str, Callable[[Any], ast.AST]]
Look = Callable[[ast.AST, ast.AST, Words], Iterator[Slip]]

_SIGNS = {ast.MatMult: "the product", ast.Mult: "the product", ast.Div: "the quotient",
          ast.Add: "the sum", ast.Sub: "the difference"}  # fmt: skip
_TAKEN_OVER = {
    "sum": (("min", "the smallest stood where the sum is meant"),
            ("max", "the largest stood where the sum is meant")),
    "max": (("min", "the smallest stood where the largest is meant"),),
    "sorted": (("list", "the order were the one that was given, where it is to be sorted"),),
}  # fmt: skip


def looks() -> tuple[Look, ...]:
    """What to look for at every node, the most telling first."""
    return (_columns, _ends, _rounds, _builtins, _namesakes, _moved, _again)


def _parsed(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _columns(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """`x[i]` read as `x[:, i]`, and the reverse."""
    match node:
        case ast.Subscript(value, ast.Name() | ast.BinOp() as index, ast.Load()):
            text = f"{ast.unparse(value)}[:, {ast.unparse(index)}]"
            said = f"a column of {words.of(value)} stood where a row is meant"
            yield said, lambda _n: _parsed(text)
        case ast.Subscript(value, ast.Tuple([ast.Slice(None, None, None), index]), ast.Load()):
            other = f"{ast.unparse(value)}[{ast.unparse(index)}]"
            said = f"a row of {words.of(value)} stood where a column is meant"
            yield said, lambda _n: _parsed(other)


def _ends(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """The first of something read as its last, and the reverse."""
    match node:
        case ast.Subscript(value, ast.Constant(int(place)), ast.Load()) if place == 0:
            other, said = -1, "the last of {} stood where the first is meant"
        case ast.Subscript(value, ast.UnaryOp(ast.USub(), ast.Constant(1)), ast.Load()):
            other, said = 0, "the first of {} stood where the last is meant"
        case _:
            return
    yield said.format(words.of(value)), lambda n: _with_slice(n, other)


def _with_slice(node: Any, place: int) -> ast.AST:
    node.slice = ast.Constant(place)
    return node


def _rounds(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A loop that leaves out what comes first or last, or begins one round late."""
    if not isinstance(node, ast.For | ast.comprehension):
        return
    if isinstance(node.iter, ast.Call) and _name(node.iter) == "range":
        return  # `mutations.py` has those
    said = words.of(node.iter)
    for piece, which in (("[1:]", "first"), ("[:-1]", "last")):
        text = f"list({ast.unparse(node.iter)}){piece}"
        yield f"the {which} of {said} were left out there", lambda n, t=text: _over(n, t)


def _over(node: Any, text: str) -> ast.AST:
    node.iter = _parsed(text)
    return node


def _builtins(node: ast.AST, _parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """Python's own functions, one for another."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        for other, said in _TAKEN_OVER.get(node.func.id, ()):
            yield said, lambda n, o=other: _called(n, o)


def _called(node: Any, name: str) -> ast.AST:
    node.func.id = name
    return node


def _namesakes(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """One parameter in the place of another of its kind, at one place."""
    match node:
        case ast.Name(name, ast.Load()) if words.parameters.get(name):
            for other, kind in words.parameters.items():
                if other != name and kind == words.parameters[name]:
                    said = f"`{other}` stood where `{name}` is meant"
                    yield said, lambda _n, o=other: ast.Name(o, ast.Load())


def _moved(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """`f(a @ b)` read as `f(a) @ b`, and `f(a) @ b` as `f(a @ b)`."""
    match node:
        case ast.Call() if _name(node) in STEPS and isinstance(inside := _inside(node), ast.BinOp):
            if whole := _SIGNS.get(type(inside.op)):
                for side in ("left", "right"):
                    part = words.of(getattr(inside, side))
                    yield (
                        f"{STEPS[_name(node)]} were taken of {part} alone, not of {whole}",
                        lambda n, s=side: _pushed_in(n, s),
                    )
        case ast.BinOp(left, op, right):
            for side, other in (("left", right), ("right", left)):
                call = getattr(node, side)
                if not (isinstance(call, ast.Call) and _name(call) in STEPS):
                    continue
                if (whole := _SIGNS.get(type(op))) and _inside(call) is not None:
                    yield (
                        f"{STEPS[_name(call)]} were taken of {whole} with {words.of(other)}, "
                        "not before it",
                        lambda n, s=side: _pulled_out(n, s),
                    )


def _inside(call: ast.Call) -> ast.expr | None:
    """What a step is taken of: the object of a method, or a function's first argument."""
    modules = ("torch", "math", "F", "np", "functional", "nn.functional")
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) not in modules:
        return call.func.value
    return call.args[0] if call.args else None


def _with_inside(call: Any, new: ast.AST) -> Any:
    if call.args and _inside(call) is call.args[0]:
        call.args[0] = new
    else:
        call.func.value = new
    return call


def _pushed_in(call: Any, side: str) -> ast.AST:
    whole: Any = _inside(call)
    setattr(whole, side, _with_inside(call, getattr(whole, side)))
    return whole


def _pulled_out(node: Any, side: str) -> ast.AST:
    call = getattr(node, side)
    inside = _inside(call)
    setattr(node, side, inside)
    return _with_inside(call, node)


def _again(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A step that makes something anew from itself, taken twice."""
    match node:
        case ast.AugAssign(target=ast.Name() as target):
            pass
        case ast.Assign([ast.Name() as target], value) if target.id in _names(value):
            pass
        case _:
            return
    said = words.of(ast.Name(target.id, ast.Load()))
    said = "something" if said == "a term" else said
    yield f"the step that changes {said} were taken twice", _twice


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _twice(step: Any) -> ast.AST:
    return ast.If(ast.Constant(True), [step, copy.deepcopy(step)], [])


def added(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A parameter that is added, or taken away, once more: a residual, a bias, a start."""
    whole = isinstance(parent, ast.Assign | ast.Return | ast.AugAssign | ast.Tuple | ast.Call)
    if not whole or not isinstance(node, ast.BinOp | ast.Call | ast.Name):
        return
    if not words.made_from(node) or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return
    if isinstance(parent, ast.Call) and (parent.func is node or _name(parent) == "len"):
        return
    said = words.of(node)
    for name, kind in words.parameters.items():
        if kind not in ("Tensor", "int", "float") or said == f"`{name}`" or name in words.places:
            continue
        for sign, done in (("+", "added once more to"), ("-", "taken away once more from")):
            text = f"({ast.unparse(node)}) {sign} {name}"
            yield f"`{name}` were {done} {said}", lambda _n, t=text: _parsed(t)
