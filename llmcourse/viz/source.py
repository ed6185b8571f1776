"""Show a function's or a class's source in a notebook, as it stands in the package.

A chapter never pastes code that the package holds: it shows it. So what is read is what runs. The
colours are those of the reader's own editor theme, and what is long unfolds, with or without a
kernel. Not here: drawing (the sibling modules).
"""

import html
import inspect
import itertools
import textwrap
from types import ModuleType
from typing import Any

from IPython.display import display
from pygments.lexers.python import PythonLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, String

from llmcourse.errors import UserError

# JupyterLab's own variables, so that dark themes work; the second value is for pages without them.
_COLORS = (
    (Comment, "var(--jp-mirror-editor-comment-color, #5a7a7a)"),
    (Keyword, "var(--jp-mirror-editor-keyword-color, #0b6b2e)"),
    (Operator.Word, "var(--jp-mirror-editor-keyword-color, #0b6b2e)"),
    (Name.Builtin, "var(--jp-mirror-editor-builtin-color, #0b6b2e)"),
    (Name.Function, "var(--jp-mirror-editor-def-color, #0000ff)"),
    (Name.Class, "var(--jp-mirror-editor-def-color, #0000ff)"),
    (Name.Decorator, "var(--jp-mirror-editor-meta-color, #8a3cc6)"),
    (String, "var(--jp-mirror-editor-string-color, #a31f1f)"),
    (Number, "var(--jp-mirror-editor-number-color, #0b6b2e)"),
)
_PRE = (
    "margin:0;padding:8px 12px;overflow-x:auto;line-height:1.35;white-space:pre;"
    "font-family:var(--jp-code-font-family, monospace);font-size:var(--jp-code-font-size, 13px);"
    "border-left:3px solid var(--jp-brand-color1, #1668a8);"
)
_SUMMARY = "cursor:pointer;padding:4px 12px;font-size:13px;color:var(--jp-ui-font-color2, #52606d);"
MOST_LINES = 40
"""Longer sources are folded."""
FIRST_LINES = 25
"""So many lines of a folded source are in sight."""
_CAPTION = "margin:0 0 4px;font-size:12px;color:var(--jp-ui-font-color2, #52606d);"


class Source:
    """The source of a function, class or module, as rich output.

    Raises:
        UserError: the object has no Python source (it is built in, or a value).
    """

    def __init__(self, target: Any) -> None:
        self.target = target
        try:
            self.code = textwrap.dedent(inspect.getsource(self.target)).rstrip("\n")
        except (TypeError, OSError):
            raise UserError(
                f"{target!r} has no Python source to show: give a function, a class or a module"
            ) from None

    @property
    def place(self) -> str:
        """The file, relative to where packages are installed: `llmcourse/nn/attention.py`."""
        module = _module_name(self.target)
        return "this notebook" if module == "__main__" else module.replace(".", "/") + ".py"

    def __repr__(self) -> str:
        name = "" if isinstance(self.target, ModuleType) else f"{self.target.__qualname__}, "
        lines = self.code.count("\n") + 1
        return f"{self.place}: {name}{lines} line{'s' * (lines > 1)}"

    def _repr_html_(self) -> str:
        n_lines = self.code.count("\n") + 1
        first, rest = highlight(self.code, FIRST_LINES if n_lines > MOST_LINES else n_lines)
        folded = (
            f'<details><summary style="{_SUMMARY}">{n_lines - FIRST_LINES} more lines</summary>'
            f'<pre style="{_PRE}">{rest}</pre></details>'
        )
        return (
            f'<div><p style="{_CAPTION}">{html.escape(repr(self))}</p>'
            f'<pre style="{_PRE}">{first}</pre>{folded if rest else ""}</div>'
        )


def show(target: Any) -> None:
    """Display the source of a function, class or module, docstring and all.

    Raises:
        UserError: the object has no Python source.
    """
    display(Source(target))


def highlight(code: str, n_lines: int) -> tuple[str, str]:
    """The first lines of Python code, and the rest, as HTML: equal code gives equal HTML."""
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    pieces = [
        (_color(kind), piece)
        for kind, text in lexer.get_tokens(code)
        for piece in text.splitlines(keepends=True)
    ]
    # A docstring goes on across the cut, so the tokens are cut, not the text.
    ends = itertools.accumulate(piece.endswith("\n") for _, piece in pieces)
    cut = sum(end < n_lines for end in ends) + 1
    first, rest = pieces[:cut], pieces[cut:]
    if rest:  # the last line break would be an empty line above the fold
        first[-1] = (first[-1][0], first[-1][1].removesuffix("\n"))
    return _colored(first), _colored(rest)


def _colored(pieces: list[tuple[str | None, str]]) -> str:
    """Pieces of code with their colours as HTML, one span for neighbours of one colour."""
    runs = itertools.groupby(pieces, key=lambda piece: piece[0])
    return "".join(_span(color, "".join(text for _, text in run)) for color, run in runs)


def _color(kind: Any) -> str | None:
    return next((color for ancestor, color in _COLORS if kind in ancestor), None)


def _span(color: str | None, text: str) -> str:
    escaped = html.escape(text, quote=False)
    return f'<span style="color:{color}">{escaped}</span>' if color else escaped


def _module_name(target: Any) -> str:
    return target.__name__ if isinstance(target, ModuleType) else target.__module__
