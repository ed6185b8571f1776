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
import string
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from llmcourse import learner, notebook
from llmcourse.errors import UserError, nearest
from llmcourse.notebook import COLORS, Still, badge, framed, markup, unmarked

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


@dataclass(frozen=True)
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
            f'<details style="{_OPTION}"><summary style="cursor:pointer">{letter}) '
            f'{markup(option.text)}</summary><div style="{_BECAUSE}">{_explanation(option)}</div>'
            "</details>"
            for letter, option in self.lettered()
        )
        attributes = 'class="llmcourse-still" role="group" aria-label="Question"'
        return framed(f"{self.head()}{options}", attributes=attributes)

    def head(self) -> str:
        """The question in HTML, without its options."""
        note = "".join(f" <em>({n})</em>" for n in self._note())
        heading, question = markup(self.heading), markup(self.question)
        return f"<div><strong>{heading}.</strong> {question}{note}</div>"

    def _note(self) -> list[str]:
        return [f"{self.n_right} of these are right"] if self.n_right > 1 else []

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        """What a page without a kernel shows, in plain text and in HTML."""
        return {"text/plain": self.to_text(), "text/html": self.to_html()}

    def _ipython_display_(self) -> None:
        """Show it: where a kernel listens, with lines to click in its place."""
        notebook.show_live(lambda: lines_to_click(self), Still(self._repr_mimebundle_()))


def _find(kind: Literal["ask", "review"], chapter: str, name: str) -> Question:
    if chapter not in chapters():
        hint = nearest(chapter.zfill(2), chapters())
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


def _explanation(option: Option) -> str:
    """An option's explanation in HTML; the verdict is a word and a sign, never colour alone."""
    verdict = badge("right", "✓ Right") if option.is_right else badge("wrong", "✗ No")
    return f"{verdict} {markup(option.because)}"


def lines_to_click(question: Question) -> Any:
    """The question as a widget: each option a line, which a click anywhere on it chooses.

    Where several options are right, a click ticks, and a button below checks the ticks.
    """
    import ipywidgets

    lines = [_Line(letter, option, question.n_right > 1) for letter, option in question.lettered()]
    below = _ticked_together(question, lines) if question.n_right > 1 else []
    if not below:
        for line in lines:
            line.button.on_click(functools.partial(_chosen, question, line))
    rows = [part for line in lines for part in (line.box, line.said)]
    box = ipywidgets.VBox([ipywidgets.HTML(_STYLE + question.head()), *rows, *below])
    box.add_class("llmcourse-question")
    return box


class _Line:
    """An option as a line: its words, a button that covers them all, and its explanation below."""

    def __init__(self, letter: str, option: Option, is_ticked: bool) -> None:
        import ipywidgets

        self.letter, self.option = letter, option
        kind = ipywidgets.ToggleButton if is_ticked else ipywidgets.Button
        # The button's own words are out of sight: they are what a screen reader says.
        self.button: Any = kind(description=f"{letter}) {unmarked(option.text)}")
        self.words, self.said = ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.Box([self.words, self.button])
        self.box.add_class("llmcourse-option")
        self.mark("☐" if is_ticked else "")
        if is_ticked:
            self.button.observe(lambda change: self.mark("☑" if change["new"] else "☐"), "value")

    def mark(self, sign: str) -> None:
        """Put a sign before the words."""
        self.words.value = f"{sign} {self.letter}) {markup(self.option.text)}".strip()

    def explain(self) -> None:
        """Say whether it is right, and why."""
        self.box.add_class("llmcourse-right" if self.option.is_right else "llmcourse-wrong")
        said = _explanation(self.option)
        self.said.value = f'<div aria-live="polite" style="{_BECAUSE}">{said}</div>'


def _chosen(question: Question, line: _Line, _button: Any) -> None:
    """Record an answer, mark its line, and explain it."""
    question.answer(line.letter)
    line.mark("✓" if line.option.is_right else "✗")
    line.explain()


def _ticked_together(question: Question, lines: list[_Line]) -> list[Any]:
    """The button that checks the ticks, and the line for what it says.

    As long as an answer is not right, only what was ticked is explained: there is something left
    to find. So it takes no more ticks than there are right options.
    """
    import ipywidgets

    button, said = ipywidgets.Button(description="Check"), ipywidgets.HTML()

    def check(_button: Any) -> None:
        ticked = [line for line in lines if line.button.value]
        if len(ticked) != question.n_right:
            count = f"You ticked {len(ticked)}: tick {question.n_right}, then check."
            said.value = f'<div role="status">{badge("open", "Not checked")} {count}</div>'
            return
        is_right = question.answer(*(line.letter for line in ticked))
        for line in lines if is_right else ticked:
            line.explain()
        found = sum(line.option.is_right for line in ticked)
        verdict = badge("right", "✓ Right") if is_right else badge("wrong", "✗ Not yet")
        hint = f" {found} of your {len(ticked)} ticks are right: change one, and check again."
        said.value = f'<div role="status">{verdict}{"" if is_right else hint}</div>'
        for control in (button, *(line.button for line in lines)):
            control.disabled = is_right

    button.on_click(check)
    return [button, said]


_OPTION = "margin:6px 0 0 0"
_BECAUSE = "margin:4px 0 4px 1.4em;line-height:1.5"
_STYLE = f"""<style>
.llmcourse-question {{max-width: 56em; padding: 2px 0}}
.llmcourse-question .widget-html, .llmcourse-question .widget-html-content {{height: auto;
  line-height: 1.5; overflow: visible}}
.llmcourse-option {{position: relative; margin: 4px 0 0 0; padding: 3px 10px; overflow: visible;
  border: 1px solid rgba(128,128,128,.45); border-left-width: 5px; border-radius: 4px}}
.llmcourse-option:hover {{background: rgba(128,128,128,.14)}}
.llmcourse-option:focus-within {{outline: 2px solid {COLORS["plain"]}; outline-offset: 1px}}
.llmcourse-option button.jupyter-button {{position: absolute; inset: 0; width: 100%; height: 100%;
  margin: 0; border: 0; background: transparent; color: transparent; box-shadow: none;
  overflow: hidden; cursor: pointer}}
.llmcourse-option.llmcourse-right {{border-color: {COLORS["right"]}}}
.llmcourse-option.llmcourse-wrong {{border-color: {COLORS["wrong"]}}}
</style>"""
