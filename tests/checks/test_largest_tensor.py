"""The largest tensor that a block of code makes."""

import pytest
import torch

from llmcourse.checks.largest_tensor import LargestTensor


def test_the_largest_result_on_the_way_is_remembered():
    with LargestTensor() as largest:
        (torch.ones(3, 4) @ torch.ones(4, 5)).sum()
    assert largest.numel == 20


def test_tensors_in_tuples_count():
    with LargestTensor() as largest:
        torch.ones(2).new_zeros(6).split(4)
    assert largest.numel == 6


def test_nothing_outside_the_block_counts():
    with LargestTensor() as largest:
        pass
    torch.ones(9)
    assert largest.numel == 0


def test_it_ends_with_the_block_however_that_ends():
    largest = LargestTensor()
    with pytest.raises(ValueError, match="no"), largest:
        raise ValueError("no")
    torch.ones(9)
    assert largest.numel == 0
