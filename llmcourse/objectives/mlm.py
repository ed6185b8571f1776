"""Masked language modelling: hide some tokens of a text, and say from all the rest what they were.

The objective of BERT (Devlin et al., 2018), with its three ways to choose what is hidden: token by
token, word by word, span by span. Not here: the same beside a question about two sentences
(`sentence_pair.py`), and spans that are cut out and written down elsewhere (`span_corruption.py`).
Chapter 07 teaches this.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.errors import UserError, nearest
from llmcourse.models.bert import BERTOutput
from llmcourse.objectives.base import IGNORE, Batch, LossSum, Objective, token_loss
from llmcourse.objectives.vocabulary import Vocabulary

UNITS = ("token", "word", "span")
"""What is hidden as one: a token, all the tokens of a word, or a run of words."""

LONGEST_SPAN = 10
"""Where the lengths of spans, in words, are clipped (Joshi et al., 2019)."""


class MaskedLM(Objective):
    """Masked language modelling: fill in hidden tokens.

    Most of what is hidden becomes `[MASK]`; some becomes a random token and some is left as it is,
    so that the model cannot take what it reads for granted (Devlin et al., 2018, section 3.1).

    - `token`: each token by a chance of `mask_rate` (Devlin et al., 2018);
    - `word`: each word, with all of its tokens, by a chance of `mask_rate` (their release of 2019);
    - `span`: runs of whole words of geometric length, until a fraction `mask_rate` of the row is
      hidden (SpanBERT; Joshi et al., 2019).

    What becomes of it is drawn once for each unit, so a span is masked as a whole (Joshi et al.);
    BERT's own whole-word release draws for each token. Spans that touch count as one.

    Args:
        vocabulary: the tokens; special ones are never hidden.
        mask_rate: the expected fraction of tokens to hide.
        unit: what is hidden as one.
        mean_span: the mean length of a span in words, before clipping at `LONGEST_SPAN`.
        replace: the fractions of what is hidden that become `[MASK]`, a random token, and itself.

    Attributes:
        mask_id: the id of `[MASK]`.

    Raises:
        UserError: a fraction outside of 0 to 1, fractions that do not add up, or an unknown unit.
    """

    special_tokens = ("[MASK]",)

    def __init__(
        self,
        vocabulary: Vocabulary,
        mask_rate: float = 0.15,
        unit: str = "token",
        mean_span: float = 3.0,
        replace: tuple[float, float, float] = (0.8, 0.1, 0.1),
    ) -> None:
        if not 0 < mask_rate <= 1:
            raise UserError(f"mask_rate={mask_rate} must be above 0 and at most 1: try 0.15")
        if unit not in UNITS:
            raise UserError(f"unknown unit={unit!r}{nearest(unit, UNITS)}")
        if mean_span < 1:
            raise UserError(f"mean_span={mean_span} must be at least 1: it is counted in words")
        if min(replace) < 0 or not math.isclose(sum(replace), 1):
            raise UserError(f"replace={replace} must be three fractions that add up to 1")
        self.vocabulary = vocabulary
        self.mask_rate, self.unit = mask_rate, unit
        self.mean_span, self.replace = mean_span, replace
        self.mask_id = vocabulary.size

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator) -> Batch:
        """Hide some tokens; they alone are scored."""
        return self.hide(tokens, self.choose(tokens, rng), rng)

    def choose(
        self,
        tokens: Int[Tensor, "B T"],
        rng: np.random.Generator,
        text: Bool[Tensor, "B T"] | None = None,
    ) -> Bool[Tensor, "B T"]:
        """Which tokens to hide: of `text` alone, which is all that is not special unless given."""
        text = self.vocabulary.is_text(tokens) if text is None else text
        if self.unit == "span":
            rows = zip(self.vocabulary.words(tokens).numpy(), text.numpy(), strict=True)
            return torch.from_numpy(np.stack([self._spans(*row, rng) for row in rows]))
        draws = torch.from_numpy(rng.random(tokens.shape))
        if self.unit == "word":
            # All tokens of word w take the draw at place w: they are hidden together or not at all.
            draws = draws.gather(1, self.vocabulary.words(tokens))
        chosen = (draws < self.mask_rate) & text
        if chosen.any():
            return chosen
        # Without a question there is nothing to learn: then the one that was nearest is asked.
        draws = draws.masked_fill(~text, torch.inf)
        return (draws == draws.min()) & text

    def hide(
        self, tokens: Int[Tensor, "B T"], chosen: Bool[Tensor, "B T"], rng: np.random.Generator
    ) -> Batch:
        """The batch in which the chosen tokens are replaced, and are the targets."""
        targets = tokens.masked_fill(~chosen, IGNORE)
        return Batch(ids=self.corrupt(tokens, chosen, rng), targets=targets)

    def corrupt(
        self, tokens: Int[Tensor, "B T"], chosen: Bool[Tensor, "B T"], rng: np.random.Generator
    ) -> Int[Tensor, "B T"]:
        """Replace the chosen tokens by `[MASK]`, by a random token, or by themselves.

        One number is drawn for each unit: below 0.8 it is masked, below 0.9 it is random. The
        random tokens of a unit are drawn one by one, and may be the right ones.
        """
        masked, random, _ = self.replace  # 0.8, 0.1, 0.1 in the paper
        # A number for each place, of which all tokens of a unit take that of the same place: so one
        # draw decides about a whole word or span.
        draws = torch.from_numpy(rng.random(tokens.shape)).gather(1, self._units(tokens, chosen))
        noise = self.vocabulary.random_tokens(tuple(tokens.shape), rng)
        corrupted = torch.where(draws < masked + random, noise, tokens)
        corrupted = corrupted.masked_fill(draws < masked, self.mask_id)
        return torch.where(chosen, corrupted, tokens)

    def loss(self, output: BERTOutput, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the hidden tokens."""
        return token_loss(output.logits, batch.targets)

    def _units(self, tokens: Int[Tensor, "B T"], chosen: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """The number, within its row, of the unit that each token belongs to."""
        if self.unit == "token":
            return torch.arange(tokens.size(1)).expand_as(tokens)
        if self.unit == "word":
            return self.vocabulary.words(tokens)
        # Spans: a unit begins where a chosen token follows one that is not.
        begins = chosen.clone()
        begins[:, 1:] &= ~chosen[:, :-1]
        return begins.cumsum(dim=1)

    def _spans(self, words: np.ndarray, text: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Hide runs of whole words of one row until `mask_rate` is met, where the last one is cut.

        What comes to 4.8 tokens is 4 or 5, by chances that make it 4.8 in the mean. A span starts
        with the word of a token drawn from those still seen, and ends early where it meets what is
        hidden or special.
        """
        seen = text.copy()
        # Rounded up or down by chance, so that the mean is the fraction asked for.
        missing = math.floor(self.mask_rate * text.sum() + rng.random())
        while missing:
            # From a token, not from a word: long words are as likely to be hit as they are long.
            word = words[rng.choice(np.flatnonzero(seen))]
            n_words = min(rng.geometric(1 / self.mean_span), LONGEST_SPAN)
            start, end = words.searchsorted([word, word + n_words])
            start += seen[start:].argmax()  # a word may begin outside of the text to choose from
            run = seen[start : min(end, start + missing)]
            run = run[: run.argmin()] if not run.all() else run
            missing -= len(run)
            run[:] = False  # `run` is a view: this hides its tokens in `seen`
        return text & ~seen
