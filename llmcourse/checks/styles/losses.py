"""Right answers in another style: losses, optimizers, objectives, the loop. No chapter teaches
this.
"""

import math

import torch
from torch import Tensor

CHAPTERS = ("06", "07", "08")


def log_softmax(logits: Tensor) -> Tensor:
    rows = []
    for row in logits:
        below = row - row.max()
        total = torch.exp(below).sum()
        rows.append(below - torch.log(total))
    return torch.stack(rows)


def log_sum_exp(pieces: list[Tensor]) -> Tensor:
    top = torch.stack([piece.amax(dim=-1) for piece in pieces]).amax(dim=0)
    total = torch.zeros_like(top)
    for piece in pieces:
        total = total + torch.exp(piece - top[:, None]).sum(dim=-1)
    return top + torch.log(total)


def backward(graph: list[list[tuple[int, float]]]) -> list[float]:
    grads = [0.0 for _ in graph]
    grads[len(graph) - 1] = 1.0
    for back in range(len(graph)):
        node = len(graph) - 1 - back
        for place in range(len(graph[node])):
            parent, slope = graph[node][place]
            grads[parent] = grads[parent] + grads[node] * slope
    return grads


def logit_gradient(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    rows = []
    for row, target in zip(logits, targets.tolist(), strict=True):
        wanted = torch.zeros_like(row) + smoothing / len(row)
        wanted[target] = wanted[target] + (1 - smoothing)
        rows.append((row.softmax(dim=0) - wanted) / len(targets))
    return torch.stack(rows)


def clip(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    total = 0.0
    for gradient in gradients:
        total = total + float((gradient**2).sum())
    norm = math.sqrt(total)
    if norm <= max_norm:
        return [gradient.clone() for gradient in gradients]
    return [gradient * (max_norm / norm) for gradient in gradients]


def warmup_cosine(progress: float, warmup: float, final: float) -> float:
    if progress >= 1:
        return final
    if progress >= warmup:
        fallen = (progress - warmup) / (1 - warmup)
        height = 0.5 + 0.5 * math.cos(math.pi * fallen)
        return height * 1 + (1 - height) * final
    return progress / warmup


def adamw_step(
    weight: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    t: int,
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    eps: float = 1e-6,
    decay: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    mean = mean + (1 - beta1) * (gradient - mean)
    square = square + (1 - beta2) * (gradient * gradient - square)
    direction = mean / (1 - beta1**t)
    size = torch.sqrt(square / (1 - beta2**t))
    weight = weight - lr * decay * weight
    return weight - lr * (direction / (size + eps)), mean, square


def layer_norm_gradient(
    hidden: Tensor, weight: Tensor, gradient: Tensor, eps: float = 1e-5
) -> Tensor:
    width = hidden.size(-1)
    centred = hidden - hidden.mean(dim=-1, keepdim=True)
    scale = 1 / torch.sqrt((centred**2).mean(dim=-1, keepdim=True) + eps)
    normal = centred * scale
    passed = gradient * weight
    first = passed.sum(dim=-1, keepdim=True)
    second = normal * (passed * normal).sum(dim=-1, keepdim=True)
    return scale / width * (width * passed - first - second)


def hide_tokens(
    tokens: Tensor, chosen: Tensor, fate: Tensor, noise: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    ids, targets = tokens.tolist(), []
    for place in range(len(ids)):
        if not chosen[place]:
            targets.append(-100)
            continue
        targets.append(int(tokens[place]))
        if fate[place] < 0.8:
            ids[place] = mask_id
        elif fate[place] < 0.9:
            ids[place] = int(noise[place])
    return torch.tensor(ids), torch.tensor(targets)


def order_masks(order: Tensor) -> tuple[Tensor, Tensor]:
    rank = [0] * len(order)
    for place, token in enumerate(order.tolist()):
        rank[token] = place
    content = [[rank[key] <= rank[query] for key in range(len(rank))] for query in range(len(rank))]
    other = [[rank[key] < rank[query] for key in range(len(rank))] for query in range(len(rank))]
    return torch.tensor(content), torch.tensor(other)


def cut_spans(
    tokens: list[int], hidden: list[bool], first_sentinel: int
) -> tuple[list[int], list[int]]:
    source: list[int] = []
    target: list[int] = []
    runs, place = 0, 0
    while place < len(tokens):
        if not hidden[place]:
            source.append(tokens[place])
            place += 1
            continue
        source.append(first_sentinel + runs)
        target.append(first_sentinel + runs)
        runs += 1
        while place < len(tokens) and hidden[place]:
            target.append(tokens[place])
            place += 1
    return source, [*target, first_sentinel + runs]


def info_nce(anchors: Tensor, others: Tensor, temperature: float) -> Tensor:
    losses = []
    for row in range(len(anchors)):
        scores = torch.stack([
            (anchors[row] * other).sum() / (anchors[row].norm() * other.norm()) / temperature
            for other in others
        ])  # fmt: skip
        losses.append(torch.logsumexp(scores, dim=0) - scores[row])
    return torch.stack(losses).mean()


def accumulated_loss(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    total, count = torch.zeros(()), 0
    for losses, scored in parts:
        kept = losses[scored.bool()]
        total = total + kept.sum()
        count += len(kept)
    return total / count


def keep_apart(documents: Tensor) -> tuple[Tensor, Tensor]:
    rows, length = documents.shape
    mask = torch.zeros(rows, length, length, dtype=torch.bool)
    places = torch.zeros(rows, length, dtype=torch.long)
    for row in range(rows):
        for query in range(length):
            for key in range(query + 1):
                mask[row, query, key] = documents[row, query] == documents[row, key]
            for key in range(query):
                places[row, query] += int(documents[row, query] == documents[row, key])
    return mask, places


def next_windows(order_of, position: int, n: int) -> list[int]:
    size, taken = len(order_of(0)), []
    epoch, within = position // size, position % size
    for _ in range(n):
        taken.append(order_of(epoch)[within])
        within += 1
        if within == size:
            epoch, within = epoch + 1, 0
    return taken


def round_bf16(x: Tensor) -> Tensor:
    rounded = []
    for number in x.tolist():
        size = abs(number)
        gap = 2.0 ** (math.floor(math.log2(size)) - 7) if size else 1.0
        rounded.append(math.copysign(round(size / gap) * gap, number))
    return torch.tensor(rounded)


def loss_scales(finite: list[bool], scale: float, interval: int) -> list[float]:
    scales: list[float] = []
    good = 0
    for fine in finite:
        if fine:
            good += 1
        else:
            scale, good = scale * 0.5, 0
        if good == interval:
            scale, good = scale * 2, 0
        scales.append(scale)
    return scales
