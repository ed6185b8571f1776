r"""BLEU: how many of a text's n-grams stand in a reference, as words of one to four.


$\text{BLEU} = \text{BP} \cdot \exp\big(\tfrac14 \sum_{n=1}^4 \ln p_n\big)$, where $p_n$ is the
share of the n-grams that occur in a reference, each counted at most as often as there (clipping),
and the brevity penalty BP is $e^{1 - r/c}$ where the texts together have c words and the references
r > c (Papineni et al., 2002). All counts are added up over the texts before anything is divided.
Not here: characters (`chrf.py`), recall (`rouge.py`). Chapter 16 teaches this.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from llmcourse.errors import UserError, require

ORDER = 4
"""The longest n-grams that count."""

_ENTITIES = (("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"))
_SEPARATE = (
    (re.compile(r"([!-&(-+/:-@\[-`{-~])"), r" \1 "),  # signs, but for ' , - .
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # within a number a point belongs to it
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
)


def words_13a(text: str) -> list[str]:
    """The words of a text as the evaluations of WMT cut them: the rules of `mteval-v13a`."""
    text = text.replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for name, sign in _ENTITIES:
        text = text.replace(name, sign)
    text = f" {text} "
    for pattern, apart in _SEPARATE:
        text = pattern.sub(apart, text)
    return text.split()


class Bleu(NamedTuple):
    """A score and what it is made of.

    Attributes:
        score: BLEU, from 0 to 100.
        precisions: the clipped precision of each order, from 0 to 100.
        penalty: the factor for brevity, at most 1.
        length: how many words the texts have.
        reference_length: how many the references have that are nearest in length.
    """

    score: float
    precisions: tuple[float, ...]
    penalty: float
    length: int
    reference_length: int


def bleu(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    smoothing: str = "exp",
    effective_order: bool = False,
    order: int = ORDER,
    words: Callable[[str], list[str]] = words_13a,
) -> Bleu:
    """The BLEU of some texts, each beside its one or more references.

    Args:
        texts: what was written.
        references: what should have been, a list for each text.
        smoothing: what a precision of 0 counts: "none" as 0, which makes the product 0; "exp" the
            first as half a match, the next as a quarter, and so on (as `sacrebleu`).
        effective_order: leave out orders for which a text is too short; for single sentences.
        order: the longest n-grams.
        words: cuts a text into words.

    Raises:
        UserError: not as many texts as lists of references, or an unknown smoothing.
    """
    if smoothing not in ("none", "exp"):
        raise UserError(f"smoothing={smoothing!r} is unknown: none or exp")
    check_paired(texts, references)
    hits, totals = Counter[int](), Counter[int]()
    length = reference_length = 0
    for text, known in zip(texts, references, strict=True):
        said, right = words(text), [words(one) for one in known]
        length += len(said)
        # Of two that are as near the shorter one counts.
        reference_length += min(map(len, right), key=lambda n: (abs(n - len(said)), n))
        for n in range(1, order + 1):
            counts = ngrams(said, n)
            most = Counter[tuple[str, ...]]()
            for one in right:
                most |= ngrams(one, n)
            hits[n] += (counts & most).total()
            totals[n] += counts.total()
    precisions = _precisions(hits, totals, order, smoothing)
    penalty = (
        1.0
        if length >= reference_length
        else math.exp(1 - reference_length / length)
        if length
        else 0.0
    )
    used = [
        p
        for p, n in zip(precisions, range(1, order + 1), strict=True)
        if totals[n] or not effective_order
    ]
    if not hits.total() or not all(used):
        return Bleu(0.0, tuple(precisions), penalty, length, reference_length)
    mean = sum(math.log(p) for p in used) / len(used)
    return Bleu(penalty * math.exp(mean), tuple(precisions), penalty, length, reference_length)


def _precisions(
    hits: Counter[int], totals: Counter[int], order: int, smoothing: str
) -> list[float]:
    found, half = [], 1.0
    for n in range(1, order + 1):
        if hits[n] or not totals[n] or smoothing == "none":
            found.append(100 * hits[n] / totals[n] if totals[n] else 0.0)
        else:
            half /= 2
            found.append(100 * half / totals[n])
    return found


def ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs in a row of words."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def check_paired(texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse texts that do not have their references.

    Raises:
        UserError: as many lists are wanted as texts, and a reference in each.
    """
    require(
        len(texts) == len(references) > 0,
        f"{len(texts)} texts and {len(references)} lists of references: give one for each text",
    )
    for number, known in enumerate(references, 1):
        require(
            not isinstance(known, str) and len(known) > 0,
            f"text {number} needs a list of references, [text]",
        )
