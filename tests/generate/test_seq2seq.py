import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy, sample
from llmcourse.generate.seq2seq import EncodedSource, generate_from_source
from llmcourse.models.encoder_decoder import (
    EncoderDecoder,
    modern_encoder_decoder_recipe,
    original_recipe,
    t5_recipe,
)
from llmcourse.nn.masks import padding

V, C, S, START = 17, 8, 6, 0
SIZES = {"vocab_size": V, "context_length": C, "d_model": 16, "n_layers": 2, "n_heads": 4}
RECIPES = {
    "original": original_recipe(**SIZES),
    "t5, deep decoder": t5_recipe(**SIZES, n_decoder_layers=3),
    "modern": modern_encoder_decoder_recipe(**SIZES, n_kv_heads=2, n_decoder_layers=1),
}


@pytest.fixture(params=RECIPES)
def model(request):
    """In float64, with weights so large that every token matters to the next."""
    torch.manual_seed(0)
    model = EncoderDecoder(RECIPES[request.param]).double().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


@pytest.fixture
def source():
    return torch.randint(V, (5, S), generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def naive(model, row, n):
    """Greedy, one row, everything read again for each token."""
    ids = [START]
    for _ in range(n):
        logits = model(row[None], torch.tensor([ids[-C:]])).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[1:]


def until(row, stop):
    return row[: row.index(stop)] if stop in row else row


@pytest.mark.parametrize("n", [1, C - 1, C + 5])  # the last lets the window of the target slide
def test_every_row_is_what_it_would_be_alone(model, source, n):
    """Rows end at different times; one never does."""
    wanted = [naive(model, row, n) for row in source]
    stop = wanted[0][n // 2]
    options = {"start_id": START, "max_new_tokens": n}
    written = generate_from_source(model, source, stop_id=stop, **options)
    assert written == [until(row, stop) for row in wanted]
    assert len(written[0]) <= n // 2
    assert generate_from_source(model, source, stop_id=V, **options) == wanted


def test_padding_of_the_source_is_invisible(model, source):
    lengths = torch.tensor([6, 2, 4, 1, 3])
    written = generate_from_source(
        model,
        source,
        source_mask=padding(lengths, S),
        start_id=START,
        stop_id=V,
        max_new_tokens=C,
    )
    assert written == [
        naive(model, row[:length], C) for row, length in zip(source, lengths, strict=True)
    ]


def test_it_stops_when_the_last_row_has(model, source):
    calls = []
    model.decoder.register_forward_hook(lambda *_: calls.append(1))
    first = [naive(model, row, 1)[0] for row in source[:1]]
    calls.clear()
    one = generate_from_source(
        model, source[:1], start_id=START, stop_id=first[0], max_new_tokens=C
    )
    assert (one, len(calls)) == ([[]], 1)


def test_the_source_is_read_once(model, source):
    calls = []
    model.encoder.register_forward_hook(lambda *_: calls.append("encoder"))
    for block in model.decoder.blocks:
        block.cross_attention.k_proj.register_forward_hook(lambda *_: calls.append("keys"))
    generate_from_source(model, source, start_id=START, stop_id=V, max_new_tokens=C)
    assert calls == ["encoder"] + ["keys"] * model.config.decoder_layers


def test_it_samples_too(model, source):
    """With one's own sampler, and its generator."""

    def write(seed):
        generator = torch.Generator().manual_seed(seed)
        return generate_from_source(
            model,
            source,
            start_id=START,
            stop_id=V,
            max_new_tokens=C,
            sampler=lambda logits: sample(logits, generator),
        )

    assert write(1) == write(1) != write(2)


@pytest.mark.parametrize("n", [1, 3])
def test_only_the_end_is_scored(model, source, n):
    ids = torch.randint(V, (len(source), 5))
    target = EncodedSource(model, source)
    torch.testing.assert_close(target(ids, n_scored=n).logits, target(ids).logits[:, -n:])


def test_a_source_that_was_read_makes_a_model_of_the_target(model, source):
    """What `generate` sees: scores of the target's next token, as the whole model's."""
    ids = torch.randint(V, (5, 4), generator=torch.Generator().manual_seed(2))
    encoded = EncodedSource(model, source)
    with torch.no_grad():
        torch.testing.assert_close(
            encoded(ids).logits, model(source, ids).logits, rtol=0, atol=1e-10
        )
    tokens = list(generate(encoded, ids, max_new_tokens=2, sampler=greedy))
    assert len(tokens) == 2
    assert tokens[0].shape == (5,)


def test_a_source_that_is_too_long(model):
    with pytest.raises(UserError, match="9 tokens do not fit into the context_length of 8"):
        generate_from_source(
            model, torch.zeros(1, C + 1).long(), start_id=START, stop_id=V, max_new_tokens=1
        )
