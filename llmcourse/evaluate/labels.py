"""Accuracy, F1 by label and their mean, and the table of who was taken for whom.

Not here: spans (`spans.py`). Chapters 11 and 16 teach this.
"""

from collections import Counter
from collections.abc import Sequence

from llmcourse.errors import require


def confusion(right: Sequence[str], said: Sequence[str]) -> Counter[tuple[str, str]]:
    """How often each right label was given each label: counts of pairs (right, said).

    Raises:
        UserError: not as many labels on both sides, or none.
    """
    require(
        len(right) == len(said), f"{len(right)} right labels and {len(said)} given ones: as many"
    )
    require(len(right) > 0, "there are no labels to compare")
    return Counter(zip(right, said, strict=True))


def accuracy(right: Sequence[str], said: Sequence[str]) -> float:
    """The share of labels that are right.

    Raises:
        UserError: as `confusion`.
    """
    counts = confusion(right, said)
    return sum(n for (a, b), n in counts.items() if a == b) / len(right)


def f1_by_label(right: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """The harmonic mean of precision and recall of each label that occurs on either side.

    Raises:
        UserError: as `confusion`.
    """
    confusion(right, said)
    there, given = Counter(right), Counter(said)
    hits = Counter(a for a, b in zip(right, said, strict=True) if a == b)
    return {
        label: 2 * hits[label] / (there[label] + given[label]) for label in sorted(there | given)
    }


def macro_f1(right: Sequence[str], said: Sequence[str]) -> float:
    """The mean of the labels' F1: a rare label counts as much as a common one.

    Raises:
        UserError: as `confusion`.
    """
    scores = f1_by_label(right, said)
    return sum(scores.values()) / len(scores)
