"""Pictures of scaling laws: a ladder and its law, what a budget buys, and a slider for budgets.

Not here: the laws (`planning/laws.py`) and the runs (`labs/scaling.py`). Chapter 09 teaches what
the pictures show.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmcourse.errors import UserError
from llmcourse.planning.laws import FLOPS_EACH, PUBLISHED, Law, Rung
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice

MARKERS = "osD^vP"
CARDS = {
    "a gaming card, 30 TFLOP/s reached": 3e13,
    "an A100, 130 TFLOP/s reached": 1.3e14,
    "an H100, 400 TFLOP/s reached": 4e14,
    "eight H100s": 3.2e15,
}
"""What a device gets done in a second, at the MFU that people reach."""
TIMES = {"one hour": 3600.0, "one day": 86_400.0, "one week": 604_800.0}


def ladder(
    rungs: Sequence[Rung],
    law: Law | None = None,
    *,
    held_out: Sequence[Rung] = (),
    ax: Axes | None = None,
    title: str = "",
    unit: str = "nats a token",
) -> Axes:
    """Losses over tokens, a line of points for each size; what a law says as curves, in grey.

    Runs that were held out are drawn as rings.
    """
    if ax is None:
        _, ax = style.figure(height=3.2)
    sizes = sorted({rung.parameters for rung in (*rungs, *held_out)})
    reach = np.array([r.tokens for r in (*rungs, *held_out)])
    tokens = np.geomspace(reach.min() / 1.15, reach.max() * 1.15, 60)
    shades = style.SEQUENTIAL(np.linspace(0.35, 1, len(sizes)))
    for number, size in enumerate(sizes):
        if law is not None:
            said = [law.loss(size, at) for at in tokens]
            ax.plot(tokens, said, color=style.GREYS[3], linestyle="-", linewidth=1, zorder=1)
        look: dict[str, Any] = {"color": shades[number], "marker": MARKERS[number % len(MARKERS)]}
        mine = sorted((r.tokens, r.loss) for r in rungs if r.parameters == size)
        if mine:
            points = zip(*mine, strict=True)
            ax.plot(*points, linestyle="", label=_size(size), **look)
    for rung in held_out:
        ring: dict[str, Any] = {"mfc": "none", "mec": style.CONTRAST, "mew": 2, "markersize": 11}
        label = f"{_size(rung.parameters)}, held out"
        ax.plot(rung.tokens, rung.loss, "o", linestyle="", label=label, **ring)
    ax.set(xscale="log", xlabel="tokens read", ylabel=f"loss, {unit}", title=title)
    style.log_ticks(ax.xaxis)
    ax.legend(fontsize=8)
    return ax


def budget_curve(
    law: Law, flops: float, *, ax: Axes | None = None, title: str = "", unit: str = "nats a token"
) -> Axes:
    """The loss that a budget of operations comes to, over the model's size; the best is marked.

    Raises:
        UserError: there are no operations to spend.
    """
    best = law.best_split(flops)
    if ax is None:
        _, ax = style.figure(height=3)
    sizes = np.geomspace(best.parameters / 30, best.parameters * 30, 200)
    losses = [law.loss(size, flops / FLOPS_EACH / size) for size in sizes]
    least = law.loss(*best)
    ax.plot(sizes, losses, color=style.ACCENT)
    ax.plot(best.parameters, least, "o", color=style.CONTRAST)
    ax.annotate(
        f"{amount(best.parameters)} parameters,\n{amount(best.tokens)} tokens: {least:.2f}",
        (best.parameters, least), xytext=(0, 26), textcoords="offset points", ha="center",
    )  # fmt: skip
    ax.set(xscale="log", ylim=(least - 0.08, least + 0.9), title=title)
    ax.set(xlabel="parameters N (the tokens are what is left)", ylabel=f"loss, {unit}")
    return ax


def budget_explorer(law: Law = PUBLISHED) -> Explorer:
    """Choose a card and a time: the loss over the model's size, and the best split."""

    def draw(card: str, time: str) -> Figure:
        flops = CARDS[card] * TIMES[time]
        drawn, ax = style.figure(height=3)
        best = law.best_split(flops)
        title = f"{time.capitalize()}: {best.tokens / best.parameters:.0f} tokens a parameter"
        budget_curve(law, flops, ax=ax, title=title)
        return drawn

    names, times = list(CARDS), list(TIMES)
    return Explorer(draw, card=choice(names, names[2]), time=choice(times, times[1]))


def amount(number: float) -> str:
    """A large number in words: 1.3 million.

    Raises:
        UserError: it is not above 0.
    """
    if number <= 0:
        raise UserError(f"{number} is no amount: give a number above 0")
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return f"{number:.3g}"


def _size(parameters: float) -> str:
    return f"{parameters / 1e3:,.0f} thousand parameters"
