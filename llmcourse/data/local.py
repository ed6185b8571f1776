"""Text in files and folders on this machine: which file is read how.

No file of text is ever held whole, and an error names the byte. Not here: tables (`tables`),
encodings (`encoding`), the hub (`hub`).
"""

import dataclasses
import html.parser
import io
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from llmcourse.data.documents import (
    DOCUMENT_LENGTH,
    Document,
    SkippedInput,
    chunk_text,
    size_in_words,
)
from llmcourse.data.encoding import find_encoding, naming_damage, open_text
from llmcourse.data.parquet import read_parquet
from llmcourse.data.reading import Reading
from llmcourse.data.tables import read_csv, read_json, read_json_lines
from llmcourse.errors import UserError


def read(path: Path, reading: Reading | None = None) -> Iterator[Document]:
    """The documents of a file, or of all files of a known kind in a folder, ordered by name.

    `reading.on_error` is told of the rest of a damaged file, of a line that cannot be read, and of
    files and rows that hold no text; if it returns, reading goes on behind that place.

    Raises:
        UserError: the file is of a kind that holds no plain text; or what `reading.on_error`
            raises, when that place is read.
    """
    reading = reading or Reading()
    if path.is_dir():
        return _read_folder(path, reading)
    suffix = _suffix(path)
    if suffix in _NOT_READ:
        raise UserError(f"{path} is {_NOT_READ[suffix]}")
    if suffix not in _READERS:
        reading.say("reading", f"{path} as plain text, for its suffix is unknown")
    else:
        reading.say("reading", f"{path}, {_READS[suffix]}, {size_in_words(os.path.getsize(path))}")
    if _READERS.get(suffix, _read_text) in (_read_text, _read_html):
        reading.refuse("column", what=f"{path}, which is no table")
    if suffix == ".parquet":
        reading.refuse("encoding", what=f"{path}, which says its own")
    return _read_file(path, reading)


def files_of(path: Path) -> list[Path]:
    """All files of a folder that `read` looks at, in its order; some may be of an unknown kind.

    Raises:
        UserError: none of them is of a kind that can be read.
    """
    found = [file for file in sorted(path.rglob("*")) if _is_visible_file(file, path)]
    if not any(_suffix(file) in _READERS for file in found):
        raise UserError(f"{path} holds no file that ends in {' '.join(filter(None, _READERS))}")
    return found


def _read_folder(path: Path, reading: Reading) -> Iterator[Document]:
    found = files_of(path)
    known = Counter(_suffix(file) for file in found if _suffix(file) in _READERS)
    counts = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in known.items())
    size = sum(os.path.getsize(file) for file in found if _suffix(file) in known)
    reading.say("reading", f"{path}: {counts}; {size_in_words(size)}")
    return (document for file in found for document in read_one_of_many(file, reading))


