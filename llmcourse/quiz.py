"""Questions with an explanation for every answer, which work with a kernel and without one.

    quiz.ask("03", "softmax-axis")      at the end of chapter 03
    quiz.review("02", "rnn-memory")     at the beginning of a later one

As the last line of a cell, a question shows itself: with a running kernel as lines to click, and
anywhere else as lines that unfold. The words stand in `questions/NN.toml`, so that no cell gives an
answer away. Answers are recorded for `python -m llmcourse.progress`. Not here: where they are kept
(`learner.py`), and exercises (`checks/`).
"""

import functools
import hashlib
import html
import re
import string
import sys
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Literal

from llmcourse import learner
from llmcourse.errors import UserError, nearest

_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_HEADINGS = {"ask": "Check yourself", "review": "Do you remember? (chapter {})"}


@dataclass(frozen=True)
class Option:
    """One answer on offer: what it says, why it is right or wrong, and which of the two."""

    text: str
    because: str
    is_right: bool


def ask(chapter: str, name: str) -> "Question":
    """A question about this chapter, for its end.

    Raises:
        UserError: there is no such chapter, or it has no such question.
    """
    return _find("ask", chapter, name)


def review(chapter: str, name: str) -> "Question":
    """A question about an earlier chapter, for another's beginning.

    Raises:
        UserError: there is no such chapter, or it has no such question.
    """
    return _find("review", chapter, name)


def chapters() -> list[str]:
    """The numbers of the chapters that have questions, in order."""
    return sorted(file.name[:-5] for file in _FILES.iterdir() if file.name.endswith(".toml"))


def questions_of(chapter: str) -> "list[Question]":
    """The questions that a chapter asks about itself, in order; empty for a chapter without any.

    Those that a later chapter asks about it again are not among them.
    """
    return list(_read(chapter)["ask"].values()) if chapter in chapters() else []


def reviews_of(chapter: str) -> "list[Question]":
    """The questions that later chapters ask about this one; empty for a chapter without any."""
    return list(_read(chapter)["review"].values()) if chapter in chapters() else []


@dataclass
class Question:
    """A question that shows itself.

    At least two options; at least one right and one wrong; no two alike; an explanation for each.

    Raises:
        ValueError: it is not so.
    """

    heading: str
    chapter: str
    name: str
    question: str
    options: tuple[Option, ...]
    _widget: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        texts = [option.text.strip() for option in self.options]
        n_right = sum(option.is_right for option in self.options)
        for problem, found in {
            "it asks nothing": not self.question.strip(),
            "it needs at least one right and one wrong option": not 0 < n_right < len(texts),
            "two options say the same": len(set(texts)) < len(texts),
            "an option is empty": "" in texts,
            "an option has no explanation": any(not o.because.strip() for o in self.options),
        }.items():
            if found:
                raise ValueError(f"question {self.name!r} of chapter {self.chapter}: {problem}")

    def was_right(self, record: learner.Record) -> bool:
        """Whether it was answered right once, by this record.

        Records of older versions name it by a digest of its words: they count.
        """
        answers = record.get(self.chapter, {}).get("quiz", {})
        known = (self.name, _digest(self.question)[:12])
        return any(answers[key]["right"] for key in known if key in answers)

    @property
    def n_right(self) -> int:
        """How many of the options are right."""
        return sum(option.is_right for option in self.options)

    def answer(self, *letters: str) -> bool:
        """Whether these letters are the right ones; records the answer."""
        chosen = {letter.strip(" )").lower() for letter in letters}
        is_right = chosen == {letter for letter, option in self.lettered() if option.is_right}
        learner.record_question(self.chapter, self.name, is_right)
        return is_right

    def lettered(self) -> list[tuple[str, Option]]:
        """The options with their letters: a, b, c, ...

        The order is shuffled, always in the same way for the same words, so that authors may write
        the right one first and nobody can tell.
        """
        shuffled = sorted(self.options, key=lambda option: _digest(self.question + option.text))
        return list(zip(string.ascii_lowercase, shuffled, strict=False))

    def to_text(self) -> str:
        """The question with its options, in plain text, without the answers."""
        options = [f"  {letter}) {option.text}" for letter, option in self.lettered()]
        return "\n".join([f"{self.heading}: {self.question}", *self._note(), *options])

    def to_html(self) -> str:
        """The question with options that unfold to their explanations; needs no kernel."""
        options = "".join(
            f'<details style="margin:.3em 0"><summary>{letter}) {_markup(option.text)}</summary>'
            f'<p style="margin:.2em 0 .6em 1.5em">{_explanation(option)}</p></details>'
            for letter, option in self.lettered()
        )
        return f'<div role="group" aria-label="Question">{self.head()}{options}</div>'

    def head(self) -> str:
        """The question in HTML, without its options."""
        note = "".join(f" <em>({html.escape(n)})</em>" for n in self._note())
        heading, question = html.escape(self.heading), _markup(self.question)
        return f"<p><strong>{heading}.</strong> {question}{note}</p>"

    def _note(self) -> list[str]:
        return [f"{self.n_right} of these are right"] if self.n_right > 1 else []

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, Any]:
        """What a notebook shows: text and HTML always, and buttons where a kernel listens."""
        bundle: dict[str, Any] = {"text/plain": self.to_text(), "text/html": self.to_html()}
        if _kernel_is_live():
            if self._widget is None:
                self._widget = _buttons(self)
            bundle[_WIDGET_VIEW] = self._widget._repr_mimebundle_()[_WIDGET_VIEW]
        return bundle


