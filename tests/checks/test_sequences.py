"""How lists, texts, masks and sized numbers are wrong."""

import math

import pytest
import torch

from llmcourse.checks.dependence import on_arguments
from llmcourse.checks.patterns import pattern
from llmcourse.checks.relations import Pair, relation
from llmcourse.checks.sequences import in_sequences
from llmcourse.checks.sized import sized_relation


def said(*pairs, **inputs):
    return in_sequences([(inputs, truth, got) for truth, got in pairs]) or ""


def test_one_thing_that_stands_for_another():
    pair = ([-100, 5, -100, 6], [0, 5, 0, 6])
    assert said(pair) == "Wherever yours is wrong, 0 stands where -100 belongs."
    assert "`mark` stands where -100" in said(([-100, 5, -100], [9, 5, 9]), mark=9)
    labels = (["E-LOC", "O", "E-PER"], ["I-LOC", "O", "I-PER"])
    assert said(labels) == "Wherever yours is wrong, I stands where E belongs."
    assert said(([1, 2, 3], [1, 9, 3])) == "", "a single place is no rule"
    assert said(([1, 2, 3, 4], [1, 9, 8, 4])) == ""


def test_something_that_stands_everywhere_it_goes_wrong():
    assert "0 stands: something else" in said(([1, 2, 3], [0, 0, 3]))
    assert said(([1, 2], [0, 0]), ([3, 4], [0, 0])) == "", "nothing is right"


def test_what_stands_too_often_or_is_missing():
    assert "`sep` stands too often" in said(([1, 2, 7], [1, 2, 7, 7]), sep=7)
    assert "`sep` is missing" in said(([1, 2, 7], [1, 2]), sep=7)
    assert "stands too often" not in said(([1, 2, 7], [2, 1, 7, 7]), sep=7)
    assert said(([1, 2], [1, 2, 3, 4])) == ""


def test_sorted_and_late():
    assert "sorted," in said(([3, 1, 2], [1, 2, 3]))
    assert "from the largest down" in said(([3, 1, 2], [3, 2, 1]))
    assert "2 places too late" in said(([1, 2, 3, 4, 5, 6], [9, 9, 1, 2, 3, 4]))
    assert "1 place too early" in said(([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 6]))
    assert said(([1, 1, 1, 1, 1], [2, 1, 1, 1, 1])) == ""


@pytest.mark.parametrize("step", [1, -1])
def test_one_more_or_fewer_is_kept(step):
    one, two = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([1.0, 4.0, 2.0])

    def cut(logits, n):
        kept = logits.argsort(descending=True)[:n]
        return torch.full_like(logits, -math.inf).index_copy(0, kept, logits[kept])

    words = said(*((cut(t, 2), cut(t, 2 + step)) for t in (one, two)))
    assert f"one {'more' if step > 0 else 'fewer'}" in words
    assert said((cut(one, 1), cut(one, 3)), (cut(two, 2), cut(two, 3))) == ""


def sized(function, truth=lambda a, b: float(a * b)):
    numbers = [(2, 3), (5, 4), (3, 7), (11, 2)]
    return sized_relation(
        [
            ({"a": a, "b": b}, torch.tensor(truth(a, b)).numpy(), torch.tensor(made).numpy())
            for a, b in numbers
            for made in [float(function(a, b))]
        ]
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda a, b: a * b + math.log(a), "too large by the logarithm of `a`"),
        (lambda a, b: a * b - 1 / b, "too small by 1 divided by `b`"),
        (lambda a, b: a * b * (a + 1), "the right one times (`a` plus 1)"),
        (lambda a, b: a * b * a**0.5 / 8, "times the root of `a` times 0.125"),
        (lambda a, b: a * b + 4 * a * b * b, "too large by 4 · `a` · `b`²"),
        (lambda a, b: a * b - 3 * a, "too small by 3 · `a`: a term is missing"),
        (lambda a, b: a * b + math.sin(a * b), None),
    ],
)
def test_numbers_and_the_size_of_the_question(function, words):
    found = sized(function)
    assert (found is None) if words is None else (words in found)


def test_two_rows_and_what_they_have_to_do_with_each_other():
    rows = [([0.1, 0.9], [0.0, 1.0]), ([0.5, 0.2], [1.0, 0.0]), ([0.3, 0.3], [1.0, 1.0])]
    cases = [
        ({"p": p, "y": y}, 0.0, sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / 2)
        for p, y in rows
    ]
    assert on_arguments(cases) == "Your result is the mean squared difference of `p` and `y`."


def test_of_several_results_those_that_are_wrong_in_the_same_way():
    pairs = [Pair({}, (n, [n, 2, 3], [n, 5, 6]), (n, [2, 3], [5, 6])) for n in (1, 4)]
    assert relation(pairs) == "Of [1] and [2] of your results: the first is missing."
    other = [Pair({}, ([n], [n, 1]), ([n, 1], [n, 1])) for n in (1, 2)]
    assert "What [1] should be stands there as well" in (relation(other) or "")


def test_rows_that_are_an_argument():
    truth = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    q = torch.tensor([9.0, 4.0])  # one of its numbers is right by chance
    found = pattern([({"q": q}, truth, torch.stack([truth[0], q]))])
    assert found == "Where yours is wrong, `q` has come through as it was."
