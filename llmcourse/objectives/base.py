"""What every objective shares: the batch it prepares and the loss it returns, a sum and a count.

An objective owns both halves of a task. `prepare` turns windows of tokens into what the model sees
and what it should say; `loss` compares. The loss is a *sum* over the scored positions together with
how many there were. One division, by the global count, then makes padding, masking, gradient
accumulation and several processes agree exactly. Chapters 06 and 07 teach this.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.models.base import Output

IGNORE = -100
"""The target of a position that is not scored (the library's own convention)."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What the model is given, and what it is scored on.

    Attributes:
        ids: the token ids that the model reads.
        targets: the right answer at each position, or `IGNORE`.
        extras: further named arguments of the model's `forward` (segment ids, masks, ...).
    """

    ids: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    extras: dict[str, Tensor] = field(default_factory=dict)

    def rows(self, part: slice) -> "Batch":
        """Some of the rows: one process's share of a batch, or one micro-batch."""
        extras = {name: value[part] for name, value in self.extras.items()}
        return replace(self, ids=self.ids[part], targets=self.targets[part], extras=extras)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        extras = {name: value.to(device) for name, value in self.extras.items()}
        return replace(
            self, ids=self.ids.to(device), targets=self.targets.to(device), extras=extras
        )


class LossSum(NamedTuple):
    """The loss summed over the scored positions, in nats, and how many positions those were."""

    total: Float[Tensor, ""]
    count: Int[Tensor, ""]


@runtime_checkable
class Objective(Protocol):
    """The two halves of a pretraining task."""

    @property
    def extra_tokens(self) -> int:
        """How many tokens beyond the context a window needs (1 for next-token prediction)."""
        ...

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator) -> Batch:
        """Corrupt, shift or mask windows of tokens, and set the targets."""
        ...

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """Compare what the model said with the targets."""
        ...
