"""What a slip makes of a right answer in another style, where it lies nearer to the learner's.

    for guess in all_guesses(chapter, name):
        guess.cause       # "the last of `parts` were left out there"

A program that goes through rows in a loop goes wrong in other ways than one that takes them all at
once. Not here: the right answers (`styles/`), the slips (`slips.py`, `mutations.py`). No chapter
teaches this.
"""

import ast
import functools
import importlib
import inspect
import itertools
import pickle
import pkgutil
from collections.abc import Iterator
from typing import Any

from llmcourse.checks import references, styles
from llmcourse.checks.guesses import guesses_of, slips_of
from llmcourse.checks.mutants import Mutant, body_mutants
from llmcourse.checks.references import Reference
from llmcourse.checks.throughout import near


@functools.cache
def in_another_style(chapter: str, name: str) -> Reference | None:
    """A right answer that is written otherwise than the exercise's solution; None if none is."""
    for found in pkgutil.iter_modules(styles.__path__, f"{styles.__name__}."):
        module = importlib.import_module(found.name)
        if chapter in module.CHAPTERS and (function := vars(module).get(name)):
            imports = [node for node in ast.parse(inspect.getsource(module)).body
                       if isinstance(node, ast.Import | ast.ImportFrom)]  # fmt: skip
            around = tuple(ast.unparse(node) for node in imports)
            return Reference(name, inspect.getsource(function), around)
    return None


def all_guesses(chapter: str, name: str) -> Iterator[Mutant]:
    """What an exercise's solution gives for other questions; then slips in it and in other styles.

    They take turns: a learner's program may be near to the one or to the other.
    """
    reference, other = references.find(chapter, name), in_another_style(chapter, name)
    if reference:
        yield from guesses_of(reference)
    rows = [slips_of(reference)] if reference else []
    rows += (
        [itertools.chain(_settings(other), body_mutants(other), slips_of(other))] if other else []
    )
    for turn in itertools.zip_longest(*rows):
        yield from (guess for guess in turn if guess is not None)


def _settings(reference: Reference) -> Iterator[Mutant]:
    """A number with a name of its own, which is another one: `weight_of_recall = 2`."""
    kept = pickle.dumps(reference.tree())
    for number, node in enumerate(ast.walk(pickle.loads(kept))):
        match node:
            case ast.Assign([ast.Name(name)], ast.Constant(int() | float() as value)):
                pass
            case _:
                continue
        if "_" not in name or isinstance(value, bool):
            continue
        for other in near(value):
            tree = pickle.loads(kept)
            step: Any = next(itertools.islice(ast.walk(tree), number, None))
            step.value = ast.Constant(other)
            said = f"the {name.replace('_', ' ')} were {other}, not {value}"
            yield Mutant(reference, said, ast.unparse(tree))
