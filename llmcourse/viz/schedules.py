"""Schedules as curves: how the learning rate moves over a run, and a widget to bend them.

Not here: the schedules (`optim/schedules.py`). Chapter 06 teaches what the pictures show.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmcourse.optim.schedules import SCHEDULES, Schedule, named_schedule
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice, slider

_LOOKS = (
    (style.ACCENT, "-"),
    (style.CONTRAST, "-"),
    (style.GREYS[0], "--"),
    (style.GREYS[1], ":"),
    (style.GREYS[2], "-."),
)
_POINTS = 401


def schedule_curves(
    schedules: Mapping[str, Schedule], *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Multipliers of the peak rate over a run's progress, the first one in the accent's colour."""
    if ax is None:
        _, ax = style.figure(height=3.0)
    progress = np.linspace(0, 1, _POINTS)
    for (name, schedule), (color, line) in zip(schedules.items(), _LOOKS, strict=False):
        ax.plot(progress, [schedule(p) for p in progress], line, color=color, label=name)
    ax.set(xlim=(0, 1), ylim=(0, 1.05), xlabel="progress of the run", title=title)
    ax.set_ylabel("rate (peak = 1)")
    ax.grid(axis="y")
    if len(schedules) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def mean_rate(schedule: Schedule, points: int = _POINTS) -> float:
    """The mean multiplier over a run: how far it could go, compared with a constant rate."""
    middles = (np.arange(points) + 0.5) / points
    return float(np.mean([schedule(p) for p in middles]))


def schedule_of(kind: str, *, warmup: float, decay: float, final: float) -> Schedule:
    """The schedule of a name with those of the three options that it has.

    `one_cycle` takes `warmup` for the place of its peak, which is never at the very start; only
    `wsd` has a `decay`.

    Raises:
        UserError: no schedule of this name, or options that do not go together.
    """
    peak_at = max(warmup, 0.01)
    return named_schedule(kind, warmup=warmup, decay=decay, final=final, peak_at=peak_at)


def schedule(kind: str, *, warmup: float, decay: float, final: float) -> Figure:
    """One schedule over its plain relatives, and what share of a constant rate's way it goes.

    Raises:
        UserError: no schedule of this name, or options that do not go together.
    """
    chosen = schedule_of(kind, warmup=warmup, decay=decay, final=final)
    drawn, ax = style.figure(height=3.2)
    schedule_curves({kind: chosen}, ax=ax)
    progress = np.linspace(0, 1, _POINTS)
    ax.fill_between(progress, [chosen(p) for p in progress], color=style.ACCENT, alpha=0.12)
    ax.set_title(f"{kind}: on average {mean_rate(chosen):.0%} of the peak")
    return drawn


def schedule_explorer() -> Explorer:
    """`schedule` with its kind, warm-up, decay and final rate as controls."""
    options: dict[str, Any] = {
        "warmup": slider(0.1, 0.0, 0.5, 0.01),
        "decay": slider(0.2, 0.05, 0.95, 0.05),
        "final": slider(0.1, 0.0, 1.0, 0.05),
    }

    def draw(kind: str, **values: float) -> Figure:
        for name, control in options.items():
            control.disabled = name not in options_of(kind)
        return schedule(kind, **values)

    return Explorer(draw, kind=choice(SCHEDULES, "cosine"), **options)


def options_of(kind: str) -> set[str]:
    """Which of the widget's three options a schedule has."""
    known = set(inspect.signature(SCHEDULES[kind]).parameters)
    return known | {"warmup"} if "peak_at" in known else known
