import warnings

import pytest
import torch
from torch import nn

from llmcourse.nn.norms import LayerNorm, RMSNorm, layer_norm, rms_norm

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(params=TOLERANCE, ids=str)
def dtype(request):
    return request.param


def sample(dtype, *shape):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_equals_torch(dtype, bias):
    hidden, weight = sample(dtype, 3, 5, 8), sample(dtype, 8)
    theirs = nn.LayerNorm(8, eps=1e-3, bias=bias, dtype=dtype)
    ours = LayerNorm(8, eps=1e-3, bias=bias).to(dtype)
    for norm in (theirs, ours):
        norm.weight.data = weight
        if bias:
            norm.bias.data = weight.flip(0)
    written_out = layer_norm(hidden, ours.weight, ours.bias, ours.eps)
    for result in (ours(hidden), written_out):
        torch.testing.assert_close(result, theirs(hidden), rtol=0, atol=TOLERANCE[dtype])


def test_rms_norm_equals_torch(dtype):
    hidden, weight = sample(dtype, 3, 5, 8), sample(dtype, 8)
    theirs = nn.RMSNorm(8, eps=1e-3, dtype=dtype)
    ours = RMSNorm(8, eps=1e-3).to(dtype)
    theirs.weight.data = ours.weight.data = weight
    for result in (ours(hidden), rms_norm(hidden, weight, 1e-3)):
        torch.testing.assert_close(result, theirs(hidden), rtol=0, atol=TOLERANCE[dtype])


def test_gradients_of_the_modules_equal_those_of_the_formulas():
    hidden = sample(torch.float64, 4, 6).requires_grad_()
    for module, formula in ((LayerNorm(6), layer_norm), (RMSNorm(6), rms_norm)):
        module.double()
        parameters = list(module.parameters())
        upstream = sample(torch.float64, 4, 6)
        got = torch.autograd.grad(module(hidden), [hidden, *parameters], upstream)
        want = torch.autograd.grad(formula(hidden, *parameters), [hidden, *parameters], upstream)
        for ours, theirs in zip(got, want, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_by_hand():
    """[3, 4]: mean 3.5, deviation 0.5; root mean square sqrt(12.5)."""
    hidden, one = torch.tensor([3.0, 4.0]), torch.ones(2)
    torch.testing.assert_close(layer_norm(hidden, one, eps=0.0), torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(rms_norm(hidden, one, eps=0.0), hidden / 12.5**0.5)


def test_size_of_the_input_does_not_matter_but_for_eps():
    hidden, one = sample(torch.float64, 2, 8), torch.ones(8, dtype=torch.float64)
    for norm in (lambda x: layer_norm(x, one, eps=0.0), lambda x: rms_norm(x, one, eps=0.0)):
        torch.testing.assert_close(norm(1000 * hidden), norm(hidden), rtol=0, atol=1e-10)
    assert rms_norm(torch.zeros(8), torch.ones(8)).isfinite().all()


def test_half_precision_under_autocast():
    """The input is in half precision there, and the weight is not: no warning, and no overflow."""
    hidden = torch.full((2, 8), 300.0, dtype=torch.float16)  # its square is beyond half precision
    with warnings.catch_warnings(), torch.autocast("cpu", dtype=torch.float16):
        warnings.simplefilter("error")
        result = RMSNorm(8)(hidden)
    torch.testing.assert_close(result, torch.ones_like(result))
