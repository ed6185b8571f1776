"""What encoding a file of text is in: what its bytes prove, and else the best guess.

A byte-order mark settles it, and so does text that is valid UTF-8. The rest is guessed by the
`charset-normalizer` library, from a sample, among the encodings that old files really have. What is
decoded later is decoded strictly: a wrong guess shows as an error that names the byte. Not here:
what a file's kind is (`local`).
"""

import codecs
import contextlib
import csv
import functools
import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path

from llmcourse.data.reading import Reading
from llmcourse.errors import UserError

SAMPLE = 1 << 20
"""Bytes that are looked at: the first ones, and the first ones that are not ASCII."""
SEARCHED = 1 << 26
"""Bytes: how far a file is searched for anything that is not ASCII."""
GUESSED_FROM = 1 << 16
"""Bytes that a guess is made from: only lines that are not ASCII tell anything."""
MOST_CONTROLS = 0.05
"""The share of control characters above which bytes are no text."""

# The longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CONTROLS = bytes(n for n in range(32) if n not in b"\t\n\r\f\x1b") + b"\x7f"
_FOREIGN = {
    b"%PDF": "a PDF: turn it into text first, for example with pdftotext",
    b"\x89PNG": "a picture: it holds no letters",
    b"\xff\xd8\xff": "a picture: it holds no letters",
    b"GIF8": "a picture: it holds no letters",
    b"PK\x03\x04": "an archive, or an office document: unpack it, or save it as plain text",
    b"\xd0\xcf\x11\xe0": "an office document: save it as plain text",
    b"{\\rtf": "an RTF document: save it as plain text",
    b"\x1f\x8b": "packed by gzip: end its name in .gz",
    b"BZh": "packed by bzip2: unpack it first",
    b"\xfd7zXZ": "packed by xz: unpack it first",
    b"(\xb5/\xfd": "packed by zstd: unpack it first",
}

# Asking the library about all that Python knows makes it find Icelandic Macs in French novels.
_BY_BYTES = ("cp1252", "cp1250", "cp1254", "cp1257", "cp1251", "koi8_r", "cp1253", "cp1255")
_BY_BYTES += ("cp1256", "tis_620")
_BY_PAIRS = ("gb18030", "big5", "cp932", "euc_jp", "cp949")
_EQUAL = 0.02
"""Differences of the library's score (it counts what looks like a mess) that mean nothing."""
# The library takes these for one another, since they share most letters. Each letter beyond ASCII
# must be one of *one* language of theirs: that tells them apart.
_LATIN = {
    "cp1252": [
        *("àâæçèéêëîïôœùûüÿ", "äöüß", "áéíñóúü", "àáâãçéêíóôõúü", "àèéìíîòóùú", "åäöé"),
        *("æøåéó", "áðéíóúýþæö", "àçèéíïòóúü", "ëéèïöüáóíú"),
    ],
    "cp1250": [
        *("áčďéěíňóřšťúůýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž", "áäčďéíĺľňóôŕšťúýž"),
    ],
    "cp1254": ["çğıiöşüâîû"],
    "cp1257": ["ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž"],
}


def open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The file's bytes, unpacked if its name ends in `.gz`."""
    return gzip.GzipFile(path) if path.suffix.lower() == ".gz" else open(path, "rb")


def open_text(path: Path, reading: Reading) -> io.TextIOWrapper:
    """The file as text: lines end in `\\n`, no byte-order mark begins it.

    `reading.say` hears of an encoding that is not UTF-8, and how it was found.

    Raises:
        UserError: the bytes are no text, or in an encoding that nobody can tell.
    """
    encoding, how = find_encoding(path, reading)
    if how:
        reading.say("encoding", f"{path} is read as {encoding}, {how}")
    return io.TextIOWrapper(open_bytes(path), encoding=encoding)


def find_encoding(path: Path, reading: Reading) -> tuple[str, str]:
    """The encoding of a file, and how it was found; nothing where there was no doubt.

    Raises:
        UserError: as `open_text`.
    """
    if reading.encoding is not None:
        utf8 = codecs.lookup(reading.encoding).name == "utf-8"
        return ("utf-8-sig" if utf8 else reading.encoding), ""
    head, sample, whole = _sample(path)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding, "" if mark == codecs.BOM_UTF8 else "as its byte-order mark says"
    for beginning, what in _FOREIGN.items():
        if head.startswith(beginning):
            raise UserError(f"{path} is {what}")
    overrule = f"{reading.option}encoding overrules"
    if wide := _wide(head):
        return wide, f"guessed from its zero bytes; {overrule}"
    if len(head.translate(None, _CONTROLS)) < (1 - MOST_CONTROLS) * len(head):
        raise UserError(
            f"{path} is no text: it looks like a binary file; if it is text all the same, name its "
            f"encoding ({reading.option}encoding)"
        )
    if _is_utf8(sample, whole):
        return "utf-8-sig", ""
    guess = _guess(sample, whole)
    if guess is None:
        raise UserError(
            f"{path} is not UTF-8, and no other encoding fits: name it ({reading.option}encoding)"
        )
    return guess, f"guessed from its letters; {overrule}"


