"""Which layers move in fine-tuning, and how fast: a picture of a method, and a widget to try them.

Not here: the methods (`finetune/methods.py`). Chapter 11 teaches what the picture shows.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llmcourse.finetune.methods import METHODS, find_method, layerwise_rates
from llmcourse.optim.schedules import linear
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice, slider

_RATE = linear(warmup=0.1)


def rates_at(method: str, n_layers: int, decay: float, progress: float) -> list[float]:
    """The rate of each group, embeddings first and head last, as a share of the peak's.

    It is 0 where the method holds a group still; the schedule's warm-up and fall are in it.

    Raises:
        UserError: the method is unknown, or the decay is not in (0, 1].
    """
    n_groups = n_layers + 2
    moving = find_method(method)(progress, n_groups)
    rates = layerwise_rates(n_groups, decay)
    return [
        rate * _RATE(progress) if place >= n_groups - moving else 0.0
        for place, rate in enumerate(rates)
    ]


def layer_rates(
    method: str, n_layers: int, decay: float, progress: float, *, ax: Axes | None = None
) -> Axes:
    """A bar for each layer, the head on top: how fast it moves at this moment of the run."""
    rates = rates_at(method, n_layers, decay, progress)
    names = ["embeddings", *(f"block {n + 1}" for n in range(n_layers)), "head"]
    if ax is None:
        _, ax = style.figure(width=6, height=0.32 * len(names) + 1.2)
    ax.barh(names, rates, color=style.ACCENT)
    for place, rate in enumerate(rates):
        # What is frozen has no bar, and says so: an empty row could be an oversight.
        note = "frozen" if rate == 0 and _RATE(progress) > 0 else f"{rate:.3f}"
        ax.text(rate + 0.01, place, note, va="center", fontsize=9, color=style.GREYS[0])
    moving = find_method(method)(progress, len(names))
    ax.set(xlim=(0, 1.12), xlabel="rate (the head's peak = 1)")
    ax.set_title(f"{method}, {progress:.0%} of the run: {moving} of {len(names)} layers move")
    return ax


def layer_explorer(n_layers: int = 4) -> Explorer:
    """`layer_rates` with the method, the decay and the moment of the run as controls."""

    def draw(method: str, decay: float, percent: int) -> Figure:
        figure = layer_rates(method, n_layers, decay, percent / 100).get_figure(root=True)
        assert isinstance(figure, Figure)
        return figure

    return Explorer(
        draw,
        method=choice(METHODS, "gradual"),
        decay=slider(0.8, 0.2, 1.0, 0.05),
        percent=slider(20, 0, 100, 5),
    )
