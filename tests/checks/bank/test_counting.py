"""The oracles of the exercises on counting, against the package's models and plain Python."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch

from llmcourse.checks.bank import counting, discounting
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.models.ngram_smoothing import AddK, KneserNey

WORDS = [0, 1, 2, 1, 3, 0, 1, 1, 4, 2, 0]  # the first word comes again at the end
V = 6


def table() -> torch.Tensor:
    pairs = torch.zeros(V, V, dtype=torch.long)
    for before, word in pairwise(WORDS):
        pairs[before, word] += 1
    return pairs


def row(model: NGram, before: int) -> torch.Tensor:
    return model(torch.tensor([[before]])).logits[0, -1].exp()


def test_perplexity_by_hand():
    assert counting.perplexity.right(torch.tensor([0.5, 0.25, 0.125])) == pytest.approx(4)
    assert counting.perplexity.right(torch.tensor([0.5, 0.0])) == math.inf


def test_an_infinite_perplexity_is_no_match_for_a_finite_one():
    verdict = counting.perplexity.verdict(lambda p: p[p > 0].log().mean().neg().exp().item())
    assert verdict.status == "wrong"


@pytest.mark.parametrize("before", range(V))
def test_add_k_row_is_the_models(before):
    model = NGram(count_ngrams([WORDS], 2, V), AddK(0.3))
    expected = counting.add_k_row.right(table()[before].double(), 0.3)
    torch.testing.assert_close(row(model, before), expected, rtol=1e-10, atol=1e-10)


def test_continuation_counts_are_the_models():
    level = count_ngrams([WORDS], 2, V).levels[0]
    found = dict(zip(level.words.tolist(), level.continuations.tolist(), strict=True))
    assert counting.continuation_counts.right(list("abacab")) == {"a": 2, "b": 1, "c": 1}
    names = counting.continuation_counts.right([str(word) for word in WORDS])
    assert {int(name): count for name, count in names.items()} == found


@pytest.mark.parametrize("before", range(V))
def test_kneser_ney_row_is_the_models(before):
    model = NGram(count_ngrams([WORDS], 2, V), KneserNey((0.0, 0.75)))
    expected = discounting.kneser_ney_row.right(table(), before, 0.75)
    torch.testing.assert_close(row(model, before).float(), expected, rtol=1e-5, atol=1e-6)


def test_hold_out_shares_no_text_and_loses_none_but_copies():
    documents = [f"{number % 17}" for number in range(60)]
    train, test = counting.hold_out.right(documents)
    assert test == documents[::10]
    assert not set(train) & set(test)
    kept, everything = Counter(train), Counter(documents)
    assert all(kept[text] == everything[text] for text in set(documents) - set(test))
