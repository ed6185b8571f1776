"""Texts whose words have tags: CoNLL's columns, CoNLL-U, and JSON lines.

    for text in read_tagged(path, tags="upos"):
        text.words, text.tags

In CoNLL's files a line is a word with its columns, a blank line ends a text, and the tag is the
last column; CoNLL-U has ten columns with names. A line of JSON has a list of words and a list of
tags. Not here: what tags mean (`evaluate/spans.py`), texts without tags (`local.py`, `tables.py`).
Chapter 12 teaches this.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmcourse.data.encoding import naming_damage, open_text
from llmcourse.data.limits import lines_of
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError, listed, nearest

CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
"""The columns of CoNLL-U, in order (Nivre et al., 2020)."""

MOST_WORDS = 1 << 20
"""Words of a text in columns: more stand there where no blank line ends a text."""

WORD_NAMES = ("tokens", "words", "form")
TAG_NAMES = ("tags", "ner_tags", "pos_tags", "labels", "upos")
"""What lists of words and of tags are called in JSON, the likelier names first."""


@dataclass(frozen=True)
class TaggedText:
    """A text in words, each with a tag.

    Attributes:
        words: the words, as they stand.
        tags: as many tags.
        where: the place that it was read from, for messages.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    where: str


def read_tagged(
    path: Path, *, tags: str | None = None, reading: Reading | None = None
) -> Iterator[TaggedText]:
    """The tagged texts of a file: `.jsonl` (or `.json`) by rows, `.conllu`, anything else as CoNLL.

    A `.gz` behind the name is unpacked.

    Args:
        path: the file.
        tags: the column that holds the tags: a name, of CoNLL's columns a number from 1; found by
            its name, or the last one, unless given.
        reading: how bytes become text, and who is told of a text that cannot be read.

    Raises:
        UserError: a column is not there, or what `reading.on_error` raises: a text without words,
            more words than tags or fewer, a line of too few columns.
    """
    reading = reading or Reading()
    kind = next((s for s in reversed(path.suffixes) if s != ".gz"), "")
    reader = {".jsonl": _json_lines, ".json": _json_lines, ".conllu": _conllu}.get(kind, _conll)
    with naming_damage(path, reading), open_text(path, reading) as file:
        yield from reader(lines_of(file, path), path.name, tags, reading)


def _json_lines(
    lines: Iterable[str], name: str, tags: str | None, reading: Reading
) -> Iterator[TaggedText]:
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        where = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            reading.on_error(UserError(f"{where}: this is no JSON object"))
            continue
        words = _list_of(row, None, WORD_NAMES, f"{where}: the words")
        labels = _list_of(row, tags, TAG_NAMES, f"{where}: the tags")
        yield from _checked(words, labels, where, reading)


def _list_of(row: dict[str, Any], column: str | None, names: tuple[str, ...], what: str) -> Any:
    """The list under a name.

    Raises:
        UserError: there is no such column; the message offers those that are there.
    """
    known = [column] if column else [name for name in names if name in row]
    if not known or known[0] not in row:
        asked = repr(column) if column else " or ".join(names)
        lists = sorted(key for key, value in row.items() if isinstance(value, list))
        there = listed(lists) or "none"
        raise UserError(f"{what} should be a list called {asked}; lists that are there: {there}")
    return row[known[0]]


def _conllu(
    lines: Iterable[str], name: str, tags: str | None, reading: Reading
) -> Iterator[TaggedText]:
    """Words are lines with a whole number; what is made of several words, or was left out, is not.

    Raises:
        UserError: CoNLL-U has no column of this name.
    """
    column = tags or "upos"
    if column not in CONLLU:
        raise UserError(f"CoNLL-U has no column {column!r}{nearest(column, CONLLU)}")
    place = CONLLU.index(column)

    def is_word(fields: list[str]) -> bool:
        return fields[0].isdecimal()

    yield from _blocks(lines, name, reading, lambda f: (f[1], f[place]), len(CONLLU), is_word)


def _conll(
    lines: Iterable[str], name: str, tags: str | None, reading: Reading
) -> Iterator[TaggedText]:
    """The word is the first column, the tag the last one, or the one of the number that is given.

    Raises:
        UserError: what is given is no number of a column.
    """
    if tags is not None and not (tags.isdecimal() and int(tags) > 1):
        raise UserError(f"columns of {name} have no names: give the tags' number, 2 or more")
    place = int(tags) - 1 if tags else -1
    yield from _blocks(
        lines,
        name,
        reading,
        lambda fields: (fields[0], fields[place]),
        max(2, place + 1),
        lambda fields: fields[0] != "-DOCSTART-",
    )


def _blocks(
    lines: Iterable[str],
    name: str,
    reading: Reading,
    take: Callable[[list[str]], tuple[str, str]],
    columns: int,
    is_word: Callable[[list[str]], bool],
) -> Iterator[TaggedText]:
    """The texts of a file of columns: a blank line ends one, `#` begins a comment before it."""
    block: list[tuple[str, str]] = []
    start, number, broken = 1, 0, False
    for number, line in enumerate(itertools.chain(lines, ["\n"]), start=1):
        line = line.rstrip("\r\n")
        if not line.strip():
            if block and not broken:
                words, labels = zip(*block, strict=True)
                yield from _checked(list(words), list(labels), f"{name}, line {start}", reading)
            block, start, broken = [], number + 1, False
        elif not (line.startswith("#") and not block and "\t" not in line):
            fields = line.split("\t") if "\t" in line else line.split()
            if len(fields) < columns:
                what = f"{len(fields)} columns where {columns} are needed: {line[:60]!r}"
                reading.on_error(UserError(f"{name}, line {number}: {what}"))
                broken = True
            elif is_word(fields):
                block.append(take(fields))
                if len(block) > MOST_WORDS:
                    what = f"a text of more than {MOST_WORDS:,} words: is a blank line missing?"
                    raise UserError(f"{name}, line {start}: {what}")


def _checked(words: Any, tags: Any, where: str, reading: Reading) -> Iterator[TaggedText]:
    """The text, if its words and tags are texts and as many; else somebody is told."""
    for what, values in (("words", words), ("tags", tags)):
        if not (isinstance(values, list) and all(isinstance(value, str) for value in values)):
            reading.on_error(UserError(f"{where}: the {what} are no list of texts"))
            return
    if not words:
        reading.on_error(UserError(f"{where}: a text without words"))
    elif len(words) != len(tags):
        reading.on_error(UserError(f"{where}: {len(words)} words and {len(tags)} tags"))
    else:
        yield TaggedText(tuple(words), tuple(tags), where)
