"""Descent on a surface: level curves, the ways that optimizers take, and how high they still are.

The surfaces have two weights, so that there is something to see. The steps are those of the
package's own optimizers. Not here: the optimizers (`optim/`), losses over a training run
(`training.py`), schedules (`schedules.py`). Chapter 06 teaches what the pictures show.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.errors import UserError, nearest
from llmcourse.optim.adam import Adam
from llmcourse.optim.lion import Lion
from llmcourse.optim.muon import Muon
from llmcourse.optim.rmsprop import RMSProp
from llmcourse.optim.sgd import SGD
from llmcourse.viz import style
from llmcourse.viz.training import label_ends
from llmcourse.viz.widgets import Explorer, choice, slider

Path = Float[Tensor, "N 2"]
"""Where a descent was, the start first."""


class Surface(NamedTuple):
    """A loss of two weights, and the part of it that is drawn.

    Attributes:
        height: the loss, of two tensors of one shape.
        start: where a descent begins.
        lowest: where the loss is least.
        x: from where to where the first weight is drawn.
        y: likewise the second.
    """

    height: Callable[[Tensor, Tensor], Tensor]
    start: tuple[float, float]
    lowest: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]


def quadratic(x: Tensor, y: Tensor, *, steepness: float = 20.0, turned: bool = False) -> Tensor:
    """`(x² + steepness · y²) / 2`, or the same turned by 45 degrees."""
    if turned:
        x, y = (x + y) / 2**0.5, (y - x) / 2**0.5
    return (x.square() + steepness * y.square()) / 2


def banana(x: Tensor, y: Tensor) -> Tensor:
    """A bent valley, `(1 - x)² + 10 (y - x²)²` (Rosenbrock, 1960, gentler)."""
    return (1 - x).square() + 10 * (y - x.square()).square()


def saddle(x: Tensor, y: Tensor) -> Tensor:
    """Down one way, up the other, with a floor of 0 at `y = ±2`: `x² / 2 + (y² - 4)² / 16`."""
    return x.square() / 2 + (y.square() - 4).square() / 16


SURFACES = {
    "ravine": Surface(quadratic, (-4.0, 1.0), (0.0, 0.0), (-5.0, 3.0), (-1.6, 1.6)),
    "turned ravine": Surface(
        partial(quadratic, turned=True), (-3.5, -2.1), (0.0, 0.0), (-4.5, 2.5), (-3.5, 2.5)
    ),
    "banana": Surface(banana, (-1.2, 1.6), (1.0, 1.0), (-1.9, 1.9), (-1.0, 2.6)),
    "saddle": Surface(saddle, (-3.0, 0.02), (0.0, 2.0), (-3.8, 3.0), (-3.2, 3.2)),
}
"""By name: a valley along an axis, the same askew, one that bends, a pass between two hollows."""

Maker = Callable[[list[nn.Parameter]], Optimizer]
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": lambda p, lr, momentum: SGD(p, lr),
    "momentum": lambda p, lr, momentum: SGD(p, lr, momentum),
    "Nesterov": lambda p, lr, momentum: SGD(p, lr, momentum, nesterov=momentum > 0),
    "RMSProp": lambda p, lr, momentum: RMSProp(p, lr, alpha=0.9),
    "Adam": lambda p, lr, momentum: Adam(p, lr, (momentum, 0.99)),
    "Lion": lambda p, lr, momentum: Lion(p, lr, (momentum, 0.99)),
    "Muon": lambda p, lr, momentum: Muon(p, lr, weight_decay=0.0, momentum=momentum),
}
"""By name, from parameters, a rate and a memory of the gradient."""
WITHOUT_MOMENTUM = {"SGD", "RMSProp"}
"""Those that have no memory, and make nothing of a momentum."""

_LOOKS: tuple[dict[str, Any], ...] = (
    {"color": style.ACCENT, "linestyle": "-", "marker": "o"},
    {"color": style.CONTRAST, "linestyle": "-", "marker": "s"},
    {"color": style.GREYS[0], "linestyle": "--", "marker": "^"},
    {"color": style.GREYS[1], "linestyle": ":", "marker": "D"},
)
_LEAST = 1e-8
"""Heights below this are drawn there: a logarithm needs a floor."""


def optimizer_named(name: str, lr: float, momentum: float = 0.9) -> Maker:
    """What makes an optimizer of `OPTIMIZERS` for given parameters.

    Raises:
        UserError: there is none of this name.
    """
    if name not in OPTIMIZERS:
        raise UserError(f"no optimizer is called {name!r}{nearest(name, OPTIMIZERS)}")
    return lambda parameters: OPTIMIZERS[name](parameters, lr=lr, momentum=momentum)


def descend(surface: Surface, make: Maker, steps: int) -> Path:
    """The points that an optimizer visits from the surface's start, in float64.

    The two weights are a column, so that Muon takes them for a matrix: one with a single direction,
    along which its step is of a fixed length. A descent that leaves for infinity ends before it.
    """
    point = nn.Parameter(torch.tensor(surface.start, dtype=torch.float64)[:, None])
    optimizer = make([point])
    visited = [point.detach().flatten().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        surface.height(point[0], point[1]).sum().backward()
        optimizer.step()
        here = point.detach().flatten().clone()
        if not here.abs().max() < 1e6:
            break
        visited.append(here)
    return torch.stack(visited)


def heights(surface: Surface, path: Path) -> Float[Tensor, " N"]:
    """The loss at each point of a path."""
    return surface.height(path[:, 0], path[:, 1])


def contours(
    surface: Surface,
    paths: Mapping[str, Path],
    *,
    ax: Axes | None = None,
    title: str = "",
    points: int = 90,
) -> Axes:
    """Level curves, and the ways taken, each point of which is a step; a star marks the lowest."""
    if ax is None:
        _, ax = style.figure(width=5.4, height=3.4)
    x, y = (np.linspace(*limits, points) for limits in (surface.x, surface.y))
    grid = np.meshgrid(x, y)
    z = surface.height(*(torch.from_numpy(part) for part in grid)).numpy()
    levels = np.geomspace(0.02 * z.max(), z.max(), 9)
    ax.contour(x, y, z, levels=levels, colors=style.GREYS[3], linewidths=0.8)
    for (name, path), look in zip(paths.items(), _LOOKS, strict=False):
        ax.plot(*path.numpy().T, markersize=3.5, linewidth=1.2, label=name, **look)
    ax.plot(*surface.lowest, "*", color=style.GREYS[0], markersize=11, zorder=5)
    ax.set(xlim=surface.x, ylim=surface.y, xlabel="first weight", ylabel="second weight")
    ax.set_title(title)
    return ax


def height_curves(
    surface: Surface, paths: Mapping[str, Path], *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """The loss over the steps of each path, on a logarithmic axis."""
    if ax is None:
        _, ax = style.figure(height=3.2)
    labels: list[tuple[float, str, str]] = []
    for (name, path), look in zip(paths.items(), _LOOKS, strict=False):
        line = {part: look[part] for part in ("color", "linestyle")}
        values = heights(surface, path).clamp(min=_LEAST).log10().numpy()
        ax.plot(values, linewidth=1.6, **line)
        labels.append((float(values[-1]), name, look["color"]))
    ax.set(xlabel="step", ylabel="loss (power of ten)", title=title)
    ax.set_xlim(left=0)
    ax.grid(axis="y")
    label_ends(ax, labels)
    return ax


def descent(
    surface: str, optimizer: str, *, rate: float, momentum: float, steps: int = 60
) -> Figure:
    """One optimizer on one surface: its way from above, and its height over the steps.

    Raises:
        UserError: a surface or an optimizer of no known name.
    """
    if surface not in SURFACES:
        raise UserError(f"no surface is called {surface!r}{nearest(surface, SURFACES)}")
    ground = SURFACES[surface]
    path = descend(ground, optimizer_named(optimizer, rate, momentum), steps)
    drawn, (left, right) = style.figure(width=9, height=3.5, columns=2, width_ratios=[3, 2])
    contours(ground, {optimizer: path}, ax=left, title=f"{optimizer} on the {surface}")
    end = heights(ground, path)[-1].item()
    far = len(path) <= steps or end > 10 * heights(ground, path)[0].item()
    said = "it flies away" if far else f"after {steps} steps {end:.1g}"
    height_curves(ground, {"": path}, ax=right, title=said)
    right.set(xlim=(0, steps), ylim=(np.log10(_LEAST) - 0.3, 4))
    return drawn


def descent_explorer(steps: int = 60) -> Explorer:
    """`descent` with the surface, the optimizer, the rate and the momentum as controls."""

    memory: Any = slider(0.9, 0.0, 0.99, 0.01)

    def draw(surface: str, optimizer: str, rate: float, momentum: float) -> Figure:
        memory.disabled = optimizer in WITHOUT_MOMENTUM
        return descent(surface, optimizer, rate=rate, momentum=momentum, steps=steps)

    rates = [float(f"{mantissa}e{power}") for power in (-3, -2, -1) for mantissa in (1, 2, 5)]
    rates += [0.095, 0.105, 1.0]  # either side of the ravine's limit of 2 / 20
    return Explorer(
        draw,
        surface=choice(SURFACES),
        optimizer=choice(OPTIMIZERS),
        rate=ipywidgets.SelectionSlider(
            options=[(f"{rate:g}", rate) for rate in sorted(rates)], value=0.095
        ),
        momentum=memory,
    )
