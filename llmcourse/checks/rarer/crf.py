"""Rarer mistakes of the exercises on a CRF's log Z and its best way. Chapter 12 teaches this."""

import itertools

import torch

from llmcourse.checks.bank.crf import log_partition, sentences, share_changed, viterbi


def _summed(emissions, transitions, start, end, *, dim=1, join=torch.logsumexp):
    """log Z; `join` adds up over where one came from, and over the last tags."""
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = join(alpha[:, None] + transitions, dim - 1) + emission
    return join(alpha + end, -1)


def _summed_of(name, hint, change):
    """log Z of scores that `change` makes of the right ones."""

    @log_partition.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return _summed(*change(emissions, transitions, start, end))


_summed_of(
    "emissions as probabilities",
    "You take a softmax of the emissions first. Scores are taken as they are.",
    lambda e, a, s, z: (e.softmax(-1), a, s, z),
)
_summed_of(
    "everything normalised, as in a hidden Markov model",
    "You make probabilities of start, transitions and emissions, as in a hidden Markov model. A "
    "CRF's scores are taken as they are.",
    lambda e, a, s, z: (e.log_softmax(-1), a.log_softmax(-1), s.log_softmax(-1), z),
)
_summed_of(
    "start and end exchanged",
    "You begin with `end` and end with `start`.",
    lambda e, a, s, z: (e, a, z, s),
)
_summed_of(
    "the start at both ends",
    "You add `start` at the end as well. A last tag has the scores `end`.",
    lambda e, a, s, z: (e, a, s, s),
)
_summed_of(
    "the end at both ends",
    "You add `end` at the beginning as well. A first tag has the scores `start`.",
    lambda e, a, s, z: (e, a, z, z),
)
_summed_of(
    "no transitions",
    "You leave out the transitions. Neighbours have a say.",
    lambda e, a, s, z: (e, 0 * a, s, z),
)
_summed_of(
    "neither start nor end",
    "You leave out both `start` and `end`. A first and a last tag have scores of their own.",
    lambda e, a, s, z: (e, a, 0 * s, 0 * z),
)
_summed_of(
    "start and end at every word",
    "You add `start` and `end` at every word. They belong to the first and the last one.",
    lambda e, a, s, z: (e + s + z, a, 0 * s, 0 * z),
)
_summed_of(
    "the end at every word but the first",
    "You add `end` inside of the loop. It comes once, after the last word.",
    lambda e, a, s, z: (torch.cat([e[:1], e[1:] + z]), a, s, z if len(e) == 1 else 0 * z),
)
_summed_of(
    "from the last word to the first, with the same matrix",
    "You walk from the last word to the first, and the transitions still lead forwards.",
    lambda e, a, s, z: (e.flip(0), a, s, z),
)
_summed_of(
    "no tag twice in a row",
    "You leave out sequences with the same tag twice in a row. All sequences count.",
    lambda e, a, s, z: (e, a.masked_fill(torch.eye(len(a)).bool(), -1e4), s, z),
)
_summed_of(
    "the emissions twice",
    "You add each emission twice, before the sum and after it.",
    lambda e, a, s, z: (torch.cat([e[:-1] * 2, e[-1:]]) if len(e) > 1 else e, a, s, z),
)
_summed_of(
    "the negative scores",
    "You use the scores as costs, with the sign turned. A large score is good.",
    lambda e, a, s, z: (-e, -a, -s, -z),
)
_summed_of(
    "the largest taken off each word",
    "You subtract each word's largest emission, and do not add it again.",
    lambda e, a, s, z: (e - e.amax(-1, keepdim=True), a, s, z),
)
_summed_of(
    "transitions both ways",
    "You add the transition and its reverse. Only i to j counts.",
    lambda e, a, s, z: (e, a + a.mT, s, z),
)


def _result_of(name, hint, change):
    @log_partition.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return change(_summed(emissions, transitions, start, end), emissions)


_result_of(
    "a mean over the sequences",
    "You subtract the log of how many sequences there are: a mean. log Z is of the sum.",
    lambda z, e: z - len(e) * torch.tensor(float(e.size(1)), dtype=e.dtype).log(),
)


