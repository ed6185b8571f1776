"""Rows that come and go: whoever is beside it, a row is scored as if it were alone."""

import random

import pytest
import torch
from small_server import TOKENIZER, alone, small_model, small_service, wait_until

from llmcourse.models.adapters import AdapterConfig, attach
from llmcourse.models.gpt import POSITIONS
from llmcourse.models.mlp_lm import MLPLM, MLPLMConfig
from llmcourse.models.rnn_lm import RNNLM, RNNLMConfig
from llmcourse.nn.cache import KVCache
from llmcourse.serve.rows import SLACK, RaggedRows, RowsCache, rows_of

PROMPTS = [[65], list(b"a longer one than the others are"), list(b"abc"), list(b"Tom had")]


def gpt(positions):
    return lambda: small_model(positions=positions, context_length=64)


def rnn():
    torch.manual_seed(0)
    return RNNLM(RNNLMConfig(vocab_size=257, context_length=64, d_model=16)).eval()


def mlp():
    torch.manual_seed(0)
    return MLPLM(MLPLMConfig(vocab_size=257, context_length=4, d_model=16)).eval()


def prompted():
    config = AdapterConfig(kind="prompt", virtual_tokens=4)
    return attach(small_model(), config).finished().eval()


MODELS = {name: gpt(name) for name in POSITIONS}
MODELS |= {"rnn": rnn, "mlp": mlp, "soft prompt": prompted}


def written_together(model, prompts, n, seed=0):
    """Each prompt's greedy tokens; rows join at random steps and leave when they have `n`."""
    rng, rows = random.Random(seed), rows_of(model)
    done, running, waiting = {}, [], list(range(len(prompts)))
    with torch.no_grad():
        while waiting or running:
            if waiting and (not running or rng.random() < 0.5):
                number = waiting.pop(0)
                row, logits = rows.read(prompts[number])
                rows.join(row)
                running.append(number)
                done[number] = [int(logits[-1].argmax())]
            tokens = rows.step([done[number][-1] for number in running]).argmax(-1).tolist()
            for number, token in zip(running, tokens, strict=True):
                done[number].append(token)
            staying = [at for at, number in enumerate(running) if len(done[number]) < n]
            if len(staying) < len(running):
                rows.keep(staying)
                running = [running[at] for at in staying]
    return [done[number] for number in range(len(prompts))]


@pytest.mark.parametrize("name", MODELS)
def test_rows_that_come_and_go_write_what_each_writes_alone(name):
    model = MODELS[name]()
    together = written_together(model, PROMPTS, 12)
    for prompt, tokens in zip(PROMPTS, together, strict=True):
        found = alone(model, prompt, 12)
        assert tokens[: len(found)] == found
    assert len({tuple(tokens) for tokens in together}) == len(PROMPTS)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_in_which_they_come_does_not_matter(seed):
    model = small_model(context_length=64)
    assert written_together(model, PROMPTS, 9, seed) == written_together(model, PROMPTS, 9, 99)


def test_a_mask_that_shows_the_filler_would_be_noticed(monkeypatch):
    model = small_model(context_length=64)
    right = written_together(model, PROMPTS, 12)
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda ids, mask=None, **rest: forward(ids, **rest))
    assert written_together(model, PROMPTS, 12) != right


def test_positions_that_count_the_filler_would_be_noticed(monkeypatch):
    model = small_model(context_length=64, positions="learned")
    right = written_together(model, PROMPTS, 12)
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda ids, positions=None, **rest: forward(ids, **rest))
    assert written_together(model, PROMPTS, 12) != right


def test_logits_of_a_row_among_others_are_its_own_to_rounding():
    model = small_model()
    rows = RaggedRows(model)
    with torch.no_grad():
        for prompt in PROMPTS:
            rows.join(rows.read(prompt)[0])
        found = rows.step([66] * len(PROMPTS))
        for logits, prompt in zip(found, PROMPTS, strict=True):
            right = model(torch.tensor([[*prompt, 66]])).logits[0, -1]
            torch.testing.assert_close(logits, right, rtol=0, atol=1e-4)


def columns(n, rows=2, start=0.0):
    return (torch.arange(float(n)) + start).reshape(1, 1, n, 1).expand(rows, 1, n, 1)


def test_the_cache_grows_in_place_and_gives_what_a_plain_one_gives():
    ours, plain = RowsCache(1), KVCache(1)
    for start in range(3 * SLACK):
        new = columns(1, start=float(start))
        for cache in (ours, plain):
            cache.update(0, new, -new)
    for a, b in zip(ours.get(0), plain.get(0), strict=True):
        assert torch.equal(a, b)
    assert ours.length == plain.length == 3 * SLACK


def test_a_row_that_leaves_takes_its_columns_along():
    cache = RowsCache(1)
    for n in (3, 5):
        one = KVCache(1)
        one.update(0, columns(n, rows=1), columns(n, rows=1))
        cache.join(one)
    assert cache.get(0)[0].flatten(1).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]
    cache.keep(torch.tensor([0]), 3)
    assert cache.get(0)[0].flatten(1).tolist() == [[0, 1, 2]]
    cache.update(0, columns(1, rows=1, start=9.0), columns(1, rows=1))
    assert cache.get(0)[0].flatten(1).tolist() == [[0, 1, 2, 9]]


@pytest.mark.parametrize("method", ["read", "join", "step", "keep"])
def test_an_engine_that_fails_at_one_text_goes_on_with_the_next(method, monkeypatch):
    from llmcourse.serve.engine import Failure, Text
    from llmcourse.serve.writing import Chooser, Wish, Writer

    service = small_service()
    engine, got = service.engine, []
    wishes = [Wish(max_tokens=n, temperature=0.0) for n in (3, 6)]

    def text(wish):
        writer = Writer(TOKENIZER, wish, [(TOKENIZER.eot_id,)])
        return Text([65], wish, writer, Chooser(wish), got.append, deadline=float("inf"))

    def broken(*arguments):
        raise RuntimeError("no")

    engine.start()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(RaggedRows, method, broken)
            engine.submit([text(wish) for wish in wishes])
            wait_until(lambda: engine.is_idle)
        assert Failure(500, "the server failed at this request") in got
        got.clear()
        engine.submit([text(wish) for wish in wishes])
        wait_until(lambda: sum(getattr(one, "finish", None) == "length" for one in got) == 2)
        assert engine.is_well
    finally:
        service.close()
