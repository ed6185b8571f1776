"""Checks of exercises that are no function: a number predicted, a plot drawn, a choice made.

The learner sets a name that the stub has as `None`, and hands it over:

    @value("03", rel=0.2, unit="nats")
    def uniform_loss():                                # computes the right answer
        return math.log(27)

    @uniform_loss.mistake("in bits", hint="Use the natural logarithm.")
    def _():
        return math.log2(27)

    which_mask = choice("03", "which_mask", right=("b", "..."), wrong={"a": "...", "c": "..."})

Not here: functions (`harness.py`). No chapter teaches this.
"""

import inspect
import math
from collections.abc import Callable
from numbers import Number
from typing import Any

import numpy as np

from llmcourse.checks import sandbox
from llmcourse.checks.compare import NUMBER_TOLERANCE, a_kind, difference, single
from llmcourse.checks.harness import Check
from llmcourse.checks.relations import Pair, relation, value_relation
from llmcourse.checks.verdict import Mistake, Verdict

_SAME_MISTAKE = 0.01
"""How near, relatively, a number must be to a mistake's: people round what they hand in."""


class ValueCheck(Check):
    """The check of a value: a number within a band, or anything that can be compared.

    Made by `value`. `right` and the mistakes' answers are functions that make what is handed over.
    """

    def __init__(
        self,
        chapter: str,
        right: Callable[[], Any],
        *,
        rel: float,
        abs: float,
        unit: str,
        taken: Callable[[Any], Any] | None,
        read: str,
    ) -> None:
        super().__init__(chapter, inspect.unwrap(right).__name__, right, read)
        self.__doc__ = right.__doc__
        self._band = {"rel_tol": rel, "abs_tol": abs}
        # What is measured scatters: a mistake that is measured, too.
        self._same_mistake = max(_SAME_MISTAKE, rel / 4)
        self._unit, self._read = unit and f" {unit}", taken or _as_it_is

    def verdict(self, answer: Any) -> Verdict:
        """What the check thinks of `answer`, without showing or recording it."""
        if answer is None:
            return self._open()
        with sandbox.steady():
            outcome = sandbox.run(lambda: self._read(answer), None, seconds=5.0)
            if outcome.error:
                return self._wrong(f"cannot use {a_kind(answer)} here ({outcome.error})")
            return self._judge(self._made(self.right), outcome.value)

    def handed_in(self, answer: Any) -> Any:
        """What a learner hands over whose answer is `right`, or one of the mistakes'."""
        sandbox.seed()
        return answer()

    def _made(self, answer: Callable[[], Any]) -> Any:
        return self._read(self.handed_in(answer))

    def _judge(self, truth: Any, answer: Any) -> Verdict:
        problem = self._problem(truth, answer)
        if problem is None:
            return self._passed(
                f"right, {_show(truth)}{self._unit}" if _is_number(truth) else "right"
            )
        self.read_rarer()
        for mistake in self.mistakes:
            if _alike(self._made(mistake.answer), answer, self._same_mistake):
                return self._wrong(mistake.hint, mistake=mistake)
        said = (
            value_relation(truth, single(answer))
            if _is_number(truth)
            else relation([Pair({}, truth, answer)])
        )
        return self._wrong(f"your answer {problem}", title=said or "")

    def _problem(self, truth: Any, answer: Any) -> str | None:
        """What is wrong; of a number only the direction, or there would be nothing left to find."""
        number = single(answer)
        if not (_is_number(truth) and _is_number(number)):
            return difference(truth, answer)
        if math.isclose(number, truth, **self._band):
            return None
        side = "small" if number < truth else "large"
        return f"of {_show(number)}{self._unit} is too {side}"


def value(
    chapter: str,
    *,
    rel: float = NUMBER_TOLERANCE,
    abs: float = 0.0,
    unit: str = "",
    taken: Callable[[Any], Any] | None = None,
    read: str = "",
) -> Callable[[Callable[[], Any]], ValueCheck]:
    """Make the decorated function, which makes the right answer, a check of its name.

    Args:
        chapter: whose exercise it is, as in "03".
        rel: how far off a number may be, relative to the larger of the two.
        abs: how far off a number may be, in its own unit.
        unit: what a number is counted in, for the messages.
        taken: takes what is compared from what is handed over, as `plot_data` does; the decorated
            function and the mistakes then make what a learner would hand over, such as `Axes`.
        read: the heading of the chapter's section to read again.
    """

    def decorate(right: Callable[[], Any]) -> ValueCheck:
        return ValueCheck(chapter, right, rel=rel, abs=abs, unit=unit, taken=taken, read=read)

    return decorate


class ChoiceCheck(Check):
    """The check of a choice between options, each with its reason. Made by `choice`."""

    def __init__(self, chapter: str, name: str, right: str, reason: str, read: str) -> None:
        super().__init__(chapter, name, right, read)
        self._reason = reason

    def verdict(self, answer: Any) -> Verdict:
        """What the check thinks of `answer`, without showing or recording it."""
        if answer is None:
            return self._open()
        chosen = answer.strip().lower() if isinstance(answer, str) else answer
        if isinstance(chosen, str) and chosen == self.right.lower():
            return self._passed(f"{self.right} is right. {self._reason}")
        for mistake in self.mistakes:
            if isinstance(chosen, str) and chosen == mistake.answer.lower():
                return self._wrong(mistake.hint, mistake=mistake)
        options = ", ".join(
            repr(o) for o in sorted([self.right, *(m.answer for m in self.mistakes)])
        )
        return self._wrong(f"choose one of {options}; got {answer!r:.60}")


def choice(
    chapter: str, name: str, *, right: tuple[str, str], wrong: dict[str, str], read: str = ""
) -> ChoiceCheck:
    """The check of a choice: the right option with its reason, and each wrong one with its own.

    A reason says why the option is right or wrong; a wrong one's is the hint that it earns.
    """
    check = ChoiceCheck(chapter, name, *right, read)
    for option, reason in wrong.items():
        check.mistakes.append(Mistake(f"it is not {option}", reason, option))
    return check


def plot_data(axes: Any) -> dict[str, list[np.ndarray]]:
    """What a matplotlib `Axes` shows: the points of its lines, heights of its bars, its images.

    Give it to `value` as `taken`, alone or within a function that picks what matters.

    Raises:
        TypeError: it is no `Axes`.
    """
    if not hasattr(axes, "get_lines"):
        raise TypeError(f"expected matplotlib's Axes, got {a_kind(axes)}")
    return {
        "lines": [np.asarray(line.get_xydata(), dtype=float) for line in axes.get_lines()],
        "bars": [np.array([bar.get_height() for bar in box], float) for box in axes.containers],
        "images": [np.ma.filled(image.get_array(), np.nan) for image in axes.get_images()],
    }


def _alike(mistake: Any, answer: Any, rel: float) -> bool:
    """Whether a mistake explains an answer; small numbers are as far apart as large ones."""
    number = single(answer)
    if _is_number(mistake) and _is_number(number):
        return math.isclose(mistake, number, rel_tol=rel)
    return difference(mistake, answer) is None


def _as_it_is(answer: Any) -> Any:
    return answer


def _is_number(value: Any) -> bool:
    return isinstance(value, Number) and not isinstance(value, bool | complex)


def _show(number: Any) -> str:
    return str(number) if isinstance(number, int) else f"{number:.3g}"
