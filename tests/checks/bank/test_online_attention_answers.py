"""Right answers to the exercise on attention in chunks, in other styles."""

import math

import torch
from others_answers import right_answers

from llmcourse.checks.bank import online_attention as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.chunked_attention)
def scores_by_broadcasting(q, k, v, chunk):
    largest = torch.full((len(q),), -math.inf, dtype=q.dtype)
    total, mixed = torch.zeros_like(largest), torch.zeros_like(q)
    for start in range(0, len(k), chunk):
        scores = (q[:, None] * k[None, start : start + chunk]).sum(-1) / q.shape[1] ** 0.5
        new = torch.maximum(largest, scores.max(1).values)
        shrink, weights = (largest - new).exp(), (scores - new[:, None]).exp()
        total = total * shrink + weights.sum(1)
        values = v[None, start : start + chunk]
        mixed = mixed * shrink[:, None] + (weights[:, :, None] * values).sum(1)
        largest = new
    return mixed / total[:, None]


@right(check.chunked_attention)
def keys_and_values_glued(q, k, v, chunk):
    largest = None
    for both in torch.cat([k, v], 1).split(chunk):
        keys, values = both.chunk(2, 1)
        scores = q @ keys.T / q.shape[1] ** 0.5
        highest = scores.amax(1, keepdim=True)
        if largest is None:
            weights = (scores - highest).exp()
            total, mixed, largest = weights.sum(1, keepdim=True), weights @ values, highest
            continue
        new = torch.maximum(largest, highest)
        weights, shrink = (scores - new).exp(), (largest - new).exp()
        total = total * shrink + weights.sum(1, keepdim=True)
        mixed, largest = mixed * shrink + weights @ values, new
    return mixed / total


@right(check.chunked_attention)
def in_place_on_its_own(q, k, v, chunk):
    largest = torch.full((q.size(0), 1), -math.inf, dtype=q.dtype)
    total, mixed = torch.zeros_like(largest), torch.zeros(q.shape, dtype=q.dtype)
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = (q / math.sqrt(q.size(1))) @ keys.T
        new = torch.maximum(largest, scores.amax(1, keepdim=True))
        shrink = (largest - new).exp_()
        weights = scores.sub_(new).exp_()
        total.mul_(shrink).add_(weights.sum(1, keepdim=True))
        mixed.mul_(shrink).addmm_(weights, values)
        largest.copy_(new)
    return mixed.div_(total)


@right(check.chunked_attention)
def float64_inside(q, k, v, chunk):
    output = check.chunked_attention.right(q.double(), k.double(), v.double(), chunk)
    return output.to(q.dtype)


@right(check.chunked_attention)
def maxima_first(q, k, v, chunk):
    pieces = list(zip(k.split(chunk), v.split(chunk), strict=True))
    largest = torch.full_like(q[:, :1], -math.inf)
    for keys, _ in pieces:
        largest = torch.maximum(largest, (q @ keys.T / q.size(1) ** 0.5).amax(1, keepdim=True))
    total, mixed = 0, 0
    for keys, values in pieces:
        weights = (q @ keys.T / q.size(1) ** 0.5 - largest).exp()
        total, mixed = total + weights.sum(1, keepdim=True), mixed + weights @ values
    return mixed / total


@right(check.chunked_attention)
def outputs_weighted_by_their_logarithms(q, k, v, chunk):
    outputs, logs = [], []
    for keys, values in zip(k.split(chunk), v.split(chunk), strict=True):
        scores = q @ keys.T / q.size(1) ** 0.5
        outputs.append(scores.softmax(1) @ values)
        logs.append(scores.logsumexp(1))
    shares = torch.stack(logs).softmax(0)
    return sum(share[:, None] * output for share, output in zip(shares, outputs, strict=True))


@right(check.chunked_attention)
def one_number_at_a_time(q, k, v, chunk):
    rows = []
    for query in q:
        largest, total, mixed = -math.inf, 0.0, torch.zeros_like(v[0])
        for key, value in zip(k, v, strict=True):
            score = (query @ key).item() / math.sqrt(len(query))
            new = max(largest, score)
            shrink, weight = math.exp(largest - new), math.exp(score - new)
            total, mixed, largest = total * shrink + weight, mixed * shrink + weight * value, new
        rows.append(mixed / total)
    return torch.stack(rows)


@right(check.chunked_attention)
def by_recursion(q, k, v, chunk):
    def joined(largest, total, mixed, keys, values):
        scores = q @ keys.mT / q.size(-1) ** 0.5
        new = scores.amax(-1, keepdim=True).maximum(largest)
        shrink, weights = (largest - new).exp(), (scores - new).exp()
        return (
            new,
            total * shrink + weights.sum(-1, keepdim=True),
            mixed * shrink + weights @ values,
        )

    def walk(state, k, v):
        return walk(joined(*state, k[:chunk], v[:chunk]), k[chunk:], v[chunk:]) if len(k) else state

    nothing = torch.zeros_like(q[:, :1])
    _, total, mixed = walk((nothing - math.inf, nothing, torch.zeros_like(q)), k, v)
    return mixed / total


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
