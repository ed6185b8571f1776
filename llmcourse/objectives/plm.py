"""Permutation language modelling: predict the tokens of a row one after another, in any order.

XLNet (Yang et al., 2019). Left to right is one of `T!` orders in which a text's probability can be
taken apart. Over many orders each token is predicted from every side, as BERT does it, yet no
`[MASK]` ever stands in the text, and of two predicted tokens the later one knows the earlier. Not
here: the two streams that this needs (`models/xlnet.py`). Chapter 07 teaches this.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.base import Output
from llmcourse.objectives.base import IGNORE, Batch, LossSum, Objective, behind, token_loss
from llmcourse.objectives.vocabulary import Vocabulary


class PermutationLM(Objective):
    """Permutation language modelling: of a random permutation of each row, predict the end.

        loss = -sum_i log p(x_{z_i} | x_{z_1}, ..., x_{z_{i-1}}),   i > T - T / predict_one_in

    for a permutation z of the T positions.

    The first tokens of a permutation have little to go by, and would teach little (Yang et al.,
    2019, section 2.3, where `predict_one_in` is K = 6, and neighbours are predicted together; here
    each token stands for itself). Special tokens come first in every permutation: all may see them,
    and nobody has to guess them.

    Args:
        vocabulary: the tokens.
        predict_one_in: one token in so many is predicted, at least one a row; 1 for all of them.

    Raises:
        UserError: fewer than 1.
    """

    scores_text = True

    def __init__(self, vocabulary: Vocabulary, predict_one_in: int = 6) -> None:
        if predict_one_in < 1:
            raise UserError(f"predict_one_in={predict_one_in} must be at least 1: try 6")
        self.vocabulary = vocabulary
        self.predict_one_in = predict_one_in

    def prepare(self, tokens: Int[Tensor, "B T"], rng: np.random.Generator) -> Batch:
        """Draw a permutation for each row; the text stays as it is.

        `extras["permutation"]` holds the rank of each position, 0 for the one that is seen by all
        others.
        """
        is_text = self.vocabulary.is_text(tokens)
        # Text from [1, 2), special tokens from [0, 1): so these come first in every permutation.
        draws = torch.from_numpy(rng.random(tokens.shape)) + is_text
        permutation = ranks(draws)
        # The last ones of the permutation see nearly all of the row.
        first_target = tokens.size(1) - max(1, tokens.size(1) // self.predict_one_in)
        scored = (permutation >= first_target) & is_text
        return Batch(
            ids=tokens,
            targets=torch.where(scored, tokens, IGNORE),
            extras={"permutation": permutation},
        )

    def loss(self, output: Output, batch: Batch) -> LossSum:
        """The cross-entropy in nats, summed over the end of each permutation."""
        return token_loss(output.logits, batch.targets)

    def text_logits(
        self, model: Any, rows: Int[Tensor, "B T"], start_id: int
    ) -> Float[Tensor, "B T V"]:
        """The model's logits, told that the order is from left to right."""
        permutation = torch.arange(rows.size(1) + 1).expand(len(rows), -1)
        return model(behind(start_id, rows), permutation=permutation).logits[:, 1:]


def ranks(draws: Tensor) -> Int[Tensor, "B T"]:
    """Rank of each number within its row: 0 for the smallest, `[.3, .9, .1] -> [1, 2, 0]`.

    Ranks of independent draws are an even choice among all permutations.
    """
    # argsort gives the order, which place comes n-th; its argsort is the inverse: each place's n.
    return draws.argsort(dim=1).argsort(dim=1)
