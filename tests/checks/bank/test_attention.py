"""The checks on attention: their truth is right, and they know mistakes written in other ways too.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import math

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


def test_softmax_by_hand():
    weights = check.softmax.right(torch.tensor([[math.log(2.0), 0.0, 5.0]]), check._bools("110"))
    assert torch.allclose(weights, torch.tensor([[2 / 3, 1 / 3, 0.0]]))


def test_masks_by_hand():
    assert check.causal_mask.right(2, 5).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]


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


def test_a_mask_of_the_wrong_type_is_told_its_type():
    def causal_mask(n_queries, n_keys):
        return torch.ones(n_queries, n_keys).tril(n_keys - n_queries)

    assert "dtype torch.float32; expected torch.bool" in verdict_of(check.causal_mask, causal_mask)


def test_another_right_way_is_right():
    def softmax(scores, mask=None):
        if mask is None:
            return scores.softmax(-1)
        return scores.masked_fill(~mask, -math.inf).softmax(-1).nan_to_num(0.0)

    assert check.softmax.verdict(softmax).status == "passed"


def test_a_mask_the_wrong_way_round_is_recognised_with_minus_infinity_too():
    def attend(q, k, v, mask=None):
        scores = q @ k.mT / q.size(-1) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask, float("-inf"))
        return scores.softmax(-1) @ v

    named = verdict_of(check.scaled_dot_product_attention, attend)
    assert named == "the mask the wrong way round, and minus infinity"
