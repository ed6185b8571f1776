"""Rarer mistakes of the exercises on one adapter, and on folding it in. Chapter 13 teaches this."""

import torch
import torch.nn.functional as F

from llmcourse.checks.bank.adapters import (
    full_update,
    kept_at_four,
    lora_forward,
    merged_weight,
)


def _scaled_by(name, hint, factor, *, folded_alone=False):
    """The right sum, and most often the right layer, with another `factor(alpha, A, B)`."""

    def layer(x, W, A, B, alpha):
        return x @ W.detach().mT + factor(alpha, A, B) * (x @ A.mT @ B.mT)

    if not folded_alone:
        lora_forward.mistake(name, hint=hint)(layer)

    @merged_weight.mistake(name, hint=hint)
    def _(W, updates, strengths):
        pairs = zip(updates, strengths, strict=True)
        return W + sum((s * factor(alpha, A, B) * (B @ A) for (A, B, alpha), s in pairs), 0 * W)


_scaled_by(
    "alpha over the root of the rank",
    "You divide alpha by the root of the rank, as rsLoRA does. Asked for is alpha over R.",
    lambda alpha, A, B: alpha / len(A) ** 0.5,
    folded_alone=True,
)
_scaled_by(
    "no factor",
    "You leave out the factor, alpha over R.",
    lambda alpha, A, B: 1.0,
    folded_alone=True,
)
_scaled_by(
    "the rank over alpha",
    "Your factor is upside down: it is alpha over R.",
    lambda alpha, A, B: len(A) / alpha,
)
_scaled_by(
    "alpha times the rank",
    "You multiply by the rank. Alpha is divided by it.",
    lambda alpha, A, B: alpha * len(A),
)
_scaled_by(
    "twice alpha over the rank",
    "Your factor has a 2 too many: it is alpha over R.",
    lambda alpha, A, B: 2 * alpha / len(A),
)
_scaled_by(
    "alpha over the square of the rank",
    "You divide by the rank twice.",
    lambda alpha, A, B: alpha / len(A) ** 2,
)
_scaled_by(
    "alpha over the inputs",
    "You divide by the number of inputs. R is the number of A's rows.",
    lambda alpha, A, B: alpha / A.size(1),
    folded_alone=True,
)
_scaled_by(
    "alpha over the outputs",
    "You divide by the number of outputs. R is the number of A's rows.",
    lambda alpha, A, B: alpha / len(B),
)
_scaled_by(
    "alpha over the numbers of A",
    "You divide by how many numbers A has. R is the number of its rows.",
    lambda alpha, A, B: alpha / A.numel(),
)
_scaled_by(
    "alpha squared over the rank",
    "You multiply by alpha twice.",
    lambda alpha, A, B: alpha**2 / len(A),
)
_scaled_by(
    "whole numbers of alpha over the rank",
    "You divide without a remainder. Alpha over R may be a fraction.",
    lambda alpha, A, B: alpha // len(A),
)
_scaled_by(
    "the adapter taken off",
    "You subtract the adapter. It is added.",
    lambda alpha, A, B: -alpha / len(A),
)


def _forward(name, hint, make):
    """Another layer: `make(x, held, A, B, scale)`, where `held` is the matrix without gradients."""

    @lora_forward.mistake(name, hint=hint)
    def _(x, W, A, B, alpha):
        return make(x, W.detach(), A, B, alpha / len(A))


