import pytest
import torch
import torch.nn.functional as F
from numerics import close
from torch import nn

from llmcourse.errors import UserError
from llmcourse.nn import masks
from llmcourse.nn.attention import (
    Attention,
    attention_weights,
    merge_heads,
    repeat_kv,
    scaled_dot_product_attention,
    split_heads,
)
from llmcourse.nn.cache import KVCache
from llmcourse.nn.capture import capture
from llmcourse.nn.norms import RMSNorm
from llmcourse.nn.positions import RoPE

B, H, T, S, K, D = 2, 4, 5, 7, 8, 32

MASKS = {
    "none": None,
    "causal": masks.causal(T, S),
    "padding": masks.padding(torch.tensor([3, 7]), S),
    "window": masks.sliding_window(T, 2, S),
    "nothing to see": torch.tensor([[True], [False], [True], [True], [False]]).expand(T, S),
    "by head": torch.rand(1, H, T, S, generator=torch.Generator().manual_seed(3)) > 0.4,
    "all at once": masks.causal(T, S) & masks.padding(torch.tensor([1, 6]), S),
}


@pytest.fixture(params=MASKS)
def mask(request):
    return MASKS[request.param]


@pytest.fixture
def double():
    """Modules built in here are in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def qkv(dtype=torch.float64, groups=H, queries=T):
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(B, H, queries, K, dtype=dtype, generator=generator),
        torch.randn(B, groups, S, K, dtype=dtype, generator=generator),
        torch.randn(B, groups, S, K, dtype=dtype, generator=generator),
    )


class TestFunction:
    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
    def test_equals_the_library(self, mask, dtype, atol):
        q, k, v = qkv(dtype)
        theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        close(scaled_dot_product_attention(q, k, v, mask).output, theirs, atol)

    def test_gradients_equal_the_library(self, mask):
        inputs = [x.requires_grad_() for x in qkv()]
        upstream = torch.randn(B, H, T, K, dtype=torch.float64)
        ours = scaled_dot_product_attention(*inputs, mask).output
        theirs = F.scaled_dot_product_attention(*inputs, attn_mask=mask)
        for got, want in zip(
            torch.autograd.grad(ours, inputs, upstream),
            torch.autograd.grad(theirs, inputs, upstream),
            strict=True,
        ):
            assert got.isfinite().all()
            close(got, want)

    def test_no_nan_even_for_a_moment(self):
        """What anomaly detection, the tool for finding NaNs, would stumble over."""
        inputs = [x.requires_grad_() for x in qkv()]
        with torch.autograd.set_detect_anomaly(True):
            result = scaled_dot_product_attention(*inputs, MASKS["nothing to see"])
            result.output.sum().backward()

    def test_scale(self):
        q, k, v = qkv()
        theirs = F.scaled_dot_product_attention(q, k, v, scale=0.3)
        close(scaled_dot_product_attention(q, k, v, scale=0.3).output, theirs)

    def test_weights_are_a_distribution_over_what_may_be_seen(self, mask):
        weights = scaled_dot_product_attention(*qkv(), mask).weights
        visible = torch.ones(B, H, T, S, dtype=torch.bool)
        visible = visible if mask is None else visible & mask
        assert (weights[visible] > 0).all()
        assert (weights[~visible] == 0).all()
        close(weights.sum(-1), visible.any(-1).double())

    def test_a_query_that_may_look_nowhere_gets_zeros(self):
        result = scaled_dot_product_attention(*qkv(), MASKS["nothing to see"])
        assert (result.output[:, :, [1, 4]] == 0).all()
        assert (result.weights[:, :, [1, 4]] == 0).all()
        assert (result.output[:, :, 0] != 0).all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_stays_finite(self, mask, dtype):
        """q k^T alone would be about 150,000: beyond the largest half-precision number, 65,504."""
        q, k, v = qkv(dtype)
        inputs = [(130 * q.sign()).requires_grad_(), (130 * k.sign()).requires_grad_(), v]
        result = scaled_dot_product_attention(*inputs, mask)
        assert result.weights.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(result.output.sum(), inputs[:2]))

    @pytest.mark.parametrize(("dtype", "atol"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
    def test_half_precision_is_as_exact_as_its_format(self, mask, dtype, atol):
        q, k, v = qkv(dtype)
        exact = scaled_dot_product_attention(q.double(), k.double(), v.double(), mask).output
        ours = scaled_dot_product_attention(q, k, v, mask).output
        assert ours.dtype == dtype
        close(ours.double(), exact, atol)

    def test_by_hand(self):
        """Two keys whose scores differ by ln 3: weights 1/4 and 3/4."""
        q = torch.ones(1, 1)
        k = torch.tensor([[0.0], [torch.tensor(3.0).log()]])
        v = torch.tensor([[0.0], [8.0]])
        result = scaled_dot_product_attention(q, k, v)
        close(result.weights, torch.tensor([[0.25, 0.75]]), 1e-6)
        close(result.output, torch.tensor([[6.0]]), 1e-5)

    def test_without_batch_and_one_of_everything(self):
        one = torch.ones(1, 1)
        assert scaled_dot_product_attention(one, one, one).output == one
        q, k, v = (x[0, 0] for x in qkv())
        close(scaled_dot_product_attention(q, k, v).output, F.scaled_dot_product_attention(q, k, v))

    def test_inputs_are_left_alone(self):
        inputs = qkv()
        before = [x.clone() for x in inputs]
        scaled_dot_product_attention(*inputs, MASKS["causal"])
        assert all(torch.equal(x, y) for x, y in zip(inputs, before, strict=True))


class TestHeads:
    def test_split_and_merge(self):
        """Head h is the h-th stretch of K numbers of the width."""
        x = torch.arange(2 * 3 * 12.0).view(2, 3, 12)
        heads = split_heads(x, 4)
        assert heads.shape == (2, 4, 3, 3)
        assert torch.equal(heads[1, 2, 0], x[1, 0, 6:9])
        assert torch.equal(merge_heads(heads), x)

    def test_groups_are_neighbours(self):
        x = torch.arange(3.0)[None, :, None, None]
        assert repeat_kv(x, 6).flatten().tolist() == [0, 0, 1, 1, 2, 2]

    @pytest.mark.parametrize("groups", [1, 2, 4])
    def test_grouped_heads_equal_the_library(self, groups):
        q, k, v = qkv(groups=groups)
        theirs = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        ours = scaled_dot_product_attention(q, repeat_kv(k, H), repeat_kv(v, H)).output
        close(ours, theirs)

    @pytest.mark.parametrize(
        ("sizes", "message"),
        [
            ({"d_model": 128, "n_heads": 5}, "n_heads=5 does not divide d_model=128: try 4 or 8"),
            ({"d_model": 8, "n_heads": 16}, "n_heads=16 does not divide d_model=8: try 8"),
            ({"d_model": 8, "n_heads": 0}, "n_heads=0 does not divide d_model=8: try 1"),
            (
                {"d_model": 32, "n_heads": 4, "n_kv_heads": 3},
                "n_kv_heads=3 does not divide n_heads=4: try one of 1, 2, 4",
            ),
        ],
    )
    def test_impossible_sizes(self, sizes, message):
        with pytest.raises(UserError, match=message):
            Attention(**sizes)


@pytest.mark.usefixtures("double")
class TestModule:
    @pytest.fixture(params=["plain", "grouped", "modern"])
    def attention(self, request, double):
        torch.manual_seed(0)
        if request.param == "plain":
            return Attention(d_model=D, n_heads=H, bias=True)
        if request.param == "grouped":
            return Attention(d_model=D, n_heads=H, n_kv_heads=2, head_dim=12)
        norms = {"q_norm": RMSNorm(K), "k_norm": RMSNorm(K)}
        rope = RoPE(K, theta=50.0, context_length=32)
        return Attention(d_model=D, n_heads=H, n_kv_heads=1, rotary=rope, **norms)

    @pytest.fixture
    def hidden(self, double):
        return torch.randn(B, T, D, generator=torch.Generator().manual_seed(1))

    @pytest.mark.parametrize("is_causal", [True, False])
    @pytest.mark.parametrize("cross", [True, False])
    @pytest.mark.parametrize("bias", [True, False])
    def test_equals_multihead_attention(self, hidden, is_causal, cross, bias):
        theirs = nn.MultiheadAttention(D, H, bias=bias, batch_first=True)
        ours = Attention(d_model=D, n_heads=H, bias=bias)
        with torch.no_grad():
            for projection, weight in zip("qkv", theirs.in_proj_weight.chunk(3), strict=True):
                getattr(ours, f"{projection}_proj").weight.copy_(weight)
            ours.o_proj.weight.copy_(theirs.out_proj.weight)
            if bias:
                nn.init.normal_(theirs.in_proj_bias)
                nn.init.normal_(theirs.out_proj.bias)
                for projection, weight in zip("qkv", theirs.in_proj_bias.chunk(3), strict=True):
                    getattr(ours, f"{projection}_proj").bias.copy_(weight)
                ours.o_proj.bias.copy_(theirs.out_proj.bias)
        context = torch.randn(B, S, D) if cross else None
        source = hidden if context is None else context
        hidden_from = ~masks.causal(T, source.size(1)) if is_causal else None  # theirs: True hides
        wanted, their_weights = theirs(
            hidden, source, source, attn_mask=hidden_from, average_attn_weights=False
        )
        close(ours(hidden, context=context, is_causal=is_causal), wanted)
        with capture(ours, "weights") as seen:
            close(ours(hidden, context=context, is_causal=is_causal), wanted)
        close(seen["weights"], their_weights)

    @pytest.mark.parametrize("is_causal", [True, False])
    def test_looking_changes_nothing(self, attention, hidden, is_causal):
        for mask in (None, masks.padding(torch.tensor([5, 2]), T), masks.sliding_window(T, 2)):
            unseen = attention(hidden, mask=mask, is_causal=is_causal)
            with capture(attention, "weights") as seen:
                close(attention(hidden, mask=mask, is_causal=is_causal), unseen)
            assert seen["weights"].shape == (B, H, T, T)
            visible = masks.causal(T) if is_causal else torch.ones(T, T, dtype=torch.bool)
            visible = visible if mask is None else visible & mask
            assert torch.equal(seen["weights"] > 0, visible.expand(B, H, T, T))

    def test_knows_no_order_without_positions(self, hidden):
        attention = Attention(d_model=D, n_heads=H)
        order = torch.tensor([3, 0, 4, 1, 2])
        close(attention(hidden[:, order]), attention(hidden)[:, order])

    def test_knows_order_with_positions(self, hidden):
        attention = Attention(d_model=D, n_heads=H, rotary=RoPE(K))
        order = torch.tensor([3, 0, 4, 1, 2])
        assert not torch.allclose(attention(hidden[:, order]), attention(hidden)[:, order])
        # ... and turns with the order when the positions are told:
        told = attention(hidden[:, order], positions=order[None])
        close(told, attention(hidden)[:, order])

    def test_only_distance_matters_with_rotary_positions(self, hidden):
        attention = Attention(d_model=D, n_heads=H, rotary=RoPE(K))
        far = torch.arange(100, 100 + T)[None]
        close(attention(hidden, positions=far), attention(hidden))

    @pytest.mark.parametrize("chunks", [[5], [1, 1, 1, 1, 1], [2, 3], [4, 1]])
    def test_cached_equals_full(self, attention, hidden, chunks):
        cache = KVCache(1)
        parts = [attention(x, is_causal=True, cache=cache) for x in hidden.split(chunks, dim=1)]
        close(torch.cat(parts, dim=1), attention(hidden, is_causal=True))

    def test_nobody_looks_ahead(self, attention, hidden):
        before = attention(hidden, is_causal=True)
        hidden[:, 3:] += 1
        after = attention(hidden, is_causal=True)
        assert torch.equal(before[:, :3], after[:, :3])
        assert not torch.isclose(before[:, 3:], after[:, 3:]).any()

    def test_one_query_of_one_row(self, attention, hidden):
        alone = attention(hidden[:1, :1], is_causal=True)
        close(alone, attention(hidden, is_causal=True)[:1, :1])

    def test_dropout_only_in_training(self, hidden):
        attention = Attention(d_model=D, n_heads=H, dropout=0.5)
        assert not torch.equal(attention(hidden), attention(hidden))
        attention.eval()
        assert torch.equal(attention(hidden), attention(hidden))

    def test_dropout_keeps_the_mean_when_looked_at(self, hidden):
        attention = Attention(d_model=D, n_heads=H, dropout=0.5)
        calm = attention.eval()(hidden)
        attention.train()
        with capture(attention, "weights"):
            draws = [attention(hidden) for _ in range(400)]
            mean = sum(draws) / 400
        assert not torch.equal(draws[0], draws[1])
        close(mean, calm, 0.15)


class ByHead(nn.Module):
    """A stand-in for a position's bias: another number for each head, query and key."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(4)
        self.weight = nn.Parameter(torch.randn(H, 16, 16, generator=generator))

    def forward(self, n_queries: int, n_keys: int) -> torch.Tensor:
        return self.weight[:, n_keys - n_queries : n_keys, :n_keys]


