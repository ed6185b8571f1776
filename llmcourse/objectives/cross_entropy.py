"""Cross-entropy written out: a stable log-softmax, temperature, label smoothing, z-loss.

The loss is a code length: `-log p` nats for a token to which the model gave the probability `p`,
`1 / ln 2` times as many bits. What a run uses calls the library's kernel (`base.py`); the tests
prove the two equal. Sums, not means, as everywhere: see `LossSum`. Not here: the same with the
gradient by hand (`gradients/by_hand.py`). Chapter 06 teaches this.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.objectives.base import IGNORE, LossSum


def log_sum_exp(logits: Float[Tensor, "*B V"]) -> Float[Tensor, "*B"]:
    """Log-sum-exp, `log Σ exp(z)` over the last axis, with nothing that could overflow.

    `m + log Σ exp(z - m)` for the row's largest `m`: the largest term is `exp(0) = 1`, and what is
    too small for the format adds nothing worth having. A row of nothing but `-inf` stays `-inf`.
    """
    largest = _largest(logits)
    return largest.squeeze(-1) + (logits - largest).exp().sum(-1).log()


def log_softmax(logits: Float[Tensor, "*B V"], temperature: float = 1.0) -> Float[Tensor, "*B V"]:
    """Log-probabilities, `(z - m) - log Σ exp(z - m)` with `z = logits / temperature`.

    The largest `m` is subtracted before the logarithm is, not added to it first: next to a logit of
    10,000 the digits of a `log Σ` of 1.1 would be lost. A temperature below 1 sharpens, one above 1
    flattens; towards 0 all goes to the largest.

    Raises:
        UserError: the temperature is not above 0.
    """
    if not temperature > 0:
        raise UserError(
            f"temperature={temperature} must be above 0; for the limit, take the argmax"
        )
    scores = logits / temperature
    below = scores - _largest(scores)
    return below - below.exp().sum(-1, keepdim=True).log()


def cross_entropy(
    logits: Float[Tensor, "*B V"],
    targets: Int[Tensor, "*B"],
    *,
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
) -> LossSum:
    """Cross-entropy, the targets' code length in nats, summed where a target is not `IGNORE`.

        loss = -(1 - ε) log p(target) - ε/V Σ log p(v)  +  ζ (log Σ exp(z))²

    Label smoothing `ε` asks for a little doubt: a fraction of the target's mass is spread over all
    tokens, so that no logit pays for growing without end (Szegedy et al., 2016, section 7). The
    z-loss `ζ` keeps the softmax's sum near 1, where its logarithm loses no digits (Chowdhery et
    al., 2022, section 5, with 1e-4); softmax itself does not mind by how much all logits are
    shifted.

    Args:
        logits: scores of the vocabulary at each position.
        targets: the right token at each, or `IGNORE`.
        label_smoothing: the fraction spread over all tokens, ε.
        z_loss: the weight of the second penalty, ζ.

    Raises:
        UserError: `label_smoothing` is not in [0, 1], or `z_loss` is negative.
    """
    if not 0 <= label_smoothing <= 1:
        raise UserError(f"label_smoothing={label_smoothing} must lie between 0 and 1: try 0.1")
    if not z_loss >= 0:
        raise UserError(f"z_loss={z_loss} must be at least 0; PaLM took 1e-4")
    scored = targets != IGNORE
    rows, wanted = logits[scored], targets[scored]  # N V and N
    log_p = log_softmax(rows)
    # N V -> N: the target's own log-probability, and the mean over all V of them (ε/V Σ log p).
    target = log_p.gather(-1, wanted[..., None]).squeeze(-1)
    spread = log_p.mean(-1)
    each = -(1 - label_smoothing) * target - label_smoothing * spread
    each = each + z_loss * log_sum_exp(rows).square()
    return LossSum(each.sum(), scored.sum())


def _largest(scores: Float[Tensor, "*B V"]) -> Float[Tensor, "*B 1"]:
    """Each row's largest score, or 0 where that is infinite: nothing can be measured from there."""
    largest = scores.amax(-1, keepdim=True).detach()  # whatever is subtracted, the result is equal
    return largest.where(largest.isfinite(), torch.zeros_like(largest))
