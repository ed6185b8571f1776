"""The checks on many heads: their truth is right, and they know mistakes written otherwise."""

import pytest
import torch

from llmcourse.checks.bank import heads as check


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


def test_heads_by_hand():
    x = torch.arange(8.0).view(1, 2, 4)
    assert check.split_heads.right(x, 2).tolist() == [[[[0, 1], [4, 5]], [[2, 3], [6, 7]]]]
    assert check.merge_heads.right(check.split_heads.right(x, 2)).tolist() == x.tolist()


def test_groups_by_hand():
    groups = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    assert check.repeat_kv.right(groups, 4).flatten().tolist() == [1, 1, 2, 2]


def test_the_cache_by_hand():
    assert check.cache_megabytes.right() == pytest.approx(2 * 24 * 1024 * 1024 * 2 / 1e6)


def test_groups_laid_out_by_hand_in_the_wrong_order_are_recognised():
    def repeat_kv(x, n_heads):
        return torch.cat([x] * (n_heads // x.size(1)), dim=1)

    assert verdict_of(check.repeat_kv, repeat_kv) == "tiled instead of interleaved"


def test_a_view_that_scattered_memory_refuses_is_told_so():
    def merge_heads(x):
        return x.transpose(1, 2).view(x.size(0), x.size(2), -1)

    assert "RuntimeError" in verdict_of(check.merge_heads, merge_heads)


def test_a_mistake_that_cannot_finish_everywhere_is_still_recognised():
    """`view` raises where memory is scattered, and `reshape`, the catalogued one, does not."""

    def split_heads(x, n_heads):
        batch, length, width = x.shape
        return x.view(batch, n_heads, length, width // n_heads)

    assert verdict_of(check.split_heads, split_heads) == "the sentence was cut, not the width"
