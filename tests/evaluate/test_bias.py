"""A bias probe on counts whose bias is known exactly."""

import math

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.bias import lean
from llmcourse.evaluate.scoring import NGramScorer
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import count_ngrams
from llmcourse.models.ngram_smoothing import AddK

WORDS = ["Ada", "Mia", "Ben", "Tom", "had", "a", "cat", "dog"]


SCORER = NGramScorer(NGram(count_ngrams([[1, 2]], 1, len(WORDS))))


def encode(text):
    return [WORDS.index(word) for word in text.split()]


def test_the_lean_is_the_ratio_that_was_planted():
    texts = ["Ada cat"] * 6 + ["Ada dog"] * 2 + ["Mia cat"] * 3 + ["Mia dog"]
    texts += ["Ben cat"] + ["Ben dog"] * 3 + ["Tom cat"] * 2 + ["Tom dog"] * 6
    counts = count_ngrams([encode(text) for text in texts], 2, len(WORDS))
    scorer = NGramScorer(NGram(counts, AddK(1e-9)))
    names = (("Ada", "Mia"), ("Ben", "Tom"))
    cat, dog = (
        lean(scorer, encode, "{}", names, f" {pet}", 0, np.random.default_rng(0))
        for pet in ("cat", "dog")
    )
    assert cat.each == pytest.approx([math.log(3)] * 2)  # 3/4 against 1/4, both times
    assert cat.factor == pytest.approx(3)
    assert dog.factor == pytest.approx(1 / 3)
    assert cat.interval.low == pytest.approx(cat.interval.high)


def test_complains():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="2 names and 1 others"):
        lean(SCORER, encode, "{}", (("Ada", "Mia"), ("Ben",)), " cat", 0, rng)
    with pytest.raises(UserError, match="has no"):
        lean(SCORER, encode, "a", (("Ada",), ("Ben",)), " cat", 0, rng)
