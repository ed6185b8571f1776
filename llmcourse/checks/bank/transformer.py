"""The exercises on the transformer's parts: a gate, how weights begin, how many there are.

Weights are stored as `nn.Linear` stores them, `[out, in]`. Not here: norms (`normalisation.py`),
blocks (`blocks.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 05 teaches this.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import DEFAULT_VARIANTS, Case, case, exercise
from llmcourse.nn import init
from llmcourse.nn.attention import Attention
from llmcourse.nn.blocks import Block
from llmcourse.nn.mlp import SwiGLU
from llmcourse.nn.norms import RMSNorm

CHAPTER = "05"
WITH_GRADIENTS = (*DEFAULT_VARIANTS, "gradients")


# 3. A gate


@exercise(
    CHAPTER, axes="B T D", variants=WITH_GRADIENTS, read="4. What does each position do alone?"
)
def swiglu(
    hidden: Float[Tensor, "B T D"],
    gate: Float[Tensor, "F D"],
    up: Float[Tensor, "F D"],
    down: Float[Tensor, "D F"],
) -> Float[Tensor, "B T D"]:
    """`down (silu(gate x) * (up x))` for each token."""
    return (F.silu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.cases
def _() -> Iterator[Case]:
    one = torch.ones(1, 1)
    yield case("by hand", torch.full((1, 1, 1), 2.0), one, 3 * one, one)
    yield case("two texts", torch.randn(2, 3, 4), *_matrices(4, 6))
    yield case("one token", torch.randn(1, 1, 5), *_matrices(5, 2))
    yield case("as wide as the model", 2 * torch.randn(1, 4, 4), *_matrices(4, 4))


def _matrices(width: int, wider: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(wider, width), torch.randn(wider, width), torch.randn(width, wider)


@swiglu.mistake(
    "silu at the very end",
    hint="silu bends the gate's branch, before the two meet and long before `down`.",
)
def _(hidden, gate, up, down):
    return F.silu(((hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT)


@swiglu.mistake(
    "tanh instead of silu",
    hint="silu(x) is x times sigmoid(x). It has no upper end; tanh ends at 1.",
)
def _(hidden, gate, up, down):
    return (torch.tanh(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "ReLU instead of SiLU",
    hint="That is ReGLU. silu(x) is x times sigmoid(x): smooth, and a little below 0 "
    "for negative x.",
)
def _(hidden, gate, up, down):
    return (F.relu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "both branches bent",
    hint="silu belongs to the gate's branch alone.",
)
def _(hidden, gate, up, down):
    return (F.silu(hidden @ gate.mT) * F.silu(hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "nothing is bent",
    hint="Without silu the gate is one more matrix. It stands around gate x.",
)
def _(hidden, gate, up, down):
    return ((hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "the gate and the rest swapped",
    hint="silu belongs to the *gate's* branch. The other one passes as it is.",
)
def _(hidden, gate, up, down):
    return ((hidden @ gate.mT) * F.silu(hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "silu of the product",
    hint="The gate is bent before it meets the other branch, not after.",
)
def _(hidden, gate, up, down):
    return F.silu((hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "a sigmoid for a gate",
    hint="That is GLU, the ancestor (Dauphin et al., 2017). silu(x) is x times sigmoid(x).",
)
def _(hidden, gate, up, down):
    return (torch.sigmoid(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "added instead of multiplied",
    hint="A gate decides how much passes: it multiplies.",
)
def _(hidden, gate, up, down):
    return (F.silu(hidden @ gate.mT) + (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "GELU instead of SiLU",
    hint="That is GEGLU, which T5 v1.1 uses. SwiGLU bends its gate with silu.",
)
def _(hidden, gate, up, down):
    return (F.gelu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "no gate at all",
    hint="One branch is missing: where does `up` enter?",
)
def _(hidden, gate, up, down):
    return F.silu(hidden @ gate.mT) @ down.mT


# 5. How weights begin


@exercise(CHAPTER, read="6. How should the weights begin?")
def initial_std(shape: tuple[int, int], rule: str) -> float:
    """The deviation of a matrix `[out, in]` by `xavier`, `kaiming` (in) or `kaiming_out`."""
    fan_out, fan_in = shape
    if rule == "xavier":
        return init.xavier_std(fan_in, fan_out)
    return init.kaiming_std(fan_out if rule == "kaiming_out" else fan_in)


@initial_std.cases
def _() -> Iterator[Case]:
    yield case("Kaiming by hand", (20, 50), "kaiming")
    yield case("Xavier by hand", (20, 30), "xavier")
    yield case("Kaiming for the gradient", (32, 8), "kaiming_out")
    yield case("wider than tall", (3, 48), "xavier")
    yield case("taller than wide", (45, 5), "xavier")
    yield case("wider than tall, for the gradient", (5, 45), "kaiming_out")
    yield case("an MLP's way up", (256, 64), "kaiming")
    yield case("a square", (64, 64), "kaiming_out")


@initial_std.mistake(
    "kaiming_out takes the fan-in",
    hint='"kaiming_out" keeps the gradient\'s size: its number is the fan-*out*, the first of the '
    "shape.",
)
def _(shape, rule):
    return initial_std.right(shape, rule.removesuffix("_out"))


@initial_std.mistake(
    "the rule is never asked",
    hint="Every rule gives the same number in yours. Where does `rule` enter?",
)
def _(shape, rule):
    return initial_std.right(shape, "kaiming")


@initial_std.mistake(
    "in and out swapped",
    hint='`nn.Linear(in, out)` stores [out, in]: "kaiming" takes the second number, '
    '"kaiming_out" the first.',
)
def _(shape, rule):
    return initial_std.right(shape if rule == "xavier" else shape[::-1], rule)


@initial_std.mistake(
    "the product, not the sum",
    hint="Xavier has the *sum* of fan-in and fan-out under its root.",
)
def _(shape, rule):
    if rule == "xavier":
        return math.sqrt(2 / (shape[0] * shape[1]))
    return initial_std.right(shape, rule)


@initial_std.mistake(
    "`** 1/2` divides last",
    hint="Python reads `x ** 1/2` as `(x ** 1) / 2`. Write `** 0.5`, or `math.sqrt`.",
)
def _(shape, rule):
    return initial_std.right(shape, rule) ** 2 / 2


@initial_std.mistake(
    "one over the root of the fan-in",
    hint="That is the rule of LeCun, for layers without ReLU. All three of these have a 2 on top.",
)
def _(shape, rule):
    return 1 / math.sqrt(shape[1])


@initial_std.mistake(
    "the variance",
    hint="That is the variance. The deviation is its root.",
)
def _(shape, rule):
    return initial_std.right(shape, rule) ** 2


@initial_std.mistake(
    "Kaiming without its two",
    hint="A ReLU throws away half of the variance, so the weights need twice as much.",
)
def _(shape, rule):
    return initial_std.right(shape, rule) / (1 if rule == "xavier" else math.sqrt(2))


@initial_std.mistake(
    "Xavier without its two",
    hint="Xavier takes the *mean* of fan-in and fan-out: 1 over (in + out) / 2.",
)
def _(shape, rule):
    return initial_std.right(shape, rule) / (math.sqrt(2) if rule == "xavier" else 1)


@initial_std.mistake(
    "the bound of the uniform distribution",
    hint="√(6 / ...) is how far a uniform distribution reaches. Its deviation is that over √3.",
)
def _(shape, rule):
    return initial_std.right(shape, rule) * math.sqrt(3)


# 6. Predict, then decide


@value(CHAPTER, rel=0.03, read="3. Before the branch, or after the sum?")
def stream_size() -> float:
    """The size of a stream of size 1 after 36 blocks that add two independent vectors of size 1."""
    return math.sqrt(1 + 2 * 36)


@stream_size.mistake(
    "one vector a block, and sizes added up without the start",
    hint="A block adds twice, squares add up and not sizes, and the stream began with 1.",
)
def _():
    return 36


@stream_size.mistake(
    "sizes added up, and the start left out",
    hint="Independent vectors do not all point the same way: their *squares* add up.",
)
def _():
    return 2 * 36


@stream_size.mistake(
    "one addition a block, and the start left out",
    hint="A block adds twice: once for attention, once for the MLP. And it began with 1.",
)
def _():
    return math.sqrt(36)


@stream_size.mistake(
    "at right angles within a block, all alike from block to block",
    hint="You added 36 times the root of 2. Blocks are independent too: all *squares* add up, and "
    "the root comes last.",
)
def _():
    return 36 * math.sqrt(2)


@stream_size.mistake(
    "all alike within a block, at right angles from block to block",
    hint="The two vectors of a block are independent too: together they have the mean square 2, "
    "not 4.",
)
def _():
    return math.sqrt(1 + 4 * 36)


@stream_size.mistake(
    "three additions a block",
    hint="A block adds twice, as the text says: once for attention, once for the MLP.",
)
def _():
    return math.sqrt(1 + 3 * 36)


@stream_size.mistake(
    "doubled in each block",
    hint="Nothing is multiplied: each block adds vectors of size 1, however large the stream is.",
)
def _():
    return 2**36


@stream_size.mistake(
    "sizes added up",
    hint="Independent vectors do not all point the same way: their *squares* add up. You have the "
    "mean square; what is its root?",
)
def _():
    return 1 + 2 * 36


@stream_size.mistake(
    "one addition a block",
    hint="A block adds twice: once for attention, once for the MLP.",
)
def _():
    return math.sqrt(1 + 36)


@stream_size.mistake(
    "one addition a block, and sizes added up",
    hint="A block adds twice, and of independent vectors the squares add up, not the sizes.",
)
def _():
    return 1 + 36


@stream_size.mistake(
    "it stays 1",
    hint="In post-norm it would. Here no norm stands on the stream: what is added stays.",
)
def _():
    return 1


which_cure = choice(
    CHAPTER,
    "which_cure",
    read="3. Before the branch, or after the sum?",
    right=(
        "b",
        "At the beginning the blocks at the top of a post-norm stack get gradients that do not "
        "shrink with depth, and steps of full size throw them off. A slow start, or pre-norm.",
    ),
    wrong={
        "a": "A larger rate makes the first steps more violent, and they are what breaks it.",
        "c": "A wider model has the same norms in the same places, and a lower best rate.",
        "d": "Dropout fights memorising. A model on a plateau has memorised nothing.",
    },
)


# 7. Count


@exercise(CHAPTER, read="11. Where do the parameters sit, and what does a pass cost?")
def block_parameters(d_model: int, n_heads: int, n_kv_heads: int, head_dim: int, d_ff: int) -> int:
    """The parameters of a Llama block: grouped attention, SwiGLU, two RMSNorms; no biases."""
    with torch.device("meta"):
        made = Block(
            RMSNorm(d_model),
            Attention(d_model=d_model, n_heads=n_heads, n_kv_heads=n_kv_heads, head_dim=head_dim),
            RMSNorm(d_model),
            SwiGLU(d_model, d_ff),
        )
    return sum(parameter.numel() for parameter in made.parameters())


@block_parameters.cases
def _() -> Iterator[Case]:
    yield case("by hand", 4, 2, 1, 2, 3)
    yield case("every head its own keys", 64, 4, 4, 16, 256)
    yield case("heads wider than their share", 64, 4, 2, 32, 128)
    yield case("Llama 3 8B", 4096, 32, 8, 128, 14_336)
    yield case("all sizes different", 5, 6, 3, 7, 11)


def _counted(
    d_model: int, queries: int, keys: int, d_ff: int, *, matrices: int = 3, n_norms: int = 2
) -> int:
    """The count, from the widths of the queries and of the keys."""
    return 2 * d_model * (queries + keys) + matrices * d_model * d_ff + n_norms * d_model


@block_parameters.mistake(
    "norms inside of attention too",
    hint="Some newer models normalise queries and keys as well. Llama's block has two norms.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return block_parameters.right(d_model, n_heads, n_kv_heads, head_dim, d_ff) + 2 * head_dim


@block_parameters.mistake(
    "the stream taken to be as wide as the heads",
    hint="D is given, and H K need not be D: the matrices lead from one width to the other.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return block_parameters.right(n_heads * head_dim, n_heads, n_kv_heads, head_dim, d_ff)


@block_parameters.mistake(
    "two matrices in the MLP, and no norms",
    hint="Two things are missing: SwiGLU has a third matrix, and each norm has D numbers.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    wide, narrow = n_heads * head_dim, n_kv_heads * head_dim
    return _counted(d_model, wide, narrow, d_ff, matrices=2, n_norms=0)


@block_parameters.mistake(
    "with biases",
    hint="Llama's matrices have no biases: [out, in] numbers each, and no more.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    whole = block_parameters.right(d_model, n_heads, n_kv_heads, head_dim, d_ff)
    return whole + (n_heads + 2 * n_kv_heads) * head_dim + 2 * d_model + 2 * d_ff


@block_parameters.mistake(
    "norms with a bias",
    hint="That is LayerNorm, with weight and bias. An RMSNorm has a weight alone: D numbers.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, n_norms=4)


@block_parameters.mistake(
    "a third norm",
    hint="The last norm stands behind all blocks, and belongs to none. A block has two.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, n_norms=3)


@block_parameters.mistake(
    "one matrix in the MLP",
    hint="You counted the way up alone. SwiGLU has a second one, its gate, and a way back down.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, matrices=1)


@block_parameters.mistake(
    "keys without values",
    hint="k_proj and v_proj are two matrices of the same shape.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    whole = _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff)
    return whole - d_model * n_kv_heads * head_dim


@block_parameters.mistake(
    "four square matrices",
    hint="Q, K, V and O are [D, D] in the first transformers. Here their sizes come from "
    "H, G and K.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, d_model, d_model, d_ff)


@block_parameters.mistake(
    "the heads' width forgotten",
    hint="A head makes K numbers, not one: q_proj is [H K, D].",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads, n_kv_heads, d_ff)


@block_parameters.mistake(
    "one head of each",
    hint="You counted one query head and one key head. There are H and G of them.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, head_dim, head_dim, d_ff)


@block_parameters.mistake(
    "o_proj as narrow as the keys",
    hint="o_proj brings all H query heads back to the stream: [D, H K].",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    whole = _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff)
    return whole + d_model * head_dim * (n_kv_heads - n_heads)


@block_parameters.mistake(
    "o_proj is square",
    hint="o_proj takes all heads, H K numbers, and H K need not be D.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    whole = _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff)
    return whole + d_model * (d_model - n_heads * head_dim)


@block_parameters.mistake(
    "as wide as four models",
    hint="4 D is the old feed-forward width. Here it is given: F.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, 4 * d_model)


@block_parameters.mistake(
    "attention alone",
    hint="A block has a feed-forward part as well: three matrices.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, matrices=0)


@block_parameters.mistake(
    "norms forgotten",
    hint="Few, but they are learned: an RMSNorm has a weight for each of the D entries, and a "
    "block has two.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, n_norms=0)


@block_parameters.mistake(
    "one norm instead of two",
    hint="Attention has a norm before it, and so has the MLP.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, n_norms=1)


@block_parameters.mistake(
    "two matrices in the MLP",
    hint="SwiGLU has three: up, down and the gate.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff, matrices=2)


@block_parameters.mistake(
    "keys and values for every query head",
    hint="k_proj and v_proj make n_kv_heads heads only; query heads share them.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, n_heads * head_dim, n_heads * head_dim, d_ff)


@block_parameters.mistake(
    "attention without its way out",
    hint="There is a fourth projection: o_proj brings the heads back to the stream.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    whole = _counted(d_model, n_heads * head_dim, n_kv_heads * head_dim, d_ff)
    return whole - d_model * n_heads * head_dim


@block_parameters.mistake(
    "heads taken for the model's width",
    hint="q_proj is [H K, D], and H K need not be D: the head's width is given.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _counted(d_model, d_model, d_model * n_kv_heads // n_heads, d_ff)
