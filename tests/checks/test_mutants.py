"""Every wrong answer that a program makes from a solution: rejected, or listed as the same thing.

`equivalent/NN.toml` lists, for each exercise of a chapter, the mutants that no case can tell from
the solution: the line that was changed, as it is then, and the reason.
"""

import tomllib
import warnings
from pathlib import Path

import pytest

from llmcourse.checks import references
from llmcourse.checks.catalog import all_checks
from llmcourse.checks.harness import FunctionCheck
from llmcourse.checks.mutants import Mutant, mutants_of
from llmcourse.checks.references import Reference

EQUIVALENT = {
    path.stem: tomllib.loads(path.read_text("utf-8"))
    for path in (Path(__file__).parent / "equivalent").glob("*.toml")
}
CHECKS = [check for check in all_checks() if isinstance(check, FunctionCheck)]

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c.chapter}-{c.name}")


def survives(check: FunctionCheck, mutant: Mutant) -> bool:
    """Whether the check takes a mutant for right."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not any(check.problems(mutant.answer(), until_wrong=True))
    except Exception:  # it does not even run
        return False


@pytest.mark.slow
@each_check
@pytest.mark.usefixtures("unchecked")
def test_every_mutant_of_every_solution_is_rejected(check, record_property):
    listed = EQUIVALENT.get(check.chapter, {}).get(check.name, {})
    mutants = check.mutants()
    assert mutants
    alive = {mutant.line: mutant.cause for mutant in mutants if survives(check, mutant)}
    missing = {line: cause for line, cause in alive.items() if line not in listed}
    assert missing == {}, "each needs a case that tells it apart, or a reason in equivalent/"
    assert sorted(set(listed) - set(alive)) == [], "these are rejected: take them off the list"
    assert all(len(reason) > 10 for reason in listed.values())
    record_property("mutants", [len(mutants) - len(alive), len(alive)])


def test_equivalents_are_listed_for_checks_that_there_are():
    known = {(check.chapter, check.name) for check in CHECKS}
    assert {(c, name) for c, names in EQUIVALENT.items() for name in names} <= known


@each_check
def test_every_function_has_a_reference_that_passes(check):
    reference = references.find(check.chapter, check.name)
    assert reference is not None
    assert not any(check.problems(reference.made()))


SOURCE = '''\
def mean(values: list[float], start: float = 0.0) -> float:
    """The mean."""
    given = 1
    ### BEGIN SOLUTION
    total = start
    for value in values:
        total += value
    return total / len(values) if values else 0.0
    ### END SOLUTION
'''


@pytest.fixture
def mutants():
    return {mutant.cause: mutant for mutant in mutants_of(Reference("mean", SOURCE), {"start": 2})}


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("nothing were carried over from one step to the next", 3.0 / 2),
        ("`value` were never counted in", None),
        ("you did not divide by what comes from `values`", 4.0),
        ("a condition were the wrong way round", 0.0),
        ("`start` were always 2", 3.0),
        ("`start` were always 1.0", 2.5),
        ("the last of `values` were left out", 1.0),
        ("the first of `values` were left out", 3.0),
    ],
)
def test_a_mutant_does_what_its_cause_says(mutants, cause, result):
    if result is None:
        assert cause not in mutants  # `value` is no parameter: a learner does not know it
    else:
        assert mutants[cause].answer()([1.0, 3.0]) == result


def test_only_what_a_learner_writes_is_changed(mutants):
    for mutant in mutants.values():
        assert "given = 1\n" in mutant.source
        assert mutant.source.startswith("def mean(values: list[float], start: float=0.0) -> float:")


def test_no_two_mutants_are_the_same():
    made = mutants_of(Reference("mean", SOURCE), {})
    assert len({mutant.source for mutant in made}) == len(made) > 20


def test_a_reference_reads_what_stands_around_it():
    around = ("import math", "def twice(x=gone): return 2 * x", "def f(x): return 2 * x")
    reference = Reference("g", "def g(x):\n    return f(x) + math.pi", around)
    assert reference.made()(1) == pytest.approx(5.1415926)
    assert reference.span == (1, 2)
