"""The exercises on decoding: a step with a cache, tokens that a pattern allows, a draft's length.

Not here: samplers, beams, the step of speculative decoding (`generation.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 15 teaches this.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.generate.speculative import expected_written

CHAPTER = "15"
CACHE = "7. Why read the whole text again?"
FORBID = "9. Can you forbid what must not be?"
SPECULATIVE = "10. Can a small model write for a large one?"

# 5. One token and a cache

Step = tuple[Float[Tensor, " K"], Float[Tensor, "N K"], Float[Tensor, "N K"]]


def _as_tuple(answer, q, k, v, keys, values):
    """Three results in a list are as good as in a tuple."""
    found = answer(q, k, v, keys, values)
    return tuple(found) if isinstance(found, list) else found


@exercise(CHAPTER, axes=("K", "S K", "S K"), call=_as_tuple, read=CACHE)
def attend_next(
    q: Float[Tensor, " K"],
    k: Float[Tensor, " K"],
    v: Float[Tensor, " K"],
    keys: Float[Tensor, "S K"],
    values: Float[Tensor, "S K"],
) -> Step:
    """What the new token's attention gives, and the cache with the new token in it."""
    keys, values = torch.cat([keys, k[None]]), torch.cat([values, v[None]])
    return scaled_dot_product_attention(q[None], keys, values)[0], keys, values


@attend_next.cases
def _() -> Iterator[Case]:
    past = torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [3.0]])
    yield case("by hand", torch.zeros(1), torch.ones(1), torch.tensor([5.0]), *past)
    for length, width in ((3, 4), (1, 8), (5, 5), (7, 2)):
        new = (2 * torch.randn(width) for _ in range(3))
        yield case(f"{length} before", *new, torch.randn(length, width), torch.randn(length, width))
    yield case("an empty cache", *torch.randn(3, 4), torch.empty(0, 4), torch.empty(0, 4))
    large = 40 * torch.randn(3, 4)
    yield case("large scores", *large, 40 * torch.randn(2, 4), torch.randn(2, 4))


def _attended(q, keys, values, *, root=True):
    return (keys @ q / (math.sqrt(len(q)) if root else 1)).softmax(0) @ values


def _longer(k, v, keys, values):
    return torch.cat([keys, k[None]]), torch.cat([values, v[None]])


@attend_next.mistake(
    "the new token does not see itself",
    hint="Put its key and value into the cache first: in a causal model a token sees itself, too.",
)
def _(q, k, v, keys, values):
    return _attended(q, keys, values), *_longer(k, v, keys, values)


@attend_next.mistake(
    "the cache as it was", hint="The next token needs this one's key and value: return them, too."
)
def _(q, k, v, keys, values):
    return _attended(q, *_longer(k, v, keys, values)), keys, values


@attend_next.mistake("no square root", hint="Divide the scores by the square root of the width K.")
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, keys, values, root=False), keys, values


@attend_next.mistake(
    "divided by the width", hint="It is the *square root* of the width that divides the scores."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q / len(q) ** 0.5, keys, values), keys, values


