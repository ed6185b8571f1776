"""Text augmentation: more labelled texts from few, by changes that should not change the label.

Each function makes a new list of words and leaves the old one as it is; all chance comes from the
generator that is passed in. Whether a change keeps the label depends on the task: a dropped *not*
turns an opinion round, and nobody is told. Not here: which words may stand for each other (a
lexicon is passed in), noise as a pretraining task (`objectives/denoising.py`). Chapter 11 teaches
this.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from llmcourse.errors import require

Label = TypeVar("Label")
Change = Callable[[Sequence[str], np.random.Generator], list[str]]
"""What makes another list of words from one, by chance."""


def mask_words(
    words: Sequence[str], rate: float, rng: np.random.Generator, mask: str = "[MASK]"
) -> list[str]:
    """Random masking: each word is hidden behind `mask` with probability `rate`.

    Raises:
        UserError: the rate is no probability.
    """
    _check(rate)
    hidden = rng.random(len(words)) < rate
    return [mask if hide else word for word, hide in zip(words, hidden, strict=True)]


def drop_words(words: Sequence[str], rate: float, rng: np.random.Generator) -> list[str]:
    """Word dropout: each word is left out with probability `rate`; one is always left.

    From no words at all nothing can be learned, so where all would go, one drawn at random stays
    (Iyyer et al., 2015; Wei and Zou, 2019).

    Raises:
        UserError: the rate is no probability.
    """
    _check(rate)
    stays = rng.random(len(words)) >= rate
    if len(words) and not stays.any():
        stays[rng.integers(len(words))] = True
    return [word for word, stay in zip(words, stays, strict=True) if stay]


def swap_words(words: Sequence[str], n_swaps: int, rng: np.random.Generator) -> list[str]:
    """Word swap: `n_swaps` times two places, drawn at random, exchange their words.

    Raises:
        UserError: the number of swaps is negative.
    """
    require(n_swaps >= 0, f"n_swaps={n_swaps} must be at least 0")
    swapped = list(words)
    for _ in range(n_swaps if len(swapped) > 1 else 0):
        i, j = rng.choice(len(swapped), size=2, replace=False)
        swapped[i], swapped[j] = swapped[j], swapped[i]
    return swapped


def replace_synonyms(
    words: Sequence[str],
    lexicon: Mapping[str, Sequence[str]],
    rate: float,
    rng: np.random.Generator,
) -> list[str]:
    """Synonym replacement: each word of the lexicon gives way to one of its own with `rate`.

    Punctuation behind a word stays, and the word is looked up without it (Zhang et al., 2015).

    Raises:
        UserError: the rate is no probability.
    """
    _check(rate)
    changed = []
    for word in words:
        bare = word.rstrip(".,!?;:")
        others = lexicon.get(bare, ())
        if others and rng.random() < rate:
            changed.append(others[int(rng.integers(len(others)))] + word[len(bare) :])
        else:
            changed.append(word)
    return changed


def back_translate(text: str, there: Callable[[str], str], back: Callable[[str], str]) -> str:
    """Back-translation: into another language and back, by two translators (Sennrich et al., 2016).

    A good pair keeps what is said and changes how it is said: the only way of these that makes new
    sentences. `there` and `back` may be models of the course or anything else that maps texts.
    """
    return back(there(text))


def augmented(
    texts: Sequence[str],
    labels: Sequence[Label],
    change: Change,
    n_copies: int,
    rng: np.random.Generator,
) -> tuple[list[str], list[Label]]:
    """Texts and labels with `n_copies` changed copies of each text behind the originals.

    A copy has the label of its original, and one that says what is there already is left out. To be
    used on the training split alone, after the splits were made: else a test text would have its
    copies among the training texts.

    Raises:
        UserError: not as many labels as texts, or a negative number of copies.
    """
    require(
        len(texts) == len(labels),
        f"{len(labels)} labels for {len(texts)} texts: give one for each",
    )
    require(n_copies >= 0, f"n_copies={n_copies} must be at least 0")
    # Keyed by text: a copy that says what another text says already would only count it twice.
    known = dict.fromkeys(texts)
    more, their_labels = list(texts), list(labels)
    for _ in range(n_copies):
        for text, label in zip(texts, labels, strict=True):
            copy = " ".join(change(text.split(), rng))
            if copy not in known:
                known[copy] = None
                more.append(copy)
                their_labels.append(label)
    return more, their_labels


def _check(rate: float) -> None:
    require(0 <= rate <= 1, f"rate={rate} is no probability: give one from 0 to 1")
