"""A text's segmentations as paths through a lattice, the likeliest one in colour.

Nodes stand between characters, and each piece that fits is an arc over what it covers. Not here:
the algorithms (`tokenizers/lattice.py`). Chapter 01 uses it.
"""

import math

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from llmcourse.tokenizers.lattice import Arc, UnigramModel, backward, best_path, forward
from llmcourse.viz import style


def draw_lattice(
    model: UnigramModel, text: str, title: str | None = None, *, sums: bool = False
) -> Axes:
    """Draw all pieces that fit into a text, with their probabilities.

    Long pieces bend higher. The best path is thick and in the accent's colour; by default the title
    spells it. With `sums`, under each node stands α, the sum over all ways to get there from the
    left, and β, the sum over all ways from there to the end.
    """
    arcs = list(model.arcs(text))
    best = best_path(len(text), arcs)
    longest = max(end - start for start, end, _ in arcs)
    _, ax = style.figure(height=1.3 + 0.45 * longest)
    for arc in arcs:
        _draw_arc(ax, arc, text, arc in best)
    ax.plot(range(len(text) + 1), [0] * (len(text) + 1), "o", color=style.GREYS[0], zorder=3)
    for at, letter in enumerate(text):
        ax.text(at + 0.5, -0.28, style.printable(letter), ha="center", va="top", fontsize=14)
    if sums:
        _write_sums(ax, arcs, len(text))
    spelled = " + ".join(style.printable(text[start:end]) for start, end, _ in best)
    ax.set(title=title or f"The likeliest way: {spelled}")
    ax.set(
        xlim=(-0.5 if sums else -0.3, len(text) + 0.3),
        ylim=(-1.4 if sums else -0.7, 0.5 * longest + 0.2),
    )
    ax.axis("off")
    return ax


def _write_sums(ax: Axes, arcs: list[Arc], size: int) -> None:
    """The forward and the backward sum under each node, as probabilities."""
    for name, logs, y in (("α", forward(size, arcs), -0.75), ("β", backward(size, arcs), -1.1)):
        ax.text(-0.4, y, name, ha="right", va="top", color=style.GREYS[0])
        for node, log in enumerate(logs):
            ax.text(node, y, f"{math.exp(log):.3g}", ha="center", va="top", color=style.GREYS[0])


def _draw_arc(ax: Axes, arc: Arc, text: str, chosen: bool) -> None:
    start, end, score = arc
    color = style.ACCENT if chosen else style.GREYS[1]
    height = 0.5 * (end - start)
    middle = (start + end) / 2
    bow = Path(
        [(start, 0), (middle, 2 * height), (end, 0)], [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    )
    width = 2.6 if chosen else 1.2
    ax.add_patch(
        FancyArrowPatch(path=bow, arrowstyle="-|>", mutation_scale=11, linewidth=width, color=color)
    )
    label = f"{style.printable(text[start:end])}  {math.exp(score):.2g}"
    weight = "bold" if chosen else "normal"
    frame = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    ax.text(middle, height, label, ha="center", va="center", color=color, weight=weight, bbox=frame)
