"""Minimal pairs: two sentences that differ in one point, of which one is right.

Whoever knows the rule finds the right one likelier. Nothing is asked and nothing is written, so a
model that was never trained to answer can be examined (BLiMP; Warstadt et al., 2020). A tie is no
knowledge: it counts as wrong. Not here: how a text is scored (`scoring.py`), pairs about tinytown
(`tinytown_exam.py`). Chapter 16 teaches this.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from llmcourse.data.reading import Reading
from llmcourse.data.tables import json_line_rows
from llmcourse.errors import UserError, require
from llmcourse.evaluate.intervals import Interval, wilson
from llmcourse.evaluate.scoring import Scorer, continuation, log_probs_of

TIE = 1e-9
"""Nats. Sums of the same numbers in another order differ by less."""


class MinimalPair(NamedTuple):
    """A right sentence and a wrong one, and the name of the phenomenon that they ask about."""

    good: str
    bad: str
    kind: str


class PairResult(NamedTuple):
    """Which pairs a model gets right.

    Attributes:
        right: for each pair, whether the right sentence was the likelier one.
        kinds: the phenomenon of each.
    """

    right: Bool[np.ndarray, " N"]
    kinds: tuple[str, ...]

    @property
    def accuracy(self) -> Interval:
        """The share of right ones, with its interval."""
        return wilson(int(self.right.sum()), len(self.right))

    @property
    def by_kind(self) -> dict[str, Interval]:
        """The same for each phenomenon, by name."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, kind in enumerate(self.kinds):
            places[kind].append(place)
        return {
            kind: wilson(int(self.right[found].sum()), len(found))
            for kind, found in sorted(places.items())
        }


def judge_pairs(
    scorer: Scorer,
    encode: Callable[[str], list[int]],
    pairs: Sequence[MinimalPair],
    begin: int,
) -> PairResult:
    """Score both sentences of each pair, as whole texts.

    The sum of the log-probabilities counts, not their mean: the sentences are compared as they are
    (so BLiMP and `lm_eval` do it).

    Raises:
        UserError: there are no pairs, or a sentence is longer than the model reads.
    """
    require(len(pairs) > 0, "there are no pairs to judge")
    wanted = [
        continuation(encode, "", text, begin) for pair in pairs for text in (pair.good, pair.bad)
    ]
    totals = np.array([log_probs.sum() for log_probs in log_probs_of(scorer, wanted)])
    return PairResult(totals[0::2] - totals[1::2] > TIE, tuple(pair.kind for pair in pairs))


def read_pairs(path: Path, limit: int | None = None) -> list[MinimalPair]:
    """The pairs in a file of BLiMP's format, or in all such files of a folder.

    Lines of JSON with `sentence_good` and `sentence_bad`; `UID` names the phenomenon, or else the
    file's name does. At most `limit` pairs of each phenomenon, the first ones.

    Raises:
        UserError: a line is no such pair (the message names file and line), or there is none.
    """
    files = sorted(path.glob("*.jsonl*")) if path.is_dir() else [path]
    require(path.exists(), f"there is no file or folder {path}")
    taken: defaultdict[str, list[MinimalPair]] = defaultdict(list)
    for file in files:
        for pair in _pairs_in(file):
            if limit is None or len(taken[pair.kind]) < limit:
                taken[pair.kind].append(pair)
    found = [pair for pairs in taken.values() for pair in pairs]
    require(bool(found), f"{path} holds no pairs: it takes lines of JSON, in files *.jsonl")
    return found


def _pairs_in(file: Path) -> Iterator[MinimalPair]:
    for where, row in json_line_rows(file, Reading()):
        texts = [row.get(name) for name in ("sentence_good", "sentence_bad")]
        for name, text in zip(("sentence_good", "sentence_bad"), texts, strict=True):
            if not isinstance(text, str) or not text.strip():
                line = where.rpartition(":")[2]
                raise UserError(f"{file}, line {line}: {name} is missing or no text")
        stem = file.name.partition(".jsonl")[0]
        yield MinimalPair(str(texts[0]), str(texts[1]), str(row.get("UID", stem)))
