"""A document, and which side of the held-out split it falls on.

The split is by document, never by window: neighbouring windows share sentences, and a model that
has seen one has half seen the other. Not here: where documents come from (`sources`) and how they
become tokens (`packing`, `windows`). Chapters 01 and 08 teach this.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import to_bytes

MEGABYTE = 1_000_000
"""Bytes; settings ending in `_megabytes` count in these."""
MOST_MEGABYTES = 1e9
"""A petabyte: who asks for more has mistyped."""


def size_in_words(n_bytes: int) -> str:
    """An amount of text as a person says it: `812 bytes`, `2.1 MB`."""
    return f"{n_bytes / MEGABYTE:,.1f} MB" if n_bytes >= MEGABYTE / 10 else f"{n_bytes:,} bytes"


DOCUMENT_LENGTH = 16_000
"""Characters: how long a document cut from a longer text is. Long enough to tell something whole,
short enough that one book has documents on both sides of the split."""


class SkippedInput(UserError):
    """What a reader may leave out without harm: a row without text, a file of another kind."""


OnError = Callable[[UserError], None]
"""What a reader does about a place that it cannot read, before it goes on with the next one."""


def raise_unless_skipped(error: UserError) -> None:
    """Raise the error unless it is `SkippedInput`: the default of every reader."""
    if not isinstance(error, SkippedInput):
        raise error


@dataclass(frozen=True)
class Document:
    """A text that stands on its own.

    Attributes:
        text: what it says.
        name: where it is from, for messages and reports; two documents may share a name.
    """

    text: str
    name: str


def chunk_text(
    pieces: Iterable[str], name: str, least: int = DOCUMENT_LENGTH
) -> Iterator[Document]:
    """Join pieces of a long text to documents of a good length, named `name:1`, `name:2`, ...

    A document ends with the first piece that brings it to `least` characters; the last
    may be shorter. Blank lines around a document are dropped, and so is one of nothing else.
    """
    held: list[str] = []
    length = number = 0
    for piece in chain(pieces, [None]):
        if piece is not None:
            held.append(piece)
            length += len(piece)
        if piece is None or length >= least:
            text = "".join(held).strip("\n")
            if text.strip():
                number += 1
                yield Document(text, f"{name}:{number}")
            held, length = [], 0


def is_held_out(document: Document, fraction: float, seed: int = 0) -> bool:
    """Whether a document belongs to the validation side.

    A hash of the text, read as a number in [0, 1), is compared with `fraction`. So the answer needs
    no memory (a stream can be split), does not depend on order, does not change when documents are
    added, and is the same for two copies of one text: no copy leaks across the split.

    Raises:
        UserError: `fraction` is not in [0, 1].
    """
    if not 0 <= fraction <= 1:
        raise UserError(f"held-out fraction {fraction} is not between 0 and 1: try 0.1")
    digest = hashlib.sha256(f"{seed}/".encode() + to_bytes(document.text)).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def split(
    documents: Iterable[Document], fraction: float, seed: int = 0
) -> tuple[list[Document], list[Document]]:
    """The documents to train on and those held out, each in the order given."""
    sides: tuple[list[Document], list[Document]] = ([], [])
    for document in documents:
        sides[is_held_out(document, fraction, seed)].append(document)
    return sides
