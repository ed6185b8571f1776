r"""Calibration: of all answers given with 80 % confidence, are 80 of a hundred right?


The expected calibration error sorts answers into bins by confidence and compares, in each bin, how
often they are right with how sure they were: $\text{ECE} = \sum_b \frac{n_b}{n} |\text{accuracy}_b
- \text{confidence}_b|$ (Naeini et al., 2015). One number mends most of it: divide all logits by a
temperature that was fitted on validation data (Guo et al., 2017). Not here: pictures
(`viz/calibration.py`). Chapter 16 teaches this.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.objectives.cross_entropy import log_softmax

BINS = 10


class Bin(NamedTuple):
    """Answers of about one confidence, between `low` and `high`.

    Attributes:
        low: the bin holds confidences above this; the first one also those of 0.
        high: and up to this.
        n: how many answers.
        confidence: their mean confidence; not a number if there is none.
        accuracy: the share of them that is right; likewise.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def reliability(
    confidence: Float[Tensor, " N"], right: Bool[Tensor, " N"], n_bins: int = BINS
) -> list[Bin]:
    """Answers in bins of equal width, `(low, high]`, by their confidence.

    Raises:
        UserError: no answers, or a confidence that is no probability.
    """
    require(len(confidence) == len(right) > 0, "give a confidence and a verdict for each answer")
    require(
        float(confidence.min()) >= 0 and float(confidence.max()) <= 1 + 1e-6,
        "a confidence is a probability, from 0 to 1",
    )
    require(n_bins >= 1, f"n_bins={n_bins} must be at least 1")
    confidence = confidence.double()
    edges = torch.linspace(0, 1, n_bins + 1, dtype=torch.float64)
    # `bucketize` puts what equals an edge below it: (low, high].
    place = (torch.bucketize(confidence, edges) - 1).clamp(0, n_bins - 1)
    found = []
    for b in range(n_bins):
        here = place == b
        n = int(here.sum())
        mean = float(confidence[here].mean()) if n else math.nan
        share = float(right[here].double().mean()) if n else math.nan
        found.append(Bin(float(edges[b]), float(edges[b + 1]), n, mean, share))
    return found


def expected_calibration_error(
    confidence: Float[Tensor, " N"], right: Bool[Tensor, " N"], n_bins: int = BINS
) -> float:
    """The mean distance between accuracy and confidence over the bins, weighted by their answers.

    Raises:
        UserError: as `reliability`.
    """
    bins = [b for b in reliability(confidence, right, n_bins) if b.n]
    return sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / len(confidence)


def confidence_of(
    logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"], temperature: float = 1.0
) -> tuple[Float[Tensor, " N"], Bool[Tensor, " N"]]:
    """How sure a classifier is of what it says, at a temperature, and whether that is right."""
    best = log_softmax(logits.double(), temperature).exp().max(dim=-1)
    return best.values, best.indices == labels


def fit_temperature(logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"]) -> float:
    """The temperature that makes right labels likeliest, between 1/100 and 100.

    The loss has one lowest point in 1/T (it is convex there), which a search by golden section
    finds. No answer changes: dividing all logits by one number keeps their order.

    Raises:
        UserError: there are no examples.
    """
    require(len(logits) == len(labels) > 0, "give logits and labels of some examples")
    logits = logits.double()

    def loss(log_sharpness: float) -> float:
        log_p = log_softmax(logits, math.exp(-log_sharpness))
        return -float(log_p.gather(1, labels[:, None]).mean())

    golden = (math.sqrt(5) - 1) / 2
    low, high = -math.log(100), math.log(100)
    while high - low > 1e-6:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if loss(left) <= loss(right):
            high = right
        else:
            low = left
    return math.exp(-(low + high) / 2)
