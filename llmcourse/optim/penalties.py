"""Penalties on large weights: L2, L1, and decay that is no penalty.

A penalty is a term of the loss, so its pull goes wherever gradients go: through momentum, through
Adam's division. Decoupled decay acts on the weight itself, after the gradient's step. With plain
gradient descent L2 and decay are the same thing; with Adam they are not, which is the difference
between `Adam` and `AdamW` (`adam.py`). Not here: which parameters are spared (`groups.py`). Chapter
06 teaches this.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError


def l2_penalty(parameters: Iterable[Tensor], strength: float) -> Float[Tensor, ""]:
    """L2 penalty, `λ/2 Σ θ²`, with the gradient `λ θ`: it pulls large weights hard.

    What the library's optimizers without W in their name do with `weight_decay=λ`. Bayes reads it
    as a normal prior (Hoerl and Kennard, 1970, as ridge regression).

    Raises:
        UserError: the strength is negative.
    """
    _check(strength)
    return strength / 2 * _total(p.square() for p in parameters)


def l1_penalty(parameters: Iterable[Tensor], strength: float) -> Float[Tensor, ""]:
    """L1 penalty, `λ Σ |θ|`, with the gradient `λ sign(θ)`: all are pulled alike, small ones to 0.

    (Tibshirani, 1996, as the lasso.) A gradient step jumps over zero and back; `soft_threshold` is
    the step that stops there.

    Raises:
        UserError: the strength is negative.
    """
    _check(strength)
    return strength * _total(p.abs() for p in parameters)


def soft_threshold(weights: Float[Tensor, "*N"], amount: float) -> Float[Tensor, "*N"]:
    """Soft threshold, `sign(θ) max(|θ| - amount, 0)`: towards zero by `amount`, no further.

    The L1 penalty's own step, to be taken after the gradient's with `amount = lr λ` (Daubechies et
    al., 2004): weights that the data do not hold are exactly zero.

    Raises:
        UserError: the amount is negative.
    """
    _check(amount)
    return weights.sign() * (weights.abs() - amount).clamp(min=0.0)


@torch.no_grad()
def decay_(parameters: Iterable[Tensor], lr: float, strength: float) -> None:
    """Decoupled decay, in place: `θ ← (1 - lr λ) θ` (Loshchilov and Hutter, 2019).

    Every weight loses the same fraction, whatever its gradient is and has been.

    Raises:
        UserError: the strength is negative.
    """
    _check(strength)
    # In place and outside of autograd: no gradient, momentum or division by √v sees it.
    for parameter in parameters:
        parameter.mul_(1 - lr * strength)


def _total(terms: Iterable[Tensor]) -> Tensor:
    sums = [term.sum() for term in terms]
    return torch.stack(sums).sum() if sums else torch.zeros(())


def _check(strength: float) -> None:
    if not strength >= 0:
        raise UserError(f"the penalty {strength} must be at least 0: a negative one would reward")
