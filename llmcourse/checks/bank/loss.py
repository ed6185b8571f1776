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


# 1. A softmax that survives


@exercise(CHAPTER, axes="N V")
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
    yield case("equal scores in half precision", torch.full((1, 3), 1000.0, dtype=torch.float16))
    yield case("one score", torch.tensor([[7.0]]))


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


# 3. What a wrong answer does to the scores


@exercise(CHAPTER, axes="N V")
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
