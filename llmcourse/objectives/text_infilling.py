"""Text infilling, BART's objective: a text is damaged, and the model writes all of it again.

Lewis et al., 2019. The paper's five kinds of noise are functions of their own; `TextInfilling` uses
the two that served best. Not here: T5's objective, which asks for what was cut out alone
(`span_corruption.py`), and the model (`models/encoder_decoder.py`). Chapter 07 teaches this.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.models.base import Output
from llmcourse.nn import masks
from llmcourse.objectives.base import Batch, LossSum, Objective, token_loss
from llmcourse.objectives.denoising import check_noise, shift_right
from llmcourse.objectives.vocabulary import Vocabulary


class TextInfilling(Objective):
    """Text infilling, BART's task: restore spans, hidden behind one `[MASK]` each, and order.

        text     It rains . We stay in bed .
        source   We [MASK] . It [MASK] rains .
        target   It rains . We stay in bed .

    How long a span was, and whether there was one, is for the model to find out. Documents that
    share a row are damaged each by itself; special tokens stay where they are.

    Args:
        vocabulary: the tokens.
        mask_rate: the fraction of tokens that is hidden.
        mean_span: how many tokens a span has on average, lambda.
        permute: whether the sentences of a document are shuffled, too.

    Raises:
        UserError: a rate or span that cannot be.
    """

    special_tokens = ("[MASK]",)
    scores_text = True

    def __init__(
        self,
        vocabulary: Vocabulary,
        mask_rate: float = 0.3,
        mean_span: float = 3.0,
        permute: bool = True,
    ) -> None:
        check_noise(mask_rate, mean_span)
        self.vocabulary = vocabulary
        self.mask_rate = mask_rate
        self.mean_span = mean_span
        self.permute = permute

    def prepare(self, tokens: Int[Tensor, "B T"], rng: np.random.Generator) -> Batch:
        """Damage each row.

        The encoder reads `extras["source"]`, as wide as the text, and padded behind what
        `extras["source_mask"]` shows. The decoder writes the text, and reads it one place later,
        behind the vocabulary's `blank_id`, as `ids`.
        """
        blank = self.vocabulary.blank_id
        source = torch.full_like(tokens, blank)
        lengths = torch.zeros(tokens.size(0), dtype=torch.long)
        for index, row in enumerate(tokens):
            damaged = self.damage(row, rng)
            source[index, : len(damaged)] = damaged
            lengths[index] = len(damaged)
        return Batch(
            ids=shift_right(tokens, blank),  # the whole text, unlike T5's spans alone
            targets=tokens,
            extras={"source": source, "source_mask": masks.padding(lengths, tokens.size(1))},
        )

    def damage(self, row: Int[Tensor, " T"], rng: np.random.Generator) -> Int[Tensor, " S"]:
        """Shuffle and hide, between one special token and the next. It never gets longer."""
        # Special tokens end documents: nothing is moved across one, nor is it hidden.
        special = torch.nonzero(~self.vocabulary.is_text(row[None])[0]).flatten().tolist()
        sentence_ends = self.vocabulary.sentence_ends(row[None])[0]
        parts, start = [], 0
        for end in [*special, len(row)]:
            document = row[start:end]
            if self.permute:
                document = permute_sentences(document, sentence_ends[start:end], rng)
            mask_id = self.vocabulary.size
            damaged = infill(document, mask_id, self.mask_rate, self.mean_span, rng)
            parts += [damaged, row[end : end + 1]]
            start = end + 1
        return torch.cat(parts)

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the whole text."""
        return token_loss(output.logits, batch.targets)

    def text_logits(
        self, model: Any, rows: Int[Tensor, "B T"], start_id: int
    ) -> Float[Tensor, "B T V"]:
        """What is written for a source that is one `[MASK]`: the gap is the text."""
        source = torch.full_like(rows[:, :1], self.vocabulary.size)
        return model(source, shift_right(rows, start_id)).logits


def mask_tokens(
    row: Int[Tensor, " T"], mask_id: int, mask_rate: float, rng: np.random.Generator
) -> Int[Tensor, " T"]:
    """Token masking: each token gives way to a `[MASK]` by chance, as in BERT."""
    return torch.where(torch.from_numpy(rng.random(len(row)) < mask_rate), mask_id, row)


def delete_tokens(
    row: Int[Tensor, " T"], delete_rate: float, rng: np.random.Generator
) -> Int[Tensor, " S"]:
    """Token deletion: each token goes by chance, and leaves nothing to say where it stood."""
    return row[torch.from_numpy(rng.random(len(row)) >= delete_rate)]


def infill(
    row: Int[Tensor, " T"],
    mask_id: int,
    mask_rate: float,
    mean_span: float,
    rng: np.random.Generator,
) -> Int[Tensor, " S"]:
    """Text infilling: each span, its length drawn from Poisson(mean_span), becomes one `[MASK]`.

    A span of no tokens puts a `[MASK]` where nothing was. Spans are drawn until they hold their
    fraction of the tokens (rounded by chance, so that it is `mask_rate` on average); the last one
    is cut to fit. Then spans and the tokens left standing are put in order, each way as likely as
    any other. Of very short rows, empty spans that would make them longer are left out.
    """
    budget = int(mask_rate * len(row) + rng.random())
    spans = rng.poisson(mean_span, size=budget)
    # Keep as many as it takes to hold the budget, and cut the last one to fit it exactly.
    spans = spans[: np.searchsorted(spans.cumsum(), budget) + 1]
    spans[-1:] -= max(0, spans.sum() - budget)
    # Each empty span adds a [MASK]: drop those that would make the row longer than it was.
    spans = np.delete(spans, np.flatnonzero(spans == 0)[: max(0, len(spans) - spans.sum())])
    # Each span is one item, and so is each token left; which items are spans is drawn evenly.
    n_items = len(row) - spans.sum() + len(spans)
    is_span = np.zeros(n_items, dtype=bool)
    is_span[rng.permutation(n_items)[: len(spans)]] = True
    widths = np.ones(n_items, dtype=np.int64)
    widths[is_span] = rng.permutation(spans)
    starts = np.minimum(widths.cumsum() - widths, len(row) - 1)  # an empty last span starts nowhere
    return torch.where(torch.from_numpy(is_span), mask_id, row[torch.from_numpy(starts)])


def permute_sentences(
    row: Int[Tensor, " T"], ends_sentence: Bool[Tensor, " T"], rng: np.random.Generator
) -> Int[Tensor, " T"]:
    """Sentence permutation: cut behind each token that ends a sentence, and shuffle the pieces."""
    ends = (torch.nonzero(ends_sentence[:-1]).flatten() + 1).tolist()
    sentences = row.tensor_split(ends)
    return torch.cat([sentences[index] for index in rng.permutation(len(sentences))])


def rotate_document(row: Int[Tensor, " T"], rng: np.random.Generator) -> Int[Tensor, " T"]:
    """Document rotation: the text begins at a token drawn at random; what was before it follows."""
    return row.roll(-int(rng.integers(max(1, len(row)))))
