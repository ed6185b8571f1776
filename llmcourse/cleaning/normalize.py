"""Normalisation, one spelling for what looks the same: characters, line ends and blanks.

A model that meets `é` as one code point here and as two there, or a blank of seven different kinds,
learns the same thing seven times. Nothing that a reader can see is lost. Not here: text that was
decoded wrongly, or that is not worth reading (`repair`, `quality`). Chapter 01 teaches this.
"""

import re
import unicodedata

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u2060\ufeff]")
_BLANKS_AT_LINE_ENDS = re.compile(r"(?<![ \t])[ \t]+(?=\n|\Z)")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalize(text: str) -> str:
    r"""The text in one spelling; `normalize(normalize(text)) == normalize(text)`.

    In this order: every line end becomes `\n`, and every kind of blank a plain one (tabs stay).
    Control characters, soft hyphens, blanks of no width and byte-order marks go. Letters and their
    accents are composed (Unicode's form NFC). Blanks at the ends of lines go, of several blank
    lines one stays, and none at the text's ends.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _SPACES.sub(" ", text))
    text = _BLANKS_AT_LINE_ENDS.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")
