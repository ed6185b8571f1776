"""The exercises on LoRA: a layer's forward pass, merging, rank against quality.

Not here: LoRA for a whole model (`adapted_models.py`), the exercises on chats and prompts
(`instructions.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 13 teaches this.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "13"
LORA = "5. How little can be trained?"
ALL = ("float64", "non-contiguous", "gradients")

Update = tuple[Tensor, Tensor, float]
"""A, B and alpha of an adapter."""

# 4. The forward pass


@exercise(CHAPTER, axes="* out", variants=ALL, read=LORA)
def lora_forward(
    x: Float[Tensor, "*B in"],
    W: Float[Tensor, "out in"],
    A: Float[Tensor, "R in"],
    B: Float[Tensor, "out R"],
    alpha: float,
) -> Float[Tensor, "*B out"]:
    """W x + alpha / R · B A x; W gets no gradient."""
    return F.linear(x, W.detach()) + alpha / len(A) * F.linear(F.linear(x, A), B)


@lora_forward.cases
def _() -> Iterator[Case]:
    ones = torch.tensor([[1.0, 2.0]]), torch.eye(2), torch.ones(1, 2)
    yield case("by hand", *ones, torch.tensor([[1.0], [0.0]]), 2.0)
    yield case("a batch of texts", *_sizes((2, 3), 4, 5, 2), 4.0)
    yield case("one vector", *_sizes((), 4, 5, 2), 3.0)
    yield case("rank three", *_sizes((3,), 5, 4, 3), 1.5)
    yield case("rank one", *_sizes((4,), 3, 3, 1), 2.0)
    yield case("as wide as the rank", *_sizes((3,), 3, 3, 3), 6.0)
    x, W, A, B = _sizes((3,), 4, 4, 2)
    yield case("at the first step", x, W, A, torch.zeros_like(B), 8.0)


def _sizes(batch: tuple[int, ...], into: int, out: int, rank: int) -> tuple[Tensor, ...]:
    """x, W, A and B."""
    sizes = (*batch, into), (out, into), (rank, into), (out, rank)
    return tuple(torch.randn(size) for size in sizes)


def _forward(x, W, A, B, scale):
    return F.linear(x, W.detach()) + scale * F.linear(F.linear(x, A), B)


@lora_forward.mistake(
    "alpha is not divided by the rank",
    hint="The factor is α / R. Without the division every other rank needs another rate.",
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, alpha)


@lora_forward.mistake("alpha left out", hint="The product is multiplied by α / R, not by 1 / R.")
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, 1 / len(A))


@lora_forward.mistake("no factor at all", hint="The product B A x is multiplied by α / R.")
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, 1.0)


@lora_forward.mistake(
    "alpha divided by the root of the rank",
    hint="Some do so (rsLoRA, 2023). Here the factor is α / R.",
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, alpha / len(A) ** 0.5)


@lora_forward.mistake(
    "R is read off the wrong axis",
    hint="R is how many rows A has; its columns are the layer's inputs.",
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, alpha / A.size(1))


@lora_forward.mistake(
    "the adapter alone",
    hint="The base's output W x stays; the adapter is added to it.",
)
def _(x, W, A, B, alpha):
    return alpha / len(A) * F.linear(F.linear(x, A), B)


@lora_forward.mistake(
    "the base alone",
    hint="That is what it gives at the first step, while B is zero. The product has to be added.",
)
def _(x, W, A, B, alpha):
    return F.linear(x, W.detach())


@lora_forward.mistake(
    "W learns, too",
    hint="The values are right, but a gradient reaches W. It is held still: detach it.",
)
def _(x, W, A, B, alpha):
    return F.linear(x, W) + alpha / len(A) * F.linear(F.linear(x, A), B)


@lora_forward.mistake(
    "nothing learns",
    hint="The values are right, but A and B get no gradient. Only W is held still.",
)
def _(x, W, A, B, alpha):
    return F.linear(x, W.detach()) + alpha / len(A) * F.linear(F.linear(x, A.detach()), B.detach())


@lora_forward.mistake(
    "the factor on the whole sum",
    hint="α / R multiplies the product B A x alone, not the base's output.",
)
def _(x, W, A, B, alpha):
    return alpha / len(A) * (F.linear(x, W.detach()) + F.linear(F.linear(x, A), B))


@lora_forward.mistake(
    "x gets no gradient through W",
    hint="The values are right. But `no_grad` around W x (or a detached x) cuts x off as well: the "
    "layers below learn through x. Detach W alone.",
)
def _(x, W, A, B, alpha):
    return F.linear(x.detach(), W.detach()) + alpha / len(A) * F.linear(F.linear(x, A), B)


@lora_forward.mistake(
    "x gets no gradient through the adapter",
    hint="The values are right. But x is detached in front of A: the layers below learn through "
    "the adapter, too.",
)
def _(x, W, A, B, alpha):
    return F.linear(x, W.detach()) + alpha / len(A) * F.linear(F.linear(x.detach(), A), B)


@lora_forward.mistake(
    "x gets no gradient",
    hint="The values are right. But x is detached: the layers below this one learn through it.",
)
def _(x, W, A, B, alpha):
    return _forward(x.detach(), W, A, B, alpha / len(A))


@lora_forward.mistake(
    "A does not learn", hint="The values are right, but A gets no gradient. Only W is held still."
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A.detach(), B, alpha / len(A))


@lora_forward.mistake(
    "B does not learn", hint="The values are right, but B gets no gradient. Only W is held still."
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B.detach(), alpha / len(A))


@lora_forward.mistake(
    "no graph at all",
    hint="The values are right, but nothing can learn from them: no `no_grad`, no numpy, no "
    "`.item()` around the whole. Detach W alone.",
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, alpha / len(A)).detach()


@lora_forward.mistake(
    "a factor that is always 2",
    hint="Twice the rank is a habit for α, not a rule: the factor is α / R, whatever they are.",
)
def _(x, W, A, B, alpha):
    return _forward(x, W, A, B, 2.0)


@lora_forward.mistake(
    "something happens between A and B",
    hint="The adapter is two matrices and nothing between them: no dropout, no activation.",
)
def _(x, W, A, B, alpha):
    return F.linear(x, W.detach()) + alpha / len(A) * F.linear(F.linear(x, A).relu(), B)


@lora_forward.mistake(
    "the adapter reads the base's output",
    hint="A stands *beside* W: it reads x, not W x.",
)
def _(x, W, A, B, alpha):
    base = F.linear(x, W.detach())
    if base.shape[-1] != A.shape[-1]:
        return base
    return _forward(x, W, A, B, 0.0) + alpha / len(A) * F.linear(F.linear(base, A), B)


@lora_forward.mistake(
    "the factor on W x, not on the product",
    hint="α / R multiplies B A x; W x stands as it is.",
)
def _(x, W, A, B, alpha):
    return alpha / len(A) * F.linear(x, W.detach()) + F.linear(F.linear(x, A), B)


@lora_forward.mistake(
    "a mixture of W x and the product",
    hint="The product is *added*: nothing is taken from W x, whatever the factor is.",
)
def _(x, W, A, B, alpha):
    factor = alpha / len(A)
    return (1 - factor) * F.linear(x, W.detach()) + factor * F.linear(F.linear(x, A), B)


# 5. Merging


def _written_into(answer: Any, W: Tensor, updates: Any, strengths: Any) -> Any:
    """What an answer gives; then somebody writes into it, which W must not notice."""
    found = answer(W, updates, strengths)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        return found
    kept = found.clone()
    if found.untyped_storage().data_ptr() == W.untyped_storage().data_ptr():
        with torch.no_grad():
            W.add_(1.0)
    return kept


@exercise(
    CHAPTER,
    axes="out in",
    variants=("float64", "non-contiguous"),
    call=_written_into,
    read=LORA,
)
def merged_weight(
    W: Float[Tensor, "out in"], updates: Sequence[Update], strengths: Sequence[float]
) -> Float[Tensor, "out in"]:
    """W + Σ strength · alpha / R · B A, as a new tensor."""
    found = W.clone()
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        found = found + strength * alpha / len(A) * B @ A
    return found


@merged_weight.cases
def _() -> Iterator[Case]:
    one = torch.ones(1, 2), torch.tensor([[1.0], [0.0]]), 2.0
    yield case("by hand", torch.eye(2), [one], [1.0])
    yield case("taken out again", torch.randn(4, 3), [_update(4, 3, 2, 4.0)], [-1.0])
    two = [_update(4, 3, 2, 4.0), _update(4, 3, 1, 3.0)]
    yield case("two of different rank", torch.randn(4, 3), two, [1.0, 1.0])
    yield case("mixed", torch.randn(4, 3), two, [0.7, 0.3])
    yield case("one is off", torch.randn(4, 3), two, [0.0, 1.0])
    yield case("none", torch.randn(2, 3), [], [])
    yield case("as many rows as columns", torch.randn(3, 3), [_update(3, 3, 2, 5.0)], [1.0])
    three = [_update(2, 3, 2, 4.0), _update(2, 3, 2, 2.0), _update(2, 3, 2, 8.0)]
    yield case("three of one rank", torch.randn(2, 3), three, [0.5, -1.0, 1.5])


def _update(out: int, into: int, rank: int, alpha: float) -> Update:
    return torch.randn(rank, into), torch.randn(out, rank), alpha


def _merge(W, updates, strengths, scale=lambda A, alpha: alpha / len(A)):
    found = W.clone()
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        found = found + strength * scale(A, alpha) * B @ A
    return found


@merged_weight.mistake(
    "alpha is not divided by the rank",
    hint="Each product has its own factor α / R, with its own R.",
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths, lambda A, alpha: alpha)


@merged_weight.mistake(
    "one rank for all",
    hint="The adapters may have different ranks: read R off each one's own A.",
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths, lambda A, alpha: alpha / len(updates[0][0]))


@merged_weight.mistake(
    "the strengths are left out", hint="Each adapter counts `strength` times; −1 takes it out."
)
def _(W, updates, strengths):
    return _merge(W, updates, [1.0] * len(updates))


@merged_weight.mistake(
    "the last adapter alone",
    hint="You begin from W anew for each adapter. Add them all to one sum.",
)
def _(W, updates, strengths):
    found = W.clone()
    for update, strength in zip(updates, strengths, strict=True):
        found = _merge(W, [update], [strength])
    return found


@merged_weight.mistake(
    "the first adapter alone", hint="There may be several adapters, and all of them count."
)
def _(W, updates, strengths):
    return _merge(W, updates[:1], strengths[:1])


@merged_weight.mistake(
    "the sum without W", hint="You hand back what is added. The base's matrix belongs to it."
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths) - W


@merged_weight.mistake(
    "W is changed",
    hint="The result is right, but you wrote it into W. The base has to stay as it is: others "
    "use it.",
)
def _(W, updates, strengths):
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        W += strength * alpha / len(A) * B @ A
    return W


@merged_weight.mistake(
    "the matrices are averaged",
    hint="The products are added B A by B A. The mean of the Bs times the mean of the As is "
    "something else.",
)
def _(W, updates, strengths):
    if len({len(A) for A, _, _ in updates}) != 1:
        return _merge(W, updates, strengths, lambda A, alpha: alpha / len(A) / len(updates))
    A = sum(s * A for (A, _, _), s in zip(updates, strengths, strict=True)) / len(updates)
    B = sum(s * B for (_, B, _), s in zip(updates, strengths, strict=True)) / len(updates)
    return W + updates[0][2] / len(A) * B @ A


@merged_weight.mistake(
    "W itself without adapters",
    hint="Without adapters you give back W, or a view of it: who writes into the result changes "
    "the base. Begin with `W.clone()`.",
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths) if updates else W


@merged_weight.mistake(
    "the strengths are made to sum to one",
    hint="A strength stands as it is: two adapters may both be at 1, and −1 takes one out.",
)
def _(W, updates, strengths):
    return _merge(W, updates, [s / sum(strengths) for s in strengths])


@merged_weight.mistake(
    "the mean of the adapters", hint="The products are added. Nothing divides by their number."
)
def _(W, updates, strengths):
    return _merge(W, updates, [s / len(updates) for s in strengths])


@merged_weight.mistake(
    "the ranks added up", hint="Each product has its own factor α / R, with its own R alone."
)
def _(W, updates, strengths):
    total = sum(len(A) for A, _, _ in updates)
    return _merge(W, updates, strengths, lambda A, alpha: alpha / total)


@merged_weight.mistake(
    "the first one's alpha for all", hint="Each adapter comes with its own α, at its third place."
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths, lambda A, alpha: updates[0][2] / len(A))


@merged_weight.mistake(
    "the first one's strength for all", hint="Each adapter has its own strength: walk both lists."
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths[:1] * len(updates))


@merged_weight.mistake(
    "alpha left out", hint="Each product is multiplied by its α / R, not by 1 / R."
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths, lambda A, alpha: 1 / len(A))


@merged_weight.mistake(
    "the strength takes from W, too",
    hint="W counts once, whatever the strengths are: it is no mixture of W and the adapters.",
)
def _(W, updates, strengths):
    return _merge(W, updates, strengths) - sum(strengths) * W


@merged_weight.mistake(
    "W is multiplied by the strengths",
    hint="A strength belongs to its adapter. W counts once, also where there is no adapter.",
)
def _(W, updates, strengths):
    return sum(strengths) * W + _merge(W, updates, [1.0] * len(updates)) - W


@merged_weight.mistake(
    "W is added anew for each adapter",
    hint="W stands once, at the beginning of the sum. You add what there is so far to itself.",
)
def _(W, updates, strengths):
    found = W.clone()
    for (A, B, alpha), strength in zip(updates, strengths, strict=True):
        found = found + strength * (found + alpha / len(A) * B @ A)
    return found


@merged_weight.mistake(
    "strengths multiplied up",
    hint="Each adapter has its own strength, not the product of all that came before it.",
)
def _(W, updates, strengths):
    so_far = [math.prod(strengths[: n + 1]) for n in range(len(strengths))]
    return _merge(W, updates, so_far)


@merged_weight.mistake(
    "the sum of the Bs times the sum of the As",
    hint="Each B belongs to its own A. Multiplying the sums mixes one adapter with another.",
)
def _(W, updates, strengths):
    if len({len(A) for A, _, _ in updates}) != 1:
        return W.clone()
    pairs = list(zip(updates, strengths, strict=True))
    B = sum(s * alpha / len(A) * B for (A, B, alpha), s in pairs)
    return W + B @ sum(A for A, _, _ in updates)


@merged_weight.mistake(
    "what takes out is left out",
    hint="A strength below 0 counts like any other: it subtracts what was merged before.",
)
def _(W, updates, strengths):
    return _merge(W, updates, [max(s, 0.0) for s in strengths])


@merged_weight.mistake(
    "the strengths are cut to 0 … 1",
    hint="Strengths may be above 1 and below 0: take them as they are.",
)
def _(W, updates, strengths):
    return _merge(W, updates, [min(max(s, 0.0), 1.0) for s in strengths])


@merged_weight.mistake(
    "the product transposed",
    hint="B A is `[out, in]`, as W is: `B @ A`, and nothing is transposed.",
)
def _(W, updates, strengths):
    added = _merge(W, updates, strengths) - W
    return W + (added.T if W.size(0) == W.size(1) else 0 * added)


@merged_weight.mistake(
    "the first direction alone",
    hint="An adapter of rank R adds R directions: `B @ A` sums over all of them.",
)
def _(W, updates, strengths):
    first = [(A[:1], B[:, :1], alpha / len(A)) for A, B, alpha in updates]
    return _merge(W, first, strengths, lambda A, alpha: alpha)


# 7. Rank against quality


def full_update() -> Float[Tensor, "out in"]:
    """What full tuning added to a matrix of 64 × 64: three strong directions, and much else."""
    dice = torch.Generator().manual_seed(13)
    draw: Any = lambda *size: torch.randn(*size, generator=dice, dtype=torch.float64)  # noqa: E731
    out, into = torch.linalg.qr(draw(64, 64))[0], torch.linalg.qr(draw(64, 64))[0]
    sizes = torch.cat([torch.tensor([6.0, 5.0, 4.0]), 1.2 * 0.9 ** torch.arange(61.0)]).double()
    return out * sizes @ into.T


def _kept(rank: int, *, squared: bool = True) -> float:
    sizes = torch.linalg.svdvals(full_update())
    sizes = sizes.square() if squared else sizes
    return (sizes[:rank].sum() / sizes.sum()).item()


@value(CHAPTER, abs=0.004, read="7. What do you get for how many numbers?")
def kept_at_four() -> float:
    """The share of an update's squared size that the best update of rank 4 keeps."""
    return _kept(4)


