"""Naive Bayes on a bag of words: the rival that every text classifier has to beat.

Multinomial, with counts smoothed by one (Manning, Raghavan and Schütze, 2008, chapter 13). A minute
of counting, no order, no training. Not here: what models make of order. Chapter 11 teaches this.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence


class NaiveBayes:
    """Labels texts by their words: the largest `log p(label) + sum of log p(word | label)` wins."""

    def __init__(self, examples: Sequence[tuple[str, str]]) -> None:
        """Count texts and words by label; `examples` are pairs of a text and its label."""
        self.texts = Counter(label for _, label in examples)
        self.words: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for text, label in examples:
            self.words[label].update(words_of(text))
        self.vocabulary = {word for counts in self.words.values() for word in counts}
        self.sizes = {
            label: sum(self.words[label].values()) + len(self.vocabulary) for label in self.texts
        }

    def score(self, text: str, label: str) -> float:
        """The log-probability of text and label together, up to a constant, in nats."""
        known = [word for word in words_of(text) if word in self.vocabulary]
        counts, size = self.words[label], self.sizes[label]
        return math.log(self.texts[label]) + sum(
            math.log((counts[word] + 1) / size) for word in known
        )

    def label(self, text: str) -> str:
        """The likeliest label; of equals the first by name."""
        return max(sorted(self.texts), key=lambda label: self.score(text, label))


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; of scripts without spaces, the letters."""
    return re.findall(r"[\u2e80-\u9fff]|[^\W\u2e80-\u9fff]+(?:['’]\w+)*", text.casefold())
