"""Every explorer at the extremes of its controls: drawn where it belongs, and nothing cut off."""

import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tests.explorers import EXPLORERS, troubles


def extremes(control):
    """The values at both ends of a control, or in a text field a short and a long line."""
    if hasattr(control, "min"):
        return [control.min, control.max]
    if hasattr(control, "options"):
        options = [o[1] if isinstance(o, tuple) else o for o in control.options]
        return [options[0], options[-1]]
    return [control.value[:1], control.value * 3, control.value]


@pytest.mark.parametrize("name", EXPLORERS)
def test_at_every_extreme_the_picture_is_whole(name, drawings):
    explorer = EXPLORERS[name]()
    for control in explorer.controls.values():
        for value in extremes(control):
            control.value = value
            assert explorer.message.value == ""
            drawn = drawings[-1]
            box, (width, height) = drawn.get_tightbbox(), drawn.get_size_inches()
            assert -0.01 <= box.x0 <= box.x1 <= width + 0.01
            assert -0.01 <= box.y0 <= box.y1 <= height + 0.01
    assert troubles(explorer) == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_drawing_again_gives_the_same_bytes(name):
    assert troubles(EXPLORERS[name]()) == []


def test_the_layout_is_made_once(drawings):
    """A slider that changes no label leaves the axes where they are."""
    explorer = EXPLORERS["schedules"]()
    places = explorer._layout._axes
    explorer.controls["warmup"].value = 0.3
    assert not isinstance(drawings[-1].get_layout_engine(), ConstrainedLayoutEngine)
    explorer.controls["kind"].value = "linear"
    assert explorer._layout._axes[0].bounds == places[0].bounds


def test_a_collapsed_picture_would_be_noticed(monkeypatch):
    explorer = EXPLORERS["formats"]()
    draw = explorer._draw

    def collapsed(**values):
        drawn = draw(**values)
        drawn.set_layout_engine("none")
        drawn.axes[0].set_position((0.1, 0.1, 0.4, 0.4))
        return drawn

    monkeypatch.setattr(explorer._layout, "reuse", lambda drawn: False)
    monkeypatch.setattr(explorer, "_draw", collapsed)
    explorer.controls["mantissa_bits"].value = 5
    monkeypatch.undo()
    explorer._layout._words = None
    assert troubles(explorer) != []


@pytest.mark.parametrize("name", ["descent", "schedules"])
def test_a_slider_that_does_nothing_cannot_be_moved(name):
    explorer = EXPLORERS[name]()
    for control, value, inert in {
        "descent": [("optimizer", "SGD", ["momentum"]), ("optimizer", "Adam", [])],
        "schedules": [("kind", "cosine", ["decay"]), ("kind", "wsd", [])],
    }[name]:
        explorer.controls[control].value = value
        controls = explorer.controls.items()
        assert [name for name, c in controls if getattr(c, "disabled", False)] == inert
