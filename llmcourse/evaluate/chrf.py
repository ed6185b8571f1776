r"""chrF: n-grams of characters, so that `cats` is nearly `cat`; chrF++ counts words as well.

For each order n the precision and the recall of n-grams, averaged over the orders, and of the two
means the F-score that weighs recall $\beta$ = 2 times:
$F_\beta = (1 + \beta^2) \frac{P R}{\beta^2 P + R}$ (Popović, 2015; chrF++: Popović, 2017). Not
here: BLEU (`bleu.py`). Chapter 16 teaches this.
"""

import string
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from llmcourse.evaluate.bleu import check_paired, ngrams

CHARACTERS = 6
"""The longest n-grams of characters."""
BETA = 2.0
"""How many times recall weighs as much as precision."""


def chrf(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    word_order: int = 0,
    beta: float = BETA,
) -> float:
    """The chrF of some texts, from 0 to 100; with `word_order=2` it is chrF++.

    The counts of all texts are added up first; of several references the one counts that gives its
    text the best score. Blanks do not count.

    Raises:
        UserError: not as many texts as lists of references.
    """
    check_paired(texts, references)
    orders = CHARACTERS + word_order
    total = np.zeros((orders, 3), dtype=np.int64)
    for text, known in zip(texts, references, strict=True):
        found = [_counts(text, one, word_order) for one in known]
        total += max(found, key=lambda counts: _f_score(counts, beta))
    return _f_score(total, beta)


def _counts(text: str, reference: str, word_order: int) -> Int[np.ndarray, "orders 3"]:
    """For each order, how many n-grams text and reference have, and how many both."""
    rows = []
    pairs = [("".join(text.split()), "".join(reference.split()), n + 1) for n in range(CHARACTERS)]
    apart = _words(text), _words(reference)
    for said, right, n in [*pairs, *((*apart, n + 1) for n in range(word_order))]:
        ours, theirs = ngrams(said, n), ngrams(right, n)
        # Where a reference is too short for an order, the text is not blamed for having more.
        rows.append((ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()))
    return np.array(rows)


def _f_score(counts: Int[np.ndarray, "orders 3"], beta: float) -> float:
    used = counts[(counts[:, 0] > 0) & (counts[:, 1] > 0)]
    if not len(used) or not used[:, 2].any():
        return 0.0
    precision, recall = (float((used[:, 2] / used[:, side]).mean()) for side in (0, 1))
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _words(text: str) -> list[str]:
    """Words, with a sign at the end or at the beginning as a word of its own."""
    found: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            found += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            found += [word[0], word[1:]]
        else:
            found.append(word)
    return found