def _is_visible_file(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.is_file()


def read_one_of_many(file: Path, reading: Reading) -> Iterator[Document]:
    """The documents of a file in a folder, which may hold files of other kinds too.

    Raises:
        UserError: what `reading.on_error` raises.
    """
    if _suffix(file) not in _READERS:
        reading.on_error(SkippedInput(f"{file} has an unknown suffix"))
        return
    if not _suffix(file):  # a README, or a program
        try:
            find_encoding(file, reading)
        except UserError as error:
            reading.on_error(SkippedInput(str(error)))
            return
    said: list[UserError] = []

    def note(error: UserError) -> None:
        said.append(error)
        reading.on_error(error)

    empty = True
    for document in _read_file(file, dataclasses.replace(reading, on_error=note)):
        empty = False
        yield document
    if empty and not said:
        reading.on_error(SkippedInput(f"{file} holds no text"))


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _read_file(path: Path, reading: Reading) -> Iterator[Document]:
    """The documents of one file; what is wrong with the file becomes a line for its owner."""
    try:
        with naming_damage(path, reading):
            yield from _READERS.get(_suffix(path), _read_text)(path, reading)
    except UserError as error:
        problem = error
    else:
        return
    reading.on_error(problem)


# --- plain text -----------------------------------------------------------------------------------


def _read_text(path: Path, reading: Reading) -> Iterator[Document]:
    """Plain text, cut at blank lines, so that one book gives many documents."""
    with open_text(path, reading) as file:
        yield from chunk_text(_paragraphs(_pieces(file)), path.name)


def _pieces(file: io.TextIOWrapper) -> Iterator[str]:
    """The lines of a file, an endless one in pieces."""
    return iter(lambda: file.readline(DOCUMENT_LENGTH), "")


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Stretches that end in a blank line; an endless one is cut at a line's end, or anywhere."""
    held: list[str] = []
    length = 0
    for line in lines:
        held.append(line)
        length += len(line)
        if line.isspace() or length >= DOCUMENT_LENGTH:
            yield "".join(held)
            held, length = [], 0
    yield "".join(held)


# --- pages ----------------------------------------------------------------------------------------


LONGEST_MARKUP = 1 << 20
"""Characters of a tag or a comment: more are held of none."""
LONGEST_END = 2000
"""Characters of an unfinished tag at a page's end that is shown as text all the same."""


class _Page(html.parser.HTMLParser):
    """Collects what a browser would show as text; `taken` hands it over."""

    APART = frozenset(
        ("p", "div", "section", "article", "h1", "h2", "h3", "h4", "table", "ul", "ol")
    )
    BLOCKS = APART | frozenset(
        (
            *("aside", "blockquote", "br", "dd", "dl", "dt", "figure", "figcaption", "footer"),
            *("form", "h5", "h6", "header", "hr", "li", "main", "nav", "pre", "td", "th", "title"),
            "tr",
        )
    )
    UNSEEN = frozenset(("script", "style", "template", "noscript", "svg"))

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._unseen += tag in self.UNSEEN
        self._block(tag)

    def handle_endtag(self, tag: str) -> None:
        self._unseen = max(0, self._unseen - (tag in self.UNSEEN))
        self._block(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._parts.append(data)

    def _block(self, tag: str) -> None:
        if tag in self.BLOCKS:
            self._parts.append("\n\n" if tag in self.APART else "\n")

    def taken(self) -> str:
        """What has been collected since the last time."""
        parts, self._parts = self._parts, []
        return "".join(parts)


def _read_html(path: Path, reading: Reading) -> Iterator[Document]:
    """A page's text, without tags, scripts and styles."""
    with open_text(path, reading) as file:
        try:
            yield from chunk_text(_paragraphs(_tidy(_shown(file, path))), path.name)
        except AssertionError as error:  # so the library says that `<![` begins nothing it knows
            raise UserError(
                f"{path} is damaged: no browser could read its marks: {error!s:.99}"
            ) from None


def _shown(file: io.TextIOWrapper, path: Path) -> Iterator[str]:
    """What a browser would show, in pieces.

    Raises:
        UserError: a tag, comment or script that does not end.
    """
    page, held, length = _Page(), [], 0
    for piece in _pieces(file):
        held.append(piece)
        length += len(piece)
        # The parser keeps what has no end yet, and reads it again each time: so as seldom as twice.
        if length >= len(page.rawdata):
            page.feed("".join(held))
            yield page.taken()
            held, length = [], 0
        if len(page.rawdata) + length > LONGEST_MARKUP:
            break
    page.feed("".join(held))
    # To take an unfinished tag for text costs the parser the square of its length.
    if page.rawdata.startswith("<") and len(page.rawdata) > LONGEST_END:
        begins = page.rawdata[:30]
        raise UserError(f"{path} is damaged: what begins with {begins!r} does not end")
    page.close()
    yield page.taken()


def _tidy(pieces: Iterable[str]) -> Iterator[str]:
    """Lines without the blanks that indented the tags; of several blank lines, one.

    An endless line comes in parts.
    """
    blank, rest, begun = True, "", False
    for piece in itertools.chain(pieces, ["\n"]):
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            line = " ".join(line.split())
            if line or begun or not blank:
                yield line + "\n"
            blank, begun = not (line or begun), False
        if len(rest) > DOCUMENT_LENGTH:
            # Cut at a blank, or within an endless word, of which a letter stays for what follows.
            head, cut, rest = (
                rest.rpartition(" ") if " " in rest.strip() else (rest[:-1], "", rest[-1])
            )
            yield " ".join(head.split()) + cut
            begun = True


# --- which is which -------------------------------------------------------------------------------

_TEXT = "plain text"
_READS = {
    ".txt": _TEXT,
    ".md": f"{_TEXT}, marks and all",
    ".rst": f"{_TEXT}, marks and all",
    ".tex": f"{_TEXT}, marks and all",
    ".py": f"{_TEXT}, code and all",
    "": _TEXT,
    ".html": "its text without tags",
    ".htm": "its text without tags",
    ".jsonl": "a row a line",
    ".ndjson": "a row a line",
    ".json": "a list of rows",
    ".csv": "a table",
    ".tsv": "a table",
    ".parquet": "a table",
}
_SPECIAL: dict[str, Callable[[Path, Reading], Iterator[Document]]] = {
    ".html": _read_html,
    ".htm": _read_html,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
_READERS = {suffix: _SPECIAL.get(suffix, _read_text) for suffix in _READS}

SUFFIXES = " ".join(filter(None, _READERS))
"""How the names of readable files end."""

_OFFICE = "an office document: save it as plain text (.txt) first"
_PICTURE = "a picture: it holds no letters"
_PACKED = "packed: unpack it first (only .gz is read as it is)"
_NOT_READ = {
    ".pdf": "a PDF: turn it into text first, for example with pdftotext",
    ".epub": "an e-book: turn it into text first, for example with pandoc",
    **dict.fromkeys((".doc", ".docx", ".odt", ".rtf", ".xls", ".xlsx", ".ppt", ".pptx"), _OFFICE),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tiff", ".svg"), _PICTURE),
    **dict.fromkeys((".zip", ".tar", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tgz"), _PACKED),
    ".ipynb": "a notebook: save it as a script or as Markdown first (jupyter nbconvert)",
}
