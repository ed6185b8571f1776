"""What a notebook's cell shows: cards, long lines, and widgets whose words outlive their kernel.

    notebook.show(card)                    a card in a notebook, and its text anywhere else
    print(notebook.wrapped(story))         long lines, broken between words
    notebook.show_live(make, still)        a widget, with what stands in its place without a kernel

Colours are legible on a light page and on a dark one, and nothing is said by colour alone. IPython
is imported when something is shown, not before. Not here: what the saved file keeps of a widget
(`saved_notebooks.py`), the questions (`quiz.py`), the checks (`checks/`).
"""

import html
import re
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
LIVE = {"llmcourse": {"live": True}}
"""The metadata of an output that is nothing without its kernel."""

LINE_WIDTH = 88
"""Characters of a printed line: what a notebook's column holds."""

Tone = Literal["right", "wrong", "open", "plain"]
COLORS: dict[Tone, str] = {
    "right": "#1a7f37",
    "wrong": "#b35900",
    "open": "#6a737d",
    "plain": "#1668a8",
}
"""The edge of a card and the ground of its bold word; white words on it have a contrast of 4.5."""

_CARD = (
    "border:1px solid rgba(128,128,128,.35);border-left:5px solid {color};border-radius:4px;"
    "margin:4px 0;padding:6px 12px;max-width:56em"
)
_BADGE = "background:{color};color:#ffffff;border-radius:3px;padding:1px 7px"
_LINE = "margin:5px 0 0 0;white-space:pre-wrap;overflow-wrap:break-word"
_TABLE = "border-collapse:collapse;margin:6px 0 0 0"
_CELL = "padding:1px 14px 1px 0;vertical-align:top;border:0"
_MARK = "color:{color};text-decoration:underline"
_STRESSED = re.compile(r"(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])")
"""Words between two stars, not the stars of a product."""

# Where a widget lives, what stands in its place without a kernel stays out of sight; when the
# kernel ends under an open page, the two change places.
_LIVE_STYLE = """<style>
.jp-OutputArea-child:has(
  + .jp-OutputArea-child .llmcourse-live:not(.jupyter-widgets-disconnected)) {display: none}
.llmcourse-live.jupyter-widgets-disconnected {display: none}
body:not(:has(.jp-OutputArea)) .llmcourse-still {display: none}
</style>"""


@dataclass(frozen=True)
class Part:
    """A piece of what a table's row shows, marked if it is what the reader is to look at."""

    text: str
    marked: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a card's table: a label, and what stands beside it."""

    label: str
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """What stands beside the label, in plain text, with its marks: `>0.5<`."""
        return "".join(f">{part.text}<" if part.marked else part.text for part in self.parts)


def plain_table(rows: tuple[Row, ...], indent: str = "") -> str:
    """A card's table in plain text, its columns aligned."""
    width = max((len(row.label) for row in rows), default=0)
    return "\n".join(
        f"{indent}{row.label:<{width}}  "
        + row.text.replace("\n", "\n" + " " * (len(indent) + width + 2))
        for row in rows
    )


@dataclass(frozen=True)
class Card:
    """A framed reply: a bold word, what it is about, a title in bold, and lines below.

    Attributes:
        tone: which colour its edge has.
        word: the verdict in a word or two.
        text: all of it in plain text.
        name: what is judged, drawn as code; empty for nothing.
        title: what was found, such as the name of a mistake; empty for nothing.
        lines: what explains it.
        table: a small table below the lines.
        link: what the last line says and where it leads; empty for none.
    """

    tone: Tone
    word: str
    text: str
    name: str = ""
    title: str = ""
    lines: tuple[str, ...] = ()
    table: tuple[Row, ...] = ()
    link: tuple[str, str] | None = None

    def __str__(self) -> str:
        return self.text

    def to_html(self) -> str:
        """The card in HTML, which needs no style sheet."""
        name = f" <code>{html.escape(self.name)}</code>" if self.name else ""
        title = f" <strong>{markup(self.title, stars=False)}</strong>" if self.title else ""
        head = f"<div>{badge(self.tone, self.word)}{name}{title}</div>"
        lines = (f'<div style="{_LINE}">{markup(line, stars=False)}</div>' for line in self.lines)
        return framed(head + "".join(lines) + self._table() + self._link(), self.tone)

    def _table(self) -> str:
        """The table in HTML; what is marked is bold, underlined and coloured."""
        if not self.table:
            return ""
        mark = f'<b style="{_MARK.format(color=COLORS[self.tone])}">{{}}</b>'
        rows = (
            f'<tr><th style="{_CELL};text-align:left">{html.escape(row.label)}</th>'
            f'<td style="{_CELL};text-align:left;font-family:monospace;white-space:pre-wrap">'
            + "".join(
                mark.format(html.escape(part.text)) if part.marked else html.escape(part.text)
                for part in row.parts
            )
            + "</td></tr>"
            for row in self.table
        )
        return f'<table style="{_TABLE}">{"".join(rows)}</table>'

    def _link(self) -> str:
        if self.link is None:
            return ""
        words, target = (html.escape(part) for part in self.link)
        return f'<div style="{_LINE}"><a href="{target}">{words}</a></div>'

    def _repr_mimebundle_(self, **_kwargs: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.to_html()}


