"""The exercise on AdamW: a step with a bug in it.

Not here: the exercises on rates, clipping and schedules (`optimizers.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 06 teaches this.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "06"

Moved = tuple[Tensor, Tensor, Tensor]
"""A weight after a step, and the two memories of its gradients."""


# 7. AdamW, and a colleague's bug


@exercise(
    CHAPTER,
    axes=("N", "N", "N"),
    variants=("non-contiguous",),
    strict=False,
    read="L2 inside Adam",
)
def adamw_step(
    weight: Float[Tensor, " N"],
    gradient: Float[Tensor, " N"],
    mean: Float[Tensor, " N"],
    square: Float[Tensor, " N"],
    t: int,
    lr: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.99,
    eps: float = 1e-6,
    decay: float = 0.0,
) -> Moved:
    """One step of AdamW, of which `t` is the number (from 1): weight, mean, square."""
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient**2
    size = (square / (1 - beta2**t)).sqrt() + eps
    return (1 - lr * decay) * weight - lr * mean / (1 - beta1**t) / size, mean, square


@adamw_step.cases
def _() -> Iterator[Case]:
    zeros = torch.zeros(2)
    yield case("by hand: the first step", torch.ones(2), torch.tensor([4.0, -0.5]), zeros, zeros, 1)
    yield case("the first step, decaying", *_weights(), torch.zeros(5), torch.zeros(5), 1, decay=10)
    memories = torch.randn(5), torch.rand(5)
    yield case("the third step", *_weights(), *memories, 3)
    yield case("the third step, decaying", *_weights(), *memories, 3, decay=2.0)
    yield case("a large eps", *_weights(), *memories, 2, eps=0.5)
    yield case("the thousandth step", *_weights(), *memories, 1000, lr=0.1)
    yield case("other betas", *_weights(), *memories, 4, beta1=0.6, beta2=0.8, decay=1.0)
    yield case("the second step, other betas", *_weights(), *memories, 2, beta1=0.0, beta2=0.999)
    yield case("a weight that decays to nothing", *_weights(), *memories, 5, lr=0.5, decay=2.0)
    still = torch.zeros(5)
    yield case("no gradient at all", torch.randn(5), still, still, still, 2, decay=1.0)


def _weights() -> tuple[Tensor, Tensor]:
    return torch.randn(5), 3 * torch.randn(5)


def _step(
    weight: Tensor,
    mean: Tensor,
    square: Tensor,
    t: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> Tensor:
    """The right step, from memories that may be wrong."""
    size = (square / (1 - betas[1] ** t)).sqrt() + eps
    return weight - lr * mean / (1 - betas[0] ** t) / size


@adamw_step.mistake(
    "decay in the gradient: the colleague's bug",
    hint="That is the code that you were given: Adam with L2. What is added to the gradient is "
    "divided by its size afterwards. Let the weight decay by itself: (1 - lr · decay) · weight.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    g = g + decay * w
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step(w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "memories not corrected",
    hint="Both memories began at zero, so they are too small at first: divide them by 1 - β to the "
    "power of t.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return (1 - lr * decay) * w - lr * m / (v.sqrt() + eps), m, v


@adamw_step.mistake(
    "the corrected memories are remembered",
    hint="The step is right. But what is handed on must be the memories themselves: corrected ones "
    "would be corrected again at the next step.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    moved = _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps)
    return moved, m / (1 - beta1**t), v / (1 - beta2**t)


@adamw_step.mistake(
    "eps inside the root",
    hint="√v + ε, not √(v + ε). With ε = 1e-6 that would be a thousand times as much.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    size = (v / (1 - beta2**t) + eps).sqrt()
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / size, m, v


@adamw_step.mistake(
    "the root forgotten",
    hint="v is a mean of *squares*: divide by its root, or steps get larger where gradients get "
    "smaller.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    size = v / (1 - beta2**t) + eps
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / size, m, v


@adamw_step.mistake(
    "decay without the rate",
    hint="The weight loses the share lr · decay in a step. Without the rate, a decay of 0.1 would "
    "take a tenth of it, every time.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step((1 - decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "no decay at all",
    hint="Adam is right. The W is missing: the weight itself shrinks by lr · decay.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step(w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the square of the mean",
    hint="v remembers the mean of g², not the square of m. Where gradients change sign, the two "
    "differ a lot.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * m**2
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "uphill",
    hint="The gradient points to where the loss grows. Subtract.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    return _step((1 - lr * decay) * w, m, v, t, -lr, (beta1, beta2), eps), m, v


def _memories(g: Tensor, m: Tensor, v: Tensor, beta1: float, beta2: float) -> tuple[Tensor, Tensor]:
    return beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2


@adamw_step.mistake(
    "only the mean is corrected",
    hint="The square began at zero, too, and with a β near 1 it needs the correction even more.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / (v.sqrt() + eps), m, v


@adamw_step.mistake(
    "only the square is corrected",
    hint="The mean of the gradients began at zero, too: at the first step it is a tenth of one.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return (1 - lr * decay) * w - lr * m / ((v / (1 - beta2**t)).sqrt() + eps), m, v


@adamw_step.mistake(
    "steps counted from 0",
    hint="`t` is the number of this step, and the first one is 1: no t + 1.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return _step((1 - lr * decay) * w, m, v, t + 1, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "corrected by 1 - β, without the power",
    hint="The longer a memory has run, the less it has to be corrected: 1 - β to the power of t.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return _step((1 - lr * decay) * w, m, v, 1, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the betas changed places",
    hint="β1 belongs to the mean of gradients, β2 to the mean of their squares.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta2, beta1)
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta2, beta1), eps), m, v


@adamw_step.mistake(
    "a memory keeps 1 - β of the past",
    hint="A β near 1 means a long memory: β of the old, 1 - β of the new.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, 1 - beta1, 1 - beta2)
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the root before the correction",
    hint="First correct the square, then take the root: the root of 1 - β^t is another number.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    size = v.sqrt() / (1 - beta2**t) + eps
    return (1 - lr * decay) * w - lr * m / (1 - beta1**t) / size, m, v


@adamw_step.mistake(
    "decay of the weight after its step",
    hint="It is the *old* weight that loses the share lr · decay. Yours takes it off the step as "
    "well.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return (1 - lr * decay) * _step(w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "decay divided by the size as well",
    hint="You took decay out of the memories, and still divide it by the root of the square: that "
    "is the colleague's bug, one line further down.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    size = (v / (1 - beta2**t)).sqrt() + eps
    return w - lr * (m / (1 - beta1**t) + decay * w) / size, m, v


@adamw_step.mistake(
    "the gradient itself takes the step",
    hint="The step follows the *mean* of the gradients, which is what momentum is. You divide the "
    "last gradient alone.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return (1 - lr * decay) * w - lr * g / ((v / (1 - beta2**t)).sqrt() + eps), m, v


@adamw_step.mistake(
    "the new gradient at full weight",
    hint="A mean gives the new value the share 1 - β. Without it, memories grow to 1 / (1 - β) "
    "times the gradient.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = beta1 * m + g, beta2 * v + g**2
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the old memories returned",
    hint="The weight is right. The next step needs the *new* memories: return what you computed.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    return adamw_step.right(w, g, m, v, t, lr, beta1, beta2, eps, decay)[0], m, v


@adamw_step.mistake(
    "the betas written in",
    hint="0.9 and 0.99 are only the defaults: use `beta1` and `beta2` wherever a memory is kept or "
    "corrected.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    return adamw_step.right(w, g, m, v, t, lr, 0.9, 0.99, eps, decay)


@adamw_step.mistake(
    "the step follows the memories as they came",
    hint="First the memories take the new gradient in, then the step is made of them: at the first "
    "step yours stands still.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    new = _memories(g, m, v, beta1, beta2)
    return _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps), *new


@adamw_step.mistake(
    "the decay of all steps at once",
    hint="Each step takes lr · decay off, once. The power of t belongs to the memories alone.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return _step((1 - lr * decay) ** t * w, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "corrected by 1 - β t",
    hint="The correction is 1 - β to the *power* of t: a product is below zero after a few steps.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    size = (v / (1 - beta2 * t)).sqrt() + eps
    return (1 - lr * decay) * w - lr * m / (1 - beta1 * t) / size, m, v


@adamw_step.mistake(
    "the sign alone",
    hint="That is Lion's way: all steps alike. Adam divides the mean by the root of the square.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return (1 - lr * decay) * w - lr * m.sign(), m, v


@adamw_step.mistake(
    "a constant taken off, whatever the weight",
    hint="The weight loses a *share* of itself: lr · decay times the weight, or small weights are "
    "pushed through zero.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    return _step(w - lr * decay, m, v, t, lr, (beta1, beta2), eps), m, v


@adamw_step.mistake(
    "the corrected mean is remembered",
    hint="The step needs the corrected mean. The next step needs the mean as it is, or it would be "
    "corrected twice.",
)
def _(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = _memories(g, m, v, beta1, beta2)
    moved = _step((1 - lr * decay) * w, m, v, t, lr, (beta1, beta2), eps)
    return moved, m / (1 - beta1**t), v
