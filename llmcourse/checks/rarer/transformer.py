"""Rarer mistakes of the exercises on the transformer's parts. Chapter 05 teaches this."""

import math

import torch
from torch.nn import functional

from llmcourse.checks.bank.transformer import (
    block_parameters,
    initial_std,
    stream_size,
    swiglu,
)


def _gated(hidden, gate, up, down, bend=functional.silu):
    return (bend(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


def _bent(name, hint, bend):
    """The gate goes through another bend than SiLU."""

    @swiglu.mistake(name, hint=hint)
    def _(hidden, gate, up, down):
        return _gated(hidden, gate, up, down, bend)


_bent(
    "the tanh form of GELU",
    "You bend the gate by GELU, in its form with a tanh. It is SiLU: x times its sigmoid.",
    lambda x: functional.gelu(x, approximate="tanh"),
)
_bent(
    "the quick form of GELU",
    "You multiply by sigmoid(1.702 x), which stands for GELU. SiLU has no factor in its sigmoid.",
    lambda x: x * torch.sigmoid(1.702 * x),
)
_bent(
    "a hard swish",
    "You bend the gate by pieces of straight lines (hard swish). SiLU is smooth: x times its "
    "sigmoid.",
    functional.hardswish,
)
_bent(
    "mish for a gate",
    "You bend the gate by mish. It is SiLU: x times its sigmoid.",
    functional.mish,
)
_bent(
    "softplus for a gate",
    "You bend the gate by softplus. It is SiLU: x times its sigmoid.",
    functional.softplus,
)
_bent(
    "ELU for a gate",
    "You bend the gate by ELU. It is SiLU: x times its sigmoid.",
    functional.elu,
)
_bent(
    "SELU for a gate",
    "You bend the gate by SELU, one letter from SiLU. Asked for is x times its sigmoid.",
    functional.selu,
)
_bent(
    "a leaky ReLU for a gate",
    "You bend the gate by a leaky ReLU. It is SiLU: x times its sigmoid.",
    functional.leaky_relu,
)
_bent(
    "the square of a ReLU",
    "You bend the gate by the square of a ReLU. It is SiLU: x times its sigmoid.",
    lambda x: x.relu().square(),
)
_bent(
    "x times its tanh",
    "You multiply the gate by its own tanh. SiLU multiplies by the sigmoid.",
    lambda x: x * x.tanh(),
)
_bent(
    "a sigmoid of minus x",
    "Your sigmoid has the wrong sign inside. SiLU is x times the sigmoid of x.",
    lambda x: x * torch.sigmoid(-x),
)
_bent(
    "the slope of the sigmoid",
    "You multiply the sigmoid by 1 less itself, which is its slope. SiLU multiplies it by x.",
    lambda x: x.sigmoid() * (1 - x.sigmoid()),
)
_bent(
    "the logarithm of the sigmoid",
    "You bend the gate by the logarithm of its sigmoid. SiLU is x times the sigmoid.",
    functional.logsigmoid,
)
_bent(
    "silu twice",
    "You apply silu to what went through silu. Once is enough.",
    lambda x: functional.silu(functional.silu(x)),
)
_bent(
    "silu times x once more",
    "You multiply by the gate although silu has done so. It is x times its sigmoid already.",
    lambda x: x * functional.silu(x),
)
_bent(
    "a softmax over the gate",
    "You turn the gate into shares that sum to 1. Each entry is bent by itself, by silu.",
    lambda x: x.softmax(-1),
)
_bent(
    "a softmax over the positions",
    "You turn the gate into shares over the positions, so that tokens look at each other. "
    "Each entry is bent by itself.",
    lambda x: x.softmax(1),
)
_bent(
    "a gate that only opens",
    "You add 1 to the bent gate. The formula multiplies by silu as it is.",
    lambda x: 1 + functional.silu(x),
)


@swiglu.mistake(
    "silu before the matrix",
    hint="You bend the tokens and multiply by the gate's matrix after. Multiply first, then bend.",
)
def _(hidden, gate, up, down):
    return ((functional.silu(hidden) @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "both matrices read what is bent",
    hint="You bend the tokens before both matrices. What is bent is the gate's answer, and that "
    "alone.",
)
def _(hidden, gate, up, down):
    hidden = functional.silu(hidden)
    return ((hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "both matrices bent, and added",
    hint="You add two bent branches. One is bent, and the two are multiplied.",
)
def _(hidden, gate, up, down):
    return (functional.silu(hidden @ gate.mT) + functional.silu(hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "one minus the gate for the rest",
    hint="You blend two branches as a highway does, by the gate and 1 less the gate. Here the gate "
    "multiplies, and nothing is blended.",
)
def _(hidden, gate, up, down):
    g = torch.sigmoid(hidden @ gate.mT)
    return (g * (hidden @ up.mT) + (1 - g) * (hidden @ gate.mT)) @ down.mT


@swiglu.mistake(
    "an MLP without the gate",
    hint="You bend what `up` says and leave the gate out. Its answer is bent, and multiplies.",
)
def _(hidden, gate, up, down):
    return functional.silu(hidden @ up.mT) @ down.mT


@swiglu.mistake(
    "the matrices reshaped, not turned",
    hint="You reshape the matrices so that the product fits. That mixes their rows: they have to "
    "be transposed.",
)
def _(hidden, gate, up, down):
    f, d = gate.shape
    gate, up, down = gate.reshape(d, f), up.reshape(d, f), down.reshape(f, d)
    return (functional.silu(hidden @ gate) * (hidden @ up)) @ down


@swiglu.mistake(
    "the first two reshaped, not turned",
    hint="You reshape `gate` and `up` to `[D, F]`. That mixes their rows: they have to be "
    "transposed.",
)
def _(hidden, gate, up, down):
    f, d = gate.shape
    gate, up = gate.reshape(d, f), up.reshape(d, f)
    return (functional.silu(hidden @ gate) * (hidden @ up)) @ down.mT


@swiglu.mistake(
    "`down` reshaped, not turned",
    hint="You reshape `down` to `[F, D]`. That mixes its rows: it has to be transposed.",
)
def _(hidden, gate, up, down):
    return (functional.silu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.reshape(gate.shape)


@swiglu.mistake(
    "one of the inner matrices for the way back",
    hint="You go back to the width by `up` again. It is `down` that does so.",
)
def _(hidden, gate, up, down):
    return (functional.silu(hidden @ gate.mT) * (hidden @ up.mT)) @ up


@swiglu.mistake(
    "every other column the gate",
    hint="You glue gate and up and take every other column for the gate. The first half is the "
    "gate's.",
)
def _(hidden, gate, up, down):
    both = hidden @ torch.cat([gate, up]).mT
    return (functional.silu(both[..., ::2]) * both[..., 1::2]) @ down.mT


_bent(
    "the gate cut off the graph",
    "You detach the bent gate. Gradients flow back to all three matrices.",
    lambda x: functional.silu(x).detach(),
)


@swiglu.mistake(
    "divided by the root of the inner width",
    hint="You divide by the root of F, as attention does with its width. Nothing is scaled here.",
)
def _(hidden, gate, up, down):
    return _gated(hidden, gate, up, down) / gate.size(0) ** 0.5


@swiglu.mistake(
    "a gate at the end",
    hint="You gate what comes out, and add. The gate multiplies inside, before `down`.",
)
def _(hidden, gate, up, down):
    return functional.silu(hidden @ gate.mT @ down.mT) * (hidden @ up.mT @ down.mT)


@swiglu.mistake(
    "a tanh and a sigmoid, as an LSTM has them",
    hint="You multiply a sigmoid by a tanh, as an LSTM does. One branch goes through silu, the "
    "other stays as it is.",
)
def _(hidden, gate, up, down):
    return (torch.sigmoid(hidden @ gate.mT) * torch.tanh(hidden @ up.mT)) @ down.mT


@swiglu.mistake(
    "the gated product, bent once more",
    hint="You bend the product as well. silu stands once, around the gate.",
)
def _(hidden, gate, up, down):
    return functional.silu(functional.silu(hidden @ gate.mT) * (hidden @ up.mT)) @ down.mT


# How weights begin


def _std(shape, rule, kaiming=None, kaiming_out=None, xavier=None):
    n_out, n_in = shape
    found = {"kaiming": kaiming, "kaiming_out": kaiming_out, "xavier": xavier}[rule]
    if found is not None:
        return found(n_in, n_out)
    by = {"kaiming": n_in, "kaiming_out": n_out, "xavier": n_in + n_out}
    return math.sqrt(2 / by[rule])


@initial_std.mistake(
    "Xavier with a 6",
    hint="For Xavier you have the 6 of the uniform distribution's bound. A deviation has a 2.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(6 / (i + o)))


@initial_std.mistake(
    "Xavier with the mean of both deviations",
    hint="For Xavier you average the deviations of the other two rules. The fans are added under "
    "one root.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: (math.sqrt(2 / i) + math.sqrt(2 / o)) / 2)


@initial_std.mistake(
    "Xavier with the mean of the fans",
    hint="For Xavier you divide 2 by the mean of both fans: that is a 4 over their sum.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(4 / (i + o)))


@initial_std.mistake(
    "Xavier by the geometric mean",
    hint="For Xavier you take the root of the product of the fans. They are added.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2 / math.sqrt(i * o)))


@initial_std.mistake(
    "Xavier by both roots",
    hint="For Xavier you add the roots of the fans. The fans are added, and the root comes last.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2) / (math.sqrt(i) + math.sqrt(o)))


@initial_std.mistake(
    "Xavier with the larger fan",
    hint="For Xavier you divide by the larger of the fans. They are added.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2 / max(i, o)))


@initial_std.mistake(
    "Xavier with the smaller fan",
    hint="For Xavier you divide by the smaller of the fans. They are added.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2 / min(i, o)))


@initial_std.mistake(
    "Xavier with the difference",
    hint="For Xavier you subtract the fans. They are added.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2 / max(abs(i - o), 1)))


@initial_std.mistake(
    "Xavier taken for Kaiming",
    hint="You use the fan-in for Xavier, too. It is the sum of both fans.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(2 / i))


@initial_std.mistake(
    "Xavier taken for LeCun",
    hint="For Xavier you divide 1 by the fan-in (LeCun). It is 2, by both fans together.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: math.sqrt(1 / i))


@initial_std.mistake(
    "the variance of Xavier",
    hint="For Xavier you return the variance. The root is missing.",
)
def _(shape, rule):
    return _std(shape, rule, xavier=lambda i, o: 2 / (i + o))


@initial_std.mistake(
    "2 over the root",
    hint="The 2 stands outside of your root. It is inside.",
)
def _(shape, rule):
    return math.sqrt(2) * _std(shape, rule)


@initial_std.mistake(
    "GPT-2's number",
    hint="You return 0.02, which GPT-2 uses for every matrix. These rules look at the shape.",
)
def _(shape, rule):
    return 0.02


@initial_std.mistake(
    "torch's default of a linear layer",
    hint="You return the deviation with which `nn.Linear` begins, a root of 1/3 over the fan-in. "
    "The rules are in the text.",
)
def _(shape, rule):
    return math.sqrt(1 / (3 * shape[1]))


@initial_std.mistake(
    "the Kaiming rules with the uniform distribution's 6",
    hint="For Kaiming you return the bound of a uniform distribution. Asked for is the deviation.",
)
def _(shape, rule):
    six = (lambda i, o: math.sqrt(6 / i)), (lambda i, o: math.sqrt(6 / o))
    return _std(shape, rule, *six)


@initial_std.mistake(
    "Kaiming for a leaky slope of the root of 5",
    hint="You have the gain of a leaky ReLU with torch's slope. A plain ReLU has a 2 under the "
    "root.",
)
def _(shape, rule):
    gain = math.sqrt(2 / (1 + 5))
    return _std(shape, rule, lambda i, o: gain / math.sqrt(i), lambda i, o: gain / math.sqrt(o))


@initial_std.mistake(
    "the gradient's rule without its 2",
    hint="For `kaiming_out` you divide 1 by the fan-out. All three rules have a 2.",
)
def _(shape, rule):
    return _std(shape, rule, kaiming_out=lambda i, o: math.sqrt(1 / o))


@initial_std.mistake(
    "the signal's rule without its 2",
    hint="For `kaiming` you divide 1 by the fan-in. All three rules have a 2.",
)
def _(shape, rule):
    return _std(shape, rule, kaiming=lambda i, o: math.sqrt(1 / i))


@initial_std.mistake(
    "the number of weights as the fan",
    hint="You divide by the number of all weights of the matrix. A fan is one side of it.",
)
def _(shape, rule):
    return math.sqrt(2 / (shape[0] * shape[1]))


@initial_std.mistake(
    "both fans whatever the rule",
    hint="You divide by the sum of the fans for every rule. Only Xavier does.",
)
def _(shape, rule):
    return math.sqrt(2 / (shape[0] + shape[1]))


@initial_std.mistake(
    "the gradient's rule takes both fans",
    hint="For `kaiming_out` you divide by both fans together. It is the fan-out alone.",
)
def _(shape, rule):
    return _std(shape, rule, kaiming_out=lambda i, o: math.sqrt(2 / (i + o)))


@initial_std.mistake(
    "the cube root",
    hint="You take a third root. It is a square root.",
)
def _(shape, rule):
    return _std(shape, rule) ** (2 / 3)


@initial_std.mistake(
    "the sum of both fans for the signal",
    hint="You exchanged `kaiming` and `xavier`. Kaiming asks for one fan, Xavier for both.",
)
def _(shape, rule):
    return _std(shape, {"kaiming": "xavier", "xavier": "kaiming"}.get(rule, rule))


@initial_std.mistake(
    "a sample's deviation",
    hint="You draw weights and measure their deviation. The rule gives it exactly.",
)
def _(shape, rule):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return (_std(shape, rule) * drawn).std().item()


# How many numbers are learned


def _block(d, h, g, k, f, q=None, o=None, kv=None, mlp=None, norms=None):
    q, o = h * k * d if q is None else q, h * k * d if o is None else o
    kv = 2 * g * k * d if kv is None else kv
    mlp, norms = 3 * d * f if mlp is None else mlp, 2 * d if norms is None else norms
    return q + o + kv + mlp + norms


@block_parameters.mistake(
    "biases of the attention alone",
    hint="You count biases of the four projections. There are none.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    d, h, g, k, f = d_model, n_heads, n_kv_heads, head_dim, d_ff
    return _block(d, h, g, k, f) + h * k + 2 * g * k + d


@block_parameters.mistake(
    "biases of queries, keys and values",
    hint="You count biases of queries, keys and values (Qwen has them). Llama has none.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    d, h, g, k, f = d_model, n_heads, n_kv_heads, head_dim, d_ff
    return _block(d, h, g, k, f) + h * k + 2 * g * k


@block_parameters.mistake(
    "biases of the MLP alone",
    hint="You count biases of the three matrices of the MLP. There are none.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    d, h, g, k, f = d_model, n_heads, n_kv_heads, head_dim, d_ff
    return _block(d, h, g, k, f) + 2 * f + d


@block_parameters.mistake(
    "a single number for each norm",
    hint="You count one weight for each norm. It has one for each entry of the stream.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, norms=2)


@block_parameters.mistake(
    "a norm as wide as the feed-forward part",
    hint="You give the second norm the width of the MLP. It reads the stream, before it is made "
    "wide.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, norms=d_model + d_ff)


@block_parameters.mistake(
    "one projection of keys and values for all query heads' groups",
    hint="You count one head of keys and one of values (multi-query attention). There are as many "
    "as `n_kv_heads`.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, 1, head_dim, d_ff)


@block_parameters.mistake(
    "query heads divided by key heads",
    hint="You count as many key heads as queries share one. `n_kv_heads` is the number of them.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_heads // n_kv_heads, head_dim, d_ff)


@block_parameters.mistake(
    "a head's width computed from the stream",
    hint="You take the stream's width by the number of heads for a head's. It is given, and often "
    "another.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, d_model // n_heads, d_ff)


@block_parameters.mistake(
    "square queries and way out",
    hint="You count `q_proj` and `o_proj` as squares of the stream's width. The heads together may "
    "be wider.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    d = d_model
    return _block(d, n_heads, n_kv_heads, head_dim, d_ff, q=d * d, o=d * d)


@block_parameters.mistake(
    "a square for the way out",
    hint="`o_proj` goes from all heads to the stream. You count a square as wide as the heads.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, o=(n_heads * head_dim) ** 2)


@block_parameters.mistake(
    "one head's queries, or its way out",
    hint="You count `q_proj` or `o_proj` for one head. They belong to all heads together.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, q=d_model * head_dim)


@block_parameters.mistake(
    "squares inside of the MLP",
    hint="You count the gate as a square of `d_ff`. All three matrices go between the stream and "
    "the inner width.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    mlp = 2 * d_model * d_ff + d_ff**2
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, mlp=mlp)


@block_parameters.mistake(
    "two thirds of the inner width",
    hint="You take two thirds of `d_ff`, as one does to pay for the gate. It is given as it is.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, 2 * d_ff // 3)


@block_parameters.mistake(
    "the MLP for each head",
    hint="You count one MLP for each head. A block has one.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    mlp = 3 * d_model * d_ff * n_heads
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, mlp=mlp)


@block_parameters.mistake(
    "bytes in 16 bits",
    hint="You count bytes, two for each number. Asked for is how many numbers there are.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return 2 * _block(d_model, n_heads, n_kv_heads, head_dim, d_ff)


@block_parameters.mistake(
    "in millions",
    hint="You divide by a million. Return the number itself.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff) / 1e6


@block_parameters.mistake(
    "keys from the stream of one head",
    hint="You count keys and values with a head's width on both sides. Each reads the whole "
    "stream.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    kv = 2 * n_kv_heads * head_dim**2
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, kv=kv)


@block_parameters.mistake(
    "norms inside of each head",
    hint="You count a norm for each head. Two norms are as wide as the stream.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    norms = 2 * n_heads * head_dim
    return _block(d_model, n_heads, n_kv_heads, head_dim, d_ff, norms=norms)


@block_parameters.mistake(
    "the rule of thumb",
    hint="You use the rule of 12 times the squared width. It holds for GPT-2's shape: here the "
    "widths are given.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return 12 * d_model**2


@block_parameters.mistake(
    "the rule of thumb, with norms",
    hint="You use 4 squares for attention and 8 for the MLP, and add the norms. Here the widths "
    "are given.",
)
def _(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return 12 * d_model**2 + 2 * d_model


# How large the stream is


_THEIR_SIZES = (
    (
        "the start added after the root",
        "You add the 1 of the start to the root. Its square belongs to the sum, under the root.",
        1 + math.sqrt(72),
    ),
    (
        "one addition a block, and the start after the root",
        "A block adds twice, and the start's square belongs under the root with the others.",
        1 + math.sqrt(36),
    ),
    (
        "the root of 2 for each addition",
        "You add 72 times the root of 2. It is the squares that add up, and the root comes last.",
        72 * math.sqrt(2),
    ),
    (
        "a block's two sizes at right angles, the start alike",
        "You add 36 times the root of 2 to the start. Blocks are independent too: all squares add "
        "up, and the root comes last.",
        1 + 36 * math.sqrt(2),
    ),
    (
        "as if the branches were scaled down",
        "You divide by the root of twice the number of blocks, as GPT-2 does. Here each block adds "
        "vectors of size 1.",
        math.sqrt(2),
    ),
    (
        "one block",
        "You have the stream after one block. There are 36.",
        math.sqrt(3),
    ),
    (
        "one block, sizes added up",
        "You have one block, and add sizes. There are 36 of them, and it is the squares that add "
        "up.",
        3,
    ),
    (
        "tripled in each block",
        "Nothing is multiplied: each block adds two vectors of size 1, however large the stream "
        "is.",
        3**36,
    ),
    (
        "doubled by each addition",
        "Nothing is multiplied: each addition is of a vector of size 1, however large the stream "
        "is.",
        2**72,
    ),
    (
        "multiplied by the root of 2 in each block",
        "Only the first addition makes the stream longer by the root of 2. Later ones add to a "
        "longer vector.",
        2**18,
    ),
    (
        "the logarithm of the additions",
        "You take a logarithm. Squares add up, and their root is the size.",
        math.log(73),
    ),
    (
        "the logarithm of the additions to the base 2",
        "You take a logarithm to the base 2. Squares add up, and their root is the size.",
        math.log2(73),
    ),
    (
        "the square of the mean square",
        "You square the sum of the squares. Its root is the size.",
        73**2,
    ),
)

for _name, _hint, _size in _THEIR_SIZES:
    stream_size.mistake(_name, hint=_hint)(lambda size=_size: size)
