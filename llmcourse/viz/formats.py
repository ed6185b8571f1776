"""Pictures of number formats: their bits, their reach, and what falls below it.

Not here: the formats themselves (`nn/formats.py`). Chapter 08 teaches what the pictures show.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.nn.formats import BF16, FP16, FP32, Format, round_to
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider

_PARTS = (("sign", style.GREYS[2]), ("exponent", style.ACCENT), ("mantissa", style.CONTRAST))


def layout(forms: Sequence[Format], *, ax: Axes | None = None, title: str = "") -> Axes:
    """The bits of each format in a row: one for the sign, then exponent, then mantissa."""
    if ax is None:
        _, ax = style.figure(height=0.5 * len(forms) + 1.0)
    for row, form in enumerate(forms):
        start = 0
        widths = (1, form.exponent_bits, form.mantissa_bits)
        for (name, color), width in zip(_PARTS, widths, strict=True):
            label = name if row == 0 else None
            box: dict[str, Any] = {"color": color, "edgecolor": "white", "height": 0.7}
            ax.barh([row] * width, [1] * width, left=list(range(start, start + width)), **box)
            ax.plot([], [], "s", color=color, label=label, linestyle="none")
            start += width
        ax.text(start + 0.4, row, f"{form.bits} bits", va="center", color=style.GREYS[1])
    ax.set(yticks=range(len(forms)), xticks=[], title=title, xlim=(0, 36))
    ax.set_yticklabels([form.name for form in forms])
    ax.invert_yaxis()
    ax.spines[["bottom", "left"]].set_visible(False)
    ax.tick_params(length=0)
    ax.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 0.0), handletextpad=0.1)
    return ax


def reach(forms: Sequence[Format], *, ax: Axes | None = None, title: str = "") -> Axes:
    """From the smallest to the largest number of each format, in powers of ten.

    Where a number has all its digits the bar is dark; pale are the subnormal ones, which lose them.
    """
    if ax is None:
        _, ax = style.figure(height=0.42 * len(forms) + 1.1)
    for row, form in enumerate(forms):
        low, normal, high = map(math.log10, (form.smallest, form.smallest_normal, form.largest))
        ax.barh(row, high - normal, left=normal, height=0.55, color=style.ACCENT)
        ax.barh(row, normal - low, left=low, height=0.55, color=style.SEQUENTIAL(0.35))
    ticks = range(-45, 46, 15)
    ax.set(yticks=range(len(forms)), xticks=ticks, title=title, xlabel="size of a number")
    ax.set_yticklabels([form.name for form in forms])
    ax.set_xticklabels([f"$10^{{{power}}}$" for power in ticks])
    ax.invert_yaxis()
    ax.grid(axis="x")
    return ax


def gradient_sizes(
    gradients: Float[Tensor, " N"],
    form: Format,
    *,
    scale: float = 1.0,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """How large gradients are, by powers of two, and which of them the format turns into zero."""
    if ax is None:
        _, ax = style.figure(height=2.8)
    sizes = (gradients.abs() * scale).flatten()
    powers = torch.log2(sizes[sizes > 0].double()).numpy()
    edges = np.arange(-50, 21)
    counts, _ = np.histogram(powers, edges)
    lost = math.log2(form.smallest / 2)
    colors = [style.CONTRAST if edge < lost else style.ACCENT for edge in edges[:-1]]
    ax.bar(edges[:-1], counts / max(1, len(powers)), width=0.9, align="edge", color=colors)
    ax.axvline(lost, color=style.GREYS[0], linewidth=1, linestyle="--")
    for value, words in ((lost, "becomes 0"), (math.log2(form.largest), "overflows")):
        if value < 20:
            ax.annotate(
                words,
                (value, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=9,
                color=style.GREYS[1],
            )
    ax.margins(y=0.25)  # the words stand above the bars
    if math.log2(form.largest) < 20:
        ax.axvline(math.log2(form.largest), color=style.GREYS[0], linewidth=1, linestyle="--")
    ax.set(xlim=(-50, 20), title=title, xlabel="size of a gradient, as a power of two", yticks=[])
    ax.set_ylabel("share")
    return ax


def spacing(form: Format, low: float = 0.0, high: float = 4.0, *, title: str = "") -> Figure:
    """All numbers that a format has between two: a tick for each."""
    drawn, ax = style.figure(height=1.3)
    dense = torch.linspace(low, high, 20_001, dtype=torch.float64)
    numbers = round_to(dense, form).unique()
    numbers = numbers[(numbers >= low) & (numbers <= high) & numbers.isfinite()]
    ax.vlines(numbers.tolist(), 0, 1, color=style.ACCENT, linewidth=0.9)
    ax.axhline(0, color=style.GREYS[1], linewidth=0.8)
    shown = title or (
        f"{form.bits} bits: {len(numbers)} numbers here, largest {form.largest:.3g}, "
        f"smallest {form.smallest:.1g}"
    )
    ax.set(xlim=(low - 0.02, high + 0.02), ylim=(0, 1.05), yticks=[], title=shown)
    ax.spines["left"].set_visible(False)
    return drawn


def explorer() -> Explorer:
    """Share bits out between exponent and mantissa, and see which numbers there are from 0 to 4."""

    def draw(exponent_bits: int, mantissa_bits: int) -> Figure:
        form = Format(name="yours", exponent_bits=exponent_bits, mantissa_bits=mantissa_bits)
        return spacing(form)

    return Explorer(draw, exponent_bits=slider(3, 2, 8), mantissa_bits=slider(3, 1, 7))


SIXTEEN = (FP32, FP16, BF16)
"""The formats that training uses most."""
