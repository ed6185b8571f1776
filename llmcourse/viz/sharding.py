"""Who holds what, and what moves: rings, shards, cut matrices, buckets and bars of memory.

Not here: pipelines in time (`pipeline.py`). Chapter 10 teaches what the pictures show.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from llmcourse.parallel.data_parallel import Exchange
from llmcourse.parallel.memory import Memory
from llmcourse.parallel.simulate import Forecast
from llmcourse.viz import style

WAYS = ("data parallel", "ZeRO 3", "tensor parallel", "pipeline")
"""The ways that `holdings` can draw."""

_PARTS = {
    "parameters": (style.ACCENT, ""),
    "gradients": (style.CONTRAST, "///"),
    "optimizer_state": (style.GREYS[2], "..."),
}
_SECONDS = {
    "compute": (style.ACCENT, ""),
    "bubble": (style.GREYS[4], ""),
    "tensor": (style.CONTRAST, "///"),
    "pipeline": (style.GREYS[2], "..."),
    "data": (style.GREYS[1], "xx"),
}


def ring_steps(tables: Sequence[np.ndarray], *, titles: Sequence[str] = ()) -> Figure:
    """A ring, step by step: a row for each rank, a column for each chunk, one panel a step.

    Args:
        tables: `[rank, chunk]` at each step: how many ranks' numbers are summed in it.
        titles: what stands above each panel.
    """
    n = len(tables[0])
    columns = min(4, len(tables))
    lines = -(-len(tables) // columns)
    drawn, axes = style.figure(height=1.9 * lines + 0.3, rows=lines, columns=columns, squeeze=False)
    for ax in axes.flat[len(tables) :]:
        ax.axis("off")
    for number, (ax, table) in enumerate(zip(axes.flat, tables, strict=False)):
        ax.imshow(table, cmap=style.SEQUENTIAL, vmin=0, vmax=n, aspect="equal")
        for rank, chunk in np.ndindex(table.shape):
            shade = style.SEQUENTIAL(table[rank, chunk] / n)
            ax.text(
                chunk, rank, str(table[rank, chunk]), ha="center", va="center", fontsize=9,
                color=style.text_on(shade[:3]),
            )  # fmt: skip
            if number and table[rank, chunk] != tables[number - 1][rank, chunk]:
                box = Rectangle((chunk - 0.5, rank - 0.5), 1, 1, fill=False)
                box.set(edgecolor=style.CONTRAST, linewidth=2.5)
                ax.add_patch(box)
        ax.set_yticks(range(n), [f"rank {rank}" for rank in range(n)])
        ax.set_xticks(range(n))
        ax.tick_params(length=0, labelsize=8)
        ax.spines[:].set_visible(False)
        ax.set_title(titles[number] if titles else f"after step {number}", fontsize=9)
    for ax in axes[:, 1:].flat:
        ax.set_yticklabels([])
    for ax in axes[-1]:
        ax.set_xlabel("chunk", fontsize=8)
    return drawn


def holdings(ways: Sequence[str] = WAYS, n: int = 4) -> Figure:
    """Who holds what: for each way a row of ranks, each with the rows of the batch and the model.

    The model is drawn as layers (from top to bottom) of columns of weights; what a rank holds is
    coloured. The strip above is the batch, the same.
    """
    drawn, axes = style.figure(
        height=1.25 * len(ways) + 0.4, rows=len(ways), columns=n, squeeze=False
    )
    for way, line in zip(ways, axes, strict=True):
        for rank, ax in enumerate(line):
            batch, model = held_by(way, rank, n)
            cells = np.vstack([batch, np.full((1, n), np.nan), model])
            for (y, x), held in np.ndenumerate(cells):
                if np.isnan(held):
                    continue
                color = style.ACCENT if y else style.CONTRAST
                ax.add_patch(
                    Rectangle(
                        (x, y + 0.05), 0.92, 0.9, facecolor=color if held else style.GREYS[4],
                        edgecolor="none", hatch="///" if held and not y else "",
                    )
                )  # fmt: skip
            ax.set(xlim=(-0.2, n + 0.1), ylim=(n + 2.1, -0.2), xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if ax in axes[0]:
                ax.set_title(f"rank {rank}", fontsize=9)
        line[0].set_ylabel(way.replace(" ", "\n"), fontsize=9, rotation=0, ha="right", va="center")
    marks = [
        Patch(facecolor=style.CONTRAST, hatch="///", edgecolor="white", label="rows of the batch"),
        Patch(facecolor=style.ACCENT, label="weights, layer by layer"),
        Patch(facecolor=style.GREYS[4], label="held by others"),
    ]
    drawn.legend(handles=marks, loc="outside lower center", ncols=3)
    return drawn


def held_by(way: str, rank: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """What a rank holds: of the batch `[1, n]`, and of the model `[layer, column]`; 1 or 0.

    Raises:
        KeyError: there is no such way.
    """
    mine = np.arange(n) == rank
    everything, each = np.ones((n, n)), np.eye(n)[rank][None]
    # Of ZeRO's flat chunks each layer gives one to every rank: here, too, a column.
    column, layer = everything * mine, everything * mine[:, None]
    return {
        "data parallel": (each, everything),
        "ZeRO 3": (each, column),
        "tensor parallel": (np.ones((1, n)), column),
        "pipeline": (np.ones((1, n)), layer),
    }[way]


def column_and_row(n: int = 2, *, ax: Axes | None = None, title: str = "") -> Axes:
    """An MLP on so many ranks: the first matrix cut into columns, the second into rows.

    What one rank holds has one colour and its number; what all hold is grey.
    """
    if ax is None:
        _, ax = style.figure(height=2.9)
    tones = [style.ACCENT, style.CONTRAST, style.GREYS[1], style.GREYS[2]]

    def matrix(x: float, y: float, w: float, h: float, name: str, across: str) -> float:
        """Draw one, its top at y, cut along an axis or whole; returns where it ends."""
        for part in range(n if across else 1):
            left = x + part * w / n if across == "columns" else x
            top = y + part * h / n if across == "rows" else y
            size = (w / n if across == "columns" else w, h / n if across == "rows" else h)
            face = tones[part % 4] if across else style.GREYS[4]
            ax.add_patch(Rectangle((left, top), *size, facecolor=face, edgecolor="white", lw=2))
            ax.text(
                left + size[0] / 2, top + size[1] / 2, str(part) if across else "all",
                ha="center", va="center", color=style.text_on(face),
            )  # fmt: skip
        ax.text(x + w / 2, y - 0.15, name, ha="center", va="bottom", color=style.GREYS[0])
        return x + w

    x, signs = 0.0, []
    for name, w, h, across in (
        ("$X$  [T, D]", 1.0, 1.6, ""),
        ("up  [D, F]", 2.0, 1.0, "columns"),
        ("$H$  [T, F]", 2.0, 1.6, "columns"),
        ("down  [F, D]", 1.0, 2.0, "rows"),
        ("$Y$  [T, D]", 1.0, 1.6, ""),
    ):
        x = matrix(x, 0.0, w, h, name, across)
        signs.append(x + 0.45)
        x += 0.9
    for place, sign in zip(signs, ("·", "→", "·", "Σ"), strict=False):
        ax.text(place, 0.8, sign, ha="center", va="center", fontsize=16, color=style.GREYS[0])
    ax.text(signs[3], 1.35, "all-\nreduce", ha="center", va="top", fontsize=9, color=style.GREYS[1])
    ax.set(xlim=(-0.2, x - 0.7), ylim=(2.2, -0.6), title=title)
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def memory_bars(
    memories: Mapping[str, Memory],
    *,
    limit: float | None = None,
    unit: float = 1e9,
    name: str = "GB",
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """What a rank holds, a bar for each way to share, by what it is for; a line at `limit`."""
    if ax is None:
        _, ax = style.figure(height=0.45 * len(memories) + 1.2)
    for row, memory in enumerate(memories.values()):
        left = 0.0
        for part, (color, hatch) in _PARTS.items():
            length = getattr(memory, part) / unit
            ax.barh(row, length, left=left, color=color, hatch=hatch, edgecolor="white", height=0.7)
            left += length
        ax.text(left, row, f" {left:.3g} {name}", va="center", fontsize=9)
    if limit is not None:
        ax.axvline(limit / unit, color=style.GREYS[0], linestyle="--")
    most = max(memory.total for memory in memories.values()) / unit
    ax.set_yticks(range(len(memories)), list(memories))
    ax.set(xlabel=f"{name} on a rank", title=title, xlim=(0, 1.18 * most))
    ax.invert_yaxis()
    marks = [
        Patch(facecolor=color, hatch=hatch, edgecolor="white", label=part.replace("_", " "))
        for part, (color, hatch) in _PARTS.items()
    ]
    ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def bucket_timeline(
    exchanges: Sequence[Exchange], *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Buckets of gradients in time: when each was complete, and when it travelled.

    Time begins when the first is complete. The dashed line is the end of the backward pass, at
    which the last bucket is.
    """
    if ax is None:
        _, ax = style.figure(height=0.28 * len(exchanges) + 1.3)
    origin = exchanges[0].ready
    for row, each in enumerate(exchanges):
        begun, ended = (1000 * (when - origin) for when in (each.begun, each.ended))
        ready = 1000 * (each.ready - origin)
        ax.plot(ready, row, marker="|", markersize=12, color=style.CONTRAST, linestyle="none")
        ax.barh(row, ended - begun, left=begun, color=style.ACCENT, height=0.6)
    last = 1000 * (exchanges[-1].ready - origin)
    ax.axvline(last, color=style.GREYS[1], linestyle="--")
    ax.set_yticks(range(len(exchanges)), [f"bucket {row}" for row in range(len(exchanges))])
    ax.invert_yaxis()
    ax.set(xlabel="milliseconds since the first bucket was complete", title=title)
    marks = [
        Patch(color=style.CONTRAST, label="complete"),
        Patch(color=style.ACCENT, label="travels"),
    ]
    ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def step_bars(
    forecasts: Mapping[str, Forecast], *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """A bar for each forecast: where a step's seconds go, as shares of its computation."""
    if ax is None:
        _, ax = style.figure(width=8, height=0.45 * len(forecasts) + 1.3)
    longest = 0.0
    for row, forecast in enumerate(forecasts.values()):
        left = 0.0
        for part, seconds in forecast.parts().items():
            color, hatch = _SECONDS[part]
            length = seconds / forecast.compute
            ax.barh(
                row, length, left=left, facecolor=color, hatch=hatch, height=0.7,
                edgecolor="white" if hatch else style.GREYS[2], linewidth=0.5,
            )  # fmt: skip
            left += length
        ax.text(left, row, f" {forecast.seconds:.3g} s", va="center", fontsize=9)
        longest = max(longest, left)
    ax.set_yticks(range(len(forecasts)), list(forecasts))
    ax.set(xlabel="length of a step (its computation is 1)", title=title, xlim=(0, 1.15 * longest))
    ax.invert_yaxis()
    marks = [
        Patch(facecolor=color, hatch=hatch, edgecolor=style.GREYS[2], label=part)
        for part, (color, hatch) in _SECONDS.items()
    ]
    ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax
