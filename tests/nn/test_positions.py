import pytest
import torch
from transformers import LlamaConfig
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb
from transformers.models.t5.modeling_t5 import T5Attention, T5Config

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, POSITIONS, modern_recipe
from llmcourse.nn.attention import Attention
from llmcourse.nn.cache import KVCache
from llmcourse.nn.positions import (
    ALiBi,
    LearnedPositions,
    RelativeBias,
    RoPE,
    SinusoidalPositions,
    alibi_slopes,
    offsets,
    relative_buckets,
    rope_frequencies,
    rotate,
    sinusoids,
)


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


@pytest.mark.parametrize("kind", [RoPE, LearnedPositions, SinusoidalPositions])
def test_start_and_explicit_positions_agree(double, kind):
    if kind is RoPE:
        part, x = RoPE(8, context_length=20), random(2, 3, 5, 8)
    else:
        part, x = kind(20, 8), random(2, 5, 8)
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


@pytest.mark.parametrize("length", [4, 6])
def test_one_row_of_positions_stands_for_all(unchecked, double, length):
    """With as many tokens as heads, `[T]` once turned heads instead of tokens."""
    places, hidden = torch.arange(2, 2 + length), random(3, length, 16)
    for part in (LearnedPositions(9, 16), SinusoidalPositions(9, 16)):
        assert torch.equal(part(hidden, places), part(hidden, places.expand(3, -1)))
    attention = Attention(d_model=16, n_heads=4, rotary=RoPE(4))
    mixed = attention(hidden, positions=places.expand(3, -1), is_causal=True)
    assert torch.equal(attention(hidden, positions=places, is_causal=True), mixed)


def test_one_row_of_positions_stands_for_all_in_a_model(unchecked):
    torch.manual_seed(0)
    sizes = {"vocab_size": 9, "context_length": 9, "d_model": 16, "n_layers": 2, "n_heads": 4}
    for kind in ("rope", "learned", "sinusoidal"):
        model = GPT(modern_recipe(**sizes, positions=kind, zero_init_outputs=False)).eval()
        ids, places = torch.arange(12).view(3, 4) % 9, torch.tensor([1, 2, 4, 8])
        apart = model(ids, positions=places.expand(3, -1)).logits
        assert torch.equal(model(ids, positions=places).logits, apart)
        assert not torch.allclose(model(ids).logits, apart)


@pytest.mark.parametrize("shape", [(1,), (3, 1), (1, 1), (3,), (3, 5), (1, 3, 4)])
def test_positions_that_are_not_one_for_each_token_are_refused(unchecked, shape):
    places, rows = torch.ones(shape, dtype=torch.long), random(3, 4, 16)
    for part in (LearnedPositions(9, 16), SinusoidalPositions(9, 16)):
        with pytest.raises(UserError, match=r"where 4 tokens stand: .* \[T\] or \[B, T\]"):
            part(rows, places)
    with pytest.raises(UserError, match=r"do not say where 4 tokens stand"):
        RoPE(4)(random(3, 4, 4, 4), places)


def test_learned_positions_add_their_vector():
    part = LearnedPositions(4, 3)
    assert torch.equal(part(torch.zeros(2, 2, 3), start=1)[1], part.weight[1:3])


def test_rotation_is_written_in_pairs():
    """(a, b) turned by a quarter is (-b, a)."""
    quarter = torch.tensor([[0.0, 0.0]]), torch.tensor([[-1.0, 1.0]])
    assert torch.equal(rotate(torch.tensor([[2.0, 3.0]]), *quarter), torch.tensor([[-3.0, 2.0]]))


def test_what_can_be_computed_is_not_saved():
    for part in (RoPE(4), SinusoidalPositions(8, 4), ALiBi(4)):
        assert part.state_dict() == {}


# Sinusoids


