"""The numbers that are alive at once."""

import pytest
import torch

from llmcourse.checks.live_numbers import LiveNumbers


def test_what_is_let_go_no_longer_counts():
    with LiveNumbers() as live:
        for _ in range(3):
            torch.ones(3, 4) @ torch.ones(4, 5)
    assert live.peak == 12 + 20 + 15


def test_what_is_kept_adds_up():
    with LiveNumbers() as live:
        kept = [torch.zeros(10) for _ in range(7)]
    assert live.peak == 70
    assert len(kept) == 7


def test_views_and_what_happens_in_place_hold_nothing_of_their_own():
    given = torch.ones(6)
    with LiveNumbers() as live:
        pieces = given.view(2, 3).expand(5, 2, 3).split(1)
        given.add_(1).mul_(2)
    assert live.peak == 0
    assert len(pieces) == 5
    with LiveNumbers() as live:
        made = torch.ones(6)
        views = made.view(2, 3).mT, made[1:]
    assert live.peak == 6
    assert len(views) == 2


def test_a_number_counts_once_whatever_its_format():
    for dtype in (torch.float64, torch.bool):
        with LiveNumbers() as live:
            torch.zeros(9, dtype=dtype)
        assert live.peak == 9


def test_a_piece_that_is_kept_keeps_the_whole():
    with LiveNumbers() as live:
        kept = [torch.zeros(100)[:1] for _ in range(2)]
    assert live.peak == 200
    assert len(kept) == 2


def test_nothing_outside_the_block_counts():
    with LiveNumbers() as live:
        pass
    torch.ones(9)
    assert live.peak == 0


def test_it_ends_with_the_block_however_that_ends():
    live = LiveNumbers()
    with pytest.raises(ValueError, match="no"), live:
        raise ValueError("no")
    torch.ones(9)
    assert live.peak == 0


def test_the_scores_in_the_librarys_attention_count():
    q, k = torch.randn(1, 2, 5, 3), torch.randn(1, 2, 7, 3)
    with LiveNumbers() as live:
        torch.nn.functional.scaled_dot_product_attention(q, k, value=k)
    assert live.peak == q.numel() + 2 * 5 * 7


def test_tensors_without_a_storage_pass_through():
    given = torch.ones(3, 4)
    with LiveNumbers() as live:
        sums = torch.vmap(lambda row: (row * 2).sum())(given)
        torch.eye(2).to_sparse()
    assert sums.tolist() == [8.0] * 3
    assert live.peak < 30
