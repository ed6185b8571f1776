"""The exercise on a step of fine-tuning: what moves, how fast, and what pulls it back.

Not here: the exercises on each of these by itself (`fine_tuning.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 11 teaches this.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from llmcourse.checks.bank.fine_tuning import AS_PARAMETERS, MOVING
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "11"


# 7. A whole step of fine-tuning


# PyTorch's own clipping has 1e-6 in its divisor, and who uses it is right.
@exercise(CHAPTER, axes="groups", variants=AS_PARAMETERS, strict=False, tolerance=1e-5, read=MOVING)
def fine_tuning_step(
    weights: list[Tensor],
    gradients: list[Tensor],
    start: list[Tensor],
    rates: list[float],
    moving: list[bool],
    alpha: float,
    max_norm: float,
) -> list[Tensor]:
    """The weights of each group after one step: pulled to the start, clipped, at its own rate."""
    return _stepped(weights, gradients, start, rates, moving, alpha, max_norm)


def _stepped(
    weights,
    gradients,
    start,
    rates,
    moving,
    alpha,
    max_norm,
    *,
    head=False,
    clip="moving",
    scale_up=False,
    frozen_pulled=False,
    length=lambda gs: torch.stack([g.square().sum() for g in gs]).sum().sqrt(),
):
    """A step, and variants of it that people write."""
    last = len(weights) - 1
    pulled = [
        g + alpha * (w - s) if head or place < last else g
        for place, (w, g, s) in enumerate(zip(weights, gradients, start, strict=True))
    ]
    counted = [g for g, moves in zip(pulled, moving, strict=True) if moves or clip == "all"]
    if clip == "before":
        counted = [g for g, moves in zip(gradients, moving, strict=True) if moves]
    norm = length(counted)
    factor = max_norm / norm if scale_up or norm > max_norm else 1.0
    if clip == "none":
        factor = 1.0
    if clip == "each":
        pulled = [g * min(1.0, max_norm / max(float(g.norm()), 1e-30)) for g in pulled]
        factor = 1.0
    return [
        w - rate * factor * g if moves or frozen_pulled else w.clone()
        for w, g, rate, moves in zip(weights, pulled, rates, moving, strict=True)
    ]


@fine_tuning_step.cases
def _() -> Iterator[Case]:
    one = lambda *numbers: [torch.tensor([number]) for number in numbers]  # noqa: E731
    by_hand = (one(1.0, 2.0, 3.0), one(9.0, 2.0, 4.0), one(1.0, 0.0, 0.0), [0.25, 0.5, 1.0])
    yield case("by hand", *by_hand, [False, True, True], 0.5, 2.5)
    yield case("nothing to clip", *by_hand, [False, True, True], 0.5, 100.0)
    yield case("a norm that is just allowed", *by_hand, [False, True, True], 0.5, 5.0)
    yield case("everything moves", *_groups(), [True] * 4, 0.1, 1.0)
    yield case("the head alone", *_groups(), [False] * 3 + [True], 0.3, 0.5)
    yield case("no pull", *_groups(), [False, True, True, True], 0.0, 1.0)
    yield case("a strong pull", *_groups(), [False, False, True, True], 5.0, 2.0)
    yield case("a strong pull, unclipped", *_groups(), [True] * 4, 2.0, 1e6)
    yield case("one held still in the middle", *_groups(), [True, False, True, True], 0.2, 1.0)
    yield case("the head held still", *_groups(), [False, True, True, False], 0.2, 1.0)


def _groups() -> tuple[list[Tensor], list[Tensor], list[Tensor], list[float]]:
    shapes = ((5, 3), (3, 3), (3,), (2, 3))
    weights, gradients, start = ([torch.randn(shape) for shape in shapes] for _ in range(3))
    return weights, gradients, start, [0.01, 0.03, 0.1, 0.3]


@fine_tuning_step.mistake(
    "the head is pulled back, too",
    hint="The head is new: its start is chance, and worth nothing. Pull the groups below it.",
)
def _(*given):
    return _stepped(*given, head=True)


@fine_tuning_step.mistake(
    "the frozen groups count in the norm",
    hint="What does not move takes no step, so its gradient is nobody's to shorten: the norm is "
    "over the groups that move.",
)
def _(*given):
    return _stepped(*given, clip="all")


@fine_tuning_step.mistake(
    "clipped group by group",
    hint="One norm over *all* moving groups together, one factor for all: else the direction of "
    "the step changes.",
)
def _(*given):
    return _stepped(*given, clip="each")


@fine_tuning_step.mistake(
    "not clipped at all",
    hint="Where the common norm is above `max_norm`, every gradient is multiplied by "
    "max_norm / norm.",
)
def _(*given):
    return _stepped(*given, clip="none")


@fine_tuning_step.mistake(
    "small gradients are made larger",
    hint="Clipping is for norms *above* `max_norm`. Below it nothing is scaled.",
)
def _(*given):
    return _stepped(*given, scale_up=True)


@fine_tuning_step.mistake(
    "the norm is taken before the pull",
    hint="The pull is a part of the gradient. Add it first, then measure the norm.",
)
def _(*given):
    return _stepped(*given, clip="before")


@fine_tuning_step.mistake(
    "frozen groups move",
    hint="A group with False in `moving` stays as it is, to the last bit.",
)
def _(*given):
    return _stepped(*given, frozen_pulled=True)


@fine_tuning_step.mistake(
    "the pull goes the wrong way",
    hint="The penalty's gradient is α (θ - θ⁰): the step *subtracts* it, and so goes towards the "
    "start.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    return _stepped(weights, gradients, start, rates, moving, -alpha, max_norm)


@fine_tuning_step.mistake(
    "uphill",
    hint="A step goes *against* the gradient: weights minus rate times gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    rates = [-rate for rate in rates]
    return _stepped(weights, gradients, start, rates, moving, alpha, max_norm)


@fine_tuning_step.mistake(
    "the pull of plain L2",
    hint="You pull towards zero. Subtract the start: α (θ - θ⁰).",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    start = [torch.zeros_like(s) for s in start]
    return _stepped(weights, gradients, start, rates, moving, alpha, max_norm)


@fine_tuning_step.mistake(
    "the penalty's gradient with its half",
    hint="The half of α/2 Σ (θ - θ⁰)² goes when you differentiate: the gradient is α (θ - θ⁰).",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    return _stepped(weights, gradients, start, rates, moving, alpha / 2, max_norm)


@fine_tuning_step.mistake(
    "the penalty's gradient is doubled",
    hint="Differentiate α/2 Σ (θ - θ⁰)²: the 2 of the square and the half cancel.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    return _stepped(weights, gradients, start, rates, moving, 2 * alpha, max_norm)


@fine_tuning_step.mistake(
    "no pull at all",
    hint="Each group below the head has α (θ - θ⁰) added to its gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    return _stepped(weights, gradients, start, rates, moving, 0.0, max_norm)


@fine_tuning_step.mistake(
    "one rate for all",
    hint="Each group has its own rate, `rates[g]`. Yours all move at the head's.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    rates = [rates[-1]] * len(rates)
    return _stepped(weights, gradients, start, rates, moving, alpha, max_norm)


@fine_tuning_step.mistake(
    "the groups are taken for the head first",
    hint="The lists begin at the bottom. The head, which is not pulled, is the *last* one.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    lists = (values[::-1] for values in (weights, gradients, start, rates, moving))
    return _stepped(*lists, alpha, max_norm)[::-1]


@fine_tuning_step.mistake(
    "the moving groups alone are given back",
    hint="Give back *every* group in its place: those that stay, as they are.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    after = _stepped(weights, gradients, start, rates, moving, alpha, max_norm)
    return [w for w, moves in zip(after, moving, strict=True) if moves]


@fine_tuning_step.mistake(
    "the steps instead of the weights",
    hint="You give back what is to be subtracted. Asked are the weights after the step.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    after = _stepped(weights, gradients, start, rates, moving, alpha, max_norm)
    return [w - a for w, a in zip(weights, after, strict=True)]


@fine_tuning_step.mistake(
    "the pull escapes the clip",
    hint="You clip the task's gradient alone and add the pull afterwards. The pull comes first: it "
    "is measured and shortened with the rest.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    after = _stepped(weights, gradients, start, rates, moving, 0.0, max_norm)
    lower = list(zip(after, weights, start, rates, moving, strict=True))[:-1]
    return [a - r * alpha * (w - s) if m else a for a, w, s, r, m in lower] + after[-1:]


@fine_tuning_step.mistake(
    "the norms are added up",
    hint="The norm of one long vector is no sum of norms: add up the *squares* of all groups, then "
    "take one root.",
)
def _(*given):
    return _stepped(*given, length=lambda gs: sum(g.norm() for g in gs))


@fine_tuning_step.mistake(
    "the sum of the sizes for the norm",
    hint="You add up absolute values: that is the 1-norm. Square them, add up, take the root.",
)
def _(*given):
    return _stepped(*given, length=lambda gs: sum(g.abs().sum() for g in gs))


@fine_tuning_step.mistake(
    "the largest entry for the norm",
    hint="You look for the largest single number. The norm is the root of the sum of all squares.",
)
def _(*given):
    return _stepped(*given, length=lambda gs: max(g.abs().max() for g in gs))


@fine_tuning_step.mistake(
    "each number is cut by itself",
    hint="`clamp` cuts single numbers, and turns the direction of the step. Multiply all of them "
    "by one factor.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = [g + alpha * (w - s) for g, w, s in zip(gradients, weights, start, strict=True)]
    cut = [g.clamp(-max_norm, max_norm) for g in [*pulled[:-1], gradients[-1]]]
    return _stepped(weights, cut, start, rates, moving, 0.0, 1e30)


@fine_tuning_step.mistake(
    "the rates are in the norm",
    hint="You measure the *steps*, rate times gradient. Measure the gradients; the rates come "
    "last.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = [g + alpha * (w - s) for g, w, s in zip(gradients, weights, start, strict=True)]
    steps = [r * g for r, g in zip(rates, [*pulled[:-1], gradients[-1]], strict=True)]
    return _stepped(weights, steps, start, [1.0] * len(rates), moving, 0.0, max_norm)


@fine_tuning_step.mistake(
    "shortened to a length of 1",
    hint="Divided by the norm alone, the gradient has the length 1. It is to have the length "
    "`max_norm`.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    after = _stepped(weights, gradients, start, rates, moving, alpha, max_norm)
    free = _stepped(weights, gradients, start, rates, moving, alpha, 1e30)
    clipped = any(not torch.equal(a, f) for a, f in zip(after, free, strict=True))
    pairs = zip(weights, after, strict=True)
    return [w + (a - w) / max_norm for w, a in pairs] if clipped else after


@fine_tuning_step.mistake(
    "the group below the head alone is pulled",
    hint="*Every* group except the head is pulled towards its start, not only the one below it.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    far = [
        w if n < len(weights) - 2 else s
        for n, (w, s) in enumerate(zip(weights, start, strict=True))
    ]
    return _stepped(weights, gradients, far, rates, moving, alpha, max_norm)


@fine_tuning_step.mistake(
    "so many from the top, whichever are named",
    hint="You count how many groups move, and move that many from the top. `moving` says for each "
    "group by itself: it may be held still in the middle.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    top = [place >= len(moving) - sum(moving) for place in range(len(moving))]
    return _stepped(weights, gradients, start, rates, top, alpha, max_norm)


@fine_tuning_step.mistake(
    "the head moves, whatever is said",
    hint="The head is a group like the others here: if `moving` says False, it stays.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    return _stepped(weights, gradients, start, rates, [*moving[:-1], True], alpha, max_norm)


@fine_tuning_step.mistake(
    "all above the lowest that moves",
    hint="You look for the lowest group that moves, and move all above it. Ask each group by "
    "itself.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    thawed_from = [any(moving[: place + 1]) for place in range(len(moving))]
    return _stepped(weights, gradients, start, rates, thawed_from, alpha, max_norm)


@fine_tuning_step.mistake(
    "what is held still goes back to its start",
    hint="A group with False in `moving` keeps the weights that it *has*, not those that it began "
    "with.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    after = _stepped(weights, gradients, start, rates, moving, alpha, max_norm)
    return [a if m else s.clone() for a, m, s in zip(after, moving, start, strict=True)]
