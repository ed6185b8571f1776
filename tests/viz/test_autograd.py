import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import FancyArrowPatch

from llmcourse.gradients.scalar import Value
from llmcourse.viz import autograd, style


@pytest.fixture
def product_and_sum():
    x, y = Value(2.0), Value(3.0)
    product = x * y
    end = product + x
    end.backward()
    yield autograd.graph(end, {"x": x, "y": y, "z": end})
    plt.close("all")


def words(ax):
    """What is written in ink, without the boxes' invisible copies."""
    texts = [text for text in ax.texts if text.get_color() != "none"]
    return sorted(line for text in texts for line in text.get_text().split("\n") if line.strip())


def test_each_node_shows_its_order_its_value_and_its_gradient(product_and_sum):
    found = words(product_and_sum)
    assert {"1. x", "2. y", "3.", "4. z"} <= set(found)
    assert {"2", "3", "6", "8"} <= set(found)
    gradients = [word for word in found if word.startswith("grad")]
    assert gradients == ["grad 1", "grad 1", "grad 2", "grad 4"]


def test_each_arrow_carries_the_slope_there(product_and_sum):
    arrows = [p for p in product_and_sum.patches if isinstance(p, FancyArrowPatch)]
    slopes = [word for word in words(product_and_sum) if word.startswith("×")]
    assert len(arrows) == len(slopes) == 4
    assert slopes == ["×1", "×1", "×2", "×3"]


def test_no_two_boxes_stand_in_one_place(product_and_sum):
    boxes = [text.get_position() for text in product_and_sum.texts if text.get_color() == "none"]
    assert len(set(boxes)) == len(boxes) == 4


def test_two_arrows_between_the_same_nodes_part():
    number = Value(1.0)
    doubled = number + number
    doubled.backward()
    ax = autograd.graph(doubled, title="Twice")
    slopes = [text.get_position() for text in ax.texts if text.get_text() == "×1"]
    assert len(set(slopes)) == 2
    assert ax.get_title(loc="left") == "Twice"
    plt.close("all")


def test_the_way_back_can_be_read():
    assert style.contrast(autograd._BACK, "white") >= style.READABLE
