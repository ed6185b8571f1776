"""What a teacher says of every word, at a temperature: bars, and a slider that flattens them.

Not here: the loss (`objectives/distillation.py`). Chapter 14 teaches what the pictures show.
"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.objectives.cross_entropy import log_softmax
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider

COLDEST = 0.5
"""Where the slider begins."""


def choices(logits: Float[Tensor, " V"], temperature: float) -> float:
    """How many equally likely tokens are as uncertain: the exponential of the entropy.

    Raises:
        UserError: the temperature is not above 0.
    """
    log_p = log_softmax(logits.double(), temperature)
    return math.exp(-(log_p.exp() * log_p).sum().item())


def soft_targets(
    logits: Float[Tensor, " V"],
    names: Sequence[str],
    temperature: float,
    *,
    n_words: int = 8,
    limit: float = 1.0,
    ax: Axes | None = None,
) -> Axes:
    """The likeliest tokens at a temperature as bars, in an order that the temperature keeps.

    The axis of probabilities ends behind `limit`.

    Raises:
        UserError: more or fewer names than logits, or a temperature that is not above 0.
    """
    if len(names) != len(logits):
        raise UserError(f"{len(names)} names for {len(logits)} logits: give one for each")
    if ax is None:
        _, ax = style.figure(width=6.5, height=2.8)
    best = logits.sort(descending=True, stable=True).indices[:n_words].tolist()
    chances = log_softmax(logits.double(), temperature).exp()[best]
    drawn = ax.barh(range(len(best)), chances.tolist(), color=style.ACCENT, height=0.7)
    ax.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
    ax.set_yticks(range(len(best)), [style.printable(names[at]) for at in best])
    ax.set(xlim=(0, 1.1 * limit), ylim=(len(best) - 0.4, -0.6), xlabel="probability")
    unsure = choices(logits, temperature)
    ax.set_title(f"At temperature {temperature:.1f}: as unsure as between {unsure:.1f} words")
    return ax


def temperature_explorer(
    logits: Float[Tensor, " V"], names: Sequence[str], n_words: int = 8
) -> Explorer:
    """`soft_targets` with the temperature as a slider, and one axis for all temperatures."""
    largest = float(log_softmax(logits.double(), COLDEST).max().exp())

    def draw(temperature: float) -> Figure:
        drawn, ax = style.figure(width=6.5, height=2.8)
        soft_targets(logits, names, temperature, n_words=n_words, limit=largest, ax=ax)
        return drawn

    return Explorer(draw, temperature=slider(1.0, COLDEST, 6.0, 0.5))
