"""Rows of a table to documents: which column is the text, and what to do without it.

A column is chosen by its name, or by holding nearly all of the prose; chats and pairs of question
and answer become plain text. Not here: where rows come from (`tables`, `hub`).
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llmcourse.data.documents import Document, SkippedInput
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError, listed
from llmcourse.tokenizers.base import to_bytes

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and its columns."""

LOOKED_AT = 100
"""How many rows a choice is made from."""
MOST_OF_IT = 3
"""How many times the bytes of prose of the next one a column must have that has no telling name."""

TEXT_NAMES = (
    *("text", "content", "body", "sentence", "review", "message", "article", "story", "document"),
    *("passage", "paragraph", "comment", "tweet", "post", "abstract", "code"),
)
"""What a column of text is called, the likelier names first."""
CHAT_NAMES = ("messages", "conversations", "conversation", "dialogue", "dialog", "turns")
SPEAKER, SPOKEN = ("role", "from", "speaker"), ("content", "value", "text")
PAIRS = (
    ("instruction", "input", "output"),
    ("instruction", "output"),
    ("instruction", "input", "response"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
)
"""Columns that make a text together, the longer lists first."""


@dataclass(frozen=True)
class Choice:
    """What of a row is read.

    Attributes:
        columns: one column; or several, which are joined by blank lines.
        is_chat: whether the column holds turns, each with who speaks.
    """

    columns: tuple[str, ...]
    is_chat: bool = False

    def text(self, row: dict[str, Any]) -> object:
        """The text of a row; None where there is none, and something else than text where it is."""
        values: list[Any] = [row.get(column) for column in self.columns]
        if self.is_chat and is_chat(values[0]):
            return "\n\n".join(_turn(turn) for turn in values[0])
        if len(values) == 1:
            return values[0]
        return "\n\n".join(value for value in values if isinstance(value, str) and value.strip())

    def __str__(self) -> str:
        named = " and ".join(repr(column) for column in self.columns)
        return f"the turns of {named}" if self.is_chat else named


def to_documents(
    rows: Iterable[Row], where: str, reading: Reading | None = None, names: Sequence[str] = ()
) -> Iterator[Document]:
    """A document a row, from what the first rows choose; rows without text are passed.

    `names` are the table's columns where rows do not hold all of them. `reading.on_error` learns of
    each row that gives no document, and `reading.say` of the choice.

    Raises:
        UserError: no column or several could be the text; or what `on_error` raises: unless told
            otherwise, where a row holds something else than text.
    """
    reading = reading or Reading()
    rows = iter(rows)
    first: list[Row] = []
    for placed in rows:
        first.append(placed)
        # Nothing that follows could change the choice.
        if reading.column in placed[1] or "text" in placed[1] or len(first) == LOOKED_AT:
            break
    if not first:
        return
    choice = choose([row for _, row in first], where, reading, names)
    for place, row in itertools.chain(first, rows):
        text = choice.text(row)
        if text is not None and not isinstance(text, str):
            kind = type(text).__name__
            reading.on_error(UserError(f"{place}: column {choice} holds {kind}, not text"))
        elif text and not text.isspace():
            yield Document(text, place)
        else:
            reading.on_error(SkippedInput(f"{place} holds no text"))


def choose(
    rows: list[dict[str, Any]], where: str, reading: Reading, names: Sequence[str] = ()
) -> Choice:
    """What to read of a table: the column asked for, or the one that some rows make likely.

    Raises:
        UserError: there is no such column, or no telling; the message lists the columns.
    """
    columns = list(names or dict.fromkeys(str(name) for row in rows for name in row))
    if reading.column is not None:
        if reading.column not in columns:
            raise UserError(f"{where} has no column {reading.column!r} but {listed(columns)}")
        return Choice((reading.column,), any(is_chat(row.get(reading.column)) for row in rows))
    choice = _by_name(rows) or _by_prose(rows)
    if choice is None:
        raise UserError(
            f"{where} has no column 'text' but {listed(columns)}: name the one to read "
            f"({reading.option}column)"
        )
    if len(columns) > 1:
        reading.say(
            "column",
            f"{where}: {choice} of {listed(columns)} is read; {reading.option}column overrules",
        )
    return choice


def _by_name(rows: list[dict[str, Any]]) -> Choice | None:
    """The choice that columns' names make."""
    if any("text" in row for row in rows):
        return Choice(("text",))
    spelled = {name.strip().lower(): name for row in rows for name in row if isinstance(name, str)}
    for name in TEXT_NAMES:
        if name in spelled and any(_looks_like_text(row.get(spelled[name])) for row in rows):
            return Choice((spelled[name],))
    for name in CHAT_NAMES:
        if name in spelled and any(is_chat(row.get(spelled[name])) for row in rows):
            return Choice((spelled[name],), is_chat=True)
    for pair in PAIRS:
        if all(
            name in spelled and any(isinstance(row.get(spelled[name]), str) for row in rows)
            for name in pair
        ):
            return Choice(tuple(spelled[name] for name in pair))
    return None


def _by_prose(rows: list[dict[str, Any]]) -> Choice | None:
    """The only column of text, or the one with most of the prose."""
    amounts: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            if _looks_like_text(value):
                amounts[name] = amounts.get(name, 0) + len(to_bytes(value))
    ranked = sorted(amounts, key=lambda name: -amounts[name])
    if not ranked or (len(ranked) > 1 and amounts[ranked[0]] < MOST_OF_IT * amounts[ranked[1]]):
        return None
    return Choice((ranked[0],))


def is_chat(value: object) -> bool:
    """Whether a cell holds turns: a list of tables that say who speaks, and what."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(turn, dict)
        and any(name in turn for name in SPEAKER)
        and any(name in turn for name in SPOKEN)
        for turn in value
    )


def _turn(turn: dict[str, Any]) -> str:
    """A turn as a line of a play: `user: Hello.`"""
    speaker = next(turn[name] for name in SPEAKER if name in turn)
    spoken = next(turn[name] for name in SPOKEN if name in turn)
    if isinstance(spoken, list):  # parts, of which some are pictures
        spoken = "\n".join(
            part["text"] for part in spoken if isinstance(part, dict) and "text" in part
        )
    return f"{speaker}: {spoken or ''}"


def _looks_like_text(value: object) -> bool:
    """Whether a cell may be prose; in a CSV file numbers, too, are strings."""
    if not isinstance(value, str) or not value.strip():
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
