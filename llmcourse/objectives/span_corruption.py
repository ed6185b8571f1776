"""Span corruption, T5's objective: spans are cut out, and the model writes those alone.

Raffel et al., 2020. Not here: BART's objective, which asks for the whole text
(`text_infilling.py`), and the model (`models/encoder_decoder.py`). Chapter 07 teaches this.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.objectives.base import Batch, LossSum, Objective, behind, token_loss
from llmcourse.objectives.denoising import check_noise, shift_right
from llmcourse.objectives.vocabulary import Vocabulary


class SpanCounts(NamedTuple):
    """Counts of tokens and spans that a row of a given length loses.

    Attributes:
        hidden: how many tokens.
        spans: in how many spans.
        source: how long the rest is, with a sentinel in the place of each span.
        target: how long the answer is: each span behind its sentinel, and a last sentinel.
    """

    hidden: int
    spans: int
    source: int
    target: int


def span_counts(length: int, mask_rate: float, mean_span: float) -> SpanCounts:
    """Counts for rows of so many tokens (at least 2): the same for all rows of that length."""
    # Something is hidden and something left, and each span has text before it to be told apart by.
    hidden = min(max(round(length * mask_rate), 1), length - 1)
    spans = min(max(round(hidden / mean_span), 1), length - hidden)
    return SpanCounts(hidden, spans, source=length - hidden + spans, target=hidden + spans + 1)


class SpanCorruption(Objective):
    """Span corruption, T5's task: spans are cut out, and the model says what stood there.

        text     Thank you for inviting me to your party
        source   Thank you <extra_0> me to <extra_1>
        target   <extra_0> for inviting <extra_1> your party <extra_2>

    All rows lose as many tokens in as many spans, so nothing has to be padded, and the decoder
    writes about a fifth of what it would write to repeat the text (Raffel et al., 2020, section
    3.1.4). As in the authors' code a row begins with text and ends with a span. A special token in
    a span is cut out and asked for like any other.

    Args:
        vocabulary: the tokens.
        context_length: how many tokens the model sees at once, on each side.
        mask_rate: the fraction of tokens that is cut out.
        mean_span: how many tokens a span has on average.

    Attributes:
        special_tokens: the sentinels, one more than a row has spans.

    Raises:
        UserError: a rate or span that cannot be, or a context too short for any.
    """

    scores_text = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        context_length: int,
        mask_rate: float = 0.15,
        mean_span: float = 3.0,
    ) -> None:
        check_noise(mask_rate, mean_span)
        self.vocabulary = vocabulary
        self.mask_rate = mask_rate
        self.mean_span = mean_span
        self.longest = self.window(context_length)
        n_sentinels = span_counts(self.longest, mask_rate, mean_span).spans + 1
        self.special_tokens = tuple(f"<extra_{index}>" for index in range(n_sentinels))

    def window(self, context_length: int) -> int:
        """The most tokens whose source and target both fit into `context_length`.

        Raises:
            UserError: not even two tokens do.
        """
        # Together, source and target are longer than the row.
        for length in range(2 * context_length, 1, -1):
            counts = span_counts(length, self.mask_rate, self.mean_span)
            if max(counts.source, counts.target) <= context_length:
                return length
        raise UserError(
            f"context_length={context_length} is too short for any span and its sentinels: "
            "give at least 3"
        )

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator) -> Batch:
        """Cut spans out of each row.

        The encoder reads `extras["source"]`. The decoder writes `targets`, and reads them one place
        later, behind the vocabulary's `blank_id`, as `ids`.

        Raises:
            UserError: rows that are longer than the context allows, or of a single token.
        """
        if not 2 <= tokens.size(1) <= self.longest:
            raise UserError(
                f"rows of {tokens.size(1)} tokens cannot be prepared: give 2 to {self.longest}"
            )
        counts = span_counts(tokens.size(1), self.mask_rate, self.mean_span)
        hidden = spans_to_hide(tokens.size(0), tokens.size(1), counts, rng)
        first = self.vocabulary.size
        # A row begins with text, so the span behind the i-th stretch of text is the i-th span.
        asked = replace_runs(tokens, ~hidden, first)
        last = torch.full_like(tokens[:, :1], first + counts.spans)
        targets = torch.cat([asked, last], dim=1)
        return Batch(
            ids=shift_right(targets, self.vocabulary.blank_id),
            targets=targets,
            extras={"source": replace_runs(tokens, hidden, first)},
        )

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the spans and their sentinels."""
        return token_loss(output.logits, batch.targets)

    def text_logits(
        self, model: Any, rows: Int[Tensor, "B T"], start_id: int
    ) -> Float[Tensor, "B T V"]:
        """What is written for a source that is one sentinel, behind that: the span is the text."""
        sentinel = self.vocabulary.size
        source = torch.full_like(rows[:, :1], sentinel)
        return model(source, shift_right(behind(sentinel, rows), start_id)).logits[:, 1:]


def spans_to_hide(
    n_rows: int, length: int, counts: SpanCounts, rng: np.random.Generator
) -> Bool[Tensor, "B N"]:
    """Which tokens to cut out: text, span, text, span, ..., in pieces whose lengths are drawn.

    Every way to divide the text, and the spans, into so many pieces is as likely as any other.
    """
    text = pieces(n_rows, length - counts.hidden, counts.spans, rng)
    spans = pieces(n_rows, counts.hidden, counts.spans, rng)
    ends = torch.stack([text, spans], dim=2).flatten(1).cumsum(dim=1)  # B 2R
    # Pieces 0, 2, 4, ... are text, 1, 3, 5, ... spans.
    piece = torch.searchsorted(ends, torch.arange(length).repeat(n_rows, 1), right=True)
    return piece % 2 == 1


def pieces(n_rows: int, length: int, n_pieces: int, rng: np.random.Generator) -> Tensor:
    """Lengths of at least 1 that add up to `length`, drawn evenly: one row for each text.

    `n_pieces - 1` of the `length - 1` places between two tokens are cut.
    """
    # The first n - 1 of a random order of the places: a draw without replacement, row by row.
    cuts = rng.random((n_rows, length - 1)).argsort(axis=1)[:, : n_pieces - 1] + 1
    edges = np.sort(np.pad(cuts, ((0, 0), (1, 1)), constant_values=(0, length)), axis=1)
    return torch.from_numpy(np.diff(edges, axis=1))


def replace_runs(
    tokens: Int[Tensor, "B N"], hidden: Bool[Tensor, "B N"], first_sentinel: int
) -> Int[Tensor, "B M"]:
    """Put one sentinel in the place of each run of hidden tokens, counted up within a row.

    The rows have to shrink by the same number of tokens.
    """
    # A run begins at a hidden token behind one that is not; the sum so far numbers the runs.
    begins = hidden.clone()
    begins[:, 1:] &= ~hidden[:, :-1]
    sentinels = first_sentinel + begins.cumsum(dim=1) - 1
    return torch.where(begins, sentinels, tokens)[~hidden | begins].unflatten(
        0, (tokens.size(0), -1)
    )


def fill_in(source: list[int], target: list[int], first_sentinel: int) -> list[int]:
    """Text that a source and an answer to it make together: the inverse of the corruption.

    A span that the answer lacks stays open: its sentinel stands where it belongs.
    """
    spans: dict[int, list[int]] = {}
    current: list[int] = []
    for token in target:
        if token >= first_sentinel:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [token for place in source for token in spans.get(place, [place])]