@kept_at_four.mistake(
    "the sizes are not squared",
    hint="The squared size of a matrix is the sum of its *squared* singular values.",
)
def _():
    return _kept(4, squared=False)


@kept_at_four.mistake("rank 3", hint="You kept three directions: `sizes[:4]` are the four largest.")
def _():
    return _kept(3)


@kept_at_four.mistake("what is lost", hint="You took what is left out. Wanted is what is kept.")
def _():
    return 1 - _kept(4)


@kept_at_four.mistake(
    "the share of the numbers",
    hint="That is how many numbers learn. Wanted is how much of the update they can say.",
)
def _():
    return 4 * (64 + 64) / 64**2


@kept_at_four.mistake("per cent", hint="A share lies between 0 and 1. You have it in per cent.")
def _():
    return 100 * _kept(4)


@kept_at_four.mistake(
    "the smallest four",
    hint="Singular values come sorted, the largest first. You took the last four.",
)
def _():
    sizes = torch.linalg.svdvals(full_update()).square()
    return (sizes[-4:].sum() / sizes.sum()).item()


why_rank_is_enough = choice(
    CHAPTER,
    "why_rank_is_enough",
    right=(
        "b",
        "The update has few strong directions. Rank 3 has those, and each further one adds little.",
    ),
    wrong={
        "a": "The base matrix plays no part: only what tuning *added* was cut into directions.",
        "c": "The numbers grow evenly with the rank, 128 for each. What they bring does not.",
        "d": "Every rank below 64 loses something. It is little because little is left.",
    },
    read="7. What do you get for how many numbers?",
)
