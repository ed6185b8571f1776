"""Rarer mistakes of the exercises on the loss. Chapter 06 teaches this."""

import math

import torch

from llmcourse.checks.bank.loss import log_softmax, log_sum_exp, logit_gradient


def _top(scores, axis=-1):
    return scores.amax(axis, keepdim=True)


def _log_p(scores, axis=-1):
    shifted = scores - _top(scores, axis)
    return shifted - shifted.exp().sum(axis, keepdim=True).log()


@log_softmax.mistake(
    "logarithms to the base 10",
    hint="Your logarithms have the base 10. The formula has the natural one.",
)
def _(logits):
    return _log_p(logits) / math.log(10)


@log_softmax.mistake(
    "powers of 2",
    hint="You raise 2 to the scores. It is e.",
)
def _(logits):
    return _log_p(logits * math.log(2)) / math.log(2)


@log_softmax.mistake(
    "scores divided by the logarithm",
    hint="You divide by the logarithm of the sum. It is subtracted.",
)
def _(logits):
    shifted = logits - _top(logits)
    return shifted / shifted.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "the whole table added up, by one shift",
    hint="You add up the exponentials of all rows. Each row is a distribution of its own.",
)
def _(logits):
    shifted = logits - logits.amax()
    return shifted - shifted.exp().sum().log()


@log_softmax.mistake(
    "scores cut off at 80",
    hint="You cut large scores off before `exp`. Two of them become alike then: shift the row.",
)
def _(logits):
    held = logits.clamp(-80, 80)
    return held - held.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "scores cut off at 10",
    hint="You cut scores off at 10. That changes what they say: shift the row.",
)
def _(logits):
    held = logits.clamp(-10, 10)
    return held - held.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "shifted scores cut off from below",
    hint="You do not let a shifted score fall below a limit. Small logarithms are right as they "
    "are.",
)
def _(logits):
    shifted = (logits - _top(logits)).clamp(min=-50)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "probabilities held above a small number",
    hint="You do not let a probability fall below a limit. Stay with the scores, and it never has "
    "to be taken a logarithm of.",
)
def _(logits):
    p = (logits - _top(logits)).exp()
    return (p / p.sum(-1, keepdim=True)).clamp(min=1e-12).log()


@log_softmax.mistake(
    "the softmax of the softmax",
    hint="You apply softmax twice, once with and once without the logarithm. Once is asked for.",
)
def _(logits):
    return _log_p(_log_p(logits).exp())


@log_softmax.mistake(
    "the logarithms of the shares of scores",
    hint="You normalise the shifted scores without raising e to them.",
)
def _(logits):
    shifted = logits - logits.amin(-1, keepdim=True)
    return (shifted / shifted.sum(-1, keepdim=True)).log()


@log_softmax.mistake(
    "the logarithm of each score's sigmoid",
    hint="You ask of each score by itself whether it is likely. A row shares one probability.",
)
def _(logits):
    return torch.nn.functional.logsigmoid(logits)


@log_softmax.mistake(
    "the scores standardised",
    hint="You divide the scores by their deviation. They are shifted, and not scaled.",
)
def _(logits):
    middle = logits - logits.mean(-1, keepdim=True)
    return _log_p(middle / (middle.square().mean(-1, keepdim=True) + 1e-5).sqrt())


@log_softmax.mistake(
    "the largest score is not counted",
    hint="Your sum leaves the largest score out. It counts as well: its exponential is 1.",
)
def _(logits):
    shifted = logits - _top(logits)
    return shifted - (shifted.exp().sum(-1, keepdim=True) - 1).log()


@log_softmax.mistake(
    "a 1 too many in the sum",
    hint="You add 1 to the sum of exponentials (log1p). The largest score's 1 is in it already.",
)
def _(logits):
    shifted = logits - _top(logits)
    return shifted - shifted.exp().sum(-1, keepdim=True).log1p()


@log_softmax.mistake(
    "a score more, of zero",
    hint="You count a further score of zero (softmax that may say nothing). Only the row's own "
    "scores count.",
)
def _(logits):
    top = _top(logits).clamp(min=0)
    return logits - top - ((logits - top).exp().sum(-1, keepdim=True) + (-top).exp()).log()


@log_softmax.mistake(
    "the shift taken off twice",
    hint="You shift the scores, and subtract the largest again with the logarithm.",
)
def _(logits):
    return _log_p(logits) - _top(logits)


@log_softmax.mistake(
    "the logarithm of the sum forgotten",
    hint="You subtract the sum of exponentials. Its logarithm is asked for.",
)
def _(logits):
    shifted = logits - _top(logits)
    return shifted - shifted.exp().sum(-1, keepdim=True)


