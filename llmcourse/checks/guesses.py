"""Right answers to slightly other questions: an argument doubled, turned round, or another's twin.

    for guess in guesses_of(reference, inputs):
        guess.cause       # "`scores` were half as large"

Unlike `mutants.py`'s, these are no wrong answers that a check is tested by: many change nothing,
such as the size of what is normalised. They only help to say what a wrong answer does. No
chapter teaches this.
"""

import ast
import copy
import itertools
from collections.abc import Iterator

from llmcourse.checks import slips
from llmcourse.checks.mutants import Mutant
from llmcourse.checks.parts import parts_of
from llmcourse.checks.references import Reference

_OF_TENSORS = (
    ("`{}` had the opposite sign", "-{}"),
    ("`{}` had lost its sign", "{}.abs()"),
    ("`{}` were half as large", "{} / 2"),
    ("`{}` were twice as large", "{} * 2"),
    ("`{}` were squared", "{} * {}"),
    ("1 were added to `{}`", "{} + 1"),
    ("1 were taken away from `{}`", "{} - 1"),
    ("`{}` counted in powers of 2, not of e", "{} * 0.6931471805599453"),
    ("`{}` were the wrong way round", "~{}"),
    ("the rows of `{}` stood in reverse order", "{}.flip(-2)"),
    ("the first axis of `{}` ran backwards", "{}.flip(0)"),
    ("the first of `{}` stood for all", "{}[:1].expand_as({})"),
    ("the last of `{}` stood for all", "{}[-1:].expand_as({})"),
    ("`{}` were sorted", "{}.sort(-1).values"),
    ("`{}` were counted from its smallest", "{} - {}.min()"),
    ("the mean of `{}` were taken away", "{} - {}.mean(-1, keepdim=True)"),
    ("`{}` had the length 1", "{} / {}.norm(dim=-1, keepdim=True)"),
    ("`{}` had gone through a softmax", "{}.softmax(-1)"),
    ("the exponential of `{}` were taken", "{}.exp()"),
    ("the logarithm of `{}` were taken", "{}.log()"),
    ("the root of `{}` were taken", "{}.sqrt()"),
    ("`{}` were added up along the way", "{}.cumsum(-1)"),
    ("`{}` were transposed", "{}.mT"),
    ("`{}` were rounded", "{}.round()"),
    ("`{}` were divided by its sum", "{} / {}.sum()"),
    ("`{}` stood for 1 minus it", "1 - {}"),
    ("the last axis of `{}` ran backwards", "{}.flip(-1)"),
)  # fmt: skip
_OF_NUMBERS = (
    ("`{}` were larger by 1", "{} + 1"),
    ("`{}` were smaller by 1", "{} - 1"),
    ("`{}` were larger by 2", "{} + 2"),
    ("`{}` were smaller by 2", "{} - 2"),
    ("`{}` were three times as large", "{} * 3"),
    ("`{}` were a third as large", "type({})({} / 3)"),
    ("`{}` were four times as large", "{} * 4"),
    ("`{}` were a quarter as large", "type({})({} / 4)"),
    ("`{}` were ten times as large", "{} * 10"),
    ("`{}` were a hundred times as large", "{} * 100"),
    ("`{}` were a hundredth as large", "{} / 100"),
    ("`{}` were a thousand times as large", "{} * 1000"),
    ("`{}` were a thousandth as large", "{} / 1000"),
    ("`{}` counted in bytes and bits the wrong way round", "{} * 8"),
    ("`{}` were an eighth as large", "type({})({} / 8)"),
    ("`{}` were its natural logarithm", "__import__('math').log({})"),
    ("`{}` were its logarithm to base 2", "__import__('math').log2({})"),
    # Of a measure, and never of a count, which would fit by chance.
    ("`{}` were divided by ln 2", "float.__truediv__({}, 0.6931471805599453)"),
    ("`{}` were multiplied by ln 2", "float.__mul__({}, 0.6931471805599453)"),
    ("`{}` were without its sign", "abs({})"),
    ("`{}` were rounded to the nearest", "round({})"),
    ("`{}` were rounded up", "int(-(-{} // 1))"),
    ("`{}` were never below 1", "max(1, {})"),
    ("`{}` were never above 1", "min(1, {})"),
    ("`{}` were twice as large", "{} * 2"),
    ("`{}` were half as large", "type({})({} / 2)"),
    ("`{}` were its root", "{} ** 0.5"),
    ("`{}` were squared", "{} ** 2"),
    ("`{}` were 1 divided by it", "1 / {}"),
    ("`{}` were its exponential", "2.718281828459045 ** {}"),
    ("`{}` had the opposite sign", "-{}"),
    ("`{}` stood for 1 minus it", "1 - {}"),
    ("`{}` were rounded down", "int({})"),
)
_OF_LISTS = (
    ("`{}` were sorted", "sorted({})"),
    ("`{}` held everything once only", "list(dict.fromkeys({}))"),
    ("`{}` were empty", "{}[:0]"),
    ("`{}` were its first half", "{}[: len({}) // 2]"),
    ("only every second of `{}` counted", "{}[::2]"),
    ("`{}` were sorted the other way round", "sorted({}, reverse=True)"),
    ("`{}` were sorted by what stands last in each", "sorted({}, key=lambda x: x[-1])"),
    ("`{}` were in lower case", "[x.lower() for x in {}]"),
    ("`{}` had no blanks around them", "[x.strip() for x in {}]"),
    ("`{}` were the wrong way round", "[not x for x in {}]"),
    ("`{}` had the opposite sign", "[-x for x in {}]"),
    ("the logarithms of `{}` were taken", "[__import__('math').log(x) for x in {}]"),
    ("the exponentials of `{}` were taken", "[__import__('math').exp(x) for x in {}]"),
    ("`{}` had lost its signs", "[abs(x) for x in {}]"),
    ("each of `{}` were larger by 1", "[x + 1 for x in {}]"),
    ("the first of each of `{}` were left out", "[x[1:] for x in {}]"),
    ("the last of each of `{}` were left out", "[x[:-1] for x in {}]"),
    ("each of `{}` ran backwards", "[x[::-1] for x in {}]"),
    ("each of `{}` held everything once only", "[list(dict.fromkeys(x)) for x in {}]"),
    ("each of `{}` were in lower case", "[[y.lower() for y in x] for x in {}]"),
    ("what stands in each of `{}` were sorted", "[sorted(x) for x in {}]"),
    ("empty ones of `{}` were left out", "[x for x in {} if x]"),
    ("the first of `{}` stood for all", "{}[:1] * len({})"),
    ("the last of `{}` stood for all", "{}[-1:] * len({})"),
    ("only the first of `{}` were there", "{}[:1]"),
    ("only the last of `{}` were there", "{}[-1:]"),
    ("`{}` were all in one", "[[y for x in {} for y in x]]"),
)
_OF_TEXTS = (
    ("`{}` were in lower case", "{}.lower()"),
    ("`{}` had no blanks", "{}.replace(' ', '')"),
    ("`{}` had no blanks around it", "{}.strip()"),
    ("`{}` had one blank where it has several", "' '.join({}.split())"),
    ("`{}` had no line breaks", "{}.replace('\\n', '')"),
)
_OF_FUNCTIONS = (
    ("`{}` changed nothing", "lambda x, *_, **__: x"),
    ("`{}` gave nothing but zeros", "lambda x, *_, **__: x * 0"),
    ("`{}` gave the opposite sign", "(lambda f: lambda *a, **k: -f(*a, **k))({})"),
    ("`{}` gave twice as much", "(lambda f: lambda *a, **k: 2 * f(*a, **k))({})"),
    ("`{}` were called twice, one upon the other",
     "(lambda f: lambda x, *a, **k: f(f(x, *a, **k), *a, **k))({})"),
    ("what `{}` gives were its exponential",
     "(lambda f: lambda *a, **k: f(*a, **k).exp())({})"),
    ("what `{}` gives had gone through a softmax",
     "(lambda f: lambda *a, **k: f(*a, **k).softmax(-1))({})"),
    ("`{}` added what it is given", "(lambda f: lambda x, *a, **k: x + f(x, *a, **k))({})"),
    ("`{}` saw the last one alone", "(lambda f: lambda x, *a, **k: f(x[-1:], *a, **k))({})"),
)  # fmt: skip


