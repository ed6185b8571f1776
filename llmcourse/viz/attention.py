"""Pictures of attention: weight matrices, masks, who looks at whom, and what softmax does.

Everywhere, queries `T` run down and keys `S` run across, and shades of probability go from 0 to 1,
so that two pictures can be compared. Not here: attention itself (`nn/attention.py`). Chapter 03
teaches what the pictures show.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT
from llmcourse.nn.capture import capture
from llmcourse.shapes import axis_label
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.viz import matrix, style
from llmcourse.viz.matrix import Labels
from llmcourse.viz.widgets import Explorer, choice, slider, text

_WRITTEN_CELLS = 144
"""Up to so many cells a matrix has its numbers written in; beyond, a colour bar tells them."""
_LONGEST_EXPLORED = 16
"""Tokens that fit side by side, readable, in a picture as wide as the page."""


def heatmap(
    weights: Float[Tensor, "T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Attention weights as shades of 0 to 1: row `t` is how query `t` divides its attention.

    Small matrices have their values written in, but for exact zeros: nobody looks there. Without
    `key_labels` a square matrix takes the queries' labels for its keys (self-attention).
    """
    values = _array(weights)
    ax = ax or matrix.axes_for(values.shape)
    shades = matrix.cells(ax, values, style.SEQUENTIAL)
    matrix.name_positions(ax, values.shape, query_labels, key_labels)
    if values.size <= _WRITTEN_CELLS:
        matrix.write_values(ax, np.where(values == 0, np.nan, values))
    else:
        matrix.color_bar(shades, [ax], "attention weight")
    ax.set_title(title)
    return ax


