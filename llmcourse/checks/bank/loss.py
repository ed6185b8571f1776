"""The exercises on the loss: a softmax that survives, and the gradient at the scores.

Not here: the exercises on gradients (`gradients.py`) and on optimizers (`optimizers.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 06 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.gradients import by_hand
from llmcourse.objectives import cross_entropy

CHAPTER = "06"


OVERFLOW = "2. Why does the formula overflow?"
SLOPES = "4. What do gradients look like by hand?"
ALIKE = ("non-contiguous",)

# 1. A softmax that survives, and one in pieces


@exercise(CHAPTER, axes="N V", variants=ALIKE, strict=False, read=OVERFLOW)
def log_softmax(logits: Float[Tensor, "N V"]) -> Float[Tensor, "N V"]:
    """`(z - m) - log Σ exp(z - m)` for each row's largest `m`."""
    return cross_entropy.log_softmax(logits)


@log_softmax.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[1.0, 3.0]]).log())
    yield case("two rows", torch.randn(2, 5))
    yield case("as many rows as scores", torch.randn(4, 4))
    yield case("large scores", torch.tensor([[1000.0, 1001.0, 999.0]]))
    yield case("one row far above the other", torch.tensor([[500.0, 501.0], [-500.0, -501.0]]))
    yield case("a hopeless score", torch.tensor([[0.0, -200.0, 1.0]]))
    yield case("a score 5000 below", torch.tensor([[0.0, 1.0, -4999.0]]))
    yield case("equal scores in half precision", torch.full((1, 3), 1000.0, dtype=torch.float16))
    yield case("one score", torch.tensor([[7.0]]))
    yield case("0 and 1000 in one row", torch.tensor([[0.0, 1000.0], [1000.0, 0.0]]))
    yield case("all far below zero", torch.tensor([[-900.0, -901.0], [-1000.0, -1000.0]]))


@log_softmax.mistake(
    "exponentials of the scores as they are",
    hint="exp(89) is more than float32 can hold, and infinity divided by infinity is NaN. Softmax "
    "does not notice if all scores of a row are shifted alike: shift them first.",
)
def _(logits):
    return (logits.exp() / logits.exp().sum(-1, keepdim=True)).log()


@log_softmax.mistake(
    "the logarithm of a stable softmax",
    hint="No overflow any more, but a hopeless score's probability rounds to 0, and log 0 is minus "
    "infinity. Never form the probability: stay with logarithms, log(a / b) = log a - log b.",
)
def _(logits):
    powers = (logits - logits.amax(-1, keepdim=True)).exp()
    return (powers / powers.sum(-1, keepdim=True)).log()


@log_softmax.mistake(
    "the largest score subtracted too late",
    hint="z - (m + log Σ) is right on paper. In a computer, m + log Σ rounds first: at 1000 a "
    "float16 has no digits left for log 3. Subtract m from z, then the logarithm.",
)
def _(logits):
    m = logits.amax(-1, keepdim=True)
    return logits - (m + (logits - m).exp().sum(-1, keepdim=True).log())


@log_softmax.mistake(
    "one largest score for all rows",
    hint="Each row has its own largest. With one for all, a row far below it loses every exponent "
    "to zero, and log 0 is minus infinity.",
)
def _(logits):
    below = logits - logits.max()
    return below - below.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "over the rows instead of the scores",
    hint="The probabilities of one row sum to one: work along the last axis.",
)
def _(logits):
    below = logits - logits.amax(0, keepdim=True)
    return below - below.exp().sum(0, keepdim=True).log()


@log_softmax.mistake(
    "the probabilities themselves",
    hint="These are right probabilities. Wanted are their logarithms, all below zero.",
)
def _(logits):
    return logits.softmax(-1)


@log_softmax.mistake(
    "shifted, and no sum subtracted",
    hint="z - m makes the largest 0. To be logarithms of probabilities, their exponentials have to "
    "sum to one: subtract log Σ exp(z - m).",
)
def _(logits):
    return logits - logits.amax(-1, keepdim=True)


