"""The exercise on calibration: how sure a model is, and how often it is right.

Not here: exams and chance (`exams.py`), the exercise's text (`solutions/`), and how checking works
(`harness.py`). Chapter 16 teaches this.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate import calibration

CHAPTER = "16"
SURE = "7. Does it know how sure it may be?"

# 3. Calibration


@exercise(CHAPTER, read=SURE)
def calibration_error(confidence: list[float], right: list[bool], n_bins: int) -> float:
    """The expected calibration error, over bins of equal width, (low, high]."""
    sure, hits = torch.tensor(confidence, dtype=torch.float64), torch.tensor(right)
    return calibration.expected_calibration_error(sure, hits, n_bins)


@calibration_error.cases
def _() -> Iterator[Case]:
    yield case("by hand", [0.95, 0.85, 0.55, 0.6], [True, False, True, False], 2)
    yield case("two bins", [0.3, 0.4, 0.9, 0.8, 0.7], [False, False, True, True, False], 2)
    yield case("on the edges", [0.5, 0.25, 0.75, 1.0], [False, True, True, False], 4)
    yield case("one bin", [0.2, 0.9, 0.6], [True, True, False], 1)
    yield case("sure of nothing, and of all", [0.0, 1.0], [True, False], 5)
    yield case(
        "bins of different size", [0.9, 0.95, 0.92, 0.99, 0.1], [1 > 2, True, True, True, True], 10
    )
    yield case("one answer", [0.7], [True], 4)
    yield case("a confidence of 0", [0.0, 0.2], [True, False], 4)
    dice = np.random.default_rng(16)
    sure = [round(float(c), 3) for c in dice.uniform(0.01, 0.99, 60)]
    hits = [bool(dice.random() < c**2) for c in sure]
    yield case("sixty answers", sure, hits, 10)
    yield case("sixty answers, fifteen bins", sure, hits, 15)
    yield case("never right", [0.9, 0.8, 0.35], [False, False, False], 5)


def _binned(confidence, right, n_bins, *, place=None, gap=abs, weight=None, mean=False):
    place = place or (lambda c: max(0, math.ceil(c * n_bins) - 1))
    bins: dict[int, list] = {}
    for c, r in zip(confidence, right, strict=True):
        bins.setdefault(place(c), []).append((c, r))
    gaps = []
    for each in bins.values():
        share = sum(r for _, r in each) / len(each)
        sure = sum(c for c, _ in each) / len(each)
        gaps.append((len(each), gap(share - sure)))
    if mean:
        return sum(g for _, g in gaps) / (n_bins if mean == "all" else len(gaps))
    if weight == "sum":
        return sum(n * g for n, g in gaps)
    if weight == "max":
        return max(g for _, g in gaps)
    return sum(n * g for n, g in gaps) / len(confidence)


@calibration_error.mistake(
    "every bin counts alike",
    hint="You take the plain mean over the bins. A bin with many answers weighs as many times.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, mean="filled")


@calibration_error.mistake(
    "empty bins count, too",
    hint="You divide by the number of all bins. A bin weighs as many times as it has answers, and "
    "an empty one nothing.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, mean="all")


@calibration_error.mistake(
    "no bins",
    hint="You compare the two means over all answers. Too sure here and too unsure there cancel: "
    "compare in each bin.",
)
def _(confidence, right, n_bins):
    return abs(sum(right) / len(right) - sum(confidence) / len(confidence))


@calibration_error.mistake(
    "answer by answer",
    hint="You take the distance of each answer from 0 or 1. A single answer has no accuracy: take "
    "means in a bin first, then their distance.",
)
def _(confidence, right, n_bins):
    return sum(abs(r - c) for c, r in zip(confidence, right, strict=True)) / len(right)


@calibration_error.mistake(
    "signed gaps",
    hint="Being too sure in one bin and not sure enough in another one does not make up for it: "
    "absolute values.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, gap=lambda g: g)


@calibration_error.mistake(
    "the middle of the bin",
    hint="A bin's confidence is the mean of its answers' confidences, not the middle of the bin.",
)
def _(confidence, right, n_bins):
    bins: dict[int, list] = {}
    for c, r in zip(confidence, right, strict=True):
        bins.setdefault(max(0, math.ceil(c * n_bins) - 1), []).append(r)
    gaps = (len(e) * abs(sum(e) / len(e) - (b + 0.5) / n_bins) for b, e in bins.items())
    return sum(gaps) / len(right)


@calibration_error.mistake(
    "an edge belongs to the bin above",
    hint="Bins are (low, high]: what lies exactly on an edge belongs to the bin *below* it.",
)
def _(confidence, right, n_bins):
    return _binned(
        confidence, right, n_bins, place=lambda c: min(n_bins - 1, math.floor(c * n_bins))
    )


@calibration_error.mistake(
    "not divided by the number of answers",
    hint="The weights are shares of all answers: n_b / n, which add up to 1.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, weight="sum")


@calibration_error.mistake(
    "the largest gap",
    hint="That is the *maximum* calibration error. Here it is the mean over the answers.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, weight="max")


@calibration_error.mistake("squared gaps", hint="The distances are absolute values, not squares.")
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, gap=lambda g: g * g)


@calibration_error.mistake(
    "a bin of its own for 0",
    hint="0 belongs to the first bin. `ceil` gives it the number 0, which is no bin: take 1.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, place=lambda c: math.ceil(c * n_bins))


@calibration_error.mistake(
    "a confidence of 0 is left out",
    hint="0 lies in no interval that begins *above* 0. The text puts it into the first bin.",
)
def _(confidence, right, n_bins):
    kept = [(c, r) for c, r in zip(confidence, right, strict=True) if c > 0]
    if not kept:
        return 0.0
    return _binned(*zip(*kept, strict=True), n_bins, weight="sum") / len(confidence)


@calibration_error.mistake(
    "rounded to the nearest bin",
    hint="You round to the nearest bin, whose edges then lie in the middle: round up, `math.ceil`.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, place=lambda c: round(c * n_bins))


@calibration_error.mistake(
    "gaps added up",
    hint="Each gap is weighed by its share of the answers, n_b / n, before you add.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, mean="filled") * len(
        {max(1, math.ceil(c * n_bins)) for c in confidence}
    )


@calibration_error.mistake(
    "signed gaps, the other way round",
    hint="The distance has no sign: the absolute value of each bin's difference.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, gap=lambda g: -g)


@calibration_error.mistake(
    "overconfidence alone",
    hint="You count the bins that are too sure. A bin that is not sure enough has a distance, too.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, gap=lambda g: max(0.0, -g))


@calibration_error.mistake(
    "the root of the mean square",
    hint="It is the mean of the distances themselves: no squares, and no root.",
)
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, gap=lambda g: g * g) ** 0.5


@calibration_error.mistake(
    "bins with equally many answers",
    hint="You cut the sorted answers into equal parts. The bins have equal *width*, from 0 to 1.",
)
def _(confidence, right, n_bins):
    pairs = sorted(zip(confidence, right, strict=True))
    total = 0.0
    for part in np.array_split(np.array(pairs, dtype=float), n_bins):
        total += abs(float((part[:, 1] - part[:, 0]).sum()))
    return total / len(pairs)


@calibration_error.mistake("ten bins", hint="Ten is usual. How many there are, `n_bins` says.")
def _(confidence, right, n_bins):
    return _binned(confidence, right, n_bins, place=lambda c: max(0, math.ceil(c * 10) - 1))
