"""Shared by the tests of both denoising objectives: random rows, a small model, a sum of parts."""

import math

import numpy as np
import torch
from numerics import close, in_double

from llmcourse.models.encoder_decoder import EncoderDecoder, modern_encoder_decoder_recipe
from llmcourse.objectives.vocabulary import Vocabulary

V, END = 30, 29
PLAIN = Vocabulary.plain(V)
WITH_END = Vocabulary.plain(V, special_ids=(END,))


def rng(seed=0):
    return np.random.default_rng(seed)


def tokens_of(n_rows, length, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, END, (n_rows, length), generator=generator)


def within(count, n, share):
    """Whether a count of n draws lies within five standard deviations of its share."""
    return abs(count - n * share) < 5 * math.sqrt(n * share * (1 - share))


def build(vocab_size, context_length):
    sizes = {"context_length": context_length, "d_model": 16, "n_layers": 2, "n_heads": 2}
    config = modern_encoder_decoder_recipe(vocab_size=vocab_size, **sizes)
    return in_double(lambda: EncoderDecoder(config))


def assert_adds_up(objective, model, batch):
    whole = objective.loss(model(ids=batch.ids, **batch.extras), batch)
    parts = [batch.rows(slice(start, start + 2)) for start in (0, 2, 4)]
    losses = [objective.loss(model(ids=part.ids, **part.extras), part) for part in parts]
    close(sum(loss.total for loss in losses), whole.total)
    assert sum(loss.count for loss in losses) == whole.count
