import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.viz.calibration import calibration_explorer, reliability_diagram

CONFIDENCE = torch.tensor([0.55, 0.58, 0.95, 0.97, 0.99])
RIGHT = torch.tensor([True, False, True, True, False])
LOGITS = torch.tensor([[2.0, 0.0], [3.0, 0.0], [0.0, 2.5], [4.0, 0.0]])
LABELS = torch.tensor([0, 1, 1, 0])


def test_a_bar_is_the_accuracy_of_its_bin_at_its_confidence():
    ax = reliability_diagram(CONFIDENCE, RIGHT)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([1 / 2, 2 / 3])
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert centres == pytest.approx([0.565, 0.97])
    assert [text.get_text() for text in ax.texts] == ["2", "3"]


def test_the_title_says_the_error():
    error = 2 / 5 * (0.565 - 0.5) + 3 / 5 * (0.97 - 2 / 3)
    title = reliability_diagram(CONFIDENCE, RIGHT).get_title(loc="left")
    assert title == f"Calibration error {error:.2f}"
    assert reliability_diagram(CONFIDENCE, RIGHT, title="mine").get_title(loc="left") == "mine"
    with pytest.raises(UserError, match="from 0 to 1"):
        reliability_diagram(CONFIDENCE + 1, RIGHT)


def test_the_explorer_turns_the_temperature_and_no_answer():
    explorer = calibration_explorer(LOGITS, LABELS)
    before = bytes(explorer.picture.value)
    explorer.controls["temperature"].value = 3.0
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before