def test_sinusoids_by_hand():
    """D = 4: one pair turns by 1 a position, the other by 1/100."""
    t = torch.tensor(3.0)
    wanted = torch.stack([t.sin(), t.cos(), (t / 100).sin(), (t / 100).cos()])
    torch.testing.assert_close(sinusoids(5, 4)[3], wanted)
    assert sinusoids(5, 4)[0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("k", [1, 7, 40])
def test_a_step_of_k_is_one_rotation_wherever_it_begins(double, k):
    table = sinusoids(100, 8)
    angles = k * rope_frequencies(8, 10_000.0)
    blocks = torch.stack([angles.cos(), angles.sin(), -angles.sin(), angles.cos()]).T
    step = torch.block_diag(*blocks.view(-1, 2, 2))
    torch.testing.assert_close(table[:-k] @ step.T, table[k:], rtol=0, atol=1e-10)
    torch.testing.assert_close(step @ step.T, torch.eye(8), rtol=0, atol=1e-10)


def test_sinusoids_have_one_length_and_like_each_other_by_distance(double):
    table = sinusoids(60, 16)
    likeness = table @ table.T
    torch.testing.assert_close(likeness.diagonal(), torch.full((60,), 8.0), rtol=0, atol=1e-10)
    for distance in (1, 5, 30):
        band = likeness.diagonal(distance)
        torch.testing.assert_close(band, band[:1].expand_as(band), rtol=0, atol=1e-10)


def test_sinusoids_are_added():
    part = SinusoidalPositions(9, 4)
    assert torch.equal(part(torch.zeros(2, 3, 4), start=5)[1], sinusoids(9, 4)[5:8])


# Distances, and T5's buckets


def test_the_last_query_stands_at_the_last_key():
    assert offsets(2, 4).tolist() == [[-2, -1, 0, 1], [-3, -2, -1, 0]]


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (8, 20), (64, 1000), (4, 5)])
def test_buckets_are_t5s(bidirectional, n_buckets, max_distance):
    ahead = torch.arange(-1500, 1501)
    theirs = T5Attention._relative_position_bucket(ahead, bidirectional, n_buckets, max_distance)
    ours = relative_buckets(ahead, n_buckets, max_distance, bidirectional)
    assert torch.equal(ours, theirs)
    assert ours.min() == 0
    assert ours.max() == n_buckets - 1


def test_buckets_by_hand():
    """8 buckets to distance 16: 0 1 2 3 alone, then 4-5, 6-7, 8-11, and all from 12 on."""
    found = relative_buckets(-torch.arange(18), n_buckets=8, max_distance=16)
    assert found.tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7, 7]


@pytest.mark.parametrize("bidirectional", [False, True])
def test_relative_bias_is_t5s(bidirectional):
    config = T5Config(d_model=32, num_heads=4, d_kv=8, is_decoder=not bidirectional)
    theirs = T5Attention(config, has_relative_attention_bias=True)
    ours = RelativeBias(4, bidirectional=bidirectional)
    with torch.no_grad():
        ours.weight.copy_(theirs.relative_attention_bias.weight.normal_())
    assert torch.equal(ours(200, 200), theirs.compute_bias(200, 200)[0])
    late = theirs.compute_bias(3, 200, past_seen_tokens=197)[0]
    assert torch.equal(ours(3, 200), late)


def test_relative_bias_begins_without_preference_and_learns():
    part = RelativeBias(2)
    assert not part(5, 5).any()
    part(5, 5).square().add(part(5, 5)).sum().backward()
    assert part.weight.grad[:5].all()  # five distances were seen
    assert not part.weight.grad[5:].any()


@pytest.mark.parametrize("sizes", [(1, 128, False), (3, 128, True), (32, 16, False), (32, 8, True)])
def test_buckets_that_do_not_go_together(sizes):
    with pytest.raises(UserError, match="do not go together: try n_buckets=32"):
        RelativeBias(4, *sizes)


# ALiBi


def test_slopes_of_the_paper():
    """Section 3: for 8 heads 1/2, 1/4, ..., 1/256; 16 heads fill the gaps geometrically."""
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]
    torch.testing.assert_close(alibi_slopes(16)[1::2], alibi_slopes(8))
    torch.testing.assert_close(alibi_slopes(16)[0], torch.tensor(2**-0.5))