@log_softmax.mistake(
    "the formula as it stands",
    hint="On paper it is right. In a computer e^1000 is infinity, so the logarithm of the sum is, "
    "too. Softmax does not notice if all scores of a row are shifted alike: shift them first.",
)
def _(logits):
    return logits - logits.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "shifted by less than the largest",
    hint="Any shift is allowed on paper. But with a mean, or a score from the middle, what lies "
    "far above it still overflows. By what must you shift, so that no exponential is above 1?",
)
def _(logits):
    below = logits - logits.mean(-1, keepdim=True)
    return below - below.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "the first score subtracted",
    hint="Any shift is allowed on paper. But the first score may be the smallest, and then the "
    "others overflow. Which one is safe in every row?",
)
def _(logits):
    below = logits - logits[:, :1]
    return below - below.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "the sum is of the scores as they were",
    hint="You shifted in one of the two places. The sum of exponentials needs the shifted scores, "
    "too: it is there that numbers grow.",
)
def _(logits):
    below = logits - logits.amax(-1, keepdim=True)
    return below - logits.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "shifted inside the sum alone",
    hint="Every result is too large by the row's largest score. Either subtract it in both places, "
    "or in neither.",
)
def _(logits):
    below = logits - logits.amax(-1, keepdim=True)
    return logits - below.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "a little added before the logarithm",
    hint="No infinity any more, but a hopeless score gets log of what you added, whatever it was. "
    "Stay with logarithms: log(a / b) = log a - log b.",
)
def _(logits):
    return (logits.softmax(-1) + 1e-9).log()


@log_softmax.mistake(
    "scores cut off",
    hint="A clamp keeps exp from overflowing, and makes 1000 and 1001 equal. Shift, do not cut: "
    "differences between scores are all that counts.",
)
def _(logits):
    cut = logits.clamp(-80, 80).float()
    return cut - cut.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "one sum for all rows",
    hint="Each row is a distribution of its own: sum along the last axis, with keepdim=True.",
)
def _(logits):
    below = logits - logits.amax(-1, keepdim=True)
    return below - below.exp().sum().log()


@log_softmax.mistake(
    "the formula as it stands, in float64",
    hint="float64 ends near e^709. You moved the limit; a score of 1000 is still beyond it.",
)
def _(logits):
    wide = logits.double()
    return wide - wide.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "the largest absolute value subtracted",
    hint="Where all scores are far below zero, that pushes them further down, until every "
    "exponential is zero. Take the largest *score*.",
)
def _(logits):
    below = logits - logits.abs().amax(-1, keepdim=True)
    return below - below.exp().sum(-1, keepdim=True).log()


@log_softmax.mistake(
    "divided by the largest",
    hint="Softmax notices a factor: it is a temperature. What it does not notice is a shift.",
)
def _(logits):
    scaled = logits / logits.amax(-1, keepdim=True)
    return scaled - scaled.exp().sum(-1, keepdim=True).log()


Pieces = list[Float[Tensor, "N _"]]
"""The scores of all positions, cut along the vocabulary."""


@exercise(CHAPTER, axes="N", variants=ALIKE, strict=False, read=OVERFLOW)
def log_sum_exp(pieces: Pieces) -> Float[Tensor, " N"]:
    """`log Σ exp z` of each row, over all pieces: a sum that is rescaled when the top moves."""
    top, total = torch.full_like(pieces[0][:, 0], -torch.inf), torch.zeros_like(pieces[0][:, 0])
    for piece in pieces:
        new = torch.maximum(top, piece.amax(-1))
        total = total * (top - new).exp() + (piece - new[:, None]).exp().sum(-1)
        top = new
    return top + total.log()


@log_sum_exp.cases
def _() -> Iterator[Case]:
    yield case("by hand", [torch.tensor([[1.0, 3.0]]).log(), torch.tensor([[4.0]]).log()])
    yield case("a single piece", [torch.randn(3, 5)])
    yield case("three pieces", [torch.randn(4, n) for n in (4, 2, 3)])
    rising = [torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 2.0]]), torch.tensor([[7.0]])]
    yield case("the largest comes last", rising)
    yield case("the largest comes first", rising[::-1])
    far = [torch.tensor([[1000.0], [0.0]]), torch.tensor([[0.0, 999.0], [1000.0, 1001.0]])]
    yield case("scores of 1000", far)
    yield case(
        "1000 first, then small ones", [torch.tensor([[1000.0]]), torch.tensor([[0.0, 1.0]])]
    )
    yield case("0 and 1000 in one piece", [torch.zeros(1, 1), torch.tensor([[0.0, 1000.0]])])
    yield case("all far below zero", [torch.full((1, 2), -1000.0), torch.full((1, 3), -1001.0)])
    yield case("all at -30000", [torch.full((1, 2), -30000.0), torch.full((1, 1), -30000.0)])
    yield case("one score a piece", list(torch.randn(6, 3, 1)))
    rows = torch.tensor([[500.0], [-500.0]])
    yield case("one row far above the other", [rows + torch.randn(2, 2), rows + torch.randn(2, 3)])


