"""Text from anywhere: `read(source)` yields documents, one at a time, whatever `source` names.

| `source` | what it is |
| --- | --- |
| `pydocs` | Python's own documentation, on every machine |
| `tinytown` | 20 000 stories of the chapters' made-up world |
| a file | `.txt`, `.md`, `.jsonl`, `.csv` (each also `.gz`) or `.parquet` |
| a folder | all such files in it and in its subfolders |
| `hf:org/name[:config][@split]` | a data set of the Hugging Face hub, streamed |

Nothing is read before it is asked for, so a source may be larger than memory. Not here: how each is
read (`pydocs`, `tinytown`, `local`, `hub`), and which documents are held out (`documents`).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from llmcourse.data import hub, local, pydocs
from llmcourse.data.documents import Document, OnError, raise_unless_skipped
from llmcourse.data.prepared import is_prepared, text_path
from llmcourse.errors import UserError, nearest

TINYTOWN_STORIES = 20_000
"""How many stories the source `tinytown` tells."""


def read(source: str, on_error: OnError = raise_unless_skipped) -> Iterator[Document]:
    """The documents of a source, lazily and in a fixed order.

    `on_error` is told of what cannot be read (the rest of a file, a line of a table) and of what
    holds no text. If it returns, reading goes on with what comes next; unless given, it raises.

    What can be checked at once (the name, the suffix, whether the hub answers) is checked before
    this returns; what is wrong inside a file shows when that place is read.

    Raises:
        UserError: there is no such source, it holds no text, or it cannot be read; the message
            says where: the line of a table, the byte of a text.
    """
    return _some(_open(source, on_error), source)


def _open(source: str, on_error: OnError) -> Iterator[Document]:
    if source == "pydocs":
        return pydocs.documents()
    if source == "tinytown":
        return _tinytown()
    if source.startswith("hf:"):
        return hub.read(source, on_error)
    path = os.path.expanduser(source)
    if os.path.exists(path):
        if is_prepared(path):
            raise UserError(f"{source} is prepared already: name {text_path(source, 'train')}")
        return local.read(Path(path), on_error)
    hint = nearest(source, ("pydocs", "tinytown"))
    raise UserError(f"data source {source!r} is no file, no folder and no hf:org/name{hint}")


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
        raise UserError(f"{source} holds no text: name another data source")
