"""Figures in tests: no window, the course's own style, and nothing left open."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from llmcourse.viz import style

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _figures():
    with mpl.rc_context():
        style.use()
        yield
    plt.close("all")
