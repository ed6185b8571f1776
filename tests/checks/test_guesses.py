"""Right answers to slightly other questions, and patterns of what is wrong."""

import pytest
import torch

from llmcourse.checks.guesses import guesses_of
from llmcourse.checks.harness import case, exercise
from llmcourse.checks.patterns import pattern
from llmcourse.checks.references import Reference

SOURCE = '''\
def scaled(x: Tensor, y: Tensor, factor: float, mask: Tensor | None = None) -> Tensor:
    """A sum."""
    return x * factor + 10 * y
'''
AROUND = ("from torch import Tensor",)


@pytest.fixture
def guesses():
    return {guess.cause: guess for guess in guesses_of(Reference("scaled", SOURCE, AROUND))}


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("`x` had the opposite sign", [[31.0, 52.0]]),
        ("`x` were half as large", [[44.5, 34.0]]),
        ("`x` were sorted", [[28.0, 49.0]]),
        ("`factor` were larger by 1", [[52.0, 24.0]]),
        ("`y` stood where `x` is meant", [[52.0, 52.0]]),
    ],
)
def test_a_guess_does_what_its_cause_says(guesses, cause, result):
    x, y = torch.tensor([[3.0, -4.0]]), torch.tensor([[4.0, 4.0]])
    assert guesses[cause].answer()(x, y, 3.0).tolist() == result


def test_what_is_not_there_is_left_alone(guesses):
    x = torch.ones(2, 2)
    assert guesses["the first of `mask` stood for all"].answer()(x, x, 1.0, None).shape == (2, 2)


def test_a_count_has_no_logarithm_for_a_factor(guesses):
    halved = guesses["`factor` were multiplied by ln 2"].answer()
    one = torch.ones(1)
    assert halved(one, 0 * one, 1.0).item() == pytest.approx(0.6931, abs=1e-4)
    with pytest.raises(TypeError):
        halved(one, 0 * one, 1)


ONE = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
TWO = torch.tensor([[2.0, 1.0], [5.0, 3.0]])


def said(*made, truths=(ONE, TWO), **inputs):
    pairs = zip(truths, made, strict=True)
    return pattern([({"x": 7 * truth, **inputs}, truth, got) for truth, got in pairs])


def test_rows_with_factors_of_their_own():
    factors = torch.tensor([[2.0], [3.0]])
    assert said(ONE * factors, TWO * factors).startswith("Each row is right but for a factor")
    assert said(ONE * factors, TWO + 0.1 * torch.eye(2)) is None


def test_rows_with_a_number_added():
    added = torch.tensor([[1.0], [-1.0]])
    assert said(ONE + added, TWO + added).startswith("Each row is right but for a number")


def test_an_argument_is_added():
    noise = torch.tensor([[0.3, 0.9], [0.2, 0.5]])
    found = said(ONE + noise, TWO + noise, noise=noise)
    assert found == "Your result is the right one plus `noise`."


def test_holes_and_what_came_through():
    hidden = torch.tensor([[True, False], [True, True]])
    assert "it is 0" in said(ONE * hidden, TWO * hidden)
    through = (torch.where(hidden, t, 7 * t) for t in (ONE, TWO))
    assert said(*through) == "Where yours is wrong, `x` has come through as it was."
    lost = (torch.where(hidden, t, torch.nan) for t in (ONE, TWO))
    assert "places that are NaN" in said(*lost)


def test_masks_that_let_too_much_or_too_little_through():
    truth = torch.tensor([True, False, True])
    few, many = torch.tensor([True, False, False]), torch.tensor([True, True, True])
    assert said(few, truths=(truth,)).startswith("Every True of yours")
    assert said(many, truths=(truth,)).startswith("Every False of yours")
    assert said(few.roll(1), truths=(truth,)) is None


def test_nothing_is_said_of_what_has_no_pattern():
    assert said(ONE.flip(0) + 0.1 * ONE**2, TWO**2 - ONE) is None
    assert said([1.0], truths=(ONE,)) is None
    assert pattern([]) is None


def test_a_check_says_what_it_recognises():
    @exercise("00")
    def rows(x):
        return x / x.norm(dim=-1, keepdim=True)

    @rows.cases
    def _():
        yield case("two rows", torch.tensor([[1.0, 2.0], [3.0, 5.0]]))

    verdict = rows.verdict(lambda x: x / x.amax(-1, keepdim=True))
    assert "factor of its own" in verdict.title
