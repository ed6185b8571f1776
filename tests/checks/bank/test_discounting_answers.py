"""Right answers to the exercises on Kneser-Ney, in other styles than the solution's: all pass."""

import numpy as np
import torch
from others_answers import right_answers

from llmcourse.checks.bank import discounting


def in_float64(pairs, before, d):
    pairs = pairs.double()
    shorter = (pairs > 0).double().sum(0) / (pairs > 0).sum()
    row = pairs[before]
    if row.sum() == 0:
        return shorter
    kept = torch.where(row > 0, row - d, 0.0) / row.sum()
    return kept + (1 - kept.sum()) * shorter


def in_a_loop(pairs, before, d):
    size = len(pairs)
    different = sum(int(pairs[h, w] > 0) for h in range(size) for w in range(size))
    total, seen = int(pairs[before].sum()), int((pairs[before] != 0).sum())
    row = []
    for w in range(size):
        shorter = sum(1 for h in range(size) if pairs[h, w]) / different
        if total == 0:
            row.append(shorter)
        else:
            row.append(max(pairs[before, w].item() - d, 0) / total + d * seen / total * shorter)
    return torch.tensor(row)


def by_numpy(pairs, before, d):
    table = pairs.numpy().astype(np.float64)
    shorter = np.count_nonzero(table, axis=0) / np.count_nonzero(table)
    c = table[before].sum()
    if not c:
        return torch.from_numpy(shorter)
    rest = d * np.count_nonzero(table[before]) / c
    return torch.from_numpy(np.maximum(table[before] - d, 0) / c + rest * shorter)


def by_einsum(pairs, before, d):
    seen = pairs.bool().float()
    shorter = torch.einsum("hw->w", seen) / torch.einsum("hw->", seen)
    row = pairs[before].float()
    c = row.sum().clamp(min=1)
    known = (row.sum() > 0).float()
    mixed = torch.relu(row - d) / c + d * torch.count_nonzero(row) / c * shorter
    return known * mixed + (1 - known) * shorter


RIGHT = {discounting.kneser_ney_row: [in_float64, in_a_loop, by_numpy, by_einsum]}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
