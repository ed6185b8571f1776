import math

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.labs.memory import kept_per_token, measured, predicted
from llmcourse.models.gpt import GPT, GPTConfig, gpt2_recipe, modern_recipe
from llmcourse.models.rnn_lm import RNNLMConfig
from llmcourse.objectives.clm import CausalLM
from llmcourse.optim.lion import Lion
from llmcourse.planning.memory import kept_tensors

SIZES = {"vocab_size": 200, "context_length": 32, "d_model": 64, "n_layers": 3, "n_heads": 4}
CONFIGS = {
    "gpt2": gpt2_recipe(**SIZES),
    "modern": modern_recipe(**SIZES),
    "llama": modern_recipe(**SIZES, mlp="swiglu", qk_norm=False),
    "relu": modern_recipe(**SIZES, mlp="relu"),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "lion": Lion,
    "adamw": torch.optim.AdamW,
}


def take_step(config: GPTConfig, optimizer: str = "adamw", batch_size: int = 4):
    model, objective = GPT(config), CausalLM()
    tokens = torch.randint(config.vocab_size, (batch_size, config.context_length + 1))
    batch = objective.prepare(tokens)
    return measured(
        model,
        OPTIMIZERS[optimizer](model.parameters()),
        lambda: objective.loss(model(batch.ids), batch).total,
    )


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("batch_size", [1, 6])
def test_predicted_is_measured(name, batch_size):
    found = take_step(CONFIGS[name], batch_size=batch_size)
    wanted = predicted(CONFIGS[name], batch_size)
    assert (wanted.weights, wanted.gradients, wanted.optimizer) == (
        found.weights,
        found.gradients,
        found.optimizer,
    )
    assert 0.97 < wanted.activations / found.activations <= 1
    if batch_size > 1:
        assert wanted.activations / found.activations > 0.98
    assert wanted.total == pytest.approx(found.total, rel=0.01)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_optimizers_remember(optimizer):
    config = CONFIGS["modern"]
    assert predicted(config, 4, optimizer).optimizer == take_step(config, optimizer).optimizer


def test_gpt2_keeps_16_widths_a_layer():
    thin, deep = (gpt2_recipe(**{**SIZES, "n_layers": n}) for n in (1, 2))
    per_layer = kept_per_token(deep) - kept_per_token(thin)
    assert per_layer == 16 * 64 + 4 + 4


def test_kept_tensors_by_hand():
    """A linear layer keeps what it read; ReLU keeps what it gave, which the next layer read."""
    net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    with kept_tensors(net) as kept:
        loss = net(torch.randn(7, 3)).sum()
    assert sorted(kept.values()) == [4 * 7 * 3, 4 * 7 * 5]
    assert math.isfinite(loss.item())


def test_nothing_is_kept_without_gradients():
    net = nn.Linear(3, 5)
    with kept_tensors(net) as kept, torch.no_grad():
        net(torch.randn(7, 3))
    assert not kept


def test_an_optimizer_that_is_not_known():
    with pytest.raises(UserError, match="unknown optimizer 'adamx'"):
        predicted(CONFIGS["modern"], 1, "adamx")


def test_of_other_families_nothing_is_predicted():
    config = RNNLMConfig(vocab_size=10, context_length=4, d_model=8)
    with pytest.raises(UserError, match="what a rnn_lm keeps is not predicted: run a step"):
        predicted(config, 1)
