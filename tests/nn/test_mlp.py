import math

import pytest
import torch
from torch import nn
from transformers import LlamaConfig
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaMLP

from llmcourse.nn.mlp import GELUMLP, SquaredReLU, SwiGLU


def one_to_one(kind):
    """A width of one and all weights one, so that the output is the activation itself."""
    mlp = kind(1, 1)
    for parameter in mlp.parameters():
        nn.init.ones_(parameter)
    return lambda x: mlp(torch.tensor([x])).item()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("x", [-3.0, -0.5, 0.0, 0.7, 2.0])
@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        (
            GELUMLP,
            lambda x: 0.5 * x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))),
        ),
        (SquaredReLU, lambda x: max(x, 0) ** 2),
        (SwiGLU, lambda x: x * sigmoid(x) * x),
    ],
)
def test_by_hand(kind, formula, x):
    assert one_to_one(kind)(x) == pytest.approx(formula(x), abs=1e-6)


def test_swiglu_equals_llama():
    """The gate is the one that passes through silu: exchanged with `up`, this fails."""
    theirs = LlamaMLP(
        LlamaConfig(hidden_size=8, intermediate_size=12, num_attention_heads=2)
    ).double()
    ours = SwiGLU(8, 12).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("kind", "name"), [(GELUMLP, "gelu_pytorch_tanh"), (SquaredReLU, "relu2")])
def test_equals_transformers_activation(kind, name):
    ours = kind(8, 12, bias=True).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    theirs = ours.down_proj(ACT2FN[name](ours.up_proj(x)))
    torch.testing.assert_close(ours(x), theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [GELUMLP, SquaredReLU, SwiGLU])
@pytest.mark.parametrize("bias", [True, False])
def test_parts(kind, bias):
    mlp = kind(8, 12, bias=bias)
    matrices = [p for p in mlp.parameters() if p.ndim == 2]
    assert len(matrices) == kind.n_matrices
    assert all(p.numel() == 8 * 12 for p in matrices)
    assert any(p.ndim == 1 for p in mlp.parameters()) == bias


@pytest.mark.parametrize(("d_model", "wanted"), [(96, 256), (128, 352), (768, 2048)])
def test_swiglu_costs_what_the_others_cost(d_model, wanted):
    assert SwiGLU.default_width(d_model) == wanted
    others = GELUMLP.n_matrices * GELUMLP.default_width(d_model)
    assert others <= SwiGLU.n_matrices * wanted <= 1.04 * others
