"""Rounding of weights: where the steps of a few bits lie, and how much is lost.

Not here: the rounding itself (`nn/int8.py`). Chapter 17 teaches what the picture shows.
"""

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.errors import require
from llmcourse.nn.int8 import quantize_rows
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider


def relative_error(weight: Float[Tensor, "out D"], bits: int, *, per_channel: bool) -> float:
    """Root of the mean squared rounding error, as a part of that of the weights.

    Raises:
        UserError: fewer than 2 bits, or more than 8.
    """
    return float((rounded(weight, bits, per_channel=per_channel) - weight).norm() / weight.norm())


def rounded(
    weight: Float[Tensor, "out D"], bits: int, *, per_channel: bool
) -> Float[Tensor, "out D"]:
    """The weights after rounding to a number of bits and back, with a scale a row, or one for all.

    Raises:
        UserError: fewer than 2 bits, or more than 8.
    """
    require(2 <= bits <= 8, f"bits={bits} must be from 2 to 8")
    rows = weight if per_channel else weight.flatten()[None]
    return quantize_rows(rows, steps=2 ** (bits - 1) - 1).dequantize().view_as(weight)


def rounding(
    weight: Float[Tensor, "out D"], bits: int, *, per_channel: bool = True, ax: Axes | None = None
) -> Axes:
    """Weights as they are against what is left of them: a staircase, whose steps the bits decide.

    Raises:
        UserError: fewer than 2 bits, or more than 8.
    """
    if ax is None:
        _, ax = style.figure(width=6, height=3)
    after = rounded(weight, bits, per_channel=per_channel)
    order = torch.linspace(0, weight.numel() - 1, min(weight.numel(), 1500)).long()
    limit = float(weight.abs().max())
    ax.plot([-limit, limit], [-limit, limit], color=style.GREYS[1], linewidth=1)
    x, y = (each.flatten()[order].tolist() for each in (weight, after))
    ax.plot(x, y, ".", color=style.ACCENT, markersize=3)
    lost = 100 * relative_error(weight, bits, per_channel=per_channel)
    scales = "a scale a channel" if per_channel else "one scale for all"
    ax.set_title(f"{bits} bits, {scales}: an error of {lost:.1f} %")
    ax.set(xlabel="weight", ylabel="after rounding", xlim=(-limit, limit), ylim=(-limit, limit))
    return ax


def rounding_explorer(weight: Float[Tensor, "out D"]) -> Explorer:
    """`rounding` with the bits as a slider, and the choice of one scale or one a channel."""

    def draw(bits: float, channels: float) -> Figure:
        drawn, ax = style.figure(width=6, height=3)
        rounding(weight, int(bits), per_channel=bool(channels), ax=ax)
        return drawn

    return Explorer(draw, bits=slider(4, 2, 8, 1), channels=slider(1, 0, 1, 1))
