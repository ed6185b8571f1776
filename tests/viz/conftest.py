"""Figures in tests: no window, the course's own style, and nothing left open."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from llmcourse.viz import style

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _figures():
    with mpl.rc_context():
        style.use()
        yield
    plt.close("all")


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
