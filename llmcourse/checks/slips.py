"""Further ways of being wrong: brackets, two steps in another order, a function too many, a mix-up.

A clause follows "as if". Unlike `mutations.py`'s, many of these change nothing, such as the
absolute value of what is positive: no check is tested by them, they only help to say what a wrong
answer does. Not here: what is changed wherever it stands (`throughout.py`); rarer slips
(`wider_slips.py`); making the answers (`guesses.py`). No chapter teaches this.
"""

import ast
import copy
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from llmcourse.checks import wider_slips
from llmcourse.checks.exchanges import exchanges
from llmcourse.checks.taken_for import AROUND, STEPS, TAKEN
from llmcourse.checks.throughout import everywhere, is_number, near, nodes
from llmcourse.checks.words import Words

Slip = tuple[str, Callable[[Any], ast.AST]]
"""A clause, and what makes another node of (a copy of) one; it may change the node itself."""


def slips(tree: ast.Module, span: tuple[int, int]) -> Iterator[tuple[str, ast.Module]]:
    """Each slip with the tree in which it was made, the most telling ones first.

    Args:
        tree: a right answer.
        span: the first and the last line of what a learner writes.
    """
    words = Words(tree)
    looks = (_brackets, _order, _calls, _numbers, _places_read, _loops)
    looks = (*looks, *wider_slips.looks(), _mixed_up, wider_slips.once_more, _around)
    kept = pickle.dumps(tree)  # read again, it is a copy in a tenth of the time of a deep one
    for said, make in itertools.chain(everywhere(tree, span), exchanges(tree, span)):
        yield said, make(pickle.loads(kept))
    for look in looks:
        for number, (node, parent) in enumerate(nodes(tree)):
            if span[0] <= getattr(node, "lineno", 0) <= span[1]:
                for said, make in look(node, parent, words):
                    yield said, _with_one(pickle.loads(kept), number, make)


def _with_one(changed: ast.Module, number: int, make: Callable[[Any], ast.AST]) -> ast.Module:
    """The tree with another node in the place of the one of this number."""
    node, parent = next(itertools.islice(nodes(changed), number, None))
    new = make(node)
    for field, value in ast.iter_fields(parent):
        if value is node:
            setattr(parent, field, new)
        elif isinstance(value, list):
            value[:] = [new if item is node else item for item in value]
    return changed


def _is_product(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div)


