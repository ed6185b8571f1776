"""Chats, pairs of answers and plain texts from files, as examples that a model learns to write.

A table's columns tell what its rows are: turns of a chat, or a request with an answer, or with a
better and a worse one. Not here: splits (`examples.py`), templates (`tokenizers/chat.py`), tokens
(`writing.py`). Chapters 13 and 14 teach this.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from llmcourse.data.documents import chunk_text
from llmcourse.data.reading import Reading
from llmcourse.data.rows import CHAT_NAMES, SPEAKER, SPOKEN, is_chat
from llmcourse.data.sources import read as read_documents
from llmcourse.data.tables import read_rows
from llmcourse.errors import UserError, listed, require
from llmcourse.finetune.examples import text_in
from llmcourse.finetune.settings import DataSettings
from llmcourse.tokenizers.chat import Message, check_chat

REQUESTS = ("instruction", "prompt", "question", "user", "query", "input")
GIVEN = ("input", "context")
ANSWERS = ("output", "response", "completion", "answer", "assistant", "chosen")
"""What columns are called, the likelier names first; `GIVEN` is what an instruction is about."""
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}
"""What others call the roles."""
STRETCH = 1_000
"""Characters that a stretch of a long text has at least."""
LONGEST = 200_000
"""Characters: a longer chat is a file in the wrong place."""


@dataclass(frozen=True)
class Chat:
    """A chat that ends with an answer.

    Attributes:
        turns: who says what; every turn of the assistant's is learned.
        where: the place that it was read from, for messages.
    """

    turns: tuple[Message, ...]
    where: str
    labels: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> str:
        """What makes two chats the same: all but the last answer."""
        return _key(self.turns[:-1])


@dataclass(frozen=True)
class Pair:
    """A chat with two answers, of which one was preferred.

    Attributes:
        turns: what was said before.
        chosen: the better answer.
        rejected: the worse one.
        where: the place that it was read from, for messages.
    """

    turns: tuple[Message, ...]
    chosen: str
    rejected: str
    where: str
    labels: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> str:
        """What makes two pairs the same: what was said before."""
        return _key(self.turns)

    def chat(self, *, better: bool) -> list[Message]:
        """The chat with one of its answers."""
        return [*self.turns, Message("assistant", self.chosen if better else self.rejected)]


@dataclass(frozen=True)
class Text:
    """A text to be read.

    Attributes:
        text: it.
        where: the place that it was read from, for messages.
    """

    text: str
    where: str
    labels: ClassVar[tuple[str, ...]] = ()

    @property
    def key(self) -> str:
        """What makes two texts the same, whatever their case and spaces."""
        return " ".join(self.text.casefold().split())


def read_chats(path: Path, settings: DataSettings) -> Iterator[Chat]:
    """Chats from a table: a column of turns, or one of requests and one of answers.

    Raises:
        UserError: no such columns, an empty turn, or roles out of order; names the row.
    """
    for where, row in read_rows(path, Reading(encoding=settings.encoding)):
        turns = _turns(row, where)
        if not turns:
            answer = _cell(row, ANSWERS, where, "answer")
            turns = [*_request(row, where), Message("assistant", answer)]
        check_chat(turns, where, to_learn=True)
        yield Chat(_not_too_long(turns, where), where)


def read_pairs(path: Path, settings: DataSettings) -> Iterator[Pair]:
    """Pairs of answers from a table with columns `chosen` and `rejected`, behind a request.

    Both may be chats that begin alike and differ in their last turn.

    Raises:
        UserError: no such columns, an empty or the same answer twice; names the row.
    """
    for where, row in read_rows(path, Reading(encoding=settings.encoding)):
        for name in ("chosen", "rejected"):
            require(name in row, f"{where} has no column {name!r} but {listed(row)}")
        chats = [_as_turns(row[name], where) for name in ("chosen", "rejected")]
        if all(chats):
            better, worse = ([*turns] for turns in chats)
            require(
                better[:-1] == worse[:-1],
                f"{where}: the two chats differ before their last turns: they answer two requests",
            )
            if len(better) == 1:
                better = [*_request(row, where), *better]
            before, answers = better[:-1], (better[-1].content, worse[-1].content)
        else:
            before = _request(row, where)
            answers = (text_in(row, "chosen", where), text_in(row, "rejected", where))
        for answer in answers:
            check_chat([*before, Message("assistant", answer)], where, to_learn=True)
        require(
            answers[0].strip() != answers[1].strip(),
            f"{where}: the chosen and the rejected answer are the same: nothing is preferred",
        )
        yield Pair(_not_too_long(before, where), *answers, where)


def read_texts(path: Path, settings: DataSettings) -> Iterator[Text]:
    """Texts from a file of any kind that `train` reads, in stretches of whole lines.

    A book is one document, and splits share no text: so a long one is cut.

    Raises:
        UserError: there is no such file, or no text in it.
    """
    reading = Reading(encoding=settings.encoding, column=settings.text)
    for document in read_documents(str(path), reading):
        lines = document.text.splitlines(keepends=True)
        for stretch in chunk_text(lines, document.name, STRETCH):
            yield Text(stretch.text, stretch.name)


# --- a row ----------------------------------------------------------------------------------------


def _turns(row: dict[str, Any], where: str) -> list[Message]:
    """The turns of the row's chat; none where it has no column of turns."""
    for name in CHAT_NAMES:
        if name in row and is_chat(row[name]):
            return _as_turns(row[name], where)
    return []


def _as_turns(value: object, where: str) -> list[Message]:
    """The turns that a cell holds; none where it holds something else."""
    if not is_chat(value):
        return []
    turns = []
    for turn in cast(list[dict[str, Any]], value):
        role = str(next(turn[name] for name in SPEAKER if name in turn)).casefold()
        said = next(turn[name] for name in SPOKEN if name in turn)
        require(isinstance(said, str), f"{where}: a turn holds {type(said).__name__}, not text")
        turns.append(Message(ROLES.get(role, role), said))
    return turns


def _request(row: dict[str, Any], where: str) -> list[Message]:
    """What is said before an answer: a history of turns, and a request with what it is about."""
    turns: list[Message] = []
    history = row.get("history")
    if isinstance(history, list):
        for number, said in enumerate(history):
            require(isinstance(said, str), f"{where}: the history holds something else than text")
            turns.append(Message("assistant" if number % 2 else "user", said))
    column = next((name for name in REQUESTS if isinstance(row.get(name), str)), None)
    if column is None:
        raise UserError(
            f"{where} holds neither turns (messages) nor a request (instruction, prompt, "
            f"question), but {listed(row)}"
        )
    request = row[column]
    for name in GIVEN:
        if name != column and isinstance(row.get(name), str) and row[name].strip():
            request += "\n\n" + row[name]
    if isinstance(row.get("system"), str) and row["system"].strip():
        turns.insert(0, Message("system", row["system"]))
    return [*turns, Message("user", request)]


def _cell(row: dict[str, Any], names: tuple[str, ...], where: str, what: str) -> str:
    for name in names:
        if name in row:
            return text_in(row, name, where)
    raise UserError(f"{where} has no column of {what}s ({', '.join(names[:4])}): {listed(row)}")


def _not_too_long(turns: list[Message], where: str) -> tuple[Message, ...]:
    length = sum(len(turn.content) for turn in turns)
    require(length <= LONGEST, f"{where}: {length:,} characters in one chat, at most {LONGEST:,}")
    return tuple(turns)


def _key(turns: tuple[Message, ...]) -> str:
    return " ".join(f"{turn.role}: {turn.content}".casefold() for turn in turns)
