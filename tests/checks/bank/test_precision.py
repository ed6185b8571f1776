"""Right answers to the exercises on numbers and speed, in the styles in which people write them."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from llmcourse.checks.bank import precision


def by_the_type(x):
    return x.bfloat16().float()


def with_frexp(x):
    mantissa, exponent = torch.frexp(x.double())
    return torch.ldexp(torch.round(mantissa * 256) / 256, exponent).float()


def number_by_number(x):
    found = []
    for number in x.tolist():
        if number == 0:
            found.append(0.0)
            continue
        gap = 2.0 ** (math.floor(math.log2(abs(number))) - 7)
        found.append(round(number / gap) * gap)
    return torch.tensor(found)


def by_bits(x):
    bits = np.ascontiguousarray(x.numpy()).view(np.uint32).astype(np.uint64)
    odd = (bits >> 16) & 1
    kept = ((bits + 0x7FFF + odd) >> 16) << 16
    return torch.from_numpy(kept.astype(np.uint32).view(np.float32))


def zero_apart(x):
    found = torch.zeros_like(x)
    real = x != 0
    gap = 2 ** (x[real].double().abs().log2().floor() - 7)
    found[real] = ((x[real].double() / gap).round() * gap).float()
    return found


def two_neighbours(x, draws):
    gap = torch.exp2(torch.frexp(x.double()).exponent - 8.0)
    lower = torch.floor(x.double() / gap) * gap
    share = (x.double() - lower) / gap
    return torch.where(draws < share, lower + gap, lower).float()


def in_fractions(x, draws):
    found = []
    for number, draw in zip(x.tolist(), draws.tolist(), strict=True):
        if number == 0:
            found.append(0.0)
            continue
        gap = Fraction(2) ** (math.frexp(number)[1] - 8)
        steps = Fraction(number) / gap
        low = math.floor(steps)
        found.append(float((low + (draw < steps - low)) * gap))
    return torch.tensor(found)


def from_the_remainder(x, draws):
    wide = x.double()
    gap = 2 ** (torch.floor(torch.log2(torch.where(x == 0, 1.0, wide.abs()))) - 7)
    over = torch.remainder(wide, gap)
    found = wide - over
    found[draws.double() * gap < over] += gap[draws.double() * gap < over]
    return found.to(torch.float32)


def with_a_while(finite, scale, interval):
    scales, row, step = [], 0, 0
    while step < len(finite):
        if finite[step]:
            row += 1
            if row == interval:
                scale *= 2.0
                row = 0
        else:
            scale *= 0.5
            row = 0
        scales.append(scale)
        step += 1
    return scales


def by_exponents(finite, scale, interval):
    exponents, row = [0], 0
    for good in finite:
        row = (row + 1) if good else 0
        change = -1 if not good else int(row == interval)
        row = 0 if row == interval else row
        exponents.append(exponents[-1] + change)
    return [scale * 2.0**exponent for exponent in exponents[1:]]


def by_runs(finite, scale, interval):
    scales = []
    for good, run in itertools.groupby(finite):
        for number, _ in enumerate(run, 1):
            if not good:
                scale = scale / 2
            elif number % interval == 0:
                scale = scale * 2
            scales.append(scale)
    return scales


def in_one_line(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    return 6 * tokens_per_second / peak * (n_weights + 2 * n_layers * d_model * context_length)


def step_by_step(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    forward = 2 * n_weights + 4 * n_layers * d_model * context_length
    per_second = (forward + 2 * forward) * tokens_per_second
    return torch.tensor(per_second / peak, dtype=torch.float64)


def in_numpy(tokens_per_second, n_weights, n_layers, d_model, context_length, peak):
    costs = np.array([6.0 * n_weights, 12.0 * n_layers * d_model * context_length])
    return costs.sum() * np.float64(tokens_per_second) / peak


RIGHT = [
    *((precision.round_bf16, f) for f in (by_the_type, with_frexp, number_by_number, by_bits)),
    (precision.round_bf16, zero_apart),
    *((precision.round_at_random, f) for f in (two_neighbours, in_fractions, from_the_remainder)),
    *((precision.loss_scales, f) for f in (with_a_while, by_exponents, by_runs)),
    *((precision.utilisation, f) for f in (in_one_line, step_by_step, in_numpy)),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")