def _each(pieces: list[Tensor]) -> Tensor:
    """The answer for each piece by itself, [pieces, N]."""
    return torch.stack([piece.logsumexp(-1) for piece in pieces])


def _running(pieces: list[Tensor], start: float, rescale: str) -> Tensor:
    """The loop, with another beginning, or another treatment of the sum so far."""
    top, total = torch.full_like(pieces[0][:, 0], start), torch.zeros_like(pieces[0][:, 0])
    for piece in pieces:
        new = torch.maximum(top, piece.amax(-1))
        by = {"right": top - new, "upside down": new - top, "never": torch.zeros_like(new)}[rescale]
        total = total * by.exp() + (piece - new[:, None]).exp().sum(-1)
        total = total.nan_to_num(0.0) if rescale == "upside down" and start == -torch.inf else total
        top = new
    return top + total.log()


@log_sum_exp.mistake(
    "the sum so far is not rescaled",
    hint="Your sum so far counts in units of e to the *old* largest score. When a larger one "
    "comes, the old sum has to shrink by the same factor as its terms would.",
)
def _(pieces):
    return _running(pieces, -torch.inf, "never")


@log_sum_exp.mistake(
    "rescaled the wrong way round",
    hint="When the largest score grows, the old sum is worth *less*: its factor is below 1.",
)
def _(pieces):
    return _running(pieces, -1e4, "upside down")


@log_sum_exp.mistake(
    "the largest score begins at 0",
    hint="Fine as long as a score is above 0. Where all are far below, every exponential rounds to "
    "zero, and log 0 is minus infinity: what is smaller than any score?",
)
def _(pieces):
    return _running(pieces, 0.0, "right")


@log_sum_exp.mistake(
    "exponentials of the scores as they are",
    hint="e^1000 is infinity in any format. Shift by the largest score before the exponential, and "
    "give it back after the logarithm.",
)
def _(pieces):
    return torch.stack([piece.exp().sum(-1) for piece in pieces]).sum(0).log()


@log_sum_exp.mistake(
    "the shift is not given back",
    hint="log Σ exp(z - m) is too small by m. Add it at the end.",
)
def _(pieces):
    scores = torch.cat(pieces, -1)
    return (scores - scores.amax(-1, keepdim=True)).exp().sum(-1).log()


@log_sum_exp.mistake(
    "logarithms added up",
    hint="The *sums* of the pieces add up, not their logarithms: log a + log b is log(a b).",
)
def _(pieces):
    return _each(pieces).sum(0)


@log_sum_exp.mistake(
    "the last piece alone",
    hint="Each piece starts anew, and what came before is forgotten. Carry the sum on.",
)
def _(pieces):
    return _each(pieces)[-1]


@log_sum_exp.mistake(
    "the largest of the pieces",
    hint="A large piece wins, but the others count as well: in the example 4 and 4 make 8.",
)
def _(pieces):
    return _each(pieces).amax(0)


@log_sum_exp.mistake(
    "a mean over the pieces",
    hint="A piece is no sample of the others: they are parts of one sum.",
)
def _(pieces):
    return _each(pieces).mean(0)


@log_sum_exp.mistake(
    "one largest score for all rows",
    hint="Each row has its own largest, and its own sum. With one for all, a row far below loses "
    "every exponential to zero.",
)
def _(pieces):
    scores = torch.cat(pieces, -1)
    return scores.max() + (scores - scores.max()).exp().sum(-1).log()


