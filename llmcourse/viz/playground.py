"""One text, cut by several tokenizers side by side, and a playground to type in.

It is HTML, not a picture: letters of every script show in the reader's own fonts. Where no kernel
runs, the notebook shows the text that the playground began with. Not here: one tokenizer's boxes
(`tokens`), and explorers that draw figures (`widgets`). Chapter 01 uses it.
"""

import html
from collections.abc import Mapping
from typing import Any

import ipywidgets
from IPython.display import display

from llmcourse import notebook
from llmcourse.errors import UserError
from llmcourse.evaluate.fertility import Lengths, lengths
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.viz.tokens import Pieces
from llmcourse.viz.widgets import follow

MOST_CHARACTERS = 600
"""What is typed or pasted beyond this is counted, but not drawn."""

_CARD = (
    "flex:1 1 20em;min-width:0;border:1px solid var(--jp-border-color2, #c5cdd5);"
    "border-radius:6px;padding:6px 10px;"
)
_NOTE = "font-size:12px;color:var(--jp-ui-font-color2, #52606d);"


class Comparison:
    """A text as several tokenizers see it, as rich output: boxes and counts.

    Raises:
        UserError: there is no tokenizer.
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str) -> None:
        if not tokenizers:
            raise UserError("nothing to compare: give at least one tokenizer, by name")
        self.tokenizers, self.text = tokenizers, text
        self.lengths = {name: lengths(each, [text]) for name, each in tokenizers.items()}

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {found.tokens}" for name, found in self.lengths.items())
        return f"tokens: {counts}"

    def _repr_html_(self) -> str:
        cards = "".join(self._card(name) for name in self.tokenizers)
        return f'<div style="display:flex;flex-wrap:wrap;gap:8px">{cards}</div>'

    def _card(self, name: str) -> str:
        pieces = Pieces(self.tokenizers[name], self.text[:MOST_CHARACTERS])
        left_out = len(self.text) - MOST_CHARACTERS
        more = f'<div style="{_NOTE}">… and {left_out:,} characters</div>' if left_out > 0 else ""
        size = f"{self.tokenizers[name].vocab_size:,} ids"
        head = f'<strong>{html.escape(name)}</strong> <span style="{_NOTE}">{size}</span>'
        counts = f'<div style="{_NOTE}">{html.escape(in_words(self.lengths[name]))}</div>'
        return f'<div style="{_CARD}">{head}{counts}{pieces._repr_html_()}{more}</div>'


class Playground(ipywidgets.VBox):
    """A field to type in, over the text as several tokenizers cut it; it follows every key.

    Attributes:
        field: where to type.
        comparison: what is shown.
        message: what went wrong with the last change; empty while all is well.
    """

    def __init__(self, tokenizers: Mapping[str, Tokenizer], text: str) -> None:
        self._tokenizers = tokenizers
        self.field = ipywidgets.Textarea(
            value=text, description="text", layout={"width": "min(100%, 48em)", "height": "5em"}
        )
        self._page = ipywidgets.HTML()
        self.message = ipywidgets.HTML()
        self._show()
        super().__init__([self.field, self.message, self._page])
        follow([self.field], self._show, self.message)

    def _show(self) -> None:
        self.comparison = Comparison(self._tokenizers, self.field.value)
        self._page.value = self.comparison._repr_html_()

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, Any]:
        """What a page without a kernel shows: the text as it is cut now."""
        plain = f"Playground({self.comparison!r})"
        return {"text/plain": plain, "text/html": self.comparison._repr_html_()}

    def _ipython_display_(self) -> None:
        """Show it, and in its place where no kernel runs what it showed last."""
        still = notebook.Still(self._repr_mimebundle_())
        notebook.show_live(lambda: self, still)
        self._page.observe(lambda _: still.renew(self._repr_mimebundle_()), names="value")


def compare(tokenizers: Mapping[str, Tokenizer], text: str) -> None:
    """Display a text cut by each of the named tokenizers, with their counts.

    Raises:
        UserError: there is no tokenizer.
    """
    display(Comparison(tokenizers, text))


def in_words(found: Lengths) -> str:
    """The counts in a line: tokens, tokens per word, bytes per token; the undefined left out."""
    parts = [f"{found.tokens:,} token{'s' * (found.tokens != 1)}"]
    if found.words:
        parts.append(f"{found.fertility:.2f} per word")
    if found.tokens:
        parts.append(f"{found.bytes_per_token:.2f} bytes per token")
    return " · ".join(parts)
