"""The graph of a calculation: values on the way forward, slopes and gradients on the way back.

Not here: the engine that makes the graph and walks it (`gradients/scalar.py`). Chapter 06 teaches
what the picture shows.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from llmcourse.gradients.scalar import Value, ancestors
from llmcourse.viz import style

_BACK = style.ink(style.CONTRAST)
"""Of all that the way back has found: the contrasting colour, dark enough for text."""
_BEND = 0.35
"""How far two arrows between the same nodes part, as a share of their length."""


def graph(
    last: Value,
    names: Mapping[str, Value] | None = None,
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """The graph of all that a value was made from, after its `backward`.

    A box is a node: its place in topological order and its name, its value, its gradient. An arrow
    leads from what went in to what came out, and carries the slope there.

    Args:
        last: where the calculation ended.
        names: what to call the nodes; those that it does not hold have a place and no name.
        ax: where to draw.
        title: the picture's.
    """
    nodes = ancestors(last)
    known = {id(node): name for name, node in (names or {}).items()}
    places = _places(nodes)
    xs, ys = zip(*places.values(), strict=True)
    if ax is None:
        _, ax = style.figure(width=1.7 * (1 + max(xs)), height=0.6 + 1.1 * (1 + max(ys) - min(ys)))
    for order, node in enumerate(nodes, 1):
        name = known.get(id(node), "")
        _box(ax, places[id(node)], f"{order}. {name}".rstrip(), node)
        edges = [places[id(parent)] for parent, _ in node.parents]
        for number, (parent, slope) in enumerate(node.parents):
            twins = edges.count(places[id(parent)]) > 1
            bend = 0.0 if not twins else _BEND if number else -_BEND
            _arrow(ax, places[id(parent)], places[id(node)], f"×{slope:.3g}", bend)
    ax.set(xlim=(-0.45, max(xs) + 0.45), ylim=(min(ys) - 0.55, max(ys) + 0.55))
    ax.set_title(title)
    ax.axis("off")
    return ax


def _places(nodes: list[Value]) -> dict[int, tuple[float, float]]:
    """Where each node stands: its longest way from a leaf, and the mean height of its parents."""
    places: dict[int, tuple[float, float]] = {}
    columns: dict[float, list[float]] = defaultdict(list)
    for node in nodes:
        parents = [places[id(parent)] for parent, _ in node.parents]
        x = 1 + max(place[0] for place in parents) if parents else 0.0
        y = sum(place[1] for place in parents) / len(parents) if parents else 0.0
        # Nodes of one column stand below each other.
        y = min([y, *(taken - 1 for taken in columns[x])])
        columns[x].append(y)
        places[id(node)] = (x, y)
    return places


def _box(ax: Axes, place: tuple[float, float], name: str, node: Value) -> None:
    x, y = place
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": style.ACCENT}
    # The box is as large as the three lines; the words are written over it in their colours.
    lines = [(name, style.GREYS[1]), (f"{node.data:.5g}", style.GREYS[0])]
    lines += [(f"grad {node.grad:.5g}", _BACK)]
    ax.text(x, y, "\n".join(text for text, _ in lines), color="none", bbox=box, **_CENTRED)
    for number, (text, color) in enumerate(lines):
        blank = ["", "", ""]
        blank[number] = text
        ax.text(x, y, "\n".join(line or " " for line in blank), color=color, zorder=4, **_CENTRED)


_CENTRED: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9, "linespacing": 1.3}


def _arrow(
    ax: Axes, begin: tuple[float, float], end: tuple[float, float], slope: str, bend: float
) -> None:
    arrow = FancyArrowPatch(
        begin,
        end,
        arrowstyle="-|>",
        mutation_scale=11,
        shrinkA=27,
        shrinkB=29,
        connectionstyle=f"arc3,rad={bend}",
        color=style.GREYS[2],
        zorder=1,
    )
    ax.add_patch(arrow)
    # The middle of the arc lies half of its bend beside the straight line (here, above or below).
    x, y = (begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2 - bend * (end[0] - begin[0]) / 2
    white = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    ax.text(x, y, slope, color=_BACK, fontsize=9, ha="center", va="center", bbox=white, zorder=2)
