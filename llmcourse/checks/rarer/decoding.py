"""Rarer mistakes of the exercises on a cache and on patterns. Chapter 15 teaches this."""

import math

import torch

from llmcourse.checks.bank.decoding import allowed, attend_next


def _attend(q, k, v, keys, values, *, scores=None, weigh=None, cache=None):
    """One step of attention, with its scores, its weights or its cache exchanged."""
    keys = torch.cat([keys, k[None]]) if cache is None else cache(keys, k)
    values = torch.cat([values, v[None]]) if cache is None else cache(values, v)
    found = scores(keys, q) if scores else keys @ q / math.sqrt(q.size(-1))
    weights = weigh(found) if weigh else found.softmax(0)
    return weights @ values, keys, values


@attend_next.mistake(
    "a bias by distance",
    hint="You take something off the score, the farther a token lies back (ALiBi). All tokens "
    "before count by their scores alone.",
)
def _(q, k, v, keys, values):
    def weigh(s):
        far = torch.arange(len(s) - 1, -1, -1, dtype=s.dtype)
        return (s - 0.5 * far).softmax(0)

    return _attend(q, k, v, keys, values, weigh=weigh)


@attend_next.mistake(
    "the new token sees itself in an empty cache alone",
    hint="You let the new token see only those before, and itself where there are none. A token "
    "always sees itself, too.",
)
def _(q, k, v, keys, values):
    out, *cache = _attend(q, k, v, keys, values)
    return _attend(q, k, v, keys, values, cache=lambda old, _: old)[0] if len(keys) else out, *cache


@attend_next.mistake(
    "scores cut off at zero, then shared",
    hint="You cut scores off at 0 and divide by their sum. A softmax divides exponentials.",
)
def _(q, k, v, keys, values):
    def weigh(s):
        kept = s.relu() + 1e-6
        return kept / kept.sum()

    return _attend(q, k, v, keys, values, weigh=weigh)


@attend_next.mistake(
    "cosines over the root of the width",
    hint="You bring query and keys to length 1 and divide by √K, too. The product is taken as it "
    "is, and divided by √K.",
)
def _(q, k, v, keys, values):
    def scores(keys, q):
        return torch.nn.functional.cosine_similarity(keys, q[None], dim=-1) / math.sqrt(len(q))

    return _attend(q, k, v, keys, values, scores=scores)


@attend_next.mistake(
    "cosines in place of products",
    hint="You compare directions: query and keys are brought to length 1. The product is taken as "
    "it is, and divided by √K.",
)
def _(q, k, v, keys, values):
    def scores(keys, q):
        return torch.nn.functional.cosine_similarity(keys, q[None], dim=-1)

    return _attend(q, k, v, keys, values, scores=scores)


@attend_next.mistake(
    "distances in place of products",
    hint="You score by minus the squared distance. A score is the product of query and key, over "
    "√K.",
)
def _(q, k, v, keys, values):
    def scores(keys, q):
        return -((keys - q) ** 2).sum(-1) / math.sqrt(q.size(-1))

    return _attend(q, k, v, keys, values, scores=scores)


@attend_next.mistake(
    "sigmoids that add up to one",
    hint="You divide sigmoids by their sum. A softmax divides exponentials.",
)
def _(q, k, v, keys, values):
    def weigh(s):
        return torch.sigmoid(s) / torch.sigmoid(s).sum()

    return _attend(q, k, v, keys, values, weigh=weigh)


@attend_next.mistake(
    "linear attention",
    hint="You weigh by elu(q) + 1 times elu(k) + 1, as linear attention does. The scores go "
    "through a softmax.",
)
def _(q, k, v, keys, values):
    def scores(keys, q):
        elu = torch.nn.functional.elu
        return (elu(keys) + 1) @ (elu(q) + 1)

    return _attend(q, k, v, keys, values, scores=scores, weigh=lambda s: s / s.sum())


@attend_next.mistake(
    "an exponential without its sum",
    hint="Your weights are exponentials that nothing divides. They add up to 1.",
)
def _(q, k, v, keys, values):
    return _attend(q, k, v, keys, values, weigh=lambda s: (s - s.max()).exp())


@attend_next.mistake(
    "one more in the softmax's sum",
    hint="You add 1 to the sum of exponentials, so that a head may look at nothing. The weights "
    "add up to 1.",
)
def _(q, k, v, keys, values):
    def weigh(s):
        return torch.cat([s, s.new_zeros(1)]).softmax(0)[:-1]

    return _attend(q, k, v, keys, values, weigh=weigh)


@attend_next.mistake(
    "scores cut off",
    hint="You cut scores off at ±10. Large scores are taken as they are: a softmax can bear them.",
)
def _(q, k, v, keys, values):
    return _attend(q, k, v, keys, values, weigh=lambda s: s.clamp(-10, 10).softmax(0))


