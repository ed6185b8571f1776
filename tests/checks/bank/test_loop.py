"""The oracles of chapter 08's exercises, against something that is not in the package's checks."""

import numpy as np
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import diagnosis as bedside
from llmcourse.checks.bank import loop, precision, searching
from llmcourse.data.loader import Sampler
from llmcourse.data.packing import pack_rows
from llmcourse.runs.diagnosis import diagnose


def test_the_accumulated_loss_is_that_of_the_whole_batch():
    logits, targets = torch.randn(6, 5, 9), torch.randint(9, (6, 5))
    targets[torch.rand(6, 5) < 0.4] = -100
    whole = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    losses = F.cross_entropy(logits.mT, targets, reduction="none")
    parts = [(losses[rows], targets[rows] != -100) for rows in (slice(2), slice(2, 3), slice(3, 6))]
    torch.testing.assert_close(loop.accumulated_loss.right(parts), whole)


def test_what_is_kept_apart_is_what_packing_says():
    rows = pack_rows([np.arange(n) for n in (5, 3, 2, 7, 4)], 9)
    documents = torch.from_numpy(rows.documents)
    mask, positions = loop.keep_apart.right(documents)
    real = documents > 0
    assert torch.equal(positions[real], torch.from_numpy(rows.positions)[real])
    for b, t, s in mask.nonzero().tolist():
        assert s <= t
        assert documents[b, t] == documents[b, s]
    assert torch.equal(mask.sum(-1), positions + 1)


def test_the_next_windows_are_the_samplers():
    def order_of(epoch: int) -> list[int]:
        sampler = Sampler(7, seed=3)
        return [draw.index for draw in sampler.take(7 * (epoch + 1))[7 * epoch :]]

    sampler = Sampler(7, seed=3)
    sampler.take(17)
    expected = [draw.index for draw in sampler.take(9)]
    assert loop.next_windows.right(order_of, 17, 9) == expected


def test_each_round_of_halving_costs_the_same_when_all_divides():
    """27 candidates by thirds: 27, 9, 3 are alive, with 4, then 8, then 24 more steps."""
    assert searching.halving.right(lambda c, steps: float(c), 27, 4, 3) == (
        0,
        27 * 4 + 9 * 8 + 3 * 24,
    )


def test_the_three_patients_are_ill_in_the_way_that_is_right():
    letters = {"c": "gradients pile up", "d": "exploding gradients", "b": "targets misaligned"}
    right = (bedside.patient_x.right, bedside.patient_y.right, bedside.patient_z.right)
    found = [diagnose(metrics).cause for metrics in bedside.three_patients().values()]
    assert found == [letters[letter] for letter in right]


def test_eight_digits_are_the_librarys():
    numbers = torch.randn(10_000) * 10 ** torch.linspace(-20, 20, 10_000)
    assert torch.equal(precision.round_bf16.right(numbers), numbers.bfloat16().float())


def test_the_scales_are_the_librarys():
    finite = [step % 7 != 3 and step != 8 for step in range(40)]
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=3)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scales = []
    for good in finite:
        scaler.scale(weight.sum())
        weight.grad = torch.full((1,), 1.0 if good else float("nan"))
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert precision.loss_scales.right(finite, 64.0, 3) == scales


def test_the_resumed_run_forgot_its_sampler():
    """It reads the first windows again, with weights that have met them; a fresh model is at 6."""
    never_stopped, resumed = bedside.resumed_run().values()
    assert resumed[0] < never_stopped[0] < 5
    assert bedside.which_part.right == "c"


def test_rounding_at_random_is_right_on_average():
    x, dice = torch.full((20_000,), 1.003), torch.Generator().manual_seed(0)
    rounded = precision.round_at_random.right(x, torch.rand(20_000, generator=dice))
    assert set(rounded.tolist()) == {1.0, 1.0078125}
    assert abs(rounded.mean().item() - 1.003) < 5 * 0.0078125 / 2 / 20_000**0.5
