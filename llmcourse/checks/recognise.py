"""What a wrong answer is: a catalogued mistake, one made by program, or what it has to do with the
truth.

    evidence = Evidence(name, trials, truths, outcomes, problems, tolerance)
    finding = recognise(evidence, mistakes, run, mutants)

A mistake is named only if it explains the answer in every case; if it explains the case that is
shown and others not, it is "looks like". Not here: running answers (`harness.py`), the mutants
(`mutants.py`), the relations (`relations.py`). No chapter teaches this.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from llmcourse.checks.cases import Case, Gradients
from llmcourse.checks.compare import difference
from llmcourse.checks.mutants import Mutant
from llmcourse.checks.patterns import pattern
from llmcourse.checks.relations import LOOSE, Pair, relation, wrong_part
from llmcourse.checks.sandbox import Outcome
from llmcourse.checks.verdict import Mistake

SECONDS = 4.0
"""Of computing that the search among the mutants may take."""

ALIKE = 1e-4
"""How near an answer must be to a mistake's, where the check itself asks for no more."""

VAGUE = ("one step were", "a term were", "a number were", "a place were", "a piece were",
         "two things were", "a yes stood", "you looked", "a loop", "what comes from",
         "a special case", "a condition")  # fmt: skip
"""How clauses begin that say little: anything better is said first."""

MADE = "what comes from"
"""How clauses begin that say more than a guess does, and less than a relation."""

Run = Callable[[int, Any], Outcome]
"""Asks an answer in the trial of this number."""


@dataclass(frozen=True)
class Evidence:
    """What an answer did in every trial, beside the truth.

    Attributes:
        trials: the calls.
        inputs: their arguments by name.
        truths: what is right.
        outcomes: what the answer did; fewer, if it did not come back.
        problems: what is wrong with each, in words; None where nothing is.
        plain: how many of the trials are the cases as they are written; the rest are variants.
        tolerance: how near values have to be; None for what their format allows.
    """

    trials: list[Case]
    inputs: list[dict[str, Any]]
    truths: list[Outcome]
    outcomes: list[Outcome]
    problems: list[str | None]
    plain: int
    tolerance: float | None

    @property
    def wrong(self) -> list[int]:
        """The numbers of the trials that went wrong."""
        return [number for number, problem in enumerate(self.problems) if problem]

    @property
    def nearness(self) -> float:
        """How near an answer has to be to a mistake's to be taken for it."""
        return max(self.tolerance or 0.0, ALIKE)


@dataclass(frozen=True)
class Finding:
    """What an answer is taken for.

    Attributes:
        title: in a line.
        hint: what helps; empty for nothing.
        mistake: the catalogued one, if it is one.
        case: the number of the trial that it explains, if it explains that one alone.
    """

    title: str
    hint: str = ""
    mistake: Mistake | None = None
    case: int | None = None


def recognise(
    evidence: Evidence,
    shown: int,
    mistakes: Iterable[Mistake],
    mutants: Callable[[], list[Mutant]],
    run: Run,
    guesses: Callable[[], Iterable[Mutant]] = list,
) -> Finding | None:
    """What the answer is, from the surest to the vaguest; None if nothing fits.

    Args:
        evidence: what it did.
        shown: the number of the wrong trial that the learner is shown.
        mistakes: the catalogued ones.
        mutants: makes the ones made by program.
        run: asks a mistake or a mutant in a trial.
        guesses: makes right answers to other questions.
    """
    near = [(m, _fit(evidence, shown, m.answer, run)) for m in mistakes]
    sure = [(fit.rank, m) for m, fit in near if fit and fit.everywhere]
    if sure:
        best = max(sure, key=lambda pair: pair[0])[1]
        return Finding(best.name, best.hint, best)
    if changed := {evidence.outcomes[n].changed for n in evidence.wrong} - {()}:
        names = " and ".join(f"`{name}`" for name in sorted({n for some in changed for n in some}))
        return Finding(f"You change {names} in place", "Work on a copy: it belongs to the caller.")
    causes: list[str] = []
    made = mutants()  # what the reference imports is not counted
    until = time.thread_time() + SECONDS
    if not any(evidence.outcomes[n].timed_out for n in evidence.wrong):
        causes = list(_causes(evidence, shown, made, run, until))
    if telling := [cause for cause in causes if not cause.startswith(VAGUE)]:
        return _as_if(telling[0])
    pairs = _pairs(evidence, evidence.wrong)
    said = relation(pairs, _right_pairs(evidence))
    if said and not _is_loose(said):
        return _related(evidence, said)
    if better := [cause for cause in causes if cause.startswith(MADE)]:
        return _as_if(better[0])
    guessed = _causes(evidence, shown, guesses(), run, until)
    if _of_the_right_form(evidence, shown) and (cause := next(guessed, None)):
        return _as_if(cause)
    if pairs and (found := _pattern(pairs)) and (not said or said.endswith("alone is wrong.")):
        return Finding(found)
    if said:
        return _related(evidence, said)
    if causes:
        return _as_if(causes[0])
    close = [(fit.rank, m) for m, fit in near if fit and fit.all_wrongs]
    if close:
        best = max(close, key=lambda pair: pair[0])[1]
        title = f"It looks like “{best.name}”, at least in the case {_name(evidence, shown)}"
        return Finding(title, best.hint, best, shown)
    return None


def _is_loose(said: str) -> bool:
    """Whether a relation says less than a slip would; of one of several results, what it says."""
    _, alone, rest = said.partition("alone is wrong.")
    return (rest.strip() if alone else said).startswith(LOOSE) or (bool(alone) and not rest)


