"""A plan of the whole machine: the stream from left to right, and what reads it and adds to it.

Not here: what flows through it in a real pass (`machine.py`). Chapter 05 shows the plan before the
reader types the model.
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from llmcourse.viz import matrix, style

_STREAM = 2.0
"""The height at which the residual stream runs."""
_BOX: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.12", "linewidth": 1.2}


def gpt_blueprint(n_layers: int, *, tied: bool = True, title: str = "") -> Figure:
    """Plan of a pre-norm GPT: embedding, `n_layers` blocks of two branches, final norm, head.

    With `tied`, a dotted line says that the embedding and the head are one matrix.
    """
    drawn, ax = style.figure(width=9, height=3.2)
    ax.set(xlim=(0, 18), ylim=(-0.6, 3.9), title=title)
    ax.axis("off")
    _arrow(ax, (2.6, _STREAM), (12.6, _STREAM), width=3)
    ax.text(4.4, _STREAM + 0.2, "the stream, B T D", fontsize=8, color=style.ACCENT)
    ax.text(0, _STREAM, "ids\nB T", fontsize=9, va="center")
    _arrow(ax, (0.6, _STREAM), (1.0, _STREAM))
    _box(ax, 1.8, _STREAM, "token\nembedding", width=1.6)
    for left, part in ((4.2, "attention"), (8.2, "MLP")):
        _branch(ax, left, part)
    frame = FancyBboxPatch((3.9, -0.4), 8.2, 3.2, linestyle="--", facecolor="none", **_BOX)
    frame.set_edgecolor(style.GREYS[2])
    ax.add_patch(frame)
    ax.text(12.0, -0.25, f"block, {n_layers} times", fontsize=9, ha="right")
    _box(ax, 13.4, _STREAM, "final\nnorm", width=1.4)
    _arrow(ax, (14.1, _STREAM), (14.6, _STREAM))
    _box(ax, 15.4, _STREAM, "head", width=1.4)
    _arrow(ax, (16.1, _STREAM), (16.6, _STREAM))
    ax.text(16.7, _STREAM, "logits\nB T V", fontsize=9, va="center")
    if tied:
        x = [1.8, 1.8, 15.4, 15.4]
        ax.plot(x, [2.5, 3.3, 3.3, 2.5], ":", color=style.CONTRAST, linewidth=1.6)
        ink = style.ink(style.CONTRAST)
        ax.text(8.6, 3.4, "tied: one matrix, V x D", fontsize=9, ha="center", color=ink)
    return drawn


def _branch(ax: Axes, left: float, part: str) -> None:
    """A branch below the stream: it leaves at `left`, passes a norm and a part, and is added."""
    ax.plot([left, left], [_STREAM, 0.5], "-", color=style.GREYS[1], linewidth=1.2)
    _arrow(ax, (left, 0.5), (left + 0.4, 0.5))
    _box(ax, left + 0.95, 0.5, "norm", width=1.1)
    _arrow(ax, (left + 1.5, 0.5), (left + 1.8, 0.5))
    _box(ax, left + 2.55, 0.5, part, width=1.5)
    join = left + 3.55
    ax.plot([left + 3.3, join], [0.5, 0.5], "-", color=style.GREYS[1], linewidth=1.2)
    _arrow(ax, (join, 0.5), (join, _STREAM - 0.25))
    circle: dict[str, Any] = {
        "markersize": 15,
        "color": "white",
        "markeredgecolor": style.ACCENT,
        "zorder": 5,
    }
    ax.plot(join, _STREAM, "o", **circle)
    ax.text(join, _STREAM, "+", color=style.ACCENT, fontsize=13, zorder=6, **matrix.CENTRED)


def _box(ax: Axes, x: float, y: float, words: str, width: float) -> None:
    box = FancyBboxPatch((x - width / 2, y - 0.45), width, 0.9, facecolor="white", **_BOX)
    box.set_edgecolor(style.GREYS[1])
    ax.add_patch(box)
    ax.text(x, y, words, fontsize=9, **matrix.CENTRED)


def _arrow(
    ax: Axes, start: tuple[float, float], end: tuple[float, float], width: float = 1.2
) -> None:
    color = style.ACCENT if width > 2 else style.GREYS[1]
    arrow: dict[str, Any] = {
        "arrowstyle": "-|>",
        "color": color,
        "linewidth": width,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", end, start, arrowprops=arrow)
