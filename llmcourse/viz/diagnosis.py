"""Pictures of runs: a patient's curves, and how far two runs have drifted apart.

Not here: the runs (`labs/faulty_runs.py`), what is wrong with them (`runs/diagnosis.py`), and a
loss curve between its baselines (`training.py`). Chapter 08 teaches how to read them.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmcourse.data.packing import Rows
from llmcourse.runs.diagnosis import diagnose
from llmcourse.runs.history import RunHistory
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice


def chart(
    sick: RunHistory, *, cured: RunHistory | None = None, title: str = "", note: str = ""
) -> Figure:
    """The loss, with evaluations as dots and frequencies' level dashed; the gradient's norm beside.

    A cured run is drawn in grey, and a note is written below. Losses far above the start are cut
    off, for one spike would flatten all the rest.
    """
    drawn, (left, right) = style.figure(height=2.7, columns=2, width_ratios=[3, 2])
    if cured is not None:
        left.plot(cured.steps, cured.losses, color=style.GREYS[3], linestyle="-", label="cured")
        right.plot(cured.steps, cured.norms, color=style.GREYS[3], linestyle="-")
    left.plot(sick.steps, sick.losses, color=style.ACCENT, linewidth=1.2, label="training")
    steps, losses = zip(*sick.held_out, strict=True)
    left.plot(steps, losses, "o-", color=style.CONTRAST, markersize=3.5, label="held-out")
    top = min(2 * sick.first_loss, max(sick.losses.max(), *losses)) * 1.3  # room for the legend
    if sick.unigram is not None and sick.unigram < top:
        left.axhline(sick.unigram, color=style.GREYS[2], linewidth=1, linestyle="--")
        beside = {"transform": left.get_yaxis_transform(), "va": "center", "fontsize": 8}
        left.text(1.01, sick.unigram, "frequencies", **beside)
    left.set(ylim=(0, top), xlabel="step", ylabel="loss (nats)", title=title)
    left.legend(ncols=3, fontsize=8, loc="upper right")
    right.plot(sick.steps, sick.norms, color=style.ACCENT, linewidth=1.2)
    right.set(xlabel="step", title="Gradient's norm")
    if (sick.norms > 0).any():
        right.set_yscale("log")
        style.log_ticks(right.yaxis)
    note = note[:1].upper() + note[1:]
    if note:
        drawn.supxlabel(
            textwrap.fill(note, 105), fontsize=8.5, color=style.GREYS[1], x=0.02, ha="left"
        )
    return drawn


def ward(runs: Mapping[str, RunHistory], *, columns: int = 4) -> Figure:
    """Many runs side by side, without names of illnesses: training, held-out, frequencies."""
    rows = -(-len(runs) // columns)
    drawn, axes = style.figure(height=1.75 * rows, rows=rows, columns=columns, sharex=True)
    for ax in axes.flat[len(runs) :]:
        ax.set_visible(False)
    for ax, (name, run) in zip(axes.flat, runs.items(), strict=False):
        ax.plot(run.steps, run.losses, color=style.ACCENT, linewidth=1.1, zorder=3)
        steps, losses = zip(*run.held_out, strict=True)
        ax.plot(steps, losses, "-", color=style.CONTRAST, linewidth=1.6)
        if run.unigram is not None:
            ax.axhline(run.unigram, color=style.GREYS[2], linewidth=1, linestyle="--")
        ax.set(ylim=(0, 2 * run.first_loss), title=name)
    return drawn


def explorer(runs: Mapping[str, RunHistory]) -> Explorer:
    """Choose a run by name; its curves, and what `diagnose` says as the title."""

    def draw(run: str) -> Figure:
        found = diagnose(runs[run])
        return chart(runs[run], title=found.cause, note=f"{found.evidence} {found.advice}")

    return Explorer(draw, run=choice(runs))


def drift(
    runs: Mapping[str, Sequence[float]],
    reference: Sequence[float],
    *,
    start: int = 0,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """How far each run's losses are from the reference's; a run that is the same lies at zero."""
    if ax is None:
        _, ax = style.figure(height=3)
    for name, losses in runs.items():
        gap = np.abs(np.asarray(losses) - np.asarray(reference))
        ax.plot(range(start + 1, start + 1 + len(gap)), gap, label=name)
    ax.set(xlabel="step", ylabel="difference of the losses", title=title)
    ax.legend()
    return ax


def packed(rows: Rows, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Rows of packed documents: each document a block of its shade, padding hatched."""
    if ax is None:
        _, ax = style.figure(height=0.26 * len(rows.ids) + 0.9)
    length = rows.ids.shape[1]
    for row, numbers in enumerate(rows.documents):
        ends = np.flatnonzero(np.diff(numbers, append=-1)) + 1
        starts = np.concatenate([[0], ends[:-1]])
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            number = int(numbers[start])
            shade = style.SEQUENTIAL(0.85 - 0.25 * (number % 3)) if number else "white"
            look: dict[str, Any] = {"color": shade, "edgecolor": "white", "height": 0.8}
            if not number:
                look = {"color": "white", "edgecolor": style.GREYS[3], "height": 0.8}
            ax.barh(row, end - start, left=start, hatch=None if number else "////", **look)
    ax.set(xlim=(0, length), yticks=[], xlabel="T (position)", ylabel="B (row)", title=title)
    ax.invert_yaxis()
    return ax
