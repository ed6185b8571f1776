import base64

import matplotlib.pyplot as plt
import pytest

from llmcourse.viz import style, widgets
from llmcourse.viz.widgets import Explorer

PNG = b"\x89PNG\r\n"


def line(slope, label="line"):
    """A plot like a chapter's."""
    if slope == 13:
        plt.figure()  # left behind, half done
        raise ValueError("13 is <unlucky>")
    drawn, ax = style.figure(width=3, height=2)
    ax.plot([0, 1], [0, slope])
    ax.set(ylim=(0, 20), title=label)
    return drawn


@pytest.fixture
def explorer():
    return Explorer(line, slope=widgets.slider(1, 0, 20), label=widgets.text("up"))


def test_the_first_picture_is_the_default_state(explorer):
    assert bytes(explorer.picture.value) == style.png(line(1, "up"))
    assert explorer.values == {"slope": 1, "label": "up"}


def test_moving_a_slider_redraws(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["slope"].value = 5
    assert bytes(explorer.picture.value) == style.png(line(5, "up"))
    assert bytes(explorer.picture.value) != before
    explorer.controls["label"].value = "typed"
    assert bytes(explorer.picture.value) == style.png(line(5, "typed"))


def test_an_error_is_shown_and_the_last_good_picture_stays(explorer):
    before = bytes(explorer.picture.value)
    explorer.controls["slope"].value = 13
    assert "ValueError: 13 is &lt;unlucky&gt;" in explorer.message.value
    assert 'role="alert"' in explorer.message.value
    assert bytes(explorer.picture.value) == before
    explorer.controls["slope"].value = 2
    assert explorer.message.value == ""


def test_an_error_in_the_default_state_is_raised():
    with pytest.raises(ValueError, match="unlucky"):
        Explorer(line, slope=widgets.slider(13, 0, 20))


def test_no_figure_is_left_open(explorer):
    mine, _ = style.figure()
    for slope in [*range(13), 13, *range(14, 20)]:  # more than matplotlib's limit of twenty
        explorer.controls["slope"].value = slope
    assert plt.get_fignums() == [mine.number]


def test_pages_without_a_kernel_get_the_picture(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == bytes(explorer.picture.value)
    assert bytes(explorer.picture.value).startswith(PNG)
    assert bundle["text/plain"] == "Explorer(slope=1, label='up')"
    assert set(bundle) == {"image/png", "text/plain"}
    assert metadata == {"image/png": {"width": 300, "height": 200}}


def test_the_last_picture_takes_the_place_of_the_first(explorer, monkeypatch):
    renewed = []
    monkeypatch.setattr("llmcourse.notebook.show_live", lambda make, still: make())
    monkeypatch.setattr("llmcourse.notebook.Still.renew", lambda _, *bundle: renewed.append(bundle))
    explorer._ipython_display_()
    assert renewed == []
    explorer.controls["slope"].value = 3
    assert renewed == [explorer._repr_mimebundle_()]
    assert renewed[0][0]["text/plain"] == "Explorer(slope=3, label='up')"


def test_controls_are_named(explorer):
    named = Explorer(lambda n_heads: line(n_heads), n_heads=widgets.choice([1, 2], 2))
    assert named.controls["n_heads"].description == "n heads"
    assert explorer.children[-1] is explorer.picture


def test_controls_keep_the_type_of_their_numbers():
    assert type(widgets.slider(1, 0, 4).value) is int
    assert type(widgets.slider(1.0, 0, 4).value) is float
    assert type(widgets.slider(1, 0, 4, step=0.5).value) is float
    assert widgets.slider(1.0, 0.0, 4.0).step == pytest.approx(0.04)
    assert widgets.choice(range(3)).value == 0
    assert widgets.choice([("one", 1), ("two", 2)], 2).value == 2


def test_typing_waits_for_enter():
    assert widgets.text("x").continuous_update is False


def test_a_move_draws_once(explorer, drawings):
    """A hand is quicker than a picture that is drawn twice."""
    for slope in (3, 4, 5):
        explorer.controls["slope"].value = slope
    assert len(drawings) == 3
