"""What a model expects next: the likeliest words as bars, and words as points on a map.

Not here: the models (`models/`), and curves over training (`training.py`). Chapter 02 uses this.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.ngram import NGram
from llmcourse.models.ngram_counts import UNSEEN, Counts
from llmcourse.models.ngram_smoothing import AddK, Interpolation, KneserNey, Smoothing, WittenBell
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.viz import style
from llmcourse.viz.matrix import token_label
from llmcourse.viz.tokens import visible
from llmcourse.viz.widgets import Explorer, choice, slider, text

SMOOTHINGS = ("Kneser-Ney", "interpolation", "Witten-Bell", "add k")
MARKERS = "os^Dv"
_SIDES = (((5, 3), "left"), ((-5, 3), "right"), ((0, -11), "center"), ((0, 6), "center"))
"""Where a point's name may stand, and which of its edges is there."""


def bars(
    chances: Float[Tensor, " V"],
    names: Sequence[str],
    *,
    ax: Axes | None = None,
    title: str = "",
    n_words: int = 8,
) -> Axes:
    """The likeliest next words, longest bar on top, each with its probability.

    At most `n_words`, and none that would read 0.00, unless all would.

    `names` are the words of the whole vocabulary, in the order of their ids.

    Raises:
        UserError: there are more or fewer names than probabilities.
    """
    if len(names) != len(chances):
        raise UserError(f"{len(names)} names for {len(chances)} probabilities: give one for each")
    if ax is None:
        _, ax = style.figure(width=4, height=3)
    best = chances.sort(descending=True, stable=True).indices[:n_words].tolist()
    best = [word for word in best if chances[word] >= 0.005] or best
    drawn = ax.barh(range(len(best)), chances[best].tolist(), color=style.ACCENT, height=0.7)
    ax.bar_label(drawn, fmt="%.2f", padding=3, fontsize=8)
    ax.set_yticks(range(len(best)), [token_label(names[word]) for word in best])
    ax.tick_params(length=0)
    ax.spines["bottom"].set_visible(False)
    ax.set(xlim=(0, 1.18), ylim=(n_words - 0.4, -0.6), xticks=[], title=title)
    return ax


def next_words(model: NGram, tokenizer: Tokenizer, ids: Sequence[int], ax: Axes) -> Axes:
    """What an n-gram model expects after `ids`, under a title that says how often it saw them."""
    n = model.config.order
    context = torch.tensor([list(ids)])[:, len(ids) - min(len(ids), n - 1) :]
    chances = model(torch.tensor([list(ids)])).logits[0, -1].exp()
    title = f"{n}-gram: {_times_seen(model.counts, context)}"
    return bars(chances, _names(tokenizer), ax=ax, title=title)


def ngram_explorer(
    counts: Counts, tokenizer: Tokenizer, beginning: str, orders: Sequence[int] = (1, 2, 3, 5)
) -> Explorer:
    """The next word after a text that you type, for several orders side by side.

    `strength` is what the smoothing takes away: a discount, the weight of shorter contexts, or the
    k that is added; Witten-Bell has nothing to choose.
    """

    def draw(beginning: str, smoothing: str, strength: float) -> Figure:
        ids = [tokenizer.eot_id, *tokenizer.encode(beginning)]
        drawn, axes = style.figure(width=9.5, height=2.9, columns=len(orders))
        for order, ax in zip(orders, np.atleast_1d(axes), strict=True):
            model = NGram(counts, smoothing_named(smoothing, strength), order)
            next_words(model, tokenizer, ids, ax)
        return drawn

    return Explorer(
        draw,
        beginning=text(beginning),
        smoothing=choice(SMOOTHINGS),
        strength=slider(0.75, 0.0, 1.0, 0.05),
    )


def smoothing_named(name: str, strength: float) -> Smoothing:
    """One of `SMOOTHINGS`, with how much it takes away, from 0 to 1."""
    kinds: dict[str, Smoothing] = {
        "Kneser-Ney": KneserNey(strength),
        "interpolation": Interpolation(1 - strength),
        "Witten-Bell": WittenBell(),
        "add k": AddK(strength),
    }
    return kinds[name]


def word_map(
    vectors: Float[Tensor, "N D"],
    names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Some words' vectors as points in the plane, a marker and a shade for each group.

    The plane is the one in which they spread most (their two principal components).

    Raises:
        UserError: a group holds a word that is not among the names.
    """
    place = {name: number for number, name in enumerate(names)}
    for word in (word for words in groups.values() for word in words):
        if word not in place:
            raise UserError(f"{word!r} is not in the vocabulary, so it has no place on the map")
    if ax is None:
        _, ax = style.figure(width=8, height=5.2)
    chosen = [place[word] for words in groups.values() for word in words]
    plane = _principal_plane(vectors[chosen])
    colors = (style.ACCENT, style.CONTRAST, *style.GREYS[:3])
    begin, colors_of = 0, []
    for (group, words), color, marker in zip(groups.items(), colors, MARKERS, strict=False):
        x, y = plane[begin : begin + len(words)].T
        begin += len(words)
        ax.scatter(x, y, color=color, marker=marker, s=30, label=group)
        colors_of += [color] * len(words)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    ax.set(xticks=[], yticks=[], title=title)
    ax.margins(0.08)
    _label_points(ax, plane, [word for words in groups.values() for word in words], colors_of)
    return ax


def _label_points(
    ax: Axes, points: Float[np.ndarray, "N 2"], words: Sequence[str], colors: Sequence[str]
) -> None:
    """A name beside each point: on the first side where it covers no other point or name."""
    places = (ax.transData.transform(points) * 72 / style.DPI).tolist()  # in points of type
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    for word, at, (x, y), color in zip(words, points, places, colors, strict=True):
        name = token_label(word)
        boxes = [_box(x + dx, y + dy, name, side) for (dx, dy), side in _SIDES]
        free = (n for n, box in enumerate(boxes) if not any(_overlap(box, o) for o in taken))
        best = next(free, 0)
        taken.append(boxes[best])
        offset, side = _SIDES[best]
        label = ax.annotate(name, tuple(at), offset, textcoords="offset points")
        label.set(color=style.ink(color), fontsize=8, horizontalalignment=side)


def _box(x: float, y: float, name: str, side: str) -> tuple[float, float, float, float]:
    """About where a name of 8-point type stands: its left, lower, right and upper edge."""
    width = 4.8 * len(name)
    left = x - {"left": 0.0, "center": 0.5, "right": 1.0}[side] * width
    return left, y - 1, left + width, y + 8


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _principal_plane(vectors: Float[Tensor, "N D"]) -> Float[np.ndarray, "N 2"]:
    """Coordinates in the plane of greatest spread; signs fixed, so that pictures do not flip."""
    centred = (vectors - vectors.mean(0)).double()
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    plane = centred @ axes[:2].mT
    largest = plane.gather(0, plane.abs().argmax(0, keepdim=True))
    return (plane * largest.sign()).numpy()


def _names(tokenizer: Tokenizer) -> list[str]:
    names = [visible(tokenizer.token_bytes(word)) for word in range(tokenizer.vocab_size)]
    return [name.removeprefix("␣") or "(end)" for name in names]


def _times_seen(counts: Counts, context: Tensor) -> str:
    length = context.size(1)
    if not length:
        return "no context"
    found = int(counts.find(context, length)[length][0, -1])
    times = 0 if found == UNSEEN else int(counts.levels[length - 1].occurrences[found])
    return f"seen {times} ×"
