"""The ways in which one thing in a right answer can be wrong, each with a clause that names it.

A clause follows "as if", and says what the slip amounts to, not where it is. Not here: making the
wrong answers (`mutants.py`). No chapter teaches this.
"""

import ast
import builtins
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Make = Callable[[Any], ast.AST]
"""Makes what stands in a node's place from (a copy of) the node."""

Change = tuple[str, Make]

_OPERATORS: dict[type[ast.operator], tuple[tuple[type[ast.operator], str], ...]] = {
    ast.Add: ((ast.Sub, "{right} were subtracted, where it is to be added"),
              (ast.Mult, "{right} were multiplied, where it is to be added")),
    ast.Sub: ((ast.Add, "{right} were added, where it is to be subtracted"),),
    ast.Mult: ((ast.Div, "you divided by {right}, where you are to multiply"),
               (ast.Add, "{right} were added, where you are to multiply")),
    ast.Div: ((ast.Mult, "you multiplied by {right}, where you are to divide"),
              (ast.FloorDiv, "a quotient were rounded down")),
    ast.FloorDiv: ((ast.Div, "a quotient were not rounded down"),),
    ast.Mod: ((ast.FloorDiv, "the quotient stood where the remainder is meant"),),
    ast.Pow: ((ast.Mult, "a power were a product"),),
    ast.BitAnd: ((ast.BitOr, "one of two conditions were enough, where both have to hold"),),
    ast.BitOr: ((ast.BitAnd, "both conditions had to hold, where one is enough"),),
}  # fmt: skip

_COMPARISONS: dict[type[ast.cmpop], tuple[tuple[type[ast.cmpop], str], ...]] = {
    ast.Lt: ((ast.LtE, "the limit itself were included, where it is not"),
             (ast.GtE, "a comparison were the other way round"),
             (ast.Gt, "a comparison were the other way round")),
    ast.LtE: ((ast.Lt, "the limit itself were left out, where it is included"),
              (ast.Gt, "a comparison were the other way round"),
              (ast.GtE, "a comparison were the other way round")),
    ast.Gt: ((ast.GtE, "the limit itself were included, where it is not"),
             (ast.LtE, "a comparison were the other way round"),
             (ast.Lt, "a comparison were the other way round")),
    ast.GtE: ((ast.Gt, "the limit itself were left out, where it is included"),
              (ast.Lt, "a comparison were the other way round"),
              (ast.LtE, "a comparison were the other way round")),
    ast.Eq: ((ast.NotEq, "equal and unequal were exchanged"),),
    ast.NotEq: ((ast.Eq, "equal and unequal were exchanged"),),
    ast.In: ((ast.NotIn, "what is in it and what is not were exchanged"),),
    ast.NotIn: ((ast.In, "what is in it and what is not were exchanged"),),
    ast.Is: ((ast.IsNot, "a special case were taken for the usual one"),),
    ast.IsNot: ((ast.Is, "a special case were taken for the usual one"),),
}  # fmt: skip

# What a function is taken for, by its name, as a function or as a method.
CALLS: dict[str, tuple[tuple[str, str], ...]] = {
    "sum": (("mean", "a mean stood where the sum is meant"),),
    "mean": (("sum", "a sum stood where the mean is meant"),),
    "max": (("min", "the smallest stood where the largest is meant"),),
    "min": (("max", "the largest stood where the smallest is meant"),),
    "amax": (("amin", "the smallest stood where the largest is meant"),),
    "amin": (("amax", "the largest stood where the smallest is meant"),),
    "argmax": (("argmin", "the smallest were chosen, where the largest is meant"),),
    "argmin": (("argmax", "the largest were chosen, where the smallest is meant"),),
    "log": (("log2", "the logarithm had base 2"), ("log10", "the logarithm had base 10"),
            ("log1p", "1 were added before the logarithm")),
    "log2": (("log", "the logarithm were the natural one"), ("log10", "the logarithm had base 10")),
    "exp": (("expm1", "1 were subtracted after the exponential"),),
    "sin": (("cos", "sine and cosine were exchanged"),),
    "cos": (("sin", "sine and cosine were exchanged"),),
    "tanh": (("sigmoid", "a sigmoid stood where tanh is meant"),),
    "sigmoid": (("tanh", "tanh stood where the sigmoid is meant"),),
    "softmax": (("log_softmax", "logarithms stood where probabilities are meant"),),
    "log_softmax": (("softmax", "probabilities stood where their logarithms are meant"),),
    "zeros": (("ones", "ones stood where zeros are meant"),),
    "zeros_like": (("ones_like", "ones stood where zeros are meant"),),
    "ones": (("zeros", "zeros stood where ones are meant"),),
    "tril": (("triu", "the other triangle were kept"),),
    "triu": (("tril", "the other triangle were kept"),),
    "floor": (("ceil", "it were rounded up, not down"),
              ("round", "it were rounded to the nearest")),
    "ceil": (("floor", "it were rounded down, not up"),
             ("round", "it were rounded to the nearest")),
    "round": (("floor", "it were rounded down"), ("ceil", "it were rounded up")),
    "any": (("all", "all had to hold, where one is enough"),),
    "all": (("any", "one were enough, where all have to hold"),),
    "append": (("extend", "the parts of what is added were added one by one"),),
    "set": (("list", "what occurs twice counted twice"),),
    "startswith": (("endswith", "beginning and end were exchanged"),),
    "endswith": (("startswith", "beginning and end were exchanged"),),
}  # fmt: skip

