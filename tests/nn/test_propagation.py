"""Signals through depth: what is measured is what the formulas of the papers predict."""

import math

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.nn import init
from llmcourse.nn.attention import Attention
from llmcourse.nn.blocks import Block, Residual, post_norm, pre_norm
from llmcourse.nn.mlp import ReLUMLP
from llmcourse.nn.norms import LayerNorm
from llmcourse.nn.propagation import Profile, propagation, relu_factor, rms

WIDTH = 256


def relu_stack(std: float, n_layers: int, width: int = WIDTH) -> nn.Sequential:
    layers = []
    for _ in range(n_layers):
        linear = nn.Linear(width, width, bias=False)
        nn.init.normal_(linear.weight, std=std)
        layers.append(nn.Sequential(linear, nn.ReLU()))
    return nn.Sequential(*layers)


def through(stack: nn.Module, pattern: str, width: int = WIDTH) -> Profile:
    x, direction = torch.randn(2, 128, width)
    return propagation(stack, pattern, lambda: (stack(x) * direction).sum())


def blocks(n_layers: int, residual: Residual, width: int = 32) -> nn.Sequential:
    """Blocks as at the start of a run: every matrix by Glorot and Bengio's rule."""
    stack = nn.Sequential(
        *(
            Block(
                LayerNorm(width),
                Attention(d_model=width, n_heads=2),
                LayerNorm(width),
                ReLUMLP(width, 4 * width),
                residual=residual,
            )
            for _ in range(n_layers)
        )
    )
    for parameter in stack.parameters():
        if parameter.ndim == 2:
            init.xavier_normal_(parameter)
    return stack


def block_profile(n_layers: int, residual: Residual) -> tuple[Profile, list[float]]:
    """The profile of a stack that ends in a norm, and the gradient of each block's `down_proj`."""
    stack = blocks(n_layers, residual)
    x, direction = torch.randn(2, 4, 12, 32)
    last = LayerNorm(32)
    loss = lambda: (last(stack(x)) * direction).sum()  # noqa: E731
    profile = propagation(stack, "*.hidden", loss)
    loss().backward()
    return profile, [rms(block.mlp.down_proj.weight.grad) for block in stack]


# --- the measure itself --------------------------------------------------------------------------


def test_the_root_mean_square_by_hand():
    assert rms(torch.tensor([[3.0, 4.0], [0.0, 0.0]])) == pytest.approx(2.5)
    assert rms(torch.full((3,), 1e-30)) == pytest.approx(1e-30)  # no underflow of the square


def test_a_profile_by_hand():
    first, second = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    first.weight.data.fill_(2.0)
    second.weight.data.fill_(-3.0)
    model = nn.Sequential(first, second)
    profile = propagation(model, "*", lambda: model(torch.tensor([[5.0]])).sum())
    assert profile.names == ["0", "1"]
    assert profile.activations.tolist() == [10, 30]
    assert profile.gradients.tolist() == [3, 1]


def test_gradients_are_those_of_finite_differences():
    stack = relu_stack(0.1, 3, width=8).double()
    x = torch.randn(1, 8, dtype=torch.float64)
    profile = propagation(stack, "0", lambda: stack(x).sum())
    hidden = stack[0](x).detach()
    slopes = []
    for i in range(8):
        step = torch.zeros_like(hidden)
        step[0, i] = 1e-6
        rest = nn.Sequential(stack[1], stack[2])
        slopes.append(((rest(hidden + step) - rest(hidden - step)).sum() / 2e-6).item())
    assert profile.gradients.item() == pytest.approx(rms(torch.tensor(slopes)), rel=1e-5)


def test_what_the_loss_does_not_reach_has_a_gradient_of_zero():
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})

    def loss():
        model["idle"](torch.ones(1, 2))
        return model["used"](torch.ones(1, 2)).sum()

    profile = propagation(model, "*", loss)
    assert dict(zip(profile.names, profile.gradients.tolist(), strict=True)) == {
        "idle": 0,
        "used": 1,
    }


def test_the_parameters_gradients_are_left_alone_and_the_hooks_are_gone():
    stack = relu_stack(0.1, 2)
    through(stack, "*.1")
    assert all(p.grad is None for p in stack.parameters())
    assert not any(module._forward_hooks for module in stack.modules())


def test_it_measures_under_no_grad_too():
    stack = relu_stack(0.1, 2)
    with torch.no_grad():
        assert through(stack, "*.1").gradients.all()


