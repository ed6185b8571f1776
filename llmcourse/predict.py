"""Predictions: what the reader expects before a cell runs, and beside it what came of it.

    predict.ask("03", "factor-of-variance")               before the cell that shows the answer
    predict.answer("03", "factor-of-variance", factor)    after it

With a kernel, `ask` shows fields to fill in; anywhere else it says what to write down on paper. A
prediction is recorded with its time, and `answer` judges it once: who knows the answer predicts
nothing. What is asked stands in `predictions/NN.toml`, so that no cell gives it away; the truth of
a number comes from the run. Not here: where predictions are kept (`learner.py`), how often they
came true (`progress.py`), and questions with explained options (`quiz.py`).
"""

import functools
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from llmcourse import learner, notebook
from llmcourse.errors import UserError, nearest
from llmcourse.notebook import Still, badge, framed, markup, unmarked

Kind = Literal["number", "choice", "line"]

SURE_OF_RANGE = 80
"""How sure a reader should be, in per cent, that a number lies in the range they give."""

CONFIDENCES = {"I guess": None, "70 % sure": 70, "90 % sure": 90}
"""How sure a reader may be of a choice, in words and in per cent; who guesses claims nothing."""

_FILES = resources.files("llmcourse") / "predictions"


@dataclass(frozen=True)
class Prediction:
    """A prediction that is asked for, and shows itself.

    Attributes:
        kind: a `number` is answered by a range, a `choice` by an option, a `line` in words.
        form: how a number is printed, as in `{:.2f} nats`.
        options: what a choice is between.
        right: the option that is right, where the file says so and not the run.
        because: a sentence for afterwards, or nothing.

    Raises:
        ValueError: a choice without two options, a right option that is none, or no question.
    """

    chapter: str
    name: str
    kind: Kind
    question: str
    form: str = "{:g}"
    options: tuple[str, ...] = ()
    right: str = ""
    because: str = ""

    def __post_init__(self) -> None:
        for problem, found in {
            "it asks nothing": not self.question.strip(),
            "a choice needs two options, all different": (self.kind == "choice")
            != (len(set(self.options)) == len(self.options) > 1),
            "what is right is no option": bool(self.right) and self.right not in self.options,
            "a line needs a sentence for afterwards": self.kind == "line" and not self.because,
        }.items():
            if found:
                raise ValueError(f"prediction {self.name!r} of chapter {self.chapter}: {problem}")

    def said(self) -> str:
        """What the reader predicted, in words; empty if nothing."""
        return in_words(self, learner.prediction(self.chapter, self.name).get("said", {}))

    def to_text(self) -> str:
        """What is asked, in plain text."""
        options = [f"  - {unmarked(option)}" for option in self.options]
        return "\n".join([f"Your prediction: {self.question}", *options, f"({self._how()})"])

    def to_html(self) -> str:
        """What is asked, for a page without a kernel: there it is answered on paper."""
        items = "".join(f"<li>{markup(option)}</li>" for option in self.options)
        below = f"<ul>{items}</ul>" * bool(items) + f"<div><em>{markup(self._how())}</em></div>"
        attributes = 'class="llmcourse-still" role="group" aria-label="Prediction"'
        return framed(self.head() + below, attributes=attributes)

    def head(self) -> str:
        """What is asked, in HTML, without options and fields."""
        return f"<div><strong>Your prediction.</strong> {markup(self.question)}</div>"

    def _how(self) -> str:
        return {
            "number": f"write down a range that you are {SURE_OF_RANGE} % sure of",
            "choice": "write down one of them, and how sure you are",
            "line": "write down a line",
        }[self.kind] + ", then run the next cell"

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        """What a page without a kernel shows, in plain text and in HTML."""
        return {"text/plain": self.to_text(), "text/html": self.to_html()}

    def _ipython_display_(self) -> None:
        """Show it: where a kernel listens, with fields to fill in in its place."""
        notebook.show_live(lambda: fields(self), Still(self._repr_mimebundle_()))

    def record(self, said: dict[str, Any]) -> None:
        """Record what the reader predicts: `{"low": 1, "high": 4}`, `{"option": …}`, `{"line": …}`.

        Raises:
            UserError: it is no answer to this question.
        """
        problem = _problem_with(self, said)
        if problem:
            raise UserError(problem)
        learner.record_prediction(self.chapter, self.name, said)


def ask(chapter: str, name: str) -> Prediction:
    """A prediction to be made before the next cell runs.

    Raises:
        UserError: there is no such chapter, or it asks for no such prediction.
    """
    if chapter not in chapters():
        raise UserError(f"no chapter {chapter!r} has predictions{nearest(chapter, chapters())}")
    known = _read(chapter)
    if name not in known:
        raise UserError(f"chapter {chapter} has no prediction {name!r}{nearest(name, known)}")
    return known[name]


