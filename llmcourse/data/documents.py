"""A document, and which side of the held-out split it falls on.

The split is by document, never by window: neighbouring windows share sentences, and a model that
has seen one has half seen the other. Not here: where documents come from (`sources`) and how they
become tokens (`packing`, `windows`). Chapters 01 and 08 teach this.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from llmcourse.errors import UserError
from llmcourse.text.base import to_bytes


@dataclass(frozen=True)
class Document:
    """A text that stands on its own.

    Attributes:
        text: what it says.
        name: where it is from, for messages and reports; two documents may share a name.
    """

    text: str
    name: str


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