@contextlib.contextmanager
def naming_damage(path: Path, reading: Reading) -> Generator[None]:
    """Turn what reading a damaged file raises into a line for its owner.

    Raises:
        UserError: it is no text in its encoding, does not unpack, or may not be read.
    """
    try:
        try:
            yield
        except UnicodeError:
            raise _undecodable(path, reading) from None  # which reads it again: it may not unpack
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"{path} may not be read: change its permissions") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise UserError(f"{path} is damaged: it does not unpack as gzip") from None
    except csv.Error as error:
        raise UserError(f"{path} is damaged: {error}") from None


def _undecodable(path: Path, reading: Reading) -> UserError:
    encoding, how = find_encoding(path, reading)
    shown = encoding.removesuffix("-sig").upper() if encoding == "utf-8-sig" else encoding
    source = f" ({how.partition(';')[0]})" if how else ""
    return UserError(
        f"{path} is not {shown} text{source}: byte {bad_byte(path, encoding)} does not fit; "
        f"mend that place, or name the file's encoding ({reading.option}encoding)"
    )


def bad_byte(path: Path, encoding: str) -> int:
    """Where a file stops being text. The text layer, which reads ahead, cannot say."""
    decoder, offset, pending = codecs.getincrementaldecoder(encoding)(), 0, 0
    with open_bytes(path) as file:
        for block in _blocks(file):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                return offset - pending + error.start
            except UnicodeError:  # UTF-16 without its mark, to which no byte is to blame
                return offset
            offset += len(block)
            pending = len(decoder.getstate()[0])
    return offset - pending  # the last character is cut short


def _blocks(file: gzip.GzipFile | io.BufferedReader) -> Iterator[bytes]:
    return iter(functools.partial(file.read, SAMPLE), b"")


def _sample(path: Path) -> tuple[bytes, bytes, bool]:
    """The file's head; the same and what is not ASCII behind it; whether that is all of it."""
    with open_bytes(path) as file:
        head = block = file.read(SAMPLE)
        searched = len(head)
        while block and block.isascii() and searched < SEARCHED:
            block = file.read(SAMPLE)
            searched += len(block)
        rest = b"" if block is head else block
        return head, head + rest, not file.read(1)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: in most alphabets every second byte is nearly always zero."""
    zeros = [head[place::2].count(0) / (len(head) / 2 + 1) for place in (0, 1)]
    if max(zeros) < 0.4 or min(zeros) > 0.02:
        return None
    encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return encoding if _decodes(head, encoding, whole=False) else None


def _is_utf8(sample: bytes, whole: bool) -> bool:
    """Whether bytes are UTF-8, be it damaged in a place or two: that is an error, and no guess."""
    if _decodes(sample, "utf-8", whole):
        return True
    text = sample.decode("utf-8", errors="replace")
    bad = text.count("\ufffd")
    # In another encoding a letter hardly ever looks like a character of UTF-8.
    return sum(not char.isascii() for char in text) - bad >= bad


def _decodes(data: bytes, encoding: str, whole: bool) -> bool:
    """Whether bytes are text in an encoding; their last character may be cut unless `whole`."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(data, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _guess(sample: bytes, whole: bool) -> str | None:
    """The likeliest of the encodings in which a sample is text."""
    from charset_normalizer import from_bytes

    candidates = [name for name in (*_BY_BYTES, *_BY_PAIRS) if _decodes(sample, name, whole)]
    if not candidates:
        return None
    telling = _telling(sample)
    # A character that is cut short at the end would rule the right encoding out.
    for end in range(len(telling), max(0, len(telling) - 4), -1):
        results = list(from_bytes(telling[:end], cp_isolation=candidates))
        if results:
            equals = [r.encoding for r in results if r.chaos <= results[0].chaos + _EQUAL]
            latin = [name for name in _LATIN if name in candidates]
            if equals[0] in latin:
                return max(latin, key=lambda name: _share_of_letters(telling, name))
            # Any bytes are letters of Thai; hardly any are all of them pairs of another encoding.
            return next((name for name in equals if name in _BY_PAIRS), equals[0])
    return None


def _telling(sample: bytes) -> bytes:
    """The lines of a sample that are not ASCII, as many as a guess needs."""
    lines: list[bytes] = []
    length = 0
    for line in sample.split(b"\n"):
        if not line.isascii():
            # In every candidate the first byte beyond ASCII begins a character.
            start = next(place for place, byte in enumerate(line) if byte > 127)
            lines.append(line[max(0, start - 100) : start + GUESSED_FROM])
            length += len(lines[-1])
        if length >= GUESSED_FROM:
            break
    return b"\n".join(lines)


def _share_of_letters(data: bytes, encoding: str) -> float:
    """How many of the letters beyond ASCII one language has, of the best language."""
    letters = [char for char in data.decode(encoding, "replace").lower() if not char.isascii()]
    letters = [char for char in letters if char.isalpha() or char == "\ufffd"]
    known = max(sum(char in alphabet for char in letters) for alphabet in _LATIN[encoding])
    return known / max(1, len(letters))
