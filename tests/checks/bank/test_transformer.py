"""The checks on the transformer: their truth is right, and they know mistakes written otherwise.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import math

import pytest
import torch

from llmcourse.checks.bank import transformer as check
from llmcourse.nn.mlp import SwiGLU


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


# The truth, against the library and by hand


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


def test_a_count_that_forgets_the_gate_is_recognised():
    def block_parameters(d_model, n_heads, n_kv_heads, head_dim, d_ff):
        attention = d_model * head_dim * (2 * n_heads + 2 * n_kv_heads)
        return attention + 2 * d_model * d_ff + 2 * d_model

    assert verdict_of(check.block_parameters, block_parameters) == "two matrices in the MLP"


def test_the_choice_gives_its_reasons():
    assert "A slow start" in check.which_cure.verdict("b").text
    assert "more violent" in check.which_cure.verdict(" A ").text
