"""What a check says of an answer: in words, as a table, and where to read again.

Not here: how it comes to that (`harness.py`, `recognise.py`). No chapter teaches this.
"""

from dataclasses import dataclass
from typing import Any, Literal

from llmcourse import syllabus
from llmcourse.notebook import Card, Row, Tone, plain_table


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
        mistake: the catalogued mistake that it is, if any; then its name is the first line.
        table: the smallest failing case, where it can be shown.
        title: what the answer is taken for; the first line, if any.
        link: what to read again, and where it is; empty for nothing.
    """

    status: Literal["passed", "wrong", "open"]
    name: str
    lines: tuple[str, ...]
    mistake: Mistake | None = None
    table: tuple[Row, ...] = ()
    title: str = ""
    link: tuple[str, str] | None = None

    @property
    def text(self) -> str:
        """The verdict in plain text."""
        said = [f"{_SIGNS[self.status]} {self.name}: " + "\n  ".join(self.lines)]
        if self.table:
            said.append(plain_table(self.table, "    "))
        if self.link:
            said.append(f"  {self.link[0]}")
        return "\n".join(said)

    def card(self) -> Card:
        """The verdict as a notebook shows it."""
        tone, word = _TONES[self.status]
        lines = () if self.status == "open" else self.lines[bool(self.title) :]
        return Card(
            tone,
            f"{_SIGNS[self.status]} {word}",
            self.text,
            self.name,
            self.title,
            lines,
            self.table,
            self.link,
        )


_SIGNS = {"passed": "✓", "wrong": "✗", "open": "·"}
_TONES: dict[str, tuple[Tone, str]] = {
    "passed": ("right", "Passed"),
    "wrong": ("wrong", "Not yet"),
    "open": ("open", "Not attempted yet"),
}


def section_link(chapter: str, heading: str) -> tuple[str, str]:
    """What to read again, and its address as seen from an exercise: a chapter's section.

    Args:
        chapter: its number, as in "03".
        heading: the section's heading, as it stands in the chapter.
    """
    file = next(c.filename for c in syllabus.CHAPTERS if c.number == chapter)
    anchor = heading.replace(" ", "-")
    return f"Read again: chapter {chapter}, “{heading}”", f"../chapters/{file}#{anchor}"