_NAMES = {
    "sqrt": "the root", "rsqrt": "the root", "square": "the square", "log": "the logarithm",
    "log2": "the logarithm", "exp": "the exponential", "abs": "the absolute value",
    "clamp": "the limit", "clip": "the limit", "sorted": "sorting", "sort": "sorting",
    "reversed": "going backwards", "flip": "going backwards", "set": "leaving out repetitions",
    "transpose": "the transposition", "sum": "adding up", "mean": "taking the mean",
    "cumsum": "adding up along the way", "lower": "ignoring upper and lower case",
    "strip": "stripping blanks", "softmax": "the softmax", "tanh": "the tanh",
    "sigmoid": "the sigmoid", "relu": "the ReLU", "masked_fill": "the mask",
    "mT": "a transposition", "T": "a transposition", "mH": "a transposition", "detach": "detaching",
}  # fmt: skip

_AXES = ("dim", "axis")
_TYPICAL: dict[str, tuple[Any, ...]] = {
    "float": (0.0, 1.0, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999, 1e-8),
    "int": (0, 1, 2),
    "bool": (True, False),
}


class Known:
    """What a learner calls things: the parameters' names, which the stub has.

    Args:
        parameters: those names.
        origins: of what is made on the way, the parameters that go into it.
    """

    def __init__(self, parameters: set[str], origins: Mapping[str, set[str]] | None = None) -> None:
        self._parameters = parameters
        self._origins = origins or {}

    def describe(self, node: ast.AST) -> str:
        """The node in words that a learner who has not seen the reference understands."""
        if isinstance(node, ast.Constant):
            return f"{node.value!r}"
        if isinstance(node, ast.Name) and node.id in self._parameters:
            return f"`{node.id}`"
        inside = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        origins = [self._origins.get(name, {name} & self._parameters) for name in inside]
        named = sorted(set().union(*origins))
        if not 0 < len(named) < 3:
            return "a term"
        return "what comes from " + " and ".join(f"`{name}`" for name in named)


def changes(node: ast.AST, parent: ast.AST, known: Known) -> Iterator[Change]:
    """Every change of one node that a slip would make."""
    match node:
        case ast.BinOp():
            yield from _of_operation(node, known)
        case ast.UnaryOp():
            said = {ast.USub: "a minus sign were missing"}
            cause = said.get(type(node.op), "a condition (or a mask) were the wrong way round")
            yield cause, lambda n: n.operand
        case ast.Constant():
            yield from _of_constant(node, parent)
        case ast.Compare():
            yield from _of_comparison(node)
        case ast.BoolOp():
            yield from _of_conditions(node)
        case ast.If() | ast.IfExp() | ast.While():
            yield from _of_branch(node)
        case ast.Call():
            yield from _of_call(node, known)
        case ast.Subscript():
            yield from _of_subscript(node)
        case ast.Attribute(attr="mT" | "T" | "mH", ctx=ast.Load()):
            yield "a transposition were missing", lambda n: n.value
        case ast.comprehension() if node.ifs:
            yield "nothing were left out", _with(ifs=[])
        case ast.Tuple(ctx=ast.Load(), elts=[_, _]) if isinstance(parent, ast.Return):
            yield "the two results were exchanged", lambda n: _with(elts=n.elts[::-1])(n)
        case ast.stmt():
            yield from _of_statement(node, known)


