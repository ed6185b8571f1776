"""Right answers to the exercises of chapter 09, in many styles, and wrong ones that are named."""

import itertools
import math
import statistics
from fractions import Fraction

import numpy as np
import pytest
import torch
from others_answers import catalogued_answers, right_answers

from llmcourse.checks.bank import budgets, laws


def flops_part_by_part(length, width, kv_width, ff_width):
    total = 0
    for rows, columns in (
        (width, width), (width, kv_width), (width, kv_width), (width, width),
        (width, ff_width), (ff_width, width),
    ):  # fmt: skip
        total += 2 * length * rows * columns
    scores = 2 * length * length * width
    return total + scores + scores


def flops_per_token_first(length, width, kv_width, ff_width):
    each = 2 * 2 * (width * (width + kv_width + ff_width)) + 4 * length * width
    return each * length


def flops_as_a_float(length, width, kv_width, ff_width):
    weights = width * (2.0 * width + 2 * kv_width + 2 * ff_width)
    return 2 * length * (weights + 2 * length * width)


def rows_downwards(parameters, moments, row_bytes, rows, memory):
    used = parameters * 4 + parameters * 4 + moments * parameters * 4
    for n in range(rows, 0, -1):
        if rows % n == 0 and used + n * row_bytes <= memory:
            return n
    return 0


def rows_by_the_number_of_parts(parameters, moments, row_bytes, rows, memory):
    left = memory - 4 * parameters * (moments + 2)
    for parts in range(1, rows + 1):
        if rows % parts == 0 and rows // parts * row_bytes <= left:
            return rows // parts
    return 0


def rows_sorted(parameters, moments, row_bytes, rows, memory):
    room = (memory - (2 + moments) * parameters * 4) // row_bytes
    divisors = sorted(n for n in range(1, rows + 1) if not rows % n and n <= room)
    return divisors[-1] if divisors else 0


