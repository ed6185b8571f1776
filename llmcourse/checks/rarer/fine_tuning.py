"""Rarer mistakes of the exercises on what moves, and how fast. Chapter 11 teaches this."""

import math

import torch

from llmcourse.checks.bank.fine_tuning import l2_sp, layer_rates, thawed


def _from_depth(n_layers, rate_at):
    """Rates from the bottom up, where `rate_at` takes how far below the head a group is."""
    return [rate_at(depth) for depth in reversed(range(n_layers + 2))]


@layer_rates.mistake(
    "down a straight line",
    hint="You take the same amount off at each group. Each is multiplied by `decay` instead.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr * (1 - (1 - decay) * depth))


@layer_rates.mistake(
    "down a straight line, and never below nothing",
    hint="You take the same amount off at each group, and stop at 0. Each is multiplied by "
    "`decay` instead.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: max(0.0, lr * (1 - (1 - decay) * depth)))


@layer_rates.mistake(
    "a straight line from `decay` times the rate to the rate",
    hint="You go from `lr * decay` to `lr` in equal steps. The rate is multiplied by `decay` at "
    "every group.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr + (lr * decay - lr) * depth / (n_layers + 1))


@layer_rates.mistake(
    "all of the decay spread over the model",
    hint="You spread one factor `decay` over the whole height. It is paid at every group.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr * decay ** (depth / (n_layers + 1)))


@layer_rates.mistake(
    "divided by the depth",
    hint="You divide by how far below the head a group is. Each is multiplied by `decay`.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr * decay / depth if depth else lr)


@layer_rates.mistake(
    "a factor of 2.6",
    hint="You divide by 2.6 at each group, as ULMFiT did. Here the factor is given: `decay`.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr / 2.6**depth)


@layer_rates.mistake(
    "the decay squared again and again",
    hint="You square the factor on the way down. It is the same at every group.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr * decay ** (2**depth - 1))


@layer_rates.mistake(
    "the embeddings stay put",
    hint="You give the embeddings a rate of 0. They have `decay` times that of the lowest block.",
)
def _(n_layers, lr, decay):
    return [0.0, *_from_depth(n_layers, lambda depth: lr * decay**depth)[1:]]


@layer_rates.mistake(
    "the embeddings as fast as the head",
    hint="You give the embeddings the whole rate. They are the lowest group: the slowest.",
)
def _(n_layers, lr, decay):
    return [lr, *_from_depth(n_layers, lambda depth: lr * decay**depth)[1:]]


@layer_rates.mistake(
    "the embeddings share the first block's rate, where there is one",
    hint="Your embeddings have the rate of the lowest block. They are a group of their own, one "
    "step below it.",
)
def _(n_layers, lr, decay):
    rates = _from_depth(n_layers, lambda depth: lr * decay**depth)
    return [rates[1] if n_layers else rates[0], *rates[1:]]


@layer_rates.mistake(
    "the embeddings two steps below",
    hint="You multiply once more for the embeddings. They lie right below the lowest block.",
)
def _(n_layers, lr, decay):
    rates = _from_depth(n_layers, lambda depth: lr * decay**depth)
    return [rates[0] * decay, *rates[1:]]


@layer_rates.mistake(
    "the rate to the power of the depth",
    hint="You take the power of the whole product. Only `decay` is paid again at each group.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: (lr * decay) ** depth if depth else lr)


@layer_rates.mistake(
    "rates with the rate for their mean",
    hint="You scale the rates until their mean is `lr`. The head's rate is `lr`.",
)
def _(n_layers, lr, decay):
    shares = _from_depth(n_layers, lambda depth: decay**depth)
    return [lr * share * len(shares) / sum(shares) for share in shares]


@layer_rates.mistake(
    "rates that add up to the rate",
    hint="You scale the rates until they add up to `lr`. The head's rate is `lr`.",
)
def _(n_layers, lr, decay):
    shares = _from_depth(n_layers, lambda depth: decay**depth)
    return [lr * share / sum(shares) for share in shares]


@layer_rates.mistake(
    "two groups share a rate",
    hint="You multiply at every second group. It happens at every one.",
)
def _(n_layers, lr, decay):
    return _from_depth(n_layers, lambda depth: lr * decay ** ((depth + 1) // 2))


@layer_rates.mistake(
    "one factor for all below the head",
    hint="You give all groups below the head the same rate. Each is slower than the one above.",
)
def _(n_layers, lr, decay):
    return [lr * decay] * (n_layers + 1) + [lr]


@layer_rates.mistake(
    "only the head and the embeddings",
    hint="Without blocks there are still two groups, with a factor between them.",
)
def _(n_layers, lr, decay):
    if n_layers == 0:
        return [lr]
    return _from_depth(n_layers, lambda depth: lr * decay**depth)


@layer_rates.mistake(
    "powers counted from the bottom",
    hint="You count the powers from the bottom, so the head is the slowest. It is the fastest.",
)
def _(n_layers, lr, decay):
    return [lr * decay ** (place + 1) for place in range(n_layers + 2)]


@layer_rates.mistake(
    "a cosine down to nothing",
    hint="You go down a cosine. Each group has `decay` times the rate of the one above.",
)
def _(n_layers, lr, decay):
    last = n_layers + 1
    return _from_depth(n_layers, lambda d: lr * (1 + math.cos(math.pi * d / last)) / 2)


def _top(moving, n_groups):
    """The highest groups move, from the bottom up."""
    return [place >= n_groups - moving for place in range(n_groups)]


@thawed.mistake(
    "one group at a time, then all",
    hint="You move each group alone, and all of them at the end (chain-thaw). Here a group that "
    "moves goes on moving.",
)
def _(step, every, n_groups):
    period = step // every
    return [period >= n_groups or p == n_groups - 1 - period for p in range(n_groups)]


@thawed.mistake(
    "one group at a time, round and round",
    hint="You move one group at a time and begin again. Groups that move go on moving.",
)
def _(step, every, n_groups):
    return [p == n_groups - 1 - step // every % n_groups for p in range(n_groups)]


@thawed.mistake(
    "one group at a time, and none at last",
    hint="You move each group in its own period alone. Groups that move go on moving.",
)
def _(step, every, n_groups):
    return [p == n_groups - 1 - step // every for p in range(n_groups)]


@thawed.mistake(
    "first the head, then everything",
    hint="You move all groups once the first period is over. Each period adds one group.",
)
def _(step, every, n_groups):
    return [step >= every or place == n_groups - 1 for place in range(n_groups)]


@thawed.mistake(
    "none in the first period, but the head",
    hint="You wait one period longer with the second group: it moves from step `every` on.",
)
def _(step, every, n_groups):
    return _top(max(1, step // every), n_groups)


@thawed.mistake(
    "periods one step too long",
    hint="Your periods have one step more than `every`.",
)
def _(step, every, n_groups):
    return _top(1 + step // (every + 1), n_groups)


@thawed.mistake(
    "periods that grow longer",
    hint="You wait longer for each further group. Every period is as long as the first.",
)
def _(step, every, n_groups):
    waits = [every * k * (k + 1) // 2 for k in range(n_groups)]
    return [step >= waits[n_groups - 1 - place] for place in range(n_groups)]


@thawed.mistake(
    "periods twice as long each time",
    hint="You double the wait for each further group. Every period is as long as the first.",
)
def _(step, every, n_groups):
    waits = [every * (2**k - 1) for k in range(n_groups)]
    return [step >= waits[n_groups - 1 - place] for place in range(n_groups)]


@thawed.mistake(
    "low groups freeze one after the other",
    hint="You begin with all groups and freeze them from the bottom (FreezeOut). Asked for is the "
    "reverse: they thaw from the top.",
)
def _(step, every, n_groups):
    frozen = min(step // every, n_groups - 1)
    return [place >= frozen for place in range(n_groups)]


@thawed.mistake(
    "all frozen once the low groups are",
    hint="You freeze groups from the bottom until none moves. They thaw, from the top.",
)
def _(step, every, n_groups):
    return [place >= step // every for place in range(n_groups)]


@thawed.mistake(
    "head and embeddings first",
    hint="You thaw from both ends. It goes from the top alone.",
)
def _(step, every, n_groups):
    moving = 1 + step // every
    return [min(p, n_groups - 1 - p) < moving for p in range(n_groups)]


@thawed.mistake(
    "the head rests when others move",
    hint="You leave out the head once others move. It goes on moving.",
)
def _(step, every, n_groups):
    moving = min(1 + step // every, n_groups)
    places = [place >= n_groups - moving for place in range(n_groups)]
    return [*places[:-1], moving == 1]


@thawed.mistake(
    "as long a list as groups that move",
    hint="Your list has an entry for those that move alone. The others belong in it, with False.",
)
def _(step, every, n_groups):
    return [True] * min(n_groups, 1 + step // every)


@thawed.mistake(
    "only at the period's first step",
    hint="You move a new group only at the first step of its period. It goes on moving.",
)
def _(step, every, n_groups):
    return _top(1 + (step // every if step % every == 0 else 0), n_groups)


def _squares(weights, start):
    return [(w - s).square() for w, s in zip(weights, start, strict=True)]


@l2_sp.mistake(
    "the mean over the tensors",
    hint="You divide by the number of tensors. The penalty is a sum over all of them.",
)
def _(weights, start, alpha):
    squares = _squares(weights, start)
    return alpha / 2 * sum(square.sum() for square in squares) / len(squares)


@l2_sp.mistake(
    "the size of each difference, not its square",
    hint="You add up the lengths of the differences. Their squares are asked for: no root.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum(square.sum().sqrt() for square in _squares(weights, start))


@l2_sp.mistake(
    "the root of the whole sum",
    hint="You take the root of the sum. The penalty is the sum of squares itself.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum(square.sum() for square in _squares(weights, start)).sqrt()


@l2_sp.mistake(
    "the head left out",
    hint="You leave out the last tensor, as if it were the head. All tensors of the lists count.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum((s.sum() for s in _squares(weights, start)[:-1]), torch.tensor(0.0))


@l2_sp.mistake(
    "the last tensor is pulled to zero",
    hint="You pull the last tensor to zero, as the paper does with the head. Here all tensors are "
    "pulled to where they began.",
)
def _(weights, start, alpha):
    low = sum((s.sum() for s in _squares(weights, start)[:-1]), torch.tensor(0.0))
    return alpha / 2 * (low + weights[-1].square().sum())


@l2_sp.mistake(
    "the distance as a share of the start",
    hint="You divide each tensor's distance by the size of its start. Take it as it is.",
)
def _(weights, start, alpha):
    pairs = zip(_squares(weights, start), start, strict=True)
    return alpha / 2 * sum(d.sum() / s.square().sum().clamp(min=1e-12) for d, s in pairs)


@l2_sp.mistake(
    "alpha in the square",
    hint="You square `alpha` with the difference. It is a factor of the finished sum.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return sum((alpha * (w - s)).square().sum() for w, s in pairs) / 2


@l2_sp.mistake(
    "alpha over 2 to the first tensor alone",
    hint="Your factor reaches the first tensor alone. It belongs to the whole sum.",
)
def _(weights, start, alpha):
    first, *rest = (square.sum() for square in _squares(weights, start))
    return alpha / 2 * first + sum(rest)


@l2_sp.mistake(
    "alpha over 2 to the last tensor alone",
    hint="Your factor reaches the last tensor alone. It belongs to the whole sum.",
)
def _(weights, start, alpha):
    *rest, last = (square.sum() for square in _squares(weights, start))
    return sum(rest) + alpha / 2 * last


@l2_sp.mistake(
    "alpha at each tensor",
    hint="You multiply the running sum by the factor at each tensor. Once is enough, at the end.",
)
def _(weights, start, alpha):
    total = torch.tensor(0.0)
    for square in _squares(weights, start):
        total = (total + square.sum()) * alpha / 2
    return total


@l2_sp.mistake(
    "the gradient in place of the penalty",
    hint="You add up alpha times the differences, which is the gradient. Asked for is the penalty.",
)
def _(weights, start, alpha):
    return alpha * sum((w - s).sum() for w, s in zip(weights, start, strict=True))


@l2_sp.mistake(
    "large differences count plainly",
    hint="You use a Huber loss, which grows plainly beyond 1. Squares are asked for at any size.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha * sum(torch.nn.functional.huber_loss(w, s, reduction="sum") for w, s in pairs)


@l2_sp.mistake(
    "differences of directions",
    hint="You compare directions (cosines). Asked for are squared differences of the numbers.",
)
def _(weights, start, alpha):
    flat = [torch.cat([w.flatten() for w in both]) for both in (weights, start)]
    return alpha / 2 * (1 - torch.nn.functional.cosine_similarity(*flat, dim=0))


@l2_sp.mistake(
    "the largest difference",
    hint="You take the largest square alone. All of them are added up.",
)
def _(weights, start, alpha):
    return alpha / 2 * torch.stack([s.max() for s in _squares(weights, start)]).max()


@l2_sp.mistake(
    "divided by each tensor's rows",
    hint="You divide by the length of the first axis, as for a batch. Add up all squares.",
)
def _(weights, start, alpha):
    return alpha / 2 * sum(square.sum() / len(square) for square in _squares(weights, start))


@l2_sp.mistake(
    "weights times difference",
    hint="You multiply the weights by the difference. The difference is squared.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha / 2 * sum((w * (w - s)).sum() for w, s in pairs)


@l2_sp.mistake(
    "a new tensor made of the number",
    hint="You make a new tensor of the finished number: gradients cannot find their way back.",
)
def _(weights, start, alpha):
    total = sum(square.sum().item() for square in _squares(weights, start))
    return torch.tensor(alpha / 2 * total)


@l2_sp.mistake(
    "the rows' sizes",
    hint="You take a root for each row (group lasso). Squares are added up without roots.",
)
def _(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return alpha / 2 * sum((w - s).norm(dim=-1).sum() for w, s in pairs)
