"""Show how far you have come: exercises, questions, predictions, and what is next.

    $ python -m llmcourse.progress        # every chapter
    $ python -m llmcourse.progress 03     # one chapter, exercise by exercise

In a notebook, `progress.show()` and `progress.show("03")` show the same. Not here: where the record
is kept (`learner.py`), what fills it (`checks/`, `quiz.py`, `predict.py`), and what there is to do
(`syllabus.py`).
"""

import argparse
import html
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from llmcourse import learner, predict, quiz, syllabus
from llmcourse.errors import UserError, exit_on_user_error, nearest
from llmcourse.learner import Record
from llmcourse.syllabus import Chapter, Exercise

MINUTES_PER_QUESTION = 1
FEWEST = 8
"""Predictions with a claim, before anything is said about the one who made them."""

RANGE = predict.SURE_OF_RANGE
STATES = {"passed": "✓ passed", "tried": "… begun", "open": "· open"}
"""How an exercise's state is written: a sign and a word, never colour alone."""


@dataclass(frozen=True)
class Row:
    """What is done and left of one chapter."""

    chapter: Chapter
    states: tuple[tuple[Exercise, str], ...]
    right: int
    asked: int

    @property
    def passed(self) -> int:
        """How many exercises passed."""
        return sum(state == "passed" for _, state in self.states)

    @property
    def tried(self) -> int:
        """How many exercises were begun and have not passed yet."""
        return sum(state == "tried" for _, state in self.states)

    @property
    def minutes_left(self) -> int:
        """How long what is left should take: as the exercises say, and a minute a question."""
        exercises = sum(one.minutes for one, state in self.states if state != "passed")
        return exercises + MINUTES_PER_QUESTION * (self.asked - self.right)


class Progress:
    """Progress as a table that shows itself: of the whole course, or of one chapter.

    Raises:
        UserError: there is no such chapter.
    """

    def __init__(self, record: Record, number: str | None = None) -> None:
        known = [chapter for chapter in syllabus.CHAPTERS if chapter.number in syllabus.exercises()]
        if number is not None and number not in {chapter.number for chapter in known}:
            hint = nearest(number, (chapter.number for chapter in known))
            raise UserError(f"no chapter {number!r} with exercises{hint}")
        self.record = record
        self.number = number
        self.every = [row_of(chapter, record) for chapter in known]
        self.rows = [row for row in self.every if number in (None, row.chapter.number)]

    def lines(self) -> list[tuple[str, ...]]:
        """The table's cells as words, its head first."""
        if self.number is not None:
            return [
                ("", "exercise", "minutes", ""),
                *(
                    (str(one.number), one.title, str(one.minutes), STATES[state])
                    for one, state in self.rows[0].states
                ),
            ]
        return [
            ("chapter", "exercises", "begun", "questions", "minutes left"),
            *(
                (
                    f"{row.chapter.number} {row.chapter.title}",
                    f"{row.passed} of {len(row.states)}",
                    str(row.tried or "-"),
                    f"{row.right} of {row.asked}",
                    str(row.minutes_left or "✓"),
                )
                for row in self.rows
            ),
        ]

    def summary(self) -> str:
        """What is left, in a sentence."""
        passed = sum(row.passed for row in self.rows)
        exercises = sum(len(row.states) for row in self.rows)
        right, asked = sum(row.right for row in self.rows), sum(row.asked for row in self.rows)
        where = "In all" if self.number is None else f"Chapter {self.number}"
        done = f"{where}: {passed} of {exercises} exercises, {right} of {asked} questions"
        left = sum(row.minutes_left for row in self.rows)
        return f"{done}; about {duration(left)} left." if left else f"{done}. Done!"

    def next_step(self) -> str:
        """One friendly sentence about what to do next: first what was tried, then what is open."""
        if not self.record:
            return "Nothing recorded yet: every check and every answer counts from now on."
        todo = [
            (state == "open", row.chapter.number, one)
            for row in self.rows
            for one, state in row.states
            if state != "passed"
        ]
        if not todo:
            return "Every exercise passed. Tell a friend what you built!"
        is_new, number, one = min(todo, key=lambda item: item[:2])  # the first of those that tie
        begin = "Next is" if is_new else "You have begun"
        name = f"exercise {one.number} of chapter {number}, {one.title!r}"
        return f"{begin} {name}: about {duration(one.minutes)}."

    def predictions(self) -> list[tuple[str, ...]]:
        """How well the predictions are calibrated, as a table's cells, its head first.

        Empty before the first prediction was judged.
        """
        made = [(sure, entry["right"]) for sure, entry in self._judged()]
        lines = []
        for sure in sorted({sure for sure, _ in made}, reverse=True):
            came = [right for claimed, right in made if claimed == sure]
            claim = f"{sure} %" if sure else "-"
            kind = {RANGE: "ranges", 0: "choices, a guess"}.get(sure, f"choices, {sure} % sure")
            shares = (f"{sum(came)} of {len(came)}", f"{100 * sum(came) / len(came):.0f} %", claim)
            lines.append((kind, *shares))
        return [("predictions", "came true", "that is", "as you claimed"), *lines] if lines else []

    def calibration(self) -> str:
        """What the predictions say about the one who made them, in a sentence; empty for none."""
        claims = [(sure / 100, entry["right"]) for sure, entry in self._judged() if sure]
        if len(claims) < FEWEST:
            left = FEWEST - len(claims)
            return f"{left} more with a claim, and there is something to say." if claims else ""
        expected, came = sum(sure for sure, _ in claims), sum(right for _, right in claims)
        spread = sum(sure * (1 - sure) for sure, _ in claims) ** 0.5
        said = f"Your claims promised {expected:.0f} of {len(claims)}, and {came} came true: "
        if came < expected - spread:
            return said + "you are surer than you should be. Make your ranges wider."
        if came > expected + spread:
            return said + "you know more than you claim. Dare narrower ranges."
        return said + "you know how much you know."

    def _judged(self) -> list[tuple[int, dict[str, Any]]]:
        """How sure the reader was, in per cent (0 for a guess), and the record's entry."""
        numbers = {row.chapter.number for row in self.rows}
        return [
            (RANGE if "low" in entry["said"] else entry["said"].get("sure") or 0, entry)
            for chapter, kinds in self.record.items()
            if chapter in numbers
            for entry in kinds.get("predictions", {}).values()
            if entry["judged"]
        ]

    def to_tables(self) -> list[Table]:
        """The tables for a terminal."""
        return [_rich(lines) for lines in (self.lines(), self.predictions()) if lines]

    def said(self) -> list[str]:
        """The sentences below the tables."""
        return list(filter(None, [self.calibration(), self.summary(), self.next_step()]))

    def __repr__(self) -> str:
        """The tables in plain text."""
        tables = [_plain(lines) for lines in (self.lines(), self.predictions()) if lines]
        return "\n".join([*(f"{table}\n" for table in tables), *self.said()])

    def _repr_html_(self) -> str:
        """The table for a notebook, with links to the exercises."""
        rows = [self.rows[0]] * (len(self.lines()) - 1) if self.number else self.rows
        linked = [
            [_cell(word, row) for word in line]
            for line, row in zip(self.lines()[1:], rows, strict=True)
        ]
        tables = _page(self.lines()[0], linked)
        if predictions := self.predictions():
            plain = [[_cell(word) for word in line] for line in predictions[1:]]
            tables += _page(predictions[0], plain)
        return f"{tables}<p>{html.escape(' '.join(self.said()))}</p>"


