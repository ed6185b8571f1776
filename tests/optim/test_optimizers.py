"""Our optimizers against the library's, step for step in float64."""

import copy
import functools
import math

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.optim.adam import Adam, AdamW
from llmcourse.optim.groups import decay_groups, split_for_muon
from llmcourse.optim.lion import Lion
from llmcourse.optim.muon import COEFFICIENTS, BatchedMuon, Muon, orthogonalize
from llmcourse.optim.rmsprop import RMSProp
from llmcourse.optim.sgd import SGD

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


class SpelledLion(torch.optim.Optimizer):
    """The paper's algorithm 2, number by number in plain Python: the library has no Lion."""

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def step(self):
        for group in self.param_groups:
            for parameter in group["params"]:
                state = self.state[parameter]
                means = state.get("mean", [0.0] * parameter.numel())
                moved = [
                    self.one(*numbers, group)
                    for numbers in zip(
                        parameter.flatten().tolist(),
                        parameter.grad.flatten().tolist(),
                        means,
                        strict=True,
                    )
                ]
                weights, state["mean"] = map(list, zip(*moved, strict=True))
                parameter.data = torch.tensor(weights, dtype=parameter.dtype).view_as(parameter)

    @staticmethod
    def one(weight, gradient, mean, group):
        beta1, beta2 = group["betas"]
        mixed = beta1 * mean + (1 - beta1) * gradient
        sign = (mixed > 0) - (mixed < 0)
        moved = weight - group["lr"] * (sign + group["weight_decay"] * weight)
        return moved, beta2 * mean + (1 - beta2) * gradient


def pair(ours, theirs, name, **options):
    """Two makers of optimizers with the same options, whose names are the library's."""
    return pytest.param(lambda p: ours(p, **options), lambda p: theirs(p, **options), True, id=name)


# The library's multiplies in bfloat16 on every device.
HalfMuon = functools.partial(Muon, dtype=torch.bfloat16)
HalfBatchedMuon = functools.partial(BatchedMuon, dtype=torch.bfloat16)

OURS_AND_THEIRS = [
    pair(SGD, torch.optim.SGD, "sgd", lr=0.1, weight_decay=0.01),
    pair(SGD, torch.optim.SGD, "momentum", lr=0.02, momentum=0.9, weight_decay=0.01),
    pair(SGD, torch.optim.SGD, "nesterov", lr=0.02, momentum=0.9, nesterov=True),
    pair(RMSProp, torch.optim.RMSprop, "rmsprop", lr=1e-2, alpha=0.9, eps=1e-6, weight_decay=0.01),
    pair(RMSProp, torch.optim.RMSprop, "rmsprop, defaults"),
    pair(Adam, torch.optim.Adam, "adam", lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.3),
    pair(Adam, torch.optim.Adam, "adam, defaults"),
    pair(Lion, SpelledLion, "lion", lr=1e-3, betas=(0.8, 0.95), weight_decay=0.3),
    pair(Lion, SpelledLion, "lion, defaults"),
    pytest.param(
        lambda p: AdamW(p, lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.3),
        lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.95), eps=1e-6, weight_decay=0.3),
        True,
        id="adamw",
    ),
    pytest.param(AdamW, torch.optim.AdamW, True, id="adamw, defaults"),
    pytest.param(
        lambda p: HalfMuon(p, lr=1e-2, weight_decay=0.3, momentum=0.9, steps=4),
        lambda p: torch.optim.Muon(p, lr=1e-2, weight_decay=0.3, momentum=0.9, ns_steps=4),
        False,
        id="muon",
    ),
    pytest.param(HalfMuon, torch.optim.Muon, False, id="muon, defaults"),
    pytest.param(HalfBatchedMuon, torch.optim.Muon, False, id="muon, batched"),
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
    assert moved > 5e-3


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


@pytest.mark.parametrize("kind", [SGD, RMSProp, Adam, AdamW, Lion, Muon, BatchedMuon])
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


@pytest.mark.parametrize(("dtype", "slack"), [(torch.float64, 0.0), (torch.bfloat16, 0.05)])
@pytest.mark.parametrize("shape", [(32, 32), (16, 64), (64, 16)])
def test_the_distance_to_the_polar_factor_is_bounded(shape, dtype, slack):
    """`U Vᵀ` is the nearest orthogonal matrix (the SVD's polar factor): how near do we come?

    Ours has the same singular vectors, so in the spectral norm the distance is the singular value
    that is furthest from one: at most 0.32, as long as none was too small to be lifted in time.
    """
    seen = []
    for seed in range(20):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()
        u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
        s = s.clamp(min=0.01 * s.square().sum().sqrt())  # what five steps are meant to reach
        matrix = u @ s.diag() @ vh
        off = orthogonalize(matrix, dtype=dtype) - u @ vh
        seen.append(torch.linalg.matrix_norm(off, 2).item())
        share = torch.linalg.matrix_norm(off) / torch.linalg.matrix_norm(u @ vh)
        assert share < 0.25 + slack  # on the whole it is nearer than at its worst
    assert max(seen) < 0.32 + slack
    assert max(seen) > 0.05  # it is no polar factor, and does not have to be


def test_more_steps_do_not_bring_it_nearer_and_fewer_leave_it_far():
    """The coefficients trade exactness for speed: it circles round one, it does not settle."""
    matrix = torch.randn(32, 32, generator=torch.Generator().manual_seed(0)).double()
    u, _, vh = torch.linalg.svd(matrix)

    def share(steps):
        off = orthogonalize(matrix, steps, dtype=torch.float64) - u @ vh
        return (off.norm() / (u @ vh).norm()).item()

    assert share(1) > 0.4 > 0.25 > share(5) > 0.05
    assert share(30) > 0.05


