"""Figures in tests: no window, the course's own style, and nothing left open."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from llmcourse.viz import style

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _figures():
    with mpl.rc_context():
        style.use()
        yield
        faint = [text for number in plt.get_fignums() for text in faint_texts(plt.figure(number))]
    plt.close("all")
    assert not faint


def faint_texts(drawn):
    """Texts of a figure that have too little contrast with the page, but for white ones on dark."""
    return [
        (text.get_text(), text.get_color())
        for text in drawn.findobj(Text)
        if text.get_text() and text.get_visible() and text.get_color() != "white"
        if style.contrast(text.get_color(), "white") < style.READABLE
    ]


@pytest.fixture
def drawings(monkeypatch):
    """The figures that were drawn, one entry a drawing."""
    drawn = []
    draw = FigureCanvasAgg.draw

    def counted(canvas):
        drawn.append(canvas.figure)
        draw(canvas)

    monkeypatch.setattr(FigureCanvasAgg, "draw", counted)
    return drawn
