import pytest
import torch

from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe

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
