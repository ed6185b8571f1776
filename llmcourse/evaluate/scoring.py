"""Log-probabilities of given tokens, from any model that reads from left to right.

Everything that is measured by likelihood stands on one question: how likely is each token of a row,
given those before it? A scorer answers it, a neural model and an n-gram of counts alike. Not here:
what is made of the answers (`texts.py`, `minimal_pairs.py`, `choices.py`). Chapter 16 teaches this.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float

from llmcourse.errors import require
from llmcourse.models.base import Model
from llmcourse.models.ngram import NGram

LOGITS_AT_ONCE = 1 << 24
"""How many numbers a batch of logits may have, B T V together."""

Ids = Sequence[int]
LogProbs = Float[np.ndarray, " T"]


@runtime_checkable
class Scorer(Protocol):
    """Scorer: says how likely each token of a row is, given those before it.

    Attributes:
        longest: how many tokens a row may have at the most; None for any number.
    """

    longest: int | None

    def __call__(self, rows: Sequence[Ids]) -> list[LogProbs]:
        """The log-probability of each token of a row but its first, in nats, for every row."""
        ...


class ModelScorer:
    """The scorer of a causal model. Rows are padded on the right, which no token can see."""

    def __init__(self, model: Model, context_length: int | None = None) -> None:
        """Score with a model as it is, in at most `context_length` places, its own unless given."""
        self.model = model
        length = context_length or int(model.config.context_length)
        # The last token of a row is predicted and not read, so a row may have one more.
        self.longest: int | None = length + 1

    @torch.no_grad()
    def __call__(self, rows: Sequence[Ids]) -> list[LogProbs]:
        """See `Scorer`; the model's mode is put back afterwards.

        Raises:
            UserError: a row is longer than the model's context and one token.
        """
        assert self.longest is not None
        most = max(map(len, rows), default=0)
        require(most <= self.longest, f"a row has {most} tokens, and may have {self.longest}")
        found: list[LogProbs] = [np.zeros(0)] * len(rows)
        training = self.model.training
        self.model.eval()
        try:
            for part in self._batches(rows):
                for place, log_probs in zip(
                    part, self._batch([rows[p] for p in part]), strict=True
                ):
                    found[place] = log_probs
        finally:
            self.model.train(training)
        return found

    def _batches(self, rows: Sequence[Ids]) -> list[list[int]]:
        """Places of rows of about one length, as many together as the logits have room for."""
        vocab_size = int(self.model.config.vocab_size)
        batches: list[list[int]] = []
        for place in sorted(
            (p for p, row in enumerate(rows) if len(row) > 1), key=lambda p: len(rows[p])
        ):
            wide = len(rows[place]) * vocab_size
            if not batches or (len(batches[-1]) + 1) * wide > LOGITS_AT_ONCE:
                batches.append([])
            batches[-1].append(place)
        return batches

    def _batch(self, rows: Sequence[Ids]) -> list[LogProbs]:
        device = next(self.model.parameters()).device
        padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for number, row in enumerate(rows):
            padded[number, : len(row)] = torch.as_tensor(row, dtype=torch.long)
        padded = padded.to(device)
        logits = self.model(padded[:, :-1]).logits.float()
        nats = F.cross_entropy(logits.mT, padded[:, 1:], reduction="none").double().cpu().numpy()
        return [-nats[number, : len(row) - 1] for number, row in enumerate(rows)]


class NGramScorer:
    """The scorer of a model of counts: any length, and no batch of logits."""

    def __init__(self, model: NGram) -> None:
        self.model = model
        self.longest: int | None = None

    def __call__(self, rows: Sequence[Ids]) -> list[LogProbs]:
        """See `Scorer`."""
        return [
            self.model.token_log_probabilities(torch.as_tensor(row, dtype=torch.long)[None])[0]
            .double()
            .numpy()
            if len(row) > 1
            else np.zeros(0)
            for row in rows
        ]


class Continuation(NamedTuple):
    """What is scored, and what stands before it.

    Attributes:
        context: tokens that are read; at least one.
        ids: the tokens that are scored.
    """

    context: tuple[int, ...]
    ids: tuple[int, ...]


def continuation(
    encode: Callable[[str], list[int]], context: str, text: str, begin: int
) -> Continuation:
    """A text that goes on from a context, in tokens.

    Both are encoded together, because a token may cross the border: what is scored are the tokens
    behind those of the context alone. Blanks at the context's end belong to the continuation, as
    words begin with their blank. Without a context, the token `begin` is read.

    Raises:
        UserError: there is no text.
    """
    require(bool(text), "there is nothing to score: give a text")
    kept = context.rstrip()
    text, context = context[len(kept) :] + text, kept
    if not context:
        return Continuation((begin,), tuple(encode(text)))
    before = encode(context)
    return Continuation(tuple(before), tuple(encode(context + text)[len(before) :]))


def log_probs_of(scorer: Scorer, wanted: Sequence[Continuation]) -> list[LogProbs]:
    """The log-probability of each scored token. Of a long context its end is read.

    Raises:
        UserError: a text is longer than the scorer's rows.
    """
    rows = []
    for number, one in enumerate(wanted, 1):
        row = (*one.context, *one.ids)
        if scorer.longest is not None:
            require(
                len(one.ids) < scorer.longest,
                f"text {number} has {len(one.ids)} tokens to score, and the model reads "
                f"{scorer.longest - 1}: take a shorter one",
            )
            row = row[-scorer.longest :]
        rows.append(row)
    found = scorer(rows)
    return [
        log_probs[len(log_probs) - len(one.ids) :]
        for one, log_probs in zip(wanted, found, strict=True)
    ]
