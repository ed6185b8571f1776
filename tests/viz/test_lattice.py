import math

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch

from llmcourse.tokenizers.lattice import UnigramModel
from llmcourse.viz import style
from llmcourse.viz.lattice import draw_lattice

MODEL = UnigramModel({"h": -3.0, "a": -3.0, "t": -3.0, "hat": math.log(0.25), "at": -2.0})


def arrows(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def test_each_piece_that_fits_is_an_arc_with_its_probability():
    ax = draw_lattice(MODEL, "hat")
    labels = [text.get_text() for text in ax.texts]
    assert len(arrows(ax)) == 5
    assert "hat  0.25" in labels
    assert {"h", "a", "t"} <= set(labels)
    plt.close(ax.figure)


def test_the_best_path_alone_is_accented():
    ax = draw_lattice(MODEL, "hath")
    accented = [text.get_text() for text in ax.texts if text.get_color() == style.ACCENT]
    assert sorted(label.split()[0] for label in accented) == ["h", "hat"]
    assert ax.get_title(loc="left") == "The likeliest way: hat + h"
    plt.close(ax.figure)


def test_a_title_of_ones_own_replaces_it():
    ax = draw_lattice(MODEL, "at", title="Two ways")
    assert ax.get_title(loc="left") == "Two ways"
    plt.close(ax.figure)


def test_sums_are_the_ways_to_a_node_and_the_ways_from_it():
    ax = draw_lattice(MODEL, "at", sums=True)
    labels = [text.get_text() for text in ax.texts]
    h, at = math.exp(-3), math.exp(-2)  # a and t are as likely as h
    alphas, betas = (labels[labels.index(name) + 1 :][:3] for name in "αβ")
    assert alphas == ["1", f"{h:.3g}", f"{h * h + at:.3g}"]
    assert betas == [f"{h * h + at:.3g}", f"{h:.3g}", "1"]
    plt.close(ax.figure)


def test_sums_are_written_when_asked_for():
    assert "α" not in [text.get_text() for text in draw_lattice(MODEL, "at").texts]
    plt.close("all")
