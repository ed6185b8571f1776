import math

import pytest
import torch

from llmcourse.checks.harness import case, exercise
from llmcourse.checks.relations import Pair, relation, value_relation

T = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
U = torch.tensor([[1.0, 2.0], [3.0, 5.0]])


def said(function, truths=(T, U), inputs=None):
    pairs = [Pair(inputs or {}, truth, function(truth)) for truth in truths]
    return relation(pairs)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda t: -t, "the sign is the wrong way round"),
        (lambda t: t / math.log(2), "it is in bits, where nats are meant"),
        (lambda t: t * math.log(2), "it is in nats, where bits are meant"),
        (lambda t: 100 * t, "it is in percent"),
        (lambda t: 3.7 * t, "always 3.7 times"),
        (lambda t: t + 1.5, "always too large by 1.5"),
        (lambda t: t - 1, "always too small by 1"),
        (lambda t: 1 - t, "1 minus the right one"),
        (lambda t: 1 / t, "1 divided by the right one"),
        (lambda t: t.log(), "the logarithm of the right one"),
        (lambda t: t.exp(), "the exponential of the right one"),
        (lambda t: t.sqrt(), "the root of the right one"),
        (lambda t: t.square(), "the square of the right one"),
        (lambda t: t.mT, "the last two axes exchanged"),
        (lambda t: t.flip(-1), "backwards along the last axis"),
        (lambda t: t.flip(0), "backwards."),
        (lambda t: t.roll(1, -1), "one place too far on"),
        (lambda t: t.flatten().sort().values.view(t.shape), "in another order"),
        (lambda t: t[None], "an axis of size 1"),
        (lambda t: t.flatten(), "their shape is missing"),
        (lambda t: t + torch.eye(*t.shape)[:, [0] * t.size(1)] * 0.1, "but the first row"),
        (lambda t: torch.cat([t[:, :-1], 9 * t[:, -1:]], 1), "but the last entry"),
    ],
)
def test_what_an_answer_has_to_do_with_the_truth(function, words):
    assert words in said(function)


def test_what_does_not_hold_in_every_case_is_not_said():
    assert relation([Pair({}, T, -T), Pair({}, U, 2 * U)]) is None
    assert relation([Pair({}, T, T.cos()), Pair({}, U, U.tan())]) is None
    assert relation([]) is None


def test_rows_that_should_sum_to_one():
    assert "one of yours sums to 1.3" in said(lambda t: t + torch.tensor([0.3, 0, 0]), (T, T[:1]))
    even = said(lambda t: torch.full_like(t, 1 / 3), (T, T[:1] * 1))
    assert "Your rows sum to 1" in even


def test_a_size_that_is_a_factor():
    pairs = [Pair({"x": torch.zeros(2, n)}, t, n * t) for n, t in ((3, T), (5, U))]
    assert "`x`'s size along the last axis times the right one" in relation(pairs)
    pairs = [Pair({"x": torch.zeros(n)}, t, t / n) for n, t in ((3, T), (5, U))]
    assert "one part in `x`'s size" in relation(pairs)
    pairs = [Pair({"text": "a" * n}, t, n**0.5 * t) for n, t in ((3, T), (5, U))]
    assert "the root of the length of `text`" in relation(pairs)


def test_arguments_and_constants():
    same = [Pair({"x": T, "y": U}, 2 * T, T), Pair({"x": U, "y": T}, 2 * U, U)]
    assert relation(same) == "You give back `x` as it came."
    by_chance = [Pair({"n": 2, "x": 5}, 3, 2), Pair({"n": 2, "x": 6}, 4, 2)]
    assert "`n`" not in (relation(by_chance) or "")
    assert relation([Pair({"n": 2}, 3, 2), Pair({"n": 4}, 3, 4)]) == "You give back `n` as it came."
    fixed = [Pair({}, "a", "b"), Pair({}, "c", "b")]
    assert "the same whatever comes in: 'b'" in relation(fixed)
    swapped = [Pair({}, (1, "x"), ("x", 1)), Pair({}, (2, "y"), ("y", 2))]
    assert "reverse order" in relation(swapped)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda t: t[::-1], "backwards"),
        (lambda t: t[1:], "The first is missing"),
        (lambda t: t[:-1], "The last is missing"),
        (lambda t: t[:1], "stop too early"),
        (lambda t: t + t[:2], "goes on too long"),
        (lambda t: t[:2] + t, "stands before it"),
        (lambda t: t[1:] + t[:1], "1 place too early"),
        (lambda t: t[1:2] + t[:1] + t[2:], "another order"),
        (lambda t: t[:1] + t[2:], "something is missing"),
    ],
)
def test_lists(function, words):
    truths = (["a", "b", "c", "d"], ["x", "y", "z", "a", "u"])
    assert words in said(function, truths)


def test_lists_of_tensors_and_odd_things_are_survived():
    assert "backwards" in said(lambda t: t[::-1], ([T, U], [U, T, T]))
    assert relation([Pair({}, [1], [object()]), Pair({}, {1}, {2})]) is None


@pytest.mark.parametrize(
    ("truth", "got", "words"),
    [
        (2.0, -2.0, "the sign"),
        (3.0, 3.0 / math.log(2), "in bits"),
        (0.3, 0.7, "1 minus"),
        (0.3, 1 / 0.3, "1 divided"),
        (0.3, 30.0, "percent"),
        (7, 8, "too large by exactly 1"),
        (7, 6, "too small by exactly 1"),
    ],
)
def test_a_single_number(truth, got, words):
    assert words in value_relation(truth, got)


def test_a_single_number_that_is_merely_wrong():
    assert value_relation(2.0, 2.3) is None
    assert value_relation(2.0, "2") is None
    assert value_relation(0.0, 3.0) is None


def test_of_the_same_numbers_in_another_nest_no_number_is_called_wrong():
    assert "The values are right" in relation([Pair({}, [1, 2, 3], [[1, 2], 3])])


def test_yes_and_no_in_another_order_say_nothing():
    mask = torch.tensor([[True, False], [True, True]])
    moved = torch.tensor([[True, True], [False, True]])
    assert relation([Pair({}, mask, moved), Pair({}, ~mask, mask)]) is None


def test_infinity_is_no_exponential():
    large = torch.tensor([1000.0, 2000.0])
    assert "exponential" not in (relation([Pair({}, large, large.exp())]) or "")


def test_values_are_related_where_gradients_are_wrong_too():
    @exercise("03", variants=("gradients",))
    def total(values):
        return values.sum()

    @total.cases
    def _():
        yield case("three", torch.tensor([1.0, 2.0, 4.0]))
        yield case("two", torch.tensor([3.0, 5.0]))

    said = total.verdict(lambda values: -values.sum()).text
    assert "-1 times" in said.replace("−", "-") or "sign" in said
