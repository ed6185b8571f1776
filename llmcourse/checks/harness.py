"""What a check is: cases with the truth from the package, and a bank of the mistakes people make.

A learner's function is called on small inputs and compared with an oracle. Where it is wrong, the
check looks for a catalogued mistake that is wrong in the same way, and says which one it was. One
module a concept holds the checks themselves (`attention.py`, ...):

    @exercise("03", axes="B T K", variants=(*DEFAULT_VARIANTS, "gradients"))
    def weighted_sum(weights, values):                 # the oracle; its name is the check's
        return weights @ values

    @weighted_sum.cases
    def _():
        yield case("two tokens", torch.rand(1, 2, 2), torch.rand(1, 2, 4))

    @weighted_sum.mistake("weights transposed", hint="Row t of the weights belongs to query t.")
    def _(weights, values):
        return weights.mT @ values

Not here: exercises that are no function, such as a number or a choice (`answers.py`); one call
(`cases.py`); running it safely (`sandbox.py`, `probe.py`, `patches.py`); comparing (`compare.py`);
telling what a wrong answer is (`recognise.py`); rarer mistakes (`rarer/`). No chapter teaches this.
"""

import contextlib
import copy
import dataclasses
import functools
import importlib
import importlib.util
import inspect
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import torch

from llmcourse import learner
from llmcourse.checks import cases, feedback, patches, probe, references, sandbox
from llmcourse.checks.cases import Call, Case, Gradients
from llmcourse.checks.compare import Axes, a_kind, difference
from llmcourse.checks.guesses import Kept, guesses_of
from llmcourse.checks.mutants import Mutant, mutants_of
from llmcourse.checks.recognise import Evidence, Finding, recognise
from llmcourse.checks.sandbox import Outcome
from llmcourse.checks.verdict import Mistake, Verdict, section_link
from llmcourse.notebook import Card, show

Cases = Callable[[], Iterator[Case]]

SEARCH_SECONDS = 0.5
"""How long a mutant may compute in a case where the answer came back; less, if truths are quick."""

MISTAKE_SECONDS = 2.0
"""How long a catalogued mistake may: they are few, they end, and a slow machine must know them."""

DEFAULT_VARIANTS = ("float64", "non-contiguous")
"""How each case is run again, where its arguments allow it; `"gradients"` is the third way."""


class Check:
    """Call it with an answer: it shows what it thinks of it, and records it as progress.

    Attributes:
        chapter: the number of the chapter whose exercise this is, as in "03".
        name: the exercise's name.
        right: a right answer.
        read: the heading of the chapter's section to read again; empty for none.
        mistakes: the catalogued wrong ones.
    """

    def __init__(self, chapter: str, name: str, right: Any, read: str = "") -> None:
        self.chapter = chapter
        self.name = name
        self.right = right
        self.read = read
        self.mistakes: list[Mistake] = []

    def __call__(self, answer: Any) -> None:
        """Show the verdict on `answer`, and record it for `python -m llmcourse.progress`."""
        verdict = self.verdict(answer)
        show(verdict.card())
        if verdict.status != "open":
            learner.record_exercise(self.chapter, self.name, verdict.status == "passed")

    def __repr__(self) -> str:
        return f"<check of {self.name}, chapter {self.chapter}>"

    def verdict(self, answer: Any) -> Verdict:
        """What the check thinks of `answer`, without showing or recording it."""
        raise NotImplementedError

    def handed_in(self, answer: Any) -> Any:
        """What a learner hands over whose answer is `right`, or one of the mistakes'."""
        return answer

    def mistake(self, name: str, *, hint: str) -> Callable[[Any], Any]:
        """Catalogue the decorated function (or class) as a wrong answer, with the hint it earns."""

        def add(answer: Any) -> Any:
            self.mistakes.append(Mistake(name, hint, answer))
            return answer

        return add

    def read_rarer(self) -> None:
        """Catalogue the rarer mistakes of this check's concept too, if they are not yet."""
        package, _, module = inspect.unwrap(self.right).__module__.rpartition(".")
        rarer = f"{package.removesuffix('.bank')}.rarer.{module}"
        if package.endswith(".bank") and importlib.util.find_spec(rarer):
            importlib.import_module(rarer)

    def _passed(self, text: str) -> Verdict:
        return Verdict("passed", self.name, (text,))

    def _wrong(self, *lines: str, mistake: Mistake | None = None, title: str = "") -> Verdict:
        title = title or (mistake.name if mistake else "")
        lines = (title, *lines) if title else lines
        link = section_link(self.chapter, self.read) if self.read else None
        return Verdict("wrong", self.name, lines, mistake, title=title, link=link)

    def _open(self) -> Verdict:
        return Verdict("open", self.name, ("not attempted yet",))


