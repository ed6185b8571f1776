"""Pictures of objectives: what is hidden, what teaches, who is alike, who is good at what.

Not here: the objectives (`objectives/`), masks of attention (`attention.mask`). Chapter 07 teaches
what the pictures show.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from llmcourse.evaluate.intervals import Interval
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.mlm import UNITS, MaskedLM
from llmcourse.objectives.vocabulary import Vocabulary
from llmcourse.randomness import numpy_rng
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.viz import matrix, style
from llmcourse.viz.widgets import Explorer, choice, slider

FATES = ("seen", "[MASK]", "another token", "left as it is, but asked")
"""What can become of a token; all but the first are asked for."""
_RIVALS: tuple[tuple[str, Any], ...] = (
    (style.CONTRAST, "-"),
    (style.GREYS[1], (0, (5, 2))),
    (style.GREYS[2], (0, (1, 1.5))),
)
_FATE_COLORS = (style.GREYS[4], style.ACCENT, style.CONTRAST, "#86bbdf")


def fates(
    tokens: Int[Tensor, "B T"], ids: Int[Tensor, "B T"], targets: Int[Tensor, "B T"], mask_id: int
) -> Int[Tensor, "B T"]:
    """What became of each token, as a place in `FATES`."""
    found = torch.zeros_like(tokens)
    asked = targets != IGNORE
    found[asked] = 3
    found[asked & (ids != tokens)] = 2
    found[asked & (ids == mask_id)] = 1
    return found


def hidden_tokens(
    objective: MaskedLM,
    tokens: Int[Tensor, " T"],
    labels: Sequence[str],
    *,
    seed: int = 0,
    n: int = 8,
) -> Figure:
    """One text hidden `n` times: a row for each draw, a cell for each token."""
    rows = tokens.repeat(n, 1)
    batch = objective.prepare(rows, numpy_rng(seed, "hidden tokens"))
    fate = fates(rows, batch.ids, batch.targets, objective.mask_id).numpy()
    width = min(9.5, 0.5 * len(labels) + 1.5)
    drawn, ax = style.figure(width=width, height=0.24 * n + 1.7)
    matrix.cells(ax, fate, ListedColormap(_FATE_COLORS), Normalize(-0.5, 3.5))
    for row, column in np.argwhere(fate == 3):
        ax.text(column, row, "=", color=style.GREYS[0], fontsize=9, **matrix.CENTRED)
    for row, column in np.argwhere(fate == 2):
        ax.text(column, row, "?", color="white", fontsize=9, **matrix.CENTRED)
    names = [style.printable(label) for label in labels]
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks([])
    ax.set_ylabel("draws")
    share = 100 * (fate > 0).mean()
    ax.set_title(f"Hidden by {objective.unit}: {share:.0f} % asked in these {n} draws")
    keys = [Patch(color=c, label=name) for c, name in zip(_FATE_COLORS, FATES, strict=True)]
    drawn.legend(handles=keys, ncols=4, loc="outside lower left", fontsize=8)
    return drawn


def mask_explorer(tokenizer: Tokenizer, text: str) -> Explorer:
    """Hide a text by token, by word and by span, at any rate."""
    ids = tokenizer.encode(text)
    labels = [tokenizer.decode([token_id]) for token_id in ids]
    vocabulary, tokens = Vocabulary.of(tokenizer), torch.tensor(ids)

    def draw(percent: int, unit: Any, seed: int) -> Figure:
        objective = MaskedLM(vocabulary, mask_rate=percent / 100, unit=unit)
        return hidden_tokens(objective, tokens, labels, seed=seed)

    return Explorer(draw, percent=slider(15, 5, 60), unit=choice(UNITS), seed=slider(0, 0, 20))


def shares(teaching: Mapping[str, float], *, ax: Axes | None = None, title: str = "") -> Axes:
    """How many answers each objective gets for a token that it reads, as bars."""
    if ax is None:
        _, ax = style.figure(height=0.34 * len(teaching) + 1.1)
    names, values = list(teaching), list(teaching.values())
    ax.barh(names, values, color=[style.ACCENT if v >= 0.5 else style.GREYS[2] for v in values])
    for row, value in enumerate(values):
        written = f"{100 * value:.0f} %" if value >= 0.1 else f"{100 * value:.1f} %"
        ax.text(value + 0.01, row, written, va="center", fontsize=9, color=style.GREYS[1])
    ax.set(title=title, xlim=(0, 1.12), xticks=[], xlabel="answers for each token read")
    ax.invert_yaxis()
    ax.tick_params(length=0)
    return ax


def similarity(cosines: Float[Tensor, "B N"], *, temperature: float) -> Figure:
    """Cosines between first and second views, and what a temperature makes of them, row by row."""
    values = cosines.detach().double()
    guesses = (values / temperature).softmax(dim=1)
    drawn, (left, right) = style.figure(width=8.5, height=3.9, columns=2)
    shades = matrix.cells(left, values.numpy(), style.DIVERGING, Normalize(-1, 1))
    matrix.color_bar(shades, [left], "cosine")
    shades = matrix.cells(right, guesses.numpy(), style.SEQUENTIAL)
    matrix.color_bar(shades, [right], "probability")
    loss = max(0.0, -guesses.diagonal().log().mean().item())  # 0.00, not -0.00
    left.set(title="Cosines", xlabel="second views", ylabel="first views")
    right.set(title=f"Divided by {temperature:g}: loss {loss:.2f}", xlabel="second views")
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
    return drawn


def temperature_explorer(cosines: Float[Tensor, "B N"]) -> Explorer:
    """One matrix of cosines under any temperature, from 0.01 to 10."""

    def draw(temperature: float) -> Figure:
        return similarity(cosines, temperature=temperature)

    steps = [step * 10.0**power for power in (-2, -1, 0) for step in (1, 1.5, 2, 3, 5, 7)]
    options = [(f"{temperature:.2g}", round(temperature, 3)) for temperature in [*steps, 10.0]]
    return Explorer(draw, temperature=ipywidgets.SelectionSlider(options=options, value=0.05))


def compared(
    results: Mapping[str, Mapping[str, Interval]],
    baselines: Mapping[str, Mapping[str, Interval]],
    *,
    title: str = "",
) -> Figure:
    """A panel for each task: every model's accuracy with its interval, beside the baselines'.

    The first baseline is drawn as a band, the others as lines. A dot is filled where the model's
    interval begins above that of the task's best baseline, whichever it is.
    """
    tasks = list(next(iter(results.values())))
    drawn, axes = style.figure(
        width=9.5, height=0.34 * len(results) + 1.7, columns=len(tasks), sharey=True, squeeze=False
    )
    for ax, task in zip(axes[0], tasks, strict=True):
        for number, (name, found) in enumerate(baselines.items()):
            value, low, high = found[task]
            color, dashes = _RIVALS[min(number, len(_RIVALS) - 1)]
            ax.axvline(value, color=color, linestyle=dashes, linewidth=1.3, label=name)
            if not number:
                ax.axvspan(low, high, color=style.CONTRAST, alpha=0.15, linewidth=0)
        rival = max((found[task] for found in baselines.values()), key=lambda found: found.value)
        for row, name in enumerate(results):
            value, low, high = results[name][task]
            clear = low > rival.high
            ax.plot([low, high], [row, row], "-", color=style.ACCENT, linewidth=1.5)
            ax.plot(value, row, "o", color=style.ACCENT, mfc=style.ACCENT if clear else "white")
        ax.set(title=task, xlim=(0.4, 1.02), xlabel="accuracy")
        ax.grid(axis="x")
    axes[0, 0].set_yticks(range(len(results)), list(results))
    axes[0, 0].invert_yaxis()
    handles, names = axes[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, ncols=len(names), loc="outside lower right", fontsize=8)
    if title:
        drawn.suptitle(title, x=0.01, ha="left")
    return drawn
