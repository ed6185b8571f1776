import itertools
import math

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.optim.schedules import SCHEDULES, constant, linear, one_cycle, warmup_cosine, wsd

GRID = [i / 2000 for i in range(2001)]
EVERY = {
    "constant": constant(),
    "linear": linear(warmup=0.1, final=0.05),
    "linear, no warm-up": linear(),
    "cosine": warmup_cosine(warmup=0.05, final=0.1),
    "cosine, no warm-up": warmup_cosine(warmup=0.0, final=0.0),
    "wsd": wsd(warmup=0.05, decay=0.3, final=0.02),
    "wsd, no plateau": wsd(warmup=0.5, decay=0.5),
    "one_cycle": one_cycle(peak_at=0.4, start=0.1, final=0.01),
}
each = pytest.mark.parametrize("schedule", EVERY.values(), ids=EVERY)


@each
def test_it_is_continuous_between_zero_and_one(schedule):
    values = [schedule(progress) for progress in GRID]
    assert all(0 <= value <= 1 for value in values)
    steepest = max(abs(a - b) for a, b in itertools.pairwise(values))
    assert steepest <= 25 / 2000  # the steepest here rises in 0.05 of the run, a cosine by π/2 more


@each
def test_it_peaks_at_one_and_falls_from_there(schedule):
    values = [schedule(progress) for progress in GRID]
    assert max(values) == pytest.approx(1, abs=1e-12)
    peak = values.index(max(values))
    assert values[:peak] == sorted(values[:peak])
    assert values[peak:] == sorted(values[peak:], reverse=True)


@each
def test_what_lies_beyond_the_end_is_the_end(schedule):
    """A budget of time is never met to the second."""
    assert schedule(1.3) == pytest.approx(schedule(1.0), abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant(), {0: 1, 0.5: 1, 1: 1}),
        (linear(warmup=0.2, final=0.1), {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.55, 1: 0.1}),
        (linear(), {0: 1, 0.25: 0.75, 1: 0}),
        (warmup_cosine(warmup=0.2, final=0.1), {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.55, 1: 0.1}),
        (wsd(warmup=0.1, decay=0.2, final=0.1), {0: 0, 0.05: 0.5, 0.8: 1, 0.9: 0.55, 1: 0.1}),
        (one_cycle(peak_at=0.2, start=0.1, final=0.0), {0: 0.1, 0.1: 0.55, 0.2: 1, 0.6: 0.5, 1: 0}),
    ],
)  # fmt: skip
def test_values_by_hand(schedule, values):
    for progress, expected in values.items():
        assert schedule(float(progress)) == pytest.approx(expected, abs=1e-12)


def test_the_middle_of_the_first_step_is_never_zero():
    """The loop asks at (step + ½) / steps: a warm-up from zero wastes no step."""
    for schedule in EVERY.values():
        assert schedule(0.5 / 1000) > 0


def scheduled_rates(make, steps):
    """What a scheduler of the library sets, step by step, relative to a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_one_cycle_is_the_librarys():
    steps, pct = 100, 0.3
    rates = scheduled_rates(
        lambda optimizer: torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=steps + 1, pct_start=pct, div_factor=25,
            final_div_factor=1e3,
        ),
        steps,
    )  # fmt: skip
    # The library counts from its first step to its last, and puts the peak a step earlier.
    ours = one_cycle(peak_at=(pct * (steps + 1) - 1) / steps, start=1 / 25, final=1 / 25 / 1e3)
    for step, rate in enumerate(rates):
        assert ours(step / steps) == pytest.approx(rate, abs=1e-12)


def test_cosine_and_linear_are_the_librarys():
    steps = 80
    rates = scheduled_rates(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=steps, eta_min=0.1), steps
    )
    ours = warmup_cosine(warmup=0.0, final=0.1)
    assert [ours(i / steps) for i in range(steps)] == pytest.approx(rates, abs=1e-12)
    rates = scheduled_rates(
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=steps), steps
    )
    ours = linear(final=0.2)
    assert [ours(i / steps) for i in range(steps)] == pytest.approx(rates, abs=1e-12)


def test_until_the_decay_wsd_does_not_know_the_end():
    schedule = wsd(warmup=0.0, decay=0.1)
    assert {schedule(progress) for progress in GRID if progress < 0.9} == {1.0}


@pytest.mark.parametrize(
    ("factory", "options"),
    [
        (linear, {"warmup": 1.0}),
        (linear, {"warmup": -0.1}),
        (linear, {"final": 1.1}),
        (warmup_cosine, {"final": -0.1}),
        (warmup_cosine, {"warmup": math.nan}),
        (wsd, {"decay": 0.0}),
        (wsd, {"warmup": 0.5, "decay": 0.6}),
        (one_cycle, {"peak_at": 0.0}),
        (one_cycle, {"peak_at": 1.0}),
        (one_cycle, {"start": 2.0}),
        (one_cycle, {"final": math.nan}),
    ],
)
def test_what_cannot_be_is_refused(factory, options):
    with pytest.raises(UserError, match=next(reversed(options))):
        factory(**options)


def test_every_schedule_has_a_name_and_defaults():
    assert set(SCHEDULES) == {"constant", "linear", "cosine", "wsd", "one_cycle"}
    for factory in SCHEDULES.values():
        assert 0 <= factory()(0.5) <= 1