@log_sum_exp.mistake(
    "shifted by each piece's own largest",
    hint="Your shift follows the newest piece, up *and down*. When it goes down by 1000, the old "
    "sum grows by e^1000. The largest score so far never falls.",
)
def _(pieces):
    top, total = pieces[0].amax(-1), torch.zeros_like(pieces[0][:, 0])
    for piece in pieces:
        new = piece.amax(-1)
        total = total * (top - new).exp() + (piece - new[:, None]).exp().sum(-1)
        top = new
    return top + total.log()


@log_sum_exp.mistake(
    "the largest score alone",
    hint="The largest score is nearly right where it stands far above the others. The rest is the "
    "logarithm of the sum of all exponentials.",
)
def _(pieces):
    return torch.cat(pieces, -1).amax(-1)


# 3. What a wrong answer does to the scores


@exercise(CHAPTER, axes="N V", variants=ALIKE, strict=False, read=SLOPES)
def logit_gradient(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], smoothing: float = 0.0
) -> Float[Tensor, "N V"]:
    """`(p - y) / N`, with `y` smoothed: the gradient of the mean cross-entropy."""
    return by_hand.cross_entropy_gradient(logits, targets, smoothing) / len(targets)


@logit_gradient.cases
def _() -> Iterator[Case]:
    yield case("by hand", torch.tensor([[0.7, 0.2, 0.1]]).log(), torch.tensor([1]))
    yield case("four positions", torch.randn(4, 5), torch.tensor([0, 4, 2, 2]))
    yield case("smoothed", 2 * torch.randn(3, 5), torch.tensor([1, 0, 4]), smoothing=0.2)
    yield case("smoothed, one position", torch.zeros(1, 4), torch.tensor([3]), smoothing=0.1)
    yield case("large scores", torch.tensor([[200.0, 100.0], [0.0, 150.0]]), torch.tensor([1, 1]))
    yield case("as many positions as tokens", torch.randn(4, 4), torch.tensor([3, 1, 1, 0]), 0.1)
    yield case("all smoothed away", torch.randn(2, 3), torch.tensor([0, 2]), smoothing=1.0)