class TestScoreBias:
    def test_equals_the_library(self, mask):
        q, k, v = qkv()
        bias = torch.randn(H, T, S, dtype=torch.float64)
        seen = torch.ones(T, S, dtype=torch.bool) if mask is None else mask
        theirs = F.scaled_dot_product_attention(q, k, v, bias.masked_fill(~seen, -torch.inf))
        ours, weights = scaled_dot_product_attention(q, k, v, mask, score_bias=bias)
        close(ours, theirs.nan_to_num(0.0))  # a query that may look nowhere: NaN there
        close(weights, attention_weights(q, k, mask, score_bias=bias))

    @pytest.mark.parametrize("groups", [H, 2])
    def test_the_module_adds_it_and_hides_with_the_mask(self, double, groups):
        torch.manual_seed(0)
        attention = Attention(d_model=D, n_heads=H, n_kv_heads=groups, position_bias=ByHead())
        hidden = torch.randn(B, T, D)
        q = split_heads(attention.q_proj(hidden), H)
        k, v = (
            repeat_kv(split_heads(proj(hidden), groups), H)
            for proj in (attention.k_proj, attention.v_proj)
        )
        bias = attention.position_bias.weight[:, :T, :T]
        scores = q @ k.mT / K**0.5 + bias
        weights = scores.masked_fill(~masks.causal(T), -torch.inf).softmax(-1)
        close(attention(hidden, is_causal=True), attention.o_proj(merge_heads(weights @ v)))
        attention(hidden).sum().backward()
        assert attention.position_bias.weight.grad[:, :T, :T].any()

    @pytest.mark.parametrize("chunks", [[1, 1, 1, 1, 1], [2, 3], [4, 1]])
    def test_cached_equals_full(self, double, chunks):
        attention = Attention(d_model=D, n_heads=H, position_bias=ByHead())
        hidden, cache = torch.randn(B, T, D), KVCache(1)
        parts = [attention(x, is_causal=True, cache=cache) for x in hidden.split(chunks, dim=1)]
        close(torch.cat(parts, dim=1), attention(hidden, is_causal=True))


