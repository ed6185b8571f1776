"""Text in files on this machine: plain text, and tables in JSON lines, CSV and Parquet.

They are read directly and not through the `datasets` library, for the reader's sake: no copy nine
times the size in a cache, no type guessed from the first rows, and an error that names the line or
the byte. No file is ever held whole. Not here: the hub (`hub`), which column of a table is the text
(`rows`).
"""

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from llmcourse.data.documents import (
    DOCUMENT_LENGTH,
    Document,
    OnError,
    SkippedInput,
    chunk_text,
    raise_unless_skipped,
)
from llmcourse.data.rows import Row, text_column, to_documents
from llmcourse.errors import UserError


def read(path: Path, on_error: OnError = raise_unless_skipped) -> Iterator[Document]:
    """The documents of a file, or of all files of a known kind in a folder, ordered by name.

    `on_error` is told of the rest of a damaged file, of a line that cannot be read, and of files
    and rows that hold no text; if it returns, reading goes on behind that place.

    Raises:
        UserError: the suffix is unknown; or what `on_error` raises, when that place is read.
    """
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if _is_visible_file(file, path)]
        if not any(_suffix(file) in _READERS for file in found):
            raise UserError(f"{path} holds no file that ends in {' '.join(_READERS)}")
        return (document for file in found for document in _read_one_of_many(file, on_error))
    if _suffix(path) not in _READERS:
        raise UserError(
            f"{path} has an unknown suffix: it must end in {SUFFIXES}; "
            "plain text may be renamed to .txt"
        )
    return _read_file(path, on_error)


def _is_visible_file(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.is_file()


def _read_one_of_many(file: Path, on_error: OnError) -> Iterator[Document]:
    """The documents of a file in a folder, which may hold files of other kinds too."""
    if _suffix(file) not in _READERS:
        on_error(SkippedInput(f"{file} has an unknown suffix"))
        return
    said: list[UserError] = []

    def note(error: UserError) -> None:
        said.append(error)
        on_error(error)

    empty = True
    for document in _read_file(file, note):
        empty = False
        yield document
    if empty and not said:
        on_error(SkippedInput(f"{file} holds no text"))


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read_file(path: Path, on_error: OnError) -> Iterator[Document]:
    """The documents of one file; what is wrong with the file becomes a line for its owner."""
    problem = None
    try:
        yield from _READERS[_suffix(path)](path, on_error)
    except UserError as error:
        problem = error
    except UnicodeDecodeError:
        problem = UserError(
            f"{path} is not UTF-8 text: byte {_first_bad_byte(path)} does not fit; "
            "save it as UTF-8 or convert it with iconv"
        )
    except PermissionError:
        problem = UserError(f"{path} may not be read: change its permissions")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        problem = UserError(f"{path} is damaged: it does not unpack as gzip")
    except csv.Error as error:
        problem = UserError(f"{path} is damaged: {error}")
    if problem is not None:
        on_error(problem)


def _open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    return gzip.GzipFile(path) if path.suffix.lower() == ".gz" else open(path, "rb")


def _open_text(path: Path) -> io.TextIOWrapper:
    """The file as text, unpacked if need be: lines end in `\\n`, no byte-order mark begins it."""
    return io.TextIOWrapper(_open_bytes(path), encoding="utf-8-sig")


def _first_bad_byte(path: Path) -> int:
    """Where a file stops being UTF-8. The text layer, which reads ahead, cannot say."""
    decoder, offset, pending = codecs.getincrementaldecoder("utf-8")(), 0, 0
    with _open_bytes(path) as file:
        while block := file.read(1 << 20):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return offset - pending + error.start
            offset += len(block)
            pending = len(decoder.getstate()[0])
    return offset - pending  # the last character is cut short


def _read_text(path: Path, _: OnError) -> Iterator[Document]:
    """Plain text, cut at blank lines, so that one book gives many documents."""
    with _open_text(path) as file:
        yield from chunk_text(_paragraphs(file), path.name)


def _paragraphs(file: io.TextIOWrapper) -> Iterator[str]:
    """Stretches that end in a blank line; an endless one is cut at a line's end, or anywhere."""
    lines: list[str] = []
    length = 0
    while line := file.readline(DOCUMENT_LENGTH):
        lines.append(line)
        length += len(line)
        if line.isspace() or length >= DOCUMENT_LENGTH:
            yield "".join(lines)
            lines, length = [], 0
    yield "".join(lines)


def _read_json_lines(path: Path, on_error: OnError) -> Iterator[Document]:
    with _open_text(path) as file:
        yield from to_documents(_json_rows(file, path, on_error), str(path), on_error)


def _json_rows(file: io.TextIOWrapper, path: Path, on_error: OnError) -> Iterator[Row]:
    for number, line in enumerate(file, start=1):
        if line.isspace():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            on_error(UserError(f"{path}, line {number}: this is not JSON"))
            continue
        if isinstance(row, dict):
            yield f"{path.name}:{number}", row
        else:
            what = "this is no JSON object with named columns"
            on_error(UserError(f"{path}, line {number}: {what}"))


def _read_csv(path: Path, on_error: OnError) -> Iterator[Document]:
    csv.field_size_limit(2**31 - 1)  # an article may be longer than the module's usual 128 kB
    with _open_text(path) as file:
        rows = csv.DictReader(file)
        placed = ((f"{path.name}:{rows.line_num}", row) for row in rows)
        yield from to_documents(placed, str(path), on_error)


def _read_parquet(path: Path, on_error: OnError) -> Iterator[Document]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            schema = file.schema_arrow
            texts = [field.name for field in schema if str(field.type) in _PARQUET_TEXT]
            column = text_column(schema.names, texts, str(path))
            values = (
                value
                for batch in file.iter_batches(batch_size=256, columns=[column])
                for value in batch.column(0).to_pylist()
            )
            placed = ((f"{path.name}:{n}", {column: v}) for n, v in enumerate(values, start=1))
            yield from to_documents(placed, str(path), on_error)
    except pyarrow.ArrowInvalid as error:
        raise UserError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


_PARQUET_TEXT = ("string", "large_string", "string_view")

_READERS: dict[str, Callable[[Path, OnError], Iterator[Document]]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".jsonl": _read_json_lines,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}

SUFFIXES = " ".join(_READERS)
"""How the names of readable files end."""
