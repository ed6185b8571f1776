import dataclasses

import pytest
import torch

from llmcourse.labs.faulty_runs import NoShift, ShiftedRows, TinyRun, read, train_tiny
from llmcourse.objectives.clm import CausalLM
from llmcourse.runs.log import End, Ending, Training

SHORT = TinyRun(steps=12, evaluate_every=6)


def losses(patient: TinyRun) -> list[float]:
    return train_tiny(patient).losses.tolist()


def changed(**changes) -> TinyRun:
    return dataclasses.replace(SHORT, **changes)


def test_the_log_is_that_of_a_run():
    run = train_tiny(SHORT)
    assert run.steps.tolist() == list(range(1, 13))
    assert [step for step, _ in run.held_out] == [0, 6, 12]
    assert run.baselines["uniform"] > run.baselines["unigram"]
    assert run.held_out[0][1] == pytest.approx(torch.tensor(400.0).log().item(), abs=0.05)
    assert run.end == End(step=12, ending=Ending.FINISHED, reason="finished")
    rates = [rate for _, rate in run.points(Training, "lr")]
    assert max(rates) > 0.9 * SHORT.lr
    assert rates[-1] < 0.1 * SHORT.lr


def test_a_run_is_repeated_exactly_and_a_seed_changes_it():
    assert train_tiny(SHORT) == train_tiny(SHORT)
    assert losses(changed(seed=1)) != losses(SHORT)


def test_many_micro_batches_are_one_large_batch():
    """In fp32 it does not matter over how many positions the mean is taken."""
    assert losses(changed(positions=60_000_000)) == pytest.approx(losses(SHORT), abs=1e-3)


def test_held_out_windows_are_never_trained_on():
    text = read("stories")
    seen = {tuple(row) for row in text.train.tolist()}
    assert not any(tuple(row) in seen for row in text.valid.tolist())


def test_the_sick_objectives():
    tokens = torch.arange(15).view(3, 5)
    honest, shifted = CausalLM().prepare(tokens), ShiftedRows().prepare(tokens)
    assert torch.equal(shifted.ids, honest.ids)
    assert shifted.targets[0].tolist() == honest.targets[2].tolist()
    unshifted = NoShift().prepare(tokens)
    assert torch.equal(unshifted.ids, unshifted.targets)


def test_forgotten_gradients_pile_up_from_the_second_step_on():
    clean, piled = (train_tiny(changed(zero_grad=z, clip=None)).norms for z in (True, False))
    assert piled[0] == clean[0]
    assert piled[1] > 1.5 * clean[1]


def test_numbers_come_after_stories():
    text = read("stories, then numbers").train
    kinds = [len(set(part.flatten().tolist())) for part in (text[:200], text[-200:])]
    first, last = (set(part.flatten().tolist()) for part in (text[:200], text[-200:]))
    assert min(kinds) > 20
    assert len(first & last) < 0.5 * min(kinds)
