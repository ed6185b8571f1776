"""Right answers to the exercises of chapter 10, in the styles in which people write them."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from others_answers import catalogued_answers, right_answers

from llmcourse.checks.bank import pipelines, rings, shards, vocabulary


def as_a_share(numbers, ranks, element):
    return 2 * (ranks - 1) / ranks * numbers * element


def step_by_step(numbers, ranks, element):
    return sum(numbers // ranks * element for half in range(2) for step in range(ranks - 1))


def less_two_chunks(numbers, ranks, element):
    return 2 * element * (numbers - numbers // ranks)


def by_two_loops(tensors, steps):
    n = len(tensors)
    table = [[chunk.clone() for chunk in tensor.tensor_split(n)] for tensor in tensors]
    for s in range(1, min(steps, n - 1) + 1):
        sent = {r: table[r][(r - s) % n].clone() for r in range(n)}
        for r in range(n):
            table[(r + 1) % n][(r - s) % n] += sent[r]
    for k in range(max(0, steps - n + 1)):
        sent = {r: table[r][(r - k) % n].clone() for r in range(n)}
        for r in range(n):
            table[(r + 1) % n][(r - k) % n] = sent[r]
    return table


def seen_by_the_receiver(tensors, steps):
    n = len(tensors)
    table = [tuple(tensor.tensor_split(n)) for tensor in tensors]
    for s in range(1, steps + 1):
        before = table
        table = []
        for r in range(n):
            from_, chunk = (r - 1) % n, (r - 1 - s) % n
            row = list(before[r])
            row[chunk] = before[from_][chunk] + (row[chunk] if s < n else 0)
            table.append(tuple(row))
    return table


def recursive(tensors, steps):
    n = len(tensors)
    if steps == 0:
        return [list(tensor.tensor_split(n)) for tensor in tensors]
    before = recursive(tensors, steps - 1)
    after = [list(row) for row in before]
    for r in range(n):
        c = (r - steps) % n
        add = before[(r + 1) % n][c] if steps < n else torch.zeros_like(before[r][c])
        after[(r + 1) % n][c] = before[r][c] + add
    return after


def chosen_rows(means, counts):
    some = counts.nonzero().squeeze(1)
    return (means[some] * counts[some].unsqueeze(1)).sum(0) / counts[some].sum()


def rank_by_rank(means, counts):
    total = torch.zeros_like(means[0])
    for mean, count in zip(means, counts.tolist(), strict=True):
        if count:
            total += count * mean
    return total / counts.sum().item()


def as_a_product(means, counts):
    return (counts.to(means.dtype) @ means.nan_to_num()) / counts.sum()


def in_numpy(means, counts):
    rows, weights = means.numpy(), counts.numpy()
    found = np.average(rows[weights > 0], axis=0, weights=weights[weights > 0])
    return torch.from_numpy(found.astype(rows.dtype))


def padded_first(parameters, ranks, rank):
    flat = torch.cat([p.flatten() for p in parameters])
    return F.pad(flat, (0, -flat.numel() % ranks)).chunk(ranks)[rank]


def number_by_number(parameters, ranks, rank):
    numbers = [number for p in parameters for number in p.reshape(-1).tolist()]
    length = math.ceil(len(numbers) / ranks)
    numbers += [0.0] * (length * ranks - len(numbers))
    return torch.tensor(numbers, dtype=parameters[0].dtype)[rank * length :][:length]


def into_a_table(parameters, ranks, rank):
    flat = torch.nn.utils.parameters_to_vector([p.contiguous() for p in parameters])
    length = (flat.numel() + ranks - 1) // ranks
    table = torch.zeros(ranks, length, dtype=flat.dtype)
    table.view(-1)[: flat.numel()] = flat
    return table[rank]


def by_split(pieces, shapes):
    sizes = [math.prod(shape) for shape in shapes]
    flat = torch.cat(pieces)
    parts = flat.split([*sizes, len(flat) - sum(sizes)])
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=False))


def from_the_front(pieces, shapes):
    flat, found = torch.hstack(pieces), []
    for shape in shapes:
        size = math.prod(shape)
        found.append(flat[:size].reshape(shape))
        flat = flat[size:]
    return found


def by_offsets(pieces, shapes):
    flat = torch.concat(list(pieces))
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes]).tolist()
    return [
        flat[end - math.prod(shape) : end].view(*shape) if shape else flat[end - 1]
        for end, shape in zip(ends, shapes, strict=True)
    ]


def by_chunks(x, a, b, bias, rank, ranks):
    up, down = a.chunk(ranks, dim=1)[rank], b.chunk(ranks, dim=0)[rank]
    y = F.relu(x @ up) @ down
    return y + bias * (rank == 0)


def by_einsum(x, a, b, bias, rank, ranks):
    up = a.unflatten(1, (ranks, -1))[:, rank]
    hidden = torch.einsum("td,df->tf", x, up).clamp(min=0)
    y = torch.einsum("tf,fd->td", hidden, b.unflatten(0, (ranks, -1))[rank])
    return y if rank else y + bias


def by_linear(x, a, b, bias, rank, ranks):
    n = a.shape[1] // ranks
    up, down = a.T[rank * n : rank * n + n], b.T[:, rank * n : rank * n + n]
    return F.linear(F.linear(x, up).relu(), down, bias if rank == 0 else None)


def back_by_chunks(x, a, b, g, rank, ranks):
    up, down = a.chunk(ranks, 1)[rank], b.chunk(ranks, 0)[rank]
    hidden = x @ up
    return torch.where(hidden > 0, g @ down.mT, 0.0) @ up.mT


def back_by_autograd(x, a, b, g, rank, ranks):
    up, down = a.tensor_split(ranks, 1)[rank], b.tensor_split(ranks)[rank]
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad((leaf @ up).relu() @ down, leaf, g)[0]


def back_by_einsum(x, a, b, g, rank, ranks):
    n = a.size(1) // ranks
    up, down = a[:, rank * n :][:, :n], b[rank * n :][:n]
    sign = (x @ up).sign().clamp(min=0)
    return torch.einsum("te,fe,tf,df->td", g, down, sign, up)


def picked_by_one_hot(logits, targets, start):
    largest, _ = logits.max(1)
    total = torch.exp(logits - largest.unsqueeze(1)).sum(1)
    columns = torch.arange(start, start + logits.shape[1])
    hit = columns[None, :] == targets[:, None]
    return largest, total, logits.masked_fill(~hit, 0.0).sum(1)


def position_by_position(logits, targets, start):
    rows = []
    for row, target in zip(logits, targets.tolist(), strict=True):
        top = row.max()
        here = target - start
        zero = torch.zeros((), dtype=row.dtype)
        rows.append((top, (row - top).exp().sum(), row[here] if 0 <= here < len(row) else zero))
    return [torch.stack(kind) for kind in zip(*rows, strict=True)]


def with_a_mask(logits, targets, start):
    T, W = logits.shape
    mask = (start <= targets) & (targets < start + W)
    picked = torch.zeros(T, dtype=logits.dtype)
    picked[mask] = logits[mask, targets[mask] - start]
    top = logits.amax(-1, keepdim=True)
    return top.squeeze(-1), (logits - top).exp().sum(-1), picked


def by_logsumexp(largest, totals, picked):
    return torch.logsumexp(largest + totals.log(), 0) - picked.sum(0)


def one_rank_after_the_other(largest, totals, picked):
    top, total = largest[0], totals[0]
    for other, more in zip(largest[1:], totals[1:], strict=True):
        higher = torch.maximum(top, other)
        total = total * (top - higher).exp() + more * (other - higher).exp()
        top = higher
    return (top - picked.sum(0)) + total.log()


def relative_to_the_target(largest, totals, picked):
    wanted = picked.sum(0)
    top = largest.max(0).values
    return (totals * (largest - top).exp()).sum(0).log() + top - wanted


def by_queue(stage, stages, micro_batches):
    flying, forward, found = [], list(range(micro_batches)), []
    limit = stages - stage
    while forward or flying:
        if forward and len(flying) < limit:
            flying.append(forward.pop(0))
            found.append(("F", flying[-1]))
        else:
            found.append(("B", flying.pop(0)))
    return found


def by_yield(stage, stages, micro_batches):
    fill = min(stages - stage - 1, micro_batches)
    for i in range(micro_batches + fill):
        if i < micro_batches:
            yield "F", i
        if i >= fill:
            yield "B", i - fill


def as_lists(stage, stages, micro_batches):
    found, f, b = [], 0, 0
    for _ in range(min(stages - 1 - stage, micro_batches)):
        found.append(["F", f])
        f += 1
    while f < micro_batches:
        found += [["F", f], ["B", b]]
        f, b = f + 1, b + 1
    return found + [["B", i] for i in range(b, micro_batches)]


def shared_as_one_matrix(tensors, steps):
    n = len(tensors)
    sizes = [chunk.numel() for chunk in tensors[0].tensor_split(n)]
    now = torch.stack(tensors)
    for step in range(1, steps + 1):
        after = [list(row.split(sizes)) for row in now]
        for r, row in enumerate(now):
            chunk = (r - step) % n if step < n else (r - step + n) % n
            sent, to = row.split(sizes)[chunk], (r + 1) % n
            after[to][chunk] = after[to][chunk] + sent if step < n else sent
        now = torch.stack([torch.cat(row) for row in after])
    return [list(row.split(sizes)) for row in now]


def by_nansum(means, counts):
    return torch.nansum(means * counts[:, None], dim=0) / counts.sum()


def masked_hidden_units(x, a, b, bias, rank, ranks):
    mine = torch.arange(a.shape[1]) // (a.shape[1] // ranks) == rank
    return ((x @ a).relu() * mine.to(x.dtype)) @ b + bias * float(rank == 0)


def by_addition_of_logarithms(largest, totals, picked):
    return functools.reduce(torch.logaddexp, list(largest + totals.log())) - picked.sum(0)


def by_recursion(stage, stages, micro_batches, f=0, b=0):
    if b == micro_batches:
        return []
    if f < micro_batches and f - b < stages - stage:
        return [("F", f), *by_recursion(stage, stages, micro_batches, f + 1, b)]
    return [("B", b), *by_recursion(stage, stages, micro_batches, f, b + 1)]


STYLES = {
    rings.ring_bytes: (as_a_share, step_by_step, less_two_chunks),
    rings.ring_all_reduce: (by_two_loops, seen_by_the_receiver, recursive, shared_as_one_matrix),
    rings.global_gradient: (chosen_rows, rank_by_rank, as_a_product, in_numpy, by_nansum),
    shards.shard: (padded_first, number_by_number, into_a_table),
    shards.unshard: (by_split, from_the_front, by_offsets),
    shards.rank_output: (by_chunks, by_einsum, by_linear, masked_hidden_units),
    shards.rank_gradient: (back_by_chunks, back_by_autograd, back_by_einsum),
    vocabulary.local_part: (picked_by_one_hot, position_by_position, with_a_mask),
    vocabulary.merged_loss: (
        by_logsumexp,
        one_rank_after_the_other,
        relative_to_the_target,
        by_addition_of_logarithms,
    ),
    pipelines.one_forward_one_backward: (by_queue, by_yield, as_lists, by_recursion),
}
RIGHT = [(check, answer) for check, answers in STYLES.items() for answer in answers]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


def without_zeros(pieces, shapes):
    numbers = [number for piece in pieces for number in piece.tolist() if number]
    numbers += [0.0] * sum(len(piece) for piece in pieces)
    found = []
    for shape in shapes:
        size = torch.Size(shape).numel()
        found.append(torch.tensor(numbers[:size], dtype=pieces[0].dtype).reshape(shape))
        numbers = numbers[size:]
    return found


def filled_with_ones(parameters, ranks, rank):
    flat = torch.cat([each.flatten() for each in parameters])
    missing = (ranks - len(flat) % ranks) % ranks
    return torch.nn.functional.pad(flat, (0, missing), value=1.0).chunk(ranks)[rank]


def bias_on_the_last(x, a, b, bias, rank, ranks):
    found = by_chunks(x, a, b, torch.zeros_like(bias), rank, ranks)
    return found + bias if rank + 1 == ranks else found


def one_top_for_all(largest, totals, picked):
    scaled = totals * torch.exp(largest - largest.max())
    return torch.log(scaled.sum(dim=0)) + largest.max() - picked.sum(dim=0)


WRONG = [
    (shards.unshard, without_zeros, "zeros dropped wherever they are"),
    (shards.shard, filled_with_ones, "filled up with ones"),
    (shards.rank_output, bias_on_the_last, "the last rank adds the bias"),
    (vocabulary.merged_loss, one_top_for_all, "one largest for all positions"),
]


test_a_wrong_answer_in_words_of_its_own_is_named = catalogued_answers(WRONG)


def test_four_stages_need_28_micro_batches():
    assert pipelines.enough.verdict(28).status == "passed"
    assert pipelines.enough.verdict(29).status == "wrong"
    assert pipelines.enough.verdict(27.0).mistake.name == "at 10 %, not below"