class TestCrossCache:
    @pytest.mark.parametrize("chunks", [[5], [1, 1, 1, 1, 1], [2, 3]])
    def test_the_context_is_read_once(self, double, chunks):
        torch.manual_seed(0)
        attention = Attention(d_model=D, n_heads=H)
        hidden, context, cache = torch.randn(B, T, D), torch.randn(B, S, D), KVCache(1)
        parts = [attention(x, context=context, cache=cache) for x in hidden.split(chunks, dim=1)]
        close(torch.cat(parts, dim=1), attention(hidden, context=context))
        assert cache.length == S
        # Nothing reads another context any more: what was computed at the first call is kept.
        close(
            attention(hidden, context=context * 2, cache=cache), attention(hidden, context=context)
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_on_a_cpu_is_written_out_and_right(dtype):
    torch.manual_seed(0)
    attention = Attention(d_model=D, n_heads=H, n_kv_heads=2, rotary=RoPE(K))
    hidden = torch.randn(B, T, D)
    exact = attention(hidden, is_causal=True)
    with torch.autocast("cpu", dtype=dtype):
        close(attention(hidden, is_causal=True).float(), exact, 2e-2)
    close(attention.to(dtype)(hidden.to(dtype), is_causal=True).float(), exact, 2e-2)


def test_half_precision_on_a_cpu_leaves_the_slow_kernel_alone(monkeypatch):
    """And everything else takes it: the library's kernel is the fast one elsewhere."""
    called = []
    kernel = F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *a, **k: called.append(1) or kernel(*a, **k)
    )
    attention = Attention(d_model=D, n_heads=H)
    attention.bfloat16()(torch.randn(B, T, D, dtype=torch.bfloat16))
    assert not called
    attention.float()(torch.randn(B, T, D))
    assert called


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (masks.causal(4).float(), r"holds torch.float32, not True and False: give mask.bool\(\)"),
        (masks.causal(4).long(), "holds torch.int64"),
        (masks.causal(4).long()[None, None], "holds torch.int64"),
        (masks.causal(4).expand(H, 4, 4), r"shape \[4, 4, 4\] must be .* mask\[:, None\]"),
        (torch.ones(4, dtype=torch.bool), r"shape \[4\] must be \[T, S\]"),
    ],
)
def test_a_mask_that_would_be_misread_is_refused(unchecked, mask, message, watched):
    """The fused kernel adds numbers to the scores, and lays a batch of masks along the heads."""
    attention = Attention(d_model=D, n_heads=H)
    with capture(attention, "weights" if watched else "q_proj"):
        attention(torch.randn(H, 4, D), mask=masks.causal(4))
        for is_causal in (False, True):
            with pytest.raises(UserError, match=message) as caught:
                attention(torch.randn(H, 4, D), mask=mask, is_causal=is_causal)
            assert "\n" not in str(caught.value)


def test_weights_take_the_scale_into_account():
    """Without the root of K, softmax saturates: the mean largest weight would be above 0.99."""
    q, k = torch.randn(2, 1000, 512, generator=torch.Generator().manual_seed(0))
    assert attention_weights(q[:20], k).max(-1).values.mean() < 0.1
    assert attention_weights(q[:20], k, scale=1.0).max(-1).values.mean() > 0.9
