"""Every family is read in one way: by hand, in pieces, in frames, and whatever stands beside it."""

import pytest
import torch
from numerics import close, randomise

from llmcourse.evaluate.features import CountReader, ModelReader
from llmcourse.models.bert import BERT, BERTConfig
from llmcourse.models.dual_encoder import DualEncoder, DualEncoderConfig
from llmcourse.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.xlnet import XLNet, XLNetConfig

SIZES = {"vocab_size": 30, "context_length": 12, "d_model": 8, "n_layers": 2, "n_heads": 2}
PLAIN = {"n_segments": 0, "pooler": False}
FAMILIES = {
    "GPT": lambda: GPT(GPTConfig(**SIZES)),
    "BERT": lambda: BERT(BERTConfig(**SIZES, **PLAIN)),
    "XLNet": lambda: XLNet(XLNetConfig(**SIZES)),
    "two stacks": lambda: EncoderDecoder(EncoderDecoderConfig(**SIZES)),
    "dual": lambda: DualEncoder(DualEncoderConfig(**SIZES, **PLAIN)),
}
TEXTS = [(1, 2, 3, 4), (5, 6), (7, 8, 9, 10), (11,)]

each_family = pytest.mark.parametrize("build", FAMILIES.values(), ids=FAMILIES)


@pytest.fixture
def framed():
    """A BERT that knows segments, and its reader: `[CLS]` is 28, `[SEP]` 29."""
    model = randomise(BERT(BERTConfig(**SIZES, n_segments=2)))
    return model, ModelReader(model, cls_id=28, sep_id=29)


@each_family
def test_a_text_is_read_as_if_it_were_alone(build):
    model = randomise(build())
    for text, states in zip(TEXTS, ModelReader(model).states(TEXTS), strict=True):
        close(states, model.hidden_states(torch.tensor([text]))[0])


@each_family
def test_who_sees_what_comes_after(build):
    model = randomise(build())
    (first,), (other,) = (list(ModelReader(model).states([t])) for t in [(1, 2, 3), (1, 2, 9)])
    assert torch.equal(first[0], other[0]) == isinstance(model, GPT)


def test_a_dual_encoders_mean_is_the_vector_that_it_compares():
    model = randomise(FAMILIES["dual"]())
    close(ModelReader(model).means([TEXTS[0]]), model.embed(torch.tensor([TEXTS[0]])))


def test_dropout_is_off_while_reading_and_the_mode_comes_back():
    model = randomise(GPT(GPTConfig(**SIZES, dropout=0.5))).train()
    one, other = (ModelReader(model).means(TEXTS) for _ in range(2))
    assert torch.equal(one, other)
    assert model.training
    assert not one.requires_grad


def test_a_long_text_is_read_in_pieces():
    model = randomise(FAMILIES["GPT"]())
    text = tuple(range(25))
    (states,) = ModelReader(model).states([text])
    pieces = [model.hidden_states(torch.tensor([text[s : s + 12]]))[0] for s in (0, 12, 24)]
    close(states, torch.cat(pieces))


def test_a_frame_stands_around_a_text_and_is_not_read_off(framed):
    model, reader = framed
    (states,) = reader.states([(1, 2, 3)])
    close(states, model.encode(torch.tensor([[28, 1, 2, 3, 29]]))[0, 1:4])


def test_a_pair_stands_in_one_row_of_two_segments(framed):
    model, reader = framed
    ((first, second),) = reader.pair_states([((1, 2), (3, 4, 5))])
    ids = torch.tensor([[28, 1, 2, 29, 3, 4, 5, 29]])
    whole = model.encode(ids, segments=torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]]))[0]
    close(first, whole[1:3])
    close(second, whole[4:7])


def test_a_pair_without_frames_is_one_text():
    model = randomise(FAMILIES["BERT"]())
    ((first, second),) = ModelReader(model).pair_states([((1, 2), (3, 4, 5))])
    whole = model.encode(torch.tensor([[1, 2, 3, 4, 5]]))[0]
    close(torch.cat([first, second]), whole)


@pytest.mark.parametrize(("a", "b"), [(20, 2), (2, 20), (20, 20)])
def test_pairs_that_are_too_long_keep_what_is_near_the_seam(framed, a, b):
    _, reader = framed
    first, second = tuple(range(a)), tuple(range(b))
    kept, kept_too = reader._fitted(first, second)
    assert first[-len(kept) :] == kept
    assert second[: len(kept_too)] == kept_too
    assert len(kept) + len(kept_too) == 12 - 3
    ((states, others),) = reader.pair_states([(first, second)])
    assert (len(states), len(others)) == (len(kept), len(kept_too))


def test_means_of_spans_texts_and_pairs():
    reader = CountReader(5)
    close(reader.means([(0, 0, 3, 4)]), torch.tensor([[0.5, 0, 0, 0.25, 0.25]]))
    close(reader.span_means([((1, 2, 2), 1, 3)]), torch.tensor([[0, 0, 1.0, 0, 0]]))
    pair = reader.pair_means([((1,), (2, 3))])
    close(pair, torch.tensor([[0, 1.0, 0, 0, 0, 0, 0, 0.5, 0.5, 0]]))


def test_a_span_is_read_within_its_text():
    model = randomise(FAMILIES["BERT"]())
    spans = [((1, 2, 3, 4), 1, 3), ((5, 6), 0, 1), ((1, 2, 3, 4), 0, 1)]
    found = ModelReader(model).span_means(spans)
    for (text, start, end), mean in zip(spans, found, strict=True):
        close(mean, model.hidden_states(torch.tensor([text]))[0, start:end].mean(dim=0))
