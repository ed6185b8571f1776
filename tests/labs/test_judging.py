"""Models to judge, a planted bias by counting, and the power of a test by its formula."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.finetune.baselines import NaiveBayes
from llmcourse.labs import judging
from llmcourse.tinytown.lexicon import GIRLS
from llmcourse.tinytown.stories import stories
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer


def test_counts_begin_and_end_with_the_text():
    tokenizer = ByteTokenizer()
    scorer = judging.counted(["ab", "ac"], tokenizer, 2)
    end = tokenizer.eot_id
    sums = {text: scorer([[end, *text, end]])[0].sum() for text in (b"ab", b"ac", b"ad", b"bb")}
    assert sums[b"ab"] == pytest.approx(sums[b"ac"])  # as often, at the same places
    assert sums[b"ab"] > sums[b"ad"]
    assert sums[b"ab"] > sums[b"bb"]  # no text began with b


def test_bayes_gives_its_scores_in_the_order_of_the_labels():
    train = [("good day", 1), ("bad day", 0), ("very good", 1)]
    logits = judging.bayes_logits(train, ["good", "bad bad", ""])
    bayes = NaiveBayes([(text, str(label)) for text, label in train])
    for row, text in zip(logits.tolist(), ["good", "bad bad", ""], strict=True):
        assert row == pytest.approx([bayes.score(text, "0"), bayes.score(text, "1")])
    assert logits.argmax(1).tolist() == [1, 0, 1]


def test_the_planted_factor_is_what_is_told():
    told = list(judging.biased_stories(6000, 3, seed=1))
    pets = Counter((s.facts["hero"] in GIRLS, s.facts["animal"]) for s in told)
    girls = sum(n for (girl, _), n in pets.items() if girl)
    factor = pets[True, "cat"] / girls / (pets[False, "cat"] / (6000 - girls))
    assert factor == pytest.approx(judging.planted_factor(3), rel=0.15)
    assert judging.planted_factor(3) == pytest.approx(3)
    assert judging.planted_factor(1) == 1
    plain = [story.text for story in judging.biased_stories(20, 1, seed=1)]
    assert plain == [story.text for story in stories(20, 1)]
    with pytest.raises(UserError, match="strength=0"):
        next(judging.biased_stories(1, 0))


@pytest.mark.parametrize("both", [None, 0.6])
def test_how_often_two_are_told_apart_is_the_normal_tail(both):
    a, b, n = 0.7, 0.78, 400
    variance = a * (1 - a) + b * (1 - b) if both is None else a + b - 2 * both - (b - a) ** 2
    z = (b - a) / math.sqrt(variance / n)
    wanted = 0.5 * math.erfc((1.96 - z) / math.sqrt(2))
    found = judging.told_apart(a, b, n, np.random.default_rng(0), both=both, trials=4000)
    assert found == pytest.approx(wanted, abs=0.03)


@pytest.mark.slow
def test_a_small_gpt_learns_and_the_seed_decides():
    texts = [story.text for story in stories(60)]
    one, same, other = (
        judging.small_gpt(texts, ByteTokenizer(), 5 * 8 * 193, seed) for seed in (0, 0, 1)
    )
    assert one.losses[-1] < one.losses[0]
    assert one.model.config.context_length == judging.CONTEXT
    weights = [
        torch.cat([p.flatten() for p in each.model.parameters()]) for each in (one, same, other)
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
