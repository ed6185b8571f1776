import dataclasses
import math
import zipfile
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from llmcourse.checksums import SUMS
from llmcourse.errors import UserError
from llmcourse.models.files import load_model
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.optim.adam import Adam, AdamW
from llmcourse.optim.lion import Lion
from llmcourse.optim.rmsprop import RMSProp
from llmcourse.optim.sgd import SGD
from llmcourse.train.checkpoint import (
    TrainState,
    list_checkpoints,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizers,
    save_checkpoint,
)
from llmcourse.train.optimizers import build_optimizers, set_lr
from llmcourse.train.settings import OptimizerSettings

SIZES = {"vocab_size": 17, "context_length": 8, "d_model": 8, "n_layers": 1, "n_heads": 2}


def machine(name: str = "muon", seed: int = 0):
    torch.manual_seed(seed)
    model = GPT(modern_recipe(**SIZES))
    return model, build_optimizers(model, OptimizerSettings(name=name))


def steps(model: nn.Module, optimizers, n: int) -> None:
    for number in range(n):
        ids = torch.arange(8).roll(number)[None]
        model(ids).logits.square().mean().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_restored_machine_takes_the_same_steps(tmp_path, name):
    model, optimizers = machine(name)
    steps(model, optimizers, 3)
    path = save_checkpoint(tmp_path, model, optimizers, TrainState(step=3, best=1.5), keep=2)
    other, others = machine(name, seed=1)
    state = load_checkpoint(path, other, others)
    assert (state.step, state.best) == (3, 1.5)
    steps(model, optimizers, 2)
    steps(other, others, 2)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_rates_set_after_the_restart_are_kept(tmp_path):
    model, optimizers = machine()
    steps(model, optimizers, 1)
    path = save_checkpoint(tmp_path, model, optimizers, TrainState(step=1), keep=2)
    settings = OptimizerSettings(lr=0.5, weight_decay=0.25)
    others = build_optimizers(model, settings)
    load_checkpoint(path, model, others)
    assert set_lr(others, 0.5) == 0.25
    assert others[1].param_groups[0]["weight_decay"] == 0.25


def test_only_the_newest_are_kept(tmp_path):
    model, optimizers = machine()
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, model, optimizers, TrainState(step=step), keep=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000010", "step-00000100"]


def test_a_checkpoint_holds_no_pickle(tmp_path):
    model, optimizers = machine()
    steps(model, optimizers, 1)
    path = save_checkpoint(tmp_path, model, optimizers, TrainState(step=1), keep=1)
    for file in path.iterdir():
        assert file.suffix in {".json", ".safetensors"} or file.name == SUMS
        assert not zipfile.is_zipfile(file)  # which is what torch.save writes


def test_state_is_named_after_its_parameter():
    model, optimizers = machine()
    steps(model, optimizers, 1)
    names = set(optimizer_tensors(optimizers))
    assert {"0.0.momentum_buffer", "1.0.exp_avg", "1.0.step"} <= names


TAUGHT = {
    "sgd": SGD,
    "momentum": lambda p: SGD(p, momentum=0.9),
    "nesterov": lambda p: SGD(p, momentum=0.9, nesterov=True),
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "lion": Lion,
    "adafactor": torch.optim.Adafactor,
}


@pytest.mark.parametrize("name", TAUGHT)
def test_every_optimizer_survives_a_checkpoint_bit_for_bit(tmp_path, name):
    torch.manual_seed(0)
    model, other = GPT(modern_recipe(**SIZES)), GPT(modern_recipe(**SIZES))
    one, two = TAUGHT[name](model.parameters()), TAUGHT[name](other.parameters())
    steps(model, [one], 3)
    path = save_checkpoint(tmp_path, model, [one], TrainState(step=3), keep=1)
    load_checkpoint(path, other, [two])
    steps(model, [one], 2)
    steps(other, [two], 2)
    for mine, restored in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, restored)
    after, again = optimizer_tensors([one]), optimizer_tensors([two])
    assert after.keys() == again.keys()
    assert all(torch.equal(after[key], again[key]) for key in after)


class Own(nn.Module):
    """A learner's own language model, tied, with a buffer that lasts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(17, 8)
        self.head = nn.Linear(8, 17, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, ids):
        self.seen += 1
        return SimpleNamespace(logits=self.head(self.table(ids)))


def test_a_learners_own_module_survives_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    model, other = Own(), Own()
    one, two = AdamW(model.parameters()), AdamW(other.parameters())
    steps(model, [one], 3)
    path = save_checkpoint(tmp_path, model, [one], TrainState(step=3), keep=1)
    assert load_checkpoint(path, other, [two]).step == 3
    assert other.seen == 3
    steps(model, [one], 2)
    steps(other, [two], 2)
    assert torch.equal(model.table.weight, other.table.weight)
    with pytest.raises(UserError, match=r"no config\.json"):
        load_model(path)
    with pytest.raises(UserError, match="belongs to another model"):
        load_checkpoint(path, nn.Linear(17, 8), [two])


@pytest.mark.parametrize("name", ["nonsense", "0.x.mean", "0.1", "a.0.mean", "-1.0.mean"])
def test_unknown_names_in_the_optimizers_file_take_one_line(tmp_path, name):
    _, optimizers = machine()
    with pytest.raises(UserError, match="unknown name") as caught:
        restore_optimizers(optimizers, {name: torch.zeros(())}, tmp_path)
    assert "\n" not in str(caught.value)


def test_another_model_is_refused(tmp_path):
    model, optimizers = machine()
    steps(model, optimizers, 1)
    path = save_checkpoint(tmp_path, model, optimizers, TrainState(step=1), keep=1)
    wider = GPT(modern_recipe(**{**SIZES, "d_model": 16}))
    with pytest.raises(UserError, match="another model"):
        load_checkpoint(path, wider, build_optimizers(wider, OptimizerSettings()))


def test_the_interval_survives_a_restart_exactly():
    sums = [torch.tensor([0.1 * n, 3.0]) for n in range(1, 8)]
    whole, first = TrainState(), TrainState()
    for each in sums:
        whole.count_step(each, tokens=3)
    for each in sums[:4]:
        first.count_step(each, tokens=3)
    first.flush_losses()
    second = TrainState(**dataclasses.asdict(first))
    for each in sums[4:]:
        second.count_step(each, tokens=3)
    assert second.end_interval() == whole.end_interval()
    assert second.tokens == whole.tokens == 21
    assert second.interval_loss == second.interval_count == 0.0
    assert math.isclose(whole.flush_losses(), 0.0)
