import math

import numpy as np
import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import (
    Metric,
    Score,
    evaluate,
    uniform_bits_per_byte,
    unigram_bits_per_byte,
)
from llmcourse.models.base import Output
from llmcourse.models.gpt import GPT, gpt2_recipe
from llmcourse.objectives.base import IGNORE, Batch
from llmcourse.objectives.clm import CausalLM

V = 13
LN2 = math.log(2)
LENGTHS = torch.tensor([0, 1, 2, 1, 3, 1, 1, 4, 1, 2, 1, 1, 5])  # token 0 is special


class Bigram(nn.Module):
    """Scores the next token by the last one alone; a ten-line stand-in for a model."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, ids):
        return Output(self.table[ids], torch.zeros(*ids.shape, 1))


@pytest.fixture
def model():
    sizes = {"vocab_size": V, "context_length": 8, "d_model": 16, "n_layers": 2, "n_heads": 2}
    torch.manual_seed(0)
    model = GPT(gpt2_recipe(**sizes, dropout=0.5)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def batches():
    tokens = torch.randint(V, (5, 9), generator=torch.Generator().manual_seed(0))
    batch = CausalLM().prepare(tokens)
    targets = batch.targets.clone()
    targets[4, 3:] = IGNORE
    return [Batch(ids=batch.ids[r], targets=targets[r]) for r in (slice(3), slice(3, 5))]


def test_equals_brute_force(model, batches):
    """Every scored position by itself, with numpy's logarithm, in the model's own tokens."""
    model.eval()
    bits, tokens, size = 0.0, 0, 0
    for batch in batches:
        for ids, targets in zip(batch.ids, batch.targets, strict=True):
            for t, target in enumerate(targets.tolist()):
                if target == IGNORE:
                    continue
                logits = model(ids[None, : t + 1]).logits[0, -1].detach().numpy()
                odds = np.exp(logits - logits.max())
                bits -= np.log2(odds[target] / odds.sum())
                tokens += 1
                size += LENGTHS[target].item()
    score = evaluate(model, CausalLM(), batches, LENGTHS)
    assert (score.tokens, score.bytes) == (tokens, size) == (35, size)
    assert score.bits_per_byte == pytest.approx(bits / size, abs=1e-10)
    assert score.loss == pytest.approx(bits * math.log(2) / tokens, abs=1e-10)
    assert score.perplexity == pytest.approx(2 ** (bits / tokens), abs=1e-8)


def test_batching_does_not_matter(model, batches):
    rows = [
        Batch(ids=batch.ids[r : r + 1], targets=batch.targets[r : r + 1])
        for batch in batches
        for r in range(len(batch.ids))
    ]
    one, other = (evaluate(model, CausalLM(), each, LENGTHS) for each in (batches, rows))
    assert one.nats == pytest.approx(other.nats, abs=1e-10)
    assert (one.tokens, one.bytes) == (other.tokens, other.bytes)


def test_by_hand():
    """Over {end, a, bc}: after `a`, an even bet on `a` and `bc`; after `bc`, always the end.

    a -> bc -> end costs 1 + 0 bits; bc is 2 bytes and the end none: half a bit a byte.
    """
    never = -1e9
    table = torch.tensor([[0.0, 0.0, 0.0], [never, 0.0, 0.0], [0.0, never, never]])
    batch = CausalLM().prepare(torch.tensor([[1, 2, 0]]))
    score = evaluate(Bigram(table), CausalLM(), [batch], torch.tensor([0, 1, 2]))
    assert (score.tokens, score.bytes) == (2, 2)
    assert score.nats == pytest.approx(math.log(2), abs=1e-6)
    assert score.bits_per_byte == pytest.approx(0.5, abs=1e-6)
    assert score.perplexity == pytest.approx(2**0.5, abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_put_back(model, batches, training):
    model.train(training)
    scores = {evaluate(model, CausalLM(), batches, LENGTHS).nats for _ in range(3)}
    assert len(scores) == 1
    assert model.training == training
    assert all(module.training == training for module in model.modules())


def test_the_mode_is_put_back_after_an_error(model, batches):
    model.train()
    with pytest.raises(RuntimeError):
        evaluate(model, CausalLM(), _failing(batches), LENGTHS)
    assert model.training


def _failing(batches):
    yield batches[0]
    raise RuntimeError


def test_no_gradients_are_kept(model, batches):
    evaluate(model, CausalLM(), batches, LENGTHS)
    assert all(p.grad is None for p in model.parameters())


def test_an_empty_share_adds_nothing_and_has_no_loss(model):
    score = evaluate(model, CausalLM(), [], LENGTHS)
    assert score == Score(nats=0.0, tokens=0, bytes=0)
    with pytest.raises(UserError, match="nothing to score"):
        _ = score.loss
    with pytest.raises(UserError, match="nothing to score"):
        _ = score.bits_per_byte


def test_a_lost_model_has_infinite_perplexity():
    assert Score(nats=1e6, tokens=1, bytes=1).perplexity == math.inf


def test_uniform_is_what_a_model_that_knows_nothing_scores(batches):
    """The scored tokens are the targets, so the two agree when given the same ones."""
    score = evaluate(Bigram(torch.zeros(V, V).double()), CausalLM(), batches, LENGTHS)
    tokens = np.concatenate([batch.targets[batch.targets != IGNORE].numpy() for batch in batches])
    ours = uniform_bits_per_byte(tokens, LENGTHS.numpy(), V)
    assert ours == pytest.approx(score.bits_per_byte, abs=1e-10)


def test_unigram_by_hand():
    """Counts 2, 1, 0 become 3/6, 2/6, 1/6; the text `0 0 2` of 1 + 1 + 3 bytes."""
    counts, tokens = np.array([2, 1, 0]), np.array([0, 0, 2])
    bits = 2 * math.log2(6 / 3) + math.log2(6 / 1)
    ours = unigram_bits_per_byte(counts, tokens, np.array([1, 9, 3]))
    assert ours == pytest.approx(bits / 5, abs=1e-10)


def test_unigram_is_the_cross_entropy_of_add_one_counts():
    rng = np.random.default_rng(0)
    train = rng.integers(V, size=400).astype(np.uint16)
    valid = rng.integers(V, size=100).astype(np.uint16)
    counts = np.bincount(train, minlength=V)
    lengths = LENGTHS.numpy()
    log_p = torch.log_softmax(torch.tensor(counts + 1.0, dtype=torch.float64).log(), 0)
    nats = nn.functional.nll_loss(
        log_p.expand(100, V), torch.tensor(valid.astype(int)), reduction="sum"
    )
    wanted = nats.item() / math.log(2) / lengths[valid].sum()
    assert unigram_bits_per_byte(counts, valid, lengths) == pytest.approx(wanted, abs=1e-10)


def test_unigram_without_training_text_is_uniform():
    tokens = np.array([1, 2, 12])
    nothing = np.zeros(V, dtype=int)
    lengths = LENGTHS.numpy()
    assert unigram_bits_per_byte(nothing, tokens, lengths) == pytest.approx(
        uniform_bits_per_byte(tokens, lengths, V), abs=1e-10
    )


@pytest.mark.parametrize("tokens", [[], [0, 0]])
def test_no_text_no_baseline(tokens):
    tokens, lengths = np.array(tokens, dtype=int), LENGTHS.numpy()
    with pytest.raises(UserError, match="nothing to score"):
        uniform_bits_per_byte(tokens, lengths, V)
    with pytest.raises(UserError, match="nothing to score"):
        unigram_bits_per_byte(np.ones(V, dtype=int), tokens, lengths)


# --- objectives that measure more than tokens ----------------------------------------------------


def test_figures_add_up_by_name():
    one = Score(nats=1.0, tokens=2, bytes=3, metrics={"pair accuracy": Metric(1.0, 2.0)})
    other = Score(
        nats=4.0,
        tokens=5,
        bytes=6,
        metrics={"pair accuracy": Metric(2.0, 2.0), "token loss": Metric(1.0, 4.0)},
    )
    both = one + other
    assert (both.nats, both.tokens, both.bytes) == (5.0, 7, 9)
    assert both.metrics == {"pair accuracy": Metric(3.0, 4.0), "token loss": Metric(1.0, 4.0)}
    assert both.metrics["pair accuracy"].mean == 0.75


def test_bits_per_byte_are_those_of_the_text_alone():
    """A loss that was also paid for pairs says nothing of the text."""
    score = Score(nats=100.0, tokens=20, bytes=8, metrics={"token loss": Metric(8 * LN2, 4)})
    assert score.bits_per_byte == pytest.approx(1.0)
    assert score.perplexity == pytest.approx(4.0)
    assert score.loss == 5.0
    assert score.selection_metric == score.bits_per_byte


def test_without_text_the_loss_is_the_selection_metric():
    score = Score(nats=6.0, tokens=3, bytes=0)
    assert score.selection_metric == score.loss == 2.0
    with pytest.raises(UserError, match="nothing to score: 3 tokens of 0 bytes"):
        _ = score.bits_per_byte


def test_a_figure_over_nothing_is_no_number():
    assert math.isnan(Metric(0.0, 0.0).mean)