class Kept:
    """What an iterator gives, made when it is first asked for, and kept for whoever asks next."""

    def __init__(self, made: Iterator[Mutant]) -> None:
        self._made = made
        self._kept: list[Mutant] = []

    def __iter__(self) -> Iterator[Mutant]:
        for place in itertools.count():
            if place == len(self._kept):
                if (new := next(self._made, None)) is None:
                    return
                self._kept.append(new)
            yield self._kept[place]


def guesses_of(reference: Reference) -> Iterator[Mutant]:
    """The reference with another question at its door, then with a slip on its way."""
    tree = reference.tree()
    function = next((f for f in tree.body if isinstance(f, ast.FunctionDef)), None)
    if function is None:
        return
    for cause, line in _lines(function):
        yield Mutant(reference, cause, _source(tree, function.lineno, line))
    yield from parts_of(reference, function)
    known = set()
    for cause, tree in slips.slips(reference.tree(), reference.span):
        source = ast.unparse(ast.fix_missing_locations(tree))
        if source not in known:
            known.add(source)
            yield Mutant(reference, cause, source)


def _lines(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    arguments = function.args.args
    kinds = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments}
    for name, kind in kinds.items():
        changes = _OF_TENSORS if kind.startswith("Tensor") else ()
        changes = _OF_NUMBERS if kind in ("int", "float") else changes
        changes = _OF_LISTS if kind.startswith(("list", "tuple", "Sequence")) else changes
        changes = _OF_TEXTS if kind == "str" else changes
        for cause, made in changes:
            value = made.replace("{}", name)
            line = f"{name} = {value} if {name} is not None else None"
            yield cause.format(name), line
    for name in (n for n, kind in kinds.items() if kind == "" and n != "self"):
        for cause, made in _OF_FUNCTIONS:
            yield cause.format(name), f"{name} = {made.replace('{}', name)}"
    for one, other in itertools.permutations(kinds, 2):
        if {kinds[one], kinds[other]} <= {"int", "float"}:
            yield f"`{one}` were divided by `{other}`", f"{one} = type({one})({one} / {other})"
            yield f"`{one}` were multiplied by `{other}`", f"{one} = {one} * {other}"
        if kinds[one] == kinds[other] and kinds[one] not in ("", "float"):
            yield f"`{one}` stood where `{other}` is meant", f"{other} = {one}"
    numbers = [name for name, kind in kinds.items() if kind in ("int", "float")]
    for one, other, third in itertools.permutations(numbers, 3):
        value = f"{other} / {third}" if "float" in (kinds[one], kinds[other]) else ""
        value = value or f"__import__('fractions').Fraction({other}, {third})"
        yield f"`{other}` stood where `{one}` · `{third}` is meant", f"{one} = {value}"


def _source(tree: ast.Module, line: int, new: str) -> str:
    twin = next(f for f in tree.body if getattr(f, "lineno", 0) == line)
    assert isinstance(twin, ast.FunctionDef)
    at = bool(ast.get_docstring(twin))
    changed = copy.copy(twin)  # nothing else is changed: the rest may be the same nodes
    changed.body = [*twin.body[:at], *ast.parse(new).body, *twin.body[at:]]
    body: list[ast.stmt] = [changed if node is twin else node for node in tree.body]
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, tree.type_ignores)))
