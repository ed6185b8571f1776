"""What every optimizer in the table does: build, learn, survive a checkpoint, keep what it says."""

import pytest
import torch
from small_runs import flags, small, weights_of

from llmcourse.labs.memory import predicted
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.optim.registry import OPTIMIZERS
from llmcourse.train.__main__ import main
from llmcourse.train.checkpoint import TrainState, load_checkpoint, save_checkpoint
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.settings import OptimizerSettings

CONFIG = modern_recipe(vocab_size=17, context_length=8, d_model=8, n_layers=2, n_heads=2)
IDS = torch.arange(9)[None]


def machine(name):
    torch.manual_seed(0)
    model = GPT(CONFIG)
    return model, build_optimizers(model, OptimizerSettings(name=name))


def loss_of(model):
    logits = model(IDS[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), IDS[:, 1:].flatten())


def train(model, optimizers, n):
    for _ in range(n):
        loss_of(model).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return loss_of(model).item()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_lowers_the_loss(name):
    model, optimizers = machine(name)
    before = loss_of(model).item()
    assert train(model, optimizers, 30) < before - 0.05


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_survives_a_checkpoint_bit_for_bit(name, tmp_path):
    model, optimizers = machine(name)
    train(model, optimizers, 3)
    path = save_checkpoint(tmp_path, model, optimizers, TrainState(step=3), keep=1)
    other, others = machine(name)
    load_checkpoint(path, other, others)
    assert train(model, optimizers, 2) == train(other, others, 2)
    for mine, restored in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, restored)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_estimate_of_memory_is_the_states_size(name):
    model, optimizers = machine(name)
    train(model, optimizers, 1)
    sizes = [
        value.nbytes
        for optimizer in optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if value.dim()
    ]
    assert predicted(CONFIG, 1, name).optimizer == sum(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumed_run_is_the_run_that_was_never_stopped(name, tmp_path):
    options = {"optimizer__name": name, "optimizer__schedule": "constant", "sample_tokens": 0}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main(flags(small(whole, **options, steps=4, save_every=2))) == 0
    assert main(flags(small(halves, **options, steps=2, save_every=2))) == 0
    assert main(["--out", str(halves), "--resume", "--steps", "4"]) == 0
    assert weights_of(whole) == weights_of(halves)
