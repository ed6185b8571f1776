"""Right answers to the exercises on attention, in other styles."""

import math

import torch
import torch.nn.functional as F
from others_answers import right_answers

from llmcourse.checks.bank import attention as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.attention_scores)
def einsum(q, k):
    return torch.einsum("btk,bsk->bts", q, k) / math.sqrt(q.shape[-1])


@right(check.attention_scores)
def broadcast(q, k):
    return (q[:, :, None] * k[:, None]).sum(-1) * q.shape[-1] ** -0.5


@right(check.attention_scores)
def loops_over_texts(q, k):
    return torch.stack([torch.mm(a, b.t()) for a, b in zip(q, k, strict=True)]) / k.size(2) ** 0.5


@right(check.attention_scores)
def float64_inside(q, k):
    return (q.double() @ k.double().transpose(1, 2) / math.sqrt(q.size(2))).to(q.dtype)


@right(check.attention_scores)
def both_scaled_first(q, k):
    root = q.size(-1) ** 0.25
    return torch.bmm(q / root, (k / root).permute(0, 2, 1))


@right(check.softmax)
def logarithm_of_the_sum(scores, mask=None):
    if mask is None:
        return (scores - scores.logsumexp(-1, keepdim=True)).exp()
    low = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return (low - low.logsumexp(-1, keepdim=True)).exp() * mask


@right(check.softmax)
def rows_in_a_loop(scores, mask=None):
    rows = []
    for number, row in enumerate(scores):
        allowed = torch.ones_like(row, dtype=torch.bool) if mask is None else mask[number]
        weights = torch.zeros_like(row)
        if allowed.any():
            kept = row[allowed]
            exponentials = torch.exp(kept - kept.max())
            weights[allowed] = exponentials / exponentials.sum()
        rows.append(weights)
    return torch.stack(rows)


@right(check.softmax)
def a_safe_sum(scores, mask=None):
    allowed = torch.ones_like(scores) if mask is None else mask.to(scores.dtype)
    low = torch.where(allowed > 0, scores, torch.full_like(scores, -3e38))
    exponentials = (low - low.max(dim=1, keepdim=True).values.detach()).exp() * allowed
    return exponentials / exponentials.sum(1, keepdim=True).clamp(min=1e-30)


@right(check.softmax)
def float64_inside_and_in_place(scores, mask=None):
    wide = scores.double()
    if mask is not None:
        wide = wide.masked_fill(mask.logical_not(), -1e300)
    wide = wide - wide.amax(1, keepdim=True)
    weights = wide.exp() / wide.exp().sum(1, keepdim=True)
    if mask is not None:
        weights = weights * mask
    return weights.to(scores.dtype)


@right(check.softmax)
def minus_infinity_and_no_nan(scores, mask=None):
    if mask is None:
        return F.softmax(scores, dim=-1)
    return F.softmax(scores.masked_fill(~mask, -math.inf), dim=-1).nan_to_num()


@right(check.scaled_dot_product_attention)
def the_librarys(q, k, v, mask=None):
    output = F.scaled_dot_product_attention(q, k, v, mask)
    if mask is None:
        return output
    return torch.where(mask.any(-1, keepdim=True), output, torch.zeros_like(output))


@right(check.scaled_dot_product_attention)
def einsum_all_along(q, k, v, mask=None):
    scores = torch.einsum("btk,bsk->bts", q, k) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = torch.where(mask, scores, -1e30)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights * mask
    return torch.einsum("bts,bsk->btk", weights, v)


@right(check.scaled_dot_product_attention)
def one_query_at_a_time(q, k, v, mask=None):
    batch, length, width = q.shape
    mask = torch.ones(1, 1, dtype=torch.bool) if mask is None else mask
    mask = mask.expand(batch, length, k.size(1))
    rows = []
    for b in range(batch):
        for t in range(length):
            see = mask[b, t]
            scores = k[b, see] @ q[b, t] / math.sqrt(width)
            rows.append(scores.softmax(0) @ v[b, see])
    return torch.stack(rows).view(batch, length, width)


@right(check.causal_mask)
def by_comparison(n_queries, n_keys):
    return torch.arange(n_keys) <= torch.arange(n_keys - n_queries, n_keys)[:, None]


@right(check.causal_mask)
def the_future_negated(n_queries, n_keys):
    ones = torch.ones(n_queries, n_keys, dtype=torch.bool)
    return ~torch.triu(ones, n_keys - n_queries + 1)


@right(check.causal_mask)
def lists(n_queries, n_keys):
    behind = n_keys - n_queries
    return torch.tensor([[s <= t + behind for s in range(n_keys)] for t in range(n_queries)])


@right(check.causal_mask)
def the_last_rows_of_a_square(n_queries, n_keys):
    return torch.ones(n_keys, n_keys).tril().bool()[n_keys - n_queries :]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
