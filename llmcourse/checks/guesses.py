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
)
_OF_TEXTS = (
    ("`{}` were in lower case", "{}.lower()"),
    ("`{}` had no blanks", "{}.replace(' ', '')"),
    ("`{}` had no blanks around it", "{}.strip()"),
)


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
        changes = _OF_LISTS if kind.startswith("list") else changes
        changes = _OF_TEXTS if kind == "str" else changes
        for cause, made in changes:
            value = made.replace("{}", name)
            line = f"{name} = {value} if {name} is not None else None"
            yield cause.format(name), line
    for name in (n for n, kind in kinds.items() if kind == "" and n != "self"):
        yield f"`{name}` changed nothing", f"{name} = lambda x, *_, **__: x"
        yield f"`{name}` gave nothing but zeros", f"{name} = lambda x, *_, **__: x * 0"
    for one, other in itertools.permutations(kinds, 2):
        if {kinds[one], kinds[other]} <= {"int", "float"}:
            yield f"`{one}` were divided by `{other}`", f"{one} = type({one})({one} / {other})"
            yield f"`{one}` were multiplied by `{other}`", f"{one} = {one} * {other}"
        if kinds[one] == kinds[other] and kinds[one] not in ("", "float"):
            yield f"`{one}` stood where `{other}` is meant", f"{other} = {one}"


def _source(tree: ast.Module, line: int, new: str) -> str:
    changed = copy.deepcopy(tree)
    twin = next(f for f in changed.body if getattr(f, "lineno", 0) == line)
    assert isinstance(twin, ast.FunctionDef)
    at = bool(ast.get_docstring(twin))
    twin.body[at:at] = ast.parse(new).body
    return ast.unparse(ast.fix_missing_locations(changed))
