"""Rows of a table to documents: which column is the text, and what to do without it.

Not here: where rows come from (`local`, `hub`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

from llmcourse.data.documents import Document, OnError, SkippedInput, raise_unless_skipped
from llmcourse.errors import UserError

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and its columns."""


def to_documents(
    rows: Iterable[Row], where: str, on_error: OnError = raise_unless_skipped
) -> Iterator[Document]:
    """A document a row, from the column that the first row chooses; rows without text are passed.

    `on_error` learns of each row that gives no document.

    Raises:
        UserError: no column or several could be the text; or what `on_error` raises: unless told
            otherwise, where a row holds something else than text.
    """
    column = None
    for place, row in rows:
        if column is None:
            texts = [name for name, value in row.items() if _looks_like_text(value)]
            column = text_column(list(row), texts, where)
        text = row.get(column)
        if text is not None and not isinstance(text, str):
            kind = type(text).__name__
            on_error(UserError(f"{place}: column {column!r} holds {kind}, not text"))
        elif text and not text.isspace():
            yield Document(text, place)
        else:
            on_error(SkippedInput(f"{place} holds no text"))


def text_column(columns: list[str], texts: list[str], where: str) -> str:
    """The column `text`, or else the only one of `texts`, the columns that hold text.

    Raises:
        UserError: there is no telling; the message lists the columns.
    """
    if "text" in columns:
        return "text"
    if len(texts) != 1:
        raise UserError(
            f"{where} has no column 'text' but {', '.join(map(str, columns))}: "
            "rename the one to read to 'text'"
        )
    return texts[0]


def _looks_like_text(value: object) -> bool:
    """Whether a cell may be prose; in a CSV file numbers, too, are strings."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return True
    return False
