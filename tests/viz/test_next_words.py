"""Pictures of what comes next: the right bars with the right words, an explorer that answers."""

import numpy as np
import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.models.ngram_smoothing import AddK, Interpolation, KneserNey
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.viz import next_words, style

TEXTS = [story.text for story in tinytown.stories(30)]
TOKENIZER = BPETokenizer.train(TEXTS, 500)
END = TOKENIZER.eot_id
COUNTS = count_ngrams([[END, *TOKENIZER.encode(text), END] for text in TEXTS], 3, 500)


def names_of(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_are_the_likeliest_words_longest_first():
    ax = next_words.bars(torch.tensor([0.1, 0.6, 0.0, 0.3]), [" a", " b", " c", " d"], n_words=3)
    assert names_of(ax) == ["b", "d", "a"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([0.6, 0.3, 0.1])
    top, bottom = ax.get_ylim()[1], ax.get_ylim()[0]
    assert top < bottom  # the first bar is on top
    assert [text.get_text() for text in ax.texts] == ["0.60", "0.30", "0.10"]


def test_no_bar_reads_zero_unless_all_would():
    ax = next_words.bars(torch.tensor([0.004, 0.9, 0.096]), [" a", " b", " c"])
    assert names_of(ax) == ["b", "c"]
    ax = next_words.bars(torch.full((1000,), 0.001), [" a"] * 1000, n_words=3)
    assert len(ax.patches) == 3


def test_each_word_needs_a_name():
    with pytest.raises(UserError, match="2 names for 3 probabilities"):
        next_words.bars(torch.ones(3) / 3, ["a", "b"])


@pytest.mark.parametrize("order", [1, 2, 3])
def test_next_words_are_the_models(order):
    model = NGram(COUNTS, KneserNey(), order)
    firsts = [TOKENIZER.encode(text)[0] for text in TEXTS]
    ids = [END, firsts[0]]
    _, ax = style.figure()
    next_words.next_words(model, TOKENIZER, ids, ax)
    chances = model(torch.tensor([ids])).logits[0, -1].exp()
    shown = [bar.get_width() for bar in ax.patches]
    likeliest = chances.sort(descending=True).values[:8]
    assert shown == pytest.approx(likeliest[likeliest >= 0.005].tolist())
    expected = {1: "no context", 3: f"seen {firsts.count(firsts[0])} ×"}
    if order in expected:
        assert ax.get_title(loc="left") == f"{order}-gram: {expected[order]}"


def test_a_context_that_was_never_seen_says_so():
    model = NGram(COUNTS, KneserNey(), 3)
    _, ax = style.figure()
    next_words.next_words(model, TOKENIZER, [END, 7, 7], ax)
    assert ax.get_title(loc="left") == "3-gram: seen 0 ×"


def test_the_explorer_draws_what_its_controls_say():
    explorer = next_words.ngram_explorer(COUNTS, TOKENIZER, "On", orders=(1, 3))
    before = bytes(explorer.picture.value)
    explorer.controls["beginning"].value = "On Friday the"
    after = bytes(explorer.picture.value)
    assert explorer.message.value == ""
    assert after != before
    explorer.controls["smoothing"].value = "add k"
    assert bytes(explorer.picture.value) != after
    explorer.controls["strength"].value = 0.0
    assert explorer.message.value == ""


def test_one_order_is_a_picture_too():
    explorer = next_words.ngram_explorer(COUNTS, TOKENIZER, "On", orders=(2,))
    assert bytes(explorer.picture.value)


def test_smoothings_have_names():
    assert next_words.smoothing_named("add k", 0.2) == AddK(0.2)
    assert next_words.smoothing_named("interpolation", 0.2) == Interpolation(0.8)
    assert next_words.smoothing_named("Kneser-Ney", 0.2) == KneserNey(0.2)
    for name in next_words.SMOOTHINGS:
        next_words.smoothing_named(name, 0.5)


def test_the_map_shows_the_plane_of_greatest_spread():
    vectors = torch.tensor([[9.0, 0, 0.1], [-9, 0, 0.1], [0, 4, -0.1], [0, -4, -0.1], [50, 50, 50]])
    names = ["a", "b", "c", "d", "not shown"]
    ax = next_words.word_map(vectors, names, {"wide": ["a", "b"], "high": ["c", "d"]})
    wide, high = (np.asarray(points.get_offsets()) for points in ax.collections)
    assert np.abs(wide[:, 0]) == pytest.approx([9, 9], abs=1e-2)
    assert np.abs(high[:, 1]) == pytest.approx([4, 4], abs=1e-2)
    assert wide[:, 0].sum() == pytest.approx(0, abs=1e-6)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c", "d"]
    with pytest.raises(UserError, match="'e' is not in the vocabulary"):
        next_words.word_map(vectors, names, {"wide": ["e"]})