@attend_next.mistake(
    "the root of the length",
    hint="The scores are divided by the root of a head's *width* K, not of the number of tokens.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return (keys @ q / len(keys) ** 0.5).softmax(0) @ values, keys, values


@attend_next.mistake(
    "the new token in front",
    hint="What comes out is right, but the cache is in the order of the text: append at the end.",
)
def _(q, k, v, keys, values):
    keys, values = torch.cat([k[None], keys]), torch.cat([v[None], values])
    return _attended(q, keys, values), keys, values


@attend_next.mistake(
    "the query in the cache", hint="A past query is not asked again: the *key* is kept."
)
def _(q, k, v, keys, values):
    keys, values = _longer(q, v, keys, values)
    return _attended(q, keys, values), keys, values


@attend_next.mistake(
    "keys and values exchanged", hint="Scores come from the keys; the *values* are averaged."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, values, keys), keys, values


@attend_next.mistake(
    "no softmax", hint="The scores become weights, above 0 and with sum 1, by a softmax."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return keys @ q / len(q) ** 0.5 @ values, keys, values


@attend_next.mistake(
    "the exponential as it stands",
    hint="The exponential of a large score is infinite, and infinity by infinity no number. "
    "`softmax` takes care of that.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    weights = (keys @ q / len(q) ** 0.5).exp()
    return weights / weights.sum() @ values, keys, values


@attend_next.mistake(
    "the output alone", hint="Three things are to be returned: the output, the keys, the values."
)
def _(q, k, v, keys, values):
    return _attended(q, *_longer(k, v, keys, values))


@attend_next.mistake(
    "keys and values swapped in the result",
    hint="Return the output, the keys, the values, in this order.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, keys, values), values, keys


@attend_next.mistake("the output last", hint="Return the output first, then keys and values.")
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return keys, values, _attended(q, keys, values)


@attend_next.mistake(
    "the likeliest place alone", hint="Attention is a *mean*, weighted by a softmax: no argmax."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return values[(keys @ q).argmax()], keys, values


@attend_next.mistake(
    "the plain mean", hint="The weights come from the scores: a softmax of keys times query."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return values.mean(0), keys, values


@attend_next.mistake(
    "a softmax for each feature",
    hint="A score is one number for each token: sum over the width first.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    weights = (keys * q / math.sqrt(len(q))).softmax(0)
    return (weights * values).sum(0), keys, values


@attend_next.mistake(
    "the weighted values, not added up",
    hint="The output is *one* vector of K: add up over the tokens.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    weights = (keys @ q / math.sqrt(len(q))).softmax(0)
    return weights[:, None] * values, keys, values


@attend_next.mistake(
    "the first token falls out of the cache", hint="The cache grows: it has S + 1 tokens then."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, keys, values), keys[1:], values[1:]


@attend_next.mistake(
    "half of the new value",
    hint="The new token is one among all: put it into the cache, then take the softmax.",
)
def _(q, k, v, keys, values):
    old = _attended(q, keys, values) if len(keys) else v
    return (old + v) / 2, *_longer(k, v, keys, values)


@attend_next.mistake(
    "the new value added", hint="The new value is in the mean already: add nothing."
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, keys, values) + v, keys, values


@attend_next.mistake(
    "divided by the sum of the scores",
    hint="Scores may be below 0. A softmax makes weights of them.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    scores = keys @ q / math.sqrt(len(q))
    return scores / scores.sum() @ values, keys, values


@attend_next.mistake(
    "the key in front, the value behind",
    hint="Keys and values stand in the same order: both behind.",
)
def _(q, k, v, keys, values):
    keys = torch.cat([k[None], keys])
    values = torch.cat([values, v[None]])
    return _attended(q, keys, values), keys, values


@attend_next.mistake(
    "the mean of the scores taken off",
    hint="For large scores take off the *largest*: then nothing overflows.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    scores = keys @ q / math.sqrt(len(q))
    weights = (scores - scores.mean()).exp()
    return weights @ values / weights.sum(), keys, values


@attend_next.mistake(
    "the first token is not seen",
    hint="The new token looks at all tokens before, the first one, too.",
)
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    if len(keys) == 1:
        return v.clone(), keys, values
    weights = (keys @ q / math.sqrt(len(q))).softmax(0)
    return weights[1:] @ values[1:], keys, values


@attend_next.mistake("always the root of 64", hint="The width is that of `q`: `len(q)`.")
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return (keys @ q / 8).softmax(0) @ values, keys, values


@attend_next.mistake("an axis too many", hint="The output is `[K]`, with no axis in front.")
def _(q, k, v, keys, values):
    keys, values = _longer(k, v, keys, values)
    return _attended(q, keys, values)[None], keys, values


# 6. What a pattern allows

Steps = dict[tuple[int, str], int]


def _as_list(answer, steps, ends, state, pieces):
    """A tensor or an array of truth values is as good as a list."""
    found = answer(steps, ends, state, pieces)
    return found.tolist() if hasattr(found, "tolist") else found


@exercise(CHAPTER, strict=False, call=_as_list, read=FORBID)
def allowed(steps: Steps, ends: set[int], state: int, pieces: list[str]) -> list[bool]:
    """Whether each token leads on, to where one of `ends` can still be reached."""
    return [_walk(steps, state, piece) in _alive(steps, ends) and bool(piece) for piece in pieces]


def _walk(steps, state, piece):
    for character in piece:
        state = steps.get((state, character))
    return state


def _alive(steps, ends, rounds=99):
    """States from which one of `ends` can be reached, in so many steps at the most."""
    alive = set(ends)
    for _ in range(rounds):
        alive |= {begin for (begin, _), end in steps.items() if end in alive}
    return alive


@allowed.cases
def _() -> Iterator[Case]:
    hand = {(0, "a"): 1, (1, "b"): 2, (0, "c"): 3}
    yield case("by hand", hand, {2}, 0, ["a", "ab", "c", "b", ""])
    yield case("in the middle", hand, {2}, 1, ["a", "b", "ab", "bb"])
    yield case("at the end", hand, {2}, 2, ["a", "b", ""])
    date = {(n, digit): n + 1 for n in (0, 1, 3, 4) for digit in "0123"} | {(2, "."): 3}
    pieces = ["1", "12", "1.", "12.", "12.3", "12.30", "12.301", ".", "x1", "1x", "3.0"]
    yield case("a date", date, {5}, 0, pieces)
    yield case("a date, one digit is there", date, {5}, 1, pieces)
    ring = {(0, "a"): 1, (1, "b"): 0, (0, "x"): 2, (2, "y"): 3, (3, "y"): 2, (1, "."): 4}
    yield case("a ring without a way out", ring, {4}, 0, ["a", "ab", "aba.", "x", "xy", "ab."])
    long = {(n, "a"): n + 1 for n in range(12)} | {(0, "b"): 20} | {(20, "b"): 20}
    yield case("the end is far away", long, {12}, 0, ["a", "aaa", "b", "a" * 12, "a" * 13])
    yield case("no end at all", hand, set(), 0, ["a", "c"])
    yield case("two ends, one of them goes on", {(0, "a"): 1, (1, "a"): 1}, {0, 1}, 1, ["a", "b"])
    yield case("no tokens", hand, {2}, 0, [])
    yield case("a capital is another character", hand, {2}, 0, ["ab", "Ab", "aB"])
    fork = {(0, "a"): 1, (0, "b"): 2, (0, "c"): 3, (3, "a"): 0}
    yield case("two ends, on two ways", fork, {1, 2}, 0, ["a", "b", "c", "ca", "cc"])
    yield case("the end is three characters away", long, {4}, 0, ["a", "b"])
    blank = {(0, " "): 1, (1, "a"): 2, (0, "b"): 2}
    yield case("a blank is a character", blank, {2}, 0, [" a", "a", "b", "b "])
    yield case("a token that stands there twice", hand, {2}, 0, ["a", "ab", "a"])
    beyond = hand | {(1, "c"): 3, (2, "d"): 3}
    yield case("ways that lead astray", beyond, {2}, 0, ["ab", "abx", "acx", "ca", "abd"])
    row = {(n, "a"): n + 1 for n in range(9)}
    yield case(
        "steps in any order",
        dict(sorted(row.items(), key=lambda s: s[0][0] % 3)),
        {9},
        0,
        ["a", "aa"],
    )


@allowed.mistake(
    "dead ends allowed",
    hint="A token may lead on, and then no text ever comes to its end. Look whether one of `ends` "
    "can still be reached.",
)
def _(steps, ends, state, pieces):
    return [bool(piece) and _walk(steps, state, piece) is not None for piece in pieces]


@allowed.mistake(
    "the text must end at once",
    hint="After the token the text may go on. It is enough that an end can be *reached*.",
)
def _(steps, ends, state, pieces):
    return [bool(piece) and _walk(steps, state, piece) in ends for piece in pieces]


@allowed.mistake(
    "one character looked ahead",
    hint="You look one character beyond the token. The end may be further away: repeat it until "
    "nothing is new.",
)
def _(steps, ends, state, pieces):
    near = _alive(steps, ends, 1)
    return [bool(piece) and _walk(steps, state, piece) in near for piece in pieces]


@allowed.mistake(
    "the first character alone",
    hint="A token has several characters; each must lead on from where the one before it led.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(piece) and _walk(steps, state, piece[:1]) in alive for piece in pieces]


@allowed.mistake(
    "as far as it goes", hint="A token that leaves the pattern in its middle is not allowed."
)
def _(steps, ends, state, pieces):
    alive, found = _alive(steps, ends), []
    for piece in pieces:
        at = state
        for character in piece:
            if (at, character) not in steps:
                break
            at = steps[at, character]
        found.append(at != state and at in alive)
    return found


@allowed.mistake(
    "what leads nowhere is skipped",
    hint="A character that leads nowhere forbids its token: it is not passed over.",
)
def _(steps, ends, state, pieces):
    alive, found = _alive(steps, ends), []
    for piece in pieces:
        at = state
        for character in piece:
            at = steps.get((at, character), at)
        found.append(bool(piece) and at in alive)
    return found


@allowed.mistake(
    "each character from the same state, and the last one decides",
    hint="The second character starts where the first has led, not in `state` again.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    led = [[steps.get((state, character)) for character in piece] for piece in pieces]
    return [bool(some) and None not in some and some[-1] in alive for some in led]


@allowed.mistake(
    "a token read up to the first end",
    hint="All characters of a token count: those behind an end must lead on as well.",
)
def _(steps, ends, state, pieces):
    alive, found = _alive(steps, ends), []
    for piece in pieces:
        at = state
        for character in piece:
            at = steps.get((at, character))
            if at is None or at in ends:
                break
        found.append(bool(piece) and at in alive)
    return found


@allowed.mistake(
    "some way on is enough",
    hint="That a character leads on from there is not enough: the way must come to one of `ends`.",
)
def _(steps, ends, state, pieces):
    leads = {begin for begin, _ in steps} | ends
    return [bool(piece) and _walk(steps, state, piece) in leads for piece in pieces]


@allowed.mistake("always from the beginning", hint="The text is in `state` now, not in state 0.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(piece) and _walk(steps, 0, piece) in alive for piece in pieces]


@allowed.mistake(
    "a token of nothing allowed",
    hint="A token without characters leaves the state as it is: a text could be made of it for "
    "ever. It is not allowed.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [_walk(steps, state, piece) in alive for piece in pieces]


@allowed.mistake("what is forbidden", hint="True is for tokens that *may* come.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [not (piece and _walk(steps, state, piece) in alive) for piece in pieces]


@allowed.mistake(
    "the last character alone",
    hint="Walk through all of a token's characters, one after the other.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(p) and _walk(steps, state, p[-1:]) in alive for p in pieces]


@allowed.mistake(
    "the characters backwards", hint="Read a token's characters from the first to the last."
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(p) and _walk(steps, state, p[::-1]) in alive for p in pieces]


@allowed.mistake("the tokens themselves", hint="Return True or False for *each* token.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [p for p in pieces if p and _walk(steps, state, p) in alive]


@allowed.mistake(
    "the numbers of the tokens",
    hint="Return True or False for *each* token, not the numbers of those that may come.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [n for n, p in enumerate(pieces) if p and _walk(steps, state, p) in alive]


@allowed.mistake("a set", hint="Return a list of True and False, in the order of the tokens.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return {p for p in pieces if p and _walk(steps, state, p) in alive}


@allowed.mistake(
    "the ends are not alive", hint="A text may stop in an end: nothing need come after it."
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends) - set(ends)
    return [bool(p) and _walk(steps, state, p) in alive for p in pieces]


@allowed.mistake(
    "each character from the same state",
    hint="Each character leads on from where the one *before* it has led.",
)
def _(steps, ends, state, pieces):
    return [bool(p) and all((state, c) in steps for c in p) for p in pieces]


@allowed.mistake(
    "characters that occur somewhere",
    hint="A character must lead on from the state in which the text is.",
)
def _(steps, ends, state, pieces):
    known = {character for _, character in steps}
    return [bool(p) and set(p) <= known for p in pieces]


@allowed.mistake(
    "the state is carried to the next token",
    hint="Begin with `state` anew for each token: they are alternatives.",
)
def _(steps, ends, state, pieces):
    alive, found = _alive(steps, ends), []
    for p in pieces:
        state = _walk(steps, state, p)
        found.append(bool(p) and state in alive)
    return found


@allowed.mistake(
    "looked before the token, not after", hint="An end must be reachable *after* the token."
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [state in alive and bool(p) and _walk(steps, state, p) is not None for p in pieces]


@allowed.mistake("everything at an end", hint="In an end, too, a token must lead on.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(p) and (state in ends or _walk(steps, state, p) in alive) for p in pieces]


@allowed.mistake("one of the ends alone", hint="A text may stop in *any* state of `ends`.")
def _(steps, ends, state, pieces):
    alive = _alive(steps, {max(ends)} if ends else ends)
    return [bool(p) and _walk(steps, state, p) in alive for p in pieces]


@allowed.mistake(
    "five characters looked ahead", hint="The end may be further away: go on until nothing is new."
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends, 5)
    return [bool(p) and _walk(steps, state, p) in alive for p in pieces]


@allowed.mistake(
    "once through the steps",
    hint="One pass finds what happens to stand in a good order. Repeat it until nothing is new.",
)
def _(steps, ends, state, pieces):
    alive = set(ends)
    for (begin, _), end in steps.items():
        alive |= {begin} if end in alive else set()
    return [bool(p) and _walk(steps, state, p) in alive for p in pieces]


@allowed.mistake(
    "once through the steps, backwards",
    hint="One pass is not enough in any order. Repeat it until nothing is new.",
)
def _(steps, ends, state, pieces):
    alive = set(ends)
    for (begin, _), end in reversed(list(steps.items())):
        alive |= {begin} if end in alive else set()
    return [bool(p) and _walk(steps, state, p) in alive for p in pieces]


# 8. How many tokens should be drafted?

COST = 0.1
"""What a draft's token costs, where a call of the large model costs 1."""
LONGEST = 12


def pair() -> tuple[Tensor, Tensor]:
    """The distributions of a large model and of its draft, over 20 tokens."""
    dice = torch.Generator().manual_seed(15)
    logits, noise = torch.randn(2, 20, generator=dice, dtype=torch.float64)
    return (1.5 * logits).softmax(0), (1.5 * logits + 0.62 * noise).softmax(0)


def _acceptance() -> float:
    return float(torch.minimum(*pair()).sum())


def _speed(n: int, *, extra: float = 0.0, cost: float = COST, sure: bool = False) -> float:
    """Tokens in the time of one call of the large model, with drafts of `n` tokens."""
    written = n + 1 if sure else expected_written(_acceptance(), n)
    return (written + extra) / (1 + cost * n)


def _best(**changed) -> float:
    return max(_speed(n, **changed) for n in range(1, LONGEST + 1))


@value(CHAPTER, rel=0.03, read=SPECULATIVE)
def best_speed() -> float:
    """The largest number of tokens in the time of one call of the large model."""
    return _best()


@best_speed.mistake(
    "the token behind the drafts forgotten",
    hint="Every call writes one token more than it accepts: the replacement, or one behind the "
    "last draft. That is the 1 at the front of the sum.",
)
def _():
    return _best(extra=-1.0)


@best_speed.mistake(
    "the draft's time forgotten", hint="Drafts are cheap, not free: each of them costs 0.1."
)
def _():
    return _best(cost=0.0)


@best_speed.mistake(
    "every draft accepted",
    hint="A draft is accepted with probability a, and only if all before it were.",
)
def _():
    return _best(sure=True)


@best_speed.mistake(
    "the longest draft", hint="That is the speed for N = 12. Another N is faster: try all of them."
)
def _():
    return _speed(LONGEST)


@best_speed.mistake("a draft of one token", hint="That is the speed for N = 1. Try more.")
def _():
    return _speed(1)


@best_speed.mistake(
    "the number of tokens drafted",
    hint="That is the best N. Hand in how many tokens it writes in the time of one call.",
)
def _():
    return float(max(range(1, LONGEST + 1), key=_speed))


why_not_longer = choice(
    CHAPTER,
    "why_not_longer",
    right=(
        "d",
        "Token n of a draft is used with probability a to the power of n. At some n that is worth "
        "less than the time that it takes to draft it.",
    ),
    wrong={
        "a": "The text has the large model's distribution, whatever N is.",
        "b": "The large model reads them all at once, and in the exercise a call always costs 1.",
        "c": "Each is accepted with the same probability a, if it comes to be looked at. What "
        "falls is the chance that it is looked at.",
    },
    read=SPECULATIVE,
)