def _find(kind: Literal["ask", "review"], chapter: str, name: str) -> Question:
    if chapter not in chapters():
        hint = nearest(chapter, chapters())
        raise UserError(f"no chapter {chapter!r} has questions{hint}")
    questions = _read(chapter)[kind]
    if name not in questions:
        hint = nearest(name, questions)
        raise UserError(f"chapter {chapter} has no question {name!r} for quiz.{kind}{hint}")
    return questions[name]


@functools.cache
def _read(chapter: str) -> dict[str, dict[str, Question]]:
    """The questions of one file, by kind and name."""
    written = tomllib.loads((_FILES / f"{chapter}.toml").read_text("utf-8"))
    return {
        kind: {
            name: Question(
                fields.get("heading", heading.format(chapter)),
                chapter,
                name,
                fields["question"],
                tuple(
                    Option(text, because, is_right=verdict == "right")
                    for verdict in ("right", "wrong")
                    for text, because in fields[verdict].items()
                ),
            )
            for name, fields in written.get(kind, {}).items()
        }
        for kind, heading in _HEADINGS.items()
    }


_FILES = resources.files("llmcourse") / "questions"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _kernel_is_live() -> bool:
    """Whether this runs in a notebook's kernel, which can answer to a button."""
    ipython = sys.modules.get("IPython")  # never imported for the question's sake
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def _explanation(option: Option) -> str:
    """An option's explanation in HTML; the verdict is a word and a sign, never colour alone."""
    verdict = "✓ Right." if option.is_right else "✗ No."
    return f"<strong>{verdict}</strong> {_markup(option.because)}"


def _markup(text: str) -> str:
    """Text as HTML: what is special is escaped, `backticks` make code, and *stars* stress."""
    parts = re.split(r"`([^`]+)`", html.escape(text))
    parts[::2] = [_STRESSED.sub(r"<em>\1</em>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{code}</code>" for code in parts[1::2]]
    return "".join(parts)


_STRESSED = re.compile(r"(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])")
"""Words between two stars, not the stars of a product."""


def _buttons(question: Question) -> Any:
    """The question as widgets: a button an option, or ticks and one button if several are right."""
    import ipywidgets

    said = {letter: ipywidgets.HTML() for letter, _ in question.lettered()}

    def reveal(letters: Iterable[str]) -> None:
        for letter, option in question.lettered():
            if letter in letters:
                said[letter].value = f'<div aria-live="polite">{_explanation(option)}</div>'

    if question.n_right > 1:
        controls, button = _ticks(question, reveal)
        below = [button]
    else:
        controls, below = _one_click(question, reveal), []
    rows: list[Any] = [ipywidgets.HTML(question.head())]
    for letter, option in question.lettered():
        label = ipywidgets.HTML(f"{letter}) {_markup(option.text)}")
        rows += [ipywidgets.HBox([controls[letter], label]), said[letter]]
    return ipywidgets.VBox([*rows, *below])


def _one_click(question: Question, reveal: Callable[[Iterable[str]], None]) -> dict[str, Any]:
    """A button for each option, which records the answer and shows its explanation."""
    import ipywidgets

    def button(letter: str, option: Option) -> Any:
        made = ipywidgets.Button(description=letter, tooltip=option.text, layout={"width": "3em"})

        def clicked(_button: Any) -> None:
            question.answer(letter)
            reveal([letter])

        made.on_click(clicked)
        return made

    return {letter: button(letter, option) for letter, option in question.lettered()}


def _ticks(
    question: Question, reveal: Callable[[Iterable[str]], None]
) -> tuple[dict[str, Any], Any]:
    """A box to tick for each option, and the button that records them and explains them all."""
    import ipywidgets

    boxes = {
        letter: ipywidgets.Checkbox(
            description=letter, tooltip=option.text, indent=False, layout={"width": "3em"}
        )
        for letter, option in question.lettered()
    }
    button = ipywidgets.Button(description="Check")

    def clicked(_button: Any) -> None:
        chosen = [letter for letter, box in boxes.items() if box.value]
        button.description = "Right!" if question.answer(*chosen) else "Not yet: try again"
        reveal(boxes)

    button.on_click(clicked)
    return boxes, button
