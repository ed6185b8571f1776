"""What a source yields, in order: its documents, cut where they are endless, and what is wrong.

Not here: reading (`data/sources.py`), and what is counted and written of it (`pipeline.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmcourse.data.documents import Document, OnError, SkippedInput
from llmcourse.data.reading import Reading, Say
from llmcourse.errors import UserError
from llmcourse.prepare.cleaner import cut
from llmcourse.prepare.settings import Settings
from llmcourse.tokenizers.base import to_bytes


@dataclass(frozen=True)
class Read:
    """That a document was read, of so many bytes; its pieces follow."""

    n_bytes: int


@dataclass(frozen=True)
class Piece:
    """A document, or a piece of an endless one.

    Attributes:
        document: the piece as a document of its own.
        number: which piece of it, from 1.
    """

    document: Document
    number: int


def reading_of(settings: Settings, on_error: OnError, say: Say) -> Reading:
    """How sources are read, as the settings say."""
    return Reading(
        encoding=settings.encoding,
        column=settings.column,
        option="--",
        on_error=on_error,
        say=say,
    )


def pieces(
    documents: Iterable[Document], problems: list[UserError]
) -> Iterator[Read | Piece | UserError]:
    """Each document and its pieces, and between them each problem that the reader met there.

    `problems` is the list to which the reader adds what it cannot read; it is emptied here.

    Raises:
        UserError: the source yields nothing; the first problem says why, if there was one.
    """
    first: UserError | None = None
    try:
        for document in documents:
            first = first or next(iter(problems), None)
            yield from problems
            problems.clear()
            yield Read(len(to_bytes(document.text)))
            for number, piece in enumerate(cut(document), 1):
                yield Piece(piece, number)
    except UserError as error:
        raise (first or next(iter(problems), error)) from None
    yield from problems
    problems.clear()


def reason_of(problem: UserError) -> str:
    """Under which reason a place that cannot be read is counted."""
    return "no text" if isinstance(problem, SkippedInput) else "unreadable"
