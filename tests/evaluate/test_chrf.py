"""chrF and chrF++ by hand, and equal to sacrebleu."""

import random

import pytest
from sacrebleu.metrics import CHRF

from llmcourse.evaluate.chrf import chrf

LETTERS = "the cat's (hat), a-b! 3.5 é猫 "


@pytest.mark.parametrize("word_order", [0, 2])
@pytest.mark.parametrize("beta", [1, 2])
@pytest.mark.parametrize("seed", range(15))
def test_equals_sacrebleu(word_order, beta, seed):
    rng = random.Random(seed)
    n, m = rng.choice([1, 1, 3]), rng.randint(1, 2)

    def text():
        return (
            "".join(rng.choice(LETTERS) for _ in range(rng.choice([1, 4, 20, 40]))).strip() or "a"
        )

    texts = [text() for _ in range(n)]
    many = [[text() for _ in range(n)] for _ in range(m)]
    theirs = CHRF(word_order=word_order, beta=beta).corpus_score(texts, many).score
    ours = chrf(texts, list(map(list, zip(*many, strict=True))), word_order=word_order, beta=beta)
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_by_hand():
    """`cats` for `cat`: c a t s beside c a t; ca at ts beside ca at; cat ats beside cat."""
    precision, recall = (3 / 4 + 2 / 3 + 1 / 2) / 3, 1.0
    wanted = 100 * 5 * precision * recall / (4 * precision + recall)
    assert chrf(["cats"], [["cat"]]) == pytest.approx(wanted)
    assert chrf(["cat"], [["dog"]]) == 0
    assert chrf(["a cat"], [["acat"]]) == pytest.approx(100)  # blanks do not count
