"""Rarer mistakes of the exercises on a vocabulary that is shared out. Chapter 10 teaches this."""

import torch

from llmcourse.checks.bank.vocabulary import local_part, merged_loss


def _picked(logits, targets, start, here=None, place=None, else_=0.0):
    """The target's logit where it is here, with another idea of where that is."""
    width = logits.size(1)
    place = targets - start if place is None else place
    here = (place >= 0) & (place < width) if here is None else here
    found = logits.gather(1, place.clamp(0, width - 1)[:, None])[:, 0]
    return torch.where(here, found, torch.as_tensor(else_, dtype=logits.dtype))


def _total(logits, top=None):
    top = logits.max(1).values if top is None else top
    return (logits - top[:, None]).exp().sum(1)


def _part(logits, targets, start, largest=None, total=None, picked=None):
    largest = logits.max(1).values if largest is None else largest
    total = _total(logits) if total is None else total
    return largest, total, _picked(logits, targets, start) if picked is None else picked


@local_part.mistake(
    "the target's exponential",
    hint="Your third result is an exponential. The target's logit is asked for.",
)
def _(logits, targets, start):
    shifted = (logits - logits.max(1).values[:, None]).exp()
    return _part(logits, targets, start, picked=_picked(shifted, targets, start))


@local_part.mistake(
    "the target's log-probability",
    hint="Your third result is a logarithm of a softmax. The target's logit is asked for.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, picked=_picked(logits.log_softmax(1), targets, start))


@local_part.mistake(
    "NaN for a target elsewhere",
    hint="A target of another rank gets NaN in yours. It gets 0.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, picked=_picked(logits, targets, start, else_=torch.nan))


@local_part.mistake(
    "minus one for a target elsewhere",
    hint="A target of another rank gets -1 in yours. It gets 0.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, picked=_picked(logits, targets, start, else_=-1.0))


@local_part.mistake(
    "the first logit for a target elsewhere",
    hint="You read the first logit for targets of other ranks, and keep it. Throw it away: 0.",
)
def _(logits, targets, start):
    place = targets - start
    place = torch.where((place >= 0) & (place < logits.size(1)), place, 0)
    return _part(logits, targets, start, picked=_picked(logits, targets, start, place=place))


@local_part.mistake(
    "targets around the corner",
    hint="You take targets modulo the width, so a target of another rank finds some logit here. It "
    "gets 0.",
)
def _(logits, targets, start):
    place = (targets - start) % logits.size(1)
    return _part(logits, targets, start, picked=_picked(logits, targets, start, place=place))


@local_part.mistake(
    "targets below the start are read from the end",
    hint="A negative place counts from the end, so a target of a rank before finds some logit "
    "here. It gets 0.",
)
def _(logits, targets, start):
    width = logits.size(1)
    place = targets - start
    place = torch.where((place < 0) & (place >= -width), place + width, place)
    return _part(logits, targets, start, picked=_picked(logits, targets, start, place=place))


@local_part.mistake(
    "the first token belongs to the rank before",
    hint="Your comparison leaves this rank's first token out. It is token `start` itself.",
)
def _(logits, targets, start):
    here = (targets > start) & (targets < start + logits.size(1))
    return _part(logits, targets, start, picked=_picked(logits, targets, start, here=here))


@local_part.mistake(
    "the last token belongs to the next rank",
    hint="Your comparison leaves this rank's last token out. It has W tokens.",
)
def _(logits, targets, start):
    here = (targets >= start) & (targets < start + logits.size(1) - 1)
    return _part(logits, targets, start, picked=_picked(logits, targets, start, here=here))


@local_part.mistake(
    "one token further",
    hint="You read the logit beside the target's. Token `start` has the place 0.",
)
def _(logits, targets, start):
    place = targets - start + 1
    return _part(logits, targets, start, picked=_picked(logits, targets, start, place=place))


@local_part.mistake(
    "the sum under the largest of all positions",
    hint="You take the largest of all positions off before the exponential. Take each position's "
    "own.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=_total(logits, logits.max().expand(len(logits))))


@local_part.mistake(
    "the largest by size",
    hint="You look for the logit that is farthest from 0. The largest number is asked for.",
)
def _(logits, targets, start):
    top = logits.abs().max(1).values
    return _part(logits, targets, start, top, _total(logits, top))


@local_part.mistake(
    "the largest is at least 0",
    hint="You begin the search for the largest with 0. All logits may be below 0.",
)
def _(logits, targets, start):
    top = logits.max(1).values.clamp(min=0)
    return _part(logits, targets, start, top, _total(logits, top))


@local_part.mistake(
    "the smallest logit",
    hint="You take the smallest logit. The largest is asked for, and taken off.",
)
def _(logits, targets, start):
    top = logits.min(1).values
    return _part(logits, targets, start, top, _total(logits, top))


@local_part.mistake(
    "the mean logit",
    hint="You take the mean logit for the largest. Exponentials may then overflow.",
)
def _(logits, targets, start):
    top = logits.mean(1)
    return _part(logits, targets, start, top, _total(logits, top))


@local_part.mistake(
    "the target's logit taken off",
    hint="You take the target's logit off before the exponential. Take the largest off.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=_total(logits, _picked(logits, targets, start)))


@local_part.mistake(
    "where the largest is",
    hint="You return the place of the largest logit. Its value is asked for.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, largest=logits.argmax(1))


@local_part.mistake(
    "the largest token",
    hint="You return which token has the largest logit. The logit itself is asked for.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, largest=logits.argmax(1) + start)


@local_part.mistake(
    "the sum without the largest",
    hint="You leave the largest logit's own 1 out of the sum. All of this rank's logits belong to "
    "it.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=_total(logits) - 1)


@local_part.mistake(
    "the sum without the target",
    hint="You leave the target out of the sum. All of this rank's logits belong to it.",
)
def _(logits, targets, start):
    shifted = (logits - logits.max(1).values[:, None]).exp()
    return _part(logits, targets, start, total=shifted.sum(1) - _picked(shifted, targets, start))


@local_part.mistake(
    "the mean of the exponentials",
    hint="You average the exponentials. Their sum is asked for.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=_total(logits) / logits.size(1))


@local_part.mistake(
    "the logarithm of the whole sum",
    hint="Your second result is a logsumexp. The sum relative to the largest is asked for.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=logits.logsumexp(1))


@local_part.mistake(
    "powers of two",
    hint="You sum powers of 2. The exponential has base e.",
)
def _(logits, targets, start):
    total = (2.0 ** (logits - logits.max(1).values[:, None])).sum(1)
    return _part(logits, targets, start, total=total)


@local_part.mistake(
    "the sum of the shifted logits",
    hint="You sum the differences, without the exponential.",
)
def _(logits, targets, start):
    return _part(logits, targets, start, total=(logits - logits.max(1).values[:, None]).sum(1))


@local_part.mistake(
    "sums down the positions",
    hint="You sum over the positions. Each position has a sum over the tokens.",
)
def _(logits, targets, start):
    top = logits.max(0).values
    return _part(logits, targets, start, top, (logits - top).exp().sum(0))


def _merged(largest, totals, picked, top=None, scale=None, own=None, together=None):
    top = largest.max(0).values if top is None else top
    scale = (largest - top).exp() if scale is None else scale
    together = (totals * scale).sum(0) if together is None else together
    return top + together.log() - (picked.sum(0) if own is None else own)


@merged_loss.mistake(
    "the largest logit picked",
    hint="You take the largest of the picked logits. The others are 0, and the right one may be "
    "below: add them up.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, own=picked.max(0).values)


@merged_loss.mistake(
    "the picked logits averaged",
    hint="You average the picked logits. One of them is the target's, the others are 0: add them "
    "up.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, own=picked.mean(0))


@merged_loss.mistake(
    "the picked logit less the largest",
    hint="You take the largest off the picked logit, too. It is the logit itself already.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, own=picked.sum(0) - largest.max(0).values)


@merged_loss.mistake(
    "the picked logit of each rank less its largest",
    hint="You take each rank's largest off what it picked. It is the logit itself already.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, own=(picked - largest).sum(0))


@merged_loss.mistake(
    "the largest is taken off",
    hint="You take the largest off the logarithm. It is added: it was taken off before.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked) - 2 * largest.max(0).values


@merged_loss.mistake(
    "scaled the wrong way",
    hint="You multiply by e to the top less the largest. It is the other way round, at most 1.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, scale=(largest.max(0).values - largest).exp())


@merged_loss.mistake(
    "the smallest of the largest",
    hint="You bring all sums to the smallest of the ranks' largest. The exponentials may overflow: "
    "take the largest.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, top=largest.min(0).values)


@merged_loss.mistake(
    "the mean of the largest",
    hint="You bring all sums to the mean of the ranks' largest. The exponentials may overflow: "
    "take the largest.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, top=largest.mean(0))


@merged_loss.mistake(
    "the rank with the largest logit alone",
    hint="You keep the sum of the rank that has the largest logit. All ranks' sums belong to it.",
)
def _(largest, totals, picked):
    rank = largest.argmax(0, keepdim=True)
    return _merged(largest, totals, picked, together=totals.gather(0, rank)[0])


@merged_loss.mistake(
    "the first rank's sum alone",
    hint="You keep the first rank's sum. All ranks' sums belong to it.",
)
def _(largest, totals, picked):
    return largest[0] + totals[0].log() - picked.sum(0)


@merged_loss.mistake(
    "the largest logits without the sums",
    hint="You merge the largest logits and leave the sums out. Each rank has more than one logit.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, together=(largest - largest.max(0).values).exp().sum(0))


@merged_loss.mistake(
    "the ranks' logarithms averaged",
    hint="You average the ranks' logarithms. The logarithm of a sum is not a mean of logarithms.",
)
def _(largest, totals, picked):
    return (largest + totals.log()).mean(0) - picked.sum(0)


@merged_loss.mistake(
    "the largest of the ranks' logarithms",
    hint="You keep the largest of the ranks' logarithms. It is only a bound: all sums are merged.",
)
def _(largest, totals, picked):
    return (largest + totals.log()).max(0).values - picked.sum(0)


@merged_loss.mistake(
    "the sums' logarithms scaled",
    hint="You take logarithms of the sums first and scale those. Scale the sums, add them, and "
    "take one logarithm.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return top + (totals.log() * (largest - top).exp()).sum(0) - picked.sum(0)


@merged_loss.mistake(
    "no logarithm",
    hint="You leave the logarithm out. The loss is a logarithm of a sum, less the target's logit.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return top + (totals * (largest - top).exp()).sum(0) - picked.sum(0)


@merged_loss.mistake(
    "one added to the sum",
    hint="You take the logarithm of 1 + the sum. The sum is at least 1 already.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return _merged(largest, totals, picked, together=1 + (totals * (largest - top).exp()).sum(0))


@merged_loss.mistake(
    "the sums squared",
    hint="You weigh each sum with itself. Weigh it with e to its largest less the top.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return _merged(largest, totals, picked, together=(totals**2 * (largest - top).exp()).sum(0))


@merged_loss.mistake(
    "the logarithm alone to the base 2",
    hint="You take the logarithm of the sum to the base 2, and the logits as they are. It is the "
    "natural one.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return top + (totals * (largest - top).exp()).sum(0).log2() - picked.sum(0)


@merged_loss.mistake(
    "the sum over the positions",
    hint="You sum over the positions. A loss for each is asked for, [T].",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked).sum()


@merged_loss.mistake(
    "the logarithm of the sum alone",
    hint="You leave the target's logit out. It is taken off the logarithm of the sum.",
)
def _(largest, totals, picked):
    return _merged(largest, totals, picked, own=0.0)


@merged_loss.mistake(
    "a loss for each rank",
    hint="You work out a loss on each rank and add them up. The logarithm goes over all ranks' "
    "logits together.",
)
def _(largest, totals, picked):
    each = largest + totals.log() - picked
    return torch.where(picked != 0, each, 0.0).sum(0)


@merged_loss.mistake(
    "along the positions",
    hint="You merge along the positions. The ranks stand along the first axis.",
)
def _(largest, totals, picked):
    return _merged(largest.T, totals.T, picked.T)
