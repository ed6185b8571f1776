"""The exercises on what a budget buys: operations, memory, steps, the clock's rate, the ramp.

Not here: the exercises on laws (`laws.py`), the exercises' texts (`solutions/`), and how checking
works (`harness.py`). Chapter 09 teaches this.
"""

import math
from collections.abc import Iterator

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.labs.scaling import Recipe, rows_at
from llmcourse.models.gpt import GPTConfig
from llmcourse.optim.schedules import linear
from llmcourse.planning import memory as planning_memory

CHAPTER = "09"

# 1. What does a block cost?


@exercise(CHAPTER, read="1. What does a token cost?")
def block_flops(length: int, width: int, kv_width: int, ff_width: int) -> int:
    """Operations of one block's forward pass over a row: 2 a weight and token, 4 T² · width."""
    one, two = (
        GPTConfig(
            vocab_size=1,
            context_length=length,
            d_model=width,
            n_layers=n_layers,
            n_heads=width // kv_width,
            n_kv_heads=1,
            d_ff=ff_width,
            mlp="relu",
            positions="none",
        ).forward_flops(length)
        for n_layers in (1, 2)
    )
    return two - one


@block_flops.cases
def _() -> Iterator[Case]:
    yield case("by hand", 3, 4, 2, 8)
    yield case("keys as wide as queries", 5, 8, 8, 32)
    yield case("one key head of many", 16, 64, 8, 256)
    yield case("one token", 1, 12, 6, 20)
    yield case("GPT-2 small", 1024, 768, 768, 3072)
    yield case("a long row", 4096, 32, 16, 64)
    yield case("a narrow feed-forward part", 7, 10, 5, 3)


def _block(length, width, kv_width, ff_width, *, matrices=None, attention=None, factor=2):
    weights = 2 * width**2 + 2 * width * kv_width + 2 * width * ff_width
    weights = weights if matrices is None else matrices
    return factor * length * weights + (4 * length**2 * width if attention is None else attention)


