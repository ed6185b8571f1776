"""Logits processors, pure functions `logits -> logits`, and the samplers that take a token.

A token that is ruled out gets minus infinity. Compose them in the order that you mean; the usual
one is penalties, temperature, then a filter. Not here: penalties on what has been said
(`penalties.py`), the loop over tokens (`decode.py`). Chapter 15 teaches this.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import UserError

COLDEST = 1e-4
"""The least temperature: what is nearer to 0 would overflow, and draws like `greedy` anyway."""


HOTTEST = 1e30
"""The greatest temperature: beyond it float32 knows no number, and all tokens are alike anyway."""


def apply_temperature(logits: Float[Tensor, "*B V"], temperature: float) -> Float[Tensor, "*B V"]:
    """Divide by the temperature: below 1 sharpens the distribution, above 1 flattens it.

    Raises:
        UserError: the temperature is below `COLDEST` (use `greedy` for the limit), or above
            `HOTTEST`.
    """
    if not COLDEST <= temperature <= HOTTEST:
        raise UserError(
            f"temperature={temperature} must be a number from {COLDEST} to {HOTTEST:.0e}: "
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
    return logits.masked_fill(_beyond(probabilities, order, p), -math.inf)


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


def typical_p(logits: Float[Tensor, "*B V"], p: float) -> Float[Tensor, "*B V"]:
    """Typical sampling: keep tokens of about the mean surprise (Meister et al., 2022).

    They are taken in the order of `|-ln p_v - H|`, where H is the entropy, until they have the
    probability `p` together. The likeliest token may be left out: it can be too little surprising.

    Raises:
        UserError: `p` is not above 0 and at most 1.
    """
    if not 0 < p <= 1:
        raise UserError(f"typical_p={p} must be above 0 and at most 1")
    if p == 1:
        return logits
    log_p = logits.float().log_softmax(-1)
    chances = log_p.exp()
    # What another filter has ruled out has surprise infinity, and 0 times infinity is no number.
    entropy = -(chances * log_p.masked_fill(chances == 0, 0.0)).sum(-1, keepdim=True)
    order = (-log_p - entropy).abs().argsort(dim=-1, stable=True)
    return logits.masked_fill(_beyond(chances.gather(-1, order), order, p), -math.inf)


def _beyond(
    ordered: Float[Tensor, "*B V"], order: Int[Tensor, "*B V"], p: float
) -> Bool[Tensor, "*B V"]:
    """Which tokens come when those before them in the order have the probability `p` already."""
    late = ordered.cumsum(-1) - ordered >= p
    late[..., 0] = False  # also where p is so small that it rounds to 0
    return torch.zeros_like(late).scatter(-1, order, late)


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
