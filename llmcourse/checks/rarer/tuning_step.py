"""Rarer mistakes of the exercise on a whole step of fine-tuning. Chapter 11 teaches this."""

import torch

from llmcourse.checks.bank.tuning_step import fine_tuning_step


def _pulled(weights, gradients, start, alpha, *, head=False, sign=1.0, which=None):
    """The gradients with the pull in them, in all groups but the head or in those asked for."""
    last = len(weights) - (0 if head else 1)
    which = which or (lambda place: place < last)
    return [
        g + sign * alpha * (w - s) if which(place) else g
        for place, (w, g, s) in enumerate(zip(weights, gradients, start, strict=True))
    ]


def _clipped(gradients, moving, max_norm, *, measured=None):
    """All gradients by one factor; `measured` makes the norm of the list of those that move."""
    measured = measured or (lambda some: torch.cat([g.flatten() for g in some]).norm())
    norm = measured([g for g, moves in zip(gradients, moving, strict=True) if moves])
    factor = max_norm / norm if norm > max_norm else 1.0
    return [g * factor for g in gradients]


def _stepped(weights, gradients, rates, moving):
    every = zip(weights, gradients, rates, moving, strict=True)
    return [w - rate * g if moves else w.clone() for w, g, rate, moves in every]


def _measured(name, hint, measured):
    """Catalogue a step whose norm is measured otherwise."""

    @fine_tuning_step.mistake(name, hint=hint)
    def _(weights, gradients, start, rates, moving, alpha, max_norm):
        pulled = _pulled(weights, gradients, start, alpha)
        clipped = _clipped(pulled, moving, max_norm, measured=measured)
        return _stepped(weights, clipped, rates, moving)


def _flat(some):
    return torch.cat([g.flatten() for g in some])


_measured(
    "the mean of the groups' norms",
    "You take the mean of the groups' norms. The norm is that of all of them as one vector.",
    lambda some: sum(g.norm() for g in some) / len(some),
)
_measured(
    "the root of the mean square as the norm",
    "You average the squares. They are added up for a norm.",
    lambda some: _flat(some).square().mean().sqrt(),
)
_measured(
    "the first group's norm",
    "You measure the lowest group that moves alone. All that move make one long vector.",
    lambda some: some[0].norm(),
)
_measured(
    "the last group's norm",
    "You measure the highest group that moves alone. All that move make one long vector.",
    lambda some: some[-1].norm(),
)
_measured(
    "the root of the sum of the norms",
    "You take the root of the sum of norms. It is the squares that are added up.",
    lambda some: sum(g.norm() for g in some).sqrt(),
)


