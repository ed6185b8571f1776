"""The memory of a step: every family's estimate against the bytes of a real one."""

from dataclasses import replace

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.labs.memory import measured
from llmcourse.models.registry import FAMILIES
from llmcourse.planning.machine import free_bytes
from llmcourse.planning.memory import largest_micro_batch, state_numbers, step_memory
from llmcourse.randomness import numpy_rng
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train.assemble import build_model, build_objective
from llmcourse.train.optimizers import build_optimizers
from llmcourse.train.settings import ModelSettings, ObjectiveSettings, OptimizerSettings, Settings

PAIRS = [(family, objective) for family, entry in FAMILIES.items() for objective in entry.learns]


def small(family: str, objective: str, context: int = 32) -> Settings:
    sizes = {} if family.endswith("_lm") else {"n_layers": 2, "n_heads": 4}
    model = ModelSettings(family=family, context_length=context, d_model=64, **sizes)
    return Settings(model=model, objective=ObjectiveSettings(name=objective))


def on_meta(settings: Settings):
    objective = build_objective(settings, ByteTokenizer())
    vocab_size = ByteTokenizer().vocab_size + len(objective.special_tokens)
    with torch.device("meta"):
        return build_model(settings, vocab_size), objective, vocab_size


@pytest.mark.parametrize(("family", "objective"), PAIRS)
def test_every_familys_step_is_foretold(family, objective):
    settings = small(family, objective)
    shapes, task, vocab_size = on_meta(settings)
    said = step_memory(shapes, task, rows=3, optimizer="adamw")
    model = build_model(settings, vocab_size)
    tokens = torch.randint(200, (3, task.window(32)))
    batch = task.prepare(tokens, numpy_rng(0, "memory"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    found = measured(
        model, optimizer, lambda: task.loss(model(ids=batch.ids, **batch.extras), batch).total
    )
    assert said.weights == found.weights
    assert said.gradients == found.gradients
    assert said.optimizer == found.optimizer
    # what is hidden is drawn, and how many places that are is not the same in every draw
    assert said.activations == pytest.approx(found.activations, rel=0.003)
    assert said.total == said.fixed + said.activations


def test_activations_grow_with_the_rows_and_nothing_is_allocated():
    shapes, task, _ = on_meta(small("gpt", "clm"))
    one, two, three = (step_memory(shapes, task, n, "sgd").activations for n in (1, 2, 3))
    assert three - two == pytest.approx(two - one, rel=1e-3)
    assert all(parameter.is_meta for parameter in shapes.parameters())


def test_attention_is_taken_to_be_fused():
    """Without its stand-in, all T squared weights would be kept."""
    sizes = [16, 64]
    found = []
    for context in sizes:
        shapes, task, _ = on_meta(small("gpt", "clm", context))
        found.append(step_memory(shapes, task, 1, "sgd").activations / context)
    assert found[1] == pytest.approx(found[0], rel=0.01)


@pytest.mark.parametrize("name", ["muon", "adamw", "lion", "sgd"])
def test_optimizers_remember_what_is_said(name):
    settings = replace(small("bert", "mlm"), optimizer=OptimizerSettings(name=name))
    shapes, _, vocab_size = on_meta(settings)
    model = build_model(settings, vocab_size)
    optimizers = build_optimizers(model, settings.optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    for optimizer in optimizers:
        optimizer.step()
    states = (state for optimizer in optimizers for state in optimizer.state.values())
    held = sum(
        value.numel()
        for state in states
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.dim()
    )
    assert state_numbers(shapes, name) == held


def test_an_unknown_optimizer():
    shapes, _, _ = on_meta(small("gpt", "clm"))
    with pytest.raises(UserError, match="unknown optimizer 'adamx'"):
        state_numbers(shapes, "adamx")


@pytest.mark.parametrize(
    ("free", "wanted"), [(1300, 12), (1299, 6), (700, 6), (699, 4), (400, 3), (199, 1), (0, 1)]
)
def test_the_largest_micro_batch(free, wanted):
    assert largest_micro_batch(100, 100, rows=12, free=free) == wanted


def test_free_memory_is_a_number():
    assert free_bytes(torch.device("cpu")) > 1e6
