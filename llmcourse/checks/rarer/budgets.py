"""Rarer mistakes of the exercises on budgets of operations, bytes and time. Chapter 09 teaches
this.
"""

import math

from llmcourse.checks.bank.budgets import (
    block_flops,
    clock_rate,
    largest_micro_batch,
    micro_batches,
    steps_for,
)


def _block(length, weights, pairs):
    return 2 * length * weights + pairs


def _matrices(width, kv_width, ff_width):
    return 2 * width**2 + 2 * width * kv_width + 2 * width * ff_width


@block_flops.mistake(
    "the softmax counted",
    hint="You count operations for the softmax. It is left out, as norms and the activation are.",
)
def _(length, width, kv_width, ff_width):
    weights = _matrices(width, kv_width, ff_width)
    return _block(length, weights, 4 * length**2 * width + 3 * length**2)


@block_flops.mistake(
    "the activation counted",
    hint="You count an operation for each activation. Only matrices and attention count.",
)
def _(length, width, kv_width, ff_width):
    weights = _matrices(width, kv_width, ff_width)
    return _block(length, weights, 4 * length**2 * width) + length * ff_width


@block_flops.mistake(
    "pairs below the diagonal alone",
    hint="You count the pairs below the diagonal, T (T - 1) / 2. All T · T count here.",
)
def _(length, width, kv_width, ff_width):
    pairs = 2 * length * (length - 1) * width
    return _block(length, _matrices(width, kv_width, ff_width), pairs)


