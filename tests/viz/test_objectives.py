"""Pictures of objectives show what they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from llmcourse.evaluate.intervals import wilson
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.viz import objectives as pictures


def cells(ax) -> np.ndarray:
    return ax.collections[0].get_array().reshape(-1)


def test_what_became_of_each_token():
    tokens = torch.tensor([[1, 2, 3, 4]])
    ids = torch.tensor([[1, 9, 7, 4]])
    targets = torch.tensor([[IGNORE, 2, 3, 4]])
    assert pictures.fates(tokens, ids, targets, mask_id=9).tolist() == [[0, 1, 2, 3]]


def test_hidden_tokens_are_drawn_as_they_were_hidden():
    objective = MaskedLM(Vocabulary.plain(20), mask_rate=0.5, replace=(0.5, 0.0, 0.5))
    drawn = pictures.hidden_tokens(objective, torch.arange(12), list("abcdefghijkl"), n=6)
    ax = drawn.axes[0]
    fate = cells(ax)
    assert fate.size == 72
    assert set(fate.tolist()) == {0, 1, 3}
    assert sum(text.get_text() == "=" for text in ax.texts) == (fate == 3).sum()
    assert f"{100 * (fate > 0).mean():.0f} %" in ax.get_title(loc="left")


def test_the_explorer_hides_by_what_it_is_told():
    explorer = pictures.mask_explorer(ByteTokenizer(), "a dog ran")
    before = bytes(explorer.picture.value)
    explorer.controls["unit"].value = "word"
    assert bytes(explorer.picture.value) != before
    assert explorer.message.value == ""


def test_shares_are_written_beside_their_bars():
    ax = pictures.shares({"all": 1.0, "few": 0.016}, title="T")
    assert [bar.get_width() for bar in ax.patches] == [1.0, 0.016]
    assert [text.get_text() for text in ax.texts] == ["100 %", "1.6 %"]


def test_a_temperature_makes_guesses_of_cosines():
    cosines = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    drawn = pictures.similarity(cosines, temperature=0.5)
    left, right = drawn.axes[:2]
    assert cells(left).tolist() == [1, 0, 0, 1]
    p = np.exp(2) / (np.exp(2) + 1)
    assert cells(right).tolist() == pytest.approx([p, 1 - p, 1 - p, p])
    assert f"loss {-np.log(p):.2f}" in right.get_title(loc="left")


def test_the_temperature_moves():
    explorer = pictures.temperature_explorer(torch.eye(3))
    before = bytes(explorer.picture.value)
    explorer.controls["temperature"].value = 1.0
    assert bytes(explorer.picture.value) != before


def test_a_dot_is_filled_where_it_is_clearly_above_the_best_baseline():
    results = {"good": {"x": wilson(95, 100)}, "near": {"x": wilson(60, 100)}}
    baselines = {"bag": {"x": wilson(40, 100)}, "most": {"x": wilson(50, 100)}}
    drawn = pictures.compared(results, baselines, title="T")
    ax = drawn.axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [0.95, 0.60]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    assert [t.get_text() for t in drawn.legends[0].get_texts()] == ["bag", "most"]
    plt.close(drawn)
