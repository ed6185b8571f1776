"""A matrix as a picture: cells with gaps, positions named along both edges, a scale beside it.

The parts that pictures of matrices share. Which matrices, and what they mean: `attention.py` and
the other siblings.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize

from llmcourse.errors import UserError
from llmcourse.shapes import axis_label
from llmcourse.viz import style

Labels = Sequence[str] | None

PROBABILITIES = Normalize(0, 1)
"""Fixed limits, so that two pictures of probabilities can be compared."""
CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "in_layout": False}
"""Text inside axes. The layout need not measure it, which halves the time of a redraw."""
_GAPS_UP_TO = 32
_LETTER = 0.085
"""The width of a letter of a label, in inches, roughly."""


def axes_for(shape: tuple[int, ...]) -> Axes:
    """Axes of a size at which a matrix's cells are readable and nearly square."""
    rows, columns = shape
    cell = min(0.55, 4.6 / max(rows, columns))
    _, ax = style.figure(width=columns * cell + 1.9, height=rows * cell + 1.2)
    return ax


def token_label(piece: str) -> str:
    """A token as a label: printable, and without the space that most tokens begin with."""
    return style.printable(piece.removeprefix(" ") or piece)


def cells(
    ax: Axes, values: np.ndarray, colormap: Colormap, limits: Normalize = PROBABILITIES
) -> ScalarMappable:
    """A matrix as rectangles, the first row on top, with gaps so that equal neighbours are two."""
    rows, columns = values.shape
    edges = (np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5)
    gap: dict[str, Any] = {"edgecolors": "white", "linewidth": 1.5}
    if max(rows, columns) > _GAPS_UP_TO:
        gap = {}
    drawn = ax.pcolormesh(*edges, values, cmap=colormap, norm=limits, **gap)
    ax.set(xlim=edges[0][[0, -1]], ylim=edges[1][[-1, 0]], facecolor=style.GREYS[4])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return drawn


def cross_out(ax: Axes, crossed: np.ndarray) -> None:
    """A small cross in the middle of some cells; none where cells are too small for one."""
    if max(crossed.shape) <= _GAPS_UP_TO:
        rows, columns = np.nonzero(crossed)
        size = min(60.0, 6000 / crossed.size)
        ax.scatter(columns, rows, marker="x", color=style.GREYS[2], s=size, linewidths=1)


def name_positions(
    ax: Axes, shape: tuple[int, ...], query_labels: Labels, key_labels: Labels
) -> None:
    """Label queries `T` down and keys `S` across; unnamed keys of a square matrix are its queries.

    Raises:
        UserError: there are more or fewer labels than positions.
    """
    rows, columns = shape
    if key_labels is None and rows == columns:
        key_labels = query_labels
    width, height = _size_in_inches(ax)
    _ticks(ax, "y", rows, query_labels, room=height / rows)
    _ticks(ax, "x", columns, key_labels, room=width / columns)
    ax.set(ylabel=axis_label("T"), xlabel=axis_label("S"))


def write_values(ax: Axes, values: np.ndarray) -> None:
    """Each cell's value in it, in a colour that is readable there; nothing where it is NaN."""
    shades = ax.collections[0]
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value):
            continue
        color = style.GREYS[1] if abs(value) < 0.005 else style.text_on(shades.to_rgba(value))
        written = f"{value:.2f}".replace("-", "−")
        ax.text(column, row, written, color=color, fontsize=8, **CENTRED)


def color_bar(shades: ScalarMappable, axes: list[Axes], name: str) -> None:
    """The scale of the shades, beside all of the axes that share it."""
    low, high = shades.get_clim()
    ticks = np.linspace(low, high, 3)
    whole = axes[0].get_figure(root=True)
    assert whole is not None
    bar = whole.colorbar(shades, ax=axes, shrink=0.8, aspect=30, pad=0.02, ticks=ticks)
    bar.ax.yaxis.set_major_formatter("{x:.1f}")
    bar.set_label(name)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _size_in_inches(ax: Axes) -> tuple[float, float]:
    """About how large the axes will be, before the layout is made."""
    grid = ax.get_gridspec()
    rows, columns = grid.get_geometry() if grid else (1, 1)
    whole = ax.get_figure(root=True)
    assert whole is not None
    width, height = whole.get_size_inches()
    return 0.8 * width / columns, 0.8 * height / rows


def _ticks(ax: Axes, axis: str, count: int, labels: Labels, room: float) -> None:
    """Name the positions along an axis, turned, smaller or fewer where there is little room."""
    if labels is not None and len(labels) != count:
        raise UserError(f"{len(labels)} labels for {count} positions: give one for each")
    names = list(map(token_label, labels)) if labels else list(map(str, range(count)))
    longest = _LETTER * max(map(len, names))
    turned = axis == "x" and labels is not None and longest > room
    line = 0.16 if turned or axis == "y" else longest + _LETTER
    every = next((step for step in (1, 2, 4, 8, 16) if step * room >= 0.7 * line), 32)
    shown = range(0, count, every)
    turn: dict[str, Any] = (
        {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    )
    size = 9 if every * room >= line else 8
    set_ticks = ax.set_xticks if axis == "x" else ax.set_yticks
    set_ticks(shown, [names[at] for at in shown], fontsize=size, **turn)
