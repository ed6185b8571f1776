"""L2, L1 and decoupled decay: against algebra, and against what optimizers make of them."""

import math

import pytest
import torch
from numerics import close
from torch import nn

from llmcourse.errors import UserError
from llmcourse.optim import penalties
from llmcourse.optim.adam import Adam, AdamW
from llmcourse.optim.sgd import SGD


@pytest.fixture
def weights():
    generator = torch.Generator().manual_seed(0)
    return [
        nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for shape in ((3, 4), (5,), ())
    ]


def test_by_hand():
    weights = [torch.tensor([3.0, -4.0]), torch.tensor(1.0)]
    assert penalties.l2_penalty(weights, 0.1).item() == pytest.approx(0.05 * 26)
    assert penalties.l1_penalty(weights, 0.1).item() == pytest.approx(0.1 * 8)
    assert penalties.l1_penalty([], 0.1).item() == 0


def test_their_pulls_are_the_weight_and_its_sign(weights):
    pulls = torch.autograd.grad(penalties.l2_penalty(weights, 0.3), weights)
    for weight, pull in zip(weights, pulls, strict=True):
        close(pull, 0.3 * weight.detach())
    pulls = torch.autograd.grad(penalties.l1_penalty(weights, 0.3), weights)
    for weight, pull in zip(weights, pulls, strict=True):
        close(pull, 0.3 * weight.detach().sign())


def trained(weights, make, penalty=None, after=None):
    """Fifty steps from the same start on a loss whose gradients differ in size."""
    copies = [nn.Parameter(weight.detach().clone()) for weight in weights]
    optimizer = make(copies)
    for step in range(50):
        optimizer.zero_grad()
        loss = sum((10**i * (w - 0.1 * step).square()).sum() for i, w in enumerate(copies))
        (loss + (penalty(copies) if penalty else 0)).backward()
        if after:
            after(copies)
        optimizer.step()
    return torch.cat([w.detach().flatten() for w in copies])


def test_what_optimizers_call_weight_decay_is_l2_and_with_w_it_is_not(weights):
    def l2(copies):
        return penalties.l2_penalty(copies, 0.4)

    def decay(copies):
        penalties.decay_(copies, lr=1e-3, strength=0.4)

    for kind in (SGD, Adam):
        built_in = trained(weights, lambda w, k=kind: k(w, lr=1e-3, weight_decay=0.4))
        close(built_in, trained(weights, lambda w, k=kind: k(w, lr=1e-3), penalty=l2))
    plain = trained(weights, lambda w: AdamW(w, lr=1e-3, weight_decay=0.0), after=decay)
    close(plain, trained(weights, lambda w: AdamW(w, lr=1e-3, weight_decay=0.4)))
    with_l2 = trained(weights, lambda w: Adam(w, lr=1e-3, weight_decay=0.4))
    assert (plain - with_l2).abs().max() > 1e-3


def test_for_plain_descent_they_are_one(weights):
    def decay(copies):
        penalties.decay_(copies, lr=1e-3, strength=0.4)

    with_l2 = trained(weights, lambda w: SGD(w, lr=1e-3, weight_decay=0.4))
    close(with_l2, trained(weights, lambda w: SGD(w, lr=1e-3), after=decay))


def test_soft_threshold_is_the_minimum_that_it_stands_for():
    """It minimises `(θ - x)²/2 + a |θ|`: a fine grid finds nothing better."""
    grid = torch.linspace(-4, 4, 80_001, dtype=torch.float64)
    for x in (-3.0, -0.5, 0.0, 0.2, 0.7, 2.0):
        found = penalties.soft_threshold(torch.tensor(x, dtype=torch.float64), 0.6)
        best = grid[((grid - x).square() / 2 + 0.6 * grid.abs()).argmin()]
        close(found, best, atol=1e-4)
    zeros = penalties.soft_threshold(torch.tensor([0.5, -0.6, 2.0]), 0.6)
    assert zeros[:2].tolist() == [0, 0]
    assert zeros[2].item() == pytest.approx(1.4)


def test_decay_takes_the_same_share_of_all(weights):
    before = [weight.detach().clone() for weight in weights]
    penalties.decay_(weights, lr=0.1, strength=0.5)
    for weight, old in zip(weights, before, strict=True):
        close(weight.detach(), 0.95 * old)
        assert weight.requires_grad


@pytest.mark.parametrize("strength", [-0.1, math.nan])
@pytest.mark.parametrize(
    "call",
    [
        lambda s: penalties.l2_penalty([torch.ones(2)], s),
        lambda s: penalties.l1_penalty([torch.ones(2)], s),
        lambda s: penalties.soft_threshold(torch.ones(2), s),
        lambda s: penalties.decay_([torch.ones(2)], 0.1, s),
    ],
)
def test_a_reward_for_large_weights_is_refused(call, strength):
    with pytest.raises(UserError, match="must be at least 0"):
        call(strength)
