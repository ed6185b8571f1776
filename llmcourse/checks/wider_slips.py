"""Rarer slips: a step taken twice, a piece one place off, another rounding, mean or encoding.

Like those of `slips.py`, many change nothing: they only help to say what a wrong answer does. Not
here: two things that are exchanged on the way (`exchanges.py`). No chapter teaches this.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any

from llmcourse.checks.taken_for import STEPS, WRITTEN
from llmcourse.checks.words import Words

Slip = tuple[str, Callable[[Any], ast.AST]]

_NUMBERS = ("int", "float")


def looks() -> tuple[Callable[[ast.AST, ast.AST, Words], Iterator[Slip]], ...]:
    """What to look for at every node, the most telling first."""
    return (_twice, _pieces, _rounding, _operators, _written, _counted, _fixed)


def _parsed(text: str) -> Any:
    return ast.parse(text, mode="eval").body


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _twice(node: ast.AST, _parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """`x.softmax(-1)` read as `x.softmax(-1).softmax(-1)`, `f(x)` as `f(f(x))`."""
    if isinstance(node, ast.Call) and _name(node) in STEPS:
        yield f"{STEPS[_name(node)]} were taken twice", _doubled


def _doubled(call: Any) -> ast.AST:
    inner = copy.deepcopy(call)
    if call.args and isinstance(call.func, ast.Attribute | ast.Name) and not _is_method(call):
        call.args[0] = inner
    else:
        call.func.value = inner
    return call


def _is_method(call: ast.Call) -> bool:
    modules = ("torch", "math", "F", "np", "functional")
    own = isinstance(call.func, ast.Attribute)
    return own and ast.unparse(call.func.value) not in modules


def _pieces(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """`x[1:]` read as `x[:-1]`, `x[a:b]` as the piece of the same length beside it."""
    match node:
        case ast.Subscript(value, ast.Slice(lower, upper, None), ast.Load()):
            pass
        case _:
            return
    said = words.of(value)
    start = ast.unparse(lower) if lower else ""
    stop = ast.unparse(upper) if upper else ""
    of = ast.unparse(value)
    if start == "1" and not stop:
        yield f"the last of {said} were left out, not the first", lambda _n: _parsed(f"{of}[:-1]")
    if stop == "-1" and not start:
        yield f"the first of {said} were left out, not the last", lambda _n: _parsed(f"{of}[1:]")
    if stop and not start:
        other = f"{of}[len({of}) - ({stop}):]"
        yield f"a piece of {said} came from its end", lambda _n: _parsed(other)
    if start and stop:
        for step, where in (("+ 1", "further on"), ("- 1", "further back")):
            text = f"{of}[{start} {step}:{stop} {step}]"
            yield f"a piece of {said} lay one place {where}", lambda _n, t=text: _parsed(t)


def _rounding(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A quotient rounded in another way; halves that always go up."""
    match node:
        case ast.BinOp(left, ast.FloorDiv(), right):
            a, b = ast.unparse(left), ast.unparse(right)
            ways = ((f"round(({a}) / ({b}))", "to the nearest"), (f"-(-({a}) // ({b}))", "up"),
                    (f"(({a}) // ({b}) + 1)", "to the next larger number"))  # fmt: skip
            said = words.of(node)
        case ast.Call(func=ast.Name("int"), args=[inside]):
            a = ast.unparse(inside)
            ways = ((f"round({a})", "to the nearest"), (f"int(-(-({a}) // 1))", "up"),
                    (f"int({a}) + 1", "to the next larger number"))  # fmt: skip
            said = words.of(inside)
        case ast.Call(func=ast.Attribute(attr="ceil"), args=[inside]):
            a = ast.unparse(inside)
            ways = ((f"int({a}) + 1", "to the next larger number"),)
            said = words.of(inside)
        case ast.Call(func=ast.Attribute(inside, "round"), args=[]):
            ways = ((f"({ast.unparse(inside)} + 0.5).floor()", "so that halves always go up"),)
            said = words.of(inside)
        case _:
            return
    for text, how in ways:
        yield f"{said} were rounded {how}", lambda _n, t=text: _parsed(t)


def _operators(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A difference for a quotient, and the reverse; a larger one for a sum."""
    if not isinstance(node, ast.BinOp):
        return
    other = {ast.Div: (ast.Sub, "subtracted, where you are to divide by it"),
             ast.Sub: (ast.Div, "divided by, where you are to subtract it"),
             ast.Add: (ast.Pow, "an exponent, where it is to be added"),
             ast.Mult: (ast.Sub, "subtracted, where you are to multiply by it"),
             }  # fmt: skip
    if found := other.get(type(node.op)):
        operator, said = found
        yield (
            f"{words.of(node.right)} were {said}",
            lambda n: ast.BinOp(n.left, operator(), n.right),
        )


def _written(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """Another way to write what a method does: another mean, length, encoding, stripping."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inside = ast.unparse(node.func.value)
        given = ", ".join(map(ast.unparse, [*node.args, *node.keywords]))
        for said, text in WRITTEN.get(node.func.attr, ()):
            made = text.replace("{}", f"({inside})").replace("[]", given)
            yield said.format(words.of(node.func.value)), lambda _n, t=made: _parsed(t)


def _counted(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """Counting that begins at 1."""
    if isinstance(node, ast.Call) and _name(node) == "enumerate" and len(node.args) == 1:
        yield (
            f"{words.of(node.args[0])} were counted from 1, not from 0",
            lambda n: ast.Call(n.func, [*n.args, ast.Constant(1)], []),
        )


def _fixed(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A number written in at one place, where a parameter is meant."""
    match node:
        case ast.Name(name, ast.Load()) if words.parameters.get(name) in _NUMBERS:
            for value in (0, 1, 2, 10):
                yield f"{value} stood where `{name}` is meant", lambda _n, v=value: ast.Constant(v)


def once_more(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A product, a quotient or a sum that is multiplied or divided once more."""
    product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)
    inner = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div)
    summed = isinstance(node, ast.Call) and _name(node) in ("sum", "mean")
    if not summed and (not product or inner):
        return
    amounts = dict(_amounts(words))
    pairs = {
        f"{one} / {other}": f"{a} / {b}"
        for one, a in amounts.items()
        for other, b in amounts.items()
        if one != other and words.parameters.get(a) and words.parameters.get(b)
    }
    said = words.of(node).replace("a term", "a product")
    for what, text in (amounts | pairs).items():
        for sign, done in (("*", "multiplied"), ("/", "divided")):
            made = f"({ast.unparse(node)}) {sign} ({text})"
            yield f"{said} were {done} by {what} once more", lambda _n, t=made: _parsed(t)


def _amounts(words: Words) -> Iterator[tuple[str, str]]:
    """What a learner may multiply by: the parameters that are numbers, and the sizes of others."""
    for name, kind in words.parameters.items():
        if kind in _NUMBERS and name not in words.places:
            yield f"`{name}`", name
        elif kind.startswith(("list", "str")):
            yield f"the length of `{name}`", f"len({name})"
        elif kind == "Tensor":
            yield f"`{name}`'s size along the first axis", f"{name}.size(0)"
            yield f"`{name}`'s size along the last axis", f"{name}.size(-1)"
