"""The oracles of chapter 00's exercises, against the parts of the package that they stand for."""

import math

import numpy as np
import pytest
import torch

from llmcourse.checks.bank import welcome, writing
from llmcourse.evaluate.perplexity import Score, uniform_bits_per_byte, unigram_bits_per_byte
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.models.gpt import GPT, modern_recipe
from llmcourse.objectives.clm import CausalLM
from llmcourse.tinytown import stories as tinytown
from llmcourse.tokenizers.bpe import BPETokenizer

IDS = np.array([0, 3, 1, 3, 3, 2], dtype=np.int64)
SIZES = np.array([1, 2, 3, 4], dtype=np.int64)


def test_uniform_loss_is_the_evaluations():
    nats = welcome.uniform_loss.right(4) * len(IDS)
    bits = uniform_bits_per_byte(IDS, SIZES, 4) * SIZES[IDS].sum()
    assert nats / math.log(2) == pytest.approx(bits, abs=1e-10)


def test_bits_per_byte_is_the_evaluations():
    score = Score(nats=45.0, tokens=75, bytes=322)
    ours = welcome.bits_per_byte.right(score.loss, score.tokens, score.bytes)
    assert ours == pytest.approx(score.bits_per_byte, abs=1e-10)


def test_unigram_loss_is_the_evaluations():
    train = np.array([0, 0, 3, 3, 3, 1], dtype=np.int64)
    loss = welcome.unigram_loss.right(torch.from_numpy(train), torch.from_numpy(IDS), 4)
    theirs = unigram_bits_per_byte(np.bincount(train, minlength=4), IDS, SIZES)
    n_bytes = int(SIZES[IDS].sum())
    assert welcome.bits_per_byte.right(loss, len(IDS), n_bytes) == pytest.approx(theirs, abs=1e-10)


def test_next_token_pairs_are_the_objectives():
    tokens = torch.randint(0, 9, (12,))
    batch = CausalLM().prepare(tokens[None])
    read, said = welcome.next_token_pairs.right(tokens)
    assert torch.equal(read, batch.ids[0])
    assert torch.equal(said, batch.targets[0])


def test_write_is_greedy_generation():
    sizes = {"vocab_size": 11, "context_length": 16, "d_model": 8, "n_layers": 1, "n_heads": 2}
    model = GPT(modern_recipe(**sizes)).eval()
    with torch.no_grad():
        ours = writing.write.right(lambda ids: model(torch.tensor([ids])).logits[0, -1], [3, 1], 6)
    theirs = generate(model, torch.tensor([[3, 1]]), max_new_tokens=6, sampler=greedy)
    assert ours == [3, 1, *(int(token) for token in theirs)]


def test_the_floor_that_the_choice_speaks_of():
    tokenizer = BPETokenizer.train((story.text for story in tinytown.stories(2000)), 1024)
    assert f"{tinytown.entropy_per_token(tokenizer):.2f}" == "0.50"
    assert "0.50 nats" in "".join(mistake.hint for mistake in welcome.what_went_wrong.mistakes)
