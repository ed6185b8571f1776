"""What is trained, and what it brings: shapes beside a matrix, marks under tokens, points on a map.

Not here: the adapters (`nn/lora.py`, `nn/soft_prompts.py`), chats and their masks
(`tokenizers/chat.py`). Chapter 13 teaches what the pictures show.
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llmcourse.errors import UserError, require
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider


def low_rank(out: int, into: int, rank: int, *, ax: Axes | None = None) -> Axes:
    """A matrix that is held still, and the two narrow ones beside it, drawn to scale.

    Raises:
        UserError: a rank below 1.
    """
    require(rank >= 1, f"rank={rank} must be at least 1: try 4")
    if ax is None:
        _, ax = style.figure(width=6.5, height=2.6)
    unit, gap = max(out, into), 0.35 * max(out, into)
    widths = {"W": (into, out), "B": (rank, out), "A": (into, rank)}
    left = 0.0
    for (name, (width, height)), sign in zip(widths.items(), ("+", "×", ""), strict=True):
        still = name == "W"
        color = style.GREYS[3] if still else style.ACCENT
        ax.add_patch(Rectangle((left, -height / 2), width, height, color=color))
        said = f"{name}, held still" if still else f"{name}, learns"
        size = f"{height} × {width}"
        ax.annotate(f"{said}\n{size}", (left + width / 2, -0.56 * unit), ha="center", va="top")
        ax.annotate(sign, (left + width + gap / 2, 0), ha="center", va="center", fontsize=14)
        left += width + gap
    ax.set(xlim=(-0.25 * unit, left), ylim=(-1.0 * unit, 0.6 * unit), aspect="equal")
    ax.axis("off")
    share = rank * (out + into) / (out * into)
    ax.set_title(f"Rank {rank}: {rank * (out + into):,} numbers learn, {share:.0%} of W's")
    return ax


def rank_explorer(out: int, into: int, rank: int = 4) -> Explorer:
    """`low_rank` with the rank as a slider, up to where nothing is saved any more."""

    def draw(rank: int) -> Figure:
        drawn, ax = style.figure(width=6.5, height=2.6)
        low_rank(out, into, rank, ax=ax)
        return drawn

    return Explorer(draw, rank=slider(rank, 1, min(out, into) // 2, 1))


def learned_tokens(
    tokens: Sequence[str], learned: Sequence[bool], *, line_begins: str = "", ax: Axes
) -> Axes:
    """Tokens in boxes; those that are paid for stand in a dark one, with a tick below.

    A token that is `line_begins` begins a new line.

    Raises:
        UserError: more or fewer marks than tokens.
    """
    if len(tokens) != len(learned):
        raise UserError(f"{len(learned)} marks for {len(tokens)} tokens: give one for each")
    left, line, widest = 0.0, 0, 0.0
    for number, (token, pays) in enumerate(zip(tokens, learned, strict=True)):
        if number and token == line_begins:
            left, line = 0.0, line + 1
        said, top = style.printable(token), -2.0 * line
        width = 1.4 + len(said)
        face = style.ACCENT if pays else style.GREYS[4]
        ax.add_patch(Rectangle((left, top), width, 1, facecolor=face, edgecolor="white", lw=2))
        ink = "white" if pays else style.GREYS[1]
        middle = left + width / 2
        ax.text(middle, top + 0.47, said, ha="center", va="center", fontsize=8, color=ink)
        if pays:
            ax.text(middle, top - 0.4, "✓", ha="center", va="center", fontsize=9)
        left += width
        widest = max(widest, left)
    ax.set(xlim=(0, widest), ylim=(-2.0 * line - 0.8, 1.1))
    ax.axis("off")
    return ax


def quality_and_size(
    points: Mapping[str, tuple[int, float]], rivals: Mapping[str, float], ax: Axes | None = None
) -> Axes:
    """How many per cent are right against how many numbers were trained, each method by name.

    Args:
        points: numbers trained, and per cent right.
        rivals: per cent right of what trains nothing, as lines.
        ax: where to draw.

    Raises:
        UserError: a method that trains nothing has no place on the axis.
    """
    if ax is None:
        _, ax = style.figure(width=7, height=3.4)
    high = 0
    for name, (n, right) in sorted(points.items(), key=lambda point: point[1][0]):
        require(n > 0, f"{name} trains nothing: leave it out, or give it as a rival")
        ax.plot([n], [right], "o", color=style.ACCENT, markersize=7)
        below = right > 85
        high += below
        down = -9 if high % 2 else -24  # names of neighbours stand on two levels
        ax.annotate(
            name, (n, right), xytext=(0, down if below else 8), textcoords="offset points",
            ha="center", va="top" if below else "bottom", fontsize=9, color=style.GREYS[0],
        )  # fmt: skip
    sizes = [n for n, _ in points.values()]
    for name, right in rivals.items():
        ax.axhline(right, color=style.GREYS[2], linestyle="--", linewidth=1)
        ax.annotate(
            name, (2 * max(sizes), right), xytext=(-2, 3), textcoords="offset points",
            ha="right", fontsize=9, color=style.GREYS[1],
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set(xlim=(min(sizes) / 2, max(sizes) * 2), ylim=(-4, 106))
    ax.set(xlabel="numbers that are trained", ylabel="right, in per cent")
    return ax
