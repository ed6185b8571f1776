"""Contamination: does the exam stand in the training text?

A question that a model has read with its answer measures memory. Long n-grams betray it: two texts
share thirteen words in a row by copying, hardly ever by chance (GPT-3's filter; Brown et al.,
2020). The training text is read once, and only n-grams of the exam are remembered, so its size does
not matter. Not here: removing duplicates from training text (`cleaning/dedup.py`). Chapter 16
teaches this.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from llmcourse.errors import require

N = 13
"""How many words in a row are hardly ever the same by chance."""


class Overlap(NamedTuple):
    """How much of an exam's question stands in the training text.

    Attributes:
        seen: how many of its n-grams were found.
        total: how many it has.
        sources: the numbers of the first training texts that hold some of them.
    """

    seen: int
    total: int
    sources: tuple[int, ...]

    @property
    def share(self) -> float:
        """The share of its n-grams that were found."""
        return self.seen / self.total if self.total else 0.0

    @property
    def is_contaminated(self) -> bool:
        """Whether any n-gram was found."""
        return self.seen > 0


MOST_SOURCES = 5
"""How many training texts are named for a question."""


def exam_words(text: str) -> list[str]:
    """The words of a text without case and signs; a character of Chinese or Japanese is a word."""
    return re.findall(r"[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+", text.casefold())


def find_overlaps(exam: Sequence[str], training: Iterable[str], n: int = N) -> list[Overlap]:
    """For each text of the exam, how many of its n-grams the training texts hold.

    A text of fewer than n words counts as one n-gram of all its words. Different n-grams of a
    text are counted once each.

    Raises:
        UserError: n is below 1, or the exam is empty.
    """
    require(n >= 1, f"n={n} must be at least 1")
    require(len(exam) > 0, "there is no exam to look for")
    wanted = [distinct_ngrams(exam_words(text), n) for text in exam]
    askers: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, grams in enumerate(wanted):
        for gram in grams:
            askers[gram].append(number)
    lengths = sorted({len(gram) for gram in askers})
    seen: list[set[tuple[str, ...]]] = [set() for _ in exam]
    sources: list[list[int]] = [[] for _ in exam]
    for source, text in enumerate(training):
        words = exam_words(text)
        for length in lengths:
            for start in range(len(words) - length + 1):
                gram = tuple(words[start : start + length])
                for number in askers.get(gram, ()):
                    seen[number].add(gram)
                    found = sources[number]
                    if len(found) < MOST_SOURCES and source not in found[-1:]:
                        found.append(source)
    return [
        Overlap(len(s), len(w), tuple(where))
        for s, w, where in zip(seen, wanted, sources, strict=True)
    ]


def distinct_ngrams(words: Sequence[str], n: int) -> set[tuple[str, ...]]:
    """The different n-grams of a text; of fewer than n words one, all of them."""
    if not words:
        return set()
    n = min(n, len(words))
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}
