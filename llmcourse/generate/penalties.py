"""Penalties on what was said before: logits processors that also read the text so far.

Each is a pure function of the logits and the tokens `ids` that it should look at: the whole text,
or the part after the prompt. Not here: what looks at the logits alone (`sampling.py`). Chapter 15
teaches this.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError

LARGEST = 1e9
"""What is taken from a logit at the most: more would leave the numbers that there are."""


def repetition_penalty(
    logits: Float[Tensor, "*B V"], ids: Int[Tensor, "*B T"], penalty: float
) -> Float[Tensor, "*B V"]:
    """Repetition penalty: make tokens that stand in `ids` less likely (Keskar et al., 2019).

    A positive score is divided by the penalty, a negative one multiplied, so both go down.

    Raises:
        UserError: the penalty is below 1 or infinite.
    """
    if not 1 <= penalty < math.inf:
        raise UserError(f"repetition_penalty={penalty} must be at least 1 (1 changes nothing)")
    seen = logits.gather(-1, ids)
    lowered = torch.where(seen > 0, seen / penalty, seen * penalty)
    return logits.scatter(-1, ids, lowered)


def frequency_penalty(
    logits: Float[Tensor, "*B V"], ids: Int[Tensor, "*B T"], penalty: float
) -> Float[Tensor, "*B V"]:
    """Frequency penalty: take `penalty` from a token's logit for each time that it stands in `ids`.

    Raises:
        UserError: the penalty is no finite number.
    """
    if not abs(penalty) <= LARGEST:
        raise UserError(
            f"frequency_penalty={penalty} must be a finite number, of {LARGEST:.0e} at most "
            "(0 changes nothing)"
        )
    return logits - penalty * _counts(logits, ids)


def presence_penalty(
    logits: Float[Tensor, "*B V"], ids: Int[Tensor, "*B T"], penalty: float
) -> Float[Tensor, "*B V"]:
    """Presence penalty: take `penalty` from the logit of each token that stands in `ids`, once.

    Raises:
        UserError: the penalty is no finite number.
    """
    if not abs(penalty) <= LARGEST:
        raise UserError(
            f"presence_penalty={penalty} must be a finite number, of {LARGEST:.0e} at most "
            "(0 changes nothing)"
        )
    return logits - penalty * (_counts(logits, ids) > 0)


def no_repeat_ngrams(
    logits: Float[Tensor, "B V"], ids: Int[Tensor, "B T"], n: int
) -> Float[Tensor, "B V"]:
    """Rule out tokens that would complete an n-gram which stands in `ids` already.

    Paulus et al., 2017. With `n = 1` no token comes twice.

    Raises:
        UserError: `n` is below 1.
    """
    if n < 1:
        raise UserError(f"no_repeat_ngram={n} must be at least 1")
    if ids.size(1) < n:
        return logits
    grams = ids.unfold(1, n, 1)  # B T -> B (T - n + 1) n
    last = ids[:, ids.size(1) - n + 1 :]  # what the next token would complete
    begun = (grams[..., :-1] == last[:, None]).all(-1)
    rows, places = begun.nonzero(as_tuple=True)
    banned = torch.zeros_like(logits, dtype=torch.bool)
    banned[rows, grams[rows, places, -1]] = True
    return logits.masked_fill(banned, -math.inf)


def _counts(logits: Float[Tensor, "*B V"], ids: Int[Tensor, "*B T"]) -> Float[Tensor, "*B V"]:
    """How often each token of the vocabulary stands in `ids`."""
    ones = torch.ones_like(ids, dtype=logits.dtype)
    return torch.zeros_like(logits).scatter_add(-1, ids, ones)