@attend_next.mistake(
    "scores bent by a tanh",
    hint="You bend scores by a tanh (a soft cap). They go into the softmax as they are.",
)
def _(q, k, v, keys, values):
    return _attend(q, k, v, keys, values, weigh=lambda s: (30 * torch.tanh(s / 30)).softmax(0))


@attend_next.mistake(
    "the oldest token falls out",
    hint="You drop the oldest token as the new one comes (a rolling cache). The cache "
    "grows by one.",
)
def _(q, k, v, keys, values):
    def cache(old, new):
        return torch.cat([old[1:], new[None]])

    return _attend(q, k, v, keys, values, cache=cache)


@attend_next.mistake(
    "the new token over the last one",
    hint="You write the new token over the last one of the cache. It is added behind it.",
)
def _(q, k, v, keys, values):
    def cache(old, new):
        return torch.cat([old[:-1], new[None]])

    return _attend(q, k, v, keys, values, cache=cache)


@attend_next.mistake(
    "a window of three",
    hint="You look at the last few tokens alone (a sliding window). The new one looks at all.",
)
def _(q, k, v, keys, values):
    def weigh(s):
        s = s.clone()
        s[: max(len(s) - 3, 0)] = -math.inf
        return s.softmax(0)

    return _attend(q, k, v, keys, values, weigh=weigh)


@attend_next.mistake(
    "the new token twice",
    hint="The new token is in your sums twice. It is one of the tokens looked at.",
)
def _(q, k, v, keys, values):
    _, keys, values = _attend(q, k, v, keys, values)
    again = torch.cat([keys, k[None]]), torch.cat([values, v[None]])
    return (again[0] @ q / math.sqrt(q.size(-1))).softmax(0) @ again[1], keys, values


@attend_next.mistake(
    "the output in the cache",
    hint="You put the output behind the values. It is the new token's own value that is kept.",
)
def _(q, k, v, keys, values):
    out, longer, _ = _attend(q, k, v, keys, values)
    return out, longer, torch.cat([values, out[None]])


@attend_next.mistake(
    "the query kept as the key",
    hint="You keep the query among the keys. The key is kept: nobody asks for an old query again.",
)
def _(q, k, v, keys, values):
    out, _, longer = _attend(q, k, v, keys, values)
    return out, torch.cat([keys, q[None]]), longer


@attend_next.mistake(
    "divided by the root of all numbers in the cache",
    hint="Your scores are divided by the square root of all numbers in the cache. It is the width "
    "K alone.",
)
def _(q, k, v, keys, values):
    return _attend(q, k, v, keys, values, scores=lambda keys, q: keys @ q / math.sqrt(keys.numel()))


@attend_next.mistake(
    "keys brought to spread one",
    hint="You normalise query and keys before the product (as some models do). They are taken as "
    "they are.",
)
def _(q, k, v, keys, values):
    def scores(keys, q):
        def even(x):
            return x * torch.rsqrt((x**2).mean(-1, keepdim=True) + 1e-6)

        return even(keys) @ even(q) / math.sqrt(q.size(-1))

    return _attend(q, k, v, keys, values, scores=scores)


@attend_next.mistake(
    "sorted by score",
    hint="You sort the weights and leave the values in their order.",
)
def _(q, k, v, keys, values):
    return _attend(q, k, v, keys, values, weigh=lambda s: s.softmax(0).sort(descending=True).values)


def _alive(steps, ends, rounds=None):
    """The states from which an end can be reached, after so many rounds of looking."""
    found = set(ends)
    for _ in range(len(steps) + 1 if rounds is None else rounds):
        found |= {begin for (begin, _), to in steps.items() if to in found}
    return found


def _walk(steps, at, piece):
    for character in piece:
        at = steps.get((at, character))
        if at is None:
            return None
    return at


def _may(steps, ends, state, pieces, *, alive=None, walk=_walk, empty=False):
    alive = _alive(steps, ends) if alive is None else alive
    return [(bool(p) or empty) and walk(steps, state, p) in alive for p in pieces]