@pytest.mark.parametrize("n_heads", [1, 2, 3, 5, 6, 8, 12, 16, 20, 71])
def test_alibi_is_blooms(n_heads):
    """BLOOM adds `slope s`, which softmax cannot tell from `-slope (t - s)`: it differs by rows."""
    theirs = build_alibi_tensor(torch.ones(1, 30), n_heads, torch.float32)  # H 1 S
    ours = ALiBi(n_heads)(30, 30)
    past = torch.ones(30, 30).tril().bool()
    a, b = (x.masked_fill(~past, -torch.inf).softmax(-1) for x in (ours, theirs.expand_as(ours)))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_alibi_by_hand():
    assert ALiBi(8)(2, 3)[0].tolist() == [[-0.5, 0.0, -0.5], [-1.0, -0.5, 0.0]]


# What they have in common


@pytest.mark.parametrize("part", [RelativeBias(3), ALiBi(3), RelativeBias(3, bidirectional=True)])
def test_biases_depend_on_distance_alone(part):
    with torch.no_grad():
        for weight in part.parameters():
            weight.normal_()
    whole = part(50, 50)
    for distance in (-30, -1, 0, 1, 20):
        band = whole.diagonal(distance, dim1=1, dim2=2)
        assert torch.equal(band, band[:, :1].expand_as(band))
    assert torch.equal(part(7, 50), whole[:, -7:])  # with a cache: the last rows
    assert not torch.equal(whole[:, -1, -2], whole[:, -1, -9])


def attention(kind):
    """Two heads of width 4, with each kind of positions that attention itself knows of."""
    parts = {
        "none": {},
        "rope": {"rotary": RoPE(4, context_length=200)},
        "relative": {"position_bias": RelativeBias(2)},
        "alibi": {"position_bias": ALiBi(2)},
    }
    torch.manual_seed(0)
    built = Attention(d_model=8, n_heads=2, **parts[kind])
    for weight in built.parameters():
        torch.nn.init.normal_(weight)
    return built


def test_without_positions_a_text_is_a_bag(double):
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    x = random(1, 9, 8)
    for kind in ("none", "rope", "relative", "alibi"):
        built = attention(kind)
        blind = torch.allclose(built(x[:, order]), built(x)[:, order], atol=1e-10)
        assert blind == (kind == "none")


def test_a_causal_mask_alone_already_knows_some_order(double):
    """The last token sees all others as a bag; the third sees another bag than the second."""
    built, x = attention("none"), random(1, 6, 8)
    swapped = x[:, [1, 0, 2, 3, 4, 5]]
    before, after = built(x, is_causal=True), built(swapped, is_causal=True)
    torch.testing.assert_close(before[:, 2:], after[:, 2:], rtol=0, atol=1e-10)
    assert not torch.allclose(before[:, :2], after[:, [1, 0]])
    # Two layers make it readable: what the early ones saw now depends on their order.
    twice = [built(y, is_causal=True) for y in (before, after)]
    assert not torch.allclose(twice[0][:, 5], twice[1][:, 5])


@pytest.mark.parametrize("kind", ["none", "rope", "relative", "alibi"])
def test_a_common_shift_changes_nothing(double, kind):
    built, x = attention(kind), random(1, 6, 8)
    here = built(x, is_causal=True, positions=torch.arange(6)[None])
    there = built(x, is_causal=True, positions=torch.arange(6)[None] + 150)
    torch.testing.assert_close(here, there, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", POSITIONS)
def test_cached_equals_full(double, kind):
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "context_length": 12, "d_model": 16, "n_layers": 2, "n_heads": 2}
    model = GPT(modern_recipe(**sizes, positions=kind))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    ids = torch.randint(20, (2, 12))
    cache = KVCache(2)
    parts = [model(part, cache=cache).logits for part in ids.split([5, 1, 1, 5], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), model(ids).logits, rtol=0, atol=1e-10)


def test_odd_sinusoids():
    with pytest.raises(UserError, match="d_model=5 is odd"):
        SinusoidalPositions(4, 5)


def test_odd_width():
    with pytest.raises(UserError, match="head_dim=5 is odd"):
        RoPE(5)
