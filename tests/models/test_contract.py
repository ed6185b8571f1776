"""What every family in the table does: score, survive a file, count, keep its word, train."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from small_runs import flags, small, weights_of
from torch.utils.flop_counter import FlopCounterMode

from llmcourse.generate.__main__ import load_run
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.generate.seq2seq import generate_from_source
from llmcourse.models.files import load_model, save_model
from llmcourse.models.registry import FAMILIES, families_that_learn, family_of
from llmcourse.nn.capture import capture
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.train.__main__ import main
from llmcourse.train.assemble import build_model, build_objective

TOKENIZER = ByteTokenizer()
LEARNS = [(name, objective) for name, family in FAMILIES.items() for objective in family.learns]
each_family = pytest.mark.parametrize("name", FAMILIES)
each_pair = pytest.mark.parametrize(("name", "objective"), LEARNS)


def asked_for(name, objective):
    """The settings that name a family; of every one the smallest size, without dropout."""
    options = {"objective__name": objective, "model__family": name, "model__dropout": 0.0}
    return small("unused", **options, model__context_length=12)


def built(name, objective=None):
    """A model, its objective, and a batch of text for them."""
    settings = asked_for(name, objective or next(iter(FAMILIES[name].learns)))
    torch.manual_seed(0)
    task = build_objective(settings, TOKENIZER)
    model = build_model(settings, TOKENIZER.vocab_size + len(task.special_tokens)).eval()
    rng = np.random.default_rng(0)
    tokens = torch.from_numpy(rng.integers(97, 123, size=(4, task.window(12))))
    return model, task, task.prepare(tokens, rng)


def said(model, batch):
    with torch.no_grad():
        return model(ids=batch.ids, **batch.extras)


@each_pair
def test_it_scores_every_token_at_every_place(name, objective):
    model, _, batch = built(name, objective)
    output = said(model, batch)
    assert output.logits.shape == (*batch.ids.shape, model.config.vocab_size)
    assert output.hidden.shape[:2] == batch.ids.shape
    assert not output.logits.isnan().any()


@each_pair
def test_before_training_it_knows_nothing(name, objective):
    """A loss near that of an even guess: log V for a token, log 2 for a pair."""
    model, task, batch = built(name, objective)
    output = said(model, batch)
    even = {"token loss": math.log(model.config.vocab_size), "pair loss": math.log(2)}
    parts = task.metrics(output, batch) or {"token loss": task.loss(output, batch)}
    for part, (total, count) in parts.items():
        if part in even:
            assert (total / count).item() == pytest.approx(even[part], rel=0.1)


@each_pair
def test_saved_and_loaded_it_is_the_same(name, objective, tmp_path):
    model, _, batch = built(name, objective)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert family_of(loaded) == family_of(loaded.config) == name
    assert loaded.config == model.config
    assert torch.equal(said(loaded, batch).logits, said(model, batch).logits)
    assert torch.equal(said(loaded, batch).hidden, said(model, batch).hidden)


@each_family
def test_its_config_is_frozen_and_names_every_field(name):
    config = built(name)[0].config
    assert dataclasses.replace(config) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.vocab_size = 7
    with pytest.raises(TypeError):
        type(config)(7, 7, 7)


@each_pair
def test_the_config_counts_its_parameters(name, objective):
    model, _, _ = built(name, objective)
    assert model.n_parameters == sum(p.numel() for p in model.parameters())


@each_family
def test_the_config_counts_its_operations(name):
    model, task, batch = built(name)
    model.train()
    # Attention is counted where its weights are looked at: the fused kernel hides its products.
    pattern = "*.weights" if any(n.endswith(".weights") for n, _ in model.named_modules()) else "*"
    with FlopCounterMode(display=False) as counter, capture(model, pattern):
        output = model(ids=batch.ids, **batch.extras)
        (task.loss(output, batch).total + output.hidden.sum()).backward()
    counted = model.step_flops(batch.ids, **batch.extras)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.02)
    assert model.flops_per_token > 0


@each_family
def test_who_says_that_it_generates_does(name, tmp_path):
    model, _, batch = built(name)
    assert model.generates == (name in families_that_learn("clm"))
    if not model.generates:
        return
    rows = batch.ids[:2]
    once = [
        list(generate(model, rows, max_new_tokens=8, sampler=greedy, use_cache=cache))
        for cache in (True, False)
    ]
    assert len(once[0]) == 8
    assert torch.equal(torch.stack(once[0]), torch.stack(once[1]))


@each_family
def test_who_says_that_it_reads_a_source_does(name):
    model, _, batch = built(name)
    assert model.reads_source == ("source" in batch.extras)
    if model.reads_source:
        ends = {"start_id": TOKENIZER.eot_id, "stop_id": TOKENIZER.eot_id}
        written = generate_from_source(model, batch.extras["source"], **ends, max_new_tokens=3)
        assert len(written) == 4


@each_family
def test_it_gives_each_token_features(name):
    model, _, batch = built(name)
    states = model.hidden_states(batch.ids)
    assert states.shape[:2] == batch.ids.shape
    assert states.shape[2] > 1
    assert states.std() > 0


@each_pair
def test_an_objective_that_scores_texts_can_ask_it(name, objective):
    """Each token's logits depend on what stands before it, and on nothing else."""
    model, task, _ = built(name, objective)
    if not task.scores_text:
        return
    for parameter in model.parameters():  # blocks begin as the identity: let all have a say
        torch.nn.init.normal_(parameter, std=0.3)
    rows, other = torch.arange(6)[None], torch.arange(6)[None]
    other[0, 3] = 98
    with torch.no_grad():
        before, after = (task.text_logits(model, each, TOKENIZER.eot_id) for each in (rows, other))
    assert before.shape == (1, 6, model.config.vocab_size)
    assert (before != after).any(dim=-1)[0].tolist() == [False] * 4 + [True] * 2


@each_family
def test_the_command_trains_it_and_resumes_bit_for_bit(name, tmp_path):
    """Four steps in one go, or stopped after two and resumed."""
    objective = next(iter(FAMILIES[name].learns))
    options = {
        "objective__name": objective,
        "model__family": name,
        "optimizer__schedule": "constant",
    }
    options |= {"model__dropout": 0.0, "steps": 4, "save_every": 2, "evaluate_every": 2}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main(flags(small(whole, **options))) == 0
    assert main(flags(small(halves, **{**options, "steps": 2}))) == 0
    assert main(["--out", str(halves), "--resume", "--steps", "4"]) == 0
    assert weights_of(whole) == weights_of(halves)
    assert family_of(load_model(whole / "model")) == name
    if load_model(whole / "model").generates:
        assert load_run(whole)[0].generates
