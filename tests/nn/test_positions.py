import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from llmcourse.errors import UserError
from llmcourse.nn.positions import LearnedPositions, RoPE, rotate


@pytest.fixture
def double():
    """Parts built in here are in double precision, their tables included."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_scores_depend_on_distance_alone(double):
    rope = RoPE(8, theta=100.0, context_length=300)
    q, k = random(2, 1, 1, 1, 8)

    def score(t, s):
        return (rope(q, start=t) * rope(k, start=s)).sum()

    for distance in (0, 1, 7, 100):
        for s in (0, 1, 13, 199):
            torch.testing.assert_close(
                score(s + distance, s), score(distance, 0), rtol=0, atol=1e-10
            )
    assert abs(score(1, 0) - score(0, 1)) > 0.01  # before and after are not the same
    assert abs(score(1, 0) - score(2, 0)) > 0.01


def test_lengths_are_kept(double):
    x = random(2, 3, 50, 6)
    turned = RoPE(6, context_length=50)(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=0, atol=1e-10)


def test_equals_transformers():
    x = random(2, 3, 40, 16)
    positions = torch.arange(40)[None]
    config = LlamaConfig(hidden_size=64, num_attention_heads=4, max_position_embeddings=64)
    cosines, sines = LlamaRotaryEmbedding(config)(x, positions)
    theirs, _ = apply_rotary_pos_emb(x, x, cosines, sines)
    ours = RoPE(16, theta=10_000.0, context_length=64)(x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_by_hand():
    """K = 4: the pairs are (0, 2), which turns by 1 a position, and (1, 3), which turns by 1/10."""
    turned = RoPE(4, theta=100.0, context_length=4)(torch.eye(4)[None, None, :2].expand(1, 1, 2, 4))
    torch.testing.assert_close(turned[0, 0, 0], torch.tensor([1.0, 0, 0, 0]))  # position 0
    tenth = torch.tensor(0.1)
    wanted = torch.stack([torch.zeros(()), tenth.cos(), torch.zeros(()), tenth.sin()])
    torch.testing.assert_close(turned[0, 0, 1], wanted)


def test_far_positions_are_exact():
    """Angles in single precision would be off by more than a thousandth at this distance."""
    rope = RoPE(2, theta=1.0, context_length=100_000)
    angle = torch.tensor(99_999.0, dtype=torch.float64)
    torch.testing.assert_close(rope.cosines[-1, 0].double(), angle.cos(), rtol=0, atol=1e-7)
    rope = RoPE(6, theta=7.0, context_length=100_000)
    angle = torch.tensor(99_999 * 7 ** (-1 / 3), dtype=torch.float64)
    torch.testing.assert_close(rope.cosines[-1, 1].double(), angle.cos(), rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", ["rope", "learned"])
def test_start_and_explicit_positions_agree(double, kind):
    if kind == "rope":
        part, x = RoPE(8, context_length=20), random(2, 3, 5, 8)
    else:
        part, x = LearnedPositions(20, 8), random(2, 5, 8)
    explicit = part(x, positions=torch.arange(7, 12)[None])
    assert torch.equal(part(x, start=7), explicit)
    assert torch.equal(part(x, positions=torch.arange(7, 12).expand(2, 5)), explicit)
    assert not torch.allclose(part(x), explicit)


def test_rows_may_stand_at_different_positions(double):
    rope, x = RoPE(8, context_length=20), random(2, 3, 5, 8)
    positions = torch.stack([torch.arange(5), torch.arange(9, 14)])
    together = rope(x, positions)
    assert torch.equal(together[0], rope(x)[0])
    assert torch.equal(together[1], rope(x, start=9)[1])


def test_learned_positions_add_their_vector():
    part = LearnedPositions(4, 3)
    assert torch.equal(part(torch.zeros(2, 2, 3), start=1)[1], part.weight[1:3])


def test_rotation_is_written_in_pairs():
    """(a, b) turned by a quarter is (-b, a)."""
    quarter = torch.tensor([[0.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
    assert torch.equal(rotate(torch.tensor([[2.0, 3.0]]), *quarter), torch.tensor([[-3.0, 2.0]]))


def test_tables_are_not_saved():
    assert RoPE(4).state_dict() == {}


def test_odd_width():
    with pytest.raises(UserError, match="head_dim=5 is odd"):
        RoPE(5)
