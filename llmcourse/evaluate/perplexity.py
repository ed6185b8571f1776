"""How good is a language model? Its loss on held-out text, and what guessing would have scored.

Perplexity counts tokens, so it cannot compare models whose tokenizers differ; bits per byte can.
Not here: accuracy on tasks, minimal pairs. Chapters 02 and 16 teach this.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE, Batch, Objective


@dataclass(frozen=True, kw_only=True)
class Score:
    """A loss over some text, in sums that can be added up over batches and processes.

    Attributes:
        nats: the summed negative log-likelihood, in nats.
        tokens: how many tokens were scored.
        bytes: how many bytes of UTF-8 text those tokens stand for.
    """

    nats: float
    tokens: int
    bytes: int

    @property
    def loss(self) -> float:
        """Nats per token.

        Raises:
            UserError: nothing was scored.
        """
        _check_scored(self.tokens, self.bytes)
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """`exp(loss)`: as uncertain as a choice among so many tokens, all alike."""
        try:
            return math.exp(self.loss)
        except OverflowError:
            return math.inf

    @property
    def bits_per_byte(self) -> float:
        """`nats / ln 2 / bytes`: how long the text is in the model's code.

        It compares models whatever their tokenizers.

        Raises:
            UserError: nothing was scored.
        """
        _check_scored(self.tokens, self.bytes)
        return self.nats / math.log(2) / self.bytes


@torch.no_grad()
def evaluate(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[Batch],
    byte_lengths: Int[Tensor, " V"],
) -> Score:
    """Score a model on batches that are on its device; its mode is put back afterwards.

    `byte_lengths` says how many bytes each token of the vocabulary stands for (zero for special
    tokens: predicting where a document ends costs bits, but is not text). Without batches the score
    is empty, and adds nothing to those of other processes.
    """
    nats, tokens, size = 0.0, 0, 0
    training = model.training
    model.eval()
    try:
        for batch in batches:
            loss = objective.loss(model(batch.ids, **batch.extras), batch)
            nats += loss.total.item()
            tokens += int(loss.count)
            size += int(byte_lengths[batch.targets[batch.targets != IGNORE]].sum())
    finally:
        model.train(training)
    return Score(nats=nats, tokens=tokens, bytes=size)


def uniform_bits_per_byte(
    tokens: Integer[np.ndarray, " N"], byte_lengths: Integer[np.ndarray, " V"], vocab_size: int
) -> float:
    """What guessing every token alike scores: `N log2 V / bytes`.

    Raises:
        UserError: no tokens, or only special ones.
    """
    size = int(byte_lengths[tokens].sum())
    _check_scored(len(tokens), size)
    return len(tokens) * math.log2(vocab_size) / size


def unigram_bits_per_byte(
    train_counts: Integer[np.ndarray, " V"],
    valid_tokens: Integer[np.ndarray, " N"],
    byte_lengths: Integer[np.ndarray, " V"],
) -> float:
    """What guessing each token by its frequency in the training text scores.

    `p(v) = (count(v) + 1) / (sum of counts + V)`: one is added so that no token is impossible
    (Laplace's rule of succession).

    Raises:
        UserError: no tokens, or only special ones.
    """
    size = int(byte_lengths[valid_tokens].sum())
    _check_scored(len(valid_tokens), size)
    smoothed = train_counts.astype(np.float64) + 1
    bits = np.log2(smoothed.sum()) - np.log2(smoothed)
    occurrences = np.bincount(valid_tokens, minlength=len(smoothed))
    return float(occurrences @ bits) / size


def _check_scored(tokens: int, size: int) -> None:
    if not tokens or not size:
        raise UserError(f"nothing to score: {tokens} tokens of {size} bytes; give more text")
