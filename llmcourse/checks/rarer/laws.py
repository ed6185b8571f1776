"""Rarer mistakes of the exercises on scaling laws. Chapter 09 teaches this."""

import numpy as np

from llmcourse.checks.bank.laws import fit_power_law
from llmcourse.planning.laws import power_law


@fit_power_law.mistake(
    "distances at right angles to the line",
    hint="You minimise distances at right angles (total least squares). Only the losses scatter: "
    "measure along them.",
)
def _(x, losses, floor):
    points = np.log(np.stack([np.array(x), np.array(losses) - floor]))
    middle = points.mean(1)
    across = np.linalg.svd(points - middle[:, None])[0][:, 0]
    slope = across[1] / across[0]
    return float(np.exp(middle[1] - slope * middle[0])), -float(slope)


@fit_power_law.mistake(
    "the median of the slopes",
    hint="You take the median of the slopes between all pairs of points (Theil and Sen). Asked for "
    "is the line with the least squared distances.",
)
def _(x, losses, floor):
    a, b = np.log(np.array(x)), np.log(np.array(losses) - floor)
    slopes = [(b[j] - b[i]) / (a[j] - a[i]) for i in range(len(a)) for j in range(i)]
    slope = np.median(slopes)
    return float(np.exp(np.median(b - slope * a))), -float(slope)


@fit_power_law.mistake(
    "ten times as many points by drawing lines between them",
    hint="You fit points that you put between the measured ones. They weigh long gaps more than "
    "short ones: fit what was measured.",
)
def _(x, losses, floor):
    order = np.argsort(x)
    known, seen = np.array(x)[order], np.array(losses)[order]
    many = np.linspace(known[0], known[-1], 10 * len(known))
    return power_law(list(many), list(np.interp(many, known, seen)), floor)
