"""Scaling laws: how the loss falls with the model's size and the tokens it reads.

`L(N, D) = E + A / N^alpha + B / D^beta` (Hoffmann et al., 2022, approach 3): what no model can
learn, what a small model cannot hold, what few tokens cannot teach. It is fitted in logarithms, by
a Huber loss; an interval comes from fitting anew to runs drawn with replacement. Not here: the runs
(`labs/scaling.py`, `benchmarks/scaling.py`), and what the machine can do in the time
(`choose.py`). Chapter 09 teaches this.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from llmcourse.errors import UserError
from llmcourse.randomness import numpy_rng

FLOPS_EACH = 6
"""Operations for each parameter and token of a training run, attention left out."""
HUBER = 1e-3
"""Where the loss of a residual goes from square to straight (Hoffmann et al., 2022)."""
REPEATED_WORTH = 15.39
"""After about so many repetitions, text read again is worth little (Muennighoff et al., 2023)."""


class Rung(NamedTuple):
    """One run of a ladder: parameters N, tokens D, and the loss at its end."""

    parameters: float
    tokens: float
    loss: float


class Split(NamedTuple):
    """How a budget is spent: on a model of so many parameters, that reads so many tokens."""

    parameters: float
    tokens: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """`L(N, D) = E + A / N^alpha + B / D^beta`.

    Attributes:
        E: the loss of an endless model with endless text, the entropy of the text.
        A, alpha: how much the model's size is worth.
        B, beta: how much the tokens are worth.
    """

    E: float
    A: float
    alpha: float
    B: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a model of that size after that many tokens, the schedule finished."""
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def best_split(self, flops: float) -> Split:
        """N and D of the lowest loss with `6 N D` operations (Hoffmann et al., 2022, eq. 4).

        `N = G (C / 6)^(beta / (alpha + beta))`, `G = (alpha A / (beta B))^(1 / (alpha + beta))`.

        Raises:
            UserError: there are no operations to spend.
        """
        if flops <= 0:
            raise UserError(f"flops={flops} must be above 0")
        total = self.alpha + self.beta
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1 / total)
        parameters = scale * (flops / FLOPS_EACH) ** (self.beta / total)
        return Split(parameters, flops / FLOPS_EACH / parameters)


