"""Rarer mistakes of the exercise on how sure a CRF is of each tag. Chapter 12 teaches this."""

import torch

from llmcourse.checks.bank.crf_certainty import marginals


def _left(emissions, transitions, start, join=torch.logsumexp):
    alphas = [start + emissions[0]]
    for emission in emissions[1:]:
        alphas.append(join(alphas[-1][:, None] + transitions, 0) + emission)
    return torch.stack(alphas)


def _right(emissions, transitions, end, join=torch.logsumexp):
    betas = [end]
    for emission in emissions[1:].flip(0):
        betas.append(join(transitions + emission + betas[-1], 1))
    return torch.stack(betas[::-1])


def _both(emissions, transitions, start, end, join=torch.logsumexp):
    return _left(emissions, transitions, start, join) + _right(emissions, transitions, end, join)


def _of(name, hint, change):
    """Marginals of scores that `change` makes of the right ones."""

    @marginals.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return _both(*change(emissions, transitions, start, end)).softmax(-1)


_of(
    "start and end exchanged",
    "You begin with `end` and end with `start`.",
    lambda e, a, s, z: (e, a, z, s),
)
_of(
    "neither start nor end",
    "You leave out both `start` and `end`.",
    lambda e, a, s, z: (e, a, 0 * s, 0 * z),
)
_of(
    "no start",
    "You leave out `start`. A first tag has its scores.",
    lambda e, a, s, z: (e, a, 0 * s, z),
)
_of(
    "no transitions",
    "You leave out the transitions. Neighbours have a say.",
    lambda e, a, s, z: (e, 0 * a, s, z),
)
_of(
    "the transitions turned round in both walks",
    "You read the transitions the other way in both walks. Row i is where one came from.",
    lambda e, a, s, z: (e, a.mT, s, z),
)
_of(
    "transitions normalised",
    "You take a log-softmax of the transitions. Scores are taken as they are.",
    lambda e, a, s, z: (e, a.log_softmax(-1), s, z),
)
_of(
    "emissions as probabilities",
    "You take a softmax of the emissions first. Scores are taken as they are.",
    lambda e, a, s, z: (e.softmax(-1), a, s, z),
)
_of(
    "start and end at every word",
    "You add `start` and `end` at every word. They belong to the first and the last one.",
    lambda e, a, s, z: (e + s + z, a, 0 * s, 0 * z),
)
_of(
    "the emissions twice",
    "You count each emission twice. It belongs to one of the two walks.",
    lambda e, a, s, z: (2 * e, a, s, z),
)
_of(
    "the transitions twice",
    "You count each transition twice.",
    lambda e, a, s, z: (e, 2 * a, s, z),
)
_of(
    "half as sure",
    "You halve all scores. They are taken as they are.",
    lambda e, a, s, z: (e / 2, a / 2, s / 2, z / 2),
)
_of(
    "the signs turned",
    "You use scores as costs. A large score is good.",
    lambda e, a, s, z: (-e, -a, -s, -z),
)
_of(
    "no tag twice in a row",
    "You leave out sequences with the same tag twice in a row. All sequences count.",
    lambda e, a, s, z: (e, a.masked_fill(torch.eye(len(a)).bool(), -1e4), s, z),
)


def _from(name, hint, make):
    @marginals.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return make(emissions, transitions, start, end)


