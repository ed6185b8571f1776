import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn import init

SIZES = {
    "vocab_size": 64,
    "context_length": 32,
    "d_model": 128,
    "n_layers": 8,
    "n_heads": 4,
}
RESIDUAL = ("attention.o_proj.weight", "mlp.down_proj.weight")


@pytest.fixture(scope="module")
def gpt2():
    torch.manual_seed(0)
    return GPT(gpt2_recipe(**SIZES))


def test_matrices_have_a_deviation_of_two_hundredths(gpt2):
    for name, parameter in gpt2.named_parameters():
        if parameter.ndim == 2 and not name.endswith(RESIDUAL):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.001, name


def test_residual_projections_are_scaled_by_depth(gpt2):
    residual = [p for name, p in gpt2.named_parameters() if name.endswith(RESIDUAL)]
    assert len(residual) == 2 * 8
    for parameter in residual:
        assert parameter.std().item() == pytest.approx(0.02 / 4, rel=0.05)  # sqrt(2 * 8) = 4


def test_norms_begin_as_identity_and_biases_at_zero(gpt2):
    vectors = {name: p for name, p in gpt2.named_parameters() if p.ndim == 1}
    assert len(vectors) == 8 * (4 + 4 + 2) + 2
    for name, parameter in vectors.items():
        wanted = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        assert torch.equal(parameter, torch.full_like(parameter, wanted)), name


def test_blocks_that_begin_as_identity():
    model = GPT(modern_recipe(**SIZES))
    hidden = torch.randn(2, 5, 128)
    assert all(torch.equal(block(hidden, is_causal=True), hidden) for block in model.blocks)
    zeros = {name for name, p in model.named_parameters() if not p.any()}
    assert zeros == {f"blocks.{i}.{name}" for i in range(8) for name in RESIDUAL}


# --- one matrix ----------------------------------------------------------------------------------

RULES = {
    "xavier_uniform_": lambda w, g: nn.init.xavier_uniform_(w, gain=1.5, generator=g),
    "xavier_normal_": lambda w, g: nn.init.xavier_normal_(w, gain=1.5, generator=g),
    "kaiming_uniform_": lambda w, g: nn.init.kaiming_uniform_(
        w, mode="fan_in", nonlinearity="relu", generator=g
    ),
    "kaiming_normal_": lambda w, g: nn.init.kaiming_normal_(
        w, mode="fan_in", nonlinearity="relu", generator=g
    ),
}


def generator(seed=3):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", [(7, 7), (30, 5), (4, 60)])
def test_the_same_generator_gives_the_librarys_numbers(rule, shape):
    options = {"gain": 1.5} if rule.startswith("xavier") else {}
    ours = getattr(init, rule)(torch.empty(shape), generator=generator(), **options)
    theirs = RULES[rule](torch.empty(shape), generator())
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("rule", ["kaiming_uniform_", "kaiming_normal_"])
def test_the_fan_out_keeps_gradients_as_the_librarys_does(rule):
    ours = getattr(init, rule)(torch.empty(30, 5), fan="out", generator=generator())
    theirs = getattr(nn.init, rule)(
        torch.empty(30, 5), mode="fan_out", nonlinearity="relu", generator=generator()
    )
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=0)
    assert not torch.allclose(ours, getattr(init, rule)(torch.empty(30, 5), generator=generator()))


@pytest.mark.parametrize(
    ("rule", "std"),
    [
        ("xavier_uniform_", init.xavier_std(400, 600)),
        ("xavier_normal_", init.xavier_std(400, 600)),
        ("kaiming_uniform_", init.kaiming_std(400)),
        ("kaiming_normal_", init.kaiming_std(400)),
    ],
)
def test_a_matrix_has_the_deviation_that_the_formula_says(rule, std):
    weight = getattr(init, rule)(torch.empty(600, 400), generator=generator())
    assert weight.std().item() == pytest.approx(std, rel=0.01)
    assert abs(weight.mean().item()) < 0.01 * std
    bound = math.sqrt(3) * std
    if "uniform" in rule:
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.001)
    else:
        assert weight.abs().max().item() > 1.5 * bound  # a normal distribution has no bound


