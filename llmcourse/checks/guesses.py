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
)  # fmt: skip
_OF_NUMBERS = (
    ("`{}` were larger by 1", "{} + 1"),
    ("`{}` were smaller by 1", "{} - 1"),
    ("`{}` were twice as large", "{} * 2"),
    ("`{}` were half as large", "type({})({} / 2)"),
    ("`{}` were its root", "{} ** 0.5"),
    ("`{}` were squared", "{} ** 2"),
    ("`{}` were 1 divided by it", "1 / {}"),
)


def guesses_of(reference: Reference) -> list[Mutant]:
    """The reference with another question at its door."""
    tree = reference.tree()
    function = next((f for f in tree.body if isinstance(f, ast.FunctionDef)), None)
    if function is None:
        return []
    return [
        Mutant(reference, cause, _source(tree, function.lineno, line))
        for cause, line in _lines(function)
    ]


def _lines(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    arguments = function.args.args
    kinds = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments}
    for name, kind in kinds.items():
        changes = _OF_TENSORS if kind.startswith("Tensor") else ()
        changes = _OF_NUMBERS if kind in ("int", "float") else changes
        for cause, made in changes:
            value = made.replace("{}", name)
            line = f"{name} = {value} if {name} is not None else None"
            yield cause.format(name), line
    for one, other in itertools.permutations(kinds, 2):
        if kinds[one] == kinds[other] and kinds[one] not in ("", "float"):
            yield f"`{one}` stood where `{other}` is meant", f"{other} = {one}"


def _source(tree: ast.Module, line: int, new: str) -> str:
    changed = copy.deepcopy(tree)
    twin = next(f for f in changed.body if getattr(f, "lineno", 0) == line)
    assert isinstance(twin, ast.FunctionDef)
    at = bool(ast.get_docstring(twin))
    twin.body[at:at] = ast.parse(new).body
    return ast.unparse(ast.fix_missing_locations(changed))
