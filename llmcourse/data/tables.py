"""Tables in files: JSON lines, JSON and CSV, and whichever it is, as rows or as documents.

They are read directly and not through the `datasets` library, for the reader's sake: no copy nine
times the size in a cache, no type guessed from the first rows, and an error that names the line. No
file is held whole, but for one JSON list. Not here: which column is the text (`rows`), Parquet
(`parquet`), plain text and folders (`local`).
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llmcourse.data.documents import Document
from llmcourse.data.encoding import naming_damage, open_text
from llmcourse.data.limits import LONGEST_LINE, LONGEST_LIST, all_of, lines_of, rows_lines
from llmcourse.data.parquet import parquet_rows
from llmcourse.data.reading import Reading
from llmcourse.data.rows import LOOKED_AT, Row, is_chat, to_documents
from llmcourse.errors import UserError

CSV_SAMPLE = 1 << 18
"""Characters that the form of a CSV file is told from."""
LONGEST_NAME = 60
"""Characters: what is longer is no name of a column."""


# --- JSON -----------------------------------------------------------------------------------------


def read_json_lines(path: Path, reading: Reading) -> Iterator[Document]:
    """A document a line of JSON.

    Raises:
        UserError: no column could be the text, or what `reading.on_error` raises.
    """
    yield from to_documents(json_line_rows(path, reading), str(path), reading)


def json_line_rows(path: Path, reading: Reading) -> Iterator[Row]:
    """A row a line of JSON.

    Raises:
        UserError: what `reading.on_error` raises.
    """
    with open_text(path, reading) as file:
        for number, line in enumerate(lines_of(file, path), start=1):
            if line.isspace():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                reading.on_error(UserError(f"{path}, line {number}: this is not JSON"))
                continue
            if isinstance(row, dict):
                yield f"{path.name}:{number}", row
            else:
                what = "this is no JSON object with named columns"
                reading.on_error(UserError(f"{path}, line {number}: {what}"))


def read_json(path: Path, reading: Reading) -> Iterator[Document]:
    """The rows or the texts of a list, which stands alone or in a table; or lines of JSON.

    Raises:
        UserError: the file holds neither, or as `read_json_lines`.
    """
    yield from to_documents(json_rows(path, reading), str(path), reading)


def json_rows(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a list, which stands alone or in a table, or of lines of JSON.

    Raises:
        UserError: the file holds neither, or what `reading.on_error` raises.
    """
    # How much is in a packed file shows only when it is unpacked.
    most = LONGEST_LINE if path.suffix.lower() == ".gz" else LONGEST_LIST
    with open_text(path, reading) as file:
        first = "\n"
        while first.isspace():
            first = file.readline(most + 1)
        rest = file.read(1)
    if rest and len(first) <= most and _is_object(first):
        yield from json_line_rows(path, reading)
        return
    with open_text(path, Reading(encoding=reading.encoding)) as file:
        text = all_of(file, path, most)
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise UserError(f"{path} is no JSON: neither one list nor a row a line") from None
    if isinstance(content, dict):  # {"version": 1, "data": [...]}
        inside = [value for value in content.values() if isinstance(value, list) and value]
        lists = [value for value in inside if not is_chat(value)]
        content = lists[0] if len(lists) == 1 else [content]
    rows = content if isinstance(content, list) else [content]
    # A list of texts is a table of one column.
    tables = [{"text": row} if isinstance(row, str) else row for row in rows]
    if not all(isinstance(row, dict) for row in tables):
        raise UserError(f"{path} holds no list of rows or texts: write a row a line, as .jsonl")
    for number, row in enumerate(tables, start=1):
        yield f"{path.name}:{number}", row


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


# --- CSV ------------------------------------------------------------------------------------------


class Form(NamedTuple):
    """How a CSV file is written.

    Attributes:
        delimiter: what stands between two cells; a character that none holds where there is one
            column.
        quoting: whether quotes go around cells, as `csv` names it.
        names: the columns', if the file does not begin with them.
    """

    delimiter: str
    quoting: Any
    names: list[str] | None


def read_csv(path: Path, reading: Reading) -> Iterator[Document]:
    """A document a row.

    Raises:
        UserError: no column could be the text, or what `reading.on_error` raises.
    """
    yield from to_documents(csv_rows(path, reading), str(path), reading)


