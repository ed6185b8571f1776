import math

import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.optim.loss_scaling import LossScaler

SPOILT = {3, 4, 9, 17}
"""Steps in which some gradient overflows."""


def gradients(step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    gradient = torch.randn(5, generator=generator)
    if step in SPOILT:
        gradient[2] = math.inf if step % 2 else math.nan
    return gradient


def test_scales_and_skips_are_the_librarys():
    mine, theirs = (torch.nn.Parameter(torch.zeros(5)) for _ in range(2))
    my_steps, their_steps = (torch.optim.SGD([p], lr=0.1, momentum=0.9) for p in (mine, theirs))
    ours = LossScaler(1024.0, interval=4)
    library = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
    scales = []
    for step in range(24):
        ours.scale((mine * gradients(step)).sum()).backward()
        finite = ours.unscale_([mine])
        assert finite == (step not in SPOILT)
        if finite:
            my_steps.step()
        ours.update(finite)
        library.scale((theirs * gradients(step)).sum()).backward()
        library.step(their_steps)
        library.update()
        my_steps.zero_grad()
        their_steps.zero_grad()
        assert ours.value == library.get_scale()
        close(mine.detach(), theirs.detach())
        scales.append(ours.value)
    assert ours.skipped == len(SPOILT)
    assert {256.0, 512.0, 1024.0} <= set(scales)  # it went down, and up again


def test_scaled_and_unscaled_is_the_gradient_itself():
    weight = torch.nn.Parameter(torch.randn(7))
    (weight**3).sum().backward()
    wanted = weight.grad.clone()
    weight.grad = None
    scaler = LossScaler(4096.0)
    scaler.scale((weight**3).sum()).backward()
    assert not torch.equal(weight.grad, wanted)
    assert scaler.unscale_([weight, torch.nn.Parameter(torch.zeros(1))])  # the second has none
    assert torch.equal(weight.grad, wanted)  # powers of two cost no digit


def test_it_saves_a_gradient_that_fp16_would_lose():
    weight = torch.nn.Parameter(torch.ones(1))

    def backward(scaler: LossScaler) -> float:
        weight.grad = None
        scaler.scale((weight.half() * 1e-4).float().sum() * 1e-4).backward()
        scaler.unscale_([weight])
        return weight.grad.item()

    assert backward(LossScaler(1.0)) == 0.0
    assert backward(LossScaler(1024.0)) == pytest.approx(1e-8, rel=0.01)


@pytest.mark.parametrize(
    "options", [{"value": 0.0}, {"growth": 1.0}, {"backoff": 1.0}, {"interval": 0}]
)
def test_options_that_lead_nowhere(options):
    with pytest.raises(UserError, match="must be"):
        LossScaler(**options)