def test_a_model_without_gradients_says_so():
    stack = relu_stack(0.1, 2).requires_grad_(False)
    with pytest.raises(UserError, match="gave a tensor with a gradient"):
        propagation(stack, "*.1", lambda: stack(torch.randn(2, WIDTH)).sum())
    with pytest.raises(UserError, match="no module is named 'block'"):
        propagation(stack, "block", lambda: stack(torch.randn(2, WIDTH)).sum())


# --- plain stacks: Glorot and Bengio, He et al. --------------------------------------------------


def test_kaiming_keeps_the_signal_and_its_gradient_through_fifty_layers():
    profile = through(relu_stack(init.kaiming_std(WIDTH), 50), "*.1")
    assert 0.4 < profile.activations[-1] / profile.activations[0] < 2.5
    assert 0.4 < profile.gradients[0] / profile.gradients[-1] < 2.5


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.25, 2.0])
def test_other_deviations_vanish_or_explode_as_the_formula_says(scale):
    std = scale * init.kaiming_std(WIDTH)
    assert relu_factor(std, WIDTH) == pytest.approx(scale)
    profile = through(relu_stack(std, 30), "*.1")
    grown = (profile.activations[-1] / profile.activations[0]).item() ** (1 / 29)
    shrunk = (profile.gradients[0] / profile.gradients[-1]).item() ** (1 / 29)
    assert grown == pytest.approx(scale, rel=0.05)
    assert shrunk == pytest.approx(scale, rel=0.05)


def test_xavier_loses_half_of_the_variance_in_every_relu_layer_and_keeps_it_without():
    std = init.xavier_std(WIDTH, WIDTH)
    assert relu_factor(std, WIDTH) == pytest.approx(math.sqrt(0.5))
    profile = through(relu_stack(std, 20), "*.1")
    assert profile.activations[-1] / profile.activations[0] < 0.01  # sqrt(1/2) ** 19 is 0.0014
    linear = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(20)))
    for layer in linear:
        init.xavier_uniform_(layer.weight)
    assert 0.5 < through(linear, "*").activations[-1] < 2


def test_a_stack_with_residuals_passes_the_gradient_that_one_without_loses():
    class Residual(nn.Module):
        def __init__(self, branch):
            super().__init__()
            self.branch = branch

        def forward(self, x):
            return x + self.branch(x)

    plain = relu_stack(0.02, 20)
    profile = through(plain, "*.1")
    assert profile.gradients[0] / profile.gradients[-1] < 1e-10
    added = through(nn.Sequential(*map(Residual, plain)), "?")
    assert 1 <= added.gradients[0] / added.gradients[-1] < 2


# --- blocks: Xiong et al., Radford et al. --------------------------------------------------------


def test_in_pre_norm_a_block_s_gradient_shrinks_with_depth_and_in_post_norm_it_does_not():
    last = {
        (name, depth): block_profile(depth, residual)[1][-1]
        for name, residual in (("pre", pre_norm), ("post", post_norm))
        for depth in (4, 36)
    }
    # Xiong et al., 2020, theorem 1: as 1 / sqrt(L), and not at all
    assert last["pre", 36] / last["pre", 4] == pytest.approx(1 / 3, rel=0.4)
    assert last["post", 36] / last["post", 4] > 0.7


def test_the_stream_of_pre_norm_grows_as_a_sum_of_independent_terms():
    growing = block_profile(24, pre_norm)[0].activations
    assert growing[0] < growing[8] < growing[16] < growing[23]
    assert 2.5 < growing[-1] / growing[0] < 6  # about sqrt(24)
    still = block_profile(24, post_norm)[0].activations
    assert torch.allclose(still, torch.ones(24), atol=1e-3)


def test_gradients_of_pre_norm_reach_the_first_block_undiminished_and_post_norm_loses_some():
    pre, post = (block_profile(24, residual)[0].gradients for residual in (pre_norm, post_norm))
    assert pre[0] / pre[-1] >= 1
    assert post[0] / post[-1] < 0.8


@pytest.mark.parametrize("n_layers", [4, 36])
def test_scaled_residual_outputs_keep_the_stream_at_the_size_of_one_addition(n_layers):
    stack = blocks(n_layers, pre_norm)
    init.scale_residual_outputs_(stack, n_layers)
    x, direction = torch.randn(2, 4, 12, 32)
    profile = propagation(stack, "*.hidden", lambda: (stack(x) * direction).sum())
    assert 1 < profile.activations[-1] < 1.5  # sqrt(1 + 1) if each addition were of size 1