_forward(
    "the factor twice",
    "You use the factor twice, on A and on B.",
    lambda x, W, A, B, s: x @ W.mT + (s * (x @ A.mT)) @ (s * B).mT,
)
_forward(
    "the base and the adapter multiplied",
    "You multiply base and adapter. They are added.",
    lambda x, W, A, B, s: (x @ W.mT) * (s * (x @ A.mT @ B.mT)),
)
_forward(
    "x beside the adapter",
    "You add x in place of W x.",
    lambda x, W, A, B, s: _fit(x, len(B)) + s * (x @ A.mT @ B.mT),
)
_forward(
    "x added as well",
    "You add x as in a residual block. W x and the adapter are all.",
    lambda x, W, A, B, s: _fit(x, len(B)) + x @ W.mT + s * (x @ A.mT @ B.mT),
)
_forward(
    "a GELU between A and B",
    "You put a GELU between A and B, as other adapters have it. In LoRA nothing is between.",
    lambda x, W, A, B, s: x @ W.mT + s * (F.gelu(x @ A.mT) @ B.mT),
)
_forward(
    "a tanh between A and B",
    "You put a tanh between A and B. In LoRA nothing is between.",
    lambda x, W, A, B, s: x @ W.mT + s * (torch.tanh(x @ A.mT) @ B.mT),
)
_forward(
    "half of the adapter dropped",
    "You drop half of what the adapter reads. No dropout is asked for.",
    lambda x, W, A, B, s: x @ W.mT + s * (F.dropout(x, 0.5) @ A.mT @ B.mT),
)
_forward(
    "a tenth of the adapter dropped",
    "You drop a tenth of what the adapter reads. No dropout is asked for.",
    lambda x, W, A, B, s: x @ W.mT + s * (F.dropout(x, 0.1) @ A.mT @ B.mT),
)
_forward(
    "columns of length one, as in DoRA",
    "You scale the new matrix back to W's lengths, as DoRA does. LoRA adds and leaves it at that.",
    lambda x, W, A, B, s: x @ (_as_long(W + s * (B @ A), W)).mT,
)
_forward(
    "summed over the vectors",
    "You add up over the vectors. Each has a result of its own.",
    lambda x, W, A, B, s: (
        (x @ W.mT + s * (x @ A.mT @ B.mT)).flatten(0, -2).sum(0)
        if x.ndim > 1
        else x @ W.mT + s * (x @ A.mT @ B.mT)
    ),
)


def _fit(x, width):
    return F.pad(x, (0, max(0, width - x.size(-1))))[..., :width]


def _as_long(new, old):
    return new / new.norm(dim=1, keepdim=True) * old.norm(dim=1, keepdim=True)


@lora_forward.mistake(
    "the first row of A and column of B alone",
    hint="You use a single row of A. All R of them count.",
)
def _(x, W, A, B, alpha):
    return x @ W.detach().mT + alpha / len(A) * (x @ A[:1].mT @ B[:, :1].mT)


def _sum(W, updates, strengths, share=lambda s, n: s, product=lambda A, B: B @ A):
    new = W.clone()
    for n, ((A, B, alpha), s) in enumerate(zip(updates, strengths, strict=True)):
        new = new + share(s, n) * alpha / len(A) * product(A, B)
    return new


def _merged(name, hint, make):
    @merged_weight.mistake(name, hint=hint)
    def _(W, updates, strengths):
        return make(W, updates, strengths)


_merged(
    "strengths that add up to one in size",
    "You divide strengths by the sum of their sizes. They are taken as they are.",
    lambda W, u, s: W + (_sum(W, u, s) - W) / (sum(map(abs, s)) or 1.0),
)
_merged(
    "strengths through a softmax",
    "You take a softmax of the strengths. They are taken as they are.",
    lambda W, u, s: _sum(W, u, torch.tensor(s).softmax(0).tolist()),
)
_merged(
    "strengths without their sign",
    "You take strengths without their sign. A negative one takes out.",
    lambda W, u, s: _sum(W, u, [abs(one) for one in s]),
)
_merged(
    "strengths between -1 and 1",
    "You cut strengths to −1 and 1. Any number may be one.",
    lambda W, u, s: _sum(W, u, [min(1.0, max(-1.0, one)) for one in s]),
)
_merged(
    "strengths squared",
    "You square the strengths, on A and on B. Each counts once.",
    lambda W, u, s: _sum(W, u, [one**2 for one in s]),
)
_merged(
    "roots of the strengths",
    "You take roots of the strengths. Each is a factor as it is.",
    lambda W, u, s: _sum(W, u, [abs(one) ** 0.5 * (1 if one > 0 else -1) for one in s]),
)
_merged(
    "the last strength for all",
    "You use the last strength for all adapters. Each has its own.",
    lambda W, u, s: _sum(W, u, s[-1:] * len(u)),
)
_merged(
    "the strengths in another order",
    "You read the strengths from the back. They stand in the adapters' order.",
    lambda W, u, s: _sum(W, u, s[::-1]),
)
_merged(
    "the last rank for all",
    "You divide by the last adapter's rank throughout. Each has its own.",
    lambda W, u, s: _sum(
        W, u, [one * len(A) / len(u[-1][0]) for one, (A, _, _) in zip(s, u, strict=True)]
    ),
)
_merged(
    "W once for each adapter",
    "You add W with each adapter. It counts once.",
    lambda W, u, s: _sum(W * max(1, len(u)), u, s),
)
_merged(
    "the updates times W",
    "You multiply W by the updates. They are added.",
    lambda W, u, s: W * _sum(0 * W, u, s),
)
_merged(
    "strengths on W as well",
    "You scale W with the adapter. The strength is the adapter's alone.",
    lambda W, u, s: _scaling_all(W, u, s),
)
_merged(
    "rounded to half precision on the way",
    "You round to half precision. The result has W's format, with all its digits.",
    lambda W, u, s: _sum(W, u, s).half().to(W.dtype),
)
_merged(
    "adapters that are off count whole",
    "You take a strength of 0 for none given, and use 1. It switches the adapter off.",
    lambda W, u, s: _sum(W, u, [one or 1.0 for one in s]),
)
_merged(
    "As and Bs mixed first",
    "You mix the As and the Bs, each for themselves, and multiply then. Products are added.",
    lambda W, u, s: _mixed(W, u, s),
)


