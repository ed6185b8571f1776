"""What every objective shares: the batch it prepares and the loss it returns, a sum and a count.

An objective owns both halves of a task. `prepare` turns windows of tokens into what the model sees
and what it should say; `loss` compares. The loss is a *sum* over the scored positions together with
how many there were. One division, by the global count, then makes padding, masking, gradient
accumulation and several processes agree exactly. Not here: what an objective must know of the
tokens (`vocabulary.py`). Chapters 06 and 07 teach this.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

IGNORE = -100
"""The target of a position that is not scored (the library's own convention)."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Batch: what the model is given, and what it is scored on.

    Attributes:
        ids: the token ids that the model reads, or, where it reads another text first, writes.
        targets: the right answer at each position, or `IGNORE`.
        extras: further named arguments of the model's `forward` (segment ids, masks, ...), each
            with a row for each row of `ids`.
        labels: the right answer about each row as a whole, where the task asks for one.
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    extras: dict[str, Tensor] = field(default_factory=dict)
    labels: Int[Tensor, " B"] | None = None

    def rows(self, part: slice, device: torch.device | None = None) -> "Batch":
        """Some of the rows, moved to a device: a process's part of a batch, or a micro-batch."""
        return replace(
            self,
            ids=self.ids[part].to(device=device),
            targets=self.targets[part].to(device=device),
            extras={name: rows[part].to(device=device) for name, rows in self.extras.items()},
            labels=None if self.labels is None else self.labels[part].to(device=device),
        )


class LossSum(NamedTuple):
    """The loss summed over the scored positions, in nats, and how many positions those were."""

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]


@runtime_checkable
class ScoresBatches(Protocol):
    """What a step of training asks for: an objective's second half, or a task's."""

    def loss(self, output: Any, batch: Batch) -> LossSum:
        """Compare what the model said with the targets."""
        ...


class Objective(ABC):
    """Objective: the two halves of a pretraining task.

    Attributes:
        special_tokens: the names of the tokens that the task adds to the tokenizer's, such as
            `[MASK]`; their ids follow the tokenizer's own, in this order.
        rows_are_independent: whether the loss of a row depends on that row alone, so that a batch
            may be cut into micro-batches or shared by processes.
        scores_text: whether a model that learned the task gives whole texts a probability.
    """

    special_tokens: tuple[str, ...] = ()
    rows_are_independent: bool = True
    scores_text: bool = False

    def window(self, context_length: int) -> int:
        """How many tokens `prepare` needs a row, so that the model reads `context_length`."""
        return context_length

    @abstractmethod
    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator) -> Batch:
        """Corrupt, shift or mask windows of tokens, and set the targets."""

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> LossSum:
        """Compare what the model said with the targets."""

    def metrics(self, output: Any, batch: Batch) -> dict[str, LossSum]:
        """Metrics that an evaluation reports besides the loss, by name, each a sum and a count.

        `token loss` is the part of the loss that was paid for text, where the loss holds another
        part too; it is what bits per byte are made of.
        """
        return {}

    def text_logits(
        self, model: Any, rows: Int[Tensor, "B T"], start_id: int
    ) -> Float[Tensor, "B T V"]:
        """The logits of each token of some texts, given those before it, where `scores_text`.

        Here those of a model that reads from left to right: what stands before a token is asked for
        it. Before a text stands `start_id`, END_OF_TEXT as a rule.
        """
        return model(behind(start_id, rows)[:, :-1]).logits


def behind(first_id: int, rows: Int[Tensor, "B T"]) -> Int[Tensor, "B S"]:
    """The rows with a token in front of each."""
    return torch.cat([torch.full_like(rows[:, :1], first_id), rows], dim=1)


def token_loss(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> LossSum:
    """The cross-entropy in nats, summed over the positions whose target is not `IGNORE`.

    Computed in float32 where the logits are in half precision: a sum of thousands of logarithms is
    where digits are lost first.
    """
    scores = logits.flatten(0, 1)  # B T V -> (B T) V
    # Half precision has 8 or 11 significant bits: a sum of exponentials over V tokens needs more.
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    total = F.cross_entropy(scores, targets.flatten(), ignore_index=IGNORE, reduction="sum")
    # Sum and count, not their quotient: whoever holds all the batches divides once.
    return LossSum(total, torch.sum(targets != IGNORE))
