"""Logits processors, pure functions `logits -> logits`, and the samplers that take a token.

A token that is ruled out gets minus infinity. Compose them in the order that you mean; the usual
one is repetition penalty, temperature, then a filter. Not here: the loop over tokens (`decode.py`).
Chapter 15 teaches this.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError

COLDEST = 1e-4
"""The least temperature: what is nearer to 0 would overflow, and draws like `greedy` anyway."""


def apply_temperature(logits: Float[Tensor, "*B V"], temperature: float) -> Float[Tensor, "*B V"]:
    """Divide by the temperature: below 1 sharpens the distribution, above 1 flattens it.

    Raises:
        UserError: the temperature is below `COLDEST` (use `greedy` for the limit) or infinite.
    """
    if not COLDEST <= temperature < math.inf:
        raise UserError(
            f"temperature={temperature} must be a number of at least {COLDEST}: "
            "for the likeliest token itself, be greedy"
        )
    return logits / temperature


def top_k(logits: Float[Tensor, "*B V"], k: int) -> Float[Tensor, "*B V"]:
    """Top-k: keep the `k` likeliest tokens (Fan et al., 2018), and those that tie with the last.

    Raises:
        UserError: `k` is below 1.
    """
    if k < 1:
        raise UserError(f"top_k={k} must be at least 1")
    least = logits.topk(min(k, logits.size(-1)), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < least, -math.inf)


def top_p(logits: Float[Tensor, "*B V"], p: float) -> Float[Tensor, "*B V"]:
    """Top-p: keep the smallest set of likeliest tokens of probability `p` (Holtzman et al., 2020).

    Raises:
        UserError: `p` is not above 0 and at most 1.
    """
    if not 0 < p <= 1:
        raise UserError(f"top_p={p} must be above 0 and at most 1")
    if p == 1:
        return logits  # rounding could find the sum reached before the end
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.float().softmax(-1)  # in half precision the sum would lose its digits
    before = probabilities.cumsum(-1) - probabilities  # what the likelier ones have together
    drop = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(drop, -math.inf)


def min_p(logits: Float[Tensor, "*B V"], p: float) -> Float[Tensor, "*B V"]:
    """Min-p: keep tokens at least `p` times as likely as the likeliest (Nguyen et al., 2024).

    Raises:
        UserError: `p` is not between 0 and 1.
    """
    if not 0 <= p <= 1:
        raise UserError(f"min_p={p} must lie between 0 and 1")
    if p == 0:
        return logits
    least = logits.max(-1, keepdim=True).values + math.log(p)
    return logits.masked_fill(logits < least, -math.inf)


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


def greedy(logits: Float[Tensor, "*B V"]) -> Int[Tensor, "*B"]:
    """The likeliest token; the first of those that tie."""
    return logits.argmax(-1)


def sample(
    logits: Float[Tensor, "*B V"], generator: torch.Generator | None = None
) -> Int[Tensor, "*B"]:
    """Sample a token from the softmax of the logits."""
    probabilities = logits.float().softmax(-1)
    flat = probabilities.reshape(-1, probabilities.size(-1))
    drawn = torch.multinomial(flat, 1, generator=generator)
    return drawn.reshape(probabilities.shape[:-1])