def answer(chapter: str, name: str, value: float | str | None = None) -> None:
    """Show what came out beside what the reader predicted, and judge it, the first time.

    `value` is the number, or the option, that the run gave; None where the file says what is right.

    Raises:
        UserError: no such prediction, or the value is no answer to it.
    """
    asked = ask(chapter, name)
    truth = _truth(asked, value)
    entry = learner.prediction(chapter, name)
    if entry and truth is not None:
        learner.judge_prediction(chapter, name, came_true(asked, entry["said"], truth))
    notebook.show(_Answer(asked, truth, entry.get("said", {})))


def chapters() -> list[str]:
    """The numbers of the chapters that ask for predictions, in order."""
    return sorted(file.name[:-5] for file in _FILES.iterdir() if file.name.endswith(".toml"))


def predictions_of(chapter: str) -> list[Prediction]:
    """What a chapter asks its reader to predict, in order; empty for a chapter without any."""
    return list(_read(chapter).values()) if chapter in chapters() else []


def came_true(asked: Prediction, said: dict[str, Any], truth: float | str) -> bool:
    """Whether the truth is in the range that was given, or is the option that was chosen.

    A number counts as it is printed, too: who says 6.93 is right where it is 6.931.
    """
    if isinstance(truth, str):
        return said.get("option") == truth
    printed = re.search(r"-?\d[\d.,]*(e[-+]\d+)?", asked.form.format(truth))
    numbers = [truth, *([_number(printed[0])] if printed else [])]
    low, high = said.get("low", math.inf), said.get("high", -math.inf)
    return any(number is not None and low <= number <= high for number in numbers)


def in_words(asked: Prediction, said: dict[str, Any]) -> str:
    """A recorded prediction in words; empty for none."""
    if "line" in said:
        return said["line"]
    if "option" in said:
        sure = next((word for word, share in CONFIDENCES.items() if share == said["sure"]), "")
        return f"{unmarked(said['option'])} ({sure})"
    if "low" in said:
        low, high = (f"{said[name]:g}" for name in ("low", "high"))
        return low if low == high else f"{low} to {high}"
    return ""


@dataclass(frozen=True)
class _Answer:
    """The truth beside the prediction. Where nothing was predicted, a fold hides it."""

    asked: Prediction
    truth: float | str | None
    said: dict[str, Any]

    def __str__(self) -> str:
        return "\n".join(filter(None, [self._predicted(), self._truth(), self.asked.because]))

    def to_html(self) -> str:
        """The answer in HTML, which needs no kernel."""
        lines = [markup(line) for line in (self._truth(), self.asked.because) if line]
        below = "".join(f"<div>{line}</div>" for line in lines)
        if not self.said:
            return framed(f"<details><summary>{self._predicted()}</summary>{below}</details>")
        if self.truth is None:
            return framed(f"<div>{markup(self._predicted())}</div>{below}")
        card = badge(*self._verdict())
        head = f"<div>{card} {markup(self._predicted())}</div>"
        return framed(head + below, self._verdict()[0])

    def _predicted(self) -> str:
        if not self.said:
            return "You predicted nothing. What it is:"
        return f"You predicted: {in_words(self.asked, self.said)}"

    def _truth(self) -> str:
        if self.truth is None:
            return ""
        if isinstance(self.truth, str):
            return f"It is: {self.truth}"
        return f"It is: {self.asked.form.format(self.truth)}"

    def _verdict(self) -> tuple[Any, str]:
        assert self.truth is not None  # a line is not judged
        if came_true(self.asked, self.said, self.truth):
            return "right", "✓ As you said"
        return "wrong", "✗ Otherwise" if isinstance(self.truth, str) else "✗ Outside your range"

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self.to_html()}


def _truth(asked: Prediction, value: float | str | None) -> float | str | None:
    """What is true, from the run or from the file; None for a line.

    Raises:
        UserError: there is none, it is no answer to the question, or the two disagree.
    """
    where = f"prediction {asked.name!r} of chapter {asked.chapter}"
    if asked.kind == "line":
        if value is not None:
            raise UserError(f"{where} is a line and is not judged: leave the value out")
        return None
    if asked.kind == "number":
        if isinstance(value, str) or value is None or not math.isfinite(value):
            raise UserError(f"{where} is about a number, and {value!r} is none that can be judged")
        return float(value)
    truth = asked.right if value is None else value
    if truth not in asked.options:
        raise UserError(
            f"{where}: {truth!r} is none of its options{nearest(str(truth), asked.options)}"
        )
    if asked.right and truth != asked.right:
        raise UserError(f"{where}: its file says {asked.right!r}, and the run says {truth!r}")
    return truth