def test_deviations_by_hand():
    assert init.xavier_std(30, 20) == pytest.approx(0.2)  # sqrt(2 / 50)
    assert init.kaiming_std(50) == pytest.approx(0.2)  # sqrt(2 / 50)
    assert init.kaiming_std(25, gain=1.0) == pytest.approx(0.2)  # 1 / sqrt(25)


def test_initialising_leaves_no_trace_in_the_graph():
    weight = nn.Parameter(torch.empty(4, 4))
    init.kaiming_normal_(init.xavier_uniform_(weight))
    assert weight.grad_fn is None
    assert weight.requires_grad


def test_an_unknown_fan_is_refused():
    with pytest.raises(UserError, match="unknown fan='fan_in'"):
        init.kaiming_normal_(torch.empty(2, 2), fan="fan_in")


# --- gains ---------------------------------------------------------------------------------------


def test_gains_that_are_known():
    assert init.gain(lambda z: z) == pytest.approx(1.0, abs=1e-10)
    assert init.gain(torch.relu) == pytest.approx(nn.init.calculate_gain("relu"), abs=1e-10)
    assert init.gain(torch.relu) == pytest.approx(init.RELU_GAIN, abs=1e-10)
    leaky = nn.init.calculate_gain("leaky_relu", 0.2)
    assert init.gain(lambda z: F.leaky_relu(z, 0.2)) == pytest.approx(leaky, abs=1e-10)


@pytest.mark.parametrize("activation", [torch.tanh, F.gelu, F.silu])
def test_a_gain_gives_a_normal_signal_its_size_back(activation):
    signal = torch.randn(1_000_000, generator=generator(), dtype=torch.float64)
    sent_on = init.gain(activation) * activation(signal)
    assert sent_on.square().mean().item() == pytest.approx(1.0, rel=0.01)


def test_an_activation_that_kills_everything_has_no_gain():
    with pytest.raises(UserError, match="mean square is 0"):
        init.gain(torch.zeros_like)
    with pytest.raises(UserError, match="mean square is nan"):
        init.gain(torch.log)


# --- another width -------------------------------------------------------------------------------


def test_the_multipliers_by_hand():
    assert init.mup("input", 4) == (1, 1)
    assert init.mup("hidden", 4) == (0.5, 0.25)
    assert init.mup("output", 4) == (0.25, 0.25)
    assert all(init.mup(role, 1) == (1, 1) for role in ("input", "hidden", "output"))


def moved(width: int, steps: int, use_mup: bool) -> tuple[float, float]:
    """By how much Adam has moved the hidden activations and the logits of a small network."""
    torch.manual_seed(0)
    x, targets = torch.randn(64, 8), torch.randint(4, (64,))
    groups, layers = [], []
    roles = {"input": (8, width), "hidden": (width, width), "output": (width, 4)}
    for role, (fan_in, fan_out) in roles.items():
        layer = nn.Linear(fan_in, fan_out, bias=False)
        init.kaiming_normal_(layer.weight)
        at_base = init.mup(role, width / 32)
        if use_mup and role == "output":
            layer.weight.data.mul_(at_base.std * math.sqrt(width / 32))
        groups.append({"params": [layer.weight], "lr": 0.01 * (at_base.lr if use_mup else 1)})
        layers.append(layer)
    optimizer = torch.optim.Adam(groups)

    def forward():
        hidden = layers[1](layers[0](x).relu())
        return hidden, layers[2](hidden.relu())

    before = forward()
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(forward()[1], targets).backward()
        optimizer.step()
    after = forward()
    return tuple((b - a).square().mean().sqrt().item() for a, b in zip(before, after, strict=True))


def test_a_step_moves_activations_alike_at_every_width_under_mup_and_not_without():
    narrow, wide = moved(64, 3, use_mup=True), moved(1024, 3, use_mup=True)
    assert all(0.5 < b / a < 2 for a, b in zip(narrow, wide, strict=True))
    narrow, wide = moved(64, 3, use_mup=False), moved(1024, 3, use_mup=False)
    assert all(b / a > 3 for a, b in zip(narrow, wide, strict=True))


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_a_ratio_that_is_none(ratio):
    with pytest.raises(UserError, match="must be above 0"):
        init.mup("hidden", ratio)


def test_a_role_that_is_none():
    with pytest.raises(UserError, match="unknown role='hiden'; did you mean 'hidden'"):
        init.mup("hiden", 2)