_from(
    "from the left alone, the end in it",
    "You look at the words so far. What comes behind a word counts for it, too.",
    lambda e, a, s, z: (_left(e, a, s) + torch.cat([0 * e[:-1], z[None]])).softmax(-1),
)
_from(
    "from the right alone, with the emissions",
    "You look at a word and what lies behind it. What comes before it counts, too.",
    lambda e, a, s, z: (_right(e, a, z) + e).softmax(-1),
)
_from(
    "the word's emission in both walks, not summing to one",
    "Both walks have the word's own emission, so rows do not sum to one. It counts once.",
    lambda e, a, s, z: (_both(e, a, s, z) + e - _both(e, a, s, z)[-1:].logsumexp(-1)).exp(),
)
_from(
    "ones where the surest tags are",
    "You return 0 and 1. Asked for are probabilities.",
    lambda e, a, s, z: torch.nn.functional.one_hot(_both(e, a, s, z).argmax(-1), e.size(1)).to(
        e.dtype
    ),
)
_from(
    "the numbers of the surest tags",
    "You return the surest tags. Asked for is each tag's probability.",
    lambda e, a, s, z: _both(e, a, s, z).argmax(-1),
)
_from(
    "the second walk one word on",
    "Your second walk is one word off: beta of a word has nothing of it or before it.",
    lambda e, a, s, z: (_left(e, a, s) + torch.cat([_right(e, a, z)[1:], 0 * e[:1]])).softmax(-1),
)


def _walked(name, hint, back):
    """Marginals with another second walk: `back(transitions, emission here, there, beta)`."""

    @marginals.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        betas = [end]
        for place in range(len(emissions) - 2, -1, -1):
            here, there = emissions[place], emissions[place + 1]
            betas.insert(0, back(transitions, here, there, betas[0]))
        return (_left(emissions, transitions, start) + torch.stack(betas)).softmax(-1)


_walked(
    "the second walk keeps the best way",
    "Your second walk keeps the best way. All ways count there, too.",
    lambda a, here, there, beta: (a + there + beta).amax(1),
)
_walked(
    "the emission after the sum, in the second walk",
    "Your second walk adds the emission after the sum, to the wrong tag. It belongs to j, inside.",
    lambda a, here, there, beta: (a + beta).logsumexp(1) + there,
)


@marginals.mistake(
    "the second walk begins with nothing, the end is in log Z alone",
    hint="Your log Z has `end` in it, and your second walk has not. It begins with `end`.",
)
def _(emissions, transitions, start, end):
    left = _left(emissions, transitions, start)
    right = _right(emissions, transitions, 0 * end)
    return (left + right - (left[-1] + end).logsumexp(-1)).exp()


@marginals.mistake(
    "log Z without the end",
    hint="Your log Z lacks `end`, so rows do not sum to one.",
)
def _(emissions, transitions, start, end):
    log_z = _left(emissions, transitions, start)[-1].logsumexp(-1)
    return (_both(emissions, transitions, start, end) - log_z).exp()


@marginals.mistake(
    "the end in every word's beta",
    hint="You add `end` to each word's beta. It stands behind the last word alone.",
)
def _(emissions, transitions, start, end):
    right = _right(emissions, transitions, 0 * end) + end
    return (_left(emissions, transitions, start) + right).softmax(-1)


@marginals.mistake(
    "neighbours alone",
    hint="You look at a word and its two neighbours. The whole sentence counts.",
)
def _(emissions, transitions, start, end):
    rows = []
    for place in range(len(emissions)):
        score = emissions[place].clone()
        score += start if place == 0 else (emissions[place - 1][:, None] + transitions).logsumexp(0)
        last = place == len(emissions) - 1
        score += end if last else (transitions + emissions[place + 1]).logsumexp(1)
        rows.append(score.softmax(-1))
    return torch.stack(rows)


@marginals.mistake(
    "pairs of tags",
    hint="You return how often tag j comes after tag i. Asked for is each tag at each word.",
)
def _(emissions, transitions, start, end):
    return _pairs(emissions, transitions, start, end).sum(0)


def _pairs(emissions, transitions, start, end):
    left, right = _left(emissions, transitions, start), _right(emissions, transitions, end)
    there = (emissions + right)[1:, None, :]
    return (
        (left[:-1, :, None] + transitions + there)
        .flatten(1)
        .softmax(-1)
        .view(-1, *transitions.shape)
    )


@marginals.mistake(
    "pairs of tags, word by word",
    hint="You return the probability of pairs of tags. Add up over one of the two.",
)
def _(emissions, transitions, start, end):
    return _pairs(emissions, transitions, start, end)
