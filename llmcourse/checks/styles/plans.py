"""Right answers in another style: budgets, laws, several processes. No chapter teaches this."""

import math

import torch
from torch import Tensor

CHAPTERS = ("09", "10")


def block_flops(length: int, width: int, kv_width: int, ff_width: int) -> int:
    queries = 2 * length * width * width
    keys = 2 * length * width * kv_width
    values = 2 * length * width * kv_width
    output = 2 * length * width * width
    up, down = 2 * length * width * ff_width, 2 * length * ff_width * width
    scores, mixing = 2 * length * length * width, 2 * length * length * width
    return queries + keys + values + output + up + down + scores + mixing


def steps_for(
    seconds: float,
    kept_back: float,
    flops_per_second: float,
    flops_per_token: float,
    tokens_per_step: int,
) -> tuple[int, int]:
    left = seconds - seconds * kept_back
    steps = math.floor(left * flops_per_second / flops_per_token / tokens_per_step)
    return steps, steps * tokens_per_step


def clock_rate(seconds: float, budget: float, peak: float, peak_at: float) -> float:
    if seconds >= budget:
        return 0.0
    share = seconds / budget
    if share >= peak_at:
        height = (1 - share) / (1 - peak_at)
        return peak * height
    height = share / peak_at
    return peak * height


def micro_batches(progress: float, most: int, ramp: float) -> int:
    if ramp == 0 or progress > ramp:
        return most
    share = progress / ramp
    return max(1, math.ceil(most * progress / ramp)) if share < 1 else most


def fit_power_law(x: list[float], losses: list[float], floor: float) -> tuple[float, float]:
    n = len(x)
    total_x = total_y = total_xx = total_xy = 0.0
    for at, loss in zip(x, losses, strict=True):
        log_x, log_y = math.log(at), math.log(loss - floor)
        total_x += log_x
        total_y += log_y
        total_xx += log_x * log_x
        total_xy += log_x * log_y
    slope = (n * total_xy - total_x * total_y) / (n * total_xx - total_x * total_x)
    height = (total_y - slope * total_x) / n
    return math.exp(height), -slope


def ring_bytes(numbers: int, ranks: int, element: int) -> int:
    chunk = numbers // ranks
    reduce_scatter = (ranks - 1) * chunk * element
    all_gather = (ranks - 1) * chunk * element
    return reduce_scatter + all_gather


def global_gradient(means: Tensor, counts: Tensor) -> Tensor:
    total = torch.zeros_like(means[0])
    scored = 0.0
    for mean, count in zip(means, counts.tolist(), strict=True):
        if count > 0:
            total = total + mean * count
            scored += count
    return total / scored


def shard(parameters: list[Tensor], ranks: int, rank: int) -> Tensor:
    flat = torch.cat([parameter.flatten() for parameter in parameters])
    length = math.ceil(len(flat) / ranks)
    piece = flat[rank * length : rank * length + length]
    return torch.cat([piece, flat.new_zeros(length - len(piece))])


def local_part(logits: Tensor, targets: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
    largest, totals, picked = [], [], []
    for row, target in zip(logits, targets.tolist(), strict=True):
        top = row.max()
        largest.append(top)
        totals.append(torch.exp(row - top).sum())
        here = start <= target < start + len(row)
        picked.append(row[target - start] if here else row[0] * 0)
    return torch.stack(largest), torch.stack(totals), torch.stack(picked)


def merged_loss(largest: Tensor, totals: Tensor, picked: Tensor) -> Tensor:
    top = largest.max(dim=0).values
    total = torch.zeros_like(top)
    target = torch.zeros_like(top)
    for rank in range(len(totals)):
        total = total + totals[rank] * torch.exp(largest[rank] - top)
        target = target + picked[rank]
    return torch.log(total) + top - target


def one_forward_one_backward(stage: int, stages: int, micro_batches: int) -> list[tuple[str, int]]:
    forward, back = 0, 0
    passes: list[tuple[str, int]] = []
    while back < micro_batches:
        open_ = forward - back
        if forward < micro_batches and open_ < stages - stage:
            passes.append(("F", forward))
            forward += 1
        else:
            passes.append(("B", back))
            back += 1
    return passes


def rank_output(x: Tensor, a: Tensor, b: Tensor, bias: Tensor, rank: int, ranks: int) -> Tensor:
    mine_a, mine_b = a.chunk(ranks, dim=1)[rank], b.chunk(ranks, dim=0)[rank]
    hidden = torch.relu(x @ mine_a)
    summand = hidden @ mine_b
    if rank == 0:
        summand = summand + bias
    return summand
