"""Pictures of attention: weight matrices, masks, who looks at whom, and what softmax does.

Everywhere, queries `T` run down and keys `S` run across, and shades of probability go from 0 to 1,
so that two pictures can be compared. Not here: attention itself (`nn/attention.py`). Chapter 03
teaches what the pictures show.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.nn.capture import capture
from llmcourse.shapes import axis_label
from llmcourse.text.base import Tokenizer
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, choice, slider, text

_WRITTEN_CELLS = 100
"""Up to so many cells a matrix has its numbers written in; beyond, a colour bar tells them."""
_FULLY_LABELLED = 32
_LONGEST_EXPLORED = 16
"""Tokens that fit side by side, readable, in a picture as wide as the page."""
_SHADES = Normalize(0, 1)

Labels = Sequence[str] | None


def heatmap(
    weights: Float[Tensor, "T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Attention weights as shades of 0 to 1: row `t` is how query `t` divides its attention.

    Without `key_labels` a square matrix takes the queries' labels for its keys (self-attention).
    """
    values = _array(weights)
    ax = ax or _axes_for(values.shape)
    ax.imshow(values, cmap=style.SEQUENTIAL, norm=_SHADES, aspect="auto")
    _label_axes(ax, values.shape, query_labels, key_labels)
    if values.size <= _WRITTEN_CELLS:
        _write_values(ax, values)
    else:
        _color_bar(ax.figure, [ax])
    ax.set_title(title)
    return ax


