"""The suite `text`: bits per byte and perplexity of a text.

Not here: windows and passages (`evaluate/texts.py`). Chapter 16 teaches this.
"""

import math
from pathlib import Path

import numpy as np

from llmcourse.data.local import read
from llmcourse.errors import require
from llmcourse.evaluate.scoring import Scorer
from llmcourse.evaluate.texts import Measured, measure_texts
from llmcourse.randomness import numpy_rng
from llmcourse.suites.base import Asked, Figure, ratio
from llmcourse.suites.subject import Subject
from llmcourse.tokenizers.base import to_bytes


def measure(subject: Subject, asked: Asked) -> list[Figure]:
    """The figures of a file or folder, or of the run's own held-out text.

    Raises:
        UserError: there is no text, or the run kept none.
    """
    whole = _held_out(subject) if asked.data is None else _texts(asked.data)
    texts = _limited(whole, asked.limit, numpy_rng(asked.seed, "suites", "texts"))
    found = measure_texts(subject.scorer, subject.tokenizer, texts, asked.stride)
    rivals = {"uniform": _uniform(subject, found)} | {
        name: _bits_per_byte(scorer, subject, texts) for name, scorer in subject.counters.items()
    }
    bits = ratio(
        "bits per byte", found.bits, found.bytes, asked.seed,
        lower_is_better=True, baselines=rivals,
    )  # fmt: skip
    # Perplexity is about the model's own tokens: it has no meaning beside another tokenizer's.
    per_token = math.log(2) * found.score.bytes / found.tokens
    perplexity = Figure(
        name="perplexity (own tokens)",
        interval=type(bits.interval)(*(_exp(value * per_token) for value in bits.interval)),
        n=bits.n,
        is_share=False,
        lower_is_better=True,
        baselines={name: _exp(value * per_token) for name, value in rivals.items()},
    )
    return [bits, perplexity]


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


def _texts(path: Path) -> list[str]:
    require(path.exists(), f"there is no file or folder {path}")
    return [document.text for document in read(path)]


def _held_out(subject: Subject) -> list[str]:
    """The documents of the run's validation text, decoded."""
    tokens = subject.tokens("valid")
    require(
        tokens is not None,
        f"{subject.folder} keeps no held-out text: name one (--data text=FILE)",
    )
    assert tokens is not None
    ids = np.asarray(tokens, dtype=np.int64)
    cuts = np.flatnonzero(ids == subject.begin)
    return [subject.tokenizer.decode(part.tolist()) for part in np.split(ids, cuts)]


def _limited(texts: list[str], kilobytes: int | None, rng: np.random.Generator) -> list[str]:
    """Texts drawn at random, up to so many kilobytes together; the first ones may be one book."""
    if kilobytes is None:
        return texts
    kept, left = [], 1000 * kilobytes
    for text in (texts[place] for place in rng.permutation(len(texts))):
        if left <= 0:
            break
        kept.append(to_bytes(text)[:left].decode("utf-8", "ignore"))
        left -= len(to_bytes(text))
    return kept


def _uniform(subject: Subject, found: Measured) -> float:
    return found.tokens * math.log2(subject.tokenizer.vocab_size) / found.score.bytes


def _bits_per_byte(scorer: Scorer, subject: Subject, texts: list[str]) -> float:
    return measure_texts(scorer, subject.tokenizer, texts).score.bits_per_byte