@log_softmax.mistake(
    "the cross-entropy of the likeliest",
    hint="You return one number for each row. Each score has its logarithm.",
)
def _(logits):
    return _log_p(logits).amax(-1)


# In pieces


def _walk(
    pieces,
    top=None,
    total=0.0,
    scale=lambda old, new: (old - new).exp(),
    biggest=lambda piece: piece.amax(1),
    added=lambda piece, top: (piece - top[:, None]).exp().sum(1),
    end=lambda total, top: total.log() + top,
):
    """The sum so far, carried along with the largest score so far."""
    first = pieces[0]
    top = (
        first.new_full((len(first),), -math.inf)
        if top is None
        else first.new_full((len(first),), top)
    )
    total = torch.zeros_like(top) + total
    for piece in pieces:
        if not piece.size(1):
            continue
        new = torch.maximum(top, biggest(piece))
        total = total * scale(top, new) + added(piece, new)
        top = new
    return end(total, top)


@log_sum_exp.mistake(
    "the old sum rescaled the wrong way",
    hint="You make the sum so far larger when a larger score comes. Its terms become smaller.",
)
def _(pieces):
    return _walk(
        pieces, scale=lambda old, new: torch.where(old > -math.inf, (new - old).exp(), 0.0)
    )


@log_sum_exp.mistake(
    "the shift taken off at the end",
    hint="You subtract the largest score at the end. It was taken off before: add it.",
)
def _(pieces):
    return _walk(pieces, end=lambda total, top: total.log() - top)


@log_sum_exp.mistake(
    "the logarithm of the sum and the shift",
    hint="You add the shift to the sum, under the logarithm. It is added to the logarithm.",
)
def _(pieces):
    return _walk(pieces, end=lambda total, top: (total + top).log())


@log_sum_exp.mistake(
    "the shift multiplied",
    hint="You multiply the logarithm by the largest score. It is added.",
)
def _(pieces):
    return _walk(pieces, end=lambda total, top: total.log() * top)


@log_sum_exp.mistake(
    "the sum begins at 1",
    hint="Your sum begins at 1. It begins at 0: nothing has come yet.",
)
def _(pieces):
    return _walk(pieces, top=0.0, total=1.0)


@log_sum_exp.mistake(
    "logarithms of each piece, then of their mean",
    hint="You divide by the number of pieces under the logarithm. It is a sum.",
)
def _(pieces):
    return _walk(pieces) - math.log(len(pieces))


@log_sum_exp.mistake(
    "the mean of the exponentials",
    hint="You take the logarithm of the mean of the exponentials. It is that of their sum.",
)
def _(pieces):
    return _walk(pieces) - math.log(sum(p.size(1) for p in pieces))


@log_sum_exp.mistake(
    "the shift of the first piece for all",
    hint="You shift all pieces by the largest score of the first. A later piece may overflow.",
)
def _(pieces):
    top = pieces[0].amax(1)
    return sum((p - top[:, None]).exp().sum(1) for p in pieces).log() + top


@log_sum_exp.mistake(
    "the shift of the last piece",
    hint="You add the last piece's largest score at the end. It is the largest of all that the sum "
    "was shifted by.",
)
def _(pieces):
    return _walk(pieces, end=lambda total, top: total.log() + pieces[-1].amax(1))


@log_sum_exp.mistake(
    "each piece shifted by its own largest",
    hint="You add sums that were shifted by different scores. Bring them to one shift first.",
)
def _(pieces):
    total = sum((p - p.amax(1, keepdim=True)).exp().sum(1) for p in pieces)
    return total.log() + torch.cat(pieces, 1).amax(1)


@log_sum_exp.mistake(
    "the last piece forgotten",
    hint="You stop one piece too early. All pieces count.",
)
def _(pieces):
    return _walk(pieces[:-1] or pieces)


@log_sum_exp.mistake(
    "the first piece forgotten",
    hint="You begin with the second piece. All pieces count.",
)
def _(pieces):
    return _walk(pieces[1:] or pieces)


@log_sum_exp.mistake(
    "the first piece twice",
    hint="You begin with the first piece's sum, and the walk adds it again.",
)
def _(pieces):
    return _walk([pieces[0], *pieces])


@log_sum_exp.mistake(
    "the new piece's largest score counted apart",
    hint="You count the largest score of each piece twice, as the shift and in the sum.",
)
def _(pieces):
    return _walk(
        pieces,
        added=lambda p, top: (p - top[:, None]).exp().sum(1) + (p.amax(1) - top).exp(),
    )


@log_sum_exp.mistake(
    "the new piece shifted by the old largest",
    hint="You shift the new piece by the largest score before it came. If it holds a larger one, "
    "that overflows: find the new largest first.",
)
def _(pieces):
    top = pieces[0].amax(1)
    total = torch.zeros_like(top)
    for piece in pieces:
        total = total + (piece - top[:, None]).exp().sum(1)
        new = torch.maximum(top, piece.amax(1))
        total, top = total * (top - new).exp(), new
    return total.log() + top