class FunctionCheck(Check):
    """The check of a function, or of whatever `call` can call. Made by `exercise`."""

    def __init__(
        self, chapter: str, oracle: Callable[..., Any], settings: "_Settings", read: str
    ) -> None:
        super().__init__(chapter, inspect.unwrap(oracle).__name__, oracle, read)
        self.__doc__ = oracle.__doc__
        self._settings = settings
        self._call = settings.call or cases.plainly
        self._signature, self._skip = (settings.call, 1) if settings.call else (oracle, 0)
        self._generate: Cases | None = None
        self._mutants: list[Mutant] | None = None
        self._guesses: Kept | None = None
        self._truths: list[Outcome] | None = None
        self._pace = 0.0  # seconds that all truths took together
        self._asked: dict[tuple[int, int], Outcome] = {}

    def cases(self, generate: Cases) -> Cases:
        """Take the decorated generator's cases; chance is seeded before each round of them."""
        self._generate = generate
        return generate

    def trials(self) -> list[Case]:
        """Every call that the check makes, with fresh arguments: the plain cases, then variants."""
        plain = self._plain()
        kinds = self._settings.variants
        return plain + [v for kind in kinds for case in plain for v in case.variants(kind)]

    def inputs(self, name: str) -> tuple[Any, ...]:
        """The arguments of the case of this name, to look at and to play with.

        Raises:
            KeyError: no case has the name.
        """
        with sandbox.steady():
            found = {trial.name: trial for trial in self.trials()}[name]
        return (*found.args, *found.kwargs.values())

    def mutants(self) -> list[Mutant]:
        """The wrong answers that are made from the exercise's reference by program."""
        if self._mutants is None:
            reference = references.find(self.chapter, self.name)
            inputs = self._named(self.trials()[0])
            self._mutants = mutants_of(reference, inputs) if reference else []
        return self._mutants

    def guesses(self) -> Kept:
        """The reference's answers to slightly other questions."""
        if self._guesses is None:
            reference = references.find(self.chapter, self.name)
            self._guesses = Kept(guesses_of(reference) if reference else iter(()))
        return self._guesses

    def problems(self, answer: Any, *, until_wrong: bool = False) -> list[str | None]:
        """What is wrong with an answer in each trial, in words; None where nothing is.

        For answers that are known to come back: there is no rehearsal, and nothing is shown.

        Args:
            answer: the function.
            until_wrong: ask it no more after the first trial that goes wrong.
        """
        seconds = SEARCH_SECONDS if until_wrong else self._settings.seconds
        found: list[str | None] = []
        with sandbox.steady(), sandbox.quiet():
            for truth, trial in zip(self._right(), self.trials(), strict=True):
                outcome = self._outcome(trial, answer, seconds)
                found.append("it is open" if outcome.open else self._problem(truth, outcome, trial))
                if outcome.timed_out or (until_wrong and found[-1]):
                    break
        return found

    def verdict(self, answer: Any) -> Verdict:
        """What the check thinks of `answer`, without showing or recording it."""
        if not callable(answer):
            what = f"expected the function itself, got {a_kind(answer)}"
            return self._wrong(what, f"Hand it over without calling it: check.{self.name}(name)")
        with sandbox.steady(), patches.unpatched() as patched:
            with sandbox.quiet():
                truths = self._right()
            with sandbox.capped(), probe.memory_limit():
                outcomes = self._tried(answer)
        if patched:
            what = f"it replaced {' and '.join(patched[:3])} for everybody: write it anew instead"
            return self._wrong(f"In the case {self.trials()[0].name!r} {what}")
        with sandbox.steady(), sandbox.quiet():
            return self._judge(truths, outcomes)

    def _right(self) -> list[Outcome]:
        """The truths, from before the first answer is called."""
        if self._truths is None:
            began = time.process_time()
            self._truths = self._outcomes(self.right, self._settings.seconds)
            self._pace = time.process_time() - began
        return self._truths

    def _plain(self) -> list[Case]:
        assert self._generate is not None, f"{self.name} has no cases"
        sandbox.seed()
        return [made.with_own_arguments() for made in self._generate()]

    def _tried(self, answer: Any) -> list[Outcome]:
        """What an unknown answer does: in a copy of the process first, then here, if it ends."""
        seconds = self._settings.seconds
        calls = (functools.partial(self._outcome, t, answer, seconds) for t in self.trials())
        stop = probe.rehearse(calls, seconds)
        if stop is None:
            return self._outcomes(answer, seconds)
        crashed = "" if stop.endless else stop.why
        last = Outcome(timed_out=stop.endless, line=stop.line, crashed=crashed)
        return [*self._outcomes(answer, seconds, stop.number), last]

    def _judge(self, truths: list[Outcome], outcomes: list[Outcome]) -> Verdict:
        if outcomes[0].open:
            return self._open()
        trials = self.trials()
        problems = [self._problem(*one) for one in zip(truths, outcomes, trials, strict=False)]
        if not any(problems):
            return self._passed(f"all {len(truths)} cases right" if truths[1:] else "right")
        named = [self._named(trial) for trial in trials]
        plain = len(self._plain())
        evidence = Evidence(
            trials, named, truths, outcomes, problems, plain, self._settings.tolerance
        )
        self.read_rarer()
        shown = min(evidence.wrong, key=lambda n: (n >= plain, feedback.size(trials[n].args), n))
        ask = functools.partial(self._ask, trials)
        finding = recognise(evidence, shown, self.mistakes, self.mutants, ask, self.guesses)
        return self._explain(evidence, shown, finding)

    def _explain(self, evidence: Evidence, shown: int, finding: Finding | None) -> Verdict:
        name = evidence.trials[shown].name
        what = f"in the case {name!r} {evidence.problems[shown]}"
        score = f"Right in {evidence.problems.count(None)} of {len(evidence.truths)} cases."
        look = f"{score} To look at this one: {self._called()}.inputs({name!r})"
        what = what[0].upper() + what[1:]
        if finding is None:
            verdict = self._wrong(what, look)
        else:
            said = [finding.hint] if finding.hint else []
            verdict = self._wrong(*said, what, look, mistake=finding.mistake, title=finding.title)
        outcome, truth = evidence.outcomes[shown], evidence.truths[shown]
        if outcome.value is None or isinstance(truth.value, Gradients):
            return verdict
        table = feedback.table(evidence.inputs[shown], truth.value, outcome.value)
        return dataclasses.replace(verdict, table=table)

    def _called(self) -> str:
        """This check as the learner's notebook calls it, whose name for our module may be any."""
        module = sys.modules.get(inspect.unwrap(self.right).__module__)
        known = vars(sys.modules["__main__"]).items()
        return next((f"{name}.{self.name}" for name, v in known if v is module), self.name)

    def _ask(self, trials: list[Case], number: int, answer: Any) -> Outcome:
        """What a mistake or a mutant does in one trial, with arguments of its own; it is kept."""
        key = (id(answer), number)  # the answer is kept, too: by the bank, or by its mutant
        if key not in self._asked:
            try:
                trial = copy.deepcopy(trials[number])
            except Exception:  # some arguments cannot be copied, but they can be made again
                trial = self.trials()[number]
            ours = any(answer is mistake.answer for mistake in self.mistakes)
            seconds = MISTAKE_SECONDS if ours else min(SEARCH_SECONDS, 0.03 + 5 * self._pace)
            self._asked[key] = self._outcome(trial, answer, seconds)
        return self._asked[key]

    def _outcomes(self, answer: Any, seconds: float, end: int | None = None) -> list[Outcome]:
        """What `answer` does in every trial; an open or endless one is not asked again."""
        outcomes: list[Outcome] = []
        for trial in self.trials()[:end]:
            outcomes.append(self._outcome(trial, answer, seconds))
            if outcomes[-1].timed_out or outcomes[0].open:
                break
        return outcomes

    def _outcome(self, trial: Case, answer: Any, seconds: float) -> Outcome:
        sandbox.seed()
        return cases.run(trial, answer, self._call, self._named(trial), seconds)

    def _named(self, trial: Case) -> dict[str, Any]:
        return trial.named(self._signature, self._skip)

    def _problem(self, truth: Outcome, outcome: Outcome, trial: Case) -> str | None:
        """What is wrong with one outcome, in words; None if nothing is."""
        assert not truth.error, f"the oracle of {self.name} fails: {truth.error}"
        where = f" ({outcome.line})" if outcome.line else ""
        if outcome.timed_out:
            seconds = self._settings.seconds
            return f"it was still running after {seconds:g} s{where}: does every loop end?"
        if outcome.crashed:
            return f"it {outcome.crashed}"
        if outcome.error:
            return f"it raised {outcome.error}{where}"
        if outcome.changed:
            names = " and ".join(outcome.changed)
            return f"it changed its argument {names} in place: make a new value instead"
        if outcome.value is None and truth.value is not None:
            return "it returned None: did you forget `return`?"
        tolerance = self._settings.tolerance
        if isinstance(truth.value, Gradients):
            return truth.value.difference(outcome.value, tolerance)
        found = difference(
            truth.value,
            outcome.value,
            axes=self._settings.axes,
            tolerance=tolerance,
            loose=not self._strict(trial),
        )
        return f"the result {found}" if found else None

    def _strict(self, trial: Case) -> bool:
        """Whether the result's format counts: as said, or as the arguments' formats say it."""
        if self._settings.strict is not None:
            return self._settings.strict
        return _is_floating(self._named(trial))