def mask(
    allowed: Bool[Tensor, "T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    ax: Axes | None = None,
    title: str = "Filled: may look; crossed out: may not",
) -> Axes:
    """Which keys each query may look at: a filled cell is allowed, a crossed one is not."""
    values = _array(allowed)
    ax = ax or _axes_for(values.shape)
    two_tones = ListedColormap([style.GREYS[4], style.ACCENT])
    ax.imshow(values, cmap=two_tones, norm=_SHADES, aspect="auto")
    _label_axes(ax, values.shape, query_labels, key_labels)
    rows, columns = np.nonzero(~values)
    if values.size <= _FULLY_LABELLED**2:
        size = min(60.0, 6000 / values.size)
        ax.scatter(columns, rows, marker="x", color=style.GREYS[2], s=size, linewidths=1)
    ax.set_title(title)
    return ax


def heads_grid(
    weights: Float[Tensor, "H T S"],
    query_labels: Labels = None,
    key_labels: Labels = None,
    *,
    columns: int = 4,
    title: str = "",
) -> Figure:
    """Every head's weights side by side, on one scale."""
    values = _array(weights)
    columns = min(columns, len(values))
    rows = math.ceil(len(values) / columns)
    side = style.WIDTH / columns
    drawn, axes = style.figure(
        height=rows * side + 0.7,
        rows=rows,
        columns=columns,
        squeeze=False,
        sharex=True,
        sharey=True,
    )
    for head, ax in enumerate(axes.flat):
        if head >= len(values):
            ax.set_visible(False)
            continue
        ax.imshow(values[head], cmap=style.SEQUENTIAL, norm=_SHADES, aspect="auto")
        _label_axes(ax, values[head].shape, query_labels, key_labels)
        ax.set(title=f"head {head}", xlabel="", ylabel="")
    drawn.supxlabel(axis_label("S"), fontsize=10, color=style.GREYS[1])
    drawn.supylabel(axis_label("T"), fontsize=10, color=style.GREYS[1])
    drawn.suptitle(title, x=0.01, ha="left")
    _color_bar(drawn, list(axes.flat))
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
        _, ax = style.figure(height=2.2)
    above, below = _spread(query_labels), _spread(keys)
    for row, column in np.ndindex(*values.shape):
        chosen = query is None or row == query
        _connect(ax, above[row], below[column], values[row, column], chosen)
    _write_tokens(ax, above, query_labels, y=1.0, bold=query)
    _write_tokens(ax, below, keys, y=0.0)
    if query is not None:
        _write_shares(ax, below, values[query])
    ax.set(xlim=(0, 1), ylim=(-0.42, 1.18))
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
    entropy = -torch.special.xlogy(shares, shares).sum().item() / math.log(2)
    names = [style.printable(name) for name in labels or map(str, range(len(scores)))]
    drawn, (left, right) = style.figure(height=3.0, columns=2, width_ratios=[2, 3])
    left.bar(names, logits.tolist(), color=style.GREYS[2], width=0.7)
    left.axhline(0, color=style.GREYS[1], linewidth=0.8)
    reach = max(5.0, 1.15 * logits.abs().max().item())
    left.set(title="Softmax is given scores", ylim=(-reach, reach), xlabel=axis_label("S"))
    bars = right.bar(names, shares.tolist(), color=style.ACCENT, width=0.7)
    right.bar_label(bars, fmt="{:.2f}", padding=2, fontsize=9, color=style.GREYS[0])
    right.axhline(1 / len(scores), color=style.CONTRAST, linestyle="--", linewidth=1.2)
    right.annotate(
        "uniform",
        (1, 1 / len(scores)),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        color=style.CONTRAST,
        fontsize=9,
    )
    message = f"It returns weights as spread as {2**entropy:.1f} equal ones\n"
    right.set(title=f"{message}(entropy {entropy:.2f} bits)", ylim=(0, 1.1), xlabel=axis_label("S"))
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


def attention_explorer(model: nn.Module, tokenizer: Tokenizer, sentence: str) -> Explorer:
    """Type a sentence, pick a layer, a head and a token, and see whom that token looks at.

    The weights are those of the model's own forward pass, caught at its tap points.

    Raises:
        UserError: the model has no attention weights to catch, or the sentence has no tokens.
    """
    pieces, layers = look(model, tokenizer, sentence)
    line = text(sentence)
    position = slider(len(pieces) - 1, 0, len(pieces) - 1)

    def draw(sentence: str, layer: int, head: int, token: int) -> Figure:
        pieces, layers = look(model, tokenizer, sentence)
        return _explored(pieces, layers[layer][head], layer, head, min(token, len(pieces) - 1))

    def fit_slider(change: dict) -> None:
        if change["new"].strip():
            position.max = len(_pieces(model, tokenizer, change["new"])[0]) - 1

    line.observe(fit_slider, names="value")  # before the redraw, which is observed later
    return Explorer(
        draw,
        sentence=line,
        layer=choice(range(len(layers))),
        head=choice(range(len(layers[0]))),
        token=position,
    )


def look(
    model: nn.Module, tokenizer: Tokenizer, sentence: str
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


def _pieces(model: nn.Module, tokenizer: Tokenizer, sentence: str) -> tuple[list[str], list[int]]:
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
    looking, seen = (style.printable(pieces[at]) for at in (query, most))
    who_looks_at_whom(
        weights,
        pieces,
        query=query,
        ax=upper,
        title=f"Layer {layer}, head {head}: “{looking}” looks most at “{seen}” ({share:.0%})",
    )
    heatmap(weights, pieces, ax=lower)
    return drawn


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _axes_for(shape: tuple[int, ...]) -> Axes:
    """Axes of a size at which a matrix's cells are readable and nearly square."""
    rows, columns = shape
    cell = min(0.55, 4.6 / max(rows, columns))
    _, ax = style.figure(width=columns * cell + 1.9, height=rows * cell + 1.2)
    return ax


def _label_axes(ax: Axes, shape: tuple[int, ...], query_labels: Labels, key_labels: Labels) -> None:
    rows, columns = shape
    if key_labels is None and rows == columns:
        key_labels = query_labels
    _ticks(ax.set_yticks, rows, query_labels)
    _ticks(ax.set_xticks, columns, key_labels)
    crowded = key_labels is not None and max(map(len, key_labels)) > 3
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelrotation=45 if crowded else 0)
    for tick in ax.get_xticklabels():
        tick.set(ha="right" if crowded else "center", rotation_mode="anchor" if crowded else None)
    ax.set(ylabel=axis_label("T"), xlabel=axis_label("S"))
    ax.spines[:].set_visible(False)
    if max(shape) <= _FULLY_LABELLED:  # white gaps, so that equal neighbours are two cells
        ax.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
        ax.grid(which="minor", color="white", linewidth=1.5)
        ax.tick_params(which="minor", length=0)


def _ticks(set_ticks, count: int, labels: Labels) -> None:
    if labels is not None and len(labels) != count:
        raise UserError(f"{len(labels)} labels for {count} positions: give one for each")
    every = math.ceil(count / _FULLY_LABELLED)
    shown = range(0, count, every)
    set_ticks(shown, [style.printable(labels[at]) if labels else str(at) for at in shown])


def _write_values(ax: Axes, values: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(values):
        color = style.text_on(value)
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)


def _color_bar(drawn, axes: list[Axes]) -> None:
    shades = ScalarMappable(_SHADES, style.SEQUENTIAL)
    bar = drawn.colorbar(shades, ax=axes, fraction=0.04, pad=0.02, ticks=[0, 0.5, 1])
    bar.set_label("attention weight")
    bar.outline.set_visible(False)


def _spread(labels: Sequence[str]) -> np.ndarray:
    """Centres between 0 and 1 for tokens set in a row, each given room by its length."""
    lengths = np.array([max(len(label), 1) + 2 for label in labels], dtype=float)
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
        )
    )


def _write_tokens(
    ax: Axes, at: np.ndarray, labels: Sequence[str], y: float, bold: int | None = None
) -> None:
    size = 10 if len(labels) <= 12 else 8
    for index, (x, label) in enumerate(zip(at, labels, strict=True)):
        chosen = index == bold
        ax.text(
            x,
            y,
            style.printable(label),
            ha="center",
            va="center",
            fontsize=size,
            fontweight="bold" if chosen else "normal",
            color=style.ACCENT if chosen else style.GREYS[0],
        )


def _write_shares(ax: Axes, at: np.ndarray, shares: np.ndarray) -> None:
    for x, share in zip(at, shares, strict=True):
        if share >= 0.005:
            ax.text(
                x, -0.22, f"{share:.0%}", ha="center", va="center", fontsize=8, color=style.ACCENT
            )
