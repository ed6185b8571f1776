import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.nn import masks


def matrix(rows):
    return torch.tensor([[int(cell) for cell in row] for row in rows.split()], dtype=torch.bool)


@pytest.mark.parametrize(
    ("sizes", "written_out"),
    [
        ((1,), "1"),
        ((4,), "1000 1100 1110 1111"),
        ((2, 5), "11110 11111"),  # a cache holds three positions
        ((1, 3), "111"),
    ],
)
def test_causal(sizes, written_out):
    assert torch.equal(masks.causal(*sizes), matrix(written_out))


def test_causal_needs_a_key_for_each_query():
    with pytest.raises(UserError, match="3 queries needs at least as many keys, not 2"):
        masks.causal(3, 2)


def test_padding():
    mask = masks.padding(torch.tensor([1, 3, 0]), 3)
    assert mask.shape == (3, 1, 1, 3)
    assert torch.equal(mask[:, 0, 0], matrix("100 111 000"))


def test_document():
    mask = masks.document(torch.tensor([[0, 0, 1, 1], [5, 5, 5, 2]]))
    assert mask.shape == (2, 1, 4, 4)
    assert torch.equal(mask[0, 0], matrix("1100 1100 0011 0011"))
    assert torch.equal(mask[1, 0], matrix("1110 1110 1110 0001"))


def test_packed_documents_combine_with_causality():
    mask = masks.document(torch.tensor([[0, 0, 1, 1]])) & masks.causal(4)
    assert torch.equal(mask[0, 0], matrix("1000 1100 0010 0011"))


@pytest.mark.parametrize(
    ("arguments", "written_out"),
    [
        ((4, 1), "1000 0100 0010 0001"),
        ((4, 2), "1000 1100 0110 0011"),
        ((4, 9), "1000 1100 1110 1111"),
        ((2, 2, 5), "00110 00011"),
    ],
)
def test_sliding_window(arguments, written_out):
    assert torch.equal(masks.sliding_window(*arguments), matrix(written_out))


def test_a_window_holds_at_least_oneself():
    with pytest.raises(UserError, match="window=0 must be at least 1"):
        masks.sliding_window(4, 0)
