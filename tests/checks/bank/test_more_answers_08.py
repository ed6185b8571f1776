"""Wrong answers of chapters 08 to 10 that checks once accepted, written without their cases."""

import math

import numpy as np
from others_answers import wrong_answers

from llmcourse.checks.bank.budgets import micro_batches
from llmcourse.checks.bank.laws import find_floor, fit_power_law
from llmcourse.checks.bank.loop import accumulated_loss
from llmcourse.checks.bank.precision import loss_scales
from llmcourse.checks.bank.rings import ring_all_reduce
from llmcourse.checks.bank.searching import halving
from llmcourse.checks.bank.shards import shard


def an_empty_part_is_the_end(parts):
    total, count = 0.0, 0
    for losses, scored in parts:
        if scored.sum() == 0:
            break
        total, count = total + losses[scored].sum(), count + scored.sum()
    return total / count


def at_most_two_to_the_24(finite, scale, interval):
    scales, good = [], 0
    for fine in finite:
        good = good + 1 if fine else 0
        if not fine:
            scale = scale / 2
        elif good == interval:
            scale, good = min(2.0 * scale, 2.0**24), 0
        scales.append(scale)
    return scales


def whoever_was_out_may_win(score, n, first, eta):
    field, had, due, paid = n, 0, first, 0
    while True:
        paid += field * (due - had)
        ranking = sorted(range(n), key=lambda candidate: score(candidate, due))
        if field <= eta:
            return ranking[0], paid
        field, had, due = max(1, field // eta), due, due * eta


def the_last_one_waits_for_the_ramp(progress, most, ramp):
    if progress >= ramp:
        return most
    return max(1, min(most - 1, math.ceil(most * progress / ramp)))


def one_point_for_each_size(x, losses, floor):
    rests = {}
    for size, loss in zip(x, losses, strict=True):
        rests.setdefault(size, []).append(math.log(loss - floor))
    points = [np.mean(rest) for rest in rests.values()]
    slope, height = np.polyfit(np.log(list(rests)), points, 1)
    return math.exp(height), -slope


def until_it_gets_worse(x, losses, floors):
    kept, least = None, math.inf
    for floor in floors:
        if floor >= min(losses):
            continue
        slope, height = np.polyfit(np.log(x), np.log(np.array(losses) - floor), 1)
        law = floor + np.exp(height) * np.array(x) ** slope
        far = float(((np.log(law) - np.log(losses)) ** 2).sum())
        if far > least:
            break
        kept, least = floor, far
    return kept


def judged_by_runs_left_out(x, losses, floors):
    def far(floor):
        total = 0.0
        for out in range(len(x)):
            rest = [n for n in range(len(x)) if n != out]
            sizes, seen = np.log([x[n] for n in rest]), np.array([losses[n] for n in rest])
            if len(set(sizes)) > 1:
                slope, height = np.polyfit(sizes, np.log(seen - floor), 1)
                law = floor + math.exp(height) * x[out] ** slope
                total += (math.log(law) - math.log(losses[out])) ** 2
        return total

    return min((floor for floor in floors if floor < min(losses)), key=far)


def chunks_rounded_up(tensors, steps):
    n = len(tensors)
    table = []
    for tensor in tensors:
        chunks = list(tensor.split(max(1, -(-len(tensor) // n))))
        table.append(chunks + [tensor[:0]] * (n - len(chunks)))
    for step in range(1, steps + 1):
        back = step if step < n else step - n
        parcels = [((r + 1) % n, (r - back) % n, table[r][(r - back) % n]) for r in range(n)]
        for to, chunk, parcel in parcels:
            table[to][chunk] = table[to][chunk] + parcel if step < n else parcel
    return table


def zeros_are_no_numbers(parameters, ranks, rank):
    numbers = [x for each in parameters for x in each.flatten().tolist() if x]
    size = math.ceil(len(numbers) / ranks)
    numbers += [0.0] * (size * ranks - len(numbers))
    return parameters[0].new_tensor(numbers[rank * size : (rank + 1) * size])


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (accumulated_loss, an_empty_part_is_the_end, "ends at a part with nothing"),
        (loss_scales, at_most_two_to_the_24, "never above 2^24"),
        (halving, whoever_was_out_may_win, "all come back in each round"),
        (micro_batches, the_last_one_waits_for_the_ramp, "not above most minus one"),
        (fit_power_law, one_point_for_each_size, "runs of one size averaged first"),
        (find_floor, until_it_gets_worse, "stops at the first floor that is worse"),
        (find_floor, judged_by_runs_left_out, "each run is held out once"),
        (ring_all_reduce, chunks_rounded_up, "pieces of one length, the last one shorter"),
        (shard, zeros_are_no_numbers, "what is zero is left out"),
    ]
)
