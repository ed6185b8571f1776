"""Text cut into tokens, each in a box of its own with its id beneath.

Boxes have borders and neighbours have different tints, so that the cuts are seen without colour
too. Not here: several tokenizers on one text, and a line to type in (`playground`); the tokenizers
themselves (`tokenizers/`). Chapters 00 and 01 teach what they do.
"""

import html

from IPython.display import display

from llmcourse.tokenizers.base import Tokenizer

_TINTS = ("#dcebf7", "#fbe8d6", "#e8ecef", "#d3e4d9")
_BOX = (
    "display:inline-block;margin:2px 1px;padding:1px 4px;border:1px solid #52606d;"
    "border-radius:4px;color:#1f2933;text-align:center;vertical-align:top;"
    "font-family:var(--jp-code-font-family, monospace);font-size:13px;line-height:1.3;"
)
_ID = "display:block;font-size:10px;color:#52606d;"


class Pieces:
    """A text as a tokenizer sees it, as rich output."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.ids = tokenizer.encode(text)
        self.pieces = [visible(tokenizer.token_bytes(token_id)) for token_id in self.ids]

    def __repr__(self) -> str:
        count = len(self.pieces)
        return f"{count} token{'s' * (count != 1)}: {'|'.join(self.pieces)}"

    def _repr_html_(self) -> str:
        boxes = (self._box(index) for index in range(len(self.pieces)))
        return f'<div style="line-height:1.9">{"".join(boxes)}</div>'

    def _box(self, index: int) -> str:
        piece, tint = html.escape(self.pieces[index]), _TINTS[index % len(_TINTS)]
        number = f'<span style="{_ID}">{self.ids[index]}</span>'
        return f'<span style="{_BOX}background:{tint}">{piece}{number}</span>'


def show(tokenizer: Tokenizer, text: str) -> None:
    """Display a text cut into the tokenizer's pieces, with the ids."""
    display(Pieces(tokenizer, text))


def visible(piece: bytes) -> str:
    """A token's bytes as a reader can see them: `␣` for a space, `⏎` for a new line.

    Bytes that are only a part of a character are written as `<E4>`: it takes several tokens.
    """
    text = piece.decode("utf-8", errors="surrogateescape")
    shown = {" ": "␣", "\n": "⏎", "\t": "→", "\r": "␍"}
    return "".join(
        f"<{ord(letter) - 0xDC00:02X}>"
        if "\udc80" <= letter <= "\udcff"
        else shown.get(letter, letter)
        for letter in text
    )
