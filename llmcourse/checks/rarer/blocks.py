"""Rarer mistakes of the exercises on blocks. Chapter 05 teaches this."""

import torch

from llmcourse.checks.bank.blocks import block, decoder_block


@block.mistake(
    "normalised before and after each branch",
    hint="You normalise what a branch answers, too (sandwich norm). Its answer is added as it is.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + norm1(attention(norm1(hidden)))
    return hidden + norm2(mlp(norm2(hidden)))


@block.mistake(
    "MLP first, the norms in order",
    hint="You run the MLP first, with the first norm. The first norm and the first line belong to "
    "attention.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + mlp(norm1(hidden))
    return hidden + attention(norm2(hidden))


@block.mistake(
    "the MLP reads what attention said, not the sum",
    hint="Your MLP reads what attention answered. It reads the stream to which that was added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    looked = attention(norm1(hidden))
    return hidden + looked + mlp(norm2(looked))


@block.mistake(
    "the stream normalised between the branches",
    hint="You normalise the stream after attention was added, and go on with that. Only what the "
    "MLP reads is normalised.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = norm2(hidden + attention(norm1(hidden)))
    return hidden + mlp(hidden)


@block.mistake(
    "pre-norm attention, post-norm MLP",
    hint="Your first line is right, and your second normalises the sum. The MLP's line has the "
    "form of the first.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return norm2(hidden + mlp(hidden))


@block.mistake(
    "post-norm attention, pre-norm MLP",
    hint="Your second line is right, and your first normalises the sum. Attention's line has the "
    "form of the second.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = norm1(hidden + attention(hidden))
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "post-norm with the norms exchanged",
    hint="You normalise the sums (post-norm), and with the other branch's norm. Normalise what a "
    "branch reads, by its own norm.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = norm2(hidden + attention(hidden))
    return norm1(hidden + mlp(hidden))


@block.mistake(
    "both norms before attention",
    hint="You apply both norms to what attention reads and none to what the MLP reads. Each has "
    "its own.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm2(norm1(hidden)))
    return hidden + mlp(hidden)


@block.mistake(
    "norms at both ends of attention",
    hint="Your second norm stands behind attention. It stands before the MLP.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + norm2(attention(norm1(hidden)))
    return hidden + mlp(hidden)


@block.mistake(
    "the MLP reads both norms",
    hint="What your MLP reads passes through the first norm as well. It has one of its own.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return hidden + mlp(norm2(norm1(hidden)))


@block.mistake(
    "sums divided by the root of 2",
    hint="You divide each sum by the root of 2 to keep its size. Asked for is the plain sum.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = (hidden + attention(norm1(hidden))) / 2**0.5
    return (hidden + mlp(norm2(hidden))) / 2**0.5


@block.mistake(
    "the mean of stream and branch",
    hint="You average the stream with each answer. Asked for is their sum.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = (hidden + attention(norm1(hidden))) / 2
    return (hidden + mlp(norm2(hidden))) / 2


@block.mistake(
    "half of each answer",
    hint="You add half of what each branch says. All of it is added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + 0.5 * attention(norm1(hidden))
    return hidden + 0.5 * mlp(norm2(hidden))


@block.mistake(
    "answers divided by the root of 2",
    hint="You scale what the branches say down, as GPT-2 does to the weights when it begins. Here "
    "answers are added as they are.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden)) / 2**0.5
    return hidden + mlp(norm2(hidden)) / 2**0.5


@block.mistake(
    "half an MLP on both sides",
    hint="You run the MLP before and after attention, and add half each time (Macaron). It runs "
    "once, after attention.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + 0.5 * mlp(norm2(hidden))
    hidden = hidden + attention(norm1(hidden))
    return hidden + 0.5 * mlp(norm2(hidden))


@block.mistake(
    "branches multiplied",
    hint="You multiply the stream by what the branches say. It is added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden * attention(norm1(hidden))
    return hidden * mlp(norm2(hidden))


@block.mistake(
    "answers subtracted",
    hint="You subtract what the branches say. It is added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden - attention(norm1(hidden))
    return hidden - mlp(norm2(hidden))


@block.mistake(
    "the MLP's norm reads the old stream",
    hint="You normalise for both branches at the start. What the MLP reads is normalised after "
    "attention was added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    for_attention, for_mlp = norm1(hidden), norm2(hidden)
    looked = attention(for_attention)
    return hidden + looked + mlp(for_mlp + looked)


@block.mistake(
    "normalised sums of what the branches read",
    hint="Your MLP reads the sum of attention's answer and the copy that attention read. It reads "
    "a normalised copy of the stream.",
)
def _(hidden, norm1, attention, norm2, mlp):
    normal = norm1(hidden)
    looked = attention(normal)
    return hidden + looked + mlp(norm2(normal + looked))


@block.mistake(
    "two attentions and no MLP",
    hint="Your second line calls attention again. It is the MLP's turn.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return hidden + attention(norm2(hidden))


# The block that writes and reads


def _decoder(
    hidden,
    memory,
    norms,
    parts,
    order=(0, 1, 2),
    which=(0, 1, 2),
    read=lambda norm, x: norm(x),
    after=lambda norm, x: x,
    asked=(True, None),
):
    """The block with the branches in `order`, branch i behind the norm `which[i]`."""
    for i in order:
        norm = norms[which[i]]
        said = {} if i == 2 else {"is_causal": asked[0]} if i == 0 else {"context": memory}
        if i == 1 and asked[1] is not None:
            said["is_causal"] = asked[1]
        hidden = after(norm, hidden + parts[i](read(norm, hidden), **said))
    return hidden


@decoder_block.mistake(
    "reading before looking back, the norms in order",
    hint="You exchange the first two branches, and the norms stay. First comes the look back.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, (1, 0, 2), (1, 0, 2))


@decoder_block.mistake(
    "thinking before reading, the norms in order",
    hint="You run the MLP second, with the second norm. It comes last, with the last one.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, (0, 2, 1), (0, 2, 1))


@decoder_block.mistake(
    "thinking first",
    hint="You run the MLP before the attentions. It comes last.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    return _decoder(hidden, memory, norms, (attention, cross_attention, mlp), (2, 0, 1))


@decoder_block.mistake(
    "the last two norms exchanged",
    hint="The second norm belongs to the reading, the third to the MLP. You have them the other "
    "way round.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, which=(0, 2, 1))


@decoder_block.mistake(
    "the first two norms exchanged",
    hint="The first norm belongs to the look back, the second to the reading. You have them the "
    "other way round.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, which=(1, 0, 2))


@decoder_block.mistake(
    "normalised before and after",
    hint="You normalise what a branch reads and the sum as well. The stream itself is never "
    "normalised.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, after=lambda norm, x: norm(x))


@decoder_block.mistake(
    "reading and thinking side by side",
    hint="Your MLP reads the stream as it was before the reading was added. It comes after it.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    read = cross_attention(norms[1](hidden), context=memory)
    return hidden + read + mlp(norms[2](hidden))


@decoder_block.mistake(
    "memory normalised, the question not",
    hint="You normalise what was read, and not the stream that asks. It is the other way round.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(hidden, context=norms[1](memory))
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the question is what was looked back at",
    hint="Your cross-attention reads the first attention's answer alone. It reads the stream to "
    "which that was added.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    looked = attention(norms[0](hidden), is_causal=True)
    hidden = hidden + looked
    hidden = hidden + cross_attention(norms[1](looked), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "each answer added to the block's input",
    hint="You add every answer to what came into the block, so that the earlier answers are lost. "
    "Go on with the sum.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    looked = hidden + attention(norms[0](hidden), is_causal=True)
    read = hidden + cross_attention(norms[1](looked), context=memory)
    return hidden + mlp(norms[2](read))


@decoder_block.mistake(
    "answers normalised",
    hint="You normalise what a branch says. Normalise what it reads.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + norms[0](attention(hidden, is_causal=True))
    hidden = hidden + norms[1](cross_attention(hidden, context=memory))
    return hidden + norms[2](mlp(hidden))


@decoder_block.mistake(
    "one stream around both attentions",
    hint="You add once for both attentions: the second reads the first's answer alone. Each is "
    "added by itself.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    looked = attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](looked), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "what was read cut to what is written",
    hint="You cut what was read to the length of what is written. All of it may be seen.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    memory = memory[:, : hidden.size(1)]
    return _decoder(hidden, memory, norms, (attention, cross_attention, mlp))


@decoder_block.mistake(
    "sums divided by the root of 2",
    hint="You divide each sum by the root of 2 to keep its size. Asked for is the plain sum.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    parts = (attention, cross_attention, mlp)
    return _decoder(hidden, memory, norms, parts, after=lambda _, x: x / 2**0.5)


@decoder_block.mistake(
    "the reader reads the written and the read, glued",
    hint="You glue the stream to `memory` and let both be read. Look back is the first branch's; "
    "the second reads `memory` alone.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    normal = norms[1](hidden)
    both = torch.cat([memory, normal], 1)
    hidden = hidden + cross_attention(normal, context=both)
    return hidden + mlp(norms[2](hidden))