def _pattern(pairs: list[Pair]) -> str | None:
    """Where results are right all the same; of several results, the one that is wrong."""
    part = wrong_part(pairs)
    found = pattern([(p.inputs, p.truth, p.got) for p in (part[1] if part else pairs)])
    where = f"Of your results, [{part[0]}] alone is wrong. " if part else ""
    return where + found if found else None


def _related(evidence: Evidence, said: str) -> Finding:
    # What is not "always" so holds wherever it is wrong, and need not where it is right.
    partly = "always" not in said and not all(evidence.problems[: evidence.plain])
    return Finding(f"In the wrong cases: {said[0].lower()}{said[1:]}" if partly else said)


def _as_if(cause: str) -> Finding:
    return Finding(f"It behaves as if {cause}", "That explains your result in every case.")


def _name(evidence: Evidence, number: int) -> str:
    return repr(evidence.trials[number].name)


@dataclass(frozen=True)
class _Fit:
    """How well a mistake explains an answer: everywhere, or wherever the mistake itself is wrong.

    Of several, the one that agrees everywhere wins, then the one that is wrong most often.
    """

    everywhere: bool
    all_wrongs: bool
    rank: tuple[bool, int]


def _fit(evidence: Evidence, shown: int, answer: Any, run: Run) -> _Fit | None:
    """How well a mistake explains the answer; None if it does not in the case that is shown."""
    outcomes = evidence.outcomes
    there = run(shown, answer)
    if not _alike(evidence, shown, there):
        return None
    agrees, differs = [], []
    for number, outcome in enumerate(outcomes):
        wrong = run(number, answer)
        agrees.append(_alike(evidence, number, wrong))
        differs.append(not wrong.same(evidence.truths[number], evidence.tolerance))
        if wrong.timed_out and not outcome.timed_out:
            return None
    # An idea that is written so that it cannot finish in a case is the same idea.
    explained = [a or bool(o.error) for a, o in zip(agrees, outcomes, strict=True)]
    all_wrongs = all(e for e, d in zip(explained, differs, strict=True) if d)
    half = 2 * sum(agrees[n] for n in evidence.wrong) >= len(evidence.wrong)
    # What is right in the case that is shown, as near as small numbers are, explains nothing there.
    some = all_wrongs and half and _is_wrong(evidence, shown, there)
    return _Fit(all(explained) and all_wrongs, some, (all(agrees), sum(differs)))


def _alike(evidence: Evidence, number: int, outcome: Outcome) -> bool:
    """Whether a mistake does what the answer does: to the format, where that alone is wrong."""
    given = evidence.outcomes[number]
    if not outcome.same(given, evidence.nearness):
        return False
    if isinstance(given.value, Gradients) or not evidence.truths[number].same(given):
        return True
    return difference(given.value, outcome.value, tolerance=evidence.nearness) is None


def _of_the_right_form(evidence: Evidence, shown: int) -> bool:
    """Whether an answer is of the truth's kind: what is of another, no slip on the way explains."""
    truth, given = evidence.truths[shown].value, evidence.outcomes[shown].value
    if type(truth) is type(given) is Tensor:
        return truth.ndim == given.ndim
    if isinstance(truth, Tensor) and isinstance(given, int | float):
        return truth.numel() == 1  # a single number, however it is handed over
    return type(truth) is type(given) or (isinstance(truth, int | float) and given is not None)


def _causes(
    evidence: Evidence, shown: int, mutants: Iterable[Mutant], run: Run, until: float
) -> Iterator[str]:
    """The clauses of all mutants that behave as the answer does, in every trial, in good time."""
    if all(evidence.outcomes[n].error for n in evidence.wrong):
        return  # nothing but errors: what one raises, another may raise for any reason
    numbers = [shown, *(n for n in evidence.wrong if n != shown)]
    numbers += [n for n in range(len(evidence.outcomes)) if n not in numbers]
    for mutant in mutants:
        if time.thread_time() > until:
            return
        try:
            answer = mutant.answer()
        except Exception:  # a changed definition may not even run
            continue
        agrees = all(_agrees(evidence, n, run(n, answer)) for n in numbers)
        if agrees and _is_wrong(evidence, shown, run(shown, answer)):
            yield mutant.cause


def _agrees(evidence: Evidence, number: int, outcome: Outcome) -> bool:
    given = evidence.outcomes[number]
    return outcome.same(given, evidence.nearness) or bool(given.error and outcome.error)


def _is_wrong(evidence: Evidence, number: int, outcome: Outcome) -> bool:
    """Whether a mutant is wrong itself: one that is right explains no answer, alike as it is."""
    truth = evidence.truths[number]
    if isinstance(truth.value, Gradients) or not truth.same(outcome, evidence.tolerance):
        return True
    return difference(truth.value, outcome.value, tolerance=evidence.tolerance) is not None


def _right_pairs(evidence: Evidence) -> list[Pair]:
    numbers = range(min(evidence.plain, len(evidence.outcomes)))
    return _pairs(evidence, [n for n in numbers if not evidence.problems[n]])


def _pairs(evidence: Evidence, numbers: list[int]) -> list[Pair]:
    """These cases, if they all came to a value; none if one did not."""
    # Gradients have sentences of their own. What is wrong before them is told by the values.
    numbers = [n for n in numbers if not isinstance(evidence.truths[n].value, Gradients)]
    outcomes = [evidence.outcomes[n] for n in numbers]
    if any(o.error or o.timed_out or o.changed or o.value is None for o in outcomes):
        return []
    if any(difference(o.value, o.value) for o in outcomes):  # it resists being looked at
        return []
    plain = [n for n in numbers if n < evidence.plain] or numbers
    if any(isinstance(evidence.outcomes[n].value, Gradients) for n in plain):
        return []  # they have sentences of their own
    return [
        Pair(evidence.inputs[n], evidence.truths[n].value, evidence.outcomes[n].value)
        for n in plain
    ]
