"""The lattice's algorithms against every segmentation, written out one by one."""

import itertools
import math
import random
from collections import Counter

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.tokenizers.lattice import UNKNOWN_PENALTY, UnigramModel

PIECES = ["a", "b", "ab", "ba", "aa", "aba", "bab", "abab"]
SCORES = st.lists(st.floats(-9, 0), min_size=len(PIECES), max_size=len(PIECES)).map(
    lambda scores: dict(zip(PIECES, scores, strict=True))
)
TEXTS = st.text("ab", max_size=9)


def every_segmentation(text, model):
    """All ways to cut a text, with their scores: one for each set of places to cut at."""
    found = []
    for cuts in itertools.product([False, True], repeat=max(0, len(text) - 1)):
        ends = [at for at, cut in enumerate(cuts, 1) if cut] + [len(text)] * bool(text)
        pieces = [text[a:b] for a, b in itertools.pairwise([0, *ends])]
        if all(piece in model.scores or len(piece) == 1 for piece in pieces):
            scores = [model.scores.get(piece, model.unknown) for piece in pieces]
            found.append((pieces, math.fsum(scores)))
    return found


@given(SCORES, TEXTS)
def test_the_likelihood_is_the_sum_over_all_segmentations(scores, text):
    model = UnigramModel(scores)
    total = math.fsum(math.exp(score) for _, score in every_segmentation(text, model))
    assert model.log_probability(text) == pytest.approx(math.log(total), abs=1e-10)


@given(SCORES, st.text("abx", max_size=9))
def test_the_best_is_the_best_of_all_segmentations(scores, text):
    model = UnigramModel(scores)
    best = model.best(text)
    ways = {tuple(pieces): score for pieces, score in every_segmentation(text, model)}
    assert "".join(best) == text
    assert ways[tuple(best)] == pytest.approx(max(ways.values()), abs=1e-10)


@given(SCORES, st.dictionaries(TEXTS.filter(bool), st.integers(1, 5), max_size=4))
def test_expected_counts_are_the_mean_over_all_segmentations(scores, words):
    model = UnigramModel(scores)
    expected = dict.fromkeys(PIECES, 0.0)
    for word, occurrences in words.items():
        ways = every_segmentation(word, model)
        total = math.fsum(math.exp(score) for _, score in ways)
        for pieces, score in ways:
            for piece in pieces:
                expected[piece] += occurrences * math.exp(score) / total
    counts, likelihood = model.expected_counts(words)
    assert counts == pytest.approx(expected, abs=1e-10)
    assert likelihood == pytest.approx(
        math.fsum(n * model.log_probability(word) for word, n in words.items()), abs=1e-9
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 3.0])
def test_samples_are_as_frequent_as_their_probability(alpha):
    scores = dict(zip(PIECES, (-1.0, -2.0, -1.5, -3.0, -2.5, -2.2, -1.8, -4.0), strict=True))
    model, rng, draws = UnigramModel(scores), random.Random(5), 4000
    ways = every_segmentation("ababa", model)
    weights = [math.exp(alpha * score) for _, score in ways]
    seen = Counter(tuple(model.sample("ababa", alpha, rng)) for _ in range(draws))
    assert set(seen) <= {tuple(pieces) for pieces, _ in ways}
    for (pieces, _), weight in zip(ways, weights, strict=True):
        share = weight / math.fsum(weights)
        spread = math.sqrt(draws * share * (1 - share))
        assert abs(seen[tuple(pieces)] - draws * share) < 4.5 * spread + 1, pieces


def test_a_large_alpha_gives_the_best():
    model = UnigramModel({"a": -1.0, "b": -1.1, "ab": -1.9, "ba": -2.3})
    for seed in range(20):
        assert model.sample("abbab", 500.0, random.Random(seed)) == model.best("abbab")


@given(SCORES)
def test_the_alternative_is_the_best_without_the_piece(scores):
    model = UnigramModel(scores)
    for piece in PIECES:
        others = UnigramModel({p: s for p, s in scores.items() if p != piece})
        others.unknown = model.unknown
        ways = every_segmentation(piece, others)
        assert model.alternative(piece) == pytest.approx(max(score for _, score in ways))


def test_a_character_without_a_piece_costs_the_rarest_and_a_penalty():
    model = UnigramModel({"a": -1.0, "b": -3.0})
    assert model.unknown == -3.0 - UNKNOWN_PENALTY
    assert model.best("axb") == ["a", "x", "b"]
    assert model.log_probability("x") == model.unknown
    assert UnigramModel({}).best("xy") == ["x", "y"]


def test_nothing_is_cut_into_nothing_and_is_certain():
    model = UnigramModel({"a": -1.0})
    assert model.best("") == model.sample("", 1.0, random.Random(0)) == []
    assert model.log_probability("") == 0.0


def test_a_long_text_neither_overflows_nor_underflows():
    model = UnigramModel({"a": -700.0, "aa": -1401.0})
    assert len(model.best("a" * 2000)) == 2000
    assert model.log_probability("a" * 2000) == pytest.approx(-1_400_000, rel=1e-3)
    assert len(model.sample("a" * 2000, 1.0, random.Random(0))) <= 2000


def library(text: str, path, **settings) -> sentencepiece.SentencePieceProcessor:
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.splitlines()),
        model_prefix=str(path / "m"),
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        minloglevel=2,
        **settings,
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(path / "m.model"))


def test_with_the_librarys_pieces_the_best_is_the_librarys(tmp_path):
    """Its scores are 32-bit, so where two ways are equal it may take the other: compare scores."""
    lines = "the cat sat on the mat\na cat that sat there was the fat cat\nthat rat ate the hat\n"
    theirs = library(lines * 4, tmp_path, vocab_size=23)
    pieces = [theirs.id_to_piece(i) for i in range(3, theirs.get_piece_size())]
    model = UnigramModel(
        {p.replace("▁", " "): theirs.get_score(i) for i, p in enumerate(pieces, 3)}
    )
    assert any(len(piece) > 2 for piece in pieces)
    for text in (*lines.splitlines(), "the hen sat", "hat that rat", "catssat", "a " * 30 + "x"):
        best = [piece.replace("▁", " ") for piece in theirs.encode(text, out_type=str)]
        ours = model.best(text)
        assert "".join(ours) == text
        assert score(model, ours) == pytest.approx(score(model, split_unknown(best, model)))


def split_unknown(pieces, model):
    """The library shows neighbouring characters without a piece as one."""
    return [p for piece in pieces for p in ([piece] if piece in model.scores else piece)]


def score(model, pieces):
    return math.fsum(model.scores.get(piece, model.unknown) for piece in pieces)
