import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from llmcourse.errors import UserError
from llmcourse.nn.positions import RoPE, rope_frequencies, rope_tables
from llmcourse.nn.rope_scaling import (
    SCALINGS,
    LinearScaling,
    Llama3Scaling,
    NTKScaling,
    YaRNScaling,
    scaling_of,
)

K, THETA, ORIGINAL, FACTOR = 64, 10_000.0, 512, 8.0
THEIRS = {
    "linear": {"rope_type": "linear"},
    "yarn": {"rope_type": "yarn", "original_max_position_embeddings": ORIGINAL},
    "llama3": {
        "rope_type": "llama3",
        "original_max_position_embeddings": ORIGINAL,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
}


def llama(rope, theta=THETA, width=K, length=int(ORIGINAL * FACTOR), factor=FACTOR):
    return LlamaConfig(
        hidden_size=4 * width,
        num_attention_heads=4,
        max_position_embeddings=length,
        rope_parameters={"rope_theta": theta, "factor": factor, **rope},
    )


@pytest.mark.parametrize("kind", THEIRS)
@pytest.mark.parametrize(("theta", "width"), [(THETA, 64), (500_000.0, 128), (100.0, 16)])
def test_frequencies_are_the_librarys(kind, theta, width):
    scaling = scaling_of(kind, FACTOR, ORIGINAL)
    ours = scaling(rope_frequencies(width, theta), theta)
    theirs, magnitude = ROPE_INIT_FUNCTIONS[kind](llama(THEIRS[kind], theta, width), "cpu")
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-5, atol=0)
    assert scaling.magnitude == pytest.approx(magnitude, rel=1e-12)


@pytest.mark.parametrize("kind", THEIRS)
def test_tables_are_the_librarys(kind):
    positions = torch.arange(1000)[None]
    module = LlamaRotaryEmbedding(llama(THEIRS[kind]))
    cosines, sines = module(torch.zeros(1), positions)
    rope = RoPE(K, theta=THETA, context_length=1000, scaling=scaling_of(kind, FACTOR, ORIGINAL))
    # The library's angles are in single precision: at position 1000 that is a ten-thousandth.
    torch.testing.assert_close(rope.cosines, cosines[0], rtol=0, atol=2e-4)
    torch.testing.assert_close(rope.sines.abs(), sines[0].abs(), rtol=0, atol=2e-4)


def test_ntk_is_the_librarys_dynamic_scaling_at_that_length():
    """Its base at `n` times the trained length is the static one of factor n, where factor=1."""
    config = llama({"rope_type": "dynamic"}, length=ORIGINAL, factor=1.0)
    theirs, _ = ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=int(ORIGINAL * FACTOR))
    ours = NTKScaling(FACTOR)(rope_frequencies(K, THETA), THETA)
    torch.testing.assert_close(ours.float(), theirs, rtol=1e-5, atol=0)


def test_linear_puts_a_position_where_a_fraction_of_it_stood():
    plain, _ = rope_tables(K, THETA, 100)
    scaled, _ = rope_tables(K, THETA, 400, LinearScaling(4.0))
    torch.testing.assert_close(scaled[::4], plain, rtol=0, atol=1e-6)


def test_ntk_keeps_the_fastest_pair_and_slows_the_slowest_by_the_factor():
    plain = rope_frequencies(K, THETA)
    ratio = plain / NTKScaling(FACTOR)(plain, THETA)
    assert ratio[0] == 1
    assert ratio[-1].item() == pytest.approx(FACTOR, rel=1e-12)
    assert (ratio.diff() > 0).all()
    base = THETA * FACTOR ** (K / (K - 2))
    torch.testing.assert_close(plain / ratio, rope_frequencies(K, base), rtol=1e-12, atol=0)


@pytest.mark.parametrize("kind", [YaRNScaling, Llama3Scaling])
def test_by_parts(kind):
    """Pairs that turned often in training stay; those that never came round are interpolated."""
    plain = rope_frequencies(K, THETA)
    ratio = plain / kind(FACTOR, ORIGINAL)(plain, THETA)
    turns = ORIGINAL * plain / (2 * math.pi)
    assert (ratio[turns > 33] == 1).all()
    torch.testing.assert_close(ratio[turns < 0.5], torch.full_like(ratio, FACTOR)[turns < 0.5])
    between = ratio[(turns > 1.5) & (turns < 3.5)]
    assert len(between)
    assert ((between > 1) & (between < FACTOR)).all()


def test_yarn_sharpens():
    assert YaRNScaling(1.0, 512).magnitude == 1
    assert YaRNScaling(math.e**2, 512).magnitude == pytest.approx(1.2)
    rope = RoPE(8, context_length=32, scaling=YaRNScaling(math.e**2, 16))
    x = torch.randn(1, 1, 32, 8)
    torch.testing.assert_close(rope(x).norm(dim=-1), 1.2 * x.norm(dim=-1))


@pytest.mark.parametrize("kind", SCALINGS)
def test_a_factor_of_one_changes_nothing(kind):
    plain = rope_frequencies(K, THETA)
    torch.testing.assert_close(scaling_of(kind, 1.0, ORIGINAL)(plain, THETA), plain)


@pytest.mark.parametrize("kind", SCALINGS)
def test_scaled_scores_depend_on_distance_alone(kind):
    torch.set_default_dtype(torch.float64)
    try:
        rope = RoPE(8, theta=100.0, context_length=300, scaling=scaling_of(kind, 4.0, 64))
    finally:
        torch.set_default_dtype(torch.float32)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    near, far = ((rope(q, start=s + 7) * rope(k, start=s)).sum() for s in (0, 250))
    torch.testing.assert_close(near, far, rtol=0, atol=1e-10)


def test_a_head_of_one_pair():
    plain = rope_frequencies(2, THETA)
    assert torch.equal(NTKScaling(4.0)(plain, THETA), plain)


def test_none_is_no_scaling():
    assert scaling_of("none", 1.0, 1) is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LinearScaling(0.5), "factor of 0.5 must be at least 1"),
        (lambda: NTKScaling(float("nan")), "factor of nan must be at least 1"),
        (lambda: YaRNScaling(2.0, 0), "original length of 0 must be at least 1"),
        (
            lambda: YaRNScaling(2.0, 64)(rope_frequencies(8, 1.0), 1.0),
            "YaRN needs a RoPE base above 1, not 1.0",
        ),
    ],
)
def test_what_cannot_be(build, message):
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
