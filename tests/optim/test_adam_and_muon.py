"""Our optimizers against the library's, step for step in float64."""

import copy
import math

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.optim.adam import AdamW
from llmcourse.optim.muon import COEFFICIENTS, Muon, orthogonalize

STEPS = 100
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def twin_models(bias=True):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 9, bias=bias), nn.Tanh(), nn.Linear(9, 3, bias=bias)]
    model = nn.Sequential(*layers).double()
    return model, copy.deepcopy(model)


def groups(model):
    """One group with the defaults and one with its own rate and decay."""
    return [
        {"params": [model[0].weight]},
        {"params": [p for p in model.parameters() if p is not model[0].weight],
         "lr": 3e-3, "weight_decay": 0.0},
    ]  # fmt: skip


def loss_of(model, step):
    inputs = torch.randn(8, 6, generator=torch.Generator().manual_seed(step)).double()
    return (model(inputs) - inputs[:, :3].sin()).square().mean()


def train(model, optimizer, first=0, last=STEPS):
    for step in range(first, last):
        for group in optimizer.param_groups:
            group["lr"] *= 0.99  # a schedule changes the rate between steps
        optimizer.zero_grad()
        loss_of(model, step).backward()
        optimizer.step()


OURS_AND_THEIRS = [
    pytest.param(
        lambda p: AdamW(p, lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.3),
        True,
        id="adamw",
    ),
    pytest.param(AdamW, torch.optim.AdamW, True, id="adamw, defaults"),
    pytest.param(
        lambda p: Muon(p, lr=1e-2, weight_decay=0.3, momentum=0.9, steps=4),
        lambda p: torch.optim.Muon(p, lr=1e-2, weight_decay=0.3, momentum=0.9, ns_steps=4),
        False,
        id="muon",
    ),
    pytest.param(Muon, torch.optim.Muon, False, id="muon, defaults"),
]


@pytest.mark.parametrize(("ours", "theirs", "bias"), OURS_AND_THEIRS)
def test_a_hundred_steps_equal_the_librarys(ours, theirs, bias):
    model, twin = twin_models(bias)
    start = copy.deepcopy(model)
    our_optimizer, their_optimizer = ours(groups(model)), theirs(groups(twin))
    for first in range(0, STEPS, 10):
        train(model, our_optimizer, first, first + 10)
        train(twin, their_optimizer, first, first + 10)
        for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(mine, other, **EXACT)
    moved = (model[0].weight - start[0].weight).abs().max()
    assert moved > 0.02


@pytest.mark.parametrize(("ours", "theirs", "bias"), OURS_AND_THEIRS)
def test_a_saved_state_goes_on_exactly(ours, theirs, bias):
    model, _ = twin_models(bias)
    optimizer = ours(groups(model))
    train(model, optimizer, 0, 30)
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    train(model, optimizer, 30, 60)

    resumed, _ = twin_models(bias)
    resumed.load_state_dict(saved[0])
    fresh = ours(groups(resumed))
    fresh.load_state_dict(saved[1])
    train(resumed, fresh, 30, 60)
    for mine, other in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("kind", [AdamW, Muon])
def test_what_has_no_gradient_is_left_alone_and_a_closure_is_called(kind):
    seen, unseen = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = kind([seen, unseen], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (seen * torch.tensor([[1.0, 2.0], [3.0, -1.0]])).sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 5.0
    assert torch.equal(unseen, torch.ones(2, 2))
    assert not torch.equal(seen, torch.ones(2, 2))


def test_adams_first_step_is_the_rate_whatever_the_gradient():
    parameter = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    parameter.grad = torch.tensor([1e-3, -7.0, 1e4], dtype=torch.float64)
    AdamW([parameter], lr=0.01, weight_decay=0.5).step()
    expected = torch.tensor([-0.01, 0.01, -0.01], dtype=torch.float64)
    torch.testing.assert_close(parameter.data, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("shape", [(8, 8), (5, 20), (20, 5), (1, 7), (64, 48)])
def test_orthogonalized_singular_values_are_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
    result = orthogonalize(matrix, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    normed = s / s.square().sum().sqrt()
    new = u.T @ result @ v.T  # its singular vectors are those of the matrix
    torch.testing.assert_close(new, new.diag().diag(), rtol=0, atol=1e-10)
    assert new.diag()[normed > 0.005].min() > 0.68
    assert new.diag().max() < 1.16
    assert result.dtype == matrix.dtype
    assert result.shape == matrix.shape


def test_each_step_is_the_quintic_on_singular_values():
    a, b, c = COEFFICIENTS
    s = torch.tensor([0.9, 0.4, 0.1], dtype=torch.float64)
    s = s / s.norm()
    result = orthogonalize(s.diag(), steps=1, dtype=torch.float64)
    torch.testing.assert_close(result, (a * s + b * s**3 + c * s**5).diag(), **EXACT)


def test_orthogonalize_ignores_scale_and_survives_zero():
    matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    small = orthogonalize(matrix * 1e-3, dtype=torch.float64)
    torch.testing.assert_close(small, orthogonalize(matrix, dtype=torch.float64))
    assert torch.equal(orthogonalize(torch.zeros(3, 3)), torch.zeros(3, 3))
    half = orthogonalize(matrix)
    assert half.dtype == torch.float32
    spread = torch.linalg.svdvals(half)
    assert spread.min() > 0.6
    assert spread.max() < 1.25


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (AdamW, {"lr": -1e-3}),
        (AdamW, {"lr": math.nan}),
        (AdamW, {"eps": -1.0}),
        (AdamW, {"weight_decay": -0.1}),
        (AdamW, {"betas": (1.0, 0.9)}),
        (AdamW, {"betas": (0.9, -0.1)}),
        (Muon, {"lr": math.inf}),
        (Muon, {"weight_decay": -0.1}),
        (Muon, {"momentum": -0.1}),
    ],
)
def test_options_out_of_range_are_refused_in_any_group(kind, options):
    name = next(iter(options))
    with pytest.raises(UserError, match=name):
        kind([nn.Parameter(torch.zeros(2, 2))], **options)
    one = {"params": [nn.Parameter(torch.zeros(2, 2))]}
    with pytest.raises(UserError, match=name):
        kind([one, {"params": [nn.Parameter(torch.zeros(2, 2))], **options}])


def test_muon_takes_matrices_alone():
    for shape in ((3,), (2, 3, 4), ()):
        with pytest.raises(UserError, match="Muon takes matrices"):
            Muon([nn.Parameter(torch.zeros(shape))])
