"""All ways to tag a sentence as one picture: tags as rows, words as columns, a path for each way.

The best path is thick and in the accent's colour; how dark a node is, is the probability of its tag
over all paths. What is forbidden has no line. Not here: the algorithms (`nn/crf.py`), the lattice
of a text's pieces (`viz/lattice.py`). Chapter 12 uses it.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.errors import require
from llmcourse.labs.tagging import PathScores
from llmcourse.viz import style
from llmcourse.viz.matrix import CENTRED
from llmcourse.viz.widgets import Explorer, slider


def draw_trellis(
    scores: PathScores,
    emissions: Float[Tensor, "T C"],
    words: Sequence[str],
    tags: Sequence[str],
    *,
    written: Float[Tensor, "T C"] | None = None,
    form: str = "{:.2f}",
    title: str | None = None,
) -> Axes:
    """Draw the ways through a sentence's tags; the title says the best one and its probability.

    Args:
        scores: those of first tags, of neighbours and of last tags.
        emissions: the score of each tag for each word.
        words: what the columns are called.
        tags: what the rows are called.
        written: a number for each node, which is then neither shaded nor on a path; the
            probability of its tag unless given.
        form: how it is written.
        title: another title.

    Raises:
        UserError: there are not as many words or tags as emissions.
    """
    n_words, n_tags = emissions.shape
    require(
        (len(words), len(tags)) == (n_words, n_tags),
        f"emissions of shape {(n_words, n_tags)} for {len(words)} words and {len(tags)} tags",
    )
    crf = scores.crf()
    with torch.no_grad():
        (path,) = crf.best(emissions[None])
        chances = crf.marginals(emissions[None])[0]
        chance = crf.log_likelihood(emissions[None], torch.tensor([path])).exp().item()
    _, ax = style.figure(width=max(4.6, 1.35 * n_words + 1.0), height=0.7 * n_tags + 1.1)
    _draw_steps(ax, scores.transitions > -torch.inf, n_words, path if written is None else ())
    shown = chances if written is None else written
    shades = chances if written is None else torch.zeros_like(chances)
    for t in range(n_words):
        for c in range(n_tags):
            _draw_node(ax, t, c, shades[t, c].item(), form.format(shown[t, c].item()))
    ax.set_xticks(range(n_words), [style.printable(word) for word in words], fontsize=11)
    ax.set_yticks(range(n_tags), tags, fontsize=10)
    ax.set(xlim=(-0.5, n_words - 0.5), ylim=(n_tags - 0.5, -0.5))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    said = " ".join(tags[tag] for tag in path)
    ax.set_title(title if title is not None else f"Best: {said} ({100 * chance:.0f} %)")
    return ax


def _draw_steps(ax: Axes, allowed: Tensor, n_words: int, path: Sequence[int]) -> None:
    """A line for each pair of neighbours that may be; the best path's over the others."""
    chosen = list(itertools.pairwise(path))
    for t in range(n_words - 1):
        for i, j in torch.nonzero(allowed).tolist():
            ax.plot([t, t + 1], [i, j], "-", color=style.GREYS[3], linewidth=1.1, zorder=1)
    for t, (i, j) in enumerate(chosen):
        ax.plot([t, t + 1], [i, j], "-", color=style.CONTRAST, linewidth=3.5, zorder=2)


def _draw_node(ax: Axes, t: int, c: int, chance: float, label: str) -> None:
    color = style.SEQUENTIAL(chance)
    ax.plot(t, c, "o", markersize=31, color=color, markeredgecolor=style.GREYS[2], zorder=3)
    ax.text(t, c, label, color=style.text_on(color), fontsize=9, zorder=4, **CENTRED)


def trellis_explorer(
    scores: PathScores,
    emissions: Float[Tensor, "T C"],
    words: Sequence[str],
    tags: Sequence[str],
    *,
    at: tuple[int, int],
    pair: tuple[int, int],
) -> Explorer:
    """One emission and one transition on sliders, and the ways through the sentence redrawn.

    Args:
        scores: those of the path to begin with.
        emissions: those of the words.
        words: what the columns are called.
        tags: what the rows are called.
        at: the word and the tag whose emission moves.
        pair: the tag before and the tag after whose transition moves; one that is not forbidden.
    """
    (word, tag), (before, after) = at, pair

    def draw(emission: float, transition: float) -> Figure:
        moved, transitions = emissions.clone(), scores.transitions.clone()
        moved[word, tag] = emission
        transitions[before, after] = transition
        ours = scores._replace(transitions=transitions)
        drawn = draw_trellis(ours, moved, words, tags).get_figure(root=True)
        assert drawn is not None
        return drawn

    moving = emissions[word, tag], scores.transitions[before, after]
    first, second = (round(score.item(), 2) for score in moving)
    return Explorer(
        draw,
        emission=slider(first, -4.0, 4.0, 0.1, label=f"{words[word]} as {tags[tag]}"),
        transition=slider(second, -4.0, 4.0, 0.1, label=f"{tags[before]} before {tags[after]}"),
    )
