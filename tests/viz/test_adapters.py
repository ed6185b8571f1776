import pytest
from matplotlib.colors import to_hex

from llmcourse.errors import UserError
from llmcourse.viz import style
from llmcourse.viz.adapters import learned_tokens, low_rank, quality_and_size, rank_explorer


def test_shapes_are_drawn_to_scale_and_counted():
    ax = low_rank(8, 4, 2)
    sizes = [(patch.get_width(), patch.get_height()) for patch in ax.patches]
    assert sizes == [(4, 8), (2, 8), (4, 2)]  # W, B, A
    assert ax.get_title(loc="left") == "Rank 2: 24 numbers learn, 75% of W's"
    said = {text.get_text() for text in ax.texts}
    assert {"W, held still\n8 × 4", "B, learns\n8 × 2", "A, learns\n2 × 4"} <= said
    with pytest.raises(UserError, match="rank=0 must be at least 1"):
        low_rank(8, 4, 0)


def test_the_explorer_draws_another_rank():
    explorer = rank_explorer(16, 16)
    before = bytes(explorer.picture.value)
    explorer.controls["rank"].value = 8
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before


def test_what_is_paid_for_is_dark_and_ticked():
    _, ax = style.figure()
    learned_tokens(["a", " b", "c"], [False, True, True], ax=ax)
    faces = [to_hex(patch.get_facecolor()) for patch in ax.patches]
    assert faces == [style.GREYS[4], style.ACCENT, style.ACCENT]
    said = [text.get_text() for text in ax.texts]
    assert said.count("✓") == 2
    assert [word for word in said if word != "✓"] == ["a", "␣b", "c"]
    _, below = style.figure()
    learned_tokens(["a", "b", "a"], [False] * 3, line_begins="a", ax=below)
    assert len({patch.get_y() for patch in below.patches}) == 2
    with pytest.raises(UserError, match="1 marks for 2 tokens"):
        learned_tokens(["a", "b"], [True], ax=ax)


def test_each_method_stands_where_it_is_and_by_name():
    ax = quality_and_size({"full": (1000, 97.0), "prompt": (10, 40.0)}, {"guess": 5.0})
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines[:2]]
    assert points == [(10, 40.0), (1000, 97.0)]
    assert {"full", "prompt", "guess"} == {text.get_text() for text in ax.texts}
    assert list(ax.lines[2].get_ydata()) == [5.0, 5.0]
    assert ax.get_xscale() == "log"
    with pytest.raises(UserError, match="base trains nothing"):
        quality_and_size({"base": (0, 5.0)}, {})
