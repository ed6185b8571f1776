"""How much of a file is held at once, whoever made it, and in which line that is said.

Plain text may go on for ever: it is cut anywhere. A line of a table is a whole, and so is a cell;
one that does not end would fill the memory, and a file of kilobytes unpacks to such a one. Not
here: what is read (`local`, `tables`, `tagged`, `parquet`).
"""

import io
from collections.abc import Iterator
from pathlib import Path

from llmcourse.errors import UserError

LONGEST_LINE = 1 << 26
"""Characters of a line, of a row of a table, or of a packed file that is read whole: 67 million,
a hundred novels."""
LONGEST_LIST = 1 << 30
"""Characters of one that is not packed: what it takes is there to be seen."""
PIECE = 1 << 20


def too_long(path: Path, place: str) -> UserError:
    """What is said of a line or a row that nobody wrote."""
    return UserError(
        f"{path}, {place}: more than {LONGEST_LINE:,} characters in one piece; cut it into several"
    )


def all_of(file: io.TextIOWrapper, path: Path, most: int) -> str:
    """What a file holds, which is read whole.

    Raises:
        UserError: it is longer than `most` characters.
    """
    pieces, length = [], 0
    while piece := file.read(PIECE):  # memory is taken for as much as is asked for at once
        pieces.append(piece)
        length += len(piece)
        if length > most:
            raise UserError(
                f"{path} is one list of more than {most:,} characters: write a row a line (.jsonl)"
            )
    return "".join(pieces)


def lines_of(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """The lines of a file, of which none is held that does not end.

    Raises:
        UserError: a line is too long; it is named.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise too_long(path, f"line {number}")
        yield line


def rows_lines(file: io.TextIOWrapper, path: Path, since_row: list[int]) -> Iterator[str]:
    """The lines of a file whose rows may take several; `since_row[0]` counts those of one.

    Whoever takes rows sets it to 0 at each.

    Raises:
        UserError: a row does not end, as where a quotation mark is never closed.
    """
    for number, line in enumerate(lines_of(file, path), start=1):
        since_row[0] += len(line)
        if since_row[0] > LONGEST_LINE:
            raise too_long(path, f"a row that ends beyond line {number}")
        yield line