@block_flops.mistake(
    "one operation for each weight",
    hint="A weight costs a multiplication *and* an addition: two operations a token.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, factor=1)


@block_flops.mistake(
    "six operations for each weight",
    hint="Six is for training, forward and backward. Here it is the forward pass alone.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, factor=6)


@block_flops.mistake(
    "training in place of a forward pass",
    hint="You count the backward pass, too, which is twice the forward pass.",
)
def _(length, width, kv_width, ff_width):
    return 3 * _block(length, width, kv_width, ff_width)


@block_flops.mistake(
    "the attention between tokens left out",
    hint="Scores and the mixing of values have no weights, and cost all the same: two products "
    "with T · T · width multiplications each.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, attention=0)


@block_flops.mistake(
    "the scores alone",
    hint="The scores take 2 T² · width. Mixing the values takes as many again. If you "
    "halved the pairs instead: all T · T count here.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, attention=2 * length**2 * width)


@block_flops.mistake(
    "half of the square",
    hint="The text says that all T · T pairs count, also those that a mask hides.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, attention=2 * length * (length + 1) * width)


@block_flops.mistake(
    "every query meets one key",
    hint="Each of the T queries meets all T keys: the length is squared there.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, attention=4 * length * width)


@block_flops.mistake(
    "the scores of the key heads alone",
    hint="Narrow keys are shared: each *query* head still has its own scores, so the square costs "
    "4 T² · width, with the width of all queries.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width, attention=4 * length**2 * kv_width)


@block_flops.mistake(
    "keys and values as wide as queries",
    hint="`k_proj` and `v_proj` are matrices of width × kv_width.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, width, ff_width)


@block_flops.mistake(
    "the output projection left out",
    hint="Four matrices: queries, keys, values, and the projection of what was mixed.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width) - 2 * length * width**2


@block_flops.mistake(
    "one feed-forward matrix", hint="Up to the feed-forward width, and down again: two matrices."
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width) - 2 * length * width * ff_width


@block_flops.mistake("for each token", hint="Right for a token of the row. The row has T of them.")
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width) // length


@block_flops.mistake(
    "a feed-forward part of four times the width",
    hint="Four times the width is usual. How wide it is here, `ff_width` says.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, 4 * width)


@block_flops.mistake(
    "biases counted",
    hint="The text names six matrices, and no biases: each weight of a matrix costs two "
    "operations a token, and nothing else does.",
)
def _(length, width, kv_width, ff_width):
    biases = 3 * width + 2 * kv_width + ff_width
    return _block(length, width, kv_width, ff_width) + 2 * length * biases


@block_flops.mistake(
    "values mixed in the width of the keys",
    hint="Each query head mixes values for itself: scores and mixing take 2 T² · width each.",
)
def _(length, width, kv_width, ff_width):
    attention = 2 * length**2 * (width + kv_width)
    return _block(length, width, kv_width, ff_width, attention=attention)


@block_flops.mistake(
    "each feed-forward matrix as in a gated one",
    hint="A gated feed-forward part has three matrices. This one goes up and back: two.",
)
def _(length, width, kv_width, ff_width):
    return _block(length, width, kv_width, ff_width) + 2 * length * width * ff_width


# 2. What fits?


@exercise(CHAPTER, read="2. What does a step keep in memory?")
def largest_micro_batch(
    parameters: int, moments: int, row_bytes: int, rows: int, memory: int
) -> int:
    """The most rows that divide a step's and fit beside weights, gradients and moments; or 0."""
    fixed = 4 * parameters * (2 + moments)
    if fixed + row_bytes > memory:
        return 0
    return planning_memory.largest_micro_batch(fixed, row_bytes, rows, memory)


@largest_micro_batch.cases
def _() -> Iterator[Case]:
    yield case("by hand", 100, 2, 500, 12, 4000)
    yield case("exactly full", 100, 2, 400, 6, 2800)
    yield case("one byte short", 100, 2, 400, 6, 2799)
    yield case("all of them fit", 10, 1, 100, 8, 1_000_000)
    yield case("not a single row", 100, 2, 500, 12, 2000)
    yield case("not even the weights", 100, 2, 500, 12, 100)
    yield case("one row, exactly", 100, 2, 500, 12, 2100)
    yield case("no moments", 50, 0, 10, 9, 443)
    yield case("one moment", 50, 1, 10, 9, 690)
    yield case("three rows of six", 100, 2, 400, 6, 3100)
    yield case("a prime number of rows", 20, 2, 30, 7, 420)
    yield case("GPT-2 small on 24 GB", 124_439_808, 2, 820_000_000, 512, 24_000_000_000)
    yield case("ten rows", 25, 2, 7, 10, 445)
    yield case("much memory, few rows", 25, 2, 7, 6, 4000)
    yield case("many moments of few parameters", 2, 10, 10, 6, 110)


def _fit(parameters, moments, row_bytes, rows, memory, *, each=4, copies=2, exact=True):
    fixed = each * parameters * (copies + moments)
    room = memory - (0 if exact else 1)
    return max((n for n in range(1, rows + 1) if rows % n == 0 and fixed + n * row_bytes <= room),
               default=0)  # fmt: skip


@largest_micro_batch.mistake(
    "does not divide the rows",
    hint="A step is made of whole micro-batches of one size: the number must divide `rows`.",
)
def _(parameters, moments, row_bytes, rows, memory):
    free = memory - 4 * parameters * (2 + moments)
    return max(0, min(rows, free // row_bytes))


@largest_micro_batch.mistake(
    "more rows than the step has",
    hint="However much memory there is: a step has no more than `rows` rows.",
)
def _(parameters, moments, row_bytes, rows, memory):
    free = memory - 4 * parameters * (2 + moments)
    return max(0, free // row_bytes)


@largest_micro_batch.mistake(
    "one row though it does not fit",
    hint="Where not even one row fits, say 0: the run would end in its first step.",
)
def _(parameters, moments, row_bytes, rows, memory):
    return max(1, _fit(parameters, moments, row_bytes, rows, memory))


@largest_micro_batch.mistake(
    "full is too full", hint="Memory that is used to the last byte is used, not exceeded."
)
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, moments, row_bytes, rows, memory, exact=False)


@largest_micro_batch.mistake(
    "the gradients left out",
    hint="Beside each weight lies its gradient, as large as the weight itself.",
)
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, moments, row_bytes, rows, memory, copies=1)


@largest_micro_batch.mistake(
    "the moments left out", hint="The optimizer keeps `moments` numbers for each weight."
)
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, 0, row_bytes, rows, memory)


@largest_micro_batch.mistake(
    "two moments whatever is said",
    hint="Two is AdamW. How many there are here, `moments` says.",
)
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, 2, row_bytes, rows, memory)


@largest_micro_batch.mistake("one byte a number", hint="A number in float32 takes four bytes.")
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, moments, row_bytes, rows, memory, each=1)


@largest_micro_batch.mistake(
    "halved until it fits",
    hint="Halving meets some divisors and misses others: six rows may be cut into twos and threes.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fixed, n = 4 * parameters * (2 + moments), rows
    while n >= 1 and (rows % n or fixed + n * row_bytes > memory):
        n //= 2
    return n


@largest_micro_batch.mistake(
    "halved until it fits, divisor or not",
    hint="Half of 6 is 3, half of 3 is no divisor, and 2 was never tried. Try every number that "
    "divides `rows`.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fixed, n = 4 * parameters * (2 + moments), rows
    while n >= 1 and fixed + n * row_bytes > memory:
        n //= 2
    return n


@largest_micro_batch.mistake(
    "powers of two alone",
    hint="Powers of two are usual. The text asks for any number that divides `rows`.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fixed = 4 * parameters * (2 + moments)
    powers = [2**k for k in range(rows.bit_length()) if rows % 2**k == 0]
    return max((n for n in powers if fixed + n * row_bytes <= memory), default=0)


@largest_micro_batch.mistake(
    "how many micro-batches there are",
    hint="That is how many micro-batches the step is cut into. Return how many rows one of them "
    "has.",
)
def _(parameters, moments, row_bytes, rows, memory):
    n = _fit(parameters, moments, row_bytes, rows, memory)
    return rows // n if n else 0


@largest_micro_batch.mistake(
    "a fifth left free",
    hint="The chapter left a fifth of the memory free. Here all of it together may take `memory` "
    "bytes.",
)
def _(parameters, moments, row_bytes, rows, memory):
    return _fit(parameters, moments, row_bytes, rows, 0.8 * memory)


@largest_micro_batch.mistake(
    "weights for each row",
    hint="Weights, gradients and moments are there once, however many rows go through at once.",
)
def _(parameters, moments, row_bytes, rows, memory):
    each = 4 * parameters * (2 + moments) + row_bytes
    return _fit(0, moments, each, rows, memory)


@largest_micro_batch.mistake(
    "all rows or one",
    hint="Between one row and all of them lie further divisors: take the largest that fits.",
)
def _(parameters, moments, row_bytes, rows, memory):
    fixed = 4 * parameters * (2 + moments)
    return next((n for n in (rows, 1) if fixed + n * row_bytes <= memory), 0)


# 3. How far does the time reach?


@exercise(CHAPTER, read="3. What does an hour buy here?")
def steps_for(
    seconds: float, kept_back: float, flops_per_second: float, flops_per_token: float,
    tokens_per_step: int,
) -> tuple[int, int]:  # fmt: skip
    """Whole steps and their tokens in the share of the time that is left for training."""
    tokens = seconds * (1 - kept_back) * flops_per_second / flops_per_token
    steps = int(tokens // tokens_per_step)
    return steps, steps * tokens_per_step


@steps_for.cases
def _() -> Iterator[Case]:
    yield case("by hand", 60.0, 0.25, 2000.0, 100.0, 400)
    yield case("a whole number of steps", 64.0, 0.5, 1024.0, 32.0, 256)
    yield case("nothing kept back", 100.0, 0.0, 5000.0, 64.0, 700)
    yield case("nearly all kept back", 100.0, 0.875, 5000.0, 64.0, 300)
    yield case("too short for a step", 1.0, 0.125, 1000.0, 64.0, 128)
    yield case("an hour here", 3600.0, 0.0625, 2.1e10, 7.1e6, 2048)
    yield case("a day on a card", 86400.0, 0.0625, 4e14, 8.5e8, 524_288)
    yield case("a step and nine tenths", 10.0, 0.0, 190.0, 10.0, 100)
    yield case("parts of a second count", 7.0, 0.25, 1024.0, 8.0, 60)
    yield case("nearly four steps, a fifth kept back", 10.0, 0.2, 39.0, 1.0, 100)


def _steps(seconds, kept_back, speed, each, at_once, *, share=None, whole=math.floor):
    tokens = seconds * (1 - kept_back if share is None else share) * speed / each
    steps = whole(tokens / at_once)
    return steps, steps * at_once


@steps_for.mistake(
    "half a step", hint="A step is taken or not: the tokens are those of *whole* steps."
)
def _(seconds, kept_back, speed, each, at_once):
    tokens = seconds * (1 - kept_back) * speed / each
    return int(tokens // at_once), int(tokens)


@steps_for.mistake(
    "rounded to the nearest step", hint="The last step must end in time: round down."
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, whole=round)


@steps_for.mistake(
    "rounded up", hint="The step that you add ends after the time is over: round down."
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, whole=math.ceil)


@steps_for.mistake(
    "nothing was kept back", hint="Only the share 1 − kept_back of the time is for steps."
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, share=1)


@steps_for.mistake(
    "the share that is kept back is spent",
    hint="`kept_back` is for evaluations. What is left of 1 is for steps.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, share=kept_back)


@steps_for.mistake(
    "six times as many operations",
    hint="`flops_per_token` is what training takes already: forward and backward.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, 6 * each, at_once)


@steps_for.mistake("the tokens first", hint="The order asked for is: steps, then tokens.")
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once)[::-1]


@steps_for.mistake(
    "whole seconds",
    hint="You round the seconds. Half a second is time, too: round the steps alone.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(int(seconds * (1 - kept_back)), 0, speed, each, at_once)


@steps_for.mistake(
    "whole tokens a second",
    hint="You round the tokens of each second. Round once, at the end: the steps.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed // each, 1, at_once)


@steps_for.mistake(
    "divided by one and the share",
    hint="A quarter kept back leaves three quarters: times 1 − 0.25, not divided by 1.25.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, share=1 / (1 + kept_back))


@steps_for.mistake(
    "parts of a step",
    hint="Return *whole* steps: round down, and multiply them by the tokens of a step.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(seconds, kept_back, speed, each, at_once, whole=float)


@steps_for.mistake(
    "at least one step",
    hint="Where the time is too short for a step, none ends in time: 0 steps, 0 tokens.",
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(
        seconds, kept_back, speed, each, at_once, whole=lambda steps: max(1, math.floor(steps))
    )


@steps_for.mistake(
    "hours", hint="The time is in seconds already, and so is the speed: nothing is to convert."
)
def _(seconds, kept_back, speed, each, at_once):
    return _steps(3600 * seconds, kept_back, speed, each, at_once)


@steps_for.mistake(
    "the share kept back of the tokens alone",
    hint="The time is what shrinks: take the share off first, and count steps and tokens in what "
    "is left.",
)
def _(seconds, kept_back, speed, each, at_once):
    steps, tokens = _steps(seconds, 0.0, speed, each, at_once)
    return steps, int(tokens * (1 - kept_back))


# 4. A rate that follows the clock


@exercise(CHAPTER, read="6. What does cramming do?")
def clock_rate(seconds: float, budget: float, peak: float, peak_at: float) -> float:
    """Up to the peak in the share `peak_at` of the budget, then down to 0 at its end."""
    return peak * linear(warmup=peak_at)(seconds / budget)


@clock_rate.cases
def _() -> Iterator[Case]:
    yield case("by hand, on the way up", 15.0, 60.0, 0.01, 0.5)
    yield case("by hand, on the way down", 45.0, 60.0, 0.01, 0.5)
    yield case("an early peak", 50.0, 100.0, 0.02, 0.1)
    yield case("at the beginning", 0.0, 60.0, 0.01, 0.25)
    yield case("at the peak", 15.0, 60.0, 0.01, 0.25)
    yield case("at the end", 60.0, 60.0, 0.01, 0.25)
    yield case("after the end", 75.0, 60.0, 0.01, 0.25)
    yield case("a late peak", 70.0, 100.0, 1.0, 0.8)
    yield case("of a day", 30_000.0, 86_400.0, 0.001, 0.5)
    yield case("shortly before the end", 57.0, 60.0, 0.01, 0.5)


def _triangle(seconds, budget, peak, peak_at, *, up=None, down=None, end=0.0):
    progress = seconds / budget
    if progress >= 1:
        return end
    if progress < peak_at:
        return peak * (progress / peak_at if up is None else up(progress))
    return peak * ((1 - progress) / (1 - peak_at) if down is None else down(progress))


@clock_rate.mistake(
    "below zero after the end",
    hint="A budget is never met to the second. From its end on the rate is 0, not negative.",
)
def _(seconds, budget, peak, peak_at):
    progress = seconds / budget
    return peak * min(progress / peak_at, (1 - progress) / (1 - peak_at))


@clock_rate.mistake(
    "falls over the whole budget",
    hint="At the peak your rate jumps. It has to fall from 1 to 0 between `peak_at` and the end: "
    "(1 − progress) / (1 − peak_at).",
)
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, peak_at, down=lambda progress: 1 - progress)


@clock_rate.mistake(
    "rises over the whole budget",
    hint="The peak is reached at the share `peak_at` of the budget: progress / peak_at.",
)
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, peak_at, up=lambda progress: progress)


@clock_rate.mistake(
    "stays at the peak", hint="After the peak the rate falls, straight down to 0 at the end."
)
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, peak_at, down=lambda progress: 1.0, end=peak)


@clock_rate.mistake("no way up", hint="The rate begins at 0 and rises to the peak first.")
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, peak_at, up=lambda progress: 1.0)


@clock_rate.mistake("a share of the peak", hint="Your shape is right. Multiply it by the peak.")
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, 1.0, peak_at)


@clock_rate.mistake(
    "half a cosine", hint="Both sides are straight lines here: no cosine is asked for."
)
def _(seconds, budget, peak, peak_at):
    return _triangle(
        seconds, budget, peak, peak_at,
        up=lambda p: (1 - math.cos(math.pi * p / peak_at)) / 2,
        down=lambda p: (1 + math.cos(math.pi * (p - peak_at) / (1 - peak_at))) / 2,
    )  # fmt: skip


@clock_rate.mistake(
    "the peak in the middle", hint="You put the peak in the middle. It stands at `peak_at`."
)
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, 0.5)


@clock_rate.mistake(
    "a cosine on the way down",
    hint="The way down is a straight line here: (1 − progress) / (1 − peak_at). No cosine.",
)
def _(seconds, budget, peak, peak_at):
    def down(progress):
        return (1 + math.cos(math.pi * (progress - peak_at) / (1 - peak_at))) / 2

    return _triangle(seconds, budget, peak, peak_at, down=down)


@clock_rate.mistake(
    "falls from the peak as if a whole budget were left",
    hint="After the peak there is the share 1 − peak_at of the budget left, and the rate has to "
    "reach 0 in it. Yours falls too slowly.",
)
def _(seconds, budget, peak, peak_at):
    progress = min(1.0, seconds / budget)
    return peak * (progress / peak_at if progress < peak_at else 1 - (progress - peak_at))


@clock_rate.mistake(
    "upside down",
    hint="You begin at the peak and are at 0 where the peak should be: 1 minus your share.",
)
def _(seconds, budget, peak, peak_at):
    return peak - _triangle(seconds, budget, peak, peak_at)


@clock_rate.mistake(
    "rises again after the end",
    hint="Behind the end 1 − progress is negative. Cut it off at 0: `abs` makes the rate rise "
    "again.",
)
def _(seconds, budget, peak, peak_at):
    progress = seconds / budget
    return peak * min(progress / peak_at, abs(1 - progress) / (1 - peak_at))


@clock_rate.mistake(
    "never falls",
    hint="The peak is reached at the share `peak_at`, not at the end, and then the rate falls.",
)
def _(seconds, budget, peak, peak_at):
    return peak * min(1.0, seconds / budget)


@clock_rate.mistake(
    "a lowest rate that is not zero",
    hint="Many schedules end at a tenth of the peak. This one begins and ends at 0.",
)
def _(seconds, budget, peak, peak_at):
    return max(0.1 * peak, _triangle(seconds, budget, peak, peak_at))


@clock_rate.mistake(
    "a curve on the way up", hint="It rises in a straight line: the share itself, not its square."
)
def _(seconds, budget, peak, peak_at):
    return _triangle(seconds, budget, peak, peak_at, up=lambda progress: (progress / peak_at) ** 2)


# 7. A batch that grows


@exercise(CHAPTER, read="6. What does cramming do?")
def micro_batches(progress: float, most: int, ramp: float) -> int:
    """How many micro-batches a step has, growing from 1 to `most` in the share `ramp`."""
    return rows_at(progress, Recipe(batch_size=most, ramp=ramp))


@micro_batches.cases
def _() -> Iterator[Case]:
    yield case("by hand", 0.3, 8, 0.6)
    yield case("by hand, rounded up", 0.32, 8, 0.64)
    yield case("a little further", 0.328125, 8, 0.5)
    yield case("at the beginning", 0.0, 8, 0.6)
    yield case("near the beginning", 0.01, 8, 0.6)
    yield case("at the end of the ramp", 0.5, 8, 0.5)
    yield case("behind the ramp", 0.75, 8, 0.5)
    yield case("no ramp", 0.25, 8, 0.0)
    yield case("no ramp, at the beginning", 0.0, 5, 0.0)
    yield case("one micro-batch", 0.125, 1, 0.5)
    yield case("just after a whole number", 0.2501, 8, 0.5)
    yield case("nearly a whole number", 0.29, 8, 0.5)
    yield case("many", 0.4, 1000, 0.75)
    yield case("just before the end of the ramp", 0.49, 8, 0.5)
    yield case("a third more than one", 0.1, 8, 0.6)
    yield case("twelve at most", 0.24, 12, 0.6)


@micro_batches.mistake("rounded down", hint="Part of a micro-batch is taken whole: round up.")
def _(progress, most, ramp):
    return most if progress >= ramp else max(1, math.floor(most * progress / ramp))


@micro_batches.mistake(
    "rounded to the nearest", hint="Part of a micro-batch is taken whole, however small: round up."
)
def _(progress, most, ramp):
    return most if progress >= ramp else max(1, round(most * progress / ramp))


@micro_batches.mistake(
    "none at the beginning", hint="A step without a micro-batch learns nothing: 1 at the least."
)
def _(progress, most, ramp):
    return most if progress >= ramp else math.ceil(most * progress / ramp)


@micro_batches.mistake(
    "grows over the whole run", hint="All of them are reached at the share `ramp` of the run."
)
def _(progress, most, ramp):
    return max(1, math.ceil(most * progress))


@micro_batches.mistake(
    "grows beyond the end of the ramp", hint="From the end of the ramp on there are `most`."
)
def _(progress, most, ramp):
    return max(1, math.ceil(most * progress / ramp)) if ramp else most


@micro_batches.mistake(
    "one too many", hint="Round up, and leave it at that: a whole number stays what it is."
)
def _(progress, most, ramp):
    return most if progress >= ramp else min(most, math.floor(most * progress / ramp) + 1)


@micro_batches.mistake(
    "one until the ramp is over", hint="Between its two ends the number grows, step by step."
)
def _(progress, most, ramp):
    return most if progress >= ramp else 1


@micro_batches.mistake(
    "on a line from 1 to the most",
    hint="The number is in proportion to `progress`: the line begins at 0, and only then is there "
    "at least one.",
)
def _(progress, most, ramp):
    return most if progress >= ramp else math.ceil(1 + (most - 1) * progress / ramp)


@micro_batches.mistake(
    "shrinks in place of growing", hint="Early there are few, late there are many: not the reverse."
)
def _(progress, most, ramp):
    return 1 if progress >= ramp else max(1, math.ceil(most * (1 - progress / ramp)))


@micro_batches.mistake(
    "the ramp of the example", hint="You divide by 0.6. How long the ramp is, `ramp` says."
)
def _(progress, most, ramp):
    return most if progress >= ramp else max(1, min(most, math.ceil(most * progress / 0.6)))


@micro_batches.mistake(
    "grows from the end of the ramp on",
    hint="The ramp is the part in which the number grows. At its end all of them are there.",
)
def _(progress, most, ramp):
    if progress < ramp:
        return 1
    return max(1, math.ceil(most * (progress - ramp) / (1 - ramp)))


@micro_batches.mistake(
    "never quite the most", hint="At the end of the ramp there are `most`, not one less."
)
def _(progress, most, ramp):
    if progress >= ramp:
        return most - 1 if ramp else most
    return max(1, math.ceil(most * progress / ramp))


@micro_batches.mistake(
    "doubled again and again",
    hint="It grows in proportion, on a straight line: 3, 5, 6 and 7 occur as well as 1, 2, 4, 8.",
)
def _(progress, most, ramp):
    if progress >= ramp:
        return most
    return min(most, 2 ** math.ceil(math.log2(max(1.0, most * progress / ramp))))
