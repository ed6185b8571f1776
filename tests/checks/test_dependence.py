import math

import pytest
import torch

from llmcourse.checks.dependence import on_arguments
from llmcourse.checks.relations import Pair, relation


def cases(got, truth=lambda a, b: a + b):
    inputs = [{"a": 2.0, "b": 5.0}, {"a": 3.0, "b": 4.0}, {"a": 7.0, "b": 0.5}]
    return [(case, truth(**case), got(**case)) for case in inputs]


@pytest.mark.parametrize(
    ("got", "said"),
    [
        (lambda a, b: math.sqrt(b), "Your result is the root of `b`, and nothing else goes"),
        (lambda a, b: -math.log(a), "Your result is minus the logarithm of `a`"),
        (lambda a, b: (a + b) * b / a, "Your result is the right one times `b` / `a`."),
        (lambda a, b: (a + b) * a * a / 2, "Your result is the right one times 1/2 · `a`²."),
        (lambda a, b: (a + b) / math.log(2) / b, "the right one times 1 / ln 2 / `b`."),
        (lambda a, b: torch.tensor(1 / b), "Your result is 1 divided by `b`"),
    ],
)
def test_what_a_number_has_to_do_with_the_arguments(got, said):
    assert said in (on_arguments(cases(got)) or "")


def test_nothing_is_found_where_there_is_nothing():
    assert on_arguments(cases(lambda a, b: a * b + 1)) is None
    assert on_arguments(cases(lambda a, b: 3.0)) is None  # the same always: another relation
    assert on_arguments(cases(lambda a, b: math.inf)) is None
    assert on_arguments(cases(lambda a, b: [a, b])) is None
    assert on_arguments(cases(lambda a, b: b)[:1]) is None


def test_a_tensors_own_numbers():
    rows = [torch.tensor([1.0, 2.0, 6.0]), torch.tensor([4.0, 0.5])]
    mean = [({"row": row}, 0.0, row.mean()) for row in rows]
    assert on_arguments(mean) == "Your result is the mean of `row`, and nothing else goes into it."
    length = [({"row": row}, 0.0, len(row)) for row in rows]
    assert "the length of `row`" in on_arguments(length)


def test_right_values_in_another_container_are_told_from_wrong_ones():
    truth = (torch.tensor([1, 2]), torch.tensor([3]))
    said = relation([Pair({}, truth, list(truth)), Pair({}, truth, list(truth))])
    assert said == "The values are right, in a list where a tuple is expected."
    wrong = [torch.tensor([1, 2]), torch.tensor([4])]
    assert "The values are right" not in (relation([Pair({}, truth, wrong)]) or "")


def test_infinity_that_was_kept_away():
    pairs = [Pair({}, math.inf, 7.0), Pair({}, torch.tensor([1.0, math.inf]), torch.ones(2))]
    assert relation(pairs) == "Infinity is right here, and something of yours keeps it away."
    assert "Infinity" not in (relation([*pairs, Pair({}, 2.0, 3.5)]) or "")


def test_always_is_said_of_what_holds_in_the_right_cases_as_well():
    wrong, right = [Pair({}, 3, 4), Pair({}, 3, 4)], [Pair({}, 1, 1)]
    assert relation(wrong) == "Your result is always 1.333 times the right one."
    assert relation(wrong, [Pair({}, 0, 0)]) == "Your result is always 1.333 times the right one."
    assert relation(wrong, right) is None
    rounded = [Pair({}, 0.26, 0.0), Pair({}, 2.0, 2.0)]
    assert "rounded" in (relation(rounded[:1], rounded[1:]) or "")


def test_a_dicts_numbers_are_compared_by_key():
    truth = {"a": 1.0, "b": 3.0}
    said = relation([Pair({}, truth, {"b": -3.0, "a": -1.0})])
    assert said == "Your result is always -1 times the right one: the sign is the wrong way round."
    assert relation([Pair({}, ["a", "b"], ("a", "b"))]) == (
        "The values are right, in a tuple where a list is expected."
    )


def test_one_of_several_results_is_looked_at_by_itself():
    pairs = [Pair({}, (n, [1, 2]), (n, [2, 1])) for n in (3, 4)]
    said = "Of your results, [1] alone is wrong. The right ones are there, backwards."
    assert relation(pairs) == said
    other = Pair({}, (5, [1]), (6, [1]))
    assert "alone" not in (relation([*pairs, other]) or "")


def test_several_tensors_in_one_are_the_right_values():
    truth = (torch.tensor([1.0]), torch.tensor([2.0]))
    said = relation([Pair({}, truth, torch.stack(truth))])
    assert said == (
        "The right results are there, put together in one tensor: give them back as a tuple."
    )


def test_a_sign_is_seen_beside_infinity():
    pairs = [Pair({}, 4.0, -4.0), Pair({}, math.inf, -math.inf)]
    assert "the sign is the wrong way round" in (relation(pairs) or "")
    assert "sign" not in (relation([pairs[0], Pair({}, math.inf, math.inf)]) or "")
