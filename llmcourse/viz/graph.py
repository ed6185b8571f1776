"""The package's own map: its parts in layers, and who imports whom.

`tests/test_architecture.py` holds the graph to the rules (imports point strictly downwards), and
chapter 00 draws it: the drawing in the course *is* the graph. Not here: reading the imports from
the source (`imports.py`).
"""

import textwrap
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

from llmcourse.viz import style
from llmcourse.viz.imports import PACKAGE, Graph, deferred_graph, module_graph

LEVELS: tuple[tuple[str, ...], ...] = (
    (
        *("errors", "shapes", "randomness", "device", "allocator", "files", "checksums", "locks"),
        *(
            "plain",
            "command_line",
            "syllabus",
            "learner",
            "own_code",
            "notebook",
            "saved_notebooks",
        ),
    ),
    ("cleaning", "tokenizers", "gradients"),
    ("tinytown", "nn", "optim"),
    ("data", "models"),
    ("objectives",),
    ("parallel",),
    ("evaluate", "generate"),
    ("planning", "prepare", "runs"),
    ("train",),
    ("labs", "finetune", "export", "serve", "suites"),
    ("viz", "quiz", "predict", "checks", "progress", "mine"),
)
"""The parts of the package, bottom to top, and from left to right as they are drawn.

Parts of the lowest level are single files, which may use each other; all others see lower levels
alone, but for the pairs of `SIDEWAYS`.
"""
SIDEWAYS = {
    ("evaluate", "generate"),  # some metrics judge what a model writes
    ("progress", "quiz"),  # progress counts the questions
    ("progress", "predict"),  # and how many predictions came true
    ("mine", "checks"),  # a function is kept if its check passes
    ("cleaning", "tokenizers"),  # both turn text into bytes in one way
    ("finetune", "export"),  # a base may be a directory of another library
    ("suites", "finetune"),  # a run of fine-tuning is examined, too
    ("labs", "finetune"),  # miniature experiments adapt models, too
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
    """The package's parts as boxes in layers: the files that each holds, and what it imports.

    What a chain of other imports implies is left out, and so is the lowest level, which every part
    may use. A few parts use a neighbour, which `SIDEWAYS` lists.
    """
    graph = part_graph()
    rows = [[part for part in level if part in graph] for level in LEVELS]
    rows = [row for row in rows if row]
    if ax is None:
        _, ax = style.figure(height=0.72 * len(rows) + 0.3)
    upper = {part for row in rows[1:] for part in row}
    shown = without_detours({part: graph[part] & upper for part in upper})
    for height, row in enumerate(rows[1:], 1):
        width = 1 / len(row)
        for place, part in enumerate(row):
            beside = shown[part] & set(row)
            imported = (("↓", shown[part] - beside), ("→", beside))
            arrows = [f"{arrow} {', '.join(sorted(names))}" for arrow, names in imported if names]
            lines = [", ".join(files_of(part)), "  ".join(arrows)]
            _draw_box(ax, ((place + 0.5) * width, height), width - 0.02, part, lines)
    _draw_box(ax, (0.5, 0), 0.98, "used by every part", [", ".join(rows[0]), ""])
    for height, row in enumerate(rows):
        ax.text(-0.04, height, f"L{level_of(row[0])}", va="center", color=style.GREYS[1])
    ax.set(xlim=(-0.05, 1), ylim=(-0.5, len(rows) - 0.5), title=title)
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


def _draw_box(
    ax: Axes, place: tuple[float, float], width: float, name: str, lines: list[str]
) -> None:
    """A box with a name, what it holds, and what it imports."""
    x, y = place
    ax.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - 0.4),
            width,
            0.8,
            boxstyle="round,pad=0,rounding_size=0.015",
            mutation_aspect=8,
            facecolor="white",
            edgecolor=style.ACCENT,
            linewidth=1.2,
        )
    )
    letters = round(width * 118)
    held = textwrap.shorten(lines[0], letters, placeholder=" …")
    imported = textwrap.fill(lines[1], letters + 4)
    ax.text(x, y + 0.22, name, ha="center", va="center", fontweight="bold")
    ax.text(x, y + 0.0, held, ha="center", va="center", fontsize=7, color=style.GREYS[1])
    ax.text(x, y - 0.23, imported, ha="center", va="center", fontsize=6.5, color=style.ACCENT)