PUBLISHED = Law(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
"""Chinchilla's runs, fitted anew by Besiroglu et al. (2024): nats a token of web text."""


@dataclass(frozen=True)
class Fit:
    """A law, and the laws of the ladder's resamplings.

    Attributes:
        law: the best fit to all runs.
        resampled: fits to runs drawn with replacement.
    """

    law: Law
    resampled: tuple[Law, ...]

    def interval(self, parameters: float, tokens: float, level: float = 0.9) -> tuple[float, float]:
        """Between which losses the share `level` of the resampled laws lies, in the middle.

        It holds what chance in the choice of runs does. That the law itself may be wrong out there
        is in no interval.
        """
        losses = [law.loss(parameters, tokens) for law in self.resampled]
        low, high = np.quantile(losses, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def range_of(self, name: str, level: float = 0.9) -> tuple[float, float]:
        """The same for one of the law's constants, such as `alpha`."""
        values = [getattr(law, name) for law in self.resampled]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


def power_law(
    x: Sequence[float], losses: Sequence[float], floor: float = 0.0
) -> tuple[float, float]:
    """Scale B and exponent beta of `floor + B / x^beta`, by a straight line in logarithms.

    `ln(L - floor) = ln B - beta ln x`, by least squares.

    Raises:
        UserError: fewer than two values of x, or a loss that is not above the floor.
    """
    if len(set(x)) < 2 or min(losses) <= floor:
        raise UserError(
            f"{len(set(x))} values of x and a lowest loss of {min(losses, default=0)} over the "
            f"floor {floor}: give at least two, and losses above it"
        )
    log_x = np.log(np.asarray(x, dtype=float))
    log_excess = np.log(np.asarray(losses, dtype=float) - floor)
    centred = log_x - log_x.mean()
    slope = (centred * log_excess).sum() / (centred**2).sum()
    return float(np.exp(log_excess.mean() - slope * log_x.mean())), -float(slope)


def fit_law(
    rungs: Sequence[Rung], *, entropy: float | None = None, resamplings: int = 200, seed: int = 0
) -> Fit:
    """Fit a law to the runs of a ladder.

    Args:
        rungs: the runs; sizes and lengths must both vary.
        entropy: E, where it is known; else it is fitted.
        resamplings: how many bootstrap fits.
        seed: of the resampling.

    Raises:
        UserError: fewer runs than unknowns, one size or one length alone, or a loss that is not
            above the entropy.
    """
    n_unknown = 5 if entropy is None else 4
    sizes, lengths = {r.parameters for r in rungs}, {r.tokens for r in rungs}
    if len(rungs) < n_unknown or min(len(sizes), len(lengths)) < 2:
        raise UserError(
            f"{len(rungs)} runs of {len(sizes)} sizes and {len(lengths)} lengths say too little: "
            f"give at least {n_unknown}, two sizes and two lengths"
        )
    lowest = min(r.loss for r in rungs)
    if lowest <= (entropy or 0):
        raise UserError(f"a loss of {lowest} is not above {entropy or 0}, which no model can beat")
    points = np.log(np.array(rungs, dtype=float))
    whole = np.ones((1, len(rungs)))
    best = _descend(points, np.repeat(whole, len(_starts(entropy)), 0), _starts(entropy), entropy)
    errors = _objective(points, whole, best, entropy)
    theta = best[[errors.argmin()]]
    counts = _draw(len(rungs), n_unknown, resamplings, seed)
    again = _descend(points, counts, np.repeat(theta, resamplings, 0), entropy)
    return Fit(_law(theta[0], entropy), tuple(_law(row, entropy) for row in again))


def effective_tokens(tokens: float, unique: float) -> float:
    """What reading `tokens` of a text with `unique` ones is worth in fresh tokens.

    `U + U R* (1 - exp(-R / R*))` with `R = D / U - 1` repetitions and `R* = 15.39` (Muennighoff et
    al., 2023): four epochs are nearly as good as four times the text, forty are not.

    Raises:
        UserError: there is no text.
    """
    if unique <= 0:
        raise UserError(f"unique={unique} must be above 0: there is no text")
    if tokens <= unique:
        return tokens
    repeated = tokens / unique - 1
    return unique + unique * REPEATED_WORTH * (1 - math.exp(-repeated / REPEATED_WORTH))


# --- the fit: ln L = ln(exp(a - alpha ln N) + exp(b - beta ln D) + exp(e)) ------------------------

_LOW = np.array([-5.0, 0.02, -5.0, 0.02, -8.0])
_HIGH = np.array([40.0, 3.0, 40.0, 3.0, 4.0])
"""Between which a, alpha, b, beta and e are looked for."""


def _starts(entropy: float | None) -> Float[np.ndarray, "S 5"]:
    levels = [math.log(entropy)] if entropy else [-1.0, 0.0, 1.0]
    return np.array(
        [
            (a, alpha, b, beta, e)
            for alpha in (0.2, 0.5, 1.0)
            for beta in (0.2, 0.5, 1.0)
            for a in (0.0, 5.0, 10.0)
            for b in (0.0, 5.0, 10.0)
            for e in levels
        ]
    )


def _descend(
    points: Float[np.ndarray, "R 3"],
    counts: Float[np.ndarray, "#S R"],
    theta: Float[np.ndarray, "S 5"],
    entropy: float | None,
    steps: int = 300,
) -> Float[np.ndarray, "S 5"]:
    """Levenberg and Marquardt's method on the Huber loss, for all starts at once.

    Each step solves the linearised problem, with a damping that grows where a step made it worse.
    """
    damping = np.full(len(theta), 1e-2)
    errors = _objective(points, counts, theta, entropy)
    free = np.array([1.0, 1, 1, 1, entropy is None])
    for _ in range(steps):
        residuals, jacobian = _residuals(points, theta, entropy)
        jacobian = jacobian * free
        # Huber's loss is a square whose weight falls with the distance beyond HUBER.
        weights = counts / np.maximum(np.abs(residuals) / HUBER, 1)
        normal = np.einsum("sri,sr,srj->sij", jacobian, weights, jacobian)
        slope = np.einsum("sri,sr,sr->si", jacobian, weights, residuals)
        diagonal = np.einsum("sii->si", normal)
        added = damping[:, None] * diagonal + 1e-12
        normal = normal + added[:, :, None] * np.eye(5)
        step = np.linalg.solve(normal, slope[..., None])[..., 0]
        tried = np.clip(theta - step, _LOW, _HIGH)
        found = _objective(points, counts, tried, entropy)
        better = found < errors
        theta = np.where(better[:, None], tried, theta)
        errors = np.where(better, found, errors)
        damping = np.clip(np.where(better, damping / 3, damping * 4), 1e-12, 1e12)
    return theta


def _residuals(
    points: Float[np.ndarray, "R 3"], theta: Float[np.ndarray, "S 5"], entropy: float | None
) -> tuple[Float[np.ndarray, "S R"], Float[np.ndarray, "S R 5"]]:
    """How far each law is from each run, in logarithms, and the derivative by its constants."""
    n, d, losses = points.T
    a, alpha, b, beta, e = theta.T[:, :, None]
    e = e if entropy is None else np.full_like(e, math.log(entropy) if entropy else -np.inf)
    terms = np.stack([a - alpha * n, b - beta * d, e + 0 * n], axis=-1)
    top = terms.max(axis=-1, keepdims=True)
    said = top[..., 0] + np.log(np.exp(terms - top).sum(axis=-1))
    p = np.exp(terms - said[..., None])  # the shares of the three terms
    jacobian = [p[..., 0], -n * p[..., 0], p[..., 1], -d * p[..., 1], p[..., 2]]
    return said - losses, np.stack(jacobian, axis=-1)


def _objective(
    points: Float[np.ndarray, "R 3"],
    counts: Float[np.ndarray, "#S R"],
    theta: Float[np.ndarray, "S 5"],
    entropy: float | None,
) -> Float[np.ndarray, " S"]:
    """Huber's loss of each law, each run as often as it counts."""
    off = np.abs(_residuals(points, theta, entropy)[0])
    each = np.where(off <= HUBER, off**2 / 2, HUBER * (off - HUBER / 2))
    return (counts * each).sum(axis=1)


def _draw(n: int, least: int, resamplings: int, seed: int) -> Float[np.ndarray, "S R"]:
    """How often each run was drawn, in each resampling; at least `least` different ones."""
    rng, rows = numpy_rng(seed, "bootstrap"), []
    while len(rows) < resamplings:
        counts = np.bincount(rng.integers(n, size=n), minlength=n)
        if (counts > 0).sum() >= min(least, n - 1):
            rows.append(counts)
    return np.array(rows, dtype=float).reshape(resamplings, n)


def _law(theta: Float[np.ndarray, " 5"], entropy: float | None) -> Law:
    a, alpha, b, beta, e = (float(value) for value in theta)
    level = math.exp(e) if entropy is None else entropy
    return Law(E=level, A=math.exp(a), alpha=alpha, B=math.exp(b), beta=beta)