@log_sum_exp.mistake(
    "a small number in the logarithm",
    hint="You add a small number to the sum before the logarithm. With the right shift the sum is "
    "1 at least, and needs none.",
)
def _(pieces):
    return _walk(pieces, end=lambda total, top: (total + 1e-3).log() + top)


@log_sum_exp.mistake(
    "the exponentials' sum",
    hint="You return the sum. Its logarithm is asked for.",
)
def _(pieces):
    return _walk(pieces).exp()


@log_sum_exp.mistake(
    "columns in place of rows",
    hint="You add up over the rows. Each row has its own answer.",
)
def _(pieces):
    return torch.cat(pieces, 1).logsumexp(0)


@log_sum_exp.mistake(
    "equal scores counted once",
    hint="You count equal scores of a row once. Each adds its exponential.",
)
def _(pieces):
    return torch.stack([row.unique().logsumexp(0) for row in torch.cat(pieces, 1)])


# What a wrong answer does to the scores


def _wanted(logits, targets, on, off, everywhere):
    """What is wanted: `on` for the target, `off` for others, `everywhere` added to all."""
    wanted = torch.full_like(logits, off)
    wanted[torch.arange(len(targets)), targets] = on
    return wanted + everywhere


def _slope(logits, wanted, by=None):
    return (logits.softmax(-1) - wanted) / (len(logits) if by is None else by)


@logit_gradient.mistake(
    "the smoothing shared among V - 1, the target included",
    hint="You divide the smoothing by V - 1. There are V shares.",
)
def _(logits, targets, smoothing=0.0):
    share = smoothing / (logits.size(1) - 1)
    return _slope(logits, _wanted(logits, targets, 1 - smoothing, 0.0, share))


@logit_gradient.mistake(
    "the others get shares, the target keeps its 1",
    hint="Your target still has all of its 1 while the others get shares. It loses eps first.",
)
def _(logits, targets, smoothing=0.0):
    return _slope(logits, _wanted(logits, targets, 1.0, smoothing / logits.size(1), 0.0))


@logit_gradient.mistake(
    "eps for every other token",
    hint="Each other token gets all of eps. It is shared by V.",
)
def _(logits, targets, smoothing=0.0):
    return _slope(logits, _wanted(logits, targets, 1 - smoothing, smoothing, 0.0))


@logit_gradient.mistake(
    "eps for every token",
    hint="Every token gets all of eps. It is shared by V.",
)
def _(logits, targets, smoothing=0.0):
    return _slope(logits, _wanted(logits, targets, 1 - smoothing, 0.0, smoothing))


@logit_gradient.mistake(
    "the belief smoothed as well",
    hint="You smooth the belief in place of what is wanted. The belief is the model's: leave it.",
)
def _(logits, targets, smoothing=0.0):
    p = logits.softmax(-1) * (1 - smoothing) + smoothing / logits.size(1)
    return (p - _wanted(logits, targets, 1.0, 0.0, 0.0)) / len(logits)


@logit_gradient.mistake(
    "belief and wish both smoothed",
    hint="You scale the whole gradient by 1 - eps. Only what is wanted is smoothed.",
)
def _(logits, targets, smoothing=0.0):
    return (1 - smoothing) * _slope(logits, _wanted(logits, targets, 1.0, 0.0, 0.0))


