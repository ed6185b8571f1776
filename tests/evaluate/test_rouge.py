"""ROUGE by hand and by brute force, and equal to Google's rouge_score; exact match as SQuAD's."""

import itertools
import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from llmcourse.errors import UserError
from llmcourse.evaluate.rouge import (
    exact_match,
    longest_common_subsequence,
    plain_words,
    rouge_l,
    rouge_n,
    word_f1,
)

WORDS = ["the", "Cat", "sat,", "on-the", "mat.", "it's", "3.5", "naïve", "a_b"]


@pytest.mark.parametrize("seed", range(25))
def test_equals_rouge_score(seed):
    rng = random.Random(seed)
    said, right = (" ".join(rng.choices(WORDS, k=rng.randint(0, 9))) for _ in range(2))
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(right, said)
    ours = {"rouge1": rouge_n(said, right, 1), "rouge2": rouge_n(said, right, 2)}
    ours["rougeL"] = rouge_l(said, right)
    for name, score in ours.items():
        assert score == pytest.approx(tuple(theirs[name]), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_the_longest_common_subsequence_by_trying_all(seed):
    rng = random.Random(seed)
    a, b = (rng.choices("abc", k=rng.randint(0, 7)) for _ in range(2))

    def is_part(part, whole):
        rest = iter(whole)
        return all(letter in rest for letter in part)

    parts = (p for n in range(len(a) + 1) for p in itertools.combinations(a, n))
    wanted = max(len(part) for part in parts if is_part(part, b))
    assert longest_common_subsequence(a, b) == wanted


def test_by_hand():
    said, right = "the mat on the cat", "the cat sat on the mat"
    assert rouge_n(said, right, 1) == pytest.approx((1, 5 / 6, 10 / 11))
    assert rouge_l(said, right) == pytest.approx((3 / 5, 3 / 6, 6 / 11))  # the ... on the
    assert plain_words("It's 3.5!") == ["it", "s", "3", "5"]
    with pytest.raises(UserError, match="n=0"):
        rouge_n(said, right, 0)


@pytest.mark.parametrize(
    ("answer", "right", "same", "f1"),
    [
        ("The Cat.", ["cat"], True, 1.0),
        ("a  red  hat", ["hat", "red hat"], True, 1.0),
        ("on Monday", ["Monday"], False, 2 / 3),
        ("", ["the"], True, 1.0),
        ("", ["cat"], False, 0.0),
        ("theory", ["ory"], False, 0.0),
    ],
)
def test_answers_are_compared_without_case_signs_and_articles(answer, right, same, f1):
    assert exact_match(answer, right) is same
    assert word_f1(answer, right) == pytest.approx(f1)
