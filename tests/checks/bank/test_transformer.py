"""The checks on the transformer: their truth is right, and they know mistakes written otherwise.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import transformer as check
from llmcourse.nn.mlp import SwiGLU


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


# The truth, against the library and by hand


def test_the_norms_are_the_librarys():
    hidden = torch.randn(2, 3, 5, dtype=torch.float64)
    weight, bias = torch.randn(2, 5, dtype=torch.float64)
    ours = check.layer_norm.right(hidden, weight, bias)
    assert torch.allclose(ours, F.layer_norm(hidden, (5,), weight, bias), atol=1e-12)
    ours = check.rms_norm.right(hidden, weight)
    assert torch.allclose(ours, F.rms_norm(hidden, (5,), weight, 1e-5), atol=1e-12)


def test_the_gate_is_the_packages():
    part, hidden = SwiGLU(4, 6), torch.randn(2, 3, 4)
    matrices = (part.gate_proj.weight, part.up_proj.weight, part.down_proj.weight)
    assert torch.allclose(check.swiglu.right(hidden, *matrices), part(hidden), atol=1e-6)


def test_deviations_by_hand():
    assert check.initial_std.right((20, 50), "kaiming") == pytest.approx(0.2)
    assert check.initial_std.right((50, 20), "kaiming_out") == pytest.approx(0.2)
    assert check.initial_std.right((20, 30), "xavier") == pytest.approx(0.2)


def test_the_stream_by_hand():
    assert check.stream_size.right() == pytest.approx(math.sqrt(73))
    assert check.stream_size.verdict(8.5).status == "passed"  # sqrt(72): 3 % is fine


def test_a_count_by_hand_and_from_a_paper():
    assert check.block_parameters.right(4, 2, 1, 2, 3) == 92
    blocks = 32 * check.block_parameters.right(4096, 32, 8, 128, 14_336)
    assert blocks + 2 * 128_256 * 4096 + 4096 == 8_030_261_248  # Llama 3 8B


# Mistakes as learners write them, which is not as the catalogue does


def test_the_librarys_variance_is_recognised():
    def layer_norm(hidden, weight, bias, eps=1e-5):
        mean, variance = hidden.mean(2, keepdim=True), torch.var(hidden, 2, keepdim=True)
        return weight * (hidden - mean) * (variance + eps) ** -0.5 + bias

    assert verdict_of(check.layer_norm, layer_norm) == "the variance is divided by D - 1"


def test_a_norm_over_the_tokens_in_a_loop_is_recognised():
    def rms_norm(hidden, weight, eps=1e-5):
        texts = [text / (text**2).mean(0).add(eps).sqrt() for text in hidden]
        return torch.stack(texts) * weight

    assert verdict_of(check.rms_norm, rms_norm).startswith("over the tokens")


def test_a_count_that_forgets_the_gate_is_recognised():
    def block_parameters(d_model, n_heads, n_kv_heads, head_dim, d_ff):
        attention = d_model * head_dim * (2 * n_heads + 2 * n_kv_heads)
        return attention + 2 * d_model * d_ff + 2 * d_model

    assert verdict_of(check.block_parameters, block_parameters) == "two matrices in the MLP"


def test_the_choice_gives_its_reasons():
    assert "A slow start" in check.which_cure.verdict("b").text
    assert "more violent" in check.which_cure.verdict(" A ").text