def _problem_with(asked: Prediction, said: dict[str, Any]) -> str:
    """What is wrong with an answer, in a sentence; empty if nothing is."""
    if asked.kind == "line":
        return "" if str(said.get("line", "")).strip() else "Write a line first."
    if asked.kind == "choice":
        fits = said.get("option") in asked.options and said.get("sure") in CONFIDENCES.values()
        return "" if fits else "Choose an option, and say how sure you are."
    low, high = (math.nan if said.get(name) is None else said[name] for name in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return "Write two numbers, such as 0.5 and 2."
    return "" if low <= high else "The first number is the smaller one."


@functools.cache
def _read(chapter: str) -> dict[str, Prediction]:
    """The predictions of one file, by name, in order."""
    written = tomllib.loads((_FILES / f"{chapter}.toml").read_text("utf-8"))
    return {
        name: Prediction(chapter, name, options=tuple(words.pop("options", ())), **words)
        for name, words in written.items()
    }


# --- the fields, in a running notebook ------------------------------------------------------------


def fields(asked: Prediction) -> Any:
    """The question as a widget: fields, a button, and below them what was written down.

    Tab goes from field to field and from button to button, Enter presses one.
    """
    import ipywidgets

    rows, read = {"number": _range, "choice": _choice, "line": _line}[asked.kind](asked)
    button, status = ipywidgets.Button(description="Write it down"), ipywidgets.HTML()

    def say() -> None:
        """Show what is recorded; once it was judged, it is settled."""
        is_settled = learner.prediction(asked.chapter, asked.name).get("judged", False)
        for control in (button, *rows):
            control.layout.display = "none" if is_settled else None
        if said := asked.said():
            now = "The answer has been shown." if is_settled else "Now run the next cell."
            status.value = _status("plain", "Written down", f"{said}. {now}")

    def write_down(_button: Any) -> None:
        try:
            asked.record(read())
            say()
        except UserError as error:
            status.value = _status("open", "Not yet", str(error))

    button.on_click(write_down)
    say()
    head = f"{_STYLE}{asked.head()}<div><em>{markup(_WANTED[asked.kind])}</em></div>"
    box = ipywidgets.VBox([ipywidgets.HTML(head), *rows, button, status])
    box.add_class("llmcourse-prediction")
    return box


_WANTED: dict[Kind, str] = {
    "number": f"A range that you are {SURE_OF_RANGE} % sure of; one number alone will do.",
    "choice": "Choose, and say how sure you are.",
    "line": "In a few words.",
}

Read = Callable[[], dict[str, Any]]
"""Reads what stands in the fields."""


def _range(_asked: Prediction) -> tuple[list[Any], Read]:
    import ipywidgets

    bounds = [
        ipywidgets.Text(description=word, continuous_update=False)  # whole, before the button's
        for word in ("from", "to")
    ]

    def read() -> dict[str, Any]:
        words = [field.value.strip() for field in bounds]
        low, high = (word or "".join(words) for word in words)  # a number alone is the whole range
        return {"low": _number(low), "high": _number(high)}

    return bounds, read


def _choice(asked: Prediction) -> tuple[list[Any], Read]:
    import ipywidgets

    names = {unmarked(option): option for option in asked.options}
    # Buttons, for JupyterLab takes the arrow keys that would move through radio buttons.
    chosen, sure = (
        ipywidgets.ToggleButtons(options=list(words), value=None, style={"button_width": "auto"})
        for words in (names, CONFIDENCES)
    )

    def read() -> dict[str, Any]:
        return {"option": names.get(chosen.value), "sure": CONFIDENCES.get(sure.value, "unsaid")}

    return [chosen, sure], read


def _line(_asked: Prediction) -> tuple[list[Any], Read]:
    import ipywidgets

    line = ipywidgets.Text(layout={"width": "40em"}, continuous_update=False)
    return [line], lambda: {"line": line.value.strip()}


def _number(words: str) -> float | None:
    """The number that was written, or None; `12,000` and `12 %` are read as people mean them."""
    try:
        return float(words.removesuffix("%").replace(",", "").replace("−", "-"))
    except ValueError:
        return None


def _status(tone: notebook.Tone, word: str, text: str) -> str:
    return f'<div role="status">{badge(tone, word)} {markup(text)}</div>'


_STYLE = """<style>
.llmcourse-prediction {max-width: 56em; padding: 2px 0}
.llmcourse-prediction .widget-html, .llmcourse-prediction .widget-html-content {height: auto;
  line-height: 1.5; overflow: visible}
</style>"""
