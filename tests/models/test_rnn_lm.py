"""The recurrent language model: its sizes, its cache, what it may see, and that it learns."""

import pytest
import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.rnn_lm import RNNLM, RNNLMConfig
from llmcourse.objectives.clm import CausalLM

SIZES = {"vocab_size": 13, "context_length": 20, "d_model": 6}
each_cell = pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])


def model(**sizes) -> RNNLM:
    return RNNLM(RNNLMConfig(**{**SIZES, **sizes})).double().eval()


@each_cell
def test_two_layers_are_torchs_two_layers(cell):
    ours = model(cell=cell, n_layers=2)
    kind = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    theirs = kind(6, 6, num_layers=2, batch_first=True, dtype=torch.float64)
    parts = {"weight_ih": "input_proj.weight", "weight_hh": "state_proj.weight"}
    parts |= {"bias_ih": "input_proj.bias", "bias_hh": "state_proj.bias"}
    for name, parameter in theirs.named_parameters():
        part, _, layer = name.partition("_l")
        parameter.data = ours.layers[int(layer)].get_parameter(parts[part]).data
    ids = torch.randint(13, (2, 9))
    hidden = theirs(ours.token_embedding(ids))[0]
    output = ours(ids)
    torch.testing.assert_close(output.hidden, hidden, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(output.logits, ours.lm_head(hidden), rtol=1e-10, atol=1e-10)


@each_cell
@pytest.mark.parametrize("n_layers", [1, 3])
def test_the_config_counts_its_parameters(cell, n_layers):
    ours = model(cell=cell, n_layers=n_layers)
    assert ours.n_parameters == sum(p.numel() for p in ours.parameters())


@each_cell
def test_word_by_word_with_a_cache_is_all_at_once(cell):
    ours, ids = model(cell=cell, n_layers=2), torch.randint(13, (3, 8))
    cache = ours.new_cache()
    pieces = [ours(ids[:, :3], cache=cache).logits]
    pieces += [ours(ids[:, t : t + 1], cache=cache).logits for t in range(3, 8)]
    torch.testing.assert_close(torch.cat(pieces, 1), ours(ids).logits, rtol=1e-10, atol=1e-10)
    assert cache.length == 8


def test_only_the_end_is_scored():
    ours, ids = model(n_layers=2), torch.randint(13, (3, 8))
    torch.testing.assert_close(ours(ids, n_scored=2).logits, ours(ids).logits[:, -2:])


def test_without_a_cache_nothing_stays_from_one_call_to_the_next():
    ours, ids = model(), torch.randint(13, (1, 8))
    first = ours(ids).logits
    assert torch.equal(ours(ids).logits, first)


@each_cell
@pytest.mark.parametrize("context_length", [20, 4])
def test_writing_with_a_cache_is_writing_without(cell, context_length):
    """Also where the text grows out of the window: the cache is then filled afresh."""
    ours, start = model(cell=cell, context_length=context_length), torch.randint(13, (2, 3))
    written = [
        torch.stack([*generate(ours, start, max_new_tokens=9, sampler=greedy, use_cache=use)])
        for use in (True, False)
    ]
    assert torch.equal(*written)


def test_dropout_is_drawn_in_training_alone():
    ours, ids = model(dropout=0.5), torch.randint(13, (1, 8))
    assert torch.equal(ours(ids).logits, ours(ids).logits)
    ours.train()
    assert not torch.equal(ours(ids).logits, ours(ids).logits)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_it_learns_to_remember_the_first_word(cell):
    """The last word is the first one again, six steps later: no n-gram of a lower order can."""
    ours = RNNLM(RNNLMConfig(vocab_size=6, context_length=8, d_model=24, cell=cell))
    first = torch.arange(4)[:, None]
    rows = torch.cat([first, torch.full((4, 5), 4), torch.full((4, 1), 5), first], dim=1)
    objective, optimizer = CausalLM(), torch.optim.AdamW(ours.parameters(), lr=0.02)
    batch = objective.prepare(rows)
    for _ in range(120):
        optimizer.zero_grad()
        objective.loss(ours(batch.ids), batch).total.backward()
        optimizer.step()
    assert torch.equal(ours(batch.ids).logits[:, -1].argmax(-1), first[:, 0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"cell": "lstmm"}, "unknown cell='lstmm'; did you mean 'lstm'"),
        ({"n_layers": 0}, "n_layers=0 must be at least 1"),
        ({"d_model": 0}, "d_model=0 must be at least 1"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
    ],
)
def test_errors_say_what_to_do(wrong, message):
    with pytest.raises(UserError, match=message):
        RNNLMConfig(**{**SIZES, **wrong})
