"""Text from anywhere: `read(source)` yields documents, one at a time, whatever `source` names.

It is a name in `SOURCES`, or the path of a file or of a folder, with all files in it and below it
that `local` can read. Nothing is read before it is asked for, so a source may be larger than
memory. Not here: how each is read (`pydocs`, `local`, `hub`, `tinytown/`), and which documents are
held out (`documents`).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from llmcourse.data import hub, local, pydocs
from llmcourse.data.documents import Document
from llmcourse.data.prepared import is_prepared, text_path
from llmcourse.data.reading import Reading
from llmcourse.errors import UserError, nearest

TINYTOWN_STORIES = 20_000
"""How many stories the source `tinytown` tells."""


def read(source: str, reading: Reading | None = None) -> Iterator[Document]:
    """The documents of a source, lazily and in a fixed order.

    `reading.on_error` is told of what cannot be read (the rest of a file, a line of a table) and of
    what holds no text. If it returns, reading goes on with what comes next; unless given, it
    raises.

    What can be checked at once (the name, the suffix, whether the hub answers) is checked before
    this returns; what is wrong inside a file shows when that place is read.

    Raises:
        UserError: there is no such source, it holds no text, or it cannot be read; the message
            says where: the line of a table, the byte of a text.
    """
    return _some(_open(source, reading or Reading()), source)


def _open(source: str, reading: Reading) -> Iterator[Document]:
    for name, entry in SOURCES.items():
        if source == name or (name.endswith(":") and source.startswith(name)):
            if not entry.is_foreign:
                reading.refuse("encoding", "column", what=source)
            reading.say("reading", source)
            return entry.read(source, reading)
    path = os.path.expanduser(source)
    if os.path.exists(path):
        if is_prepared(path):
            raise UserError(f"{source} is prepared already: name {text_path(source, 'train')}")
        return local.read(Path(path), reading)
    named = ", ".join(entry.spelled for entry in SOURCES.values())
    hint = nearest(source, SOURCES)
    raise UserError(f"data source {source!r} is no file, no folder and none of {named}{hint}")


def _tinytown() -> Iterator[Document]:
    from llmcourse.tinytown.stories import stories  # builds its grammar when imported

    for index, story in enumerate(stories(TINYTOWN_STORIES)):
        yield Document(text=story.text, name=f"tinytown/{index}")


def _some(documents: Iterable[Document], source: str) -> Iterator[Document]:
    empty = True
    for document in documents:
        empty = False
        yield document
    if empty:
        raise no_text(source)


def no_text(source: str) -> UserError:
    """What is wrong with a source that yields no document."""
    return UserError(f"{source} holds no text: name another data source")


class Source(NamedTuple):
    """One source that has a name.

    Attributes:
        spelled: how one writes it.
        read: from that, and from how it is to be read, to the documents.
        is_foreign: whether its form is not known beforehand.
    """

    spelled: str
    read: Callable[[str, Reading], Iterator[Document]]
    is_foreign: bool = False


SOURCES = {
    # Python's own documentation, on every machine:
    "pydocs": Source("pydocs", lambda source, reading: pydocs.documents()),
    # Stories of the chapters' made-up world:
    "tinytown": Source("tinytown", lambda source, reading: _tinytown()),
    # A data set of the Hugging Face hub, streamed:
    "hf:": Source(
        "hf:org/name[:config][@split]",
        lambda source, reading: hub.read(source, reading),
        is_foreign=True,
    ),
}
"""Sources by name, or by how their names begin (`hf:`): a new one is a module and a line here."""
KNOWN_SOURCES = ", ".join(
    [*(source.spelled for source in SOURCES.values()), f"a file or folder ({local.SUFFIXES})"]
)
"""What a setting that names a source may be, for `--help`."""
