"""The exercises on descent: a limit for the rate, a clip, a schedule.

Not here: the exercises on AdamW (`adamw.py`), on the loss (`loss.py`) and on gradients
(`gradients.py`), the exercises' texts (`solutions/`), and how checking works (`harness.py`).
Chapter 06 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.optim import schedules
from llmcourse.optim.clip import global_norm

CHAPTER = "06"
RATES = "A rate too high, to the digit"


# 4. The limit of the rate, and four curves


@value(CHAPTER, rel=0.01, read=RATES)
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
    "half of the limit",
    hint="If you took 1 / L: there a step lands exactly on the bottom of the steepest direction. "
    "It may overshoot, up to as far on the other side: 1 - lr L = -1. If you added the formula's "
    "5, 8 and 5: L is the curvature along *one* direction.",
)
def _():
    return 1 / 9


@critical_rate.mistake(
    "the steepest curvature itself",
    hint="That is L. The rate at which a step lands as far on the other side follows from it: "
    "1 - lr L = -1.",
)
def _():
    return 9.0


@critical_rate.mistake(
    "the mixed term taken for a curvature",
    hint="8 is the factor of θ1 θ2 in the loss. A curvature belongs to a direction: walk along "
    "(1, 1), and see how the gradient grows.",
)
def _():
    return 2 / 8


@critical_rate.mistake(
    "the coupling alone",
    hint="4 is how much one weight moves the other's gradient. Along (1, 1) a weight's own slope "
    "and the other's add up.",
)
def _():
    return 2 / 4


@critical_rate.mistake(
    "the flattest direction",
    hint="The curvature of 1 belongs to the direction (1, -1). The steepest direction flies away "
    "first: the largest curvature sets the limit.",
)
def _():
    return 2.0


@critical_rate.mistake(
    "0.2: 2 over the sum of the curvatures, or 1 over one of them",
    hint="5 + 5 is the sum over both directions, and each direction has its own multiplier: look "
    "for the largest single one. If you took 1 / 5: no axis is the steepest direction, and a step "
    "may overshoot, up to as far on the other side.",
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
    read="The gradient that was never set to zero",
)


# 5. Clip


@exercise(
    CHAPTER,
    tolerance=1e-5,
    variants=("non-contiguous",),
    strict=False,
    read="8. How should the rate move?",
)
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
    yield case("short, and a generous limit", [torch.tensor([1.8, -2.4]), torch.zeros(1)], 5.0)
    yield case("very short, and a generous limit", [torch.tensor([0.3, 0.4])], 5.0)
    yield case("short, and a strict limit", [torch.tensor([0.3]), torch.tensor([-0.4])], 0.2)
    yield case("as long as the limit", [torch.tensor([3.0]), torch.tensor([4.0])], 5.0)
    yield case("a single number", [torch.tensor([-7.0])], 3.0)


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


@clip.mistake(
    "the root of the mean square",
    hint="A length is the root of the *sum* of squares. A mean makes a million small numbers look "
    "short.",
)
def _(gradients, max_norm):
    size = torch.cat([g.flatten() for g in gradients]).square().mean().sqrt()
    return [g * min(1.0, max_norm / size) if size else g for g in gradients]


@clip.mistake(
    "the sum of absolute values",
    hint="3 and 4 at right angles make 5, not 7: the norm squares, adds, and takes the root.",
)
def _(gradients, max_norm):
    size = sum(g.abs().sum() for g in gradients)
    return [g * min(1.0, max_norm / size) if size else g for g in gradients]


@clip.mistake(
    "the longest parameter alone decides",
    hint="Many short gradients are long together. One norm of *all* numbers, not the largest of "
    "the tensors' norms.",
)
def _(gradients, max_norm):
    size = max(g.norm() for g in gradients)
    return [g * min(1.0, max_norm / size) if size else g for g in gradients]


@clip.mistake(
    "shortened to a length of 1",
    hint="The right ones are shortened, to the wrong length: it should be `max_norm`.",
)
def _(gradients, max_norm):
    norm = global_norm(gradients)
    return [g / norm if norm > max_norm else g for g in gradients]


@clip.mistake(
    "compared with 1 instead of the limit",
    hint="Whether to shorten depends on `max_norm`, not on 1: a gradient of length 3 is short when "
    "the limit is 5.",
)
def _(gradients, max_norm):
    norm = global_norm(gradients)
    return [g * (max_norm / norm) if norm > 1 else g for g in gradients]


@clip.mistake(
    "1 stands below where the norm is smaller",
    hint="`max_norm / max(norm, 1)` is right for a limit of 1 alone. The *factor* is what must "
    "not be above 1.",
)
def _(gradients, max_norm):
    factor = max_norm / max(global_norm(gradients), 1.0)
    return [g * factor for g in gradients]


@clip.mistake(
    "everything is divided by the limit",
    hint="A gradient's length has no part in your factor. It is `max_norm` over the norm.",
)
def _(gradients, max_norm):
    long = global_norm(gradients) > max_norm
    return [g / max_norm if long else g for g in gradients]


@clip.mistake(
    "dropped instead of shortened",
    hint="A step that is too long still points somewhere: keep its direction, shorten it.",
)
def _(gradients, max_norm):
    long = global_norm(gradients) > max_norm
    return [g * 0 if long else g for g in gradients]


@clip.mistake(
    "the short ones stretched, the long ones left",
    hint="The comparison is the wrong way round: what is *longer* than the limit is scaled.",
)
def _(gradients, max_norm):
    norm = global_norm(gradients)
    return [g * (max_norm / norm) if 0 < norm < max_norm else g for g in gradients]


@clip.mistake(
    "a factor of squares",
    hint="Twice too long needs half, not a quarter: limit over norm, neither of them squared.",
)
def _(gradients, max_norm):
    square = sum(g.square().sum() for g in gradients)
    return [g * min(1.0, max_norm**2 / square) if square else g for g in gradients]


@clip.mistake(
    "shortened *by* the limit, not *to* it",
    hint="A gradient of 7 with a limit of 3 becomes one of 3, not of 4.",
)
def _(gradients, max_norm):
    norm = global_norm(gradients)
    return [g * (norm - max_norm) / norm if norm > max_norm else g for g in gradients]


# 6. Up, and down along a cosine


@exercise(CHAPTER, variants=(), read="8. How should the rate move?")
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
    yield case("an early end of the warm-up", 0.05, 0.04, 0.2)
    yield case("long after the end", 3.0, 0.5, 0.0)
    yield case("a long warm-up", 0.8, 0.9, 0.5)


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


def _done(progress: float, warmup: float) -> float:
    return min((progress - warmup) / (1 - warmup), 1.0)


@warmup_cosine.mistake(
    "a straight line down",
    hint="Both ends are right, the way between is not: a cosine leaves slowly and arrives slowly.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return 1 - (1 - final) * _done(progress, warmup)


@warmup_cosine.mistake(
    "a quarter of a wave",
    hint="cos falls from 1 to 0 over π / 2: that is a quarter of a wave, and steepest at the end. "
    "Half a wave goes on to -1, over π.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * math.cos(math.pi / 2 * _done(progress, warmup))


@warmup_cosine.mistake(
    "an angle in degrees",
    hint="`math.cos` takes radians: half a wave is π, not 180.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * (1 + math.cos(180 * _done(progress, warmup))) / 2


@warmup_cosine.mistake(
    "final added on top",
    hint="1 to 0, plus `final`, begins above 1: at the end of the warm-up your rate leaps up. "
    "Shrink the fall to 1 - `final` first.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + _down(_done(progress, warmup))


@warmup_cosine.mistake(
    "the fall measured from the wrong end",
    hint="`progress - warmup` runs from 0 to 1 - `warmup`. Divide it by what is left of the run, "
    "so that it ends at 1.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * _down(min(progress - warmup, 1.0))


@warmup_cosine.mistake(
    "0 after the end",
    hint="A run that lasts longer keeps its last rate, `final`.",
)
def _(progress, warmup, final):
    if progress > 1:
        return 0.0
    return warmup_cosine.right(progress, warmup, final)


@warmup_cosine.mistake(
    "the warm-up is half a cosine, too",
    hint="The way up is a straight line: progress / warmup.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return (1 - math.cos(math.pi * progress / warmup)) / 2
    return warmup_cosine.right(progress, warmup, final)


@warmup_cosine.mistake(
    "the warm-up does not reach 1",
    hint="At the end of the warm-up the multiplier is 1, however short it was: divide by `warmup`.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress
    return warmup_cosine.right(progress, warmup, final)


@warmup_cosine.mistake(
    "from final up to 1",
    hint="After the warm-up it goes *down*: 1 + cos, which begins at 2, not 1 - cos.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final + (1 - final) * (1 - _down(_done(progress, warmup)))


@warmup_cosine.mistake(
    "the warm-up climbs to final alone",
    hint="The peak is 1, whatever `final` is: the warm-up ends there, and the fall begins there.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return final * progress / warmup
    return warmup_cosine.right(progress, warmup, final)


@warmup_cosine.mistake(
    "the cosine falls from 1 to 0 and is scaled by final",
    hint="`final` times the whole curve lowers its top as well. Lift the lower end alone.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return final * _down(_done(progress, warmup))