@logit_gradient.mistake(
    "the gradient at the logarithms",
    hint="You give the slope at the logarithms of the probabilities, -y / N. Asked for is the one "
    "at the scores.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    return -wanted / len(logits)


@logit_gradient.mistake(
    "the gradient of the squared error",
    hint="You send the error back through softmax once more (squared error). Cross-entropy's "
    "gradient is p - y, and no more.",
)
def _(logits, targets, smoothing=0.0):
    p = logits.softmax(-1)
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    error = p - wanted
    return p * (error - (error * p).sum(-1, keepdim=True)) / len(logits)


@logit_gradient.mistake(
    "the guess in place of the target",
    hint="You pull up the likeliest token of each row. It is the target that came.",
)
def _(logits, targets, smoothing=0.0):
    best = logits.argmax(-1)
    return _slope(logits, _wanted(logits, best, 1 - smoothing, 0.0, smoothing / logits.size(1)))


@logit_gradient.mistake(
    "focal weights",
    hint="You weigh each row by how wrong it is. The mean counts all rows alike.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    hit = logits.softmax(-1).gather(1, targets[:, None])
    return (1 - hit) * _slope(logits, wanted)


@logit_gradient.mistake(
    "divided by N less 1",
    hint="You divide by one position less than there are. It is a plain mean.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    return _slope(logits, wanted, max(len(logits) - 1, 1))


@logit_gradient.mistake(
    "smoothed towards the mean belief",
    hint="You smooth towards the batch's mean belief. The smoothing is shared evenly.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, 0.0)
    return _slope(logits, wanted + smoothing * logits.softmax(-1).mean(0))


# Second thoughts


@log_softmax.mistake(
    "the logarithm of how many scores there are",
    hint="You subtract the largest score and the logarithm of how many there are, as if all were "
    "alike. The logarithm is of the sum of exponentials.",
)
def _(logits):
    return logits - _top(logits) - math.log(logits.size(-1))


@log_softmax.mistake(
    "scores brought to -1 to 1",
    hint="You divide the scores by the largest of the row, so that nothing overflows. They are "
    "shifted, not scaled.",
)
def _(logits):
    return _log_p(logits / logits.abs().amax(-1, keepdim=True).clamp(min=1))


@log_softmax.mistake(
    "an exponential too many",
    hint="You raise e to the scores before the softmax, which raises e to them again.",
)
def _(logits):
    return _log_p((logits - _top(logits)).exp())


@log_softmax.mistake(
    "of minus the scores",
    hint="Your exponentials are of minus the scores, so that the lowest is the likeliest.",
)
def _(logits):
    return _log_p(-logits)


@log_softmax.mistake(
    "the logarithm of what is missing to 1",
    hint="You take the logarithm of 1 - p. It is that of p.",
)
def _(logits):
    return torch.log1p(-_log_p(logits).exp().clamp(max=1 - 1e-6))


@log_softmax.mistake(
    "scores by the root of their number",
    hint="You divide by the root of how many scores there are, as attention does. Nothing is "
    "scaled.",
)
def _(logits):
    return _log_p(logits / logits.size(-1) ** 0.5)


@log_softmax.mistake(
    "weighted by the probabilities",
    hint="You multiply the logarithms by the probabilities (a step of the entropy). The logarithms "
    "alone are asked for.",
)
def _(logits):
    return _log_p(logits) * _log_p(logits).exp()


@log_softmax.mistake(
    "infinities replaced",
    hint="You compute with infinities and replace what came of them. Shift the row, and none come.",
)
def _(logits):
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return p.log().nan_to_num(nan=0.0, neginf=-1e4)


@logit_gradient.mistake(
    "the belief alone",
    hint="You return the belief over N. What is wanted is subtracted from it.",
)
def _(logits, targets, smoothing=0.0):
    return logits.softmax(-1) / len(logits)


@logit_gradient.mistake(
    "the loss of each token",
    hint="You return the losses, -y log p. Their gradient at the scores is asked for.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    return -wanted * logits.log_softmax(-1) / len(logits)


@logit_gradient.mistake(
    "the loss in place of its gradient",
    hint="You return the loss, one number. Its gradient has the shape of the scores.",
)
def _(logits, targets, smoothing=0.0):
    return torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)


@logit_gradient.mistake(
    "token 0 not counted",
    hint="You take token 0 for padding and leave its positions out. All positions count.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    real = (targets != 0)[:, None]
    return (logits.softmax(-1) - wanted) * real / real.sum().clamp(min=1)


@logit_gradient.mistake(
    "divided by different targets",
    hint="You divide by how many different targets there are. By the number of positions.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    return _slope(logits, wanted, len(targets.unique()))


@logit_gradient.mistake(
    "the largest probability in place of the target's",
    hint="You compare with the guess: y is 1 where the row is largest and where the target is. It "
    "is the target's alone.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    return _slope(logits, wanted + _wanted(logits, logits.argmax(-1), 1.0, 0.0, 0.0))


@logit_gradient.mistake(
    "each row scaled to length 1",
    hint="You scale each row's gradient to the length 1. It is divided by N and no more.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    slope = _slope(logits, wanted)
    return slope / slope.norm(dim=-1, keepdim=True).clamp(min=1e-12)


@logit_gradient.mistake(
    "the classes weighed by their number",
    hint="You weigh rows by how often their target comes. The mean counts all rows alike.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _wanted(logits, targets, 1 - smoothing, 0.0, smoothing / logits.size(1))
    often = torch.bincount(targets, minlength=logits.size(1))[targets][:, None]
    return _slope(logits, wanted) / often


@log_softmax.mistake(
    "logarithms cut off from below",
    hint="You do not let a logarithm fall below -1000. A score far below the others has its own "
    "small one.",
)
def _(logits):
    return _log_p(logits).clamp(min=-1000)


@log_sum_exp.mistake(
    "the largest score so far begins at -1000",
    hint="Your largest score begins at a low number, and scores may be lower. Begin with minus "
    "infinity, or with the first piece.",
)
def _(pieces):
    return _walk(pieces, top=-1000.0)