def _joined_by(name, hint, join, **how):
    @log_partition.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return _summed(emissions, transitions, start, end, join=join, **how)


_joined_by(
    "scores averaged", "You average scores. Their exponentials are added.", lambda x, d: x.mean(d)
)
_joined_by(
    "weighted by a softmax",
    "You average scores by their softmax. Their exponentials are added, then the log is taken.",
    lambda x, d: (x.softmax(d) * x).sum(d),
)
_joined_by(
    "the two best ways alone",
    "You keep the two best ways at each step. All ways count.",
    lambda x, d: x.topk(min(2, x.size(d)), d).values.logsumexp(d),
)


@log_partition.mistake(
    "a sum at the end in place of its log",
    hint="You add up the last scores. It is one last log-sum-exp.",
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = (alpha[:, None] + transitions).logsumexp(0) + emission
    return (alpha + end).sum()


@log_partition.mistake(
    "the best of the last tags",
    hint="You take the largest at the end. It is one last log-sum-exp.",
)
def _(emissions, transitions, start, end):
    alpha = start + emissions[0]
    for emission in emissions[1:]:
        alpha = (alpha[:, None] + transitions).logsumexp(0) + emission
    return (alpha + end).max()


@log_partition.mistake(
    "normalised at each word",
    hint="You make probabilities of the scores at each word and lose what you divided by. Its logs "
    "add up to log Z.",
)
def _(emissions, transitions, start, end):
    alpha = (start + emissions[0]).log_softmax(-1)
    for emission in emissions[1:]:
        alpha = ((alpha[:, None] + transitions).logsumexp(0) + emission).log_softmax(-1)
    return (alpha + end).logsumexp(-1)


@log_partition.mistake(
    "the score of every word's best tag",
    hint="You add up the score of one sequence. All sequences count.",
)
def _(emissions, transitions, start, end):
    tags = emissions.argmax(-1)
    inner = transitions[tags[:-1], tags[1:]].sum()
    return start[tags[0]] + emissions.amax(-1).sum() + inner + end[tags[-1]]


@log_partition.mistake(
    "each part by itself",
    hint="You take the log-sum-exp of each part and add these up. A sequence's parts belong "
    "together.",
)
def _(emissions, transitions, start, end):
    inner = (len(emissions) - 1) * transitions.flatten().logsumexp(0)
    return start.logsumexp(0) + emissions.logsumexp(-1).sum() + inner + end.logsumexp(0)


def _ways(emissions, transitions, start, end, *, step=None, last=None):
    """The best ways; `step` makes the scores of a new word, `last` those of a last tag."""
    step = step or (lambda through, emission: through + emission)
    last = last if last is not None else end
    best, back = start + emissions[0], []
    for emission in emissions[1:]:
        best, came = step(best[:, None] + transitions, emission).max(0)
        back.append(came)
    tags = [int((best + last).argmax())]
    for came in reversed(back):
        tags.append(int(came[tags[-1]]))
    return tags[::-1]


def _best_of(name, hint, change):
    """The best way of scores that `change` makes of the right ones."""

    @viterbi.mistake(name, hint=hint)
    def _(emissions, transitions, start, end):
        return _ways(*change(emissions, transitions, start, end))


_best_of(
    "emissions as probabilities",
    "You take a softmax of the emissions first. That changes how much they weigh.",
    lambda e, a, s, z: (e.softmax(-1), a, s, z),
)
_best_of(
    "transitions as probabilities",
    "You take a softmax of the transitions first. That changes how much they weigh.",
    lambda e, a, s, z: (e, a.softmax(-1), s, z),
)
_best_of(
    "scores multiplied: exponentials of all",
    "You take exponentials of the scores and add these. Scores are added as they are.",
    lambda e, a, s, z: (e.exp(), a.exp(), s.exp(), z.exp()),
)
_best_of(
    "start and end exchanged",
    "You begin with `end` and end with `start`.",
    lambda e, a, s, z: (e, a, z, s),
)
_best_of(
    "transitions normalised",
    "You take a log-softmax of each row of the transitions. Scores are taken as they are.",
    lambda e, a, s, z: (e, a.log_softmax(-1), s, z),
)
_best_of(
    "the end at every word",
    "You add `end` at every word. It belongs to the last one.",
    lambda e, a, s, z: (e + z, a, s, 0 * z),
)
_best_of(
    "the start at every word",
    "You add `start` at every word. It belongs to the first one.",
    lambda e, a, s, z: (e + s, a, 0 * s, z),
)
_best_of(
    "the emission of the word before",
    "You add the emission of the word before. It is the new word's.",
    lambda e, a, s, z: (torch.cat([e[:1], e[:-1]]), a, s, z),
)
_best_of(
    "neither start nor end",
    "You leave out both `start` and `end`. A first and a last tag have scores of their own.",
    lambda e, a, s, z: (e, a, 0 * s, 0 * z),
)
_best_of(
    "no emissions",
    "You leave out the emissions. The words have a say.",
    lambda e, a, s, z: (0 * e, a, s, z),
)
_best_of(
    "no emissions after the first word",
    "You add no emissions in the loop. Every word has some.",
    lambda e, a, s, z: (torch.cat([e[:1], 0 * e[1:]]), a, s, z),
)
_best_of(
    "no emissions of the first word",
    "You leave out the first word's emissions.",
    lambda e, a, s, z: (torch.cat([0 * e[:1], e[1:]]), a, s, z),
)
_best_of(
    "no tag twice in a row",
    "You never stay at a tag. A sequence may have the same tag twice in a row.",
    lambda e, a, s, z: (e, a.masked_fill(torch.eye(len(a)).bool(), -1e4), s, z),
)
_best_of(
    "the emissions twice",
    "You add each emission twice. Then transitions weigh half.",
    lambda e, a, s, z: (2 * e, a, s, z),
)
_best_of(
    "the transitions twice",
    "You add each transition twice. Then emissions weigh half.",
    lambda e, a, s, z: (e, 2 * a, s, z),
)


@viterbi.mistake(
    "the last tag by the end alone",
    hint="You choose the last tag by `end` alone. The way to it counts, too.",
)
def _(emissions, transitions, start, end):
    return _ways(emissions, transitions, start, end, last=1e6 * end)


@viterbi.mistake(
    "word by word from the right",
    hint="You choose each tag by the one after it (greedily). Keep the best way to every tag.",
)
def _(emissions, transitions, start, end):
    tags = [int((end + emissions[-1]).argmax())]
    for place in range(len(emissions) - 2, -1, -1):
        first = start if place == 0 else 0 * start
        tags.append(int((transitions[:, tags[-1]] + emissions[place] + first).argmax()))
    return tags[::-1]


@viterbi.mistake(
    "two ways kept",
    hint="You keep the two best ways (a beam). Keep the best way to every tag.",
)
def _(emissions, transitions, start, end):
    beam = [(float(start[t] + emissions[0, t]), [t]) for t in range(len(start))]
    for emission in emissions[1:]:
        beam = sorted(beam, key=lambda pair: -pair[0])[:2]
        grown = itertools.product(beam, range(len(start)))
        beam = [(s + float(transitions[w[-1], t] + emission[t]), [*w, t]) for (s, w), t in grown]
    return max(beam, key=lambda pair: pair[0] + float(end[pair[1][-1]]))[1]


@viterbi.mistake(
    "the first tag is missing",
    hint="You follow the pointers to the second word. The first has a tag, too.",
)
def _(emissions, transitions, start, end):
    return _ways(emissions, transitions, start, end)[1:]


@viterbi.mistake(
    "the last tag twice",
    hint="Your list has the last tag twice, and is one too long.",
)
def _(emissions, transitions, start, end):
    tags = _ways(emissions, transitions, start, end)
    return [*tags, tags[-1]]


@viterbi.mistake(
    "pointers along the other axis",
    hint="Your pointers say where one goes, not where one came from: the other axis.",
)
def _(emissions, transitions, start, end):
    best, back = start + emissions[0], []
    for emission in emissions[1:]:
        through = best[:, None] + transitions
        best = through.amax(0) + emission
        back.append(through.argmax(1))
    tags = [int((best + end).argmax())]
    for came in reversed(back):
        tags.append(int(came[tags[-1]]))
    return tags[::-1]


@viterbi.mistake(
    "maximum along the other axis",
    hint="You take the maximum over where one goes. Take it over where one came from.",
)
def _(emissions, transitions, start, end):
    best, back = start + emissions[0], []
    for emission in emissions[1:]:
        most, came = (best[:, None] + transitions).max(1)
        best = most + emission
        back.append(came)
    tags = [int((best + end).argmax())]
    for came in reversed(back):
        tags.append(int(came[tags[-1]]))
    return tags[::-1]


@viterbi.mistake(
    "improved word by word",
    hint="You begin with each word's best tag and improve one word at a time. That may end at a "
    "sequence that is not the best.",
)
def _(emissions, transitions, start, end):
    tags = (emissions.argmax(-1)).tolist()
    for _ in range(10):
        for place in range(len(tags)):
            score = emissions[place] + (start if place == 0 else transitions[tags[place - 1]])
            last = place == len(tags) - 1
            score = score + (end if last else transitions[:, tags[place + 1]])
            tags[place] = int(score.argmax())
    return tags


@viterbi.mistake(
    "the best tag by neighbours that were chosen alone",
    hint="You choose each tag beside its neighbours' largest emissions. Neighbours change as well.",
)
def _(emissions, transitions, start, end):
    alone, tags = emissions.argmax(-1).tolist(), []
    for place in range(len(alone)):
        score = emissions[place] + (start if place == 0 else transitions[alone[place - 1]])
        last = place == len(alone) - 1
        score = score + (end if last else transitions[:, alone[place + 1]])
        tags.append(int(score.argmax()))
    return tags


@viterbi.mistake(
    "the most frequent tag everywhere",
    hint="You give every word the tag with the largest sum of emissions. Each word has its own.",
)
def _(emissions, transitions, start, end):
    return [int(emissions.sum(0).argmax())] * len(emissions)


def _share_of(name, hint, tags_of, factor=3.0):
    """The share of words with another tag, where `tags_of` tags a sentence of loud emissions."""

    @share_changed.mistake(name, hint=hint)
    def _():
        all_emissions, *scores = sentences()
        changed = [
            tag != int(alone)
            for emissions in all_emissions
            for tag, alone in zip(
                tags_of(factor * emissions, *scores), emissions.argmax(-1), strict=True
            )
        ]
        return sum(changed) / len(changed)


_share_of(
    "a greedy walk from the left",
    "Your Viterbi chooses each tag by the one before, greedily. Does it pass exercise 5?",
    lambda e, a, s, z: _greedy(e, a, s),
)
_share_of(
    "probabilities multiplied",
    "You took a softmax before the factor. The emissions themselves are multiplied.",
    lambda e, a, s, z: _ways(3 * (e / 3).softmax(-1), a, s, z),
)
_share_of(
    "factor 9",
    "You multiplied by the factor twice.",
    lambda e, a, s, z: _ways(3 * e, a, s, z),
)
_share_of(
    "start and end multiplied as well",
    "You multiplied start and end as well. The factor is for the emissions alone.",
    lambda e, a, s, z: _ways(e, a, 3 * s, 3 * z),
)


def _greedy(emissions, transitions, start):
    tags = [int((start + emissions[0]).argmax())]
    for emission in emissions[1:]:
        tags.append(int((transitions[tags[-1]] + emission).argmax()))
    return tags


@log_partition.mistake(
    "end with every transition, and once more",
    hint="You add `end` at every step to a new word, and at the end again. It is the score of the "
    "last tag alone.",
)
def _(emissions, transitions, start, end):
    return _summed(emissions, transitions + end, start, end)


@viterbi.mistake(
    "a tag in front of the first word",
    hint="You follow a pointer at the first word, too, and get T + 1 tags. Nothing stands in front "
    "of it: T − 1 pointers lead from the last tag to the first.",
)
def _(emissions, transitions, start, end):
    return [0, *_ways(emissions, transitions, start, end)]