def _probabilities(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


def _one_hot(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.zeros_like(logits).scatter_(-1, targets[:, None], 1.0)


@logit_gradient.mistake(
    "the wrong way round",
    hint="This is y - p, the way that scores should go. The gradient points *uphill*, where the "
    "loss grows: p - y. Descent then subtracts it.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets) + smoothing / logits.size(-1)
    return (wanted - _probabilities(logits)) / len(targets)


@logit_gradient.mistake(
    "of the sum, not of the mean",
    hint="p - y is the gradient of one position's loss. The mean over N positions gives each of "
    "them an N-th of the say.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets) + smoothing / logits.size(-1)
    return _probabilities(logits) - wanted


@logit_gradient.mistake(
    "divided by all the numbers",
    hint="The mean is over the N positions, not over the N times V scores.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets) + smoothing / logits.size(-1)
    return (_probabilities(logits) - wanted) / logits.numel()


@logit_gradient.mistake(
    "smoothing left out",
    hint="Right without smoothing. With it, y is another distribution: 1 - ε for the target, and ε "
    "shared by all V tokens.",
)
def _(logits, targets, smoothing=0.0):
    return (_probabilities(logits) - _one_hot(logits, targets)) / len(targets)


@logit_gradient.mistake(
    "smoothing shared by the others alone",
    hint="The target has its part of the shared ε, too: 1 - ε + ε / V for it, ε / V for each "
    "other. (Papers differ; the library does it so.)",
)
def _(logits, targets, smoothing=0.0):
    one_hot = _one_hot(logits, targets)
    wanted = (1 - smoothing) * one_hot + smoothing * (1 - one_hot) / (logits.size(-1) - 1)
    return (_probabilities(logits) - wanted) / len(targets)


@logit_gradient.mistake(
    "the target's score alone",
    hint="The other scores have gradients as well: what they took from the target, p each, is "
    "pushed down.",
)
def _(logits, targets, smoothing=0.0):
    one_hot = _one_hot(logits, targets)
    wanted = (1 - smoothing) * one_hot + smoothing / logits.size(-1)
    return one_hot * (_probabilities(logits) - wanted) / len(targets)


@logit_gradient.mistake(
    "the slope of the logarithm, -1 / p",
    hint="That is the slope of -log p by p. On its way from p to the scores it passes the softmax, "
    "whose slope brings it back to p - y.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets) + smoothing / logits.size(-1)
    return -wanted / _probabilities(logits) / len(targets)


def _wanted(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    return (1 - smoothing) * _one_hot(logits, targets) + smoothing / logits.size(-1)


@logit_gradient.mistake(
    "softmax over the positions",
    hint="Each position believes something of its own: its probabilities, along the row of V "
    "scores, sum to one.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.softmax(0) - _wanted(logits, targets, smoothing)) / len(targets)


@logit_gradient.mistake(
    "a sigmoid for each score",
    hint="The scores of a row compete for one belief. A sigmoid looks at each by itself, and what "
    "comes out does not sum to one.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.sigmoid() - _wanted(logits, targets, smoothing)) / len(targets)


@logit_gradient.mistake(
    "divided by V",
    hint="The mean is over the N positions. How many tokens there are has no part in it.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.softmax(-1) - _wanted(logits, targets, smoothing)) / logits.size(-1)


@logit_gradient.mistake(
    "the scores where the probabilities belong",
    hint="p are probabilities: the softmax of the scores, not the scores themselves.",
)
def _(logits, targets, smoothing=0.0):
    return (logits - _wanted(logits, targets, smoothing)) / len(targets)


@logit_gradient.mistake(
    "the logarithms of the probabilities",
    hint="log p is the loss's own letter. What the gradient holds is p itself.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.log_softmax(-1) - _wanted(logits, targets, smoothing)) / len(targets)


@logit_gradient.mistake(
    "ε taken from the target and given to nobody",
    hint="You lowered the target to 1 - ε. The ε is not lost: ε / V of it goes to every token.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets)
    return (logits.softmax(-1) - wanted) / len(targets)


@logit_gradient.mistake(
    "ε given to everybody and taken from nobody",
    hint="y has to sum to one: what all tokens get, ε in all, the target has to give: 1 - ε.",
)
def _(logits, targets, smoothing=0.0):
    wanted = _one_hot(logits, targets) + smoothing / logits.size(-1)
    return (logits.softmax(-1) - wanted) / len(targets)


@logit_gradient.mistake(
    "the target has no share of its own",
    hint="*Every* token gets ε / V, the target included, on top of its 1 - ε.",
)
def _(logits, targets, smoothing=0.0):
    one_hot = _one_hot(logits, targets)
    wanted = (1 - smoothing) * one_hot + smoothing / logits.size(-1) * (1 - one_hot)
    return (logits.softmax(-1) - wanted) / len(targets)


@logit_gradient.mistake(
    "every row gets every target",
    hint="`y[:, targets]` are whole columns. Each row has one target: `y[rows, targets]`.",
)
def _(logits, targets, smoothing=0.0):
    wanted = torch.full_like(logits, smoothing / logits.size(-1))
    wanted[:, targets] += 1 - smoothing
    return (logits.softmax(-1) - wanted) / len(targets)


@logit_gradient.mistake(
    "ε and 1 - ε changed places",
    hint="Without smoothing, ε = 0 and the target has it all: its share is 1 - ε.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.softmax(-1) - _wanted(logits, targets, 1 - smoothing)) / len(targets)


@logit_gradient.mistake(
    "ε shared by the positions",
    hint="ε is shared by the V tokens of the vocabulary, not by the N positions.",
)
def _(logits, targets, smoothing=0.0):
    wanted = (1 - smoothing) * _one_hot(logits, targets) + smoothing / len(targets)
    return (logits.softmax(-1) - wanted) / len(targets)


@logit_gradient.mistake(
    "exponentials that were never normalised",
    hint="p is e^z divided by the row's sum. Yours are e^z alone.",
)
def _(logits, targets, smoothing=0.0):
    return (logits.exp() - _wanted(logits, targets, smoothing)) / len(targets)


@logit_gradient.mistake(
    "p (1 - p) once more",
    hint="The softmax's own slope is in p - y already: with the logarithm's 1 / p it cancelled.",
)
def _(logits, targets, smoothing=0.0):
    p = logits.softmax(-1)
    return p * (1 - p) * (p - _wanted(logits, targets, smoothing)) / len(targets)
