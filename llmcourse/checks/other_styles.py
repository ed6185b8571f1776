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
import pkgutil
from collections.abc import Iterator

from llmcourse.checks import references, slips, styles
from llmcourse.checks.guesses import guesses_of
from llmcourse.checks.mutants import Mutant, body_mutants
from llmcourse.checks.references import Reference


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
    """What an exercise's solution gives for slightly other questions, then what other styles do."""
    if reference := references.find(chapter, name):
        yield from guesses_of(reference)
    yield from guesses_in_other_styles(chapter, name)


def guesses_in_other_styles(chapter: str, name: str) -> Iterator[Mutant]:
    """Every slip in the body of the answer in another style, the telling ones first."""
    reference = in_another_style(chapter, name)
    if reference is None:
        return
    known = set()
    for mutant in body_mutants(reference):
        known.add(mutant.source)
        yield mutant
    for cause, tree in slips.slips(reference.tree(), reference.span):
        source = ast.unparse(ast.fix_missing_locations(tree))
        if source not in known:
            known.add(source)
            yield Mutant(reference, cause, source)
