"""A pipeline in time: which rank works on which micro-batch when, as planned or as it ran.

Not here: schedules and their simulation (`parallel/pipeline_schedules.py`). Chapter 10 teaches what
the picture shows.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from llmcourse.parallel.pipeline_schedules import Pass, Slot
from llmcourse.viz import style

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
        number.set_bbox({"facecolor": style.GREYS[4], "edgecolor": "none", "pad": 1})
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
