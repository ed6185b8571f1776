"""Repair of wrong decodings: UTF-8 that was read as Latin-1 or Windows-1252 (mojibake).

Text that has nothing wrong with it comes back as it is: a rule that harms good text is worse than
none. Not here: spelling variants of one character (`normalize`). Chapter 01 teaches this.
"""

import re
import unicodedata

_CP1252 = {
    bytes([value]).decode("cp1252"): value
    for value in range(0x80, 0xA0)
    if value not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
"""The characters by which Windows fills the range that Latin-1 leaves to controls."""

_TO_BYTE = {**{chr(value): value for value in range(0x80, 0x100)}, **_CP1252}
_CONTINUATION = "\x80-\xbf" + "".join(_CP1252)
_SEQUENCE = re.compile(
    f"[\xc2-\xdf][{_CONTINUATION}]|[\xe0-\xef][{_CONTINUATION}]{{2}}"
    f"|[\xf0-\xf4][{_CONTINUATION}]{{3}}"
)
"""A character in UTF-8, two to four bytes, each read as a character of Latin-1 or Windows-1252."""

_RUN = re.compile(f"(?:{_SEQUENCE.pattern})+")
_HARMLESS = set("\xa0\xad«»‘’“”‹›…–—°·•™±§¶¡¿†‡‚„")
"""Signs that may follow a letter with an accent in correct text: `voilà »`, `„Spaß“`, `1 Å±2`."""

_C1 = re.compile("[\x80-\x84\x86-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]+")
_MOST_LAYERS = 4


def repair(text: str) -> str:
    """Undo UTF-8 that was read as Latin-1 or Windows-1252, even several times over.

    `cafÃ© â€œauÂ laitâ€\x9d` becomes `café “au lait”`. Characters that spell a character in UTF-8
    are put back where they cannot be meant: where no writer puts the second after the first, or in
    company of such. Correct text comes back as it is. Two halves of a character outside the basic
    plane (surrogates) are joined, and a half without its other becomes U+FFFD.
    """
    if text.isascii():
        return text
    text = _SURROGATES.sub(_join_surrogates, text)
    for _ in range(_MOST_LAYERS):
        once = _peel(text)
        if once == text:
            break
        text = once
    return _C1.sub(lambda found: _read_as_windows(found[0]), text)


def _peel(text: str) -> str:
    """Take off one layer of wrong decoding."""
    if not _SEQUENCE.search(text):
        return text
    strong = any(_cannot_be_meant(run) for run in _RUN.finditer(text))
    if not strong:
        return text
    # A sign that spells nothing shows that not all of the text was misread.
    mixed = not _RUN.sub("", text).isascii()

    def put_back(run: re.Match[str]) -> str:
        return _decode(run[0]) if not mixed or _cannot_be_meant(run) else run[0]

    return _RUN.sub(put_back, text)


def _cannot_be_meant(run: re.Match[str]) -> bool:
    """Whether a run of sequences makes no sense as the characters that it consists of."""
    before = run.string[run.start() - 1 : run.start()]
    sequences = _SEQUENCE.findall(run[0])
    if len(sequences) > 2:
        return True
    if run[0][0].isupper() and before.islower():  # a capital inside a word
        return True
    if run[0][0] in "ÂÃ" and not before.isupper() and before not in {*"“‘„‚«‹(["}:
        return True
    if run[0][0] in "×ß" and len(sequences) == 1:  # a product of fractions; a word in capitals
        return False
    return any(sign not in _HARMLESS for sequence in sequences for sign in sequence[1:])


def _decode(run: str) -> str:
    """The characters that a run spells; one that UTF-8 does not allow stays."""
    return _SEQUENCE.sub(lambda found: _decode_one(found[0]), run)


def _decode_one(sequence: str) -> str:
    try:
        character = bytes(_TO_BYTE[sign] for sign in sequence).decode("utf-8")
    except UnicodeDecodeError:
        return sequence
    return sequence if unicodedata.category(character) in ("Cn", "Co") else character


def _read_as_windows(control: str) -> str:
    """What Windows means by a byte that Latin-1 reads as a control character, if anything."""
    return control.encode("latin-1").decode("cp1252", "replace").replace("\ufffd", control)


def _join_surrogates(found: re.Match[str]) -> str:
    return found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
