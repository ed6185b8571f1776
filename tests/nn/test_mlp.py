import math

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, T5Config
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.t5.modeling_t5 import T5DenseGatedActDense

from llmcourse.nn.mlp import GEGLU, GELUMLP, ExactGELUMLP, ReLUMLP, SquaredReLU, SwiGLU

KINDS = [ReLUMLP, GELUMLP, ExactGELUMLP, SquaredReLU, SwiGLU, GEGLU]
GATED = [SwiGLU, GEGLU]


def one_to_one(kind):
    """A width of one and all weights one, so that the output is the activation itself."""
    mlp = kind(1, 1)
    for parameter in mlp.parameters():
        nn.init.ones_(parameter)
    return lambda x: mlp(torch.tensor([x])).item()


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def tanh_gelu(x):
    return 0.5 * x * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))


@pytest.mark.parametrize("x", [-3.0, -0.5, 0.0, 0.7, 2.0])
@pytest.mark.parametrize(
    ("kind", "formula"),
    [
        (ReLUMLP, lambda x: max(x, 0)),
        (GELUMLP, tanh_gelu),
        (ExactGELUMLP, lambda x: x * (1 + math.erf(x / 2**0.5)) / 2),
        (SquaredReLU, lambda x: max(x, 0) ** 2),
        (SwiGLU, lambda x: x * sigmoid(x) * x),
        (GEGLU, lambda x: tanh_gelu(x) * x),
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


def test_geglu_equals_t5():
    theirs = T5DenseGatedActDense(
        T5Config(d_model=8, d_ff=12, feed_forward_proj="gated-gelu", dropout_rate=0.0)
    ).double()
    ours = GEGLU(8, 12).double()
    names = {"wi_0": "gate_proj", "wi_1": "up_proj", "wo": "down_proj"}
    ours.load_state_dict(
        {f"{names[name.split('.')[0]]}.weight": w for name, w in theirs.state_dict().items()}
    )
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ReLUMLP, "relu"),
        (GELUMLP, "gelu_pytorch_tanh"),
        (ExactGELUMLP, "gelu"),
        (SquaredReLU, "relu2"),
    ],
)
def test_equals_transformers_activation(kind, name):
    ours = kind(8, 12, bias=True).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    theirs = ours.down_proj(ACT2FN[name](ours.up_proj(x)))
    torch.testing.assert_close(ours(x), theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
def test_parts(kind, bias):
    mlp = kind(8, 12, bias=bias)
    matrices = [p for p in mlp.parameters() if p.ndim == 2]
    assert len(matrices) == kind.n_matrices
    assert all(p.numel() == 8 * 12 for p in matrices)
    assert any(p.ndim == 1 for p in mlp.parameters()) == bias


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize(("d_model", "wanted"), [(96, 256), (128, 352), (768, 2048)])
def test_a_gated_one_costs_what_the_others_cost(kind, d_model, wanted):
    assert kind.default_width(d_model) == wanted
    others = GELUMLP.n_matrices * GELUMLP.default_width(d_model)
    assert others <= kind.n_matrices * wanted <= 1.04 * others
