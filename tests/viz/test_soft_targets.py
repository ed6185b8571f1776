import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.viz.soft_targets import choices, soft_targets, temperature_explorer

LOGITS = torch.tensor([0.5, 0.3, 0.2]).log()[[1, 0, 2]]
NAMES = [" b", " a", " c"]


def test_bars_are_the_softened_probabilities_likeliest_on_top():
    ax = soft_targets(LOGITS, NAMES, 1.0, n_words=2)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["␣a", "␣b"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.5, 0.3])
    roots = torch.tensor([0.5, 0.3, 0.2]).sqrt()
    softened = soft_targets(LOGITS, NAMES, 2.0)
    wanted = (roots / roots.sum()).tolist()
    assert [bar.get_width() for bar in softened.patches] == pytest.approx(wanted)


def test_the_title_says_how_unsure_the_teacher_is():
    assert choices(torch.zeros(5), 1.0) == pytest.approx(5)
    assert choices(torch.tensor([0.0, -1000.0]), 1.0) == pytest.approx(1)
    assert choices(LOGITS, 1.0) < choices(LOGITS, 3.0) < 3
    title = soft_targets(torch.zeros(3), NAMES, 1.5).get_title(loc="left")
    assert title == "At temperature 1.5: as unsure as between 3.0 words"


def test_complains():
    with pytest.raises(UserError, match="2 names for 3 logits"):
        soft_targets(LOGITS, NAMES[:2], 1.0)
    with pytest.raises(UserError, match="must be above 0"):
        soft_targets(LOGITS, NAMES, 0.0)


def test_the_explorer_flattens():
    explorer = temperature_explorer(LOGITS, NAMES)
    before = bytes(explorer.picture.value)
    explorer.controls["temperature"].value = 4.0
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before
