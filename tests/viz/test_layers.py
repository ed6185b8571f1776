import pytest

from llmcourse.errors import UserError
from llmcourse.viz import layers


def test_rates_are_those_of_the_method_the_decay_and_the_schedule():
    assert layers.rates_at("full", 2, 0.5, 0.1) == pytest.approx([0.125, 0.25, 0.5, 1.0])
    assert layers.rates_at("frozen", 2, 0.5, 0.1) == pytest.approx([0, 0, 0, 1.0])
    assert layers.rates_at("gradual", 2, 1.0, 0.55) == pytest.approx([0.5] * 4)
    assert layers.rates_at("gradual", 2, 1.0, 0.0) == [0.0] * 4  # the warm-up begins at zero


def test_the_picture_has_a_bar_for_each_layer_and_says_who_is_frozen():
    ax = layers.layer_rates("gradual", 2, 0.5, 0.2)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "embeddings",
        "block 1",
        "block 2",
        "head",
    ]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == pytest.approx(layers.rates_at("gradual", 2, 0.5, 0.2))
    assert [text.get_text() for text in ax.texts].count("frozen") == 2
    assert "2 of 4 layers move" in ax.get_title(loc="left")


def test_the_explorer_draws_what_its_controls_say():
    explorer = layers.layer_explorer(2)
    explorer.controls["method"].value = "frozen"
    title = explorer._draw(**explorer.values).axes[0].get_title(loc="left")
    assert title == "frozen, 20% of the run: 1 of 4 layers move"


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="frosen"):
        layers.rates_at("frosen", 2, 0.5, 0.5)
