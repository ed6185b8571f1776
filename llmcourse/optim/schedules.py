"""Learning rate schedules, how `lr` moves over a run: pure functions from progress to a multiplier.

Progress runs from 0 to 1, whether it counts steps, tokens or seconds; the multiplier scales the
peak. So a schedule can be plotted, tested and tied to the clock. All of them are continuous,
and a warm-up begins at zero: a loop that asks at the middle of each step wastes none. Not here: who
calls them (`train/optimizers.py`). Chapter 06 teaches this.
"""

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from llmcourse.errors import UserError, nearest

Schedule = Callable[[float], float]


def constant() -> Schedule:
    """Constant: the peak from beginning to end."""
    return lambda progress: 1.0


def linear(*, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """Linear: up to the peak in the first `warmup` of the run, then straight down to `final`."""
    _check(warmup=warmup, final=final)

    def schedule(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        # From 1 at the end of the warm-up to `final` at the end of the run, and no further.
        done = (progress - warmup) / (1 - warmup)
        return 1 + (final - 1) * min(done, 1.0)

    return schedule


def warmup_cosine(*, warmup: float = 0.01, final: float = 0.1) -> Schedule:
    """Warm-up, then half a cosine from the peak to `final` (Loshchilov and Hutter, 2017)."""
    _check(warmup=warmup, final=final)

    def schedule(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        done = min((progress - warmup) / (1 - warmup), 1.0)
        # (1 + cos πx) / 2 falls from 1 to 0, flat at both ends.
        return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2

    return schedule


def wsd(*, warmup: float = 0.01, decay: float = 0.2, final: float = 0.0) -> Schedule:
    """Warm-up, stable, decay: the last `decay` of the run goes straight down (Hu et al., 2024).

    Until the decay begins, nothing depends on when the run will end; so it may be made longer.
    """
    _check(warmup=warmup, final=final)
    if not 0 < decay <= 1 - warmup:
        raise UserError(f"decay={decay} must be above 0 and leave room for warmup={warmup}")

    def schedule(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        left = max(1 - progress, 0.0)
        # Until the last `decay` begins, left / decay is above 1.
        return final + (1 - final) * min(left / decay, 1.0)

    return schedule


def one_cycle(*, peak_at: float = 0.3, start: float = 0.04, final: float = 0.0) -> Schedule:
    """One cycle: from `start` to the peak and down to `final`, along half cosines (Smith, 2018)."""
    _check(final=final)
    if not 0 < peak_at < 1 or not 0 <= start <= 1:
        raise UserError(f"peak_at={peak_at} and start={start} must lie between 0 and 1")

    def schedule(progress: float) -> float:
        # `done` counts from the peak, either way: the two halves are one curve and its mirror.
        if progress < peak_at:
            low, done = start, 1 - progress / peak_at
        else:
            low, done = final, min((progress - peak_at) / (1 - peak_at), 1.0)
        return low + (1 - low) * (1 + math.cos(math.pi * done)) / 2

    return schedule


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "linear": linear,
    "cosine": warmup_cosine,
    "wsd": wsd,
    "one_cycle": one_cycle,
}
"""Every schedule by the name that settings call it: the one table, for runs and for pictures."""

if TYPE_CHECKING:
    ScheduleName = str
else:
    ScheduleName = Literal[tuple(SCHEDULES)]


def named_schedule(name: str, **options: float) -> Schedule:
    """The schedule of a name, with those of the options that it has.

    Raises:
        UserError: no schedule of this name, or options that do not go together.
    """
    if name not in SCHEDULES:
        raise UserError(f"no schedule is called {name!r}{nearest(name, SCHEDULES)}")
    # Settings hold the options of all schedules: each takes those that it knows.
    known = inspect.signature(SCHEDULES[name]).parameters
    return SCHEDULES[name](**{key: value for key, value in options.items() if key in known})


def _check(*, warmup: float = 0.0, final: float = 0.0) -> None:
    if not 0 <= warmup < 1:
        raise UserError(f"warmup={warmup} must be at least 0 and below 1: a fraction of the run")
    if not 0 <= final <= 1:
        raise UserError(f"final={final} must lie between 0 and 1: a fraction of the peak lr")
