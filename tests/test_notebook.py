import sys
from types import SimpleNamespace

import ipywidgets
import pytest

from llmcourse import notebook
from llmcourse.notebook import COLORS, LIVE, WIDGET_VIEW, Card, Still, markup, unmarked, wrapped


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, and what takes its place later."""
    found = []

    def display(thing, **options):
        found.append((thing, options))
        return SimpleNamespace(update=lambda new, **_: found.append((new, "renewed")))

    monkeypatch.setattr("IPython.display.display", display)
    return found


CARD = Card("wrong", "✗ Not yet", "✗ mix: a\n  b", "mix", "no `exp`", ("a < b * c * d", "see `x`"))


def test_a_card_says_the_same_in_both_forms(live, shown, capsys):
    assert CARD._repr_mimebundle_() == {"text/plain": CARD.text, "text/html": CARD.to_html()}
    notebook.show(CARD)
    assert shown == [(CARD, {})]
    assert capsys.readouterr().out == ""


def test_without_a_notebook_a_card_is_printed(shown, capsys):
    notebook.show(CARD)
    assert capsys.readouterr().out == CARD.text + "\n"
    assert shown == []


def test_a_card_escapes_and_marks_code():
    page = CARD.to_html()
    assert "<code>mix</code> <strong>no <code>exp</code></strong>" in page
    assert "a &lt; b * c * d</div>" in page
    assert ">✗ Not yet</strong>" in page


def luminance(color: str) -> float:
    """Relative luminance, as WCAG 2 defines it."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("tone", COLORS)
def test_badges_and_edges_are_legible_on_light_and_dark_pages(tone):
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast(COLORS[tone], "#ffffff") >= 4.5  # the badge's words
    assert contrast(COLORS[tone], "#111111") >= 3  # the edge, on JupyterLab's dark page


@pytest.mark.parametrize(
    ("written", "drawn", "plain"),
    [
        ("met *Un!*, a `w*o*rd`", "met <em>Un!</em>, a <code>w*o*rd</code>", "met Un!, a w*o*rd"),
        ("3 * 4 * 5 and a*b*c", "3 * 4 * 5 and a*b*c", "3 * 4 * 5 and a*b*c"),
        ("a < b & c's", "a &lt; b &amp; c's", "a < b & c's"),
    ],
)
def test_markup_is_drawn_or_taken_away(written, drawn, plain):
    assert markup(written) == drawn
    assert unmarked(written) == plain


def test_long_lines_break_between_words_and_short_ones_stay():
    long = " ".join(["word"] * 40)
    lines = wrapped(f"two  spaces\n{long}", indent="  ").split("\n")
    assert lines[0] == "two  spaces"
    assert max(map(len, lines)) <= notebook.LINE_WIDTH
    assert all(line.startswith("  word") for line in lines[2:])
    assert " ".join(" ".join(lines[1:]).split()) == long
    assert wrapped("x" * 200) == "x" * 200
    assert wrapped(["a", "b"]) == "['a', 'b']"


def test_a_widget_and_its_still_are_two_outputs(live, shown):
    still = Still({"text/plain": "words"}, {"a": 1})
    notebook.show_live(lambda: ipywidgets.HTML("alive"), still)
    (first, options), (second, marked) = shown
    assert first == {"text/plain": "words"}
    assert options["metadata"] == {"a": 1}
    assert set(second) == {WIDGET_VIEW}
    assert marked["metadata"] == LIVE
    still.renew({"text/plain": "others"})
    assert shown[-1] == ({"text/plain": "others"}, "renewed")


def test_without_a_kernel_no_widget_is_made(shown):
    still = Still({"text/plain": "words"})
    notebook.show_live(lambda: pytest.fail("made"), still)
    still.renew({"text/plain": "others"})
    assert len(shown) == 1


def test_a_kernel_is_known_by_its_shell(monkeypatch):
    for shell, known in ((SimpleNamespace(kernel=1), True), (SimpleNamespace(), False)):
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert notebook.has_kernel() is known
    monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.has_kernel()
