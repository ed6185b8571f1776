"""Penalties against their definitions, counted token by token, and against transformers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.generate.penalties import frequency_penalty, no_repeat_ngrams, presence_penalty

VOCAB = 5
texts = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12)


@given(texts, st.floats(-2, 2))
@settings(deadline=None)
def test_frequency_and_presence_by_their_definitions(text, penalty):
    logits = torch.linspace(-2, 2, VOCAB, dtype=torch.float64)[None]
    ids = torch.tensor([text])
    counted = [x - penalty * text.count(v) for v, x in enumerate(logits[0].tolist())]
    seen = [x - penalty * (v in text) for v, x in enumerate(logits[0].tolist())]
    torch.testing.assert_close(frequency_penalty(logits, ids, penalty)[0].tolist(), counted)
    torch.testing.assert_close(presence_penalty(logits, ids, penalty)[0].tolist(), seen)


def test_nothing_said_yet_and_what_is_ruled_out():
    logits = torch.tensor([[1.0, -math.inf, 0.0]])
    nothing = torch.zeros(1, 0, dtype=torch.long)
    assert torch.equal(frequency_penalty(logits, nothing, 2.0), logits)
    assert torch.equal(presence_penalty(logits, nothing, 2.0), logits)
    assert frequency_penalty(logits, torch.tensor([[1, 1]]), 2.0)[0, 1] == -math.inf


@given(texts, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_no_repeated_ngram_by_definition_and_as_in_transformers(text, n):
    from transformers import NoRepeatNGramLogitsProcessor

    logits, ids = torch.zeros(2, VOCAB), torch.tensor([text, text[::-1]])
    found = no_repeat_ngrams(logits, ids, n)
    for row, said in zip(found.tolist(), (text, text[::-1]), strict=True):
        grams = {tuple(said[i : i + n]) for i in range(len(said) - n + 1)}
        for token, score in enumerate(row):
            new = (*said[len(said) - n + 1 :], token) if len(said) >= n - 1 else None
            assert (score == -math.inf) == (new in grams)
    assert torch.equal(found, NoRepeatNGramLogitsProcessor(n)(ids, logits))


@pytest.mark.parametrize("function", [frequency_penalty, presence_penalty])
@pytest.mark.parametrize("penalty", [math.inf, math.nan])
def test_penalties_that_are_no_numbers(function, penalty):
    with pytest.raises(UserError, match="must be a finite number"):
        function(torch.zeros(1, 3), torch.zeros(1, 1).long(), penalty)


def test_ngrams_of_nothing():
    with pytest.raises(UserError, match="at least 1"):
        no_repeat_ngrams(torch.zeros(1, 3), torch.zeros(1, 1).long(), 0)