def test_each_step_is_the_quintic_on_singular_values():
    a, b, c = COEFFICIENTS
    s = torch.tensor([0.9, 0.4, 0.1], dtype=torch.float64)
    s = s / s.norm()
    result = orthogonalize(s.diag(), steps=1, dtype=torch.float64)
    torch.testing.assert_close(result, (a * s + b * s**3 + c * s**5).diag(), **EXACT)


def test_a_processor_multiplies_in_float32():
    """Most processors have no units for bfloat16: there it takes thirty times as long."""
    matrix = torch.randn(12, 7, generator=torch.Generator().manual_seed(0))
    assert torch.equal(orthogonalize(matrix), orthogonalize(matrix, dtype=torch.float32))
    assert not torch.equal(orthogonalize(matrix), orthogonalize(matrix, dtype=torch.bfloat16))


def test_a_stack_is_orthogonalized_matrix_by_matrix():
    stack = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    one_by_one = torch.stack([orthogonalize(matrix) for matrix in stack])
    torch.testing.assert_close(orthogonalize(stack), one_by_one)


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
        (SGD, {"lr": -0.1}),
        (SGD, {"momentum": 1.0}),
        (SGD, {"weight_decay": math.nan}),
        (RMSProp, {"alpha": 1.0}),
        (RMSProp, {"eps": -1.0}),
        (Adam, {"betas": (0.9, 1.0)}),
        (Lion, {"betas": (1.0, 0.99)}),
        (Lion, {"weight_decay": -1.0}),
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


def test_looking_ahead_needs_momentum():
    with pytest.raises(UserError, match=r"give momentum=0\.9"):
        SGD([nn.Parameter(torch.zeros(2))], nesterov=True)


@pytest.mark.parametrize("kind", [SGD, RMSProp, Adam, AdamW, Lion, Muon, BatchedMuon])
def test_the_gradient_is_left_as_it_is(kind):
    """Whoever logs it after the step sees what the loss gave, without decay or momentum."""
    parameter = nn.Parameter(torch.ones(2, 2))
    parameter.grad = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    before = parameter.grad.clone()
    kind([parameter], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(parameter.grad, before)


def test_momentum_multiplies_a_constant_slope_by_ten():
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = SGD([parameter], lr=0.01, momentum=0.9)
    for _ in range(300):
        before = parameter.item()
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    assert before - parameter.item() == pytest.approx(0.1, rel=1e-9)


def test_decay_within_the_gradient_spares_weights_with_large_gradients():
    """The difference between Adam with L2 and AdamW, in one step of two weights."""
    gradient = torch.tensor([1e-4, 1e4], dtype=torch.float64)
    shares = {}
    for kind in (Adam, AdamW):
        steps = []
        for decay in (0.0, 0.1):
            parameter = nn.Parameter(torch.ones(2, dtype=torch.float64))
            optimizer = kind([parameter], lr=0.01, weight_decay=decay)
            for sign in (1, -1, 1, -1):  # gradients that cancel, so that decay is what is left
                parameter.grad = sign * gradient
                optimizer.step()
            steps.append(parameter.data)
        shares[kind] = steps[0] - steps[1]
    assert shares[AdamW][0] == pytest.approx(shares[AdamW][1].item(), rel=1e-2)
    assert shares[Adam][0] > 1000 * shares[Adam][1].abs()


REAL = [
    pytest.param(SGD, torch.optim.SGD, {"lr": 0.1}, id="sgd"),
    pytest.param(SGD, torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}, id="momentum"),
    pytest.param(
        SGD, torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}, id="nesterov"
    ),
    pytest.param(RMSProp, torch.optim.RMSprop, {"lr": 1e-3}, id="rmsprop"),
    pytest.param(Adam, torch.optim.Adam, {"lr": 1e-3}, id="adam"),
    pytest.param(AdamW, torch.optim.AdamW, {"lr": 1e-3, "betas": (0.9, 0.95)}, id="adamw"),
    pytest.param(Lion, SpelledLion, {"lr": 1e-4}, id="lion"),
    pytest.param(HalfMuon, torch.optim.Muon, {"lr": 2e-2}, id="muon"),
    pytest.param(HalfBatchedMuon, torch.optim.Muon, {"lr": 2e-2}, id="muon, batched"),
    pytest.param(BatchedMuon, Muon, {"lr": 2e-2}, id="muon in fp32, batched"),
]


@pytest.mark.parametrize(("ours", "theirs", "options"), REAL)
def test_a_hundred_steps_of_a_gpt_with_decaying_groups(ours, theirs, options):
    # No biases: the keys' has a gradient of nothing but rounding, of which Lion takes the sign.
    config = modern_recipe(vocab_size=11, context_length=8, d_model=8, n_layers=2, n_heads=2)
    torch.manual_seed(0)
    model = GPT(config).double()
    twin = copy.deepcopy(model)
    optimizers = []
    for net, kind in ((model, ours), (twin, theirs)):
        parameters = (
            split_for_muon(net)[0] if theirs in (torch.optim.Muon, Muon) else list(net.parameters())
        )
        optimizers.append(kind(decay_groups(parameters, 0.1), **options))
    for step in range(STEPS):
        ids = torch.randint(11, (4, 9), generator=torch.Generator().manual_seed(step))
        for net, optimizer in zip((model, twin), optimizers, strict=True):
            optimizer.zero_grad()
            logits = net(ids[:, :-1]).logits
            nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
            optimizer.step()
    for mine, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-8)
