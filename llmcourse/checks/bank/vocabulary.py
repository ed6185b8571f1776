"""The exercises on a vocabulary in pieces: one rank's part of the loss, and the whole of it.

Not here: the exercises on other parameters that are cut (`shards.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 10 teaches this.
"""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "10"
TENSOR = "5. Can one matrix be shared?"


# 6. A loss that never sees all logits


def _tupled(answer: Any, logits: Tensor, targets: Tensor, start: int) -> Any:
    """What an answer returns, where three vectors in a list are as good as in a tuple."""
    found = answer(logits, targets, start)
    return tuple(found) if isinstance(found, list) else found


@exercise(CHAPTER, axes=("T", "T", "T"), call=_tupled, read=TENSOR)
def local_part(
    logits: Float[Tensor, "T W"], targets: Int[Tensor, " T"], start: int
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"], Float[Tensor, " T"]]:
    """A rank's largest logit, its sum of exponentials relative to it, and the target's logit."""
    largest = logits.max(dim=-1).values
    total = (logits.double().logsumexp(dim=-1) - largest).exp().to(logits.dtype)
    places = torch.arange(logits.size(-1)) + start == targets[:, None]
    return largest, total, torch.where(places, logits, 0.0).sum(dim=-1)


@local_part.cases
def _() -> Iterator[Case]:
    hand = torch.tensor([[1.0, 3.0], [1.0, 3.0]])
    yield case("by hand", hand, torch.tensor([11, 12]), 10)
    yield case("the first rank", torch.randn(4, 5), torch.tensor([0, 4, 5, 19]), 0)
    yield case("a rank in the middle", torch.randn(5, 4), torch.tensor([7, 8, 11, 12, 0]), 8)
    yield case("nobody's target", torch.randn(3, 4), torch.tensor([1, 2, 30]), 8)
    yield case("all negative", -4 - torch.rand(3, 4), torch.tensor([5, 6, 0]), 4)
    yield case("large logits", 3000 * torch.randn(3, 4), torch.tensor([2, 3, 9]), 2)
    yield case("as many positions as tokens", torch.randn(4, 4), torch.tensor([4, 5, 6, 7]), 4)
    yield case("one token on the rank", torch.randn(3, 1), torch.tensor([6, 5, 7]), 6)


def _local(logits, targets, start, *, end=0, missing=0.0, relative=True, axis=-1):
    largest = logits.amax(dim=axis)
    shifted = logits - largest[:, None] if relative else logits
    here = targets - start
    mine = (here >= 0) & (here < logits.size(-1) + end)
    picked = logits.gather(-1, here.clamp(0, logits.size(-1) - 1)[:, None])[:, 0]
    return largest, shifted.exp().sum(dim=-1), picked.where(mine, missing)


@local_part.mistake(
    "the sum not relative to the largest",
    hint="Take the largest logit away before `exp`: the exponential of 3,000 is infinite.",
)
def _(logits, targets, start):
    return _local(logits, targets, start, relative=False)


@local_part.mistake(
    "a logit for every target",
    hint="A target that is not on this rank has 0 here: all ranks' answers will be summed. You "
    "keep what stands at the clamped place.",
)
def _(logits, targets, start):
    largest, total, _ = _local(logits, targets, start)
    here = (targets - start).clamp(0, logits.size(-1) - 1)
    return largest, total, logits.gather(-1, here[:, None])[:, 0]


@local_part.mistake(
    "minus infinity where it is not here",
    hint="0 is wanted there: the ranks' answers are summed, and minus infinity would stay.",
)
def _(logits, targets, start):
    return _local(logits, targets, start, missing=-torch.inf)


@local_part.mistake(
    "the target's logit relative to the largest",
    hint="The logit itself is asked for. Who merges does not know from whose largest you counted.",
)
def _(logits, targets, start):
    largest, total, picked = _local(logits, targets, start)
    here = (targets >= start) & (targets < start + logits.size(-1))
    return largest, total, (picked - largest).where(here, 0.0)


@local_part.mistake(
    "the logarithm of the sum",
    hint="Return the sum itself. Sums can be added, logarithms cannot.",
)
def _(logits, targets, start):
    largest, total, picked = _local(logits, targets, start)
    return largest, total.log(), picked


@local_part.mistake(
    "one token too many",
    hint="The rank has the tokens start to start + W − 1. Token start + W belongs to the next one.",
)
def _(logits, targets, start):
    return _local(logits, targets, start, end=1)


@local_part.mistake(
    "start not subtracted",
    hint="Targets are tokens of the whole vocabulary. In this rank's logits token `start` stands "
    "at place 0.",
)
def _(logits, targets, start):
    return _local(logits, targets, 0)


@local_part.mistake(
    "the target's probability",
    hint="The third vector is the target's *logit*, before any softmax.",
)
def _(logits, targets, start):
    largest, total, _ = _local(logits, targets, start)
    return largest, total, _local(logits.softmax(-1), targets, start)[2]


@local_part.mistake(
    "one largest for all positions",
    hint="Each position has its own largest logit: the maximum over the last axis.",
)
def _(logits, targets, start):
    _, _, picked = _local(logits, targets, start)
    largest = logits.max().expand(len(logits)).clone()
    return largest, (logits - largest[:, None]).exp().sum(-1), picked


@exercise(
    CHAPTER,
    axes="T",
    tolerance=5e-4,  # of right answers, some subtract large numbers from large ones
    variants=("float64", "non-contiguous", "gradients"),
    read=TENSOR,
)
def merged_loss(
    largest: Float[Tensor, "N T"], totals: Float[Tensor, "N T"], picked: Float[Tensor, "N T"]
) -> Float[Tensor, " T"]:
    """The logarithm of the sum of all exponentials, less the target's logit."""
    # In double precision: near 1,000 a float32 has four digits behind the point.
    scores = largest.double() + totals.double().log()
    return (scores.logsumexp(dim=0) - picked.double().sum(dim=0)).to(largest.dtype)


@merged_loss.cases
def _() -> Iterator[Case]:
    yield case(
        "by hand", torch.tensor([[3.0], [4.0]]), torch.ones(2, 1), torch.tensor([[3.0], [0.0]])
    )
    yield case("two ranks", *_parts(2, 3))
    yield case("three ranks", *_parts(3, 4))
    yield case("one rank", *_parts(1, 3))
    yield case("negative logits", *_parts(2, 3, shift=-9.0))
    yield case("as many ranks as positions", *_parts(3, 3))
    yield case("a thousand", *_parts(2, 3, shift=1_000.0))
    yield case("one rank far below", *_parts(2, 3, apart=900.0))
    fuller = torch.tensor([[3.0], [3.2]]), torch.tensor([[5.0], [1.0]])
    yield case("more on the rank with less", *fuller, torch.tensor([[0.0], [3.2]]))
    largest, totals, picked = _parts(2, 3)
    far = torch.tensor([0.0, -900.0, 0.0])
    yield case(
        "one position far below", largest + far, totals, torch.where(picked == 0, 0.0, picked + far)
    )


def _parts(n: int, T: int, shift: float = 0.0, apart: float = 0.0):
    """Largest, totals and target's logit of n ranks; the target on one of them."""
    logits = torch.randn(n, T, 4) + shift
    logits[0] -= apart
    owner = (torch.arange(T) + n - 1) % n
    mine = torch.arange(n)[:, None] == owner
    largest = logits.amax(-1)
    totals = (logits - largest[..., None]).exp().sum(-1)
    return largest, totals, torch.where(mine, logits[..., 1], 0.0)


def _merge(largest, totals, picked, *, top=None, scale=True, back=True):
    top = largest.amax(0) if top is None else top
    total = (totals * (largest - top).exp() if scale else totals).sum(0).log()
    return (top if back else 0.0) + total - picked.sum(0)


@merged_loss.mistake(
    "sums of different scales",
    hint="Each total stands relative to its own rank's largest. Multiply it by "
    "e^(largest − top) before you add.",
)
def _(largest, totals, picked):
    return _merge(largest, totals, picked, scale=False)


@merged_loss.mistake(
    "the largest not added again",
    hint="The exponentials were taken relative to the largest of all, so the logarithm lacks it: "
    "add it.",
)
def _(largest, totals, picked):
    return _merge(largest, totals, picked, back=False)


@merged_loss.mistake(
    "the formula as it stands",
    hint="e^1,000 is infinite, and e^−1,000 is 0. Take the largest of all away first, and add it "
    "after the logarithm.",
)
def _(largest, totals, picked):
    return (totals * largest.exp()).sum(0).log() - picked.sum(0)


@merged_loss.mistake(
    "the largest of the target's logits",
    hint="Where a rank does not have the target it says 0, and 0 may be the largest. Sum over the "
    "ranks.",
)
def _(largest, totals, picked):
    return _merge(largest, totals, picked) + picked.sum(0) - picked.amax(0)


@merged_loss.mistake("the sign", hint="A loss is −ln p. You return ln p.")
def _(largest, totals, picked):
    return -_merge(largest, totals, picked)


@merged_loss.mistake(
    "a mean over the ranks",
    hint="The sum over the vocabulary is the *sum* of the ranks' sums.",
)
def _(largest, totals, picked):
    n = torch.tensor(float(len(largest)), dtype=largest.dtype)
    return _merge(largest, totals, picked) - n.log()


@merged_loss.mistake(
    "logarithms added",
    hint="ln(a + b) is not ln a + ln b: bring the sums to one scale, add them, and take one "
    "logarithm.",
)
def _(largest, totals, picked):
    return (largest + totals.log()).sum(0) - picked.sum(0)


@merged_loss.mistake(
    "one position's loss for all",
    hint="A loss for each position is asked for: reduce over the ranks, axis 0, and nothing else.",
)
def _(largest, totals, picked):
    return _merge(largest, totals, picked).mean().expand(largest.size(1)).clone()


@merged_loss.mistake(
    "the target left out",
    hint="That is ln Σ e^z. Take the target's logit away.",
)
def _(largest, totals, picked):
    return _merge(largest, totals, 0 * picked)


@merged_loss.mistake(
    "one largest for all positions",
    hint="Take the largest over the *ranks*, for each position by itself: a position far below "
    "another one becomes ln 0.",
)
def _(largest, totals, picked):
    top = largest.max()
    return (totals * (largest - top).exp()).sum(0).log() + top - picked.sum(0)


@merged_loss.mistake(
    "the first rank's target",
    hint="Any rank may hold the target, and the others say 0: add up over the ranks.",
)
def _(largest, totals, picked):
    return (largest + totals.log()).logsumexp(0) - picked[0]


@merged_loss.mistake(
    "the probability of the target", hint="That is e to minus the loss. Return the loss itself."
)
def _(largest, totals, picked):
    return (picked.sum(0) - (largest + totals.log()).logsumexp(0)).exp()


@merged_loss.mistake(
    "the mean over the positions", hint="Return the loss of each position, [T], and no mean."
)
def _(largest, totals, picked):
    return ((largest + totals.log()).logsumexp(0) - picked.sum(0)).mean()


@merged_loss.mistake(
    "all largest added again",
    hint="Add the *top* again, which is the largest of all. You add every rank's.",
)
def _(largest, totals, picked):
    top = largest.max(0).values
    return (totals * (largest - top).exp()).sum(0).log() + largest.sum(0) - picked.sum(0)
