"""Slips of place and of order: what each does, and that a verdict names it and nothing else."""

import pytest
import torch

from llmcourse.checks.bank import optimizers, pooling, preferences, transformer
from llmcourse.checks.guesses import guesses_of, slips_of
from llmcourse.checks.harness import case, exercise
from llmcourse.checks.references import Reference

SOURCE = '''\
def mixed(x: Tensor, y: Tensor, at: int) -> Tensor:
    """A mixture."""
    ### BEGIN SOLUTION
    rows = x[at] + (x @ y).relu()[0]
    for one in y:
        rows = rows + one
    top = sum([1.0, 3.0])
    return rows * top
    ### END SOLUTION
'''
AROUND = ("import torch", "from torch import Tensor")
X = torch.tensor([[1.0, -2.0], [3.0, 0.5]])
Y = torch.tensor([[2.0, 1.0], [-1.0, 4.0]])


def results(reference=None):
    reference = reference or Reference("mixed", SOURCE, AROUND)
    made = {}
    for guess in (*guesses_of(reference), *slips_of(reference)):
        try:
            made.setdefault(guess.cause, guess.answer()(X, Y, 1))
        except Exception:  # a slip may not run at all
            continue
    return made


BOTH = (X @ Y).relu()


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("a column of `x` stood where a row is meant", 4 * (X[:, 1] + BOTH[0] + Y.sum(0))),
        ("the last of what comes from `x` and `y` stood where the first is meant",
         4 * (X[1] + BOTH[-1] + Y.sum(0))),
        ("the first of `y` were left out there", 4 * (X[1] + BOTH[0] + Y[1])),
        ("the last of `y` were left out there", 4 * (X[1] + BOTH[0] + Y[0])),
        ("the smallest stood where the sum is meant", X[1] + BOTH[0] + Y.sum(0)),
        ("the ReLU were taken of `x` alone, not of the product",
         4 * (X[1] + (X.relu() @ Y)[0] + Y.sum(0))),
        ("the step that changes what comes from `at` and `x` and `y` were taken twice", None),
        ("`x` were kept between -1 and 1", 4 * (X.clamp(-1, 1)[1]
                                                + (X.clamp(-1, 1) @ Y).relu()[0] + Y.sum(0))),
        ("the mean of `x` and `y` were taken away", None),
    ],
)  # fmt: skip
def test_a_slip_does_what_it_says(cause, result):
    found = results()
    if result is None:
        alike = [c for c in found if c.endswith("taken twice") or c == cause]
        assert alike
        return
    assert torch.allclose(found[cause], result)


def clipped_without_the_first(gradients, max_norm):
    norm = sum(float(g.square().sum()) for g in gradients[1:]) ** 0.5
    return [g * (max_norm / norm if norm > max_norm else 1.0) for g in gradients]


def silu_twice(hidden, gate, up, down):
    def silu(x):
        return x / (1 + torch.exp(-x))

    return (silu(silu(hidden @ gate.mT)) * (hidden @ up.mT)) @ down.mT


def beta_upside_down_in_the_loss(policy_chosen, policy_rejected, chosen, rejected, beta):
    good, bad = policy_chosen - chosen.detach(), policy_rejected - rejected.detach()
    losses = torch.nn.functional.softplus(-(good - bad) / beta)
    return losses, (beta * good).detach(), (beta * bad).detach()


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (optimizers.clip, clipped_without_the_first, "the first of `gradients` were left out"),
        (transformer.swiglu, silu_twice, "silu were taken twice"),
        (preferences.dpo, beta_upside_down_in_the_loss,
         "Of your results, [0] alone is wrong, as if `beta` were 1 divided by it"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("known_to_end")
def test_a_verdict_names_what_no_bank_holds(check, answer, said):
    assert said in check.verdict(answer).title


def a_mean(*cases):
    @exercise("02")
    def perplexity(probabilities):
        return 1 / probabilities.log().mean().exp().item()

    @perplexity.cases
    def _():
        for number, probabilities in enumerate(cases):
            yield case(f"case {number}", torch.tensor(probabilities))

    return perplexity


LONG = [[0.5, 0.25, 0.1], [0.3, 0.2, 0.9, 0.4], [0.7, 0.2], [0.9, 0.6, 0.3], [0.2, 0.3, 0.5]]


@pytest.mark.usefixtures("known_to_end")
def test_an_idea_that_leaves_nothing_in_one_case_is_named_for_the_others():
    def without_the_last(probabilities):
        kept = probabilities[:-1]
        return float(torch.exp(-kept.log().mean())) if len(kept) else 1.0

    said = "the last of `probabilities` were left out"
    assert said in a_mean(*LONG, [0.5]).verdict(without_the_last).title
    assert said not in a_mean(LONG[0], [0.5], [0.2], [0.4]).verdict(without_the_last).title


@pytest.mark.usefixtures("known_to_end")
def test_an_idea_that_does_not_explain_one_case_is_not_named():
    def sometimes(probabilities):
        kept = probabilities[:-1] if len(probabilities) != 4 else probabilities[1:]
        return float(torch.exp(-kept.log().mean()))

    assert "left out" not in a_mean(*LONG).verdict(sometimes).title


def pooled_but(hidden, lengths):
    rows = [row[:n].mean(0) for row, n in zip(hidden, lengths.tolist(), strict=True)]
    return torch.stack(rows) + 0.3 * hidden[:, 0] ** 3


@pytest.mark.usefixtures("known_to_end")
def test_what_is_no_slip_gets_no_name():
    verdict = pooling.masked_mean.verdict(pooled_but)
    assert verdict.status == "wrong"
    assert "as if" not in verdict.title
