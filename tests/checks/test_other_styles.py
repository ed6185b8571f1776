"""Right answers in another style: each is right, and its slips are found and named."""

from itertools import pairwise

import pytest

from llmcourse.checks.bank import counting, overlaps, tagging
from llmcourse.checks.catalog import all_checks
from llmcourse.checks.harness import FunctionCheck
from llmcourse.checks.other_styles import all_guesses, in_another_style

STYLED = [
    check
    for check in all_checks()
    if isinstance(check, FunctionCheck) and in_another_style(check.chapter, check.name)
]


def test_many_exercises_have_an_answer_in_another_style():
    assert len(STYLED) > 90
    assert len({check.chapter for check in STYLED}) == 18


@pytest.mark.parametrize("check", STYLED, ids=lambda check: f"{check.chapter}-{check.name}")
@pytest.mark.usefixtures("known_to_end")
def test_an_answer_in_another_style_is_right(check):
    reference = in_another_style(check.chapter, check.name)
    verdict = check.verdict(reference.made())
    assert verdict.status == "passed", verdict.text


def test_one_name_in_two_chapters_is_two_exercises():
    assert in_another_style("00", "bits_per_byte") is None
    assert in_another_style("07", "bleu") is None
    assert in_another_style("16", "bleu") is not None


def test_slips_in_both_styles_take_turns():
    made = list(all_guesses("12", "span_f1"))
    causes = [guess.cause for guess in made]
    assert "the weight of recall were 2, not 1" in causes
    slips = [guess.reference.source for guess in made if guess.source.startswith("def")]
    changes = sum(one != other for one, other in pairwise(slips))
    assert len(set(slips)) == 2
    assert changes > len(slips) / 2


def recall_twice(gold, predicted):
    right = sum(len(set(g) & set(p)) for g, p in zip(gold, predicted, strict=True))
    total = 4 * sum(map(len, gold)) + sum(map(len, predicted))
    return 5 * right / total if total else 0.0


def recall_twice_of_words(text, reference):
    table = {(-1, j): 0 for j in range(-1, len(reference))}
    for i, word in enumerate(text):
        table[i, -1] = 0
        for j, other in enumerate(reference):
            same = table[i - 1, j - 1] + 1
            table[i, j] = same if word == other else max(table[i - 1, j], table[i, j - 1])
    longest = table[len(text) - 1, len(reference) - 1]
    return 5 * longest / (4 * len(reference) + len(text)) if longest else 0.0


def two_words_before(words):
    pairs = {(words[i - back], words[i]) for i in range(len(words)) for back in (1, 2) if i >= back}
    return {word: len({a for a, b in pairs if b == word}) for word in dict.fromkeys(words[1:])}


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (tagging.span_f1, recall_twice, "the weight of recall were 2, not 1"),
        (overlaps.rouge_l, recall_twice_of_words, "the weight of recall were 2, not 1"),
        (counting.continuation_counts, two_words_before,
         "the number of words before were 2, not 1"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("known_to_end")
def test_a_verdict_names_a_slip_in_another_style(check, answer, said):
    assert said in check.verdict(answer).title
