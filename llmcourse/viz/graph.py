"""The package's own map: its parts in layers, and who imports whom.

`tests/test_architecture.py` holds the graph to the rules (imports point strictly downwards), and
chapter 00 draws it: the drawing in the course *is* the graph. Not here: reading the imports from
the source (`imports.py`), and finding ways for the arrows (`routing.py`).
"""

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from llmcourse.viz import routing, style
from llmcourse.viz.imports import PACKAGE, Graph, deferred_graph, module_graph
from llmcourse.viz.routing import Point, Route

LEVELS: tuple[dict[str, float], ...] = (
    dict.fromkeys(
        ("errors", "shapes", "randomness", "device", "files", "command_line", "learner"), 0.5
    ),
    {"cleaning": 0.13, "tokenizers": 0.5, "gradients": 0.87},
    {"tinytown": 0.13, "nn": 0.5, "optim": 0.87},
    {"data": 0.25, "models": 0.62},
    {"objectives": 0.5},
    {"evaluate": 0.3, "generate": 0.7},
    {"prepare": 0.2, "runs": 0.8},
    {"train": 0.5},
    {"labs": 0.13, "finetune": 0.38, "export": 0.62, "serve": 0.87},
    {"viz": 0.13, "quiz": 0.38, "checks": 0.62, "progress": 0.87},
)
"""The parts of the package, bottom to top; the number says where a part stands across the drawing.

Parts of the lowest level are single files, which may use each other; all others see lower levels
alone, but for the pairs of `SIDEWAYS`.
"""
SIDEWAYS = {
    ("evaluate", "generate"),  # some metrics judge what a model writes
    ("progress", "checks"),  # progress lists the checks
    ("cleaning", "tokenizers"),  # both turn text into bytes in one way
}
"""Parts on one level of which the first may import the second."""


def part_of(module: str) -> str:
    """The part that a module belongs to: `nn` for `llmcourse.nn.attention`, "" for the package."""
    return [*module.split("."), ""][1]


def level_of(part: str) -> int:
    """The level on which a part stands.

    Raises:
        KeyError: `LEVELS` does not name the part.
    """
    for level, parts in enumerate(LEVELS):
        if part in parts:
            return level
    raise KeyError(part)


def part_graph(root: Path = PACKAGE) -> Graph:
    """Which parts each part imports, at any time; imports within a part do not count."""
    graph: Graph = {}
    for modules in (module_graph(root), deferred_graph(root)):
        for module, imported in modules.items():
            if part := part_of(module):
                names = {part_of(name) for name in imported if name.startswith(f"{root.name}.")}
                graph.setdefault(part, set()).update(names - {part, ""})
    return graph


def without_detours(graph: Graph) -> Graph:
    """The same graph without the edges that a longer path implies (its transitive reduction)."""
    return {
        part: {one for one in below if not any(one in _reach(graph, by) for by in below - {one})}
        for part, below in graph.items()
    }


def draw_package(ax: Axes | None = None, *, title: str = "Imports point down") -> Axes:
    """The package's parts as boxes in layers, with the files that they hold and what they import.

    An arrow that a chain of others implies is left out, and so are those to the lowest level, which
    every part may use.
    """
    graph = part_graph()
    rows = [[part for part in level if part in graph] for level in LEVELS]
    rows = [row for row in rows if row]
    if ax is None:
        _, ax = style.figure(height=0.86 * len(rows) + 0.4)
    places = {
        part: (LEVELS[level_of(part)][part], float(height))
        for height, row in enumerate(rows)
        for part in row
        if height
    }
    shown = without_detours({part: graph[part] & places.keys() for part in places})
    for route in routing.arrows([(a, b) for a in shown for b in sorted(shown[a])], places):
        _draw_arrow(ax, route)
    for part, place in places.items():
        _draw_box(ax, place, routing.WIDTH, part, files_of(part))
    _draw_box(ax, (0.5, 0.0), 2 * (0.5 - 0.13) + routing.WIDTH, "used by every part", rows[0])
    for height, row in enumerate(rows):
        ax.text(-0.04, height, f"L{level_of(row[0])}", va="center", color=style.GREYS[2])
    ax.set(xlim=(-0.05, 1), ylim=(-0.45, len(rows) - 0.6), title=title)
    ax.axis("off")
    return ax


def files_of(part: str) -> list[str]:
    """The names of a part's files; a file that another one's name begins stands for both."""
    names = sorted(path.stem for path in (PACKAGE / part).glob("[!_]*.py"))
    return [name for name in names if not any(name.startswith(f"{n}_") for n in names)]


def _reach(graph: Graph, start: str) -> set[str]:
    """Every node that a path from `start` leads to, without `start`."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for node in graph.get(waiting.pop(), set()) - reached:
            reached.add(node)
            waiting.append(node)
    return reached


def _draw_box(ax: Axes, place: Point, width: float, name: str, files: list[str]) -> None:
    x, y = place
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - routing.HEIGHT / 2),
            width,
            routing.HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.015",
            mutation_aspect=8,
            facecolor="white",
            edgecolor=style.ACCENT,
            linewidth=1.2,
        )
    )
    letters = round(width * 113)
    shown = textwrap.fill(", ".join(files), letters, max_lines=2, placeholder=" …")
    ax.text(x, y + (0.17 if shown else 0), name, ha="center", va="center", fontweight="bold")
    ax.text(x, y - 0.1, shown, ha="center", va="center", fontsize=7, color=style.GREYS[1])


def _draw_arrow(ax: Axes, route: Route) -> None:
    line: dict[str, Any] = {"color": style.GREYS[2], "linewidth": 1.1, "zorder": 0.5}
    if len(route) > 2:
        ax.plot(*zip(*route[:-1], strict=True), linestyle="-", **line)
    head = {"arrowstyle": "-|>", "mutation_scale": 9, "shrinkA": 0, "shrinkB": 0, **line}
    ax.annotate("", route[-1], route[-2], arrowprops=head, zorder=0.5)