def csv_rows(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a CSV file; delimiter, quotes and header are told from the first of them.

    Raises:
        UserError: what `reading.on_error` raises.
    """
    csv.field_size_limit(LONGEST_LINE)  # an article may be longer than the module's usual 128 kB
    with open_text(path, reading) as file:
        sample = file.read(CSV_SAMPLE)
        form = csv_form(sample, whole=not file.read(1))
    if form.names is not None:
        shown = f"{form.names[0]} to {form.names[-1]}" if len(form.names) > 1 else form.names[0]
        reading.say("column", f"{path} names no columns in its first line: call them {shown}")
    with open_text(path, Reading(encoding=reading.encoding)) as file:
        since_row = [0]
        lines = rows_lines(file, path, since_row)
        rows = csv.DictReader(
            lines, form.names, restkey="", delimiter=form.delimiter, quoting=form.quoting
        )
        for row in rows:
            since_row[0] = 0
            yield f"{path.name}:{rows.line_num}", _named(row)


def _named(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the cells beyond its last column."""
    return {name: value for name, value in row.items() if not isinstance(value, list)}


def csv_form(sample: str, *, whole: bool) -> Form:
    """The form in which most rows of a sample have as many cells as the first.

    The standard library's sniffer counts signs, also those in prose. The sample's last row is cut
    short unless it is `whole`.
    """
    forms = []
    for delimiter in ",;\t|":
        plain = _rows(sample, delimiter, csv.QUOTE_NONE, whole)
        quoted = _rows(sample, delimiter, csv.QUOTE_MINIMAL, whole)
        # Where cells begin with quotes that nothing ends, quotes are not what they go by.
        begun = sum(cell.startswith('"') for row in plain for cell in row)
        ended = sum(cell.endswith('"') for row in plain for cell in row)
        by_quotes = begun <= 2 * ended or _agree(plain) < 1
        rows = quoted if by_quotes else plain
        if rows and len(rows[0]) > 1:
            form = (delimiter, csv.QUOTE_MINIMAL if by_quotes else csv.QUOTE_NONE)
            forms.append(((_agree(rows), by_quotes, len(rows[0])), rows[0], form))
    if forms:
        # Of equals the first: commas before semicolons.
        _, first, (delimiter, quoting) = max(forms, key=lambda form: form[0])
    else:  # the header has no delimiter, so those in the text are the text's
        delimiter, quoting = "\x1f", csv.QUOTE_MINIMAL
        first = next(iter(_rows(sample, delimiter, quoting, whole)), ["text"])
    names = None if _is_header(first) else [str(n) for n in range(1, len(first) + 1)]
    return Form(delimiter, quoting, names)


def _rows(sample: str, delimiter: str, quoting: Any, whole: bool) -> list[list[str]]:
    lines: Iterable[str] = io.StringIO(sample)
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter, quoting=quoting) if row]
    except csv.Error:
        return []
    return rows[: LOOKED_AT if whole or len(rows) == 1 else min(LOOKED_AT, len(rows) - 1)]


def _agree(rows: list[list[str]]) -> float:
    """How many of the rows have as many cells as the first."""
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows) if rows else 0.0


def _is_header(row: list[str]) -> bool:
    """Whether cells may be names of columns: neither numbers nor prose."""
    return not any(_is_number(cell) or len(cell) > LONGEST_NAME for cell in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


# --- any of them ----------------------------------------------------------------------------------

RowReader = Callable[[Path, Reading], Iterator[Row]]

ROWS: dict[str, RowReader] = {
    ".jsonl": json_line_rows,
    ".ndjson": json_line_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
    ".parquet": parquet_rows,
}
"""What reads a table's rows, by the file's suffix; all but Parquet may be packed by gzip."""


def read_rows(path: Path, reading: Reading) -> Iterator[Row]:
    """The rows of a table in a file, each a dict by column, with its place for messages.

    Raises:
        UserError: there is no such file, it is no table, or what `reading.on_error` raises.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in ROWS:
        raise UserError(f"{path} is no table: its name should end with one of {', '.join(ROWS)}")
    return _read_rows(ROWS[suffix], path, reading)


def _read_rows(read: RowReader, path: Path, reading: Reading) -> Iterator[Row]:
    with naming_damage(path, reading):
        yield from read(path, reading)