def show(chapter: str | None = None) -> Progress:
    """Progress in the whole course, or exercise by exercise in one chapter, as in `show("03")`.

    Raises:
        UserError: there is no such chapter, or the record is damaged.
    """
    return Progress(learner.load(), chapter)


def row_of(chapter: Chapter, record: Record) -> Row:
    """What the record says about a chapter; an exercise passes when all of its checks have."""
    done = record.get(chapter.number, {}).get("exercises", {})
    states = []
    for one in syllabus.exercises()[chapter.number]:
        passed = all(check in done and done[check]["right"] for check in one.checks)
        tried = any(check in done for check in one.checks)
        states.append((one, "passed" if passed else "tried" if tried else "open"))
    asked = quiz.questions_of(chapter.number)
    right = sum(question.was_right(record) for question in asked)
    return Row(chapter, tuple(states), right, len(asked))


def duration(minutes: int) -> str:
    """Minutes in words: `5 minutes`, `3 hours`, `1 hour 20 minutes`."""
    hours, rest = divmod(minutes, 60)
    parts = [(hours, "hour"), (rest, "minute")]
    return " ".join(f"{n} {unit}{'s' * (n != 1)}" for n, unit in parts if n) or "0 minutes"


def _plain(lines: list[tuple[str, ...]]) -> str:
    """A table in plain text."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _rich(lines: list[tuple[str, ...]]) -> Table:
    """A table for a terminal."""
    head, *rest = lines
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in head:
        is_number = name.startswith(("minutes", "that is", "as you"))
        table.add_column(name, justify="right" if is_number else "left")
    for line in rest:
        table.add_row(*line)
    return table


def _page(head: tuple[str, ...], cells: list[list[str]]) -> str:
    """A table in HTML."""
    heads = "".join(f'<th style="text-align:left">{html.escape(word)}</th>' for word in head)
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in cells)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(word: str, row: Row | None = None) -> str:
    """A table's cell; what names the row's chapter or an exercise leads to the exercises."""
    text = html.escape(word)
    if row is not None:
        names = {f"{row.chapter.number} {row.chapter.title}", *(one.title for one, _ in row.states)}
        if word in names:
            text = f'<a href="../exercises/{row.chapter.filename}">{text}</a>'
    return f'<td style="text-align:left">{text}</td>'


def main() -> None:
    """Print the table and the next step."""
    parser = argparse.ArgumentParser(
        prog="python -m llmcourse.progress",
        description="Show what you have done, how your predictions came out, and what is next.",
    )
    parser.add_argument("chapter", nargs="?", help="a chapter's number, as in 03; default: all")
    chapter = parser.parse_args().chapter
    with exit_on_user_error():
        shown = show(chapter)
    console = Console(highlight=False)
    for part in (*shown.to_tables(), *shown.said()):
        console.print(part)


if __name__ == "__main__":
    main()