def show(card: Any) -> None:
    """Display a card in a notebook; print its text in a script or a terminal."""
    if not has_kernel():
        print(card)
        return
    from IPython.display import display

    display(card)


def framed(content: str, tone: Tone = "plain", attributes: str = "") -> str:
    """HTML in a frame with a coloured edge."""
    style = _CARD.format(color=COLORS[tone])
    return f'<div {attributes}{" " * bool(attributes)}style="{style}">{content}</div>'


def badge(tone: Tone, word: str) -> str:
    """A bold word on a coloured ground, in HTML."""
    return f'<strong style="{_BADGE.format(color=COLORS[tone])}">{html.escape(word)}</strong>'


def markup(text: str, *, stars: bool = True) -> str:
    """Text as HTML: what is special is escaped, `backticks` make code, and *stars* stress."""
    parts = re.split(r"`([^`]+)`", html.escape(text, quote=False))
    if stars:
        parts[::2] = [_STRESSED.sub(r"<em>\1</em>", part) for part in parts[::2]]
    parts[1::2] = [f"<code>{code}</code>" for code in parts[1::2]]
    return "".join(parts)


def unmarked(text: str) -> str:
    """The same text without its backticks and stars, for where no markup is drawn."""
    parts = text.split("`")
    parts[::2] = [_STRESSED.sub(r"\1", part) for part in parts[::2]]
    return "".join(parts)


def wrapped(text: Any, *, indent: str = "", width: int = LINE_WIDTH) -> str:
    """Text with its long lines broken between words, each new line after `indent`.

    A notebook would break them at the page's edge, in the middle of a word. Lines that fit stay as
    they are, spaces and all.
    """
    lines = str(text).split("\n")
    return "\n".join(
        line
        if len(line) <= width
        else textwrap.fill(
            line,
            width,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            replace_whitespace=False,
        )
        for line in lines
    )


def has_kernel() -> bool:
    """Whether this runs in a notebook's kernel, which can display and answer to a click."""
    ipython = sys.modules.get("IPython")  # never imported for the question's sake
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


@dataclass
class Still:
    """What stands in a widget's place where no kernel runs: an output that can be renewed.

    It stands above the widget, out of sight while the widget lives, and is saved with the notebook.
    """

    bundle: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    _handle: Any = field(default=None, init=False, repr=False)

    def show(self) -> None:
        """Display it, as an output of the cell that runs."""
        from IPython.display import display

        self._handle = display(self.bundle, raw=True, metadata=self.metadata, display_id=True)

    def renew(self, bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Put something else in the place of what was shown, in the page and in what it saves."""
        self.bundle, self.metadata = bundle, metadata or {}
        if self._handle is not None and has_kernel():
            self._handle.update(self.bundle, raw=True, metadata=self.metadata)


def show_live(make: Callable[[], Any], still: Still) -> None:
    """Display the widget that `make` makes, and in an output of its own its still.

    A page that finds no kernel (a clone, a notebook opened again the next day) shows the error
    "model not found" for a widget, and nothing else of that output. So the two are two outputs.
    Where no kernel runs now, nothing is made.
    """
    still.show()
    if not has_kernel():
        return
    import ipywidgets
    from IPython.display import display

    style = ipywidgets.HTML(_LIVE_STYLE, layout={"display": "none"})
    alive = ipywidgets.VBox([style, make()])
    alive.add_class("llmcourse-live")
    view = alive._repr_mimebundle_()[WIDGET_VIEW]
    display({WIDGET_VIEW: view}, raw=True, metadata=LIVE)
