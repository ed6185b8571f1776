"""Pictures of order: clock hands, tables of positions, biases over distance, who extrapolates.

A pair of numbers that turns with position is drawn as a hand on a dial, at noon for an angle of
zero and clockwise, as clocks go. Not here: the positions themselves (`nn/positions.py`), matrices
of biases (`attention.score_map`). Chapter 04 teaches what the pictures show.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor

from llmcourse.nn.positions import rope_frequencies
from llmcourse.viz import matrix, style
from llmcourse.viz.training import label_ends
from llmcourse.viz.widgets import Explorer, slider

_LINES: tuple[dict[str, Any], ...] = (
    {"color": style.ACCENT, "linestyle": "-"},
    {"color": style.CONTRAST, "linestyle": "-"},
    {"color": style.GREYS[0], "linestyle": "--"},
    {"color": style.GREYS[1], "linestyle": ":"},
    {"color": style.GREYS[2], "linestyle": "-", "marker": "s", "markersize": 3},
    {"color": style.GREYS[1], "linestyle": "-", "marker": "o", "markersize": 3},
)
"""Looks of lines, told apart by colour, lightness, dashes, marks; the first is what it is about."""


def position_map(table: Float[Tensor, "T D"], *, ax: Axes | None = None, title: str = "") -> Axes:
    """A table of positions, a row for each: blue is negative, orange positive."""
    values = table.detach().cpu().numpy()
    if ax is None:
        _, ax = style.figure(height=4.2)
    reach = float(np.abs(values).max(initial=1e-9))
    shades = matrix.cells(ax, values, style.DIVERGING, Normalize(-reach, reach))
    matrix.color_bar(shades, [ax], "entry of the vector")
    ax.set(xlabel="D (model width)", ylabel="position", title=title)
    return ax


def dial(
    hands: Mapping[str, float], *, ax: Axes | None = None, title: str = "", trail: float = 0.0
) -> Axes:
    """Named hands on a dial, given by their angles in radians; the first is what it is about.

    `trail` draws the way that the first hand came, from its angle back by so many radians.
    """
    if ax is None:
        _, ax = style.figure(width=2.4, height=2.6)
    ax.add_patch(Circle((0, 0), 1, facecolor="none", edgecolor=style.GREYS[3], linewidth=1.2))
    for number, (name, angle) in enumerate(hands.items()):
        look = _LINES[number % len(_LINES)]
        if trail and not number:
            way = np.linspace(angle - min(trail, 2 * math.pi), angle, 100)
            ax.plot(0.35 * np.sin(way), 0.35 * np.cos(way), color=look["color"], linewidth=1)
        _draw_hand(ax, name, angle, look["color"])
    ax.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), aspect="equal")
    ax.axis("off")
    ax.set_title(title, loc="center", fontsize=9, fontweight="normal", pad=4)
    return ax


def clock_hands(
    positions: Sequence[int], frequencies: Float[Tensor, " P"], *, title: str = ""
) -> Figure:
    """A row of dials for each position, a dial for each pair: what a position looks like."""
    rows, columns = len(positions), len(frequencies)
    drawn, axes = style.figure(
        width=1.5 * columns + 0.6,
        height=1.05 * rows + 0.7,
        rows=rows,
        columns=columns,
        squeeze=False,
    )
    for row, position in enumerate(positions):
        for column, frequency in enumerate(frequencies.tolist()):
            turned = position * frequency
            ax = dial({"": turned}, ax=axes[row, column], trail=turned)
            if not row:
                ax.set_title(f"pair {column}", loc="center", fontsize=9, fontweight="normal")
        axes[row, 0].text(-1.5, 0, f"t = {position}", ha="right", va="center", fontsize=9)
    if title:
        drawn.suptitle(title, x=0.01, ha="left")
    return drawn


def bias_curves(
    bias: Float[Tensor, "H T S"],
    heads: Sequence[int],
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """What the last query adds to its score of each key, over the distance, for some heads."""
    if ax is None:
        _, ax = style.figure()
    values = bias[:, -1].flip(-1).detach().cpu().numpy()  # H S, by distance
    labels = []
    for head, look in zip(heads, _LINES, strict=False):
        ax.plot(values[head], **look)
        labels.append((float(values[head, -1]), f"head {head}", look["color"]))
    ax.set(xlabel="distance t − s", ylabel="added to the score", title=title)
    ax.set_xlim(0, values.shape[1] - 1)
    ax.grid(axis="y")
    label_ends(ax, labels)
    return ax


def wavelengths(
    frequencies: Mapping[str, Float[Tensor, " P"]],
    lengths: Mapping[str, int] | None = None,
    *,
    ax: Axes | None = None,
    title: str = "",
    chosen: int | None = None,
) -> Axes:
    """After how many positions each pair is back where it was; `lengths` are drawn across.

    With `chosen`, that pair of the first has a mark.
    """
    if ax is None:
        _, ax = style.figure(height=3.4)
    labels: list[tuple[float, str, str]] = []
    for (name, values), look in zip(frequencies.items(), _LINES, strict=False):
        waves = (2 * math.pi / values).cpu().numpy()
        ax.plot(waves, **look)
        labels.append((float(waves[-1]), name, look["color"]))
        if chosen is not None and look is _LINES[0]:
            ax.plot(chosen, waves[chosen], "o", color=look["color"], markersize=8)
    ax.set_yscale("log")
    ax.minorticks_off()  # dozens of them, which take longer to draw than all the rest
    ax.set_ylim(top=2 * ax.get_ylim()[1])
    for name, length in (lengths or {}).items():
        ax.axhline(length, color=style.GREYS[3], linewidth=1, zorder=0)
        ax.annotate(
            name,
            (1, length),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    ax.set(xlabel="pair", ylabel="wavelength (positions)", title=title)
    _label_on_a_log_scale(ax, labels)
    return ax


def extrapolation(
    losses: Mapping[str, Float[Tensor, " T"]],
    trained_length: int,
    *,
    every: int = 4,
    ax: Axes | None = None,
    title: str = "",
    ylim: tuple[float, float] | None = None,
) -> Axes:
    """The loss at each position of long texts, for models trained on the first `trained_length`.

    Means over `every` positions, for single ones are noisy. A curve shorter than the others ends in
    a cross.
    """
    if ax is None:
        _, ax = style.figure(height=3.8)
    labels = []
    longest = max(map(len, losses.values()))
    for (name, values), look in zip(losses.items(), _LINES, strict=False):
        whole = len(values) // every * every
        means = values[:whole].view(-1, every).mean(1).double().cpu().numpy()
        places = np.arange(len(means)) * every + (every - 1) / 2
        ax.plot(places, means, **look)
        if len(values) < longest:
            _mark_end(ax, float(places[-1]), float(means[-1]), name, look["color"])
        else:
            labels.append((float(means[-1]), f"{name} {means[-1]:.1f}", look["color"]))
    ax.axvspan(0, trained_length, color=style.GREYS[4], zorder=0)
    ax.annotate(
        "seen in training",
        (trained_length / 2, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=8,
        color=style.GREYS[1],
    )
    ax.set(xlabel="position in the text", ylabel="loss (nats per token)", title=title)
    ax.set_xlim(0, longest)
    if ylim:
        ax.set_ylim(*ylim)
    label_ends(ax, labels)
    return ax


def rotation(head_dim: int, *, position: int, distance: int, pair: int, theta: float) -> Figure:
    """One pair of a query and of a key `distance` before it, turned; and how fast all pairs turn.

    The angle between the hands, and so the score, is the same at every position.
    """
    frequencies = rope_frequencies(head_dim, theta)
    turn = frequencies[pair].item()
    drawn, (left, middle, right) = style.figure(
        width=9, height=3.0, columns=3, width_ratios=[2, 3, 3]
    )
    hands = {"q": (position + distance) * turn, "k": position * turn}
    dial(hands, ax=left, title=f"key at {position}, query at {position + distance}")
    reach = np.linspace(0, 128, 1025)
    middle.plot(reach, np.cos(reach * turn), color=style.GREYS[2], linewidth=1.5)
    middle.plot(distance, math.cos(distance * turn), "o", color=style.ACCENT, markersize=8)
    middle.set(xlim=(0, 128), ylim=(-1.1, 1.1), xlabel="distance t − s", ylabel="score of the pair")
    middle.set_title(f"cos({turn:.3g} · {distance}) = {math.cos(distance * turn):.2f}")
    wavelengths({"": frequencies}, ax=right, chosen=pair)
    right.set_ylim(1, 1e8)
    right.set_title(f"wavelength {2 * math.pi / turn:,.0f}")
    return drawn


def rotation_explorer(head_dim: int = 64) -> Explorer:
    """`rotation` with sliders for the position, the distance, the pair and the base."""

    def draw(position: int, distance: int, pair: int, theta: int) -> Figure:
        return rotation(head_dim, position=position, distance=distance, pair=pair, theta=theta)

    bases = [10**power for power in range(2, 7)]
    return Explorer(
        draw,
        position=slider(3, 0, 1000),
        distance=slider(4, 0, 128),
        pair=slider(4, 0, head_dim // 2 - 1),
        theta=ipywidgets.SelectionSlider(
            options=[(f"{base:,}", base) for base in bases], value=10_000
        ),
    )


def _draw_hand(ax: Axes, name: str, angle: float, color: str) -> None:
    x, y = math.sin(angle), math.cos(angle)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", (x, y), (0, 0), arrowprops=arrow)
    if name:
        ax.text(
            1.2 * x,
            1.2 * y,
            name,
            color=style.ink(color),
            fontsize=9,
            fontweight="bold",
            **matrix.CENTRED,
        )


def _mark_end(ax: Axes, x: float, y: float, name: str, color: str) -> None:
    """A cross where a curve has to end before the others, and its name beside it."""
    ax.plot(x, y, "x", color=color, markersize=9, markeredgewidth=2.5)
    ax.annotate(
        f"{name} ends here",
        (x, y),
        xytext=(0, -30),  # below, where curves that go on do not run through it
        textcoords="offset points",
        ha="center",
        color=style.ink(color),
        fontsize=9,
    )


def _label_on_a_log_scale(ax: Axes, labels: list[tuple[float, str, str]]) -> None:
    """`label_ends` counts in shares of a linear axis: give it the logarithms' places."""
    low, high = ax.get_ylim()
    shares = [
        (low + (high - low) * math.log(value / low) / math.log(high / low), name, color)
        for value, name, color in labels
        if name
    ]
    label_ends(ax, shares)
