r"""ROUGE: how much of a reference a text says, in n-grams or in order; and exact match.

ROUGE-N counts n-grams that both have, ROUGE-L the longest common subsequence: words in the same
order, with gaps. Each gives precision, recall, and their harmonic mean F1 (Lin, 2004). Words are
runs of letters a to z and digits, in lower case, as in Google's `rouge_score`; its stemmer is left
out. Not here: BLEU (`bleu.py`). Chapter 16 teaches this.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llmcourse.errors import require
from llmcourse.evaluate.bleu import ngrams


class Rouge(NamedTuple):
    """Precision, recall and F1, from 0 to 1."""

    precision: float
    recall: float
    f1: float


def plain_words(text: str) -> list[str]:
    """The words of a text, in lower case and without signs. Letters beyond a to z divide words."""
    return re.findall(r"[a-z0-9]+", text.lower())


def rouge_n(
    text: str, reference: str, n: int, words: Callable[[str], list[str]] = plain_words
) -> Rouge:
    """ROUGE-N of one text beside one reference.

    Raises:
        UserError: n is below 1.
    """
    require(n >= 1, f"n={n} must be at least 1")
    ours, theirs = (ngrams(words(one), n) for one in (text, reference))
    return _rouge((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(text: str, reference: str, words: Callable[[str], list[str]] = plain_words) -> Rouge:
    """ROUGE-L of one text beside one reference."""
    ours, theirs = words(text), words(reference)
    return _rouge(longest_common_subsequence(ours, theirs), len(ours), len(theirs))


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    r"""The length of the longest row of words that stands in both, in order, gaps allowed.

    $L_{ij}$ is that of the first i words of a and the first j of b:
    $L_{i-1,j-1} + 1$ where their last words are equal, else $\max(L_{i-1,j}, L_{i,j-1})$.
    """
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for j, other in enumerate(b, 1):
            row.append(above[j - 1] + 1 if word == other else max(above[j], row[-1]))
        above = row
    return above[-1]


def _rouge(both: int, ours: int, theirs: int) -> Rouge:
    precision, recall = (both / n if n else 0.0 for n in (ours, theirs))
    f1 = 2 * both / (ours + theirs) if both else 0.0
    return Rouge(precision, recall, f1)


_SIGNS = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """An answer without case, signs, articles and spare blanks, as SQuAD compares it."""
    text = text.lower().translate(_SIGNS)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether an answer is one of the right ones, but for case, signs, articles and blanks."""
    return normalise_answer(answer) in {normalise_answer(one) for one in references}


def word_f1(answer: str, references: Sequence[str]) -> float:
    """The best F1 of an answer's words beside one of the right answers (Rajpurkar et al., 2016)."""
    ours = normalise_answer(answer).split()
    found = [0.0]
    for reference in references:
        theirs = normalise_answer(reference).split()
        if not ours or not theirs:
            found.append(float(ours == theirs))
            continue
        both = (Counter(ours) & Counter(theirs)).total()
        found.append(2 * both / (len(ours) + len(theirs)))
    return max(found)
