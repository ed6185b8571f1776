"""Rarer mistakes of the exercise on honest confidence. Chapter 16 teaches this."""

import math

from llmcourse.checks.bank.certainty import calibration_error


def _filled(confidence, right, n_bins, *, number=None):
    """The answers of each bin that has some: pairs of confidence and whether it was right."""
    number = number or (lambda c: max(math.ceil(c * n_bins), 1))
    bins = {}
    for c, r in zip(confidence, right, strict=True):
        bins.setdefault(number(c), []).append((c, float(r)))
    return [bins[n] for n in sorted(bins)]


def _apart(cell, *, middle=None):
    said = sum(c for c, _ in cell) / len(cell) if middle is None else middle
    return abs(sum(r for _, r in cell) / len(cell) - said)


def _error(confidence, right, n_bins, *, number=None, apart=_apart, weight=len, end=None):
    cells = _filled(confidence, right, n_bins, number=number)
    if not cells:
        return 0.0
    weights = [weight(cell) for cell in cells]
    total = sum(w * apart(cell) for w, cell in zip(weights, cells, strict=True))
    found = total / (sum(weights) or 1)
    return end(found) if end else found


@calibration_error.mistake(
    "the logarithmic loss",
    hint="You return the mean cross-entropy. The calibration error compares shares in bins.",
)
def _(confidence, right, n_bins):
    said = [c if r else 1 - c for c, r in zip(confidence, right, strict=True)]
    return -sum(math.log(max(p, 1e-12)) for p in said) / max(len(said), 1)


@calibration_error.mistake(
    "bins with as many answers each",
    hint="You cut the sorted answers into bins of equal *size*. The bins have equal *width*.",
)
def _(confidence, right, n_bins):
    pairs, total = sorted(zip(confidence, map(float, right), strict=True)), 0.0
    n = len(pairs)
    for b in range(n_bins):
        cell = pairs[b * n // n_bins : (b + 1) * n // n_bins]
        total += len(cell) * _apart(cell) if cell else 0.0
    return total / max(n, 1)


@calibration_error.mistake(
    "bins from the smallest to the largest confidence",
    hint="You cut the range between the smallest and the largest confidence. It is 0 to 1 that is "
    "cut.",
)
def _(confidence, right, n_bins):
    low, high = min(confidence, default=0.0), max(confidence, default=1.0)
    wide = (high - low) or 1.0
    return _error(
        confidence, right, n_bins, number=lambda c: max(math.ceil((c - low) / wide * n_bins), 1)
    )


@calibration_error.mistake(
    "bins from one half to one",
    hint="You cut the range from 0.5 to 1. It goes from 0 to 1.",
)
def _(confidence, right, n_bins):
    return _error(
        confidence, right, n_bins, number=lambda c: max(math.ceil((c - 0.5) * 2 * n_bins), 1)
    )


@calibration_error.mistake(
    "a bin's upper edge for its confidence",
    hint="You compare with the upper edge of the bin. The mean confidence of its answers is "
    "compared.",
)
def _(confidence, right, n_bins):
    def apart(cell):
        return _apart(cell, middle=max(math.ceil(cell[0][0] * n_bins), 1) / n_bins)

    return _error(confidence, right, n_bins, apart=apart)


@calibration_error.mistake(
    "a bin's lower edge for its confidence",
    hint="You compare with the lower edge of the bin. The mean confidence of its answers is "
    "compared.",
)
def _(confidence, right, n_bins):
    def apart(cell):
        return _apart(cell, middle=(max(math.ceil(cell[0][0] * n_bins), 1) - 1) / n_bins)

    return _error(confidence, right, n_bins, apart=apart)


@calibration_error.mistake(
    "the median confidence",
    hint="You compare with the median confidence of a bin. Its mean is compared.",
)
def _(confidence, right, n_bins):
    def apart(cell):
        return _apart(cell, middle=sorted(c for c, _ in cell)[len(cell) // 2])

    return _error(confidence, right, n_bins, apart=apart)


@calibration_error.mistake(
    "a confidence of zero left out altogether",
    hint="You drop the answers with a confidence of 0. They belong to the first bin, and count.",
)
def _(confidence, right, n_bins):
    kept = [(c, r) for c, r in zip(confidence, right, strict=True) if c > 0]
    return _error([c for c, _ in kept], [r for _, r in kept], n_bins)


@calibration_error.mistake(
    "a confidence of one in no bin",
    hint="You leave confidences of 1 out of the bins. They belong to the last.",
)
def _(confidence, right, n_bins):
    kept = [(c, r) for c, r in zip(confidence, right, strict=True) if c < 1]
    found = _error([c for c, _ in kept], [r for _, r in kept], n_bins)
    return found * len(kept) / max(len(confidence), 1)


@calibration_error.mistake(
    "bins with a single answer left out",
    hint="You leave out bins with one answer. They weigh little, and count.",
)
def _(confidence, right, n_bins):
    cells = [cell for cell in _filled(confidence, right, n_bins) if len(cell) > 1]
    return sum(len(cell) * _apart(cell) for cell in cells) / max(len(confidence), 1)


@calibration_error.mistake(
    "the root of the answers as weights",
    hint="You weigh bins by the root of their number of answers. Weigh by the number.",
)
def _(confidence, right, n_bins):
    return _error(confidence, right, n_bins, weight=lambda cell: math.sqrt(len(cell)))


@calibration_error.mistake(
    "weighed by the confidence",
    hint="You weigh bins by their summed confidence. They weigh as much as they have answers.",
)
def _(confidence, right, n_bins):
    return _error(confidence, right, n_bins, weight=lambda cell: sum(c for c, _ in cell))


@calibration_error.mistake(
    "weighed by the right answers",
    hint="You weigh bins by their number of *right* answers. All answers of a bin count.",
)
def _(confidence, right, n_bins):
    return _error(confidence, right, n_bins, weight=lambda cell: sum(r for _, r in cell))


@calibration_error.mistake(
    "rounded to two digits first",
    hint="You round the confidences before you put them into bins. Take them as they are.",
)
def _(confidence, right, n_bins):
    return _error([round(c, 2) for c in confidence], right, n_bins)


@calibration_error.mistake(
    "how sure it was of being wrong, too",
    hint="You take confidences below one half as 1 less them. They are taken as they are.",
)
def _(confidence, right, n_bins):
    return _error([max(c, 1 - c) for c in confidence], right, n_bins)
