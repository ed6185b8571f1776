import matplotlib.pyplot as plt
import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.labs.tagging import PathScores
from llmcourse.viz import style
from llmcourse.viz.trellis import draw_trellis, trellis_explorer

WORDS, TAGS = ["saw", "Doctor", "Finch"], ["O", "B", "I"]
EMISSIONS = torch.tensor([[4.0, 1, 1], [1, 2, 3], [2, 1, 3]]).log()
SCORES = PathScores(
    torch.tensor([1.0, 1, 0]).log(),
    torch.tensor([[1.0, 1, 0], [1, 1, 2], [1, 1, 1]]).log(),
    torch.zeros(3),
)


def lines(ax, color):
    drawn = [line for line in ax.lines if line.get_color() == color and len(line.get_xdata()) == 2]
    return {(line.get_xdata()[0], *line.get_ydata()) for line in drawn}


def test_the_best_path_is_drawn_and_named():
    ax = draw_trellis(SCORES, EMISSIONS, WORDS, TAGS)
    assert ax.get_title(loc="left") == "Best: O B I (34 %)"  # 48 of 141
    assert lines(ax, style.CONTRAST) == {(0, 0, 1), (1, 1, 2)}


def test_what_is_forbidden_has_no_line():
    ax = draw_trellis(SCORES, EMISSIONS, WORDS, TAGS)
    steps = lines(ax, style.GREYS[3])
    assert len(steps) == 2 * 8
    assert not {(0, 0, 2), (1, 0, 2)} & steps


def test_nodes_hold_the_probability_of_their_tag_or_what_is_given():
    ax = draw_trellis(SCORES, EMISSIONS, WORDS, TAGS)
    labels = [text.get_text() for text in ax.texts]
    assert labels[6:] == ["0.30", "0.15", "0.55"]  # 42, 21 and 78 of 141
    given = torch.arange(9.0).reshape(3, 3)
    ax = draw_trellis(SCORES, EMISSIONS, WORDS, TAGS, written=given, form="{:.0f}", title="Sums")
    assert [text.get_text() for text in ax.texts] == [str(n) for n in range(9)]
    assert ax.get_title(loc="left") == "Sums"
    assert lines(ax, style.CONTRAST) == set()
    plt.close("all")


def test_names_must_fit():
    with pytest.raises(UserError, match="2 words and 3 tags"):
        draw_trellis(SCORES, EMISSIONS, WORDS[:2], TAGS)


def test_a_slider_changes_the_best_path():
    explorer = trellis_explorer(SCORES, EMISSIONS, WORDS, TAGS, at=(2, 0), pair=(1, 2))
    before = bytes(explorer.picture.value)
    explorer.controls["emission"].value = 4.0
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before
    with style.aside():
        drawn = explorer._draw(emission=4.0, transition=-4.0)
    assert drawn.axes[0].get_title(loc="left").startswith("Best: O ")
    assert drawn.axes[0].get_title(loc="left").split()[3] == "O"
