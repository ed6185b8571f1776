"""The exercises on blocks: one from its parts, and one that writes and reads.

Not here: the parts (`transformer.py`), the exercises' texts (`solutions/`), and how checking works
(`harness.py`). Chapter 05 teaches this.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.nn.attention import Attention
from llmcourse.nn.mlp import GELUMLP
from llmcourse.nn.norms import RMSNorm

CHAPTER = "05"
WITH_PARTS = ("non-contiguous",)
"""How cases that hand over modules are run again: a module's weights are of one format."""


class Says(nn.Module):
    """An attention that answers the same number whatever it is asked."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self._number = number

    def forward(self, hidden: Tensor, **_arguments: Any) -> Tensor:
        """That number at every place of `hidden`."""
        return torch.full_like(hidden, self._number)

    def extra_repr(self) -> str:
        """The number."""
        return f"{self._number:g}"


class Doubles(nn.Module):
    """A feed-forward part that doubles what it reads."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Twice `hidden`."""
        return 2 * hidden


# 4. A block


@exercise(CHAPTER, axes="B T D", variants=WITH_PARTS, read="5. How do the parts make a block?")
def block(
    hidden: Float[Tensor, "B T D"],
    norm1: Any,
    attention: Any,
    norm2: Any,
    mlp: Any,
) -> Float[Tensor, "B T D"]:
    """A pre-norm block from its parts, each of which is called with a tensor `B T D`."""
    hidden = hidden + attention(norm1(hidden))
    return hidden + mlp(norm2(hidden))


@block.cases
def _() -> Iterator[Case]:
    five, same = torch.full((1, 1, 1), 5.0), nn.Identity()
    yield case("by hand", five, same, Says(1.0), same, Doubles())
    yield case("a text", torch.randn(1, 4, 8), *_parts(8))
    yield case("two texts, loud ones", 10 * torch.randn(2, 3, 8), *_parts(8))
    yield case("one token", torch.randn(1, 1, 8), *_parts(8))


def _parts(width: int) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
    """A norm, attention, another norm and a feed-forward part, each with weights of its own."""
    attention = Attention(d_model=width, n_heads=2)
    return _norm(width), attention, _norm(width), GELUMLP(width, 2 * width)


def _norm(width: int) -> RMSNorm:
    norm = RMSNorm(width)
    nn.init.uniform_(norm.weight, 0.5, 2.0)
    return norm


