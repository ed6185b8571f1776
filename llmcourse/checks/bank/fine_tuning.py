"""The exercises on adapting a model: what moves and how fast, and what holds it.

Not here: the exercises' texts (`solutions/`), the one on a whole step (`tuning_step.py`), on a
head's input (`pooling.py`), those on making a small set last (`few_labels.py`), and how checking
works (`harness.py`). Chapter 11 teaches this.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.finetune.methods import layerwise_rates

CHAPTER = "11"
MOVING = "4. What may move, and how fast?"
AS_PARAMETERS = ("float64",)
"""Weights lie in memory in one piece: PyTorch's own `parameters_to_vector` counts on it."""


# 2. A rate for each layer


@exercise(CHAPTER, axes="groups", read=MOVING)
def layer_rates(n_layers: int, lr: float, decay: float) -> list[float]:
    """The rates of embeddings, `n_layers` blocks and head, each `decay` times that above it."""
    return [lr * rate for rate in layerwise_rates(n_layers + 2, decay)]


@layer_rates.cases
def _() -> Iterator[Case]:
    yield case("by hand", 2, 1.0, 0.5)
    yield case("ULMFiT's", 3, 0.01, 1 / 2.6)
    yield case("ELECTRA's twelve blocks", 12, 1e-4, 0.8)
    yield case("one rate for all", 4, 0.003, 1.0)
    yield case("a single block", 1, 0.1, 0.3)
    yield case("no block at all", 0, 0.2, 0.25)


