"""Causal language modelling: predict each token from those before it.

The oldest objective (Shannon, 1948), and the one that GPT is trained with (Radford et al., 2018).
Chapter 06 takes the loss apart, chapter 07 compares it with the others.
"""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from llmcourse.models.base import Output
from llmcourse.objectives.base import IGNORE, Batch, LossSum


class CausalLM:
    """Next-token prediction over windows of one token more than the context."""

    extra_tokens = 1
    """The last position of a window needs a next token, too."""

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator | None = None) -> Batch:
        """Shift by one: position `t` reads `tokens[:, t]` and should say `tokens[:, t + 1]`.

        `rng` is the other objectives' (they corrupt); nothing here is left to chance.
        """
        return Batch(ids=tokens[:, :-1], targets=tokens[:, 1:])

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the positions whose target is not `IGNORE`.

        Computed in float32 where the logits are in half precision: a sum of thousands of logarithms
        is where digits are lost first.
        """
        targets = batch.targets.flatten()
        logits = output.logits.flatten(0, 1)  # B T V -> (B T) V
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        total = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum")
        return LossSum(total, torch.sum(targets != IGNORE))
