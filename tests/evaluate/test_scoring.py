"""Scorers against one token at a time, and against each other."""

import numpy as np
import pytest
import torch
from numerics import in_double

from llmcourse.errors import UserError
from llmcourse.evaluate import scoring
from llmcourse.evaluate.scoring import (
    Continuation,
    ModelScorer,
    NGramScorer,
    continuation,
    log_probs_of,
)
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.tokenizers.bpe import BPETokenizer

SIZES = {"vocab_size": 9, "context_length": 6, "d_model": 8, "n_layers": 2, "n_heads": 2}
ROWS = [(8, 1, 2), (8, 3, 4, 5, 6, 7, 0), (8, 2), (8,), (1, 1, 1, 1)]


@pytest.fixture
def model():
    return in_double(lambda: GPT(GPTConfig(**SIZES)))


def one_by_one(model, row):
    found = []
    for t in range(1, len(row)):
        logits = model(torch.tensor([row[:t]])).logits[0, -1].detach().numpy()
        found.append(logits[row[t]] - np.logaddexp.reduce(logits))
    return found


def test_a_model_scores_each_token_given_those_before_it(model, monkeypatch):
    wanted = [one_by_one(model, row) for row in ROWS]
    for room in (scoring.LOGITS_AT_ONCE, 1):  # all rows at once, and one by one
        monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", room)
        for ours, theirs in zip(ModelScorer(model)(ROWS), wanted, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)


def test_the_mode_is_put_back_and_long_rows_are_refused(model):
    model.train()
    scorer = ModelScorer(model)
    scorer(ROWS)
    assert model.training
    with pytest.raises(UserError, match="a row has 8 tokens, and may have 7"):
        scorer([tuple(range(8))])
    assert ModelScorer(model, context_length=3).longest == 4


def test_counts_score_as_their_model_does():
    counts = count_ngrams([[1, 2, 3, 1, 2, 4], [2, 2, 3]], 3, 9)
    model = NGram(counts)
    logits = model(torch.tensor([[1, 2, 3, 1]])).logits[0]
    wanted = [float(logits[t, token]) for t, token in enumerate((2, 3, 1))]
    (ours, empty) = NGramScorer(model)([(1, 2, 3, 1), (1,)])
    assert ours == pytest.approx(wanted, abs=1e-10)
    assert len(empty) == 0


def test_text_and_context_are_encoded_together():
    tokenizer = BPETokenizer.train(["the cat sat on the mat"] * 5, vocab_size=268)
    together = tokenizer.encode("the cat")
    for context, text in (("the", " cat"), ("the ", "cat"), ("the  \n", "")):
        if text:
            found = continuation(tokenizer.encode, context, text, 7)
            assert [*found.context, *found.ids] == together
            assert tokenizer.decode(found.ids) == " cat"
    assert continuation(tokenizer.encode, "", "the cat", 7) == Continuation((7,), tuple(together))
    with pytest.raises(UserError, match="nothing to score"):
        continuation(tokenizer.encode, "the", "", 7)


def test_a_long_context_loses_its_beginning(model):
    scorer = ModelScorer(model)
    wanted = [Continuation((8, 1, 2, 3, 4, 5, 6), (7, 0)), Continuation((8,), (3,))]
    long, short = log_probs_of(scorer, wanted)
    assert long == pytest.approx(scorer([(2, 3, 4, 5, 6, 7, 0)])[0][-2:])
    assert short == pytest.approx(scorer([(8, 3)])[0])
    with pytest.raises(UserError, match="text 1 has 7 tokens to score, and the model reads 6"):
        log_probs_of(scorer, [Continuation((8,), (1,) * 7)])
