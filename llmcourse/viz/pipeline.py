"""A pipeline in time: which rank works on which micro-batch when, as planned or as it ran.

Not here: schedules and their simulation (`parallel/pipeline_schedules.py`). Chapter 10 teaches what
the picture shows.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from llmcourse.parallel.pipeline_schedules import (
    Pass,
    Slot,
    bubble_share,
    gpipe,
    most_in_flight,
    one_f_one_b,
    simulate,
)
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice, slider

SCHEDULES = {"1F1B": one_f_one_b, "GPipe": gpipe}
"""What the explorer can draw, by name."""

_NARROW = 0.015
"""The share of the whole time below which a box has room for a small number alone."""

_COLORS = {Pass.FORWARD: style.ACCENT, Pass.BACKWARD: style.CONTRAST}
_HATCHES = {Pass.FORWARD: "", Pass.BACKWARD: "///"}


def pipeline_timeline(
    slots: Sequence[Slot], *, unit: str = "forward passes", ax: Axes | None = None, title: str = ""
) -> Axes:
    """A row for each rank, the first on top; a box for each pass, with its micro-batch's number.

    Time begins at the first start. Backward passes are hatched; what is empty is the bubble.
    """
    ranks = sorted({slot.rank for slot in slots})
    if ax is None:
        _, ax = style.figure(height=0.5 * len(ranks) + 1.2)
    origin = min(slot.start for slot in slots)
    span = max(slot.end for slot in slots) - origin
    for slot in slots:
        direction = slot.action.direction
        start, length = slot.start - origin, slot.end - slot.start
        ax.barh(
            slot.rank,
            length,
            left=start,
            height=0.8,
            facecolor=style.GREYS[4],
            edgecolor=_COLORS[direction],
            hatch=_HATCHES[direction],
        )
        number = ax.text(start + length / 2, slot.rank, str(slot.action.micro_batch))
        number.set(ha="center", va="center", color=style.GREYS[0])
        if length > _NARROW * span:
            number.set_bbox({"facecolor": style.GREYS[4], "edgecolor": "none", "pad": 1})
        else:
            number.set_fontsize(7)
    ax.set_yticks(ranks, [f"rank {rank}" for rank in ranks])
    ax.invert_yaxis()
    ax.set(xlabel=f"time in {unit}", title=title)
    marks = [
        Patch(
            facecolor=style.GREYS[4],
            edgecolor=_COLORS[direction],
            hatch=_HATCHES[direction],
            label=direction.value,
        )
        for direction in Pass
    ]
    ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def pipeline_explorer(stages: int = 4, micro_batches: int = 4) -> Explorer:
    """A pipeline's schedule with its stages and micro-batches on sliders, and what it costs."""

    def draw(schedule: str, stages: int, micro_batches: int) -> Figure:
        drawn, ax = style.figure(width=8, height=3.6)
        planned = SCHEDULES[schedule](stages, micro_batches)
        slots = simulate(planned)
        most = max(most_in_flight(actions) for actions in planned)
        title = f"{schedule}: {bubble_share(slots):.0%} bubble, {most} in flight at the most"
        pipeline_timeline(slots, ax=ax, title=title)
        return drawn

    return Explorer(
        draw,
        schedule=choice(SCHEDULES),
        stages=slider(stages, 1, 6),
        micro_batches=slider(micro_batches, 1, 12),
    )
