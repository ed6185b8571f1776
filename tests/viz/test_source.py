import functools
import html
import inspect
import re

import pytest

from llmcourse import shapes
from llmcourse.errors import UserError, nearest
from llmcourse.viz import source
from llmcourse.viz.source import Source


def shown_text(rich):
    """What stands in the boxes of code, those that unfold with the others."""
    parts = re.findall(r"<pre[^>]*>(.*?)</pre>", rich, re.DOTALL)
    return "\n".join(html.unescape(re.sub(r"<[^>]+>", "", part)) for part in parts)


def long_function(n_lines):
    text = "\n".join(f"    line {number}" for number in range(n_lines - 3))
    return f'def f():\n    """Words.\n{text}\n    """'


@pytest.mark.parametrize("target", [nearest, UserError, shapes, Source])
def test_the_code_is_shown_whole(target):
    rich = Source(target)._repr_html_()
    assert shown_text(rich) == inspect.getsource(target).rstrip("\n")
    assert target.__doc__.strip() in shown_text(rich)


def test_markup_in_the_code_stays_text():
    code = 's = "<b>&amp;</b>"  # <script>'
    rich, rest = source.highlight(code, 1)
    assert not rest
    assert "<b>" not in rich
    assert "<script>" not in rich
    assert html.unescape(re.sub(r"<[^>]+>", "", rich)) == code


def test_the_fallback_names_file_and_length_and_nothing_that_drifts():
    text = repr(Source(nearest))
    lines = len(inspect.getsource(nearest).splitlines())
    assert text == f"llmcourse/errors.py: nearest, {lines} lines"
    assert repr(Source(shapes)).startswith("llmcourse/shapes.py: ")


def test_no_address_path_or_line_number_shows():
    rich = Source(nearest)._repr_html_() + repr(Source(nearest))
    assert "0x" not in rich
    assert shapes.__file__.rpartition("llmcourse")[0] not in rich


def test_a_wrapped_function_shows_what_it_wraps():
    cached = functools.lru_cache(nearest)
    assert Source(cached).code == Source(nearest).code


def test_methods_lose_their_indent():
    assert Source(Source.__repr__).code.startswith("def __repr__")


@pytest.mark.parametrize("target", [len, 3, "text"])
def test_what_has_no_source_says_so(target):
    with pytest.raises(UserError, match="no Python source"):
        source.show(target)


def test_show_displays_once(capsys):
    source.show(nearest)  # outside a notebook the plain text is printed
    assert capsys.readouterr().out.count("llmcourse/errors.py") == 1


@pytest.mark.parametrize("n_lines", [source.MOST_LINES, source.MOST_LINES + 1, 123])
def test_long_code_unfolds_without_a_kernel(monkeypatch, n_lines):
    code = long_function(n_lines)
    shown = Source(nearest)
    monkeypatch.setattr(shown, "code", code)
    rich = shown._repr_html_()
    assert shown_text(rich) == code
    before, _, folded = rich.partition("<details>")
    if n_lines <= source.MOST_LINES:
        assert not folded
        return
    assert shown_text(before).count("\n") + 1 == source.FIRST_LINES
    assert f"{n_lines - source.FIRST_LINES} more lines</summary>" in folded
    colors = re.findall(r'<span style="([^"]*)"', folded)
    assert colors == [
        re.search(r'<span style="([^"]*string[^"]*)"', before)[1]
    ]  # still a docstring


def test_lines_never_break():
    assert "white-space:pre;" in Source(nearest)._repr_html_()
