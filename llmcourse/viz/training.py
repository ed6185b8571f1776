"""Loss curves beside the losses that they have to be compared with.

A loss means little by itself: here it stands between what guessing costs (uniform, unigram) and,
where it is known, what no model can beat (the entropy of the source). Not here: the report that a
run writes by itself (`runs/report.py`). Chapters 00, 06 and 08 teach how to read such a curve.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from llmcourse.errors import UserError
from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Evaluation
from llmcourse.viz import style

Points = Sequence[tuple[float, float]]
"""Pairs of a step and the value there."""

_NOISY = 60
"""A series of more points is drawn pale, with its running mean on top."""
_LINE_HEIGHT = 0.055
"""How far apart labels beside the curve must stand, as a share of the axes' height."""


def loss_curve(
    series: Mapping[str, Points],
    baselines: Mapping[str, float] | None = None,
    *,
    ax: Axes | None = None,
    title: str = "",
    unit: str = "nats per token",
) -> Axes:
    """Losses over steps, each line and each horizontal baseline labelled where it ends.

    Raises:
        UserError: a series is empty.
    """
    if ax is None:
        _, ax = style.figure(height=3.6)
    labels = [_draw_series(ax, name, points) for name, points in series.items()]
    for name, value in (baselines or {}).items():
        ax.axhline(value, color=style.GREYS[2], linestyle=(0, (5, 3)), linewidth=1.2, zorder=1)
        labels.append((value, f"{name} {value:.2f}", style.GREYS[1]))
    ax.set(xlabel="optimizer steps", ylabel=f"loss ({unit})", title=title)
    ax.set_xlim(left=0)
    ax.grid(axis="y")
    label_ends(ax, labels)
    return ax


def run_curve(run: str | os.PathLike, *, ax: Axes | None = None, title: str = "") -> Axes:
    """The validation loss of a run's folder, in bits per byte, beside the run's own baselines.

    Raises:
        UserError: the folder holds no run that was evaluated.
    """
    history = RunHistory.read(run)
    points = history.points(Evaluation, "bits_per_byte")
    if not points:
        raise UserError(f"{run} has no evaluation in bits per byte: give the folder of a run")
    title = title or f"From {points[0][1]:.2f} to {points[-1][1]:.2f} bits per byte"
    return loss_curve(
        {"validation": points}, history.baselines, ax=ax, title=title, unit="bits per byte"
    )


def _draw_series(ax: Axes, name: str, points: Points) -> tuple[float, str, str]:
    """Draw one line; return where it ends, and its label and colour there."""
    if not points:
        raise UserError(f"there is nothing to draw for {name!r}: give at least one (step, value)")
    steps, values = np.array(points, dtype=float).T
    (line,) = ax.plot(steps, values)
    color = str(line.get_color())
    end = values[-1]
    if len(points) > _NOISY:
        line.set(alpha=0.3, linewidth=0.8)
        smooth = _running_mean(values, max(5, len(points) // 30))
        ax.plot(steps, smooth, color=color, linestyle=line.get_linestyle())
        end = smooth[-1]
    elif len(points) == 1:
        line.set_marker("o")
    return float(end), f"{name} {end:.2f}", color


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean of up to `width` values that end at each position; NaN (a lost step) is left out."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    upper = np.arange(1, len(values) + 1)
    lower = np.maximum(upper - width, 0)
    totals, seen = sums[upper] - sums[lower], counts[upper] - counts[lower]
    return np.divide(totals, seen, out=np.full(len(values), np.nan), where=seen > 0)


def label_ends(ax: Axes, labels: list[tuple[float, str, str]]) -> None:
    """Write each label right of the axes at its height, pushed up where two would overlap."""
    low, high = ax.get_ylim()
    ax.set_ylim(low, high)
    taken = -np.inf
    for height, words, color in sorted(labels):
        share = max((height - low) / (high - low), taken + _LINE_HEIGHT)
        taken = share
        ax.annotate(
            words,
            (1, share),
            xycoords="axes fraction",
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=style.ink(color),
            fontsize=9,
        )
