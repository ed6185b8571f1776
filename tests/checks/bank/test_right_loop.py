"""Right answers to the exercises on the training loop, in the styles in which people write them."""

import itertools
import math

import numpy as np
import pytest
import torch

from llmcourse.checks.bank import loop, searching


def masked_and_glued(parts):
    return torch.cat([losses[scored] for losses, scored in parts]).mean()


def in_numbers(parts):
    total, count = 0.0, 0
    for losses, scored in parts:
        for row, kept in zip(losses.tolist(), scored.tolist(), strict=True):
            for loss, counts in zip(row, kept, strict=True):
                if counts:
                    total += loss
                    count += 1
    return total / count


def of_one_number(parts):
    total, count = torch.zeros(1), torch.zeros(1)
    for losses, scored in parts:
        total = total + torch.where(scored, losses, 0.0).sum()
        count = count + scored.float().sum()
    return total / count


def weighted_means(parts):
    counts = [scored.sum().double() for _, scored in parts]
    means = [losses[scored].double().mean() if scored.any() else 0.0 for losses, scored in parts]
    return sum(c * m for c, m in zip(counts, means, strict=True)) / sum(counts)


def token_by_token(documents):
    rows, length = documents.shape
    mask = torch.zeros(rows, length, length, dtype=torch.bool)
    positions = torch.zeros(rows, length, dtype=torch.long)
    for b, t in itertools.product(range(rows), range(length)):
        for s in range(t + 1):
            mask[b, t, s] = documents[b, t] == documents[b, s]
        if t and documents[b, t] == documents[b, t - 1]:
            positions[b, t] = positions[b, t - 1] + 1
    return mask, positions


def by_beginnings(documents):
    length = documents.size(1)
    places = torch.arange(length)
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    start = torch.where(begins, places, 0).cummax(dim=1).values
    seen = (places[None, None, :] >= start[:, :, None]) & (places[None, :] <= places[:, None])
    return seen, places - start


def as_numbers(documents):
    same = (documents.unsqueeze(2) == documents.unsqueeze(1)).int()
    mask = same * torch.tril(torch.ones(documents.size(1), documents.size(1), dtype=torch.int))
    return mask, mask.cumsum(-1).amax(-1).int() - 1


def chained(order_of, position, n):
    every = itertools.chain.from_iterable(order_of(epoch) for epoch in itertools.count())
    return list(itertools.islice(every, position, position + n))


def epoch_by_epoch(order_of, position, n):
    taken, size = [], len(order_of(0))
    epoch, within = position // size, position % size
    while len(taken) < n:
        order = order_of(epoch)
        taken += order[within : within + n - len(taken)]
        epoch, within = epoch + 1, 0
    return taken


def in_numpy(order_of, position, n):
    size = len(order_of(0))
    last = (position + n) // size
    flat = np.concatenate([order_of(epoch) for epoch in range(last + 1)])
    return [int(window) for window in flat[position : position + n]]


def recursive(score, n, first, eta):
    def rounds(left, had, target):
        cost = len(left) * (target - had)
        ranked = sorted(left, key=lambda c: (score(c, target), -c))
        if len(left) <= eta:
            return ranked[0], cost
        winner, rest = rounds(ranked[: max(1, len(left) // eta)], target, target * eta)
        return winner, cost + rest

    return rounds(range(n), 0, first)


def each_remembers(score, n, first, eta):
    steps = dict.fromkeys(range(n), 0)
    left, target, spent = set(range(n)), first, 0
    while True:
        scores = {}
        for candidate in left:
            spent += target - steps[candidate]
            steps[candidate] = target
            scores[candidate] = score(candidate, target)
        if len(left) <= eta:
            return min(scores, key=scores.get), spent
        left = set(sorted(scores, key=scores.get)[: len(left) // eta])
        target *= eta


def by_argsort(score, n, first, eta):
    alive, total, last, now = np.arange(n), 0, 0, first
    while True:
        total += alive.size * (now - last)
        losses = np.array([score(int(c), now) for c in alive])
        if alive.size <= eta:
            return int(alive[losses.argmin()]), int(total)
        alive = alive[np.argsort(losses, kind="stable")][: math.floor(alive.size / eta)]
        last, now = now, eta * now


RIGHT = [
    *((loop.accumulated_loss, f) for f in (masked_and_glued, in_numbers, of_one_number)),
    (loop.accumulated_loss, weighted_means),
    *((loop.keep_apart, f) for f in (token_by_token, by_beginnings, as_numbers)),
    *((loop.next_windows, f) for f in (chained, epoch_by_epoch, in_numpy)),
    *((searching.halving, f) for f in (recursive, each_remembers, by_argsort)),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")
