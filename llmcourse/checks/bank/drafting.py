"""The exercise on speculative decoding: a drafted token is accepted, or replaced.

Not here: how long a draft should be (`decoding.py`), the exercise's text (`solutions/`), and how
checking works (`harness.py`). Chapter 15 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "15"
SPECULATIVE = "10. Can a small model write for a large one?"


def _inverse(p: Tensor, u: float) -> int:
    """The first token whose cumulated probability exceeds `u`; the last one, if none does."""
    found = (p.cumsum(0) > u).nonzero()
    return int(found[0]) if len(found) else len(p) - 1


# 7. Accept or replace


@exercise(CHAPTER, strict=False, read=SPECULATIVE)
def accept_or_replace(
    p: Float[Tensor, " V"], q: Float[Tensor, " V"], token: int, u: float, v: float
) -> int:
    """`token` if `u < p / q` there, else a draw by `v` from what p has more than q."""
    if u * float(q[token]) < float(p[token]):
        return token
    return _replaced(p - q, v)


def _replaced(left: Tensor, v: float) -> int:
    left = left.clamp(min=0)
    return _inverse(left / left.sum().clamp(min=1e-12), v)


@accept_or_replace.cases
def _() -> Iterator[Case]:
    p, q = torch.tensor([0.5, 0.1, 0.2, 0.2]), torch.tensor([0.1, 0.45, 0.05, 0.4])
    for token in range(4):
        for u in (0.15, 0.3, 0.6, 0.9):
            for v in (0.1, 0.6, 0.8, 0.95):
                yield case(f"token {token}, u = {u}, v = {v}", p, q, token, u, v)
    more = torch.tensor([0.05, 0.3, 0.15, 0.1, 0.4])
    less = torch.tensor([0.3, 0.35, 0.05, 0.25, 0.05])
    for token, u in ((0, 0.03), (0, 0.12), (0, 0.76), (1, 0.35), (1, 0.7), (3, 0.12), (3, 0.35)):
        yield case(f"five tokens, {token}, u = {u}", more, less, token, u, 0.25)
    for token, u in ((0, 0.35), (1, 0.9), (3, 0.7)):
        for v in (0.05, 0.25, 0.9):
            yield case(f"five tokens, {token}, u = {u}, v = {v}", more, less, token, u, v)
    yield case("both agree", q, q, 1, 0.4, 0.5)
    half, even = torch.tensor([0.5, 0.5, 0.0, 0.0]), torch.full((4,), 0.25)
    yield case("v is a sum exactly", half, even, 3, 0.5, 0.5)
    yield case("u is the quotient exactly", even, half, 0, 0.5, 0.7)
    yield case("the large model rules it out", half, even, 2, 0.0, 0.2)


@accept_or_replace.mistake(
    "replaced from p",
    hint="A rejected token is replaced from what p has *more* than q, not from p.",
)
def _(p, q, token, u, v):
    return token if u * q[token] < p[token] else _inverse(p, v)


@accept_or_replace.mistake(
    "the residual not normalised", hint="max(p − q, 0) must sum to one before you draw from it."
)
def _(p, q, token, u, v):
    return token if u * q[token] < p[token] else _inverse((p - q).clamp(min=0), v)


@accept_or_replace.mistake(
    "the ratio upside down", hint="A token that the draft likes too much is rejected: p over q."
)
def _(p, q, token, u, v):
    return token if u * p[token] < q[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted if it is the likeliest",
    hint="Whether it is p's favourite does not matter: `u` decides, against p / q at the token.",
)
def _(p, q, token, u, v):
    return token if token == int(p.argmax()) else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted below the difference",
    hint="The chance to accept is a ratio, p / q, not a difference.",
)
def _(p, q, token, u, v):
    return token if u < p[token] - q[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted with probability p", hint="It was drawn from q already: compare `u` with p / q."
)
def _(p, q, token, u, v):
    return token if u < p[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "the residual the wrong way round", hint="What is missing is what p has more than q: p − q."
)
def _(p, q, token, u, v):
    return token if u * q[token] < p[token] else _replaced(q - p, v)


@accept_or_replace.mistake(
    "always accepted", hint="Then q comes out, not p. Compare `u` with p / q."
)
def _(p, q, token, u, v):
    return token


@accept_or_replace.mistake(
    "kept when it is to go", hint="`u` *below* the quotient keeps the token: `<`."
)
def _(p, q, token, u, v):
    return token if u > p[token] / q[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted if p is larger than q", hint="Chance decides: compare `u` with p / q."
)
def _(p, q, token, u, v):
    return token if p[token] > q[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted with probability q", hint="Compare `u` with p / q, not with q."
)
def _(p, q, token, u, v):
    return token if u < q[token] else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted with the smallest quotient", hint="Compare with p / q *at that token*."
)
def _(p, q, token, u, v):
    return token if u < (p / q).min() else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted with the overlap",
    hint="The overlap is the mean of all tokens. Compare with p / q at that token.",
)
def _(p, q, token, u, v):
    return token if u < torch.minimum(p, q).sum() else _replaced(p - q, v)


@accept_or_replace.mistake("accepted with 1 - p / q", hint="`u` below p / q *keeps* the token.")
def _(p, q, token, u, v):
    return token if u < 1 - p[token] / q[token] else _replaced(p - q, v)


@accept_or_replace.mistake("accepted with p / (p + q)", hint="The quotient is p / q.")
def _(p, q, token, u, v):
    return token if u < p[token] / (p[token] + q[token]) else _replaced(p - q, v)


@accept_or_replace.mistake(
    "accepted above one half", hint="Chance decides, not 0.5: compare `u` with p / q."
)
def _(p, q, token, u, v):
    return token if p[token] / q[token] > 0.5 else _replaced(p - q, v)


@accept_or_replace.mistake(
    "the likeliest residual",
    hint="Draw by `v`, as in exercise 1: the likeliest alone is not enough.",
)
def _(p, q, token, u, v):
    return token if u < p[token] / q[token] else int((p - q).argmax())


@accept_or_replace.mistake(
    "a softmax, or a quotient, for what is left",
    hint="max(p − q, 0), over its sum: a softmax, or a quotient, gives every token a chance.",
)
def _(p, q, token, u, v):
    return token if u < p[token] / q[token] else _inverse((p - q).softmax(0), v)


@accept_or_replace.mistake(
    "a softmax of the residual", hint="Divide by the sum: under a softmax a 0 still has a chance."
)
def _(p, q, token, u, v):
    left = (p - q).clamp(min=0).softmax(0)
    return token if u < p[token] / q[token] else _inverse(left, v)


@accept_or_replace.mistake(
    "magnitudes of the differences", hint="max(p − q, 0): where q has more, nothing is left."
)
def _(p, q, token, u, v):
    left = (p - q).abs()
    return token if u < p[token] / q[token] else _inverse(left / left.sum(), v)


@accept_or_replace.mistake(
    "replaced from p without the token",
    hint="Leave out not the token alone: all that q has more of.",
)
def _(p, q, token, u, v):
    left = p.clone()
    left[token] = 0
    return token if u < p[token] / q[token] else _inverse(left / left.sum(), v)


@accept_or_replace.mistake(
    "replaced from q", hint="That is the draft again. Take what p has more than q."
)
def _(p, q, token, u, v):
    return token if u < p[token] / q[token] else _inverse(q, v)


@accept_or_replace.mistake(
    "replaced from the overlap",
    hint="The overlap is what is *accepted*. Take what p has more than q.",
)
def _(p, q, token, u, v):
    left = torch.minimum(p, q)
    return token if u < p[token] / q[token] else _inverse(left / left.sum(), v)


@accept_or_replace.mistake(
    "always drawn from p", hint="Then no draft is used: keep `token` if `u` is below p / q."
)
def _(p, q, token, u, v):
    return _inverse(p, v)


@accept_or_replace.mistake("yes or no", hint="Return the token that is written.")
def _(p, q, token, u, v):
    return bool(u < p[token] / q[token])


@accept_or_replace.mistake("u used twice", hint="The new token is drawn by `v`: `u` has been used.")
def _(p, q, token, u, v):
    return token if u < p[token] / q[token] else _replaced(p - q, u)


@accept_or_replace.mistake("drawn anew", hint="Chance is in `v` already: draw nothing yourself.")
def _(p, q, token, u, v):
    left = (p - q).clamp(min=0)
    return token if u < p[token] / q[token] else int(torch.multinomial(left + 1e-30, 1))