@block.mistake(
    "the MLP reads attention's answer alone",
    hint="The MLP reads the whole stream, to which attention's answer has been *added*.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return hidden + mlp(norm2(attention(norm1(hidden))))


@block.mistake(
    "a norm at the end",
    hint="The branches are right. Nothing stands on the stream: the last sum is what comes out.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return norm2(block.right(hidden, norm1, attention, norm2, mlp))


@block.mistake(
    "both branches read one copy",
    hint="You normalise once, and both branches read it. The MLP has a norm of its own, and reads "
    "the stream after attention has added to it.",
)
def _(hidden, norm1, attention, norm2, mlp):
    copy = norm1(hidden)
    return hidden + attention(copy) + mlp(copy)


@block.mistake(
    "attention's answer is added twice",
    hint="Each answer is added once. Yours has attention's in it twice.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return block.right(hidden, norm1, attention, norm2, mlp) + attention(norm1(hidden))


@block.mistake(
    "what came in is lost",
    hint="Both answers are there, and the stream is not: `hidden + ...`.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return block.right(hidden, norm1, attention, norm2, mlp) - hidden


@block.mistake(
    "the first residual is forgotten",
    hint="What attention answers is added to the stream. In yours it replaces it.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = attention(norm1(hidden))
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "what came in is added at the end",
    hint="The MLP's answer is added to the stream as it is *now*, with attention's answer in it. "
    "You add it to what came in.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return hidden + mlp(norm2(hidden + attention(norm1(hidden))))


@block.mistake(
    "no MLP",
    hint="One branch is missing: after attention comes the MLP, with a norm of its own.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return hidden + attention(norm1(hidden))


@block.mistake(
    "no attention",
    hint="One branch is missing: attention comes first, with a norm of its own.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "the MLP first",
    hint="All parts are there. Attention comes first, then the MLP.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + mlp(norm2(hidden))
    return hidden + attention(norm1(hidden))


@block.mistake(
    "attention reads the stream as it is",
    hint="The first branch has a norm of its own, and you never called it.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(hidden)
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "no norm at all",
    hint="Each branch reads a *normalised* copy of the stream: the norms were never called.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(hidden)
    return hidden + mlp(hidden)


@block.mistake(
    "the branch's answer is normalised",
    hint="The norm stands before its branch, not behind it: `attention(norm1(hidden))`.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + norm1(attention(hidden))
    return hidden + norm2(mlp(hidden))


@block.mistake(
    "the normalised copy is added to",
    hint="The branch reads the copy. Its answer is added to the stream as it was before the norm.",
)
def _(hidden, norm1, attention, norm2, mlp):
    copy = norm1(hidden)
    hidden = copy + attention(copy)
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "the stream counted twice",
    hint="`hidden` enters both sums in full: what came in is there once too often.",
)
def _(hidden, norm1, attention, norm2, mlp):
    after = hidden + attention(norm1(hidden))
    return hidden + after + mlp(norm2(after))


@block.mistake(
    "a causal mask that nobody asked for",
    hint="The parts are called with a tensor alone. Whether attention may look ahead is not this "
    "block's business.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden), is_causal=True)
    return hidden + mlp(norm2(hidden))


@block.mistake(
    "post-norm",
    hint="You normalise the sum. In pre-norm the norm stands on the branch, and nothing stands on "
    "the stream.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = norm1(hidden + attention(hidden))
    return norm2(hidden + mlp(hidden))


@block.mistake(
    "the residual is forgotten",
    hint="Each branch replaces the stream. It should be added: `hidden + ...`, twice.",
)
def _(hidden, norm1, attention, norm2, mlp):
    return mlp(norm2(attention(norm1(hidden))))


@block.mistake(
    "the second residual is forgotten",
    hint="Attention is added, the MLP replaces. Both are added.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return mlp(norm2(hidden))


@block.mistake(
    "the stream itself is normalised",
    hint="`hidden = norm(hidden)` throws the stream away before it is added to. The branch reads a "
    "normalised *copy*; what is added to is the stream as it was.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = norm1(hidden)
    hidden = hidden + attention(hidden)
    hidden = norm2(hidden)
    return hidden + mlp(hidden)


@block.mistake(
    "both branches read what came in",
    hint="The MLP should read the stream after attention has added to it. (Side by side is another "
    "design, of GPT-J and PaLM.)",
)
def _(hidden, norm1, attention, norm2, mlp):
    return hidden + attention(norm1(hidden)) + mlp(norm2(hidden))


@block.mistake(
    "the MLP reads the stream as it is",
    hint="The second branch has a norm of its own, and you never called it.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return hidden + mlp(hidden)


@block.mistake(
    "one norm for both branches",
    hint="norm1 and norm2 have learned weights of their own, and in these cases they differ.",
)
def _(hidden, norm1, attention, norm2, mlp):
    hidden = hidden + attention(norm1(hidden))
    return hidden + mlp(norm1(hidden))


# 8. A block that writes and reads


@exercise(CHAPTER, axes="B T D", variants=WITH_PARTS, read="7. Which mask makes which machine?")
def decoder_block(
    hidden: Float[Tensor, "B T D"],
    memory: Float[Tensor, "B S D"],
    norms: tuple[Any, Any, Any],
    attention: Any,
    cross_attention: Any,
    mlp: Any,
) -> Float[Tensor, "B T D"]:
    """A pre-norm block that looks back, looks at `memory`, and thinks; from its parts."""
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.cases
def _() -> Iterator[Case]:
    five, ten, same = torch.full((1, 1, 1), 5.0), torch.full((1, 1, 1), 10.0), nn.Identity()
    yield case("by hand", five, ten, (same, same, same), Says(1.0), Says(10.0), Doubles())
    yield case("three write, five were read", torch.randn(1, 3, 8), *_reading(1, 5, 8))
    yield case("as many written as read", torch.randn(2, 4, 8), *_reading(2, 4, 8))
    yield case("the first sign", torch.randn(1, 1, 8), *_reading(1, 6, 8))
    yield case("one word read", 3 * torch.randn(1, 4, 8), *_reading(1, 1, 8))


def _reading(batch: int, n_keys: int, width: int) -> tuple[Any, ...]:
    """A memory, and the parts of a block that reads it."""
    norm1, attention, norm2, mlp = _parts(width)
    cross_attention = Attention(d_model=width, n_heads=2)
    parts = (norm1, norm2, _norm(width)), attention, cross_attention, mlp
    return 2 * torch.randn(batch, n_keys, width), *parts


@decoder_block.mistake(
    "thinking before reading",
    hint="All parts are there. The order is: look back, look at what was read, then think.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + mlp(norms[2](hidden))
    return hidden + cross_attention(norms[1](hidden), context=memory)


@decoder_block.mistake(
    "no norms",
    hint="Each branch reads a *normalised* copy of the stream: the norms were never called.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(hidden, is_causal=True)
    hidden = hidden + cross_attention(hidden, context=memory)
    return hidden + mlp(hidden)


@decoder_block.mistake(
    "the thought is not normalised",
    hint="The third branch has a norm of its own, and you never called it.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(hidden)


@decoder_block.mistake(
    "looking back is not normalised",
    hint="The first branch has a norm of its own, and you never called it.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(hidden, is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "one attention for both",
    hint="`cross_attention` has weights of its own: it is the one that looks at the memory.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the second norm again for thinking",
    hint="Three branches, three norms. The third one is for the MLP.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[1](hidden))


@decoder_block.mistake(
    "the first norm again for reading",
    hint="Three branches, three norms. The second one is for the stream that asks the memory.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[0](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "what came in asks the memory",
    hint="The stream that asks has attention's answer in it already. Yours asks as it came in.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    after = hidden + attention(norms[0](hidden), is_causal=True)
    after = after + cross_attention(norms[1](hidden), context=memory)
    return after + mlp(norms[2](after))


@decoder_block.mistake(
    "both attentions look at the memory",
    hint="The first looks back at what has been written; only `cross_attention` gets the memory.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), context=memory)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the memory asks",
    hint="Who is writing asks: the first argument of `cross_attention` is the normalised stream, "
    "and `memory` is the context.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(memory, context=norms[1](hidden))
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the memory asks, normalised",
    hint="Who is writing asks: norm2 and the first argument of `cross_attention` are for the "
    "stream. `memory` is the context.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](memory), context=hidden)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "post-norm",
    hint="You normalise the sums. In pre-norm the norm stands on the branch, and nothing stands on "
    "the stream.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = norms[0](hidden + attention(hidden, is_causal=True))
    hidden = norms[1](hidden + cross_attention(hidden, context=memory))
    return norms[2](hidden + mlp(hidden))


@decoder_block.mistake(
    "the stream itself is normalised",
    hint="A branch reads a normalised *copy*; what is added to is the stream as it was.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = norms[0](hidden)
    hidden = hidden + attention(hidden, is_causal=True)
    hidden = norms[1](hidden)
    hidden = hidden + cross_attention(hidden, context=memory)
    hidden = norms[2](hidden)
    return hidden + mlp(hidden)


@decoder_block.mistake(
    "all branches read what came in",
    hint="Each branch reads the stream after the one before has added to it.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    back = attention(norms[0](hidden), is_causal=True)
    read = cross_attention(norms[1](hidden), context=memory)
    return hidden + back + read + mlp(norms[2](hidden))


@decoder_block.mistake(
    "looking back is forgotten",
    hint="The first branch is missing: `attention`, at what has been written.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "thinking is forgotten",
    hint="The third branch is missing: `mlp`, with the third norm.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    return hidden + cross_attention(norms[1](hidden), context=memory)


@decoder_block.mistake(
    "the residuals are forgotten",
    hint="Each branch replaces the stream. It should be added: `hidden + ...`, three times.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = attention(norms[0](hidden), is_causal=True)
    hidden = cross_attention(norms[1](hidden), context=memory)
    return mlp(norms[2](hidden))


@decoder_block.mistake(
    "the thought replaces the stream",
    hint="The MLP's answer is added to the stream, as everything is.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return mlp(norms[2](hidden))


@decoder_block.mistake(
    "looking back replaces the stream",
    hint="What the first attention answers is added to the stream, as everything is.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the two attentions exchanged",
    hint="`attention` looks at what is written, `cross_attention` at the memory. You gave each the "
    "other's work.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + cross_attention(norms[0](hidden), is_causal=True)
    hidden = hidden + attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "what is read is not asked for by a normalised stream",
    hint="The second branch has a norm of its own, for the stream that asks. You never called it.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(hidden, context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the norms in reverse",
    hint="`norms` holds one for each branch, in their order: the first is for looking back.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[2](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[0](hidden))


@decoder_block.mistake(
    "the future is in sight, and a causal mask on what was read",
    hint="The causal mask is at the wrong attention: it belongs to looking back.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden))
    hidden = hidden + cross_attention(norms[1](hidden), context=memory, is_causal=True)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the future is in sight",
    hint="Writing positions may look at themselves and the past: `is_causal=True`, for the first "
    "attention.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden))
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "a causal mask on what was read",
    hint="The source is no secret: each writing position may look at all of it. The causal mask is "
    "for the first attention alone.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=memory, is_causal=True)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "nothing is read",
    hint="Your second attention looks at the writing itself. Where does `memory` enter?",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden))
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "reading before looking back",
    hint="All parts are there. The order is: look at what is written, then at what was read, then "
    "think.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + cross_attention(norms[1](hidden), context=memory)
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "the memory is normalised again",
    hint="The encoder's final norm has done that. norm2 is for the stream that asks.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[1](hidden), context=norms[1](memory))
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "what was read replaces what was written",
    hint="The result of cross-attention is added to the stream, as everything is.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = cross_attention(norms[1](hidden), context=memory)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "no cross-attention",
    hint="That is GPT's block. This one has a third branch, between the two that you have.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    return hidden + mlp(norms[2](hidden))


@decoder_block.mistake(
    "one norm for all",
    hint="Three branches, three norms: each has learned weights of its own.",
)
def _(hidden, memory, norms, attention, cross_attention, mlp):
    hidden = hidden + attention(norms[0](hidden), is_causal=True)
    hidden = hidden + cross_attention(norms[0](hidden), context=memory)
    return hidden + mlp(norms[0](hidden))
