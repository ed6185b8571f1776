"""How good is a language model? Its loss on held-out text, and what guessing would have scored.

Perplexity counts tokens, so it cannot compare models whose tokenizers differ; bits per byte can.
Not here: accuracy on tasks, minimal pairs. Chapters 02 and 16 teach this.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE, Batch, Objective


class Metric(NamedTuple):
    """Metric beside the loss, such as an accuracy: a sum, and over how many."""

    total: float
    count: float

    @property
    def mean(self) -> float:
        """The sum for each; not a number where there was nothing."""
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True, kw_only=True)
class Score:
    """A loss over some text, in sums that can be added up over batches and processes.

    Attributes:
        nats: the summed loss in nats: for a language model, negative log-likelihood.
        tokens: how many tokens, or rows, were scored.
        bytes: how many bytes of UTF-8 text the scored tokens stand for; 0 where the task is not
            to predict text.
        metrics: what else the objective measures, by name.
    """

    nats: float
    tokens: int
    bytes: int
    metrics: dict[str, Metric] = field(default_factory=dict)

    def __add__(self, other: "Score") -> "Score":
        """The score of both texts together."""
        metrics = dict(self.metrics)
        for name, metric in other.metrics.items():
            known = metrics.get(name, Metric(0.0, 0.0))
            metrics[name] = Metric(known.total + metric.total, known.count + metric.count)
        return Score(
            nats=self.nats + other.nats,
            tokens=self.tokens + other.tokens,
            bytes=self.bytes + other.bytes,
            metrics=metrics,
        )

    @property
    def loss(self) -> float:
        """Nats for each thing scored, a token as a rule.

        Raises:
            UserError: nothing was scored.
        """
        _check_scored(self.tokens)
        return self.nats / self.tokens

    @property
    def text(self) -> Metric:
        """The part of the loss that was paid for tokens, and how many those were."""
        return self.metrics.get("token loss", Metric(self.nats, self.tokens))

    @property
    def perplexity(self) -> float:
        """`exp(loss)` of the text: as uncertain as a choice among so many tokens, all alike."""
        _check_scored(self.text.count)
        try:
            return math.exp(self.text.mean)
        except OverflowError:
            return math.inf

    @property
    def bits_per_byte(self) -> float:
        """`nats / ln 2 / bytes`: how long the text is in the model's code.

        It compares models whatever their tokenizers. Where some of the tokens are scored, it is
        about the text that these stand for.

        Raises:
            UserError: no text was scored.
        """
        _check_scored(self.text.count, self.bytes)
        return self.text.total / math.log(2) / self.bytes

    @property
    def selection_metric(self) -> float:
        """Metric by which a run chooses its best model; lower is better.

        Bits per byte where text is predicted, else the loss.

        Raises:
            UserError: nothing was scored.
        """
        return self.bits_per_byte if self.bytes else self.loss


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
    # Sums, not means: batches, and processes, may score different numbers of tokens.
    score = Score(nats=0.0, tokens=0, bytes=0)
    training = model.training
    model.eval()
    try:
        for batch in batches:
            output = model(ids=batch.ids, **batch.extras)
            loss = objective.loss(output, batch)
            metrics = objective.metrics(output, batch)
            score += Score(
                nats=loss.total.item(),
                tokens=int(loss.count),
                bytes=int(byte_lengths[batch.targets[batch.targets != IGNORE]].sum()),
                metrics={
                    name: Metric(float(metric.total), float(metric.count))
                    for name, metric in metrics.items()
                },
            )
    finally:
        model.train(training)
    return score


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


def _check_scored(tokens: float, size: int | None = None) -> None:
    if not tokens or size == 0:
        of = "" if size is None else f" of {size} bytes"
        raise UserError(f"nothing to score: {int(tokens)} tokens{of}; give more text")
