"""BLEU by hand, and equal to sacrebleu on texts of every kind."""

import math
import random

import pytest
import sacrebleu
from sacrebleu.metrics import BLEU
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from llmcourse.errors import UserError
from llmcourse.evaluate.bleu import bleu, words_13a

SIGNS = "a b, c. d-e 3.5 1,000 -7 5-6 &quot;x&quot; (f) it's $4 e.g. U.S. #1 50% a/b é ß 猫 "
SIGNS += "<skipped> x\ny z-\nw"


WORDS = ["the", "cat", "sat", "on", "mat", ",", ".", "dog", "a", "-"]


def random_text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 9)))


@pytest.mark.parametrize("seed", range(30))
def test_words_are_those_of_13a(seed):
    rng = random.Random(seed)
    text = "".join(rng.choice(SIGNS) for _ in range(40)) if seed else SIGNS
    assert words_13a(text) == Tokenizer13a()(text).split()


@pytest.mark.parametrize("smoothing", ["none", "exp"])
@pytest.mark.parametrize("effective_order", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_equals_sacrebleu(smoothing, effective_order, seed):
    rng = random.Random(seed)
    n = rng.choice([1, 1, 2, 5])
    texts = [random_text(rng) for _ in range(n)]
    many = [[random_text(rng) or "cat" for _ in range(n)] for _ in range(rng.randint(1, 3))]
    if seed % 3 == 0:
        texts = [f"{one} {two}" for one, two in zip(texts, many[0], strict=True)]
    theirs = BLEU(smooth_method=smoothing, effective_order=effective_order).corpus_score(
        texts, many
    )
    ours = bleu(
        texts, list(map(list, zip(*many, strict=True))),
        smoothing=smoothing, effective_order=effective_order,
    )  # fmt: skip
    assert ours.score == pytest.approx(theirs.score, abs=1e-9)
    assert ours.penalty == pytest.approx(theirs.bp)
    assert (ours.length, ours.reference_length) == (theirs.sys_len, theirs.ref_len)
    if ours.score:
        assert ours.precisions == pytest.approx(theirs.precisions)


def test_a_sentence_equals_sacrebleus():
    said, right = "the cat was on the mat", "the cat sat on the mat today"
    ours = bleu([said], [[right]], effective_order=True).score
    assert ours == pytest.approx(sacrebleu.sentence_bleu(said, [right]).score)


def test_by_hand():
    """Words 5 of 6, pairs 3 of 5, threes 1 of 4, fours 0 of 3."""
    found = bleu(["the cat is on the mat"], [["the cat sat on the mat"]], smoothing="none")
    assert found.precisions == pytest.approx([100 * 5 / 6, 60, 25, 0])
    assert found.score == 0
    two = bleu(["the cat is on the mat"], [["the cat sat on the mat"]], order=2)
    assert two.score == pytest.approx(100 * math.sqrt(5 / 6 * 3 / 5))


def test_clipping_and_brevity():
    """Papineni et al.: `the` seven times is right at most twice."""
    found = bleu(["the the the the the the the"], [["the cat is on the mat"]], order=1)
    assert found.score == pytest.approx(100 * 2 / 7)
    short = bleu(["the cat"], [["the cat is on the mat"]], order=1)
    assert short.score == pytest.approx(100 * math.exp(1 - 3))
    near = bleu(["a b c"], [["a b c d", "a b"]], order=1)  # of two as near the shorter
    assert near.reference_length == 2


def test_complains():
    with pytest.raises(UserError, match="smoothing='add' is unknown"):
        bleu(["a"], [["a"]], smoothing="add")
    with pytest.raises(UserError, match="2 texts and 1 lists"):
        bleu(["a", "b"], [["a"]])
    with pytest.raises(UserError, match="text 1 needs a list"):
        bleu(["a"], ["a"])
