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
(`cases.py`); running it safely (`sandbox.py`); comparing (`compare.py`). No chapter teaches this.
"""

import contextlib
import inspect
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from llmcourse import learner
from llmcourse.checks import cases, sandbox
from llmcourse.checks.cases import Call, Case, Gradients
from llmcourse.checks.compare import Axes, a_kind, difference
from llmcourse.checks.sandbox import Outcome
from llmcourse.notebook import Card, Tone, show

Cases = Callable[[], Iterator[Case]]

DEFAULT_VARIANTS = ("float64", "non-contiguous")
"""How each case is run again, where its arguments allow it; `"gradients"` is the third way."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people really give: its name, what helps, and the answer itself."""

    name: str
    hint: str
    answer: Any


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer: whether it is right, in words, and the mistake it knew.

    Attributes:
        status: whether the answer passed, is wrong, or was not attempted.
        name: the exercise's.
        lines: the verdict in words, most important first.
        mistake: the catalogued mistake that it is, if any.
    """

    status: Literal["passed", "wrong", "open"]
    name: str
    lines: tuple[str, ...]
    mistake: Mistake | None = None

    @property
    def text(self) -> str:
        """The verdict in plain text."""
        return f"{_SIGNS[self.status]} {self.name}: " + "\n  ".join(self.lines)

    def card(self) -> Card:
        """The verdict as a notebook shows it."""
        tone, word = _TONES[self.status]
        title = self.mistake.name if self.mistake else ""
        lines = () if self.status == "open" else self.lines[bool(title) :]  # the rest repeats it
        return Card(tone, f"{_SIGNS[self.status]} {word}", self.text, self.name, title, lines)


_SIGNS = {"passed": "✓", "wrong": "✗", "open": "·"}
_TONES: dict[str, tuple[Tone, str]] = {
    "passed": ("right", "Passed"),
    "wrong": ("wrong", "Not yet"),
    "open": ("open", "Not attempted yet"),
}


class Check:
    """Call it with an answer: it shows what it thinks of it, and records it as progress.

    Attributes:
        chapter: the number of the chapter whose exercise this is, as in "03".
        name: the exercise's name.
        right: a right answer.
        mistakes: the catalogued wrong ones.
    """

    def __init__(self, chapter: str, name: str, right: Any) -> None:
        self.chapter = chapter
        self.name = name
        self.right = right
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

    def _passed(self, text: str) -> Verdict:
        return Verdict("passed", self.name, (text,))

    def _wrong(self, *lines: str, mistake: Mistake | None = None) -> Verdict:
        return Verdict("wrong", self.name, lines, mistake)

    def _open(self) -> Verdict:
        return Verdict("open", self.name, ("not attempted yet",))


class FunctionCheck(Check):
    """The check of a function, or of whatever `call` can call. Made by `exercise`."""

    def __init__(
        self,
        chapter: str,
        oracle: Callable[..., Any],
        *,
        axes: Axes,
        tolerance: float | None,
        variants: tuple[str, ...],
        call: Call | None,
        seconds: float,
    ) -> None:
        super().__init__(chapter, inspect.unwrap(oracle).__name__, oracle)
        self.__doc__ = oracle.__doc__
        self._axes, self._tolerance, self._seconds = axes, tolerance, seconds
        self._variants = variants
        self._call = call or cases.plainly
        self._signature, self._skip = (call, 1) if call else (oracle, 0)
        self._generate: Cases | None = None

    def cases(self, generate: Cases) -> Cases:
        """Take the decorated generator's cases; chance is seeded before each round of them."""
        self._generate = generate
        return generate

    def trials(self) -> list[Case]:
        """Every call that the check makes, with fresh arguments: the plain cases, then variants."""
        assert self._generate is not None, f"{self.name} has no cases"
        sandbox.seed()
        plain = list(self._generate())
        return plain + [v for kind in self._variants for case in plain for v in case.variants(kind)]

    def inputs(self, name: str) -> tuple[Any, ...]:
        """The arguments of the case of this name, to look at and to play with.

        Raises:
            KeyError: no case has the name.
        """
        with sandbox.steady():
            found = {trial.name: trial for trial in self.trials()}[name]
        return (*found.args, *found.kwargs.values())

    def verdict(self, answer: Any) -> Verdict:
        """What the check thinks of `answer`, without showing or recording it."""
        if not callable(answer):
            what = f"expected the function itself, got {a_kind(answer)}"
            return self._wrong(what, f"Hand it over without calling it: check.{self.name}(name)")
        with sandbox.steady():
            return self._judge(answer)

    def _judge(self, answer: Any) -> Verdict:
        outcomes = self._outcomes(answer)
        if outcomes[0].open:
            return self._open()
        truths = self._outcomes(self.right)
        problems = [self._problem(*pair) for pair in zip(truths, outcomes, strict=False)]
        if not any(problems):
            return self._passed(f"all {len(truths)} cases right" if truths[1:] else "right")
        first = next(number for number, problem in enumerate(problems) if problem)
        score = f"Right in {problems.count(None)} of {len(truths)} cases."
        return self._explain(
            first, problems[first], score, self._recognise(truths, outcomes, first)
        )

    def _explain(
        self, first: int, problem: str | None, score: str, mistake: Mistake | None
    ) -> Verdict:
        name = self.trials()[first].name
        what = f"in the case {name!r} {problem}"
        look = f"{score} To look at this one: {self._called()}.inputs({name!r})"
        if mistake is None:
            return self._wrong(what, look)
        what = what[0].upper() + what[1:]
        return self._wrong(mistake.name, mistake.hint, what, look, mistake=mistake)

    def _called(self) -> str:
        """This check as the learner's notebook calls it, whose name for our module may be any."""
        module = sys.modules.get(inspect.unwrap(self.right).__module__)
        known = vars(sys.modules["__main__"]).items()
        return next((f"{name}.{self.name}" for name, v in known if v is module), self.name)

    def _outcomes(self, answer: Any) -> list[Outcome]:
        """What `answer` does in every trial; an open or endless one is not asked again."""
        outcomes: list[Outcome] = []
        for trial in self.trials():
            outcomes.append(self._outcome(trial, answer))
            if outcomes[-1].timed_out or outcomes[0].open:
                break
        return outcomes

    def _outcome(self, trial: Case, answer: Any) -> Outcome:
        named = trial.named(self._signature, self._skip)
        sandbox.seed()
        return cases.run(trial, answer, self._call, named, self._seconds)

    def _problem(self, truth: Outcome, outcome: Outcome) -> str | None:
        """What is wrong with one outcome, in words; None if nothing is."""
        assert not truth.error, f"the oracle of {self.name} fails: {truth.error}"
        where = f" ({outcome.line})" if outcome.line else ""
        if outcome.timed_out:
            return f"it was still running after {self._seconds:g} s{where}: does every loop end?"
        if outcome.error:
            return f"it raised {outcome.error}{where}"
        if outcome.changed:
            names = " and ".join(outcome.changed)
            return f"it changed its argument {names} in place: make a new value instead"
        if outcome.value is None and truth.value is not None:
            return "it returned None: did you forget `return`?"
        if isinstance(truth.value, Gradients):
            return truth.value.difference(outcome.value, self._tolerance)
        found = difference(truth.value, outcome.value, axes=self._axes, tolerance=self._tolerance)
        return f"the result {found}" if found else None

    def _recognise(
        self, truths: list[Outcome], outcomes: list[Outcome], first: int
    ) -> Mistake | None:
        """The catalogued mistake that explains the first wrong case, or None.

        It must do what the answer does wherever it differs from the truth, and the answer comes to
        a result at all: it is seen, not guessed.
        Of several, the one that also agrees everywhere else wins, then the one that differs from
        the truth most often.
        """
        best, best_rank = None, (False, 0)
        for mistake in self.mistakes:
            at_first = self._outcome(self.trials()[first], mistake.answer)
            if not at_first.same(outcomes[first], self._tolerance):
                continue
            wrongs = self._outcomes(mistake.answer)
            if len(wrongs) != len(outcomes):
                continue
            pairs = list(zip(truths, wrongs, strict=False))
            differs = [self._problem(truth, wrong) is not None for truth, wrong in pairs]
            agrees = [w.same(o, self._tolerance) for w, o in zip(wrongs, outcomes, strict=True)]
            explains = all(
                agree or outcome.error  # the same idea, written so that it cannot finish here
                for agree, differ, outcome in zip(agrees, differs, outcomes, strict=True)
                if differ
            )
            rank = (all(agrees), sum(differs))
            if explains and rank > best_rank:
                best, best_rank = mistake, rank
        return best


def exercise(
    chapter: str,
    *,
    axes: Axes = None,
    tolerance: float | None = None,
    variants: tuple[str, ...] = DEFAULT_VARIANTS,
    call: Call | None = None,
    seconds: float = 5.0,
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
        seconds: how long one call may take.
    """

    def decorate(oracle: Callable[..., Any]) -> FunctionCheck:
        return FunctionCheck(
            chapter,
            oracle,
            axes=axes,
            tolerance=tolerance,
            variants=variants,
            call=call,
            seconds=seconds,
        )

    return decorate


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