def _scaling_all(W, updates, strengths):
    new = W.clone()
    for (A, B, alpha), s in zip(updates, strengths, strict=True):
        new = s * (new + alpha / len(A) * (B @ A))
    return new


def _mixed(W, updates, strengths):
    if len({len(A) for A, _, _ in updates}) != 1:
        return _sum(W, updates, strengths)
    pairs = list(zip(updates, strengths, strict=True))
    A = sum(s * A for (A, _, _), s in pairs)
    B = sum(alpha / len(A) * B for (A, B, alpha), _ in pairs)
    return W + B @ A


_merged(
    "the largest of the adapters",
    "You take the largest of the adapters' numbers, place by place. They are added.",
    lambda W, u, s: W + _parts(W, u, s).amax(0),
)
_merged(
    "the votes of the signs",
    "You leave out numbers against the majority's sign, as TIES merging does. All are added.",
    lambda W, u, s: W + _voted(_parts(W, u, s)),
)
_merged(
    "adapters multiplied one after the other",
    "You multiply by each adapter. They are added.",
    lambda W, u, s: W * (1 + _parts(W, u, s)).prod(0),
)
_merged(
    "a list of matrices",
    "You return a matrix for each adapter. Asked for is one, with all of them in it.",
    lambda W, u, s: [W + part for part in _parts(W, u, s)],
)


def _parts(W, updates, strengths):
    """What each adapter adds; a single one of zeros where there is none."""
    pairs = zip(updates, strengths, strict=True)
    return torch.stack([s * a / len(A) * (B @ A) for (A, B, a), s in pairs] or [0 * W])


def _voted(parts):
    return torch.where(parts.sign() == parts.sum(0).sign(), parts, 0 * parts).sum(0)


def _shares(name, hint, share):
    """Another share of the update, from its singular values."""

    @kept_at_four.mistake(name, hint=hint)
    def _():
        return float(share(torch.linalg.svdvals(full_update())))


for _rank in (1, 2, 5, 8, 16):
    _shares(
        f"the share at rank {_rank}",
        f"That is the share at rank {_rank}. Hand in the one at rank 4.",
        lambda sizes, rank=_rank: sizes[:rank].square().sum() / sizes.square().sum(),
    )
_shares(
    "the fourth value alone",
    "You took the fourth singular value alone. Rank 4 keeps the first four.",
    lambda sizes: sizes[3].square() / sizes.square().sum(),
)
_shares(
    "four of sixty-four",
    "That is how many directions are kept. They differ in size: measure it.",
    lambda sizes: 4 / len(sizes),
)
_shares(
    "kept beside lost",
    "You divide by what is lost. Divide by all.",
    lambda sizes: sizes[:4].square().sum() / sizes[4:].square().sum(),
)
