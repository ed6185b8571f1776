"""Right answers to the exercises on the CRF, in the styles in which people write them."""

import itertools
import math

import numpy as np
import pytest
import torch
from others_answers import right_answers

from llmcourse.checks.bank import crf, crf_certainty


def tag_by_tag(emissions, transitions, start, end):
    n_words, n_tags = emissions.shape
    alpha = [start[j] + emissions[0, j] for j in range(n_tags)]
    for t in range(1, n_words):
        new = []
        for j in range(n_tags):
            ways = torch.stack([alpha[i] + transitions[i, j] for i in range(n_tags)])
            new.append(ways.logsumexp(0) + emissions[t, j])
        alpha = new
    return torch.stack([alpha[j] + end[j] for j in range(n_tags)]).logsumexp(0)


def from_the_right(emissions, transitions, start, end):
    beta = end
    for emission in emissions[1:].flip(0):
        beta = (transitions + (emission + beta)[None, :]).logsumexp(-1)
    return torch.logsumexp(start + emissions[0] + beta, -1).reshape(1)


def largest_out_by_hand(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        top = alpha.max()
        table = (alpha - top)[:, None] + transitions + emission[None, :]
        peak = table.max(dim=0).values
        alpha = (table - peak).exp().sum(0).log() + peak + top
    alpha = alpha + end
    return (alpha - alpha.max()).exp().sum().log() + alpha.max()


def columns_scaled(emissions, transitions, start, end):
    """Weights, made to sum to one at each word; the logs of the sums are added up."""
    total, share = 0, (start + emissions[0]).softmax(0).log()
    total = (start + emissions[0]).logsumexp(0)
    for emission in emissions[1:]:
        table = (share[:, None] + transitions + emission).logsumexp(0)
        total = total + table.logsumexp(0)
        share = table - table.logsumexp(0)
    return total + (share + end).logsumexp(0)


def by_halves(emissions, transitions, start, end):
    """A tree: matrices of pairs, joined two by two."""
    if len(emissions) == 1:
        return (start + emissions[0] + end).logsumexp(0)
    tables = [transitions + emission for emission in emissions[1:]]
    while len(tables) > 1:
        joined = [
            (a[:, :, None] + b[None, :, :]).logsumexp(1)
            for a, b in zip(tables[::2], tables[1::2], strict=False)
        ]
        tables = joined + ([tables[-1]] if len(tables) % 2 else [])
    return ((start + emissions[0])[:, None] + tables[0] + end).flatten().logsumexp(0)


def lists_of_paths(emissions, transitions, start, end):
    """Each tag carries its whole path along."""
    n_tags = emissions.size(1)
    ways = {j: ((start[j] + emissions[0, j]).item(), [j]) for j in range(n_tags)}
    for emission in emissions[1:]:
        new = {}
        for j in range(n_tags):
            scored = [(w + transitions[i, j].item(), path) for i, (w, path) in ways.items()]
            best, path = max(scored, key=lambda pair: pair[0])
            new[j] = (best + emission[j].item(), [*path, j])
        ways = new
    return max((w + end[j].item(), path) for j, (w, path) in ways.items())[1]


def in_numpy(emissions, transitions, start, end):
    e, a, s, z = (x.numpy().astype(np.float64) for x in (emissions, transitions, start, end))
    best = np.zeros_like(e)
    from_ = np.zeros(e.shape, dtype=int)
    best[0] = s + e[0]
    for t in range(1, len(e)):
        table = best[t - 1][:, None] + a + e[t][None, :]
        from_[t], best[t] = table.argmax(axis=0), table.max(axis=0)
    path = np.empty(len(e), dtype=int)
    path[-1] = (best[-1] + z).argmax()
    for t in range(len(e) - 1, 0, -1):
        path[t - 1] = from_[t, path[t]]
    return list(path)


def from_behind(emissions, transitions, start, end):
    """Best ways on to the end, from right to left; then forwards without a pointer."""
    onward = [end]
    for emission in emissions[1:].flip(0):
        onward.append((transitions + emission + onward[-1]).max(dim=1).values)
    onward = onward[::-1]
    path = [(start + emissions[0] + onward[0]).argmax()]
    for t in range(1, len(emissions)):
        path.append((transitions[path[-1]] + emissions[t] + onward[t]).argmax())
    return torch.stack(path)


def last_of_ties(emissions, transitions, start, end):
    e, a = emissions.double().flip(1), transitions.double().flip(0, 1)
    best = lists_of_paths(e, a, start.double().flip(0), end.double().flip(0))
    return [emissions.size(1) - 1 - tag for tag in best]


def by_gradient(emissions, transitions, start, end):
    leaf = emissions.detach().clone().requires_grad_()
    with torch.enable_grad():
        log_z = tag_by_tag(leaf, transitions, start, end)
    return torch.autograd.grad(log_z, leaf)[0]


def in_float64(emissions, transitions, start, end):
    e, a, s, z = (x.double() for x in (emissions, transitions, start, end))
    alphas, betas = crf_certainty._both(e, a, s, z)
    log_z = (alphas[-1] + z).logsumexp(0)
    return (alphas + betas - log_z).exp().to(emissions.dtype)


def pairs_first(emissions, transitions, start, end):
    """Probabilities of neighbouring pairs, summed over the tag behind."""
    alphas, betas = crf_certainty._both(emissions, transitions, start, end)
    log_z = (alphas[-1] + end).logsumexp(0)
    rows = []
    for t in range(len(emissions) - 1):
        pairs = alphas[t][:, None] + transitions + emissions[t + 1] + betas[t + 1] - log_z
        rows.append(pairs.logsumexp(1).exp())
    return torch.stack([*rows, (alphas[-1] + end - log_z).exp()])


def each_tag_pinned(emissions, transitions, start, end):
    """The share of Z that is left when a word has to have a tag."""
    if len(emissions) > 20:  # the same thing, without waiting for it
        return in_float64(emissions, transitions, start, end)
    rows = torch.zeros_like(emissions)
    total = tag_by_tag(emissions, transitions, start, end)
    for t, j in itertools.product(range(emissions.size(0)), range(emissions.size(1))):
        pinned = torch.full_like(emissions, -math.inf)
        pinned[:, :] = emissions
        pinned[t] = -1e30
        pinned[t, j] = emissions[t, j]
        rows[t, j] = (from_the_right(pinned, transitions, start, end)[0] - total).exp()
    return rows


LOG_Z = (tag_by_tag, from_the_right, largest_out_by_hand, columns_scaled, by_halves)
RIGHT = [
    *((crf.log_partition, f) for f in LOG_Z),
    *((crf.viterbi, f) for f in (lists_of_paths, in_numpy, from_behind, last_of_ties)),
    *(
        (crf_certainty.marginals, f)
        for f in (by_gradient, in_float64, pairs_first, each_tag_pinned)
    ),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


@pytest.mark.parametrize("share", [0.1, "right"])
def test_a_share_is_taken_as_a_number_or_a_tensor(share):
    right = crf.share_changed.right()
    for handed_in in (right, torch.tensor(right), round(right, 3)):
        assert crf.share_changed.verdict(handed_in).text.startswith("✓")
    assert not crf.share_changed.verdict(right + 0.02).text.startswith("✓")


def test_the_share_falls_with_the_factor():
    shares = [crf._changed(factor) for factor in (0.25, 0.5, 1, 2, 3, 4)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1] > 0
