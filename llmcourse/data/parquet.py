"""Parquet files as rows, a few at a time, so that a small file cannot fill the memory.

A column that repeats its values holds each of them once, packed: a file of kilobytes may be a table
of terabytes. So the fewer rows are unpacked at once the larger a value may be, and of lists, whose
length nobody announces, the text is measured before it is made. Not here: which column is the text
(`rows`), other tables (`tables`).
"""

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from llmcourse.data.documents import Document
from llmcourse.data.limits import LONGEST_LINE, too_long
from llmcourse.data.reading import Reading
from llmcourse.data.rows import Row, to_documents
from llmcourse.errors import UserError

MOST_ROWS = 256
"""Rows that are unpacked at once, where their values are short."""
SHORT = 1 << 24
"""Bytes of text that are made to Python's strings at once."""
MOST_UNPACKED = 1 << 28
"""Bytes that those rows may come to, as far as the file says what it holds."""


def read_parquet(path: Path, reading: Reading) -> Iterator[Document]:
    """A document a row, of the columns that may hold text; no other one is read.

    Raises:
        UserError: the file is damaged, no column could be the text, or what `reading.on_error`
            raises.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        columns: list[Any] = [f.name for f in schema if _may_hold_text(str(f.type))]
        if reading.column in schema.names:
            columns = [reading.column]
        placed = _rows(file, path, columns)
        yield from to_documents(placed, str(path), reading, schema.names)


def parquet_rows(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a Parquet file, all columns.

    Raises:
        UserError: the file is damaged, or a row holds more text than anybody wrote.
    """
    with _opened(path) as file:
        yield from _rows(file, path, None)


def _rows(file: Any, path: Path, columns: list[str] | None) -> Iterator[Row]:
    number = 0
    batches = file.iter_batches(_rows_at_once(file.metadata), columns=columns, use_threads=False)
    for batch in batches:
        short = _text_length(batch) <= SHORT
        # Rows that are long together are measured, and made, one by one.
        parts = [batch] if short else (batch.slice(place, 1) for place in range(len(batch)))
        for part in parts:
            if not short and _text_length(part) > LONGEST_LINE:
                raise too_long(path, f"row {number + 1}")
            for row in part.to_pylist():
                number += 1
                yield f"{path.name}:{number}", row


def _rows_at_once(metadata: Any) -> int:
    """How many rows may be unpacked at once, if the longest value is all that a group holds.

    What single columns hold is not asked: of a damaged file that ends the whole process.
    """
    groups = range(metadata.num_row_groups)
    largest = max((metadata.row_group(group).total_byte_size for group in groups), default=0)
    return max(1, min(MOST_ROWS, MOST_UNPACKED // max(1, largest)))


def _text_length(values: Any) -> int:
    """Bytes of text that rows, or an array of them, come to when their repetitions are written out.

    Within lists, texts are read as dictionaries (`_opened`): their repetitions are only counted.
    """
    from pyarrow import types
    from pyarrow.compute import call_function

    if hasattr(values, "columns"):
        return sum(map(_text_length, values.columns))
    kind = values.type
    if types.is_dictionary(kind) and len(values):
        lengths = call_function("binary_length", [values.dictionary])
        return call_function("sum", [lengths.take(values.indices)]).as_py() or 0
    if types.is_string(kind) or types.is_large_string(kind):
        return call_function("sum", [call_function("binary_length", [values])]).as_py() or 0
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return _text_length(values.flatten() if not types.is_map(kind) else values.items)
    if types.is_struct(kind):
        return sum(map(_text_length, values.flatten()))
    return 0


@contextlib.contextmanager
def _opened(path: Path) -> Generator[Any]:
    """The file, in whose lists each text is held once, however often it stands there.

    Raises:
        UserError: the file is damaged, or has a value that Python cannot hold.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            leaves = [file.schema.column(place) for place in range(len(file.schema))]
        nested = [
            leaf.path
            for leaf in leaves
            if leaf.max_repetition_level and leaf.physical_type == "BYTE_ARRAY"
        ]
        with parquet.ParquetFile(path, read_dictionary=nested) as file:
            yield file
    except (UserError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise UserError(f"{path} is damaged: {reason:.200}") from None


def _may_hold_text(kind: str) -> bool:
    """Whether a column's type is text, or turns of a chat."""
    return (
        kind in ("string", "large_string", "string_view")
        or kind.startswith(("dictionary<values=string", "dictionary<values=large_string"))
        or (kind.startswith(("list<", "large_list<")) and "struct<" in kind)
    )
