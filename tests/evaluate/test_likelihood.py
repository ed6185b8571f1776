"""The probability of a text: it sums to one over all texts, and nothing looks ahead."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from numerics import in_double

from llmcourse.evaluate.likelihood import bits_per_byte_of_texts
from llmcourse.models.bert import BERT, BERTConfig
from llmcourse.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.xlnet import XLNet, XLNetConfig
from llmcourse.objectives.clm import CausalLM
from llmcourse.objectives.mlm import MaskedLM
from llmcourse.objectives.plm import PermutationLM
from llmcourse.objectives.span_corruption import SpanCorruption
from llmcourse.objectives.text_infilling import TextInfilling
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer

VOCABULARY = Vocabulary.plain(4, special_ids=(3,))
SIZES = {"vocab_size": 8, "context_length": 6, "d_model": 8, "n_layers": 2, "n_heads": 2}
WRITERS = {
    "CLM": (CausalLM(), lambda: GPT(GPTConfig(**SIZES))),
    "PLM": (PermutationLM(VOCABULARY), lambda: XLNet(XLNetConfig(**SIZES))),
    "infilling": (
        TextInfilling(VOCABULARY),
        lambda: EncoderDecoder(EncoderDecoderConfig(**SIZES)),
    ),
    "spans": (
        SpanCorruption(VOCABULARY, context_length=6),
        lambda: EncoderDecoder(EncoderDecoderConfig(**SIZES)),
    ),
}
each_writer = pytest.mark.parametrize(("objective", "build"), WRITERS.values(), ids=WRITERS)


@each_writer
def test_the_probabilities_of_all_texts_of_a_length_sum_to_one(objective, build):
    model = in_double(build)
    assert objective.scores_text
    every = torch.tensor(list(itertools.product(range(8), repeat=3)))
    nats = F.cross_entropy(objective.text_logits(model, every, 3).mT, every, reduction="none").sum(
        dim=1
    )
    assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-10)
    assert nats.std() > 0.1  # and they are not all alike


@each_writer
def test_no_token_sees_itself_or_what_comes_after(objective, build):
    model = in_double(build)
    rows = torch.tensor([[0, 1, 2, 0]])
    before = objective.text_logits(model, rows, 3)
    for place in range(4):
        other = rows.clone()
        other[0, place] = 4
        changed = (before - objective.text_logits(model, other, 3)).abs().amax(dim=-1)[0] > 1e-9
        assert changed.tolist() == [t > place for t in range(4)]


def test_who_fills_gaps_on_both_sides_gives_texts_no_probability():
    model = BERT(BERTConfig(**SIZES, n_segments=0, pooler=False))
    assert not MaskedLM(VOCABULARY).scores_text
    found = bits_per_byte_of_texts(
        MaskedLM(VOCABULARY), model, [(0, 1)], ByteTokenizer(), numpy_rng(0)
    )
    assert found is None


def test_bits_are_added_over_texts_and_divided_by_their_bytes():
    tokenizer = ByteTokenizer()
    model = in_double(lambda: GPT(GPTConfig(**(SIZES | {"vocab_size": 257}))))
    texts = [b"abcd", b"xy", b"too long by far"]
    found = bits_per_byte_of_texts(CausalLM(), model, texts, tokenizer, numpy_rng(0))
    assert found is not None
    nats = 0.0
    for text in (b"abcd", b"xy", b"too "):  # what the context does not hold is left out
        for t in range(len(text)):
            read = torch.tensor([[tokenizer.eot_id, *text[:t]]])
            nats -= model(read).logits[0, -1].log_softmax(-1)[text[t]].item()
    assert found.value == pytest.approx(nats / math.log(2) / 10, abs=1e-10)
    assert found.low <= found.value <= found.high
