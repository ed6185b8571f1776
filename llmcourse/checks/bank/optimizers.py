"""The exercises on descent: a limit for the rate, a clip, a schedule, an AdamW with a bug.

Not here: the exercises on the loss (`loss.py`) and on gradients (`gradients.py`), the exercises'
texts (`solutions/`), and how checking works (`harness.py`). Chapter 06 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.optim import schedules
from llmcourse.optim.clip import global_norm

CHAPTER = "06"

Moved = tuple[Tensor, Tensor, Tensor]
"""A weight after a step, and the two memories of its gradients."""


# 4. The limit of the rate, and four curves


@value(CHAPTER, rel=0.01)
def critical_rate() -> float:
    """2 / L, for the largest eigenvalue of the curvatures [[5, 4], [4, 5]]."""
    curvatures = torch.tensor([[5.0, 4.0], [4.0, 5.0]], dtype=torch.float64)
    return 2 / torch.linalg.eigvalsh(curvatures).max().item()


@critical_rate.mistake(
    "the curvature along the axes",
    hint="Along either weight alone the curvature is 5. But the steepest direction is no axis: try "
    "the direction (1, 1), where both weights move together.",
)
def _():
    return 2 / 5


@critical_rate.mistake(
    "1 / L",
    hint="At 1 / L a step lands exactly on the bottom of the steepest direction. It may overshoot, "
    "up to as far on the other side: 1 - lr L = -1.",
)
def _():
    return 1 / 9


@critical_rate.mistake(
    "the flattest direction",
    hint="The curvature of 1 belongs to the direction (1, -1). The steepest direction flies away "
    "first: the largest curvature sets the limit.",
)
def _():
    return 2.0


@critical_rate.mistake(
    "the sum of the curvatures",
    hint="5 + 5 is the sum over both directions. Each direction has its own multiplier: look for "
    "the largest single one.",
)
def _():
    return 2 / 10


which_run = choice(
    CHAPTER,
    "which_run",
    right=(
        "q",
        "Waves that never die: gradients are summed for ever, a momentum of 1, a pendulum without "
        "friction.",
    ),
    wrong={
        "p": "It falls smoothly, and slowly. Nothing is wrong but a rate that could be larger.",
        "r": "It grows by the same factor at every step. That is a rate above 2 / L.",
        "s": "Waves, too, but they *die*: a momentum of 0.9 forgets. Whose waves do not?",
    },
)


# 5. Clip


@exercise(CHAPTER, tolerance=1e-5)
def clip(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    """All gradients times `min(1, max_norm / norm)`, with the norm of all numbers together."""
    norm = global_norm(gradients)
    factor = (max_norm / norm).clamp(max=1.0)
    return [gradient * factor for gradient in gradients]


@clip.cases
def _() -> Iterator[Case]:
    yield case("by hand", [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])], 1.0)
    yield case("three parameters", [torch.randn(3, 4), torch.randn(5), torch.randn(2, 2)], 1.0)
    yield case("short already", [torch.tensor([0.3]), torch.tensor([0.4, 0.0])], 1.0)
    yield case("one long, one short", [torch.tensor([30.0, 40.0]), torch.tensor([0.1])], 2.0)
    yield case("one parameter", [torch.tensor([6.0, 8.0])], 5.0)
    yield case("zeros", [torch.zeros(3), torch.zeros(2)], 1.0)


@clip.mistake(
    "each parameter by itself",
    hint="Short gradients stay, long ones shrink, so the step points somewhere else. One norm, of "
    "all numbers together, and one factor for all keep the direction.",
)
def _(gradients, max_norm):
    return [g * (max_norm / g.norm()).clamp(max=1.0) for g in gradients]


@clip.mistake(
    "each number by itself",
    hint="`clamp` cuts the long entries and leaves the short ones: the direction changes. Scale, "
    "do not cut.",
)
def _(gradients, max_norm):
    return [g.clamp(-max_norm, max_norm) for g in gradients]


@clip.mistake(
    "short ones made longer",
    hint="A gradient that is shorter than the limit stays as it is: the factor is never above 1.",
)
def _(gradients, max_norm):
    norm = global_norm(gradients)
    return [g * (max_norm / norm) if norm else g for g in gradients]


@clip.mistake(
    "norms added up",
    hint="Lengths 3 and 4 at right angles make 5, not 7: add the squares, then take the root.",
)
def _(gradients, max_norm):
    norm = sum(g.norm() for g in gradients)
    return [g * min(1.0, max_norm / norm) if norm else g for g in gradients]


@clip.mistake(
    "no root",
    hint="The sum of squares is the norm *squared*. 3 and 4 make 5, not 25.",
)
def _(gradients, max_norm):
    square = sum(g.square().sum() for g in gradients)
    return [g * min(1.0, max_norm / square) if square else g for g in gradients]


@clip.mistake(
    "the largest entry instead of the length",
    hint="You divide by the largest single number. The norm is the root of the sum of all squares.",
)
def _(gradients, max_norm):
    top = max(g.abs().max() for g in gradients)
    return [g * min(1.0, max_norm / top) if top else g for g in gradients]


# 6. Up, and down along a cosine


@exercise(CHAPTER, variants=())
def warmup_cosine(progress: float, warmup: float, final: float) -> float:
    """Up to 1 within `warmup`, then down to `final` along half a cosine, and there it stays."""
    return schedules.warmup_cosine(warmup=warmup, final=final)(progress)


@warmup_cosine.cases
def _() -> Iterator[Case]:
    for progress in (0.0, 0.1, 0.2, 0.6, 0.45, 1.0):
        yield case(f"by hand, at {progress}", progress, 0.2, 0.1)
    for progress in (0.0, 0.3, 0.5, 1.0):
        yield case(f"no warm-up, at {progress}", progress, 0.0, 0.0)
    yield case("after the end", 1.25, 0.2, 0.1)
    yield case("a constant end", 0.7, 0.1, 1.0)


def _down(done: float) -> float:
    return (1 + math.cos(math.pi * done)) / 2


@warmup_cosine.mistake(
    "the cosine begins with the run",
    hint="At the end of the warm-up your rate leaps down: the cosine has to begin *there*, with "
    "what is left of the run going from 0 to 1.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * _down(min(progress, 1.0))


@warmup_cosine.mistake(
    "down to zero, not to final",
    hint="The cosine falls from 1 to 0. Stretch it, so that it falls from 1 to `final`.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return _down(min((progress - warmup) / (1 - warmup), 1.0))


@warmup_cosine.mistake(
    "cut off at final",
    hint="Your rate falls towards 0 and is stopped at `final`: too low on the way, with a kink at "
    "the end. Let it fall from 1 to `final`: final + (1 - final) times the cosine's part.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return max(final, _down(min((progress - warmup) / (1 - warmup), 1.0)))


@warmup_cosine.mistake(
    "a whole wave instead of half",
    hint="cos goes from 1 to -1 over π. Over 2π it comes back up.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    done = min((progress - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * (1 + math.cos(2 * math.pi * done)) / 2


@warmup_cosine.mistake(
    "the cosine is not brought to 0 … 1",
    hint="A cosine runs from 1 to -1. A rate below zero would climb: (1 + cos) / 2 runs from 1 to "
    "0.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    done = min((progress - warmup) / (1 - warmup), 1.0)
    return final + (1 - final) * math.cos(math.pi * done)


@warmup_cosine.mistake(
    "up again after the end",
    hint="A run on the clock may last a little longer than planned. After the end the rate stays "
    "at `final`: do not let the progress pass 1.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * _down((progress - warmup) / (1 - warmup))


@warmup_cosine.mistake(
    "the warm-up climbs from final",
    hint="The warm-up begins at 0, whatever `final` is.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return final + (1 - final) * progress / warmup
    return final + (1 - final) * _down(min((progress - warmup) / (1 - warmup), 1.0))


# 7. AdamW, and a colleague's bug


@exercise(CHAPTER, axes=("N", "N", "N"))
def adamw_step(
    weight: Float[Tensor, " N"],
    gradient: Float[Tensor, " N"],
    mean: Float[Tensor, " N"],
    square: Float[Tensor, " N"],
    t: int,
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    eps: float = 1e-6,
    decay: float = 0.0,
) -> Moved:
    """One step of AdamW, of which `t` is the number (from 1): weight, mean, square."""
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    size = (square / (1 - beta2**t)).sqrt() + eps
    return (1 - lr * decay) * weight - lr * mean / (1 - beta1**t) / size, mean, square


@adamw_step.cases
def _() -> Iterator[Case]:
    zeros = torch.zeros(2)
    yield case("by hand: the first step", torch.ones(2), torch.tensor([4.0, -0.5]), zeros, zeros, 1)
    yield case("the first step, decaying", *_weights(), torch.zeros(5), torch.zeros(5), 1, decay=10)
    memories = torch.randn(5), torch.rand(5)
    yield case("the third step", *_weights(), *memories, 3)
    yield case("the third step, decaying", *_weights(), *memories, 3, decay=2.0)
    yield case("a large eps", *_weights(), *memories, 2, eps=0.5)
    yield case("the thousandth step", *_weights(), *memories, 1000, lr=0.1)


def _weights() -> tuple[Tensor, Tensor]:
    return torch.randn(5), 3 * torch.randn(5)


def _step(
    weight: Tensor,
    mean: Tensor,
    square: Tensor,
    t: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> Tensor:
    """The right step, from memories that may be wrong."""
    size = (square / (1 - betas[1] ** t)).sqrt() + eps
    return weight - lr * mean / (1 - betas[0] ** t) / size


@adamw_step.mistake(
    "decay in the gradient: the colleague's bug",
    hint="That is the code that you were given: Adam with L2. What is added to the gradient is "
    "divided by its size afterwards. Let the weight decay by itself: (1 - lr · decay) · weight.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    g = g + decay * w
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step(w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "memories not corrected",
    hint="Both memories began at zero, so they are too small at first: divide them by 1 - β to the "
    "power of t.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return (1 - lr * decay) * w - lr * m / (v.sqrt() + eps), m, v


@adamw_step.mistake(
    "the corrected memories are remembered",
    hint="The step is right. But what is handed on must be the memories themselves: corrected ones "
    "would be corrected again at the next step.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    moved = _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps)
    return moved, m / (1 - beta1**t), v / (1 - beta2**t)


@adamw_step.mistake(
    "eps inside the root",
    hint="√v + ε, not √(v + ε). With ε = 1e-6 that would be a thousand times as much.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    size = (v / (1 - beta2**t) + eps).sqrt()
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / size, m, v


@adamw_step.mistake(
    "the root forgotten",
    hint="v is a mean of *squares*: divide by its root, or steps get larger where gradients get "
    "smaller.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    size = v / (1 - beta2**t) + eps
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / size, m, v


@adamw_step.mistake(
    "decay without the rate",
    hint="The weight loses the share lr · decay in a step. Without the rate, a decay of 0.1 would "
    "take a tenth of it, every time.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step((1 - decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "no decay at all",
    hint="Adam is right. The W is missing: the weight itself shrinks by lr · decay.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step(w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the square of the mean",
    hint="v remembers the mean of g², not the square of m. Where gradients change sign, the two "
    "differ a lot.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * m**2
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "uphill",
    hint="The gradient points to where the loss grows. Subtract.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step((1 - lr * decay) * w, m, v, t, -lr, (beta1, beta2), eps), m, v
