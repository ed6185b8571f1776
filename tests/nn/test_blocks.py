import pytest
import torch
from numerics import close
from torch import nn

from llmcourse.nn import masks
from llmcourse.nn.attention import Attention
from llmcourse.nn.blocks import Block, DecoderBlock, post_norm, pre_norm
from llmcourse.nn.cache import KVCache
from llmcourse.nn.capture import capture
from llmcourse.nn.mlp import ExactGELUMLP
from llmcourse.nn.norms import LayerNorm

D, F, H = 16, 32, 2
RESIDUALS = [pre_norm, post_norm]


def attention():
    return Attention(d_model=D, n_heads=H, bias=True)


def block(dropout=0.0, residual=pre_norm):
    mlp = ExactGELUMLP(D, F, bias=True)
    return Block(LayerNorm(D), attention(), LayerNorm(D), mlp, dropout, residual)


def decoder_block(dropout=0.0, residual=pre_norm):
    mlp, norms = ExactGELUMLP(D, F, bias=True), [LayerNorm(D) for _ in range(3)]
    parts = (norms[0], attention(), norms[1], attention(), norms[2], mlp)
    return DecoderBlock(*parts, dropout, residual)


def scattered(module):
    """The module in double precision, every weight drawn anew: biases and norms, too, matter."""
    torch.manual_seed(0)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter)
    return module


def theirs_of(kind, ours):
    """The library's layer with our weights."""
    theirs = kind(
        D,
        nhead=H,
        dim_feedforward=F,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=ours.residual is pre_norm,
        dtype=torch.float64,
    )
    state = {}
    looks = {"self_attn": "attention", "multihead_attn": "cross_attention"}
    for their_name, name in looks.items():
        if (part := getattr(ours, name, None)) is None:
            continue
        for what in ("weight", "bias"):
            stacked = [getattr(getattr(part, f"{x}_proj"), what) for x in "qkv"]
            state[f"{their_name}.in_proj_{what}"] = torch.cat(stacked)
            state[f"{their_name}.out_proj.{what}"] = getattr(part.o_proj, what)
    for name, linear in {"linear1": ours.mlp.up_proj, "linear2": ours.mlp.down_proj}.items():
        state |= {f"{name}.{what}": value for what, value in linear.state_dict().items()}
    for name in ("norm1", "norm2", "norm3"):
        if hasattr(ours, name):
            values = getattr(ours, name).state_dict()
            state |= {f"{name}.{what}": value for what, value in values.items()}
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("residual", RESIDUALS)
def test_equals_the_library(residual):
    ours = scattered(block(residual=residual))
    theirs = theirs_of(nn.TransformerEncoderLayer, ours)
    hidden = torch.randn(2, 5, D, dtype=torch.float64)
    close(ours(hidden), theirs(hidden))
    close(ours(hidden, is_causal=True), theirs(hidden, src_mask=~masks.causal(5)))


@pytest.mark.parametrize("residual", RESIDUALS)
def test_a_decoders_block_equals_the_library(residual):
    ours = scattered(decoder_block(residual=residual))
    theirs = theirs_of(nn.TransformerDecoderLayer, ours)
    hidden, memory = torch.randn(2, 5, D).double(), torch.randn(2, 7, D).double()
    lengths = torch.tensor([3, 7])
    wanted = theirs(
        hidden,
        memory,
        tgt_mask=~masks.causal(5),
        memory_key_padding_mask=~masks.padding(lengths, 7)[:, 0, 0],
    )
    close(ours(hidden, memory, memory_mask=masks.padding(lengths, 7)), wanted)


@pytest.mark.parametrize("residual", RESIDUALS)
def test_a_decoders_block_goes_on_from_its_caches(residual):
    ours = scattered(decoder_block(residual=residual))
    hidden, memory = torch.randn(2, 5, D).double(), torch.randn(2, 7, D).double()
    caches = {"cache": KVCache(2), "memory_cache": KVCache(2), "layer": 1}
    parts = [ours(x, memory, **caches) for x in hidden.split([2, 1, 1, 1], dim=1)]
    close(torch.cat(parts, dim=1), ours(hidden, memory))
    assert caches["cache"].length_of(1) == 5
    assert caches["memory_cache"].length_of(1) == 7


@pytest.mark.parametrize("make", [block, decoder_block])
def test_the_residual_stream_runs_through(make):
    """With all branches silent, and for its gradient, a pre-norm block is the identity."""
    silent = make()
    for name, projection in silent.named_modules():
        if name.endswith(("o_proj", "down_proj")):
            nn.init.zeros_(projection.weight)
            nn.init.zeros_(projection.bias)
    memory = [torch.randn(2, 3, D)] * (make is decoder_block)
    hidden = torch.randn(2, 5, D, requires_grad=True)
    assert torch.equal(silent(hidden, *memory), hidden)
    (gradient,) = torch.autograd.grad(silent(hidden, *memory).sum(), hidden)
    assert torch.equal(gradient, torch.ones_like(hidden))


def test_what_leaves_a_post_norm_block_is_normalised():
    hidden = block(residual=post_norm)(torch.randn(2, 5, D) * 100)
    torch.testing.assert_close(hidden.mean(-1), torch.zeros(2, 5), rtol=0, atol=1e-5)
    torch.testing.assert_close(hidden.var(-1, correction=0), torch.ones(2, 5), rtol=0, atol=1e-3)


@pytest.mark.parametrize("make", [block, decoder_block])
def test_dropout_falls_on_branches_not_on_the_stream(make):
    noisy = make(dropout=0.999999)
    memory = [torch.randn(2, 3, D)] * (make is decoder_block)
    hidden = torch.randn(2, 5, D)
    assert torch.equal(noisy(hidden, *memory), hidden)
    assert not torch.equal(noisy.eval()(hidden, *memory), hidden)


@pytest.mark.parametrize("make", [block, decoder_block])
def test_the_tap_sees_what_comes_out(make):
    one = make()
    memory = [torch.randn(2, 3, D)] * (make is decoder_block)
    with capture(one, "hidden") as seen:
        result = one(torch.randn(2, 5, D), *memory)
    assert torch.equal(seen["hidden"], result)