def steps_by_time(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    step_seconds = tokens_per_step * flops_per_token / flops_per_second
    steps = math.floor((seconds - kept_back * seconds) / step_seconds)
    return steps, tokens_per_step * steps


def steps_at_once(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    flops = (1 - kept_back) * seconds * flops_per_second
    steps = int(flops / (flops_per_token * tokens_per_step))
    return (steps, steps * tokens_per_step)


def steps_by_divmod(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = seconds * (1 - kept_back) * flops_per_second / flops_per_token
    steps, _ = divmod(tokens, tokens_per_step)
    return int(steps), int(steps) * tokens_per_step


def rate_by_interp(seconds, budget, peak, peak_at):
    return float(np.interp(seconds, [0, peak_at * budget, budget], [0, peak, 0]))


def rate_as_a_minimum(seconds, budget, peak, peak_at):
    up, down = seconds / (peak_at * budget), (budget - seconds) / (budget * (1 - peak_at))
    return peak * max(0.0, min(up, down))


def rate_in_seconds(seconds, budget, peak, peak_at):
    turn = budget * peak_at
    if seconds >= budget:
        return 0.0
    if seconds <= turn:
        return peak * seconds / turn
    return peak - peak * (seconds - turn) / (budget - turn)


def micro_by_thresholds(progress, most, ramp):
    if ramp == 0 or progress >= ramp:
        return most
    return next(n for n in range(1, most + 1) if n >= most * progress / ramp)


def micro_by_minus_floor(progress, most, ramp):
    return most if progress >= ramp else max(1, -math.floor(-most * progress / ramp))


def micro_clamped(progress, most, ramp):
    share = 1.0 if ramp == 0 else min(1.0, progress / ramp)
    return min(most, max(1, math.ceil(most * share)))


def law_by_polyfit(x, losses, floor):
    slope, level = np.polyfit(np.log(x), np.log(np.subtract(losses, floor)), deg=1)
    return np.exp(level), -slope


def law_by_lstsq(x, losses, floor):
    system = np.stack([np.ones(len(x)), -np.log(x)], axis=1)
    level, exponent = np.linalg.lstsq(system, np.log(np.array(losses) - floor), rcond=None)[0]
    return float(math.exp(level)), float(exponent)


def law_in_base_ten(x, losses, floor):
    u, v = np.log10(x), np.log10(np.array(losses) - floor)
    slope = np.cov(u, v, bias=True)[0, 1] / np.var(u)
    return 10 ** (v.mean() - slope * u.mean()), -slope


def law_by_normal_equations(x, losses, floor):
    n, u = len(x), [math.log(at) for at in x]
    v = [math.log(loss - floor) for loss in losses]
    su, sv = sum(u), sum(v)
    suu, suv = sum(a * a for a in u), sum(a * b for a, b in zip(u, v, strict=True))
    slope = (n * suv - su * sv) / (n * suu - su**2)
    return math.exp((sv - slope * su) / n), -slope


def floor_in_a_loop(x, losses, floors):
    best, least = None, float("inf")
    for floor in floors:
        if floor >= min(losses):
            continue
        scale, exponent = law_by_lstsq(x, losses, floor)
        off = 0.0
        for at, loss in zip(x, losses, strict=True):
            off += (math.log(floor + scale * at**-exponent) - math.log(loss)) ** 2
        if off < least - 1e-15:
            best, least = floor, off
    return best


def floor_by_argmin(x, losses, floors):
    kept = [floor for floor in floors if all(floor < loss for loss in losses)]
    gaps = []
    for floor in kept:
        scale, exponent = law_by_polyfit(x, losses, floor)
        said = floor + scale / np.array(x) ** exponent
        gaps.append(round(float(np.square(np.log(said / np.array(losses))).sum()), 14))
    return kept[int(np.argmin(gaps))]


def floor_sorted(x, losses, floors):
    def gap(floor):
        scale, exponent = law_by_normal_equations(x, losses, floor)
        return round(
            sum(
                math.log(loss / (floor + scale / at**exponent)) ** 2
                for at, loss in zip(x, losses, strict=True)
            ),
            14,
        )

    return sorted((floor for floor in floors if floor < min(losses)), key=gap)[0]


def split_in_logarithms(A, alpha, B, beta, flops):
    log_c = math.log(flops / 6)
    log_n = (math.log(alpha * A) - math.log(beta * B) + beta * log_c) / (alpha + beta)
    return math.exp(log_n), math.exp(log_c - log_n)


def split_tokens_first(A, alpha, B, beta, flops):
    tokens = (beta * B / (alpha * A)) ** (1 / (alpha + beta))
    tokens *= (flops / 6) ** (alpha / (alpha + beta))
    return flops / 6 / tokens, tokens


def split_by_search(A, alpha, B, beta, flops):
    low, high = -20.0, 80.0
    for _ in range(200):
        middle = (low + high) / 2
        n = math.exp(middle)
        falls = alpha * A / n**alpha > beta * B / (flops / 6 / n) ** beta
        low, high = (middle, high) if falls else (low, middle)
    return math.exp(low), flops / 6 / math.exp(low)


def flops_as_a_product_of_shapes(length, width, kv_width, ff_width):
    outs = np.array([width, kv_width, kv_width, width, ff_width, ff_width], dtype=object)
    return int((2 * length * width * outs).sum()) + 4 * length**2 * width


def rows_by_recursion(parameters, moments, row_bytes, rows, memory, n=None):
    n = rows if n is None else n
    used = 4 * parameters * (moments + 2) + n * row_bytes
    if n == 0 or (rows % n == 0 and used <= memory):
        return n
    return rows_by_recursion(parameters, moments, row_bytes, rows, memory, n - 1)


def steps_in_fractions(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    at_all = Fraction(seconds) * (1 - Fraction(kept_back)) * Fraction(flops_per_second)
    steps = math.floor(at_all / Fraction(flops_per_token) / tokens_per_step)
    return steps, steps * tokens_per_step


def rate_in_torch(seconds, budget, peak, peak_at):
    progress = torch.tensor(seconds / budget, dtype=torch.float64).clamp(max=1)
    falls = (1 - progress) / (1 - peak_at)
    return peak * torch.where(progress < peak_at, progress / peak_at, falls)


def micro_with_an_exception(progress, most, ramp):
    try:
        share = min(1, progress / ramp)
    except ZeroDivisionError:
        share = 1
    return max(1, math.ceil(share * most))


def law_of_statistics(x, losses, floor):
    line = statistics.linear_regression(
        [math.log(at) for at in x], [math.log(loss - floor) for loss in losses]
    )
    return math.exp(line.intercept), -line.slope


def law_in_float32(x, losses, floor):
    u, v = torch.tensor(x).log(), (torch.tensor(losses) - floor).log()
    away = u - u.mean()
    slope = (away * (v - v.mean())).sum() / away.square().sum()
    return (v.mean() - slope * u.mean()).exp().item(), -slope.item()


def floor_without_rounding(x, losses, floors):
    u, kept = np.log(np.array(x)), [floor for floor in floors if floor < min(losses)]
    gaps = []
    for floor in kept:
        slope, level = np.polyfit(u, np.log(np.array(losses) - floor), 1)
        said = floor + np.exp(level + slope * u)
        gaps.append(((np.log(said) - np.log(losses)) ** 2).mean() ** 0.5)
    return kept[int(np.argmin(gaps))]


def split_in_torch(A, alpha, B, beta, flops):
    root = torch.tensor(alpha * A / (beta * B), dtype=torch.float64) ** (1 / (alpha + beta))
    parameters = root * (flops / 6) ** (beta / (alpha + beta))
    return parameters, flops / (6 * parameters)


RIGHT = list(
    itertools.chain(
        *(
            [(check, answer) for answer in answers]
            for check, answers in (
                (
                    budgets.block_flops,
                    (
                        flops_part_by_part,
                        flops_per_token_first,
                        flops_as_a_float,
                        flops_as_a_product_of_shapes,
                    ),
                ),
                (
                    budgets.largest_micro_batch,
                    (rows_downwards, rows_by_the_number_of_parts, rows_sorted, rows_by_recursion),
                ),
                (
                    budgets.steps_for,
                    (steps_by_time, steps_at_once, steps_by_divmod, steps_in_fractions),
                ),
                (
                    budgets.clock_rate,
                    (rate_by_interp, rate_as_a_minimum, rate_in_seconds, rate_in_torch),
                ),
                (
                    budgets.micro_batches,
                    (
                        micro_by_thresholds,
                        micro_by_minus_floor,
                        micro_clamped,
                        micro_with_an_exception,
                    ),
                ),
                (
                    laws.fit_power_law,
                    (
                        law_by_polyfit,
                        law_by_lstsq,
                        law_in_base_ten,
                        law_by_normal_equations,
                        law_of_statistics,
                        law_in_float32,
                    ),
                ),
                (
                    laws.find_floor,
                    (floor_in_a_loop, floor_by_argmin, floor_sorted, floor_without_rounding),
                ),
                (
                    laws.best_split,
                    (split_in_logarithms, split_tokens_first, split_by_search, split_in_torch),
                ),
            )
        )
    )
)


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


def rows_halved(parameters, moments, row_bytes, rows, memory):
    n = rows
    while 4 * parameters * (2 + moments) + n * row_bytes > memory and n:
        n = n // 2
    return n


def steps_of_whole_seconds(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    left = round(seconds * (1 - kept_back))
    steps = int(left * flops_per_second / flops_per_token / tokens_per_step)
    return steps, steps * tokens_per_step


def rate_mirrored_at_the_end(seconds, budget, peak, peak_at):
    used = seconds / budget
    return peak * (used / peak_at if used < peak_at else abs(1 - used) / (1 - peak_at))


def law_of_neighbours(x, losses, floor):
    slopes = [
        math.log((losses[i] - floor) / (losses[i + 1] - floor)) / math.log(x[i + 1] / x[i])
        for i in range(len(x) - 1)
    ]
    exponent = sum(slopes) / len(slopes)
    rests = [
        math.log(loss - floor) + exponent * math.log(at) for at, loss in zip(x, losses, strict=True)
    ]
    return math.exp(sum(rests) / len(x)), exponent


def floor_by_absolute_misses(x, losses, floors):
    def off(floor):
        scale, exponent = law_by_polyfit(x, losses, floor)
        said = np.log(floor + scale / np.array(x) ** exponent)
        return np.abs(said - np.log(losses)).sum()

    return min((floor for floor in floors if floor < min(losses)), key=off)


def floor_by_the_worst_miss(x, losses, floors):
    def off(floor):
        scale, exponent = law_by_polyfit(x, losses, floor)
        said = np.log(floor + scale / np.array(x) ** exponent)
        return np.abs(said - np.log(losses)).max()

    return min((floor for floor in floors if floor < min(losses)), key=off)


def micro_from_one(progress, most, ramp):
    return most if progress >= ramp else math.ceil(1 + progress / ramp * (most - 1))


WRONG = [
    (budgets.largest_micro_batch, rows_halved, "halved until it fits, divisor or not"),
    (budgets.steps_for, steps_of_whole_seconds, "whole seconds"),
    (budgets.clock_rate, rate_mirrored_at_the_end, "rises again after the end"),
    (budgets.micro_batches, micro_from_one, "on a line from 1 to the most"),
    (laws.fit_power_law, law_of_neighbours, "the mean of the slopes from point to point"),
    (laws.find_floor, floor_by_absolute_misses, "distances that are not squared"),
    (laws.find_floor, floor_by_the_worst_miss, "the largest miss alone"),
]


test_a_wrong_answer_in_words_of_its_own_is_named = catalogued_answers(WRONG)


@pytest.mark.parametrize(
    ("check", "handed_in"),
    [(laws.predicted_loss, 2.1), (laws.measured_loss, 2.7), (laws.why_it_fails, "d")],
    ids=["predicted", "measured", "why"],
)
def test_wrong_measurements_and_reasons_are_told(check, handed_in):
    assert check.verdict(handed_in).status == "wrong"
