"""Rarer mistakes of the exercise on drafts. Chapter 15 teaches this."""

import math

import torch

from llmcourse.checks.bank.drafting import accept_or_replace


def _drawn(weights, v):
    probs = weights.double() / weights.double().sum().clamp(min=1e-300)
    found = (probs.cumsum(0) > v).nonzero()
    return int(found[0]) if len(found) else int(probs.nonzero()[-1]) if probs.any() else 0


def _step(p, q, token, u, v, *, accept=None, left=None, draw=_drawn):
    """The step with one of its parts exchanged: when to accept, what is left, how to draw."""
    pt, qt = float(p[token]), float(q[token])
    if accept(u, pt, qt) if accept else u * qt < pt:
        return token
    return draw(left(p, q) if left else (p - q).clamp(min=0), v)


@accept_or_replace.mistake(
    "the quotient p / q as weights",
    hint="You draw by p / q. What p has more is a difference.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, left=lambda p, q: p / q.clamp(min=1e-9))


@accept_or_replace.mistake(
    "the larger of both",
    hint="You draw from max(p, q). It is max(p − q, 0).",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, left=torch.maximum)


@accept_or_replace.mistake(
    "the mean of both",
    hint="You draw from the mean of p and q. It is what p has more, max(p − q, 0).",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, left=lambda p, q: p + q)


@accept_or_replace.mistake(
    "from the draft again",
    hint="You draw the replacement from the draft. It comes from what p has more.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, left=lambda p, q: q)


@accept_or_replace.mistake(
    "the large model's likeliest token",
    hint="You replace by the likeliest token of p. It is drawn, by v, from what p has more.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, draw=lambda left, v: int(p.argmax()))


@accept_or_replace.mistake(
    "accepted by p · q",
    hint="You compare u with the product. It is the quotient p / q.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u < pt * qt)


@accept_or_replace.mistake(
    "accepted by 1 less the difference",
    hint="You compare u with 1 − (q − p). It is the quotient p / q.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u < 1 - (qt - pt))


@accept_or_replace.mistake(
    "accepted by the root of p / q",
    hint="You compare u with the root of p / q. It is p / q itself.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u * u * qt < pt)


@accept_or_replace.mistake(
    "accepted by the square of p / q",
    hint="You compare u with (p / q)². It is p / q itself.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: math.sqrt(u) * qt < pt)


@accept_or_replace.mistake(
    "accepted by e to the power of p − q",
    hint="You take p and q for log-probabilities. They are probabilities: divide.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u < math.exp(pt - qt))


@accept_or_replace.mistake(
    "accepted by 1 − p / q",
    hint="You accept if u is below 1 − p / q. That is how often it is *rejected*.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u * qt < qt - pt)


@accept_or_replace.mistake(
    "never accepted where q is larger",
    hint="You reject wherever the draft is surer than the model. It is accepted with probability "
    "p / q.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: pt >= qt)


@accept_or_replace.mistake(
    "accepted from half of p / q on",
    hint="You accept where p is at least half of q. u decides.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: pt >= qt / 2)


@accept_or_replace.mistake(
    "v as a share of what is left of the tokens",
    hint="You count off a share v of the tokens that have something left. Each takes as much room "
    "as it has probability.",
)
def _(p, q, token, u, v):
    def draw(left, v):
        there = left.nonzero()[:, 0]
        return int(there[int(v * len(there))]) if len(there) else token

    return _step(p, q, token, u, v, draw=draw)


@accept_or_replace.mistake(
    "the surplus divided by its largest",
    hint="You divide by the largest surplus. Divide by the sum.",
)
def _(p, q, token, u, v):
    def draw(left, v):
        found = ((left / left.max()).cumsum(0) > v).nonzero()
        return int(found[0]) if len(found) else len(left) - 1

    return _step(p, q, token, u, v, draw=draw)


@accept_or_replace.mistake(
    "the likeliest surplus first",
    hint="You sort what is left before you add it up. It is added up in the tokens' order.",
)
def _(p, q, token, u, v):
    def draw(left, v):
        weights, order = left.sort(descending=True, stable=True)
        return int(order[_drawn(weights, v)])

    return _step(p, q, token, u, v, draw=draw)


@accept_or_replace.mistake(
    "the rejected token as the last resort",
    hint="You leave the token where v is large. Once rejected, it is replaced in any case.",
)
def _(p, q, token, u, v):
    def draw(left, v):
        found = (left.cumsum(0) > v).nonzero()
        return int(found[0]) if len(found) else token

    return _step(p, q, token, u, v, draw=draw)


@accept_or_replace.mistake(
    "kept where it is to be replaced",
    hint="You replace where u is below p / q and keep the token where it is not. It is the other "
    "way round.",
)
def _(p, q, token, u, v):
    return _step(p, q, token, u, v, accept=lambda u, pt, qt: u * qt >= pt)


@accept_or_replace.mistake(
    "places counted from the end",
    hint="You add what is left up from the last token on. Begin with the first.",
)
def _(p, q, token, u, v):
    def draw(left, v):
        return len(left) - 1 - _drawn(left.flip(0), v)

    return _step(p, q, token, u, v, draw=draw)
