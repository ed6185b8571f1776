"""Objectives side by side: the same text for all, one run repeated, each read as it was trained."""

import dataclasses

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import evaluate
from llmcourse.labs.pretrain import as_stream, draw_windows, pretrain, reader_of, untrained
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.registry import OBJECTIVES
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.base import byte_lengths
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.train.settings import ModelSettings, ObjectiveSettings, OptimizerSettings, Settings

SHAPE = ModelSettings(context_length=24, d_model=16, n_layers=1, n_heads=2)
SETTINGS = Settings(model=SHAPE, batch_size=4, optimizer=OptimizerSettings(lr=1e-2))
BUDGET = 4 * 24 * 3


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train([s.text for s in tinytown.stories(40)], vocab_size=300)


@pytest.fixture(scope="module")
def stream(tokenizer):
    return as_stream([s.text for s in tinytown.stories(40)], tokenizer)


def settings(name: str) -> Settings:
    return dataclasses.replace(SETTINGS, objective=ObjectiveSettings(name=name))


def test_the_stream_ends_every_text(tokenizer):
    stream = as_stream(["ab", "c"], tokenizer)
    assert tokenizer.decode(stream.tolist()) == "abc"
    assert (stream == tokenizer.eot_id).nonzero().flatten().tolist() == [2, 4]


def test_windows_begin_anywhere_and_are_stretches_of_the_stream():
    rows = draw_windows(torch.arange(10), 4, 500, numpy_rng(0))
    assert torch.equal(rows - rows[:, :1], torch.arange(4).expand(500, -1))
    assert set(rows[:, 0].tolist()) == set(range(7))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_trains_for_the_budget_and_can_be_read(name, tokenizer, stream):
    trained = pretrain(settings(name), tokenizer, stream, BUDGET)
    window = trained.objective.window(SHAPE.context_length)
    assert len(trained.losses) == BUDGET // (4 * window)
    assert 0 < trained.n_scored <= BUDGET * 1.05
    fresh = untrained(settings(name), tokenizer)
    before, after = (dict(t.model.named_parameters()) for t in (fresh, trained))
    assert any(not torch.equal(before[key], after[key]) for key in before)
    assert not trained.model.training
    assert trained.reader().means([tokenizer.encode("Tom had a cat.")]).shape == (1, 16)


def test_the_same_settings_give_the_same_run_and_another_seed_another(tokenizer, stream):
    one, two = (pretrain(settings("mlm"), tokenizer, stream, BUDGET) for _ in range(2))
    other = pretrain(dataclasses.replace(settings("mlm"), seed=1), tokenizer, stream, BUDGET)
    assert one.losses == two.losses != other.losses


def test_a_variant_of_the_task_is_learned_by_the_same_model_from_the_same_windows(
    tokenizer, stream
):
    task = untrained(settings("mlm"), tokenizer).objective
    masked = MaskedLM(Vocabulary.of(tokenizer), replace=(1.0, 0.0, 0.0))
    same = pretrain(settings("mlm"), tokenizer, stream, BUDGET, objective=task)
    other = pretrain(settings("mlm"), tokenizer, stream, BUDGET, objective=masked)
    assert same.losses == pretrain(settings("mlm"), tokenizer, stream, BUDGET).losses
    assert other.objective is masked
    assert other.n_scored == same.n_scored  # the same places are asked
    assert other.losses != same.losses


def test_all_objectives_of_one_window_read_the_same_text(tokenizer, stream):
    rows = []
    for name in ("mlm", "plm"):
        task = untrained(settings(name), tokenizer).objective
        rows.append(draw_windows(stream, task.window(24), 4, numpy_rng(0, "compare", "windows")))
    assert torch.equal(*rows)


def test_it_learns(tokenizer, stream):
    trained = pretrain(settings("clm"), tokenizer, stream, 20_000)
    rows = draw_windows(stream, 25, 32, numpy_rng(1))
    batch = trained.objective.prepare(rows, numpy_rng(2))
    sizes = torch.tensor(byte_lengths(tokenizer))
    scores = [
        evaluate(model, trained.objective, [batch], sizes).loss
        for model in (untrained(settings("clm"), tokenizer).model, trained.model)
    ]
    assert scores[1] < scores[0] - 2


def test_it_tells_how_far_it_is(tokenizer, stream):
    said = []
    trained = pretrain(
        settings("clm"), tokenizer, stream, BUDGET, lambda step, loss: said.append((step, loss))
    )
    assert said == list(enumerate(trained.losses, 1))


@pytest.mark.parametrize(("length", "budget"), [(20, BUDGET), (500, 90)])
def test_too_little_text_or_too_small_a_budget_is_refused(length, budget, tokenizer, stream):
    with pytest.raises(UserError, match="too little for 4 windows of 25"):
        pretrain(settings("clm"), tokenizer, stream[:length], budget)


def test_pairs_are_framed_and_others_are_not(tokenizer):
    pairs, plain = (untrained(settings(name), tokenizer) for name in ("mlm-sop", "mlm"))
    reader = reader_of(pairs.objective, pairs.model)
    assert reader.before == (tokenizer.vocab_size + 1,)
    assert reader.behind == (tokenizer.vocab_size + 2,)
    assert reader_of(plain.objective, plain.model).before == ()