@layer_rates.mistake(
    "upside down",
    hint="You go from the head to the embeddings. The list begins at the bottom: the embeddings "
    "come first and have the smallest rate.",
)
def _(n_layers, lr, decay):
    return [lr * decay**k for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the head decays, too",
    hint="The head is new and moves at the full `lr`. The decay begins at the block below it.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** (n_layers + 2 - k) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the blocks alone",
    hint="Two groups are missing: the embeddings below the blocks, and the head above them.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** (n_layers - k) for k in range(n_layers)]


@layer_rates.mistake(
    "no rate for the embeddings",
    hint="The embeddings are the lowest group, one step below the first block.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** (n_layers - k) for k in range(n_layers + 1)]


@layer_rates.mistake(
    "the last block moves as fast as the head",
    hint="The head has `lr`; the block right below it has `lr * decay` already.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** max(0, n_layers - k) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the embeddings move as fast as the first block",
    hint="The embeddings are a group of their own, one step further down than the first block.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** min(n_layers, n_layers + 1 - k) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "multiplied by the distance, not to its power",
    hint="Two layers down is `decay` twice: `decay ** 2`, not `decay * 2`.",
)
def _(n_layers, lr, decay):
    return [lr * decay * (n_layers + 1 - k) for k in range(n_layers + 1)] + [lr]


@layer_rates.mistake(
    "divided by the decay",
    hint="The decay is a factor of at most 1: multiply by it, so that rates shrink on the way "
    "down. (ULMFiT's 2.6 is a divisor; the factor is 1 / 2.6.)",
)
def _(n_layers, lr, decay):
    return [lr / decay ** (n_layers + 1 - k) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the multipliers without the rate",
    hint="These are the factors. Multiply each by `lr`.",
)
def _(n_layers, lr, decay):
    return [decay ** (n_layers + 1 - k) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "in a straight line",
    hint="Your rates fall by the same amount a layer. They fall by the same *factor*.",
)
def _(n_layers, lr, decay):
    bottom = lr * decay ** (n_layers + 1)
    return [bottom + (lr - bottom) * k / (n_layers + 1) for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the rates grow from the embeddings' up",
    hint="You give `lr` to the embeddings, and more to each group above. The *head* moves at `lr`, "
    "and everything below it more slowly.",
)
def _(n_layers, lr, decay):
    return [lr / decay**k for k in range(n_layers + 2)]


@layer_rates.mistake(
    "the decay as an exponent of e",
    hint="`exp(-decay * k)` is another decay. Here it is a plain factor: `decay ** k`.",
)
def _(n_layers, lr, decay):
    return [lr * math.exp(-decay * k) for k in range(n_layers + 1, -1, -1)]


@layer_rates.mistake(
    "the factor itself decays",
    hint="From each group to the next the factor is the same. Yours becomes smaller on the way: "
    "somewhere `decay` is multiplied by itself and then used again.",
)
def _(n_layers, lr, decay):
    rates, factor = [lr], decay
    for _layer in range(n_layers + 1):
        rates.insert(0, rates[0] * factor)
        factor *= decay
    return rates


@layer_rates.mistake(
    "the decay is subtracted",
    hint="`lr - decay * k` even becomes negative. Multiply: each rate is `decay` times the one "
    "above it.",
)
def _(n_layers, lr, decay):
    return [lr - decay * k for k in range(n_layers + 1, -1, -1)]


@layer_rates.mistake(
    "divided by one plus so many decays",
    hint="`lr / (1 + decay * k)` is a decay over *time* that some schedules have. Over layers it "
    "is a power: `lr * decay ** k`.",
)
def _(n_layers, lr, decay):
    return [lr / (1 + decay * k) for k in range(n_layers + 1, -1, -1)]


@layer_rates.mistake(
    "rounded",
    hint="Rates are small numbers: rounded to a few decimals, the lowest are wrong or 0. Do not "
    "round.",
)
def _(n_layers, lr, decay):
    return [round(lr * decay**k, 4) for k in range(n_layers + 1, -1, -1)]


# 3. Thaw from the top


@exercise(CHAPTER, axes="groups", read=MOVING)
def thawed(step: int, every: int, n_groups: int) -> list[bool]:
    """Which groups move in this step, from the bottom up: one more from the top each time."""
    moving = 1 + step // every
    return [place >= n_groups - moving for place in range(n_groups)]


@thawed.cases
def _() -> Iterator[Case]:
    yield case("by hand", 10, 10, 4)
    yield case("the first step", 0, 10, 4)
    yield case("the last step with the head alone", 9, 10, 4)
    yield case("in the middle", 25, 10, 4)
    yield case("all move", 30, 10, 4)
    yield case("all have moved for long", 500, 10, 4)
    yield case("a group more each step", 2, 1, 5)
    yield case("nothing but a head", 7, 5, 1)
    yield case("other numbers", 17, 6, 8)
    yield case("one step after two periods", 21, 10, 4)
    yield case("six periods and a half", 65, 10, 8)


def _from_top(moving: int, n_groups: int) -> list[bool]:
    return [place >= n_groups - moving for place in range(n_groups)]


@thawed.mistake(
    "thaws from the bottom",
    hint="Your list begins with the head. It begins at the bottom: the embeddings are first, the "
    "head is last.",
)
def _(step, every, n_groups):
    return _from_top(1 + step // every, n_groups)[::-1]


@thawed.mistake(
    "what is frozen instead of what moves",
    hint="True means that a group *moves*. Yours is True where it is held still.",
)
def _(step, every, n_groups):
    return [not moves for moves in _from_top(1 + step // every, n_groups)]


@thawed.mistake(
    "nothing moves at first",
    hint="In the first `every` steps the head moves already. Your run begins one group too late.",
)
def _(step, every, n_groups):
    return _from_top(step // every, n_groups)


@thawed.mistake(
    "one group too early",
    hint="In the first `every` steps the head moves *alone*.",
)
def _(step, every, n_groups):
    return _from_top(2 + step // every, n_groups)


@thawed.mistake(
    "one group at a time, and the others freeze again",
    hint="Whoever has thawed goes on moving: all groups from there up to the head are True.",
)
def _(step, every, n_groups):
    moving = min(n_groups, 1 + step // every)
    return [place == n_groups - moving for place in range(n_groups)]


@thawed.mistake(
    "thaws one step late",
    hint="Steps count from 0: the first `every` of them are 0 to every - 1. In step `every` the "
    "next group moves.",
)
def _(step, every, n_groups):
    return _from_top(1 + (step - 1) // every if step else 1, n_groups)


@thawed.mistake(
    "thaws one step early",
    hint="Steps count from 0. Step every - 1 is still one of the first `every` steps.",
)
def _(step, every, n_groups):
    return _from_top(1 + (step + 1) // every, n_groups)


@thawed.mistake(
    "a group more each step",
    hint="A group thaws every `every` steps, not in each.",
)
def _(step, every, n_groups):
    return _from_top(1 + step, n_groups)


@thawed.mistake(
    "how many, not which",
    hint="You found how many groups move. Asked is a True or False for each group.",
)
def _(step, every, n_groups):
    return min(n_groups, 1 + step // every)


@thawed.mistake(
    "the embeddings never thaw",
    hint="In the end all groups move, the lowest one, too.",
)
def _(step, every, n_groups):
    return _from_top(min(max(1, n_groups - 1), 1 + step // every), n_groups)


@thawed.mistake(
    "rounded instead of cut off",
    hint="`round(step / every)` thaws half a period early. Count *whole* periods: `step // every`.",
)
def _(step, every, n_groups):
    return _from_top(1 + int(step / every + 0.5), n_groups)


@thawed.mistake(
    "the rest of the division, not its result",
    hint="`step % every` says how far into a period you are. How many periods are over is "
    "`step // every`.",
)
def _(step, every, n_groups):
    return _from_top(1 + step % every, n_groups)


@thawed.mistake(
    "the thaw begins anew",
    hint="Once all groups move, all go on moving. Yours freezes again and starts from the head.",
)
def _(step, every, n_groups):
    return _from_top(1 + step // every % n_groups, n_groups)


@thawed.mistake(
    "more entries than groups",
    hint="When all have thawed for long, your list goes on growing. There are `n_groups` entries, "
    "always: no more than that many can move.",
)
def _(step, every, n_groups):
    moving = 1 + step // every
    return [False] * (n_groups - moving) + [True] * moving


@thawed.mistake(
    "the places of those that move",
    hint="You list *which* places move. Asked is a True or False for each group, in order.",
)
def _(step, every, n_groups):
    return [place for place, moves in enumerate(_from_top(1 + step // every, n_groups)) if moves]


@thawed.mistake(
    "all thawed after the first `every` steps",
    hint="`every` is the time for *one* group, not for all of them together.",
)
def _(step, every, n_groups):
    return _from_top(1 + step * n_groups // every, n_groups)


@thawed.mistake(
    "twice as many each time",
    hint="One more group a period: 1, 2, 3, not 1, 2, 4.",
)
def _(step, every, n_groups):
    return _from_top(2 ** min(step // every, 10), n_groups)


# 6. Towards the start


def _with_slopes(
    answer: Callable[..., Any], weights: list[Tensor], start: list[Tensor], alpha: float
) -> tuple[Any, list[Tensor]]:
    """The penalty, and its slope for each weight: zeros where no gradient flows."""
    leaves = [w.detach().clone().requires_grad_() for w in weights]
    penalty = answer(leaves, start, alpha)
    if not isinstance(penalty, Tensor) or not penalty.requires_grad:
        return penalty, [torch.zeros_like(w) for w in leaves]
    slopes = torch.autograd.grad(penalty.sum(), leaves, allow_unused=True, materialize_grads=True)
    return penalty.detach(), list(slopes)


@exercise(
    CHAPTER,
    axes=("", "tensors"),
    variants=AS_PARAMETERS,
    call=_with_slopes,
    strict=False,
    read=MOVING,
)
def l2_sp(weights: list[Tensor], start: list[Tensor], alpha: float) -> Float[Tensor, ""]:
    """The penalty on the distance from the start, `α/2 Σ (θ - θ⁰)²`, summed over all tensors."""
    squares = [(w - s).square().sum() for w, s in zip(weights, start, strict=True)]
    return alpha / 2 * torch.stack(squares).sum()


@l2_sp.cases
def _() -> Iterator[Case]:
    two = [torch.tensor([1.0, 3.0]), torch.tensor([[2.0]])]
    yield case("by hand", two, [torch.tensor([0.0, 1.0]), torch.tensor([[5.0]])], 0.1)
    yield case("a matrix and a vector", _some(), _some(), 0.5)
    yield case("one tensor", [torch.randn(3, 2)], [torch.randn(3, 2)], 0.03)
    yield case(
        "nothing has moved", [torch.ones(2), torch.ones(1)], [torch.ones(2), torch.ones(1)], 2.0
    )
    yield case("no pull", _some(), _some(), 0.0)
    yield case("a start at zero", _some(), [torch.zeros(4, 3), torch.zeros(5)], 1.5)


def _some() -> list[Tensor]:
    return [torch.randn(4, 3), torch.randn(5)]


def _distances(weights: list[Tensor], start: list[Tensor]) -> list[Tensor]:
    return [(w - s).square() for w, s in zip(weights, start, strict=True)]


@l2_sp.mistake(
    "towards zero, not towards the start",
    hint="That is plain L2: it pulls the pretrained weights towards 0. Subtract the start first.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum(w.square().sum() for w in weights)


@l2_sp.mistake(
    "without the half",
    hint="Twice as large as the formula: α/2, so that the gradient is α (θ - θ⁰).",
)
def _(weights, start, alpha):
    return alpha * sum(d.sum() for d in _distances(weights, start))


@l2_sp.mistake(
    "the mean instead of the sum",
    hint="Σ is a sum over every weight of every tensor. With a mean, the pull on a weight would "
    "depend on how many others there are.",
)
def _(weights, start, alpha):
    return alpha / 2 * torch.cat([d.flatten() for d in _distances(weights, start)]).mean()


@l2_sp.mistake(
    "the mean of each tensor",
    hint="Within each tensor you take a mean. Σ is a sum over every single weight.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum(d.mean() for d in _distances(weights, start))


@l2_sp.mistake(
    "the length, not its square",
    hint="You took the root: a length. Asked is the sum of the squares.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum((d.sum() + 1e-30).sqrt() for d in _distances(weights, start))


@l2_sp.mistake(
    "the size of the differences, not their square",
    hint="That is L1 towards the start. Square each difference.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha / 2 * sum((w - s).abs().sum() for w, s in pairs)


@l2_sp.mistake(
    "the difference of the squares",
    hint="(θ - θ⁰)² is not θ² - θ⁰²: subtract first, square then.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha / 2 * sum((w.square() - s.square()).sum() for w, s in pairs)


@l2_sp.mistake(
    "the first tensor alone",
    hint="Your loop returns in its first round. Add up over all tensors, then return.",
)
def _(weights, start, alpha):
    return alpha / 2 * (weights[0] - start[0]).square().sum()


@l2_sp.mistake(
    "the last tensor alone",
    hint="Each round of your loop overwrites the sum. Add to it.",
)
def _(weights, start, alpha):
    return alpha / 2 * (weights[-1] - start[-1]).square().sum()


@l2_sp.mistake(
    "a number that no gradient flows through",
    hint="The value is right. But `.item()`, `.detach()` or `float()` cuts the graph: a penalty "
    "without a gradient holds nobody.",
)
def _(weights, start, alpha):
    return l2_sp.right([w.detach() for w in weights], start, alpha)


@l2_sp.mistake(
    "a reward for moving",
    hint="The sign: a penalty grows with the distance.",
)
def _(weights, start, alpha):
    return -alpha / 2 * sum(d.sum() for d in _distances(weights, start))


@l2_sp.mistake(
    "squared after the sum",
    hint="Differences of opposite signs cancel in your sum. Square each one, then add.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha / 2 * sum((w - s).sum() for w, s in pairs) ** 2


@l2_sp.mistake(
    "matrices alone",
    hint="The sum runs over *every* tensor, those with one axis (biases, norms), too.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    squares = [(w - s).square().sum() if w.ndim > 1 else 0 * w.sum() for w, s in pairs]
    return alpha / 2 * torch.stack(squares).sum()


@l2_sp.mistake(
    "divided by two alphas",
    hint="α/2 is α times one half. You divide by α.",
)
def _(weights, start, alpha):
    return sum(d.sum() for d in _distances(weights, start)) / (2 * alpha)


@l2_sp.mistake(
    "plain L2 on top",
    hint="You pull to the start *and* to zero. L2-SP replaces the pull to zero.",
)
def _(weights, start, alpha):
    squares = [w.square().sum() for w in weights]
    return (
        alpha
        / 2
        * sum(d.sum() + w for d, w in zip(_distances(weights, start), squares, strict=True))
    )


@l2_sp.mistake(
    "the gradient instead of the penalty",
    hint="α (θ - θ⁰) is the penalty's *gradient*, a number for each weight. Asked is the penalty, "
    "one number for all.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return torch.cat([(alpha * (w - s)).flatten() for w, s in pairs])
