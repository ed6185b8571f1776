import math

import pytest
import torch
import torch.nn.functional as F

from llmcourse.errors import UserError
from llmcourse.nn.dropout import dropout


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_same_seed_gives_the_librarys_numbers(p):
    x = torch.randn(3, 50, dtype=torch.float64)
    torch.manual_seed(4)
    ours = dropout(x, p)
    torch.manual_seed(4)
    torch.testing.assert_close(ours, F.dropout(x, p), rtol=1e-12, atol=0)


def test_fractions_and_mean_lie_within_binomial_bounds():
    n, p = 200_000, 0.3
    dropped = dropout(torch.ones(n), p, torch.Generator().manual_seed(0))
    fraction = (dropped == 0).float().mean().item()
    assert abs(fraction - p) < 5 * math.sqrt(p * (1 - p) / n)
    assert abs(dropped.mean().item() - 1) < 5 * math.sqrt(p / (1 - p) / n)
    assert set(dropped.tolist()) == {0.0, torch.tensor(1 / 0.7).item()}


def test_a_dropped_number_sends_nothing_back():
    x = torch.randn(100, requires_grad=True)
    out = dropout(x, 0.5, torch.Generator().manual_seed(0))
    out.sum().backward()
    assert torch.equal(x.grad == 0, out == 0)
    assert set(x.grad.tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_a_fraction_that_is_none(p):
    with pytest.raises(UserError, match="fraction that is dropped"):
        dropout(torch.ones(2), p)