@fine_tuning_step.mistake(
    "the pull beside the step, at the group's rate",
    hint="You pull beside the gradient, as AdamW decays weights, so the pull is never clipped. It "
    "is part of the gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    new = _stepped(weights, _clipped(gradients, moving, max_norm), rates, moving)
    every = zip(weights, new, start, rates, moving, strict=True)
    pulled = [n - r * alpha * (n - s) if m else n for w, n, s, r, m in every]
    return [*pulled[:-1], new[-1]]


@fine_tuning_step.mistake(
    "the pull after the step, without a rate",
    hint="You move the weights towards their start after the step, with no rate and no clipping. "
    "The pull is part of the gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    new = _stepped(weights, _clipped(gradients, moving, max_norm), rates, moving)
    pulled = [n - alpha * (n - s) if m else n for n, s, m in zip(new, start, moving, strict=True)]
    return [*pulled[:-1], new[-1]]


@fine_tuning_step.mistake(
    "the pull beside the step, without a rate",
    hint="You subtract the pull without the group's rate, and unclipped. It is part of the "
    "gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    new = _stepped(weights, _clipped(gradients, moving, max_norm), rates, moving)
    every = zip(weights, new, start, moving, strict=True)
    pulled = [n - alpha * (w - s) if m else n for w, n, s, m in every]
    return [*pulled[:-1], new[-1]]


@fine_tuning_step.mistake(
    "the head is pulled to zero",
    hint="You pull the head to zero, as the paper does. Here the head is not pulled at all.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, [*start[:-1], 0 * start[-1]], alpha, head=True)
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "the highest group that moves is not pulled",
    hint="You take the highest group that moves for the head. The head is the last group, whether "
    "it moves or not.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    top = max(place for place, moves in enumerate(moving) if moves)
    pulled = _pulled(weights, gradients, start, alpha, which=lambda place: place != top)
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "neither the embeddings nor the head are pulled",
    hint="You pull the groups in the middle alone. Every group but the head is pulled.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    last = len(weights) - 1
    pulled = _pulled(weights, gradients, start, alpha, which=lambda place: 0 < place < last)
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "the lowest group alone is pulled",
    hint="You pull the lowest group alone. Every group but the head is pulled.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    last = len(weights) - 1
    pulled = _pulled(weights, gradients, start, alpha, which=lambda p: p == 0 and p < last)
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "the head alone is pulled",
    hint="You pull the head, and no other group. It is the one that is not pulled.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    last = len(weights) - 1
    pulled = _pulled(weights, gradients, start, alpha, which=lambda place: place == last)
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "the penalty itself added to the gradient",
    hint="You add the penalty, a number, to each gradient. Add its gradient.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pairs = list(zip(weights, start, strict=True))[:-1]
    penalty = alpha / 2 * sum((w - s).square().sum() for w, s in pairs)
    pulled = [*(g + penalty for g in gradients[:-1]), gradients[-1]]
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "only the direction of the pull",
    hint="You pull with the sign of the difference alone. The pull grows with the difference.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    every = list(zip(weights, gradients, start, strict=True))[:-1]
    pulled = [*(g + alpha * (w - s).sign() for w, g, s in every), gradients[-1]]
    return _stepped(weights, _clipped(pulled, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "each group clipped to its share",
    hint="You give each group a share of `max_norm`. One factor, from the norm of all, is for all.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    share = max_norm / sum(moving) ** 0.5
    clipped = [g * (share / g.norm()).clamp(max=1.0) for g in pulled]
    return _stepped(weights, clipped, rates, moving)


@fine_tuning_step.mistake(
    "divided by the norm and a bit",
    hint="You add to the norm in the divisor more than rounding needs. The factor is "
    "`max_norm / norm`.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    norm = _flat([g for g, moves in zip(pulled, moving, strict=True) if moves]).norm()
    factor = max_norm / (norm + 1) if norm > max_norm else 1.0
    return _stepped(weights, [g * factor for g in pulled], rates, moving)


@fine_tuning_step.mistake(
    "divided by how much the norm is above the limit",
    hint="You divide by the excess over `max_norm`. The factor is `max_norm / norm`.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    norm = _flat([g for g, moves in zip(pulled, moving, strict=True) if moves]).norm()
    factor = 1 / (1 + norm - max_norm) if norm > max_norm else 1.0
    return _stepped(weights, [g * factor for g in pulled], rates, moving)


@fine_tuning_step.mistake(
    "each group in its own turn",
    hint="You clip while you walk through the groups, so the norm holds only those so far. Measure "
    "all of them first.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    new, squares = [], 0.0
    for w, g, rate, moves in zip(weights, pulled, rates, moving, strict=True):
        squares = squares + g.square().sum() * moves
        factor = (max_norm / squares**0.5).clamp(max=1.0) if moves else 0.0
        new.append(w - rate * factor * g)
    return new


@fine_tuning_step.mistake(
    "rates of those that move, in order",
    hint="You give the first rates to the groups that move. Each group keeps its own rate.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    clipped = _clipped(_pulled(weights, gradients, start, alpha), moving, max_norm)
    left = iter(rates)
    own = [next(left) if moves else 0.0 for moves in moving]
    return _stepped(weights, clipped, own, moving)


@fine_tuning_step.mistake(
    "groups that rest are still pulled",
    hint="You pull groups that do not move. They stay as they are.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    masked = [g * moves for g, moves in zip(gradients, moving, strict=True)]
    clipped = _clipped(_pulled(weights, masked, start, alpha), moving, max_norm)
    return _stepped(weights, clipped, rates, [True] * len(rates))


@fine_tuning_step.mistake(
    "groups that rest are pulled, and in the norm",
    hint="You pull groups that do not move, and count the pull in the norm. They take no part.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    masked = [g * moves for g, moves in zip(gradients, moving, strict=True)]
    every = [True] * len(rates)
    clipped = _clipped(_pulled(weights, masked, start, alpha), every, max_norm)
    return _stepped(weights, clipped, rates, every)


@fine_tuning_step.mistake(
    "only the signs of the gradients",
    hint="You step by the sign of the gradient. Its size counts.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    return _stepped(weights, [g.sign() for g in pulled], rates, moving)


@fine_tuning_step.mistake(
    "clipped twice: each group, then all",
    hint="You clip each group, and then all of them. Once, with one factor, is asked for.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    own = [g * (max_norm / g.norm().clamp(min=1e-12)).clamp(max=1.0) for g in pulled]
    return _stepped(weights, _clipped(own, moving, max_norm), rates, moving)


@fine_tuning_step.mistake(
    "the head is not clipped",
    hint="You leave the head out of clipping. It is left out of the pull alone.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    clipped = _clipped(pulled, moving, max_norm)
    return _stepped(weights, [*clipped[:-1], pulled[-1]], rates, moving)


@fine_tuning_step.mistake(
    "the head is not in the norm, nor clipped",
    hint="You leave the head out of norm and clipping. It is left out of the pull alone.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    low = [*moving[:-1], False]
    clipped = _clipped(pulled, low, max_norm) if any(low) else pulled
    return _stepped(weights, [*clipped[:-1], pulled[-1]], rates, moving)


@fine_tuning_step.mistake(
    "the head is not in the norm",
    hint="You leave the head out of the norm. It is left out of the pull alone.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    low = [*moving[:-1], False]
    return _stepped(weights, _clipped(pulled, low, max_norm) if any(low) else pulled, rates, moving)


@fine_tuning_step.mistake(
    "the root of the factor",
    hint="You take the root of the factor. It is `max_norm / norm` itself.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    norm = _flat([g for g, moves in zip(pulled, moving, strict=True) if moves]).norm()
    factor = (max_norm / norm).sqrt() if norm > max_norm else 1.0
    return _stepped(weights, [g * factor for g in pulled], rates, moving)


@fine_tuning_step.mistake(
    "gradients above the norm dropped",
    hint="You skip the step when the norm is too large. The gradients are scaled down then.",
)
def _(weights, gradients, start, rates, moving, alpha, max_norm):
    pulled = _pulled(weights, gradients, start, alpha)
    norm = _flat([g for g, moves in zip(pulled, moving, strict=True) if moves]).norm()
    factor = 0.0 if norm > max_norm else 1.0
    return _stepped(weights, [g * factor for g in pulled], rates, moving)
