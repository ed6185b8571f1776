"""Right answers to the exercises on the loss, in the styles in which people write them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import loss


def by_row(logits):
    rows = []
    for row in logits.tolist():
        top = max(row)
        total = sum(math.exp(score - top) for score in row)
        rows.append([score - top - math.log(total) for score in row])
    return torch.tensor(rows)


def in_numpy(logits):
    scores = logits.double().numpy()
    below = scores - scores.max(axis=1, keepdims=True)
    return torch.from_numpy(below - np.log(np.exp(below).sum(axis=1, keepdims=True)))


def by_differences(logits):
    """-log Σ_j exp(z_j - z_i), of all pairs; the largest difference of a row is taken out first."""
    gaps = logits.float()[:, None, :] - logits.float()[:, :, None]
    top = gaps.amax(-1, keepdim=True)
    return -(top[..., 0] + (gaps - top).exp().sum(-1).log())


def glued(pieces):
    scores = torch.cat(pieces, dim=1)
    top = scores.max(dim=1).values
    return top + torch.log(torch.exp(scores - top[:, None]).sum(dim=1))


def of_pairs(pieces):
    found = torch.logsumexp(pieces[0], dim=1)
    for piece in pieces[1:]:
        found = torch.logaddexp(found, piece.logsumexp(dim=1))
    return found


def number_by_number(pieces):
    found = []
    for n in range(len(pieces[0])):
        scores = [score for piece in pieces for score in piece[n].tolist()]
        top = max(scores)
        found.append(top + math.log(sum(math.exp(score - top) for score in scores)))
    return torch.tensor(found)


def top_first(pieces):
    """Two walks: the largest of all, then the sum."""
    top = torch.stack([piece.double().amax(1) for piece in pieces]).amax(0)
    return top + sum((piece - top[:, None]).exp().sum(1) for piece in pieces).log()


def in_place_on_its_own(logits, targets, smoothing=0.0):
    p = torch.softmax(logits, dim=-1).clone()
    p -= smoothing / logits.shape[-1]
    for n, target in enumerate(targets.tolist()):
        p[n, target] -= 1 - smoothing
    return p / logits.shape[0]


def into_zeros(logits, targets, smoothing=0.0):
    n, v = logits.shape
    found = torch.zeros(n, v)
    for i in range(n):
        powers = torch.exp(logits[i] - logits[i].max())
        for j in range(v):
            wanted = smoothing / v + (1 - smoothing if j == targets[i] else 0)
            found[i, j] = (powers[j] / powers.sum() - wanted) / n
    return found


def in_float64(logits, targets, smoothing=0.0):
    y = F.one_hot(targets, logits.size(1)).double() * (1 - smoothing) + smoothing / logits.size(1)
    return (logits.double().softmax(1) - y) / targets.numel()


def by_autograd(logits, targets, smoothing=0.0):
    leaf = logits.detach().requires_grad_()
    F.cross_entropy(leaf, targets, label_smoothing=smoothing).backward()
    return leaf.grad


RIGHT = [
    (loss.log_softmax, by_row),
    (loss.log_softmax, in_numpy),
    (loss.log_softmax, by_differences),
    (loss.log_softmax, lambda logits: logits.float().log_softmax(1)),
    (loss.log_sum_exp, glued),
    (loss.log_sum_exp, of_pairs),
    (loss.log_sum_exp, number_by_number),
    (loss.log_sum_exp, top_first),
    (loss.logit_gradient, in_place_on_its_own),
    (loss.logit_gradient, into_zeros),
    (loss.logit_gradient, in_float64),
    (loss.logit_gradient, by_autograd),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__.strip('<>')}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")
