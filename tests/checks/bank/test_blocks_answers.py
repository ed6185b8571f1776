"""Right answers to the exercises on blocks, in other styles."""

import torch
from others_answers import right_answers

from llmcourse.checks.bank import blocks as check
from llmcourse.nn.blocks import Block, DecoderBlock

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.block)
def named_in_between(hidden, norm1, attention, norm2, mlp):
    looked = attention(norm1(hidden))
    after = torch.add(hidden, looked)
    thought = mlp(norm2(after))
    return after + thought


@right(check.block)
def in_a_loop(hidden, norm1, attention, norm2, mlp):
    for norm, part in ((norm1, attention), (norm2, mlp)):
        hidden = part(norm(hidden)) + hidden
    return hidden


@right(check.block)
def into_a_copy(hidden, norm1, attention, norm2, mlp):
    stream = hidden.clone()
    stream += attention(norm1(stream))
    stream += mlp(norm2(stream))
    return stream


@right(check.block)
def through_forward(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention.forward(norm1.forward(hidden))
    return sum((mlp.forward(norm2.forward(hidden)), hidden))


@right(check.decoder_block)
def a_mask_of_ones(hidden, memory, norms, attention, cross_attention, mlp):
    length = hidden.size(1)
    past = torch.ones(length, length, dtype=torch.bool).tril()
    hidden = hidden + attention(norms[0](hidden), mask=past)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@right(check.decoder_block)
def branches_in_a_list(hidden, memory, norms, attention, cross_attention, mlp):
    branches = [
        lambda x: attention(x, is_causal=True),
        lambda x: cross_attention(x, context=memory, is_causal=False),
        mlp,
    ]
    for norm, branch in zip(norms, branches, strict=True):
        hidden = hidden + branch(norm(hidden))
    return hidden


@right(check.decoder_block)
def into_copies(hidden, memory, norms, attention, cross_attention, mlp):
    first, second, third = norms
    stream = hidden.clone()
    stream += attention(first(stream), is_causal=True)
    stream += cross_attention(second(stream), context=memory, mask=None)
    return stream.add(mlp(third(stream)))


def test_the_truths_are_the_packages_blocks():
    with torch.no_grad():
        for trial in check.block.trials()[1:]:
            hidden, *parts = trial.args
            assert torch.equal(check.block.right(*trial.args), Block(*parts)(hidden))
        for trial in check.decoder_block.trials()[1:]:
            hidden, memory, (one, two, three), back, read, mlp = trial.args
            whole = DecoderBlock(one, back, two, read, three, mlp)
            assert torch.equal(check.decoder_block.right(*trial.args), whole(hidden, memory))


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
