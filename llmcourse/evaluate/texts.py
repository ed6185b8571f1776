"""Perplexity and bits per byte of a long text: windows, their stride, and how much each token sees.

A model reads at most `context_length` tokens, so a long text is cut into windows. With windows side
by side the first tokens of each are predicted from next to nothing. Overlapping windows score only
what is new in each: a smaller stride gives every token more context, and costs more passes. Not
here: windows in training (`data/windows.py`), the figures' sums (`perplexity.py`). Chapter 16
teaches this.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from llmcourse.errors import require
from llmcourse.evaluate.perplexity import Score
from llmcourse.evaluate.scoring import Ids, LogProbs, Scorer
from llmcourse.tokenizers.base import Tokenizer

PASSAGE = 1024
"""Bytes. A text is drawn again in passages of this length, where its interval is asked for."""


class Window(NamedTuple):
    """A stretch of a text that is read at once, from `start` to before `end`.

    The tokens from `new` on are scored; those before them are read alone.
    """

    start: int
    new: int
    end: int


def windows(n_tokens: int, longest: int | None, stride: int) -> Iterator[Window]:
    """The windows in which the tokens 1, 2, ... of a text are scored once each; 0 is only read.

    A window has at most `longest` tokens, and all but the first score `stride` of them (the last
    one what is left).

    Raises:
        UserError: a stride below 1, or one that would leave tokens without any context.
    """
    longest = n_tokens if longest is None else longest
    require(
        1 <= stride < max(longest, 2),
        f"a stride of {stride} must be at least 1 and below the {longest} tokens of a window",
    )
    end = min(longest, n_tokens)
    yield Window(0, 1, end)
    while end < n_tokens:
        new, end = end, min(end + stride, n_tokens)
        yield Window(max(0, end - longest), new, end)


def text_log_probs(scorer: Scorer, ids: Ids, begin: int, stride: int | None = None) -> LogProbs:
    """The log-probability of each token of a text, however long it is; `begin` is read before it.

    Args:
        scorer: reads so many tokens at once.
        ids: the text.
        begin: the token that stands before every text, the end of the one before.
        stride: how many tokens each further window scores; half of what it holds unless given.

    Raises:
        UserError: the stride is too small or too large.
    """
    row = (begin, *ids)
    longest = scorer.longest or len(row)
    cut = list(windows(len(row), scorer.longest, stride or max(1, (longest - 1) // 2)))
    found = scorer([row[window.start : window.end] for window in cut])
    scored = [
        log_probs[len(log_probs) - (window.end - window.new) :]
        for window, log_probs in zip(cut, found, strict=True)
        if window.end > window.new
    ]
    return np.concatenate(scored) if scored else np.zeros(0)


class Measured(NamedTuple):
    """A text's figures by passages, which do not hang on the tokenizer.

    Attributes:
        bits: what each passage costs.
        bytes: how long each is.
        tokens: how many tokens were scored, all passages together.
    """

    bits: Float[np.ndarray, " N"]
    bytes: Int[np.ndarray, " N"]
    tokens: int

    @property
    def score(self) -> Score:
        """The sums, from which perplexity and bits per byte follow."""
        return Score(
            nats=float(self.bits.sum() * math.log(2)),
            tokens=self.tokens,
            bytes=int(self.bytes.sum()),
        )


def measure_texts(
    scorer: Scorer,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    stride: int | None = None,
    passage: int = PASSAGE,
) -> Measured:
    """What texts cost, in passages of so many bytes. The end of a text is not asked for.

    A token counts for the passage in which its first byte lies, so that two models can be compared
    passage by passage whatever their tokens are.

    Raises:
        UserError: there is no text.
    """
    bits: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    n_tokens = 0
    for text in texts:
        ids = tokenizer.encode(text)
        if not ids:
            continue
        log_probs = text_log_probs(scorer, ids, tokenizer.eot_id, stride)
        widths = np.array([len(tokenizer.token_bytes(token)) for token in ids])
        where = (np.cumsum(widths) - widths) // passage
        total = int(widths.sum())
        n = math.ceil(total / passage)
        bits.append(np.bincount(where, -log_probs / math.log(2), minlength=n)[:n])
        size = np.full(n, passage)
        size[-1] = total - (n - 1) * passage
        sizes.append(size)
        n_tokens += len(ids)
    require(n_tokens > 0, "there is no text to score: give some")
    return Measured(np.concatenate(bits), np.concatenate(sizes), n_tokens)
