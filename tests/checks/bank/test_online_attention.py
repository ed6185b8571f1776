"""The check on attention in chunks: its truth is right, and it sees what is held at once."""

import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import online_attention as check


def qkv(n_queries: int, n_keys: int, width: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, n, width, dtype=torch.float64) for n in (n_queries, n_keys, n_keys))


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


def test_chunked_attention_is_the_librarys():
    q, k, v = (x[0] for x in qkv(3, 7, 4))
    whole = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
    for chunk in (1, 2, 7, 9):
        truth = check.chunked_attention.right(q, k, v, chunk)
        assert torch.allclose(truth, whole, atol=1e-12)


def test_a_matrix_that_is_only_passed_through_is_seen():
    def chunked_attention(q, k, v, chunk):
        output = check.chunked_attention.right(q, k, v, chunk)
        return output + 0 * (q @ k.mT).sum()

    assert verdict_of(check.chunked_attention, chunked_attention) != ""
    q, k, v = check.chunked_attention.inputs("a long text")[:3]
    with pytest.raises(check.WholeMatrixError, match="5120 numbers or more were held: T x S"):
        check._within_memory(chunked_attention, q, k, v, 16)


def test_some_cases_forbid_the_matrix():
    watched = [c for c in check.chunked_attention.trials() if is_watched(*c.args)]
    assert len(watched) >= 3


def is_watched(q, k, v, chunk) -> bool:
    try:
        check._within_memory(lambda q, k, v, chunk: q @ k.mT, q, k, v, chunk)
    except check.WholeMatrixError:
        return True
    return False
