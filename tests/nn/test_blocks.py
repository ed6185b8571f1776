import torch
from torch import nn

from llmcourse.nn.attention import Attention
from llmcourse.nn.blocks import Block
from llmcourse.nn.capture import capture
from llmcourse.nn.mlp import GELUMLP
from llmcourse.nn.norms import LayerNorm

D = 16


def block(dropout=0.0):
    attention = Attention(d_model=D, n_heads=2, bias=True)
    return Block(LayerNorm(D), attention, LayerNorm(D), GELUMLP(D, 32, bias=True), dropout)


def test_equals_the_library_with_norms_first():
    """The library's layer knows GELU by its exact form, so it is given our activation."""
    torch.manual_seed(0)
    ours = block().double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    theirs = nn.TransformerEncoderLayer(
        D,
        nhead=2,
        dim_feedforward=32,
        dropout=0.0,
        activation=nn.GELU(approximate="tanh"),
        batch_first=True,
        norm_first=True,
        dtype=torch.float64,
    )
    attention = ours.attention
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat(
                [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
            ),
            "self_attn.in_proj_bias": torch.cat(
                [attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias]
            ),
            "self_attn.out_proj.weight": attention.o_proj.weight,
            "self_attn.out_proj.bias": attention.o_proj.bias,
            "linear1.weight": ours.mlp.up_proj.weight,
            "linear1.bias": ours.mlp.up_proj.bias,
            "linear2.weight": ours.mlp.down_proj.weight,
            "linear2.bias": ours.mlp.down_proj.bias,
            **{f"norm1.{name}": value for name, value in ours.norm1.state_dict().items()},
            **{f"norm2.{name}": value for name, value in ours.norm2.state_dict().items()},
        }
    )
    hidden = torch.randn(2, 5, D, dtype=torch.float64)
    torch.testing.assert_close(ours(hidden), theirs(hidden), rtol=0, atol=1e-10)
    hide = ~torch.ones(5, 5, dtype=torch.bool).tril()
    torch.testing.assert_close(
        ours(hidden, is_causal=True), theirs(hidden, src_mask=hide), rtol=0, atol=1e-10
    )


def test_the_residual_stream_runs_through():
    """With both branches silent, and for its gradient, a block is the identity."""
    silent = block()
    for projection in (silent.attention.o_proj, silent.mlp.down_proj):
        nn.init.zeros_(projection.weight)
        nn.init.zeros_(projection.bias)
    hidden = torch.randn(2, 5, D, requires_grad=True)
    assert torch.equal(silent(hidden), hidden)
    (gradient,) = torch.autograd.grad(silent(hidden).sum(), hidden)
    assert torch.equal(gradient, torch.ones_like(hidden))


def test_dropout_falls_on_branches_not_on_the_stream():
    noisy = block(dropout=0.999999)
    hidden = torch.randn(2, 5, D)
    assert torch.equal(noisy(hidden), hidden)
    assert not torch.equal(noisy.eval()(hidden), hidden)


def test_the_tap_sees_what_comes_out():
    one = block()
    with capture(one, "hidden") as seen:
        result = one(torch.randn(2, 5, D))
    assert torch.equal(seen["hidden"], result)