@block_flops.mistake(
    "one operation a pair",
    hint="You count one operation where attention has two for each of its two products. It is "
    "4 T² · width.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), length**2 * width)


@block_flops.mistake(
    "only one of k_proj and v_proj",
    hint="You count k_proj and v_proj as one. Both are width × kv_width.",
)
def _(length, width, kv_width, ff_width):
    weights = _matrices(width, kv_width, ff_width) - width * kv_width
    return _block(length, weights, 4 * length**2 * width)


@block_flops.mistake(
    "k_proj and v_proj are kv_width × kv_width",
    hint="You take k_proj and v_proj to be square. They go from width to kv_width.",
)
def _(length, width, kv_width, ff_width):
    weights = 2 * width**2 + 2 * kv_width**2 + 2 * width * ff_width
    return _block(length, weights, 4 * length**2 * width)


@block_flops.mistake(
    "o_proj starts from kv_width",
    hint="You let o_proj start from kv_width. All query heads come together in it: it is "
    "width × width.",
)
def _(length, width, kv_width, ff_width):
    weights = width**2 + 3 * width * kv_width + 2 * width * ff_width
    return _block(length, weights, 4 * length**2 * width)


@block_flops.mistake(
    "a product less an addition",
    hint="You count n products and n - 1 sums for each number. Here a weight costs two.",
)
def _(length, width, kv_width, ff_width):
    made = 2 * width + 2 * kv_width + ff_width + width
    weights = _matrices(width, kv_width, ff_width)
    return _block(length, weights, 4 * length**2 * width) - length * made


@block_flops.mistake(
    "the weights for one token",
    hint="You let the weights meet one token. Each of them meets all tokens of the row.",
)
def _(length, width, kv_width, ff_width):
    return _block(1, _matrices(width, kv_width, ff_width), 4 * length**2 * width)


@block_flops.mistake(
    "attention's term once more for each token",
    hint="You multiply the square by the length again. 4 T² · width is for the whole row.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), 4 * length**3 * width)


@block_flops.mistake(
    "attention doubled with the rest",
    hint="You put attention into the bracket that is doubled. The four in 4 T² · width holds the "
    "two operations already.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), 8 * length**2 * width)


def _most_rows(rows, fits, divides=lambda rows, n: rows % n == 0, upto=None):
    return max((n for n in range(1, (upto or rows) + 1) if divides(rows, n) and fits(n)), default=0)


def _held(parameters, moments, element=4):
    return element * parameters * (2 + moments)


@largest_micro_batch.mistake(
    "two bytes a number",
    hint="You count two bytes for each number, as in half precision. Here all take four.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments, 2)
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "a master copy as well",
    hint="You count a second copy of the weights. There are weights, gradients and moments.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments + 1)
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "one moment, however many there are",
    hint="You count the optimizer's memory once. Each of its moments takes four bytes a parameter.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, min(moments, 1))
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "weights and moments multiplied",
    hint="You multiply where you have to add: weights, gradients and each moment stand beside "
    "each other.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = 4 * parameters * 2 * moments
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "moments count once for the whole model",
    hint="You add the moments' number and not their bytes. Each takes four bytes a parameter.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = 8 * parameters + 4 * moments
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "activations in four bytes each",
    hint="You multiply a row's bytes by four. They are bytes already.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + 4 * n * row_bytes <= memory)


@largest_micro_batch.mistake(
    "activations of all rows",
    hint="You ask whether the activations of all rows fit. Only a micro-batch's are there at a "
    "time.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return rows if held + rows * row_bytes <= memory else 0


@largest_micro_batch.mistake(
    "one row more, which would be too many",
    hint="Your row fits and the next is taken with it. All together may take at most the memory.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + (n - 1) * row_bytes <= memory)


@largest_micro_batch.mistake(
    "a power of two that fits",
    hint="You look for a power of two. What is asked for is a divisor of the rows.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory, lambda _, n: n & (n - 1) == 0)


@largest_micro_batch.mistake(
    "the first divisor from below",
    hint="You take the smallest number that fits. The largest is asked for.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return 1 if held + row_bytes <= memory else 0


@largest_micro_batch.mistake(
    "rows as even as can be",
    hint="You share the rows out into as few micro-batches as fit, rounded up. One size must "
    "divide the rows.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fits = max(0, (memory - _held(parameters, moments)) // row_bytes)
    return math.ceil(rows / math.ceil(rows / min(fits, rows))) if fits else 0


@largest_micro_batch.mistake(
    "the largest common divisor",
    hint="You take the largest common divisor of the rows and of what fits. A divisor of the rows "
    "that is at most what fits is enough.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fits = max(0, (memory - _held(parameters, moments)) // row_bytes)
    return math.gcd(rows, fits) if fits else 0


@largest_micro_batch.mistake(
    "1 is no divisor",
    hint="You leave 1 out of the divisors. A micro-batch of one row is allowed.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(
        rows, lambda n: held + n * row_bytes <= memory, lambda rows, n: n > 1 and rows % n == 0
    )


@largest_micro_batch.mistake(
    "up to half of the rows",
    hint="You try divisors up to half of the rows. All of them may fit at once.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory, upto=max(1, rows // 2))


@largest_micro_batch.mistake(
    "up to the root of the rows",
    hint="You try divisors up to the square root. Each has a partner above it.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + n * row_bytes <= memory, upto=math.isqrt(rows))


@largest_micro_batch.mistake(
    "a tenth of the memory kept free",
    hint="You keep a part of the memory free. All of it may be used.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + n * row_bytes <= 0.9 * memory)


@largest_micro_batch.mistake(
    "activations for the way back as well",
    hint="You count a row's activations twice. `row_bytes` is all that a row takes.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + 2 * n * row_bytes <= memory)


def _steps(tokens, tokens_per_step):
    steps = math.floor(tokens / tokens_per_step + 1e-9)
    return steps, steps * tokens_per_step


@steps_for.mistake(
    "the share kept back is added",
    hint="You make the time longer by the share that is kept back. It is taken off.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    return _steps(seconds * (1 + kept_back) * flops_per_second / flops_per_token, tokens_per_step)


@steps_for.mistake(
    "the share kept back in seconds",
    hint="You take the share off as if it were seconds. It is a part of all of them.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    return _steps((seconds - kept_back) * flops_per_second / flops_per_token, tokens_per_step)


@steps_for.mistake(
    "the share kept back in percent",
    hint="You divide the share by 100. It is a number from 0 to 1.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    left = seconds * (1 - kept_back / 100)
    return _steps(left * flops_per_second / flops_per_token, tokens_per_step)


@steps_for.mistake(
    "the share taken off twice",
    hint="You take the share off the time and off the speed. Once is enough.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    left = seconds * (1 - kept_back) ** 2
    return _steps(left * flops_per_second / flops_per_token, tokens_per_step)


@steps_for.mistake(
    "the seconds of a step rounded up",
    hint="You round the time of one step up to whole seconds. Round once, at the end.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    each = math.ceil(tokens_per_step * flops_per_token / flops_per_second)
    steps = int(seconds * (1 - kept_back) // each)
    return steps, steps * tokens_per_step


@steps_for.mistake(
    "the last step begins in time",
    hint="You count the step that begins in time. Only steps that *end* in time count.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    steps = int(seconds * (1 - kept_back) * flops_per_second / flops_per_token / tokens_per_step)
    return steps + 1, (steps + 1) * tokens_per_step


@steps_for.mistake(
    "three times the operations of a token",
    hint="You count forward and back once more. `flops_per_token` is for training on a token "
    "already.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = seconds * (1 - kept_back) * flops_per_second / (3 * flops_per_token)
    return _steps(tokens, tokens_per_step)


@steps_for.mistake(
    "a token for a step",
    hint="You count a step for each token. A step reads `tokens_per_step` of them.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = seconds * (1 - kept_back) * flops_per_second / flops_per_token
    return int(tokens), int(tokens) * tokens_per_step


def _clock(seconds, budget, peak, peak_at, up=lambda share: share, down=lambda share: share):
    """The rate, with another shape up (of the share done) or down (of the share left)."""
    progress = min(seconds / budget, 1)
    if progress < peak_at:
        return peak * up(progress / peak_at)
    return peak * down((1 - progress) / (1 - peak_at)) if peak_at < 1 else peak * (progress < 1)


@clock_rate.mistake(
    "falls like a root",
    hint="You let the rate fall along a square root. It falls in a straight line.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: 1 - math.sqrt(1 - left))


@clock_rate.mistake(
    "falls like the square of what is left",
    hint="You square what is left. The rate falls in a straight line.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: left**2)


@clock_rate.mistake(
    "falls like the root of what is left",
    hint="You take the root of what is left. The rate falls in a straight line.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: math.sqrt(left))


@clock_rate.mistake(
    "stays at the peak to the end of the budget",
    hint="You hold the peak until the budget ends, and then drop to 0. The rate falls in a "
    "straight line from the peak on.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: float(left > 0))


@clock_rate.mistake(
    "falls to a tenth",
    hint="You let the rate fall to a tenth of the peak. It ends at 0.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: 0.1 + 0.9 * left)


@clock_rate.mistake(
    "begins at a tenth",
    hint="You let the rate begin at a tenth of the peak. It begins at 0.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, up=lambda done: 0.1 + 0.9 * done)


@clock_rate.mistake(
    "falls from the beginning",
    hint="Your rate falls from the budget's beginning on. It rises to its peak first.",
)
def _(seconds, budget, peak, peak_at):
    return peak * max(0.0, 1 - seconds / budget)


@clock_rate.mistake(
    "the fall takes as long as the rise",
    hint="You divide by `peak_at` on the way down, too. What is left there is 1 - peak_at.",
)
def _(seconds, budget, peak, peak_at):
    progress = seconds / budget
    if progress <= peak_at:
        return peak * progress / peak_at
    return peak * max(0.0, 1 - (progress - peak_at) / peak_at)


@clock_rate.mistake(
    "done in place of left",
    hint="On the way down you take how much of it is done. Take how much is left.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: 1 - left)


@clock_rate.mistake(
    "the peak in seconds",
    hint="You compare seconds with the share at which the peak is. Divide by the budget first.",
)
def _(seconds, budget, peak, peak_at):
    if seconds < peak_at:
        return peak * seconds / peak_at
    return peak * max(0.0, (budget - seconds) / (budget - peak_at))


@clock_rate.mistake(
    "begins anew after the end",
    hint="After the budget's end your clock begins anew. Then the rate is 0.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds % budget, budget, peak, peak_at)


@clock_rate.mistake(
    "the larger of the two lines",
    hint="You take the larger of the two lines. Where one is above the peak, the other is right: "
    "the smaller.",
)
def _(seconds, budget, peak, peak_at):
    progress = min(seconds / budget, 1)
    return peak * max(progress / max(peak_at, 1e-9), (1 - progress) / max(1 - peak_at, 1e-9))


@clock_rate.mistake(
    "falls by an exponential",
    hint="You let the rate fall by an exponential. It falls in a straight line to 0.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: math.exp(-5 * (1 - left)))


def _grown(progress, most, ramp, share=lambda progress, ramp: progress / ramp):
    if progress >= ramp:
        return most
    return max(1, math.ceil(most * share(progress, ramp) - 1e-9))


@micro_batches.mistake(
    "from 1 to most, rounded down",
    hint="You let the number grow from 1, and round down. It grows in proportion to the progress, "
    "and a part counts as a whole.",
)
def _(progress, most, ramp):
    return most if progress >= ramp else int(1 + (most - 1) * progress / ramp + 1e-9)


@micro_batches.mistake(
    "grows along an exponential",
    hint="You let the number grow by equal factors. It grows in proportion to the progress.",
)
def _(progress, most, ramp):
    return most if progress >= ramp else math.ceil(most ** (progress / ramp) - 1e-9)


@micro_batches.mistake(
    "grows with the square",
    hint="You square the share of the ramp. The number grows in proportion to it.",
)
def _(progress, most, ramp):
    return _grown(progress, most, ramp, share=lambda progress, ramp: (progress / ramp) ** 2)


@micro_batches.mistake(
    "grows with the root",
    hint="You take the root of the share of the ramp. The number grows in proportion to it.",
)
def _(progress, most, ramp):
    return _grown(progress, most, ramp, share=lambda progress, ramp: (progress / ramp) ** 0.5)


@micro_batches.mistake(
    "grows along a cosine",
    hint="You let the number grow along a cosine. It grows in proportion to the progress.",
)
def _(progress, most, ramp):
    return _grown(
        progress,
        most,
        ramp,
        share=lambda progress, ramp: (1 - math.cos(math.pi * progress / ramp)) / 2,
    )


@micro_batches.mistake(
    "the ramp is multiplied",
    hint="You multiply the progress by the ramp. How far up the ramp it is, is a quotient.",
)
def _(progress, most, ramp):
    return _grown(progress, most, ramp, share=lambda progress, ramp: progress * ramp)


@micro_batches.mistake(
    "grows through the whole run",
    hint="You let the number grow to the end of the run. It reaches `most` when the ramp ends.",
)
def _(progress, most, ramp):
    return _grown(progress, most, ramp, share=lambda progress, _: progress)


@micro_batches.mistake(
    "the ramp comes at the end",
    hint="You let the number grow in the last part of the run. The ramp is its first part.",
)
def _(progress, most, ramp):
    return most if not ramp else max(1, math.ceil(most * max(0, progress - 1 + ramp) / ramp - 1e-9))


@micro_batches.mistake(
    "falls along the ramp",
    hint="You begin with the most and go down. The number grows.",
)
def _(progress, most, ramp):
    return max(1, math.ceil(most * max(0.0, 1 - progress / ramp) - 1e-9)) if ramp else most


@micro_batches.mistake(
    "all until the ramp is over",
    hint="You take all micro-batches from the beginning. The number grows along the ramp.",
)
def _(progress, most, ramp):
    return most


@micro_batches.mistake(
    "one too many along the ramp",
    hint="You add one to the number along the ramp. There is at least one: take the larger of the "
    "two instead.",
)
def _(progress, most, ramp):
    return most if progress >= ramp else 1 + math.ceil(most * progress / ramp - 1e-9)


@micro_batches.mistake(
    "not above most minus one on the ramp",
    hint="Along the ramp you stay one below the most. Part of a micro-batch counts as a whole one, "
    "so the most is reached before the ramp ends.",
)
def _(progress, most, ramp):
    return min(max(1, most - 1), _grown(progress, most, ramp)) if progress < ramp else most


@micro_batches.mistake(
    "a ramp of 0 gives one",
    hint="With a ramp of 0 you return 1. Then there are always `most`.",
)
def _(progress, most, ramp):
    return _grown(progress, most, ramp) if ramp else 1


@micro_batches.mistake(
    "a number that is not whole",
    hint="You return a part of a micro-batch. It counts as a whole one: round up.",
)
def _(progress, most, ramp):
    return most if progress >= ramp else max(1, most * progress / ramp)


@block_flops.mistake(
    "three operations a pair",
    hint="You count three operations where attention has four: two products, two operations each.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), 3 * length**2 * width)


@block_flops.mistake(
    "attention over the feed-forward width",
    hint="You take ff_width for attention's term. Queries and values are as wide as the model.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), 4 * length**2 * ff_width)


@block_flops.mistake(
    "attention with the square of the width",
    hint="You square the width, and not the length. All T · T pairs of tokens count.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, _matrices(width, kv_width, ff_width), 4 * length * width**2)


@block_flops.mistake(
    "one side of the feed-forward part square",
    hint="You take one feed-forward matrix as ff_width × ff_width. They go from width to ff_width "
    "and back.",
)
def _(length, width, kv_width, ff_width):
    weights = 2 * width**2 + 2 * width * kv_width + width * ff_width + ff_width**2
    return _block(length, weights, 4 * length**2 * width)


@block_flops.mistake(
    "sides added in place of multiplied",
    hint="You add the sides of a matrix. It has as many weights as their product.",
)
def _(length, width, kv_width, ff_width):
    weights = 4 * width + 2 * (width + kv_width) + 2 * (width + ff_width)
    return _block(length, weights, 4 * length**2 * width)


@steps_for.mistake(
    "the share taken off whole steps",
    hint="You count whole steps in all of the time, take the share off and round again. Take it "
    "off the time, and round once.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    steps = int(seconds * flops_per_second / flops_per_token // tokens_per_step)
    return _steps(steps * (1 - kept_back), 1)[0], _steps(steps * (1 - kept_back), 1)[0] * (
        tokens_per_step
    )


@steps_for.mistake(
    "minutes for seconds",
    hint="You multiply by 60. The time is in seconds already.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = 60 * seconds * (1 - kept_back) * flops_per_second / flops_per_token
    return _steps(tokens, tokens_per_step)


@steps_for.mistake(
    "one step less",
    hint="You leave the last step out. It ends in time, so it counts.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = seconds * (1 - kept_back) * flops_per_second / flops_per_token
    steps = max(0, _steps(tokens, tokens_per_step)[0] - 1)
    return steps, steps * tokens_per_step


@steps_for.mistake(
    "the seconds in place of the tokens",
    hint="Your second number are seconds. Asked for are the tokens that the steps read.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    left = seconds * (1 - kept_back)
    return _steps(left * flops_per_second / flops_per_token, tokens_per_step)[0], int(left)


@steps_for.mistake(
    "operations of a step without its tokens",
    hint="You divide the operations by those of a token and call it steps, and the tokens by the "
    "tokens of a step. The steps are the smaller number.",
)
def _(seconds, kept_back, flops_per_second, flops_per_token, tokens_per_step):
    tokens = int(seconds * (1 - kept_back) * flops_per_second / flops_per_token)
    return tokens, tokens // tokens_per_step


@clock_rate.mistake(
    "a flat top",
    hint="You stay at the peak for a while, as a trapezoid does. The rate falls from the peak on.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, peak_at, down=lambda left: min(1.0, 2 * left))


@clock_rate.mistake(
    "the peak where the fall should begin",
    hint="You put the peak at the share that is left. `peak_at` counts from the beginning.",
)
def _(seconds, budget, peak, peak_at):
    return _clock(seconds, budget, peak, 1 - peak_at)


@clock_rate.mistake(
    "both lines multiplied",
    hint="You multiply the rising line with the falling one. One of them holds at a time.",
)
def _(seconds, budget, peak, peak_at):
    progress = min(seconds / budget, 1)
    return peak * min(1, progress / max(peak_at, 1e-9)) * (1 - progress)


@micro_batches.mistake(
    "up to the nearest divisor",
    hint="You round up to a divisor of the most. Part of a micro-batch counts as one, and no more.",
)
def _(progress, most, ramp):
    least = _grown(progress, most, ramp)
    return next(n for n in range(least, most + 1) if most % n == 0)


@micro_batches.mistake(
    "half of most to begin with",
    hint="You begin with half of the most. The number grows from the beginning, in proportion to "
    "the progress.",
)
def _(progress, most, ramp):
    if progress >= ramp:
        return most
    return max(1, math.ceil(most * (1 + progress / ramp) / 2 - 1e-9))


@micro_batches.mistake(
    "two at least",
    hint="You take two micro-batches at least. There is at least one.",
)
def _(progress, most, ramp):
    return max(min(2, most), _grown(progress, most, ramp))


@clock_rate.mistake(
    "falls with the inverse root of the time",
    hint="You let the rate fall with one over the root of the time, as the first transformers did. "
    "It falls in a straight line to 0.",
)
def _(seconds, budget, peak, peak_at):
    progress = seconds / budget
    if progress <= peak_at:
        return peak * progress / peak_at
    return peak * math.sqrt(peak_at / progress)


@largest_micro_batch.mistake(
    "one row's activations, however many there are",
    hint="You count the activations of one row. Each row of a micro-batch takes as much.",
)
def _(parameters, moments, row_bytes, rows, memory):
    held = _held(parameters, moments)
    return _most_rows(rows, lambda n: held + row_bytes <= memory)


@largest_micro_batch.mistake(
    "the rows shared out, rounded down",
    hint="You work out how many micro-batches are needed, and share the rows out rounded down. "
    "Then they need not divide the rows: try divisors.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fits = max(0, (memory - _held(parameters, moments)) // row_bytes)
    return rows // math.ceil(rows / fits) if fits else 0


@largest_micro_batch.mistake(
    "the memory of the rows alone",
    hint="You give the whole memory to the rows. Weights, gradients and moments are in it, too.",
)
def _(parameters, moments, row_bytes, rows, memory):
    return _most_rows(rows, lambda n: n * row_bytes <= memory)
