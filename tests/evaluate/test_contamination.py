"""n-gram overlap by hand, by sets, and on a planted leak."""

import random

import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.contamination import Overlap, exam_words, find_overlaps


def test_by_hand():
    exam = ["The cat sat on the mat.", "A dog ran.", "..."]
    training = ["nobody here", "THE CAT -- sat on, a hat", "cat sat on the mat", "a dog ran away"]
    assert find_overlaps(exam, training, n=4) == [
        Overlap(3, 3, (1, 2)),
        Overlap(1, 1, (3,)),  # shorter than n: all of its words
        Overlap(0, 0, ()),
    ]
    assert find_overlaps(exam[:1], training[:2], n=4)[0].share == pytest.approx(1 / 3)
    assert not find_overlaps(exam, ["nothing"], n=4)[0].is_contaminated


@pytest.mark.parametrize("n", [1, 3, 13])
def test_equals_sets_of_ngrams(n):
    rng = random.Random(n)
    texts = [" ".join(rng.choices("abc", k=rng.randint(1, 30))) for _ in range(30)]
    exam, training = texts[:10], texts[10:]

    def grams(text, size):
        words = text.split()
        return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}

    for text, found in zip(exam, find_overlaps(exam, training, n), strict=True):
        size = min(n, len(text.split()))
        there = set().union(*(grams(one, size) for one in training))
        assert (found.seen, found.total) == (len(grams(text, size) & there), len(grams(text, size)))


def test_a_leak_is_found_in_any_case_and_signs():
    text = "Mia and Noodle went to the old museum on Monday, and it rained all day long."
    leaked = f"Before. {text.upper().replace(',', ' -')} After."
    (found,) = find_overlaps([text], [leaked])
    assert found.share == 1
    assert find_overlaps([text], [text[:40]])[0].share == 0


def test_chinese_has_a_word_a_character():
    assert exam_words("小猫 sat，on_it") == ["小", "猫", "sat", "on_it"]


def test_complains():
    with pytest.raises(UserError, match="n=0"):
        find_overlaps(["a"], ["a"], 0)
    with pytest.raises(UserError, match="no exam"):
        find_overlaps([], ["a"])