@allowed.mistake(
    "each character from the same state, to one with a way out",
    hint="You ask for each character whether it leads on from `state`. The state moves with every "
    "character.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    return [bool(p) and all(steps.get((state, c)) in alive for c in p) for p in pieces]


@allowed.mistake(
    "an end within two more characters",
    hint="You look two characters ahead for an end. It may be any number away: look until nothing "
    "is new.",
)
def _(steps, ends, state, pieces):
    return _may(steps, ends, state, pieces, alive=_alive(steps, ends, 2))


@allowed.mistake(
    "an end reached by another token of the list",
    hint="You ask that one more *token* leads to an end. Any further characters may, in the "
    "vocabulary or not.",
)
def _(steps, ends, state, pieces):
    alive = set(ends)
    states = {begin for begin, _ in steps} | set(steps.values())
    for _ in range(len(states)):
        alive |= {s for s in states if any(p and _walk(steps, s, p) in alive for p in pieces)}
    return _may(steps, ends, state, pieces, alive=alive)


@allowed.mistake(
    "at least one character more",
    hint="You ask for a way on from where the token arrives. If that is an end, none is needed.",
)
def _(steps, ends, state, pieces):
    alive = _alive(steps, ends)
    going = {begin for (begin, _), to in steps.items() if to in alive}
    return _may(steps, ends, state, pieces, alive=going)


@allowed.mistake(
    "stops at an end",
    hint="A text stops in yours as soon as it is at an end. It *may* stop there, and may go on.",
)
def _(steps, ends, state, pieces):
    kept = {(at, c): to for (at, c), to in steps.items() if at not in ends}
    return _may(kept, ends, state, pieces)


@allowed.mistake(
    "as far as it leads",
    hint="You stop at the first character that leads nowhere, and judge the state before it. All "
    "characters have to lead on.",
)
def _(steps, ends, state, pieces):
    def walk(steps, at, piece):
        moved = None
        for character in piece:
            if (at, character) not in steps:
                break
            at = moved = steps[at, character]
        return moved

    return _may(steps, ends, state, pieces, walk=walk)


@allowed.mistake(
    "a state that goes on from token to token",
    hint="The state has moved when your next token is tried. Each begins at `state`.",
)
def _(steps, ends, state, pieces):
    alive, at, found = _alive(steps, ends), state, []
    for piece in pieces:
        to = _walk(steps, at, piece) if piece else None
        found.append(to in alive)
        at = to if to in alive else at
    return found


@allowed.mistake(
    "state 0 is no state",
    hint="You take the state 0 for none (it is false). Compare with None.",
)
def _(steps, ends, state, pieces):
    def walk(steps, at, piece):
        for character in piece:
            at = steps.get((at, character))
            if not at:
                return None
        return at

    return _may(steps, ends, state, pieces, walk=walk)


@allowed.mistake(
    "the largest state is the end",
    hint="You go for the largest state. `ends` says where a text may stop.",
)
def _(steps, ends, state, pieces):
    last = max([*steps.values(), *ends, state])
    return _may(steps, {last}, state, pieces)


@allowed.mistake(
    "one of the ends",
    hint="You look for the first of the ends alone. Any of them will do.",
)
def _(steps, ends, state, pieces):
    return _may(steps, set(sorted(ends)[:1]), state, pieces)


@allowed.mistake(
    "larger states come later",
    hint="You look for an end with a number at least as large. The numbers say nothing: follow the "
    "steps.",
)
def _(steps, ends, state, pieces):
    top = max(ends, default=-1)
    to = [_walk(steps, state, p) if p else None for p in pieces]
    return [at is not None and at <= top for at in to]


@allowed.mistake(
    "the token without characters at an end",
    hint="You allow the token without characters. It may not come.",
)
def _(steps, ends, state, pieces):
    return [
        (not p and state in ends) or m
        for p, m in zip(pieces, _may(steps, ends, state, pieces), strict=True)
    ]


@allowed.mistake(
    "the longest tokens alone",
    hint="You keep those among the allowed tokens that no longer one begins with. A shorter one "
    "may come, too.",
)
def _(steps, ends, state, pieces):
    may = _may(steps, ends, state, pieces)
    good = [p for p, m in zip(pieces, may, strict=True) if m]
    longer = {p for p in good if any(o != p and o.startswith(p) for o in good)}
    return [m and p not in longer for p, m in zip(pieces, may, strict=True)]


@allowed.mistake(
    "a token that comes again is refused",
    hint="You allow each text of a token once. The vocabulary may hold it twice: both may come.",
)
def _(steps, ends, state, pieces):
    may = _may(steps, ends, state, pieces)
    return [m and p not in pieces[:i] for i, (p, m) in enumerate(zip(pieces, may, strict=True))]


@allowed.mistake(
    "no state twice within a token",
    hint="You refuse a token that comes back to a state. An automaton may go in circles.",
)
def _(steps, ends, state, pieces):
    def walk(steps, at, piece):
        seen = {at}
        for character in piece:
            at = steps.get((at, character))
            if at is None or at in seen:
                return None
            seen.add(at)
        return at

    return _may(steps, ends, state, pieces, walk=walk)


@allowed.mistake(
    "the states that each token leads to",
    hint="You return states. Truth values are asked for.",
)
def _(steps, ends, state, pieces):
    return [_walk(steps, state, p) for p in pieces]
