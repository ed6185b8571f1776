"""The suite `minimal_pairs`: is the right sentence the likelier one?

Not here: how pairs are judged and read (`evaluate/minimal_pairs.py`). Chapter 16 teaches this.
"""

from collections.abc import Sequence

import numpy as np

from llmcourse.evaluate.minimal_pairs import MinimalPair, judge_pairs, read_pairs
from llmcourse.suites.base import Asked, Figure, data_of, share
from llmcourse.suites.subject import Subject


def measure(subject: Subject, asked: Asked) -> list[Figure]:
    """The share of right pairs, all together, and of each phenomenon if there are several.

    Raises:
        UserError: no file, or a line that is no pair.
    """
    path = data_of(asked, "minimal_pairs", "pairs in BLiMP's JSON lines")
    return pair_figures(subject, read_pairs(path, asked.limit), "accuracy")


def pair_figures(subject: Subject, pairs: Sequence[MinimalPair], name: str) -> list[Figure]:
    """The figures of some pairs, the first of which is that of all."""
    found = judge_pairs(subject.scorer, subject.encode, pairs, subject.begin)
    rivals = {
        rival: judge_pairs(scorer, subject.encode, pairs, subject.begin).right
        for rival, scorer in subject.counters.items()
    }
    kinds = np.array(found.kinds)
    names = sorted(set(found.kinds))
    masks = {name: np.ones(len(kinds), dtype=bool)}
    if len(names) > 1:
        masks |= {f"  {kind}": kinds == kind for kind in names}
    return [
        share(
            label,
            found.right[mask],
            baselines={"uniform": 0.5}
            | {rival: float(right[mask].mean()) for rival, right in rivals.items()},
        )
        for label, mask in masks.items()
    ]