@dataclasses.dataclass(frozen=True)
class _Settings:
    """How a check calls and compares: see `exercise`."""

    axes: Axes
    tolerance: float | None
    variants: tuple[str, ...]
    call: Call | None
    seconds: float
    strict: bool | None


def _is_floating(value: Any) -> bool:
    """Whether there is a floating tensor in a value."""
    if isinstance(value, torch.Tensor):
        return value.is_floating_point()
    if isinstance(value, list | tuple):
        return any(map(_is_floating, value))
    return isinstance(value, dict) and any(map(_is_floating, value.values()))


def exercise(
    chapter: str,
    *,
    axes: Axes = None,
    tolerance: float | None = None,
    variants: tuple[str, ...] = DEFAULT_VARIANTS,
    call: Call | None = None,
    seconds: float = 5.0,
    strict: bool | None = None,
    read: str = "",
) -> Callable[[Callable[..., Any]], FunctionCheck]:
    """Make the decorated oracle, a right answer with the package behind it, a check of its name.

    Args:
        chapter: whose exercise it is, as in "03".
        axes: the letters of the result's axes, `"B T K"`; a tuple where several are returned.
        tolerance: absolute and relative; by default what the result's format allows.
        variants: how each case is run again: float64, non-contiguous, gradients.
        call: what to do with an answer that is not called with the case's arguments as it is: a
            class to build first, say, or `lambda answer, text: list(answer(text))`. The oracle and
            the mistakes are then called so, too.
        seconds: how long one call may take, of the processor's time.
        strict: whether the result's format is part of the exercise; by default, where an argument
            is a floating tensor: nothing else says what the format of the answer is.
        read: the heading of the chapter's section to read again.
    """
    settings = _Settings(axes, tolerance, variants, call, seconds, strict)
    return lambda oracle: FunctionCheck(chapter, oracle, settings, read)


def case(name: str, *args: Any, **kwargs: Any) -> Case:
    """The case of this name, which calls the function with the arguments that follow."""
    return Case(name, args, kwargs)


@contextlib.contextmanager
def once_done() -> Generator[None]:
    """For a cell that uses the learner's function: says so, with no traceback, while it is open.

    The block ends at the first `NotImplementedError`, which is what an untouched stub raises.
    """
    try:
        yield
    except NotImplementedError:
        what = "nothing to see here yet: it needs the exercise above"
        show(Card("open", "· Not yet", f"· {what}", lines=(what,)))