def score_map(
    scores: Float[Tensor, "T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Scores before softmax: blue is negative, orange positive, and minus infinity is crossed out.

    The limits are as far from zero on both sides, so that a pale cell is always a score near zero.
    """
    values = _array(scores)
    ax = ax or matrix.axes_for(values.shape)
    finite = np.where(np.isfinite(values), values, np.nan)
    reach = float(np.nanmax(np.abs(finite), initial=1e-9))
    shades = matrix.cells(ax, finite, style.DIVERGING, Normalize(-reach, reach))
    matrix.name_positions(ax, values.shape, query_labels, key_labels)
    matrix.cross_out(ax, np.isneginf(values))
    if values.size <= _WRITTEN_CELLS:
        matrix.write_values(ax, finite)
    else:
        matrix.color_bar(shades, [ax], "score")
    ax.set_title(title)
    return ax


def mask(
    allowed: Bool[Tensor, "T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    ax: Axes | None = None,
    title: str = "Filled: may look. Crossed: may not",
) -> Axes:
    """Which keys each query may look at: a filled cell is allowed, a crossed one is not."""
    values = _array(allowed)
    ax = ax or matrix.axes_for(values.shape)
    matrix.cells(ax, values, ListedColormap([style.GREYS[4], style.ACCENT]))
    matrix.name_positions(ax, values.shape, query_labels, key_labels)
    matrix.cross_out(ax, ~values)
    ax.set_title(title)
    return ax


def heads_grid(
    weights: Float[Tensor, "H T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    title: str = "",
) -> Figure:
    """Every head's weights side by side, on one scale."""
    values = _array(weights)
    columns = next((c for c in (4, 3) if len(values) % c == 0), min(len(values), 4))
    rows = math.ceil(len(values) / columns)
    drawn, axes = style.figure(
        height=0.8 + rows * 0.95 * style.WIDTH / columns,
        rows=rows,
        columns=columns,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for ax in axes.flat[len(values) :]:
        ax.set_visible(False)
    for head, ax in enumerate(axes.flat[: len(values)]):
        shades = matrix.cells(ax, values[head], style.SEQUENTIAL)
        matrix.name_positions(ax, values[head].shape, query_labels, key_labels)
        ax.set_title(f"head {head}", fontsize=9, fontweight="normal", color=style.GREYS[1], pad=4)
        ax.set(xlabel="", ylabel="")
    for ax in axes[-1]:
        ax.set_xlabel(axis_label("S"))
    for ax in axes[:, 0]:
        ax.set_ylabel(axis_label("T"))
    if title:
        drawn.suptitle(title, x=0.01, ha="left")
    matrix.color_bar(shades, list(axes.flat), "attention weight")
    return drawn


def who_looks_at_whom(
    weights: Float[Tensor, "T S"],
    query_labels: Sequence[str],
    key_labels: Labels = None,
    *,
    query: int | None = None,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Lines from each query (above) to the keys (below), as thick as the attention is strong.

    With `query`, its lines alone are in colour and carry their percentages.
    """
    values = _array(weights)
    keys = list(query_labels if key_labels is None else key_labels)
    if ax is None:
        _, ax = style.figure(height=2.0)
    above, below = _spread(query_labels), _spread(keys)
    for row, column in np.ndindex(*values.shape):
        chosen = query is None or row == query
        _connect(ax, above[row], below[column], float(values[row, column]), chosen)
    _write_tokens(ax, above, query_labels, y=1.0, bold=query)
    _write_tokens(ax, below, keys, y=0.0)
    for letter, y in (("T", 1.0), ("S", 0.0)):
        ax.text(-0.03, y, letter, color=style.GREYS[1], **matrix.CENTRED)
    if query is not None:
        _write_shares(ax, below, values[query])
    ax.set(xlim=(-0.05, 1), ylim=(-0.12 if query is None else -0.35, 1.1))
    ax.axis("off")
    ax.set_title(title)
    return ax


def softmax_bars(
    scores: Float[Tensor, " S"],
    labels: Labels = None,
    *,
    temperature: float = 1.0,
    scale: float = 1.0,
) -> Figure:
    """What softmax is given, and what it makes of it: `softmax(scale * scores / temperature)`."""
    logits = scores.double() * scale / temperature
    shares = logits.softmax(-1)
    entropy = torch.special.entr(shares).sum().item() / math.log(2)
    names = [matrix.token_label(name) for name in labels or map(str, range(len(scores)))]
    drawn, (left, right) = style.figure(height=2.9, columns=2, width_ratios=[2, 3])
    left.bar(names, logits.tolist(), color=style.GREYS[2], width=0.7)
    left.axhline(0, color=style.GREYS[1], linewidth=0.8)
    reach = 5 * 2 ** max(0, math.ceil(math.log2(logits.abs().max().item() / 5 + 1e-9)))
    left.set(title="In: scores", ylim=(-reach, reach), xlabel=axis_label("S"))
    bars = right.bar(names, shares.tolist(), color=style.ACCENT, width=0.7)
    for label in right.bar_label(bars, fmt="{:.2f}", padding=2, fontsize=9, color=style.GREYS[0]):
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])
        label.set_in_layout(False)
    _uniform_line(right, len(scores))
    most = math.log2(len(scores))
    right.set(ylim=(0, 1.1), yticks=[0, 0.25, 0.5, 0.75, 1], xlabel=axis_label("S"))
    right.set_title(f"Out: weights, entropy {entropy:.2f} of {most:.2f} bits")
    return drawn


def softmax_explorer(scores: Float[Tensor, " S"], labels: Labels = None) -> Explorer:
    """`softmax_bars` with a slider for the temperature and one for the scale of the scores."""

    def draw(temperature: float, scale: float) -> Figure:
        return softmax_bars(scores, labels, temperature=temperature, scale=scale)

    return Explorer(
        draw,
        temperature=slider(1.0, 0.1, 5.0, step=0.1),
        scale=slider(1.0, 0.25, 16.0, step=0.25),
    )


def attention_explorer(model: GPT, tokenizer: Tokenizer, sentence: str) -> Explorer:
    """Type a sentence, pick a layer, a head and a token, and see whom that token looks at.

    The weights are those of the model's own forward pass, caught at its tap points.

    Raises:
        UserError: the model has no attention weights to catch, or the sentence has no tokens.
    """
    pieces, layers = look(model, tokenizer, sentence)
    position: Any = slider(len(pieces) - 1, 0, len(pieces) - 1)

    def draw(sentence: str, layer: int, head: int, token: int) -> Figure:
        pieces, layers = look(model, tokenizer, sentence)
        last = len(pieces) - 1
        position.max = last  # which may move the slider
        return _explored(pieces, layers[layer][head], layer, head, min(token, last))

    return Explorer(
        draw,
        sentence=text(sentence),
        layer=choice(range(len(layers)), len(layers) - 1),
        head=choice(range(len(layers[0]))),
        token=position,
    )


def look(
    model: GPT, tokenizer: Tokenizer, sentence: str
) -> tuple[list[str], list[Float[Tensor, "H T S"]]]:
    """The sentence's first tokens as text, and each layer's attention weights over them.

    Raises:
        UserError: the sentence has no tokens, or the model no tap point for its weights.
    """
    pieces, ids = _pieces(model, tokenizer, sentence)
    parameter = next(model.parameters())
    with torch.no_grad(), capture(model, "blocks.*.attention.weights") as caught:
        model(torch.tensor([ids], device=parameter.device))
    names = sorted(caught, key=lambda name: int(name.split(".")[1]))
    return pieces, [caught[name][0].float().cpu() for name in names]


def _pieces(model: GPT, tokenizer: Tokenizer, sentence: str) -> tuple[list[str], list[int]]:
    longest = min(_LONGEST_EXPLORED, model.config.context_length)
    ids = tokenizer.encode(sentence)[:longest]
    if not ids:
        raise UserError("there is no token to look at: type at least one word")
    return [tokenizer.token_bytes(id).decode("utf-8", errors="replace") for id in ids], ids


def _explored(
    pieces: list[str], weights: Float[Tensor, "T S"], layer: int, head: int, query: int
) -> Figure:
    """Lines above, matrix below, and a title that says whom the query looks at most."""
    drawn, (upper, lower) = style.figure(height=6.2, rows=2, height_ratios=[1, 2.2])
    most = int(weights[query].argmax())
    share = weights[query, most].item()
    looking, seen = (matrix.token_label(pieces[at]) for at in (query, most))
    who_looks_at_whom(
        weights,
        pieces,
        query=query,
        ax=upper,
        title=f"Layer {layer}, head {head}: “{looking}” looks most at “{seen}” ({share:.0%})",
    )
    heatmap(weights, pieces, ax=lower)
    lower.get_yticklabels()[query].set(color=style.ACCENT, fontweight="bold")
    return drawn


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _uniform_line(ax: Axes, count: int) -> None:
    """Where every bar would end if softmax could not tell its scores apart."""
    line: dict[str, Any] = {
        "color": style.CONTRAST,
        "linestyle": "--",
        "linewidth": 1.2,
        "zorder": 0.9,
    }
    ax.axhline(1 / count, **line)
    ax.annotate(
        f"uniform, 1/{count}",
        (1, 1 / count),
        xycoords=("axes fraction", "data"),
        xytext=(4, 0),  # beside the bars, which carry their own numbers
        textcoords="offset points",
        va="center",
        color=style.ink(style.CONTRAST),
        fontsize=9,
    )


def _spread(labels: Sequence[str]) -> np.ndarray:
    """Centres between 0 and 1 for tokens set in a row, each given room by its length."""
    lengths = np.array([max(len(label), 2) + 2 for label in labels], dtype=float)
    return (np.cumsum(lengths) - lengths / 2) / lengths.sum()


def _connect(ax: Axes, start: float, end: float, weight: float, chosen: bool) -> None:
    """A curve from a query above to a key below; nothing where there is no attention."""
    if weight < 0.01:
        return
    points = [(start, 0.9), (start, 0.5), (end, 0.5), (end, 0.1)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    ax.add_patch(
        PathPatch(
            path,
            facecolor="none",
            edgecolor=style.ACCENT if chosen else style.GREYS[3],
            linewidth=0.3 + 6 * weight,
            alpha=0.25 + 0.7 * weight if chosen else 0.35,
            zorder=2 if chosen else 1,
            capstyle="butt",
            in_layout=False,
        )
    )


def _write_tokens(
    ax: Axes, at: np.ndarray, labels: Sequence[str], y: float, bold: int | None = None
) -> None:
    letters = sum(len(label) + 2 for label in labels)
    size = float(np.clip(10 * 62 / letters, 5.5, 10))
    for index, (x, label) in enumerate(zip(at, labels, strict=True)):
        chosen = index == bold
        ax.text(
            x,
            y,
            matrix.token_label(label),
            fontsize=size,
            fontweight="bold" if chosen else "normal",
            color=style.ACCENT if chosen else style.GREYS[0],
            **matrix.CENTRED,
        )


def _write_shares(ax: Axes, at: np.ndarray, shares: np.ndarray) -> None:
    for x, share in zip(at, shares, strict=True):
        if share >= 0.005:
            ax.text(x, -0.22, f"{share:.0%}", fontsize=8, color=style.ACCENT, **matrix.CENTRED)
