"""The checks on attention: their truth is right, and they know mistakes written in other ways too.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import attention as check


def qkv(n_queries: int, n_keys: int, width: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, n, width, dtype=torch.float64) for n in (n_queries, n_keys, n_keys))


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


# The truth, against the library and by hand


def test_attention_is_the_librarys():
    q, k, v = qkv(3, 5, 4)
    truth = check.scaled_dot_product_attention.right(q, k, v)
    assert torch.allclose(truth, F.scaled_dot_product_attention(q, k, v), atol=1e-12)


def test_chunked_attention_is_the_librarys():
    q, k, v = (x[0] for x in qkv(3, 7, 4))
    whole = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    for chunk in (1, 2, 7, 9):
        truth = check.chunked_attention.right(q, k, v, chunk)
        assert torch.allclose(truth, whole, atol=1e-12)


def test_softmax_by_hand():
    weights = check.softmax.right(torch.tensor([[math.log(2.0), 0.0, 5.0]]), check._bools("110"))
    assert torch.allclose(weights, torch.tensor([[2 / 3, 1 / 3, 0.0]]))


def test_masks_by_hand():
    assert check.causal_mask.right(2, 5).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


def test_heads_by_hand():
    x = torch.arange(8.0).view(1, 2, 4)
    assert check.split_heads.right(x, 2).tolist() == [[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]
    assert check.merge_heads.right(check.split_heads.right(x, 2)).tolist() == x.tolist()


def test_groups_by_hand():
    groups = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert check.repeat_kv.right(groups, 4).flatten().tolist() == [1, 1, 2, 2]


def test_the_cache_by_hand():
    assert check.cache_megabytes.right() == pytest.approx(2 * 24 * 1024 * 1024 * 2 / 1e6)


# Mistakes as learners write them, which is not as the catalogue does


def test_a_loop_without_the_scale_is_recognised():
    def attention_scores(q, k):
        return torch.stack(
            [torch.stack([k_b @ query for query in q_b]) for q_b, k_b in zip(q, k, strict=True)]
        )

    assert verdict_of(check.attention_scores, attention_scores) == "the scores are not scaled"


def test_an_einsum_with_softmax_over_the_queries_is_recognised():
    def attention(q, k, v, mask=None):
        scores = torch.einsum("btk,bsk->bts", q, k) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
        return torch.einsum("bts,bsk->btk", torch.softmax(scores, dim=1), v)

    found = verdict_of(check.scaled_dot_product_attention, attention)
    assert found == "softmax over the queries"


def test_a_softmax_by_hand_without_a_maximum_is_recognised():
    def softmax(scores, mask=None):
        allowed = torch.ones_like(scores) if mask is None else mask.to(scores)
        exponentials = torch.exp(scores) * allowed
        return exponentials / exponentials.sum(dim=-1, keepdim=True)

    assert verdict_of(check.softmax, softmax) == "exp overflows"


def test_groups_laid_out_by_hand_in_the_wrong_order_are_recognised():
    def repeat_kv(x, n_heads):
        return torch.cat([x] * (n_heads // x.size(1)), dim=1)

    assert verdict_of(check.repeat_kv, repeat_kv) == "tiled instead of interleaved"


def test_a_mask_of_the_wrong_type_is_told_its_type():
    def causal_mask(n_queries, n_keys):
        return torch.ones(n_queries, n_keys).tril(n_keys - n_queries)

    assert "dtype torch.float32; expected torch.bool" in verdict_of(check.causal_mask, causal_mask)


def test_a_view_that_scattered_memory_refuses_is_told_so():
    def merge_heads(x):
        return x.transpose(1, 2).view(x.size(0), x.size(2), -1)

    assert "RuntimeError" in verdict_of(check.merge_heads, merge_heads)


def test_another_right_way_is_right():
    def softmax(scores, mask=None):
        if mask is None:
            return scores.softmax(-1)
        return scores.masked_fill(~mask, -math.inf).softmax(-1).nan_to_num(0.0)

    assert check.softmax.verdict(softmax).status == "passed"


# The memory of chunked attention


def test_a_matrix_that_is_only_passed_through_is_seen():
    def chunked_attention(q, k, v, chunk):
        output = check.chunked_attention.right(q, k, v, chunk)
        return output + 0 * (q @ k.mT).sum()

    assert verdict_of(check.chunked_attention, chunked_attention) != ""
    q, k, v = check.chunked_attention.inputs("four chunks of three")[:3]
    with pytest.raises(check.WholeMatrixError, match="T x S is 60"):
        check._within_memory(chunked_attention, q, k, v, 3)


def test_some_cases_forbid_the_matrix():
    watched = [c for c in check.chunked_attention.trials() if is_watched(*c.args)]
    assert len(watched) >= 3


def is_watched(q, k, v, chunk) -> bool:
    try:
        check._within_memory(lambda q, k, v, chunk: q @ k.mT, q, k, v, chunk)
    except check.WholeMatrixError:
        return True
    return False


def test_a_mistake_that_cannot_finish_everywhere_is_still_recognised():
    """`view` raises where memory is scattered, and `reshape`, the catalogued one, does not."""

    def split_heads(x, n_heads):
        batch, length, width = x.shape
        return x.view(batch, n_heads, length, width // n_heads)

    assert verdict_of(check.split_heads, split_heads) == "the sentence was cut, not the width"


def test_a_mask_the_wrong_way_round_is_recognised_with_minus_infinity_too():
    def attend(q, k, v, mask=None):
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask, float("-inf"))
        return scores.softmax(-1) @ v

    named = verdict_of(check.scaled_dot_product_attention, attend)
    assert named == "the mask the wrong way round, and minus infinity"
