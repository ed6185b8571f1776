"""Causal language modelling: predict each token from those before it.

The oldest objective (Shannon, 1948), and the one that GPT is trained with (Radford et al., 2018).
Chapter 06 takes the loss apart, chapter 07 compares it with the others, chapter 08 keeps documents
apart that were packed into one window.
"""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.models.base import Output
from llmcourse.nn import masks
from llmcourse.objectives.base import Batch, LossSum, Objective, token_loss


class CausalLM(Objective):
    """Next-token prediction over windows of one token more than the context.

    Args:
        separator: the token that ends a document, if documents that share a window shall not see
            each other; unless given, they do.
    """

    scores_text = True

    def __init__(self, separator: int | None = None) -> None:
        self.separator = separator

    def window(self, context_length: int) -> int:
        """The last position of a window needs a next token, too."""
        return context_length + 1

    def prepare(self, tokens: Int[Tensor, "B N"], rng: np.random.Generator | None = None) -> Batch:
        """Shift by one: position `t` reads `tokens[:, t]` and should say `tokens[:, t + 1]`.

        `rng` is the other objectives' (they corrupt); nothing here is left to chance.
        """
        ids, targets = tokens[:, :-1], tokens[:, 1:]  # B T+1 -> B T, twice
        extras = {}
        if self.separator is not None:
            extras["mask"] = masks.document(document_ids(ids, self.separator))
        return Batch(ids=ids, targets=targets, extras=extras)

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the positions whose target is not `IGNORE`."""
        return token_loss(output.logits, batch.targets)


def document_ids(ids: Int[Tensor, "B T"], separator: int) -> Int[Tensor, "B T"]:
    """Document ids, of which document each token is; a separator belongs to the next one.

    So the first word of a document is predicted from the separator, as at the start of a text that
    the model is to write from nothing.
    """
    # Counts the separators so far, this one included: a new number begins with each.
    return torch.cumsum(ids == separator, dim=1)