def _is_sum(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def _brackets(node: ast.AST, _parent: ast.AST, words: Words) -> Iterator[Slip]:
    """`(a + b) / c` read as `a + b / c`, `a / (b * c)` as `a / b * c`, `f(a + b)` as `f(a) + b`."""
    match node:
        case ast.BinOp(op=ast.Pow(), right=ast.Constant(0.5)):
            for other in (ast.Mult(), ast.Div()):
                yield (
                    "`** 1/2` stood for a root: it halves",
                    lambda n, o=other: ast.BinOp(n.left, o, ast.Constant(2)),
                )
        case ast.BinOp(left, op, right) if _is_product(node) or isinstance(op, ast.Pow):
            if _is_sum(left) or (isinstance(op, ast.Pow) and _is_product(left)):
                yield (
                    f"brackets around what is before {words.of(right)} were missing",
                    lambda n: ast.BinOp(
                        n.left.left, n.left.op, ast.BinOp(n.left.right, n.op, n.right)
                    ),
                )
            if _is_sum(right) or (isinstance(op, ast.Div) and _is_product(right)):
                yield (
                    f"brackets around what comes after {words.of(left)} were missing",
                    lambda n: ast.BinOp(
                        ast.BinOp(n.left, n.op, n.right.left), n.right.op, n.right.right
                    ),
                )
        case ast.BinOp(op=ast.Sub(), right=ast.BinOp(op=ast.Add())):
            yield (
                f"brackets around what is subtracted from {words.of(node.left)} were missing",
                lambda n: ast.BinOp(
                    ast.BinOp(n.left, n.op, n.right.left), ast.Add(), n.right.right
                ),
            )
        case ast.Call(func=ast.Attribute(ast.BinOp() as inside, name)) if name in STEPS:
            done = {ast.Add: "added", ast.Sub: "subtracted", ast.Mult: "multiplied in",
                    ast.Div: "divided by"}.get(type(inside.op))  # fmt: skip
            if done:
                yield (
                    f"{words.of(inside.right)} were {done} after {STEPS[name]}, not before",
                    _late,
                )


_LOG = next(made for said, made in AROUND if said.startswith("the logarithm"))


def _late(node: Any) -> ast.AST:
    inside = node.func.value
    node.func.value = inside.left
    return ast.BinOp(node, inside.op, inside.right)


def _order(node: ast.AST, _parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """`x.log().mean()` read as `x.mean().log()`."""
    match node:
        case ast.Call(func=ast.Attribute(ast.Call(func=ast.Attribute(attr=first)), second)):
            if first in STEPS and second in STEPS and first != second:
                said = f"{STEPS[second]} were taken before {STEPS[first]}, not after"
                yield said, _exchanged


def _exchanged(outer: Any) -> ast.AST:
    inner = outer.func.value
    outer.func.value, inner.func.value = inner.func.value, outer
    return inner


def _calls(node: ast.AST, _parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """Another function, another comparison, over everything at once, the second of a ranking."""
    match node:
        case ast.Compare(left, [ast.Eq()], [right]):
            for operator, how in ((ast.LtE(), "at most"), (ast.GtE(), "at least")):
                said = f"{how} stood where equal is meant"
                yield said, lambda _n, o=operator: ast.Compare(left, [o], [right])
        case ast.BinOp(left, ast.Pow(), ast.Constant()):
            yield "a logarithm stood where a power is meant", lambda n: _put_around(n.left, _LOG)
    if not isinstance(node, ast.Call):
        return
    name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    name = name or getattr(node.func, "id", "")
    for other, said in TAKEN.get(name, ()):
        yield said, lambda n, o=other: _renamed(n, o)
        if node.keywords:
            yield said, lambda n, o=other: _renamed(n, o, keywords=[])
    over = [k.arg for k in node.keywords]
    if "dim" in over and "keepdim" in over:
        yield "it were done over everything at once", lambda n: _renamed(n, name, keywords=[])
    if name == "mean" and isinstance(node.func, ast.Attribute):
        yield "it were divided by one less than there are, where a mean is meant", _unbiased
    if name == "argmax":
        yield (
            "the second largest were chosen, not the largest",
            lambda n: ast.Subscript(_renamed(n, "argsort"), ast.Constant(-2), ast.Load()),
        )


def _unbiased(call: Any) -> ast.AST:
    """`x.mean(...)` as the sum over one less; the ratio of the two says how many there are."""
    total = ast.unparse(_renamed(copy.deepcopy(call), "sum"))
    ones = copy.deepcopy(call)
    ones.func.value = ast.parse(f"({ast.unparse(call.func.value)} * 0 + 1)", mode="eval").body
    count = ast.unparse(_renamed(ones, "sum"))
    return ast.parse(f"{total} / ({count} - 1)", mode="eval").body


def _renamed(call: Any, name: str, keywords: list[ast.keyword] | None = None) -> Any:
    if isinstance(call.func, ast.Attribute):
        call.func.attr = name
    else:
        call.func = ast.Name(name, ast.Load())
    if keywords is not None:
        call.keywords = keywords
    return call


def _numbers(node: Any, parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """A whole number twice or half as large, or ten times; another beginning."""
    match node, parent:
        case ast.Constant(int() | float() as value), ast.Assign() if not isinstance(value, bool):
            for other in (0, 1):
                if value != other:
                    yield f"it began at {other}, not at {value}", _is(other)
    if not is_number(node, parent):
        return
    for other in near(node.value):
        yield f"{node.value} were {other}", _is(other)


def _is(value: float) -> Callable[[Any], ast.AST]:
    return lambda _node: ast.Constant(value)


def _places_read(node: ast.AST, _parent: ast.AST, _words: Words) -> Iterator[Slip]:
    """One place back; the size of something else."""
    match node:
        case ast.Subscript(slice=ast.Tuple() | ast.Constant() | ast.Slice()):
            pass
        case ast.Subscript(ctx=ast.Load()):
            yield "you looked one place further back", _one_back


def _one_back(node: Any) -> ast.AST:
    node.slice = ast.BinOp(node.slice, ast.Sub(), ast.Constant(1))
    return node


def _loops(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A loop that runs backwards; parts that are taken apart in another order."""
    if isinstance(node, ast.For | ast.comprehension):
        yield f"a loop over {words.of(node.iter)} ran backwards", _backwards
    if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store):
        made_from = words.of(parent.value) if isinstance(parent, ast.Assign) else "a term"
        for one, other in itertools.combinations(range(len(node.elts)), 2):
            said = f"parts {one + 1} and {other + 1} of {made_from} were exchanged"
            yield said, lambda n, i=one, j=other: _swapped(n, i, j)


def _swapped(node: Any, one: int, other: int) -> ast.AST:
    node.elts[one], node.elts[other] = node.elts[other], node.elts[one]
    return node


def _backwards(node: Any) -> ast.AST:
    everything = ast.Call(ast.Name("list", ast.Load()), [node.iter], [])
    turned = ast.Slice(None, None, ast.UnaryOp(ast.USub(), ast.Constant(1)))
    node.iter = ast.Subscript(everything, turned, ast.Load())
    return node


_UNMIXED = ("tuple", "str", "bool", "")


def _mixed_up(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A parameter, or its size, in the place of something."""
    if not _is_value(node, parent, words):
        return
    said = words.of(node)
    for name, kind in words.parameters.items():
        if name in words.places and not isinstance(parent, ast.Subscript | ast.Slice):
            continue
        if kind in _UNMIXED or (isinstance(node, ast.Name) and node.id == name):
            continue
        if "Tensor" not in kind or isinstance(node, ast.Name | ast.BinOp):
            instead = ast.Name(name, ast.Load())
            yield f"`{name}` stood where {said} is meant", lambda _n, i=instead: copy.deepcopy(i)
        if isinstance(node, ast.Call | ast.Subscript) and "Tensor" in kind and _is_size(node):
            for axis, where in ((0, "first"), (-1, "last"), (-2, "last but one")):
                size = ast.parse(f"{name}.size({axis})", mode="eval").body
                text = f"`{name}`'s size along the {where} axis stood where another is meant"
                yield text, lambda _n, s=size: copy.deepcopy(s)


def _is_size(node: ast.AST) -> bool:
    return ast.unparse(node).split("(")[0].split("[")[0].endswith(("size", "shape", "len"))


def _is_value(node: ast.AST, parent: ast.AST, words: Words) -> bool:
    """Whether a node is something computed from the arguments, and not what computes it."""
    if not isinstance(node, ast.BinOp | ast.Call | ast.Name | ast.Subscript):
        return False
    if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or not words.made_from(node):
        return False
    return not (isinstance(parent, ast.Call) and parent.func is node)


def _around(node: ast.AST, parent: ast.AST, words: Words) -> Iterator[Slip]:
    """A function too many, around anything computed."""
    if _is_value(node, parent, words):
        said = words.of(node)
        for clause, made in AROUND:
            yield clause.format(said), lambda n, m=made: _put_around(n, m)


def _put_around(node: ast.AST, made: str) -> ast.AST:
    return ast.parse(made.replace("{}", f"({ast.unparse(node)})"), mode="eval").body
