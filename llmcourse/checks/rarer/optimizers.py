"""Rarer mistakes of the exercises on optimizers. Chapter 06 teaches this."""

import math

import torch

from llmcourse.checks.bank.optimizers import clip, critical_rate, warmup_cosine


def _length(gradients, power=2.0):
    """The length of all gradients together, by the `power`-norm."""
    everything = torch.cat([g.reshape(-1) for g in gradients]) if gradients else torch.zeros(0)
    return torch.linalg.vector_norm(everything, power) if everything.numel() else 0.0


def _scaled(gradients, factor):
    return [g * factor for g in gradients]


def _clipped(gradients, max_norm, length, eps=0.0):
    return _scaled(gradients, min(1.0, float(max_norm / (length + eps))) if length else 1.0)


@clip.mistake(
    "the mean of the tensors' lengths",
    hint="You average the lengths of the tensors. Their squares add up, under one root.",
)
def _(gradients, max_norm):
    lengths = [float(g.norm()) for g in gradients]
    return _clipped(gradients, max_norm, sum(lengths) / max(len(lengths), 1))


@clip.mistake(
    "the first tensor's length",
    hint="You look at the length of the first tensor alone. All of them count.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, float(gradients[0].norm()) if gradients else 0.0)


@clip.mistake(
    "the last tensor's length",
    hint="Your length is that of the last tensor: the loop has left it behind. All of them count.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, float(gradients[-1].norm()) if gradients else 0.0)


@clip.mistake(
    "the length of the sum",
    hint="You add up all numbers and take the size of that. Square them first.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, abs(float(sum(g.sum() for g in gradients))))


@clip.mistake(
    "a little more of 1e-3",
    hint="You add a small number to the length. The result is then too short: ask whether it is 0.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, _length(gradients), 1e-3)


@clip.mistake(
    "the limit compared with the square",
    hint="You compare the squares' sum with the limit, without the root.",
)
def _(gradients, max_norm):
    length = _length(gradients)
    return _scaled(gradients, max_norm / length if length**2 > max_norm else 1.0)


@clip.mistake(
    "the root of the factor",
    hint="You scale by the root of the factor. By the factor itself.",
)
def _(gradients, max_norm):
    length = _length(gradients)
    return _scaled(gradients, float(max_norm / length) ** 0.5 if length > max_norm else 1.0)


@clip.mistake(
    "the factor upside down",
    hint="You multiply by the length over the limit. It is the limit over the length.",
)
def _(gradients, max_norm):
    length = _length(gradients)
    return _scaled(gradients, length / max_norm if length > max_norm else 1.0)


@clip.mistake(
    "the limit taken away",
    hint="You subtract from the length what is too much, in every number alike. All are scaled by "
    "one factor.",
)
def _(gradients, max_norm):
    much = max(float(_length(gradients)) - max_norm, 0.0)
    return [g.sign() * (g.abs() - much).clamp(min=0) for g in gradients]


@clip.mistake(
    "large numbers cut off from above",
    hint="You cut off what is above the limit, and nothing below minus it. All are scaled by one "
    "factor.",
)
def _(gradients, max_norm):
    return [g.clamp(max=max_norm) for g in gradients]


@clip.mistake(
    "each row by itself",
    hint="You shorten each row of a tensor by its own length. All numbers have one length and one "
    "factor.",
)
def _(gradients, max_norm):
    return [
        g * (max_norm / g.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)
        if g.ndim
        else _clipped([g], max_norm, float(g.abs()))[0]
        for g in gradients
    ]


@clip.mistake(
    "each tensor gets a share of the limit",
    hint="You divide the limit among the tensors. All of them have one length and one factor.",
)
def _(gradients, max_norm):
    share = max_norm / max(len(gradients), 1) ** 0.5
    return [_clipped([g], share, float(g.norm()))[0] for g in gradients]


@clip.mistake(
    "the factor of each tensor's share",
    hint="You shorten one tensor after the other and measure again in between. Measure once.",
)
def _(gradients, max_norm):
    done = list(gradients)
    for number, own in enumerate(done):
        length = _length(done)
        done[number] = own * (max_norm / length) if length > max_norm else own * 1.0
    return done


@clip.mistake(
    "a smooth limit",
    hint="You shorten all gradients a little, the long ones more. Short ones stay as they are.",
)
def _(gradients, max_norm):
    length = _length(gradients)
    return _scaled(gradients, max_norm / (max_norm + length))


@clip.mistake(
    "the length rounded down",
    hint="You take the whole part of the length. Use it as it is.",
)
def _(gradients, max_norm):
    length = float(int(_length(gradients)))
    return _clipped(gradients, max_norm, length)


@clip.mistake(
    "tensors of one number left out",
    hint="You leave out tensors of a single number, or of one axis (as one does for decay). All "
    "numbers count.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, _length([g for g in gradients if g.ndim > 1]))


@clip.mistake(
    "the largest singular value as a matrix's length",
    hint="You take the spectral norm of matrices. A length is the root of the squares' sum.",
)
def _(gradients, max_norm):
    sizes = [
        torch.linalg.matrix_norm(g, 2) if g.ndim == 2 and g.numel() else g.norm() for g in gradients
    ]
    return _clipped(gradients, max_norm, float(sum(s**2 for s in sizes)) ** 0.5)


# Up, and down along a cosine


def _schedule(
    progress,
    warmup,
    final,
    up=lambda p, w, f: p / w,
    gone=lambda p, w: (p - w) / (1 - w),
    down=lambda x: (1 + math.cos(math.pi * x)) / 2,
    blend=lambda c, f: f + (1 - f) * c,
    late=1.0,
):
    """The schedule, with one thing done otherwise."""
    if progress < warmup:
        return up(progress, warmup, final)
    return blend(down(min(gone(progress, warmup), late)), final)


@warmup_cosine.mistake(
    "a quarter of a cosine, squeezed",
    hint="Your angle is half as large as it should be. Half a cosine is an angle of pi.",
)
def _(progress, warmup, final):
    down = lambda x: (1 + math.cos(math.pi * x / 2)) / 2  # noqa: E731
    return _schedule(progress, warmup, final, down=down)


@warmup_cosine.mistake(
    "the angle without pi",
    hint="Your angle goes from 0 to 1. Half a cosine is an angle of pi.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, down=lambda x: (1 + math.cos(x)) / 2)


@warmup_cosine.mistake(
    "down by a square",
    hint="You go down along a parabola. Half a cosine is asked for.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, down=lambda x: (1 - x) ** 2)


@warmup_cosine.mistake(
    "down by a root",
    hint="You go down by 1 less a root (a cool-down). Half a cosine is asked for.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, down=lambda x: 1 - math.sqrt(x))


@warmup_cosine.mistake(
    "down by one over the root",
    hint="You go down by the inverse root of the progress, as the first transformer did. Half a "
    "cosine is asked for.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return max(final, math.sqrt(warmup / progress) if progress else 1.0)


@warmup_cosine.mistake(
    "down by a constant share",
    hint="You go down from 1 to `final` by the same share each time (exponentially). Half a cosine "
    "is asked for.",
)
def _(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    return (
        max(final, 1e-8) ** min((progress - warmup) / (1 - warmup), 1.0)
        if final
        else (1e-8 ** min((progress - warmup) / (1 - warmup), 1.0))
    )


@warmup_cosine.mistake(
    "level, and then down",
    hint="You keep the peak for a while before you go down. Down begins where the warm-up ends.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, gone=lambda p, w: max(0.0, (p - 0.8) / 0.2))


@warmup_cosine.mistake(
    "level after the warm-up",
    hint="You stay at the peak after the warm-up. The rate goes down along half a cosine.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, down=lambda x: 1.0)


@warmup_cosine.mistake(
    "the way down ends with the warm-up's length",
    hint="You divide by the length of the warm-up. By what is left of the run.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, gone=lambda p, w: (p - w) / w if w else p)


@warmup_cosine.mistake(
    "`final` taken away at the end",
    hint="Your cosine goes from 1 to 0 in steps of 1 - `final`: what is added back is missing.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, blend=lambda c, f: (1 - f) * c)


@warmup_cosine.mistake(
    "a share of the cosine and of `final` exchanged",
    hint="You have the cosine's share and the rest exchanged: (1 - f) belongs to the cosine.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, blend=lambda c, f: f * c + (1 - f))


@warmup_cosine.mistake(
    "the warm-up multiplied by the cosine",
    hint="You multiply the cosine by the warm-up. While it warms up there is a straight line, and "
    "nothing else.",
)
def _(progress, warmup, final):
    x = min(max((progress - 0) / 1, 0.0), 1.0)
    cosine = final + (1 - final) * (1 + math.cos(math.pi * x)) / 2
    return cosine * min(progress / warmup, 1.0) if warmup else cosine


@warmup_cosine.mistake(
    "the warm-up along a sine",
    hint="You go up along a quarter of a sine. Up is a straight line.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, up=lambda p, w, f: math.sin(math.pi * p / w / 2))


@warmup_cosine.mistake(
    "the warm-up squared",
    hint="You go up along a parabola. Up is a straight line.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, up=lambda p, w, f: (p / w) ** 2)


@warmup_cosine.mistake(
    "the warm-up at the peak",
    hint="You begin at the peak. It is reached at the end of the warm-up.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, up=lambda p, w, f: 1.0)


@warmup_cosine.mistake(
    "nothing during the warm-up",
    hint="You learn nothing during the warm-up. The rate rises from 0 to 1.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, up=lambda p, w, f: 0.0)


@warmup_cosine.mistake(
    "the peak after the end",
    hint="After the end you begin anew (warm restarts). The rate stays at `final`.",
)
def _(progress, warmup, final):
    return _schedule(progress % 1.0 if progress > 1 else progress, warmup, final)


@warmup_cosine.mistake(
    "0 at the end",
    hint="At the end itself you return 0, or begin anew. There the rate is `final`.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final) if progress < 1 else 0.0


# A rate, above which it flies away

_THEIR_RATES = (
    (
        "1 by the flattest curvature",
        "You divide 1 by the flattest curvature. The steepest "
        "direction flies away first, at twice its own inverse.",
        1.0,
    ),
    (
        "1 by all three coefficients",
        "You add the coefficients of the loss. Which direction is steepest, and how steep is it?",
        1 / 18,
    ),
    (
        "2 by the length of a row",
        "You divide 2 by the length of the gradient at (1, 0). It points "
        "elsewhere than the weights: go along (1, 1).",
        2 / math.sqrt(41),
    ),
    ("half the steepest curvature", "Your fraction is upside down: it is 2 by the curvature.", 4.5),
    (
        "2 by the root of the curvature",
        "You take the root of the curvature. It is the curvature itself.",
        2 / 3,
    ),
    ("the root of the rate", "You take a root at the end. There is none.", math.sqrt(2 / 9)),
    (
        "2 by a curvature and the 8 together",
        "You divide 2 by 13. Along (1, 1) the gradient is 9 times the weights.",
        2 / 13,
    ),
    (
        "momentum's limit",
        "You have the limit with a momentum of 0.9. Plain descent has none.",
        2 * 1.9 / 9,
    ),
    ("2 by the squared curvature", "You square the curvature. It is the curvature itself.", 2 / 81),
)

for _name, _hint, _rate in _THEIR_RATES:
    critical_rate.mistake(_name, hint=_hint)(lambda rate=_rate: rate)


# Second thoughts


@clip.mistake(
    "the tensors' means as the length",
    hint="You square the mean of each tensor. It is every number's square that is added up.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, sum(float(g.mean()) ** 2 for g in gradients) ** 0.5)


@clip.mistake(
    "the root of the lengths' sum",
    hint="You take the root of the sum of the tensors' lengths. Their squares add up.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm, sum(float(g.norm()) for g in gradients) ** 0.5)


@clip.mistake(
    "numbers squashed by a tanh",
    hint="You squash every number by a tanh. All are scaled by one factor, and only if too long.",
)
def _(gradients, max_norm):
    return [max_norm * torch.tanh(g / max_norm) for g in gradients]


@clip.mistake(
    "the signs alone",
    hint="You return signs, of the length of the limit. The direction stays: scale all by one "
    "factor.",
)
def _(gradients, max_norm):
    length = _length(gradients)
    if length <= max_norm:
        return _scaled(gradients, 1.0)
    n = sum(g.numel() for g in gradients)
    return [g.sign() * max_norm / n**0.5 for g in gradients]


@clip.mistake(
    "the limit grows with the number of tensors",
    hint="You multiply the limit by the number of tensors. It is for all together.",
)
def _(gradients, max_norm):
    return _clipped(gradients, max_norm * len(gradients), _length(gradients))


@clip.mistake(
    "one tensor in place of many",
    hint="You glue everything into one tensor. A list of tensors in their shapes is asked for.",
)
def _(gradients, max_norm):
    done = _clipped(gradients, max_norm, _length(gradients))
    return [torch.cat([g.reshape(-1) for g in done])]


@clip.mistake(
    "the length in place of the gradients",
    hint="You return the length, as torch does. The scaled gradients are asked for.",
)
def _(gradients, max_norm):
    return torch.as_tensor(_length(gradients))


@warmup_cosine.mistake(
    "the square of the cosine",
    hint="You square the cosine. Half a cosine goes down, once.",
)
def _(progress, warmup, final):
    down = lambda x: ((1 + math.cos(math.pi * x)) / 2) ** 2  # noqa: E731
    return _schedule(progress, warmup, final, down=down)


@warmup_cosine.mistake(
    "down by a quarter of a sine",
    hint="You go down by 1 less a sine. Half a cosine begins flat: a sine does not.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, down=lambda x: 1 - math.sin(math.pi * x / 2))


@warmup_cosine.mistake(
    "straight down from the beginning",
    hint="You go down in a straight line that begins with the run. Half a cosine, from the end of "
    "the warm-up.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, gone=lambda p, w: p, down=lambda x: 1 - x)


@warmup_cosine.mistake(
    "down to `final` in the middle",
    hint="Your cosine is at `final` half-way already. It takes all that is left.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, gone=lambda p, w: 2 * (p - w) / (1 - w))


@warmup_cosine.mistake(
    "the smaller of line and cosine",
    hint="You take the smaller of the warm-up's line and a cosine over the whole run. Each has its "
    "own time.",
)
def _(progress, warmup, final):
    whole = final + (1 - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return min(progress / warmup, whole) if warmup else whole


@warmup_cosine.mistake(
    "up to `final`'s share of the peak",
    hint="Your warm-up leaves room for `final`: it goes up to 1 - `final`. It goes up to 1.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, up=lambda p, w, f: (1 - f) * p / w)


@warmup_cosine.mistake(
    "one more at the end of the warm-up",
    hint="At the end of the warm-up your cosine has moved on already. It begins there.",
)
def _(progress, warmup, final):
    return _schedule(progress, warmup, final, gone=lambda p, w: (p - w + 0.01) / (1 - w + 0.01))