def entries(function: ast.FunctionDef, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Changes at a function's door, as a line to begin with: a parameter fixed, two exchanged."""
    arguments = [a for a in (*function.args.args, *function.args.kwonlyargs) if a.arg != "self"]
    given = dict(_defaults(function))
    for argument in arguments:
        name = argument.arg
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        values = [given[name]] if name in given else []
        values += _TYPICAL.get(kind.removesuffix(" | None"), ())
        if isinstance(inputs.get(name), int | float | bool):
            values.append(inputs[name])
        if "None" in kind:
            values.append(None)
        for value in dict.fromkeys(repr(v) for v in values):
            yield f"`{name}` were always {value}", f"{name} = {value}"
        if kind == "Tensor":
            yield f"`{name}` were all ones", f"{name} = {name} * 0 + 1"
            yield f"`{name}` were all zeros", f"{name} = {name} * 0"
            yield f"`{name}` were transposed", f"{name} = {name}.transpose(-1, -2)"
            yield f"`{name}` were the other way round", f"{name} = {name}.flip(-1)"
        if kind.startswith(("list", "str", "Sequence")):
            yield f"the last of `{name}` were left out", f"{name} = {name}[:-1]"
            yield f"the first of `{name}` were left out", f"{name} = {name}[1:]"
            yield f"`{name}` were read backwards", f"{name} = {name}[::-1]"
    for one, other in itertools.combinations(arguments, 2):
        if _kind(one) == _kind(other):
            names = f"{one.arg}, {other.arg}"
            cause = f"`{one.arg}` and `{other.arg}` were exchanged"
            yield cause, f"{names} = {other.arg}, {one.arg}"


def _of_operation(node: ast.BinOp, known: Known) -> Iterator[Change]:
    words = {"left": known.describe(node.left), "right": known.describe(node.right)}
    for operator, cause in _OPERATORS.get(type(node.op), ()):
        yield cause.format(**words), _with(op=operator())
    missing = {
        ast.Add: "{} were left out",
        ast.Sub: "{} were not subtracted",
        ast.Mult: "you did not multiply by {}",
        ast.Div: "you did not divide by {}",
        ast.Pow: "the power were left out",
        ast.BitAnd: "one of two conditions were left out",
        ast.BitOr: "one of two conditions were left out",
    }
    if said := missing.get(type(node.op)):
        yield said.format(words["right"]), lambda n: n.left
        if not isinstance(node.op, ast.Sub | ast.Div | ast.Pow):
            yield said.format(words["left"]), lambda n: n.right
    turned = {
        ast.Sub: "a difference were the other way round",
        ast.Div: "a quotient were upside down",
        ast.MatMult: "a matrix product were the other way round",
    }
    if cause := turned.get(type(node.op)):
        yield cause, lambda n: _with(left=n.right, right=n.left)(n)


def _of_constant(node: ast.Constant, parent: ast.AST) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "a yes stood where no is meant, or the reverse", _with(value=not value)
    elif isinstance(value, int):
        place = isinstance(parent, ast.Subscript | ast.Slice)
        what = "a place were one further {}" if place else "a number were larger by one"
        less = "a place were one further {}" if place else "a number were smaller by one"
        yield what.format("on"), _with(value=value + 1)
        yield less.format("back"), _with(value=value - 1)
    elif isinstance(value, float):
        for other, cause in ((0.0, "{} were 0"), (1.0, "{} were 1"), (2 * value, "{} were doubled"),
                             (value / 2, "{} were halved")):  # fmt: skip
            if other != value:
                yield cause.format(value), _with(value=other)


def _of_comparison(node: ast.Compare) -> Iterator[Change]:
    for place, operator in enumerate(node.ops):
        for other, cause in _COMPARISONS.get(type(operator), ()):
            new = [*node.ops[:place], other(), *node.ops[place + 1 :]]
            yield cause, _with(ops=new)


def _of_conditions(node: ast.BoolOp) -> Iterator[Change]:
    both = isinstance(node.op, ast.And)
    said = ("one of two conditions were enough, where both have to hold",
            "both conditions had to hold, where one is enough")  # fmt: skip
    yield said[not both], _with(op=ast.Or() if both else ast.And())
    for left_out in range(len(node.values)):
        kept = [value for place, value in enumerate(node.values) if place != left_out]
        new = kept[0] if len(kept) == 1 else ast.BoolOp(node.op, kept)
        yield "one of the conditions were left out", _always(new)


def _of_branch(node: ast.If | ast.IfExp | ast.While) -> Iterator[Change]:
    negated = ast.UnaryOp(ast.Not(), node.test)
    if not isinstance(node, ast.While):
        yield "a condition were the wrong way round", _with(test=negated)
        yield "a special case were always there", _with(test=ast.Constant(True))
    yield "a special case were forgotten", _with(test=ast.Constant(False))


def _of_call(node: ast.Call, known: Known) -> Iterator[Change]:
    method = isinstance(node.func, ast.Attribute)
    name = node.func.attr if method else getattr(node.func, "id", "")
    for other, cause in CALLS.get(name, ()):
        if method:
            yield cause, lambda n, o=other: _with(func=_with(attr=o)(n.func))(n)
        elif hasattr(builtins, other):
            yield cause, _with(func=ast.Name(other, ast.Load()))
    said = _NAMES.get(name, f"`{name}`")
    module = method and isinstance(node.func.value, ast.Name) and node.func.value.id in _MODULES
    if method and not module:
        yield f"{said} were left out", lambda n: n.func.value
    elif node.args and name not in ("range", "len"):
        yield f"{said} were left out", lambda n: n.args[0]
    yield from _of_arguments(node, name, known)


_MODULES = {"torch", "math", "F", "functional", "np", "numpy", "nn"}


def _of_arguments(node: ast.Call, name: str, known: Known) -> Iterator[Change]:
    """Another axis, an option left out, two arguments exchanged, a range that is one off."""
    for place, keyword in enumerate(node.keywords):
        rest = [k for n, k in enumerate(node.keywords) if n != place]
        if keyword.arg in _AXES:
            for axis in (-1, -2, 0, 1):
                new = ast.keyword(keyword.arg, ast.Constant(axis))
                yield "it were done along another axis", _with(keywords=[*rest, new])
        yield f"`{keyword.arg}` were left out", _with(keywords=rest)
    if name == "range":
        end = ast.BinOp(node.args[len(node.args) > 1], ast.Sub(), ast.Constant(1))
        start = node.args[0] if len(node.args) > 1 else ast.Constant(0)
        later = ast.BinOp(start, ast.Add(), ast.Constant(1))
        rest = node.args[2:]
        yield "the last were left out", _with(args=[start, end, *rest])
        stop = node.args[len(node.args) > 1]
        yield "the first were left out", _with(args=[later, stop, *rest])
        yield "it went one too far", _with(args=[start, _plus_one(stop), *rest])
    elif len(node.args) == 2:
        yield "two things were exchanged", _with(args=node.args[::-1])


def _of_subscript(node: ast.Subscript) -> Iterator[Change]:
    if isinstance(node.slice, ast.Slice):
        piece = node.slice
        if piece.lower is not None:
            new = ast.Slice(None, piece.upper, piece.step)
            yield "nothing were left out at the beginning", _with(slice=new)
        if piece.upper is not None:
            new = ast.Slice(piece.lower, None, piece.step)
            yield "nothing were left out at the end", _with(slice=new)
            new = ast.Slice(piece.lower, _plus_one(piece.upper), piece.step)
            yield "a piece were longer by one", _with(slice=new)
        if piece.step is not None:
            new = ast.Slice(piece.lower, piece.upper, None)
            yield "every one were taken, in the given order", _with(slice=new)
    elif isinstance(node.ctx, ast.Load) and not isinstance(node.slice, ast.Tuple | ast.Constant):
        yield "you looked one place further on", lambda n: _with(slice=_plus_one(n.slice))(n)


def _of_statement(node: ast.stmt, known: Known) -> Iterator[Change]:
    match node:
        case ast.AugAssign():
            yield (
                "nothing were carried over from one step to the next",
                lambda n: ast.Assign([n.target], n.value),
            )
            yield f"{known.describe(node.value)} were never counted in", _nothing
            opposite = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
            if new := opposite.get(type(node.op)):
                yield "a sign (or a quotient) were the wrong way round", _with(op=new())
        case ast.Assign() | ast.Expr() if not isinstance(getattr(node, "value", 0), ast.Constant):
            yield "one step were left out", _nothing
        case ast.Break():
            yield "it went on, where it is to stop", _nothing
            yield "it went on, where it is to stop", _always(ast.Continue())
        case ast.Continue():
            yield "it stopped, where it is to go on", _always(ast.Break())
            yield "nothing were skipped", _nothing
        case ast.For():
            yield "a loop ran no further than its first round", _once
            yield "a loop did not run", _nothing


def _once(node: ast.For) -> ast.AST:
    return _with(body=[*node.body, ast.Break()])(node)


def _nothing(_node: ast.AST) -> ast.AST:
    return ast.Pass()


def _always(new: ast.AST) -> Make:
    return lambda _node: new


def _plus_one(node: ast.expr) -> ast.BinOp:
    return ast.BinOp(node, ast.Add(), ast.Constant(1))


def _with(**fields: Any) -> Make:
    """Makes the same node with some fields changed."""

    def make(node: ast.AST) -> ast.AST:
        for name, value in fields.items():
            setattr(node, name, value)
        return node

    return make


def _defaults(function: ast.FunctionDef) -> Iterator[tuple[str, Any]]:
    """The parameters that have a plain default, with it."""
    arguments = function.args
    late = arguments.args[len(arguments.args) - len(arguments.defaults) :]
    pairs = [*zip(late, arguments.defaults, strict=True),
             *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]  # fmt: skip
    for argument, default in pairs:
        if isinstance(default, ast.Constant):
            yield argument.arg, default.value


def _kind(argument: ast.arg) -> str:
    return ast.unparse(argument.annotation) if argument.annotation else ""
