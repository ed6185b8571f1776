"""The checks on blocks: their truth is right, and they know mistakes written otherwise."""

import torch
from torch import nn

from llmcourse.checks.bank import blocks as check
from llmcourse.nn.attention import Attention


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


def test_blocks_by_hand():
    five, ten = torch.full((1, 1, 1), 5.0), torch.full((1, 1, 1), 10.0)
    same, one, double = nn.Identity(), Says(1.0), nn.Linear(1, 1, bias=False)
    double.weight.data.fill_(2.0)
    norms = (same, same, same)
    assert check.block.right(five, same, one, same, double).item() == 18
    assert check.decoder_block.right(five, ten, norms, one, Says(10.0), double).item() == 48


class Says(Attention):
    """An attention that answers the same whatever it is asked."""

    def __init__(self, answer: float) -> None:
        super().__init__(d_model=1, n_heads=1)
        self.answer = answer

    def forward(self, hidden, **arguments):
        return torch.full_like(hidden, self.answer)


def test_a_block_that_normalises_the_stream_under_another_name_is_recognised():
    def block(hidden, norm1, attention, norm2, mlp):
        copy = norm1(hidden)
        summed = copy + attention(copy)
        copy = norm2(summed)
        return copy + mlp(copy)

    assert verdict_of(check.block, block) == "the stream itself is normalised"


def test_queries_from_the_memory_are_refused():
    def decoder_block(hidden, memory, norms, attention, cross_attention, mlp):
        hidden = hidden + attention(norms[0](hidden), is_causal=True)
        hidden = hidden + cross_attention(norms[1](memory), context=hidden)
        return hidden + mlp(norms[2](hidden))

    assert check.decoder_block.verdict(decoder_block).status == "wrong"


def test_a_right_block_that_calls_its_parts_otherwise_passes():
    def decoder_block(hidden, memory, norms, attention, cross_attention, mlp):
        length = hidden.size(1)
        past = torch.ones(length, length, dtype=torch.bool).tril()
        hidden = hidden + attention(norms[0](hidden), mask=past)
        hidden = hidden + cross_attention(norms[1](hidden), context=memory)
        return hidden + mlp(norms[2](hidden))

    assert isinstance(check.decoder_block.inputs("the first sign")[3], Attention)
    assert check.decoder_block.verdict(decoder_block).status == "passed"
