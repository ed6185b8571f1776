import copy
import math

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.optim.clip import clip_by_global_norm, global_norm


@pytest.fixture
def parameters():
    generator = torch.Generator().manual_seed(0)
    made = [nn.Parameter(torch.zeros(shape).double()) for shape in ((3, 4), (5,), (2,), ())]
    for parameter in made[:2] + made[3:]:  # one has no gradient
        parameter.grad = torch.randn(parameter.shape, generator=generator).double()
    return made


def gradients(parameters):
    return [p.grad for p in parameters if p.grad is not None]


@pytest.mark.parametrize("max_norm", [0.01, 1.0, 100.0, math.inf])
def test_it_equals_the_librarys(parameters, max_norm):
    twins = copy.deepcopy(parameters)
    for twin, parameter in zip(twins, parameters, strict=True):
        twin.grad = None if parameter.grad is None else parameter.grad.clone()
    ours = clip_by_global_norm(parameters, max_norm)
    theirs = nn.utils.clip_grad_norm_(twins, max_norm)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for mine, other in zip(gradients(parameters), gradients(twins), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_the_norm_is_of_all_numbers_together():
    assert float(global_norm([torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])])) == 5.0
    assert float(global_norm([])) == 0.0


def test_a_short_gradient_is_left_alone_and_a_long_one_keeps_its_direction(parameters):
    before = [gradient.clone() for gradient in gradients(parameters)]
    clip_by_global_norm(parameters, 1e3)
    assert all(map(torch.equal, before, gradients(parameters)))
    clip_by_global_norm(parameters, 0.5)
    assert float(global_norm(gradients(parameters))) == pytest.approx(0.5, rel=1e-5)
    ratios = torch.cat(
        [(a / b).flatten() for a, b in zip(gradients(parameters), before, strict=True)]
    )
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-12, atol=0)


def test_a_gradient_that_is_no_number_shows(parameters):
    parameters[0].grad[0, 0] = math.nan
    assert torch.isnan(clip_by_global_norm(parameters, 1.0))


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_norm_that_cannot_be_is_refused(parameters, max_norm):
    with pytest.raises(UserError, match="max_norm"):
        clip_by_global_norm(parameters, max_norm)
