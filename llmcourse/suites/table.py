"""Figures as a table for people, and as JSON for programs.

Not here: what was measured (`base.py`).
"""

from collections.abc import Sequence
from typing import Any

from llmcourse.evaluate.intervals import Interval
from llmcourse.evaluate.paired import Comparison, compare
from llmcourse.randomness import numpy_rng
from llmcourse.suites.base import Figure

Results = dict[str, list[Figure]]
"""The figures of each suite, by its name."""


def compared(ours: Results, theirs: Results, seed: int = 0) -> dict[tuple[str, str], Comparison]:
    """Where both models were asked the same: the difference, and how likely chance is to make it.

    A figure that is no ratio of sums, or whose things differ, is left out.
    """
    found = {}
    for suite, figures in ours.items():
        others = {figure.name: figure for figure in theirs.get(suite, [])}
        for figure in figures:
            other = others.get(figure.name)
            if other is None or figure.totals is None or other.totals is None:
                continue
            assert figure.counts is not None
            if len(figure.totals) != len(other.totals) or (figure.counts != other.counts).any():
                continue
            rng = numpy_rng(seed, "suites", "compare", suite, figure.name)
            # Counts of one each are plain answers; others weigh.
            counts = None if (figure.counts == 1).all() else figure.counts
            found[suite, figure.name] = compare(figure.totals, other.totals, rng, counts)
    return found


def table(ours: Results, comparisons: dict[tuple[str, str], Comparison] | None = None) -> str:
    """The figures in columns, with what they have to beat; with comparisons a second table."""
    rows = [["suite", "figure", "value", "95 % interval", "n", "to beat"]]
    for suite, figures in ours.items():
        for figure in figures:
            rows.append([
                suite, figure.name, number(figure.interval.value, figure.is_share),
                span(figure.interval, figure.is_share), f"{figure.n:,}", _rivals(figure),
            ])  # fmt: skip
    shown = lined_up(rows)
    if comparisons:
        known = {(s, f.name): f for s, figures in ours.items() for f in figures}
        rows = [["suite", "figure", "difference", "95 % interval", "p"]]
        for (suite, name), one in comparisons.items():
            is_share = known[suite, name].is_share
            rows.append([
                suite, name, number(one.difference.value, is_share, sign=True),
                span(one.difference, is_share), f"{one.p:.3f}" if one.p >= 0.001 else "< 0.001",
            ])  # fmt: skip
        shown += "\n\n" + lined_up(rows)
    return shown


def number(value: float, is_share: bool, *, sign: bool = False) -> str:
    """A figure as it is read: a share in per cent, others to four digits."""
    plus = "+" if sign else ""
    if is_share:
        return f"{100 * value:{plus}.1f} %"
    return f"{value:{plus}.3f}" if abs(value) < 100 else f"{value:{plus}.0f}"


def span(interval: Interval, is_share: bool) -> str:
    """The two bounds."""
    low, high = (number(bound, is_share).removesuffix(" %") for bound in interval[1:])
    return f"{low} to {high}"


def lined_up(rows: Sequence[Sequence[str]]) -> str:
    """Rows with every column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _rivals(figure: Figure) -> str:
    return ", ".join(
        f"{name} {number(value, figure.is_share)}" for name, value in figure.baselines.items()
    )


def as_json(
    ours: Results, comparisons: dict[tuple[str, str], Comparison] | None = None
) -> dict[str, Any]:
    """All figures, and the comparisons beside them."""
    found: dict[str, Any] = {
        "suites": {suite: [figure.plain() for figure in figures] for suite, figures in ours.items()}
    }
    if comparisons is not None:
        found["against"] = [
            {"suite": suite, "name": name, "difference": one.difference.value,
             "low": one.difference.low, "high": one.difference.high, "p": one.p}
            for (suite, name), one in comparisons.items()
        ]  # fmt: skip
    return found
