"""Rarer mistakes of the exercises on scaling laws. Chapter 09 teaches this."""

import math

import numpy as np

from llmcourse.checks.bank.laws import best_split, find_floor, fit_power_law
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
    pairs = [(i, j) for i in range(len(a)) for j in range(i) if a[i] != a[j]]
    slopes = [(b[j] - b[i]) / (a[j] - a[i]) for i, j in pairs]
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


def _logs(x, losses, floor):
    return np.log(np.array(x, float)), np.log(np.array(losses, float) - floor)


def _slope(a, b, weights=None):
    weights = np.ones(len(a)) if weights is None else np.array(weights, float)
    far, high = a - np.average(a, weights=weights), b - np.average(b, weights=weights)
    return (weights * far * high).sum() / (weights * far**2).sum()


def _law(a, b, slope, weights=None):
    """Scale and exponent of the line with this slope through the (weighed) means."""
    height = np.average(b, weights=weights) - slope * np.average(a, weights=weights)
    return float(np.exp(height)), -float(slope)


@fit_power_law.mistake(
    "the ratio of the spreads for the slope",
    hint="You divide the spread of the losses by that of the sizes. That is the slope only where "
    "the points lie exactly on a line.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a, b, -b.std() / a.std())


@fit_power_law.mistake(
    "the mean of the slopes between neighbours",
    hint="You average the slopes from each point to the next. Asked for is the line with the least "
    "squared distances.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    order = np.argsort(a)
    far, high = np.diff(a[order]), np.diff(b[order])
    return _law(a, b, (high[far > 0] / far[far > 0]).mean())


@fit_power_law.mistake(
    "the mean of the slopes between all pairs",
    hint="You average the slopes of all pairs of points. Asked for is the line with the least "
    "squared distances.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    slopes = [
        (b[j] - b[i]) / (a[j] - a[i]) for i in range(len(a)) for j in range(i) if a[i] != a[j]
    ]
    return _law(a, b, np.mean(slopes))


@fit_power_law.mistake(
    "the line through the smallest run",
    hint="You put the line through the smallest run. No point is exact: the line goes through the "
    "point of both means.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    low = np.argmin(a)
    far, high = a - a[low], b - b[low]
    slope = (far * high).sum() / (far**2).sum()
    return float(np.exp(b[low] - slope * a[low])), -float(slope)


@fit_power_law.mistake(
    "the line through the largest run",
    hint="You put the line through the largest run. No point is exact: the line goes through the "
    "point of both means.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    top = np.argmax(a)
    far, high = a - a[top], b - b[top]
    slope = (far * high).sum() / (far**2).sum()
    return float(np.exp(b[top] - slope * a[top])), -float(slope)


@fit_power_law.mistake(
    "the slope right, the scale from the first run",
    hint="Your slope is right. The scale comes from the line, which goes through both means, and "
    "not from the first run.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    slope = _slope(a, b)
    return float(np.exp(b[0] - slope * a[0])), -float(slope)


@fit_power_law.mistake(
    "the slope right, the scale from the last run",
    hint="Your slope is right. The scale comes from the line, which goes through both means, and "
    "not from the last run.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    slope = _slope(a, b)
    return float(np.exp(b[-1] - slope * a[-1])), -float(slope)


@fit_power_law.mistake(
    "the slope right, the scale a mean of scales",
    hint="Your slope is right. You average what each point gives for the scale; average in "
    "logarithms, where the line is.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    slope = _slope(a, b)
    return float(np.exp(b - slope * a).mean()), -float(slope)


@fit_power_law.mistake(
    "sizes divided by the smallest",
    hint="You divide the sizes by the smallest one. Your scale is then the rest at that size, and "
    "not at x = 1.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a - a.min(), b, _slope(a, b))


@fit_power_law.mistake(
    "sizes divided by the largest",
    hint="You divide the sizes by the largest one. Your scale is then the rest at that size, and "
    "not at x = 1.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a - a.max(), b, _slope(a, b))


@fit_power_law.mistake(
    "a size for the scale",
    hint="Your law is (scale / x)^exponent, as in one paper. Here the scale stands outside of the "
    "power.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    scale, exponent = _law(a, b, _slope(a, b))
    return (scale ** (1 / exponent) if exponent else 1.0), exponent


@fit_power_law.mistake(
    "back with 10",
    hint="You take natural logarithms and come back with powers of 10. Both have to have one base.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    scale, exponent = _law(a, b, _slope(a, b))
    return 10 ** math.log(scale), exponent


@fit_power_law.mistake(
    "back with 2",
    hint="You take natural logarithms and come back with powers of 2. Both have to have one base.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    scale, exponent = _law(a, b, _slope(a, b))
    return 2 ** math.log(scale), exponent


@fit_power_law.mistake(
    "one added before the logarithms",
    hint="You add one to the sizes and the rests before you take logarithms. Neither is ever 0.",
)
def _(x, losses, floor):
    a, b = np.log1p(np.array(x, float)), np.log1p(np.array(losses, float) - floor)
    return _law(a, b, _slope(a, b))


@fit_power_law.mistake(
    "one logarithm, of the sizes",
    hint="You take the logarithm of the sizes alone. The losses, less the floor, need it, too.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    rest = np.exp(b)
    slope = _slope(a, rest)
    return float(rest.mean() - slope * a.mean()), -float(slope)


@fit_power_law.mistake(
    "one logarithm, of the losses",
    hint="You take the logarithm of the losses alone: that is an exponential law. The sizes need "
    "it, too.",
)
def _(x, losses, floor):
    _, b = _logs(x, losses, floor)
    sizes = np.array(x, float)
    return _law(sizes, b, _slope(sizes, b))


@fit_power_law.mistake(
    "larger runs weigh more",
    hint="You weigh the runs by their sizes. All points count alike.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a, b, _slope(a, b, x), x)


@fit_power_law.mistake(
    "runs weighed by the logarithms of their sizes",
    hint="You weigh the runs by the logarithms of their sizes. All points count alike.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    weights = np.abs(a) + 1e-9
    return _law(a, b, _slope(a, b, weights), weights)


@fit_power_law.mistake(
    "runs weighed by their rests",
    hint="You weigh the runs by what is left of their losses. All points count alike.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a, b, _slope(a, b, np.exp(b)), np.exp(b))


@fit_power_law.mistake(
    "runs weighed by the squares of their rests",
    hint="You weigh each logarithm by how much its loss weighs in a fit of the losses. All points "
    "count alike, in logarithms.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    return _law(a, b, _slope(a, b, np.exp(2 * b)), np.exp(2 * b))


@fit_power_law.mistake(
    "least squares of the losses themselves",
    hint="You fit the curve to the losses, without logarithms. Fit a line to the logarithms.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    rest = np.exp(b)
    height, slope = math.log(_law(a, b, _slope(a, b))[0]), _slope(a, b)
    for _ in range(60):
        said = np.exp(height + slope * a)
        steps = np.linalg.lstsq(np.stack([said, said * a], 1), rest - said, rcond=None)[0]
        height, slope = height + steps[0], slope + steps[1]
    return float(np.exp(height)), -float(slope)


@fit_power_law.mistake(
    "the two largest runs alone",
    hint="You draw the line through the two largest runs. All points count.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    last = np.argsort(a)[-2:]
    slope = (b[last[1]] - b[last[0]]) / ((a[last[1]] - a[last[0]]) or 1.0)
    return float(np.exp(b[last[1]] - slope * a[last[1]])), -float(slope)


@fit_power_law.mistake(
    "the smallest run left out",
    hint="You leave the smallest run out. All points count.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    kept = np.argsort(a)[1:] if len(a) > 2 else np.arange(len(a))
    return _law(a[kept], b[kept], _slope(a[kept], b[kept]))


@fit_power_law.mistake(
    "runs of one size averaged first",
    hint="You average runs of one size first, so each size counts once. Each run counts.",
)
def _(x, losses, floor):
    a, b = _logs(x, losses, floor)
    sizes = np.unique(a)
    means = np.array([b[a == size].mean() for size in sizes])
    return _law(sizes, means, _slope(sizes, means))


@fit_power_law.mistake(
    "the sizes sorted, and not the losses",
    hint="You sort sizes and losses each for itself. Each loss belongs to its size.",
)
def _(x, losses, floor):
    a, b = _logs(sorted(x), losses, floor)
    return _law(a, b, _slope(a, b))


@fit_power_law.mistake(
    "both sorted, each for itself",
    hint="You sort the sizes upwards and the losses downwards, each for itself. Each loss belongs "
    "to its size.",
)
def _(x, losses, floor):
    a, b = _logs(sorted(x), sorted(losses, reverse=True), floor)
    return _law(a, b, _slope(a, b))


def _below(losses, floors):
    return [floor for floor in floors if floor < min(losses)]


def _said(x, losses, floor):
    scale, exponent = power_law(list(x), list(losses), floor)
    return floor + scale / np.array(x, float) ** exponent


def _nearest(x, losses, floors, far):
    return min(
        _below(losses, floors),
        key=lambda floor: far(_said(x, losses, floor), np.array(losses, float)),
    )


@find_floor.mistake(
    "the median distance",
    hint="You look at the distance in the middle. The sum of all squares is asked for.",
)
def _(x, losses, floors):
    return _nearest(x, losses, floors, lambda said, seen: np.median(np.abs(np.log(said / seen))))


@find_floor.mistake(
    "distances with their signs",
    hint="You add the distances with their signs, so they cancel. Square them first.",
)
def _(x, losses, floors):
    return _nearest(x, losses, floors, lambda said, seen: np.log(said / seen).sum())


@find_floor.mistake(
    "the size of the summed distance",
    hint="You sum the distances and then take the size or the square. Square each first.",
)
def _(x, losses, floors):
    return _nearest(x, losses, floors, lambda said, seen: abs(np.log(said / seen).sum()))


@find_floor.mistake(
    "the largest run's distance alone",
    hint="You compare at the largest run alone. The sum goes over all of them.",
)
def _(x, losses, floors):
    top = int(np.argmax(x))
    return _nearest(x, losses, floors, lambda said, seen: abs(np.log(said / seen)[top]))


@find_floor.mistake(
    "the first run's distance alone",
    hint="You compare at the first run alone. The sum goes over all of them.",
)
def _(x, losses, floors):
    return _nearest(x, losses, floors, lambda said, seen: abs(np.log(said / seen)[0]))


@find_floor.mistake(
    "the last run is held out",
    hint="You fit without the last run, and judge by it. All runs are fitted and compared.",
)
def _(x, losses, floors):
    def far(floor):
        scale, exponent = power_law(list(x[:-1]), list(losses[:-1]), floor)
        return abs(math.log((floor + scale / x[-1] ** exponent) / losses[-1]))

    return (
        min(_below(losses, floors), key=far) if len(set(x[:-1])) > 1 else _below(losses, floors)[0]
    )


@find_floor.mistake(
    "how straight the line is",
    hint="You compare correlations of the logarithms. Compare the law with the losses themselves.",
)
def _(x, losses, floors):
    return max(
        _below(losses, floors), key=lambda floor: abs(np.corrcoef(*_logs(x, losses, floor))[0, 1])
    )


@find_floor.mistake(
    "the middle of the floors",
    hint="You take the floor in the middle of those that are possible. Fit a law with each, and "
    "compare.",
)
def _(x, losses, floors):
    possible = sorted(_below(losses, floors))
    return possible[len(possible) // 2]


@find_floor.mistake(
    "the whole law",
    hint="You return floor, scale and exponent. The floor alone is asked for.",
)
def _(x, losses, floors):
    floor = _nearest(x, losses, floors, lambda said, seen: (np.log(said / seen) ** 2).sum())
    return floor, *power_law(list(x), list(losses), floor)


def _split(numerator, power, flops, cost=6):
    n = (numerator * (flops / cost) ** power[0]) ** power[1]
    return n, flops / cost / n


@best_split.mistake(
    "a cost of 2 N D",
    hint="You take two operations a parameter and token, the forward pass. Training takes six.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha * A / (beta * B), (beta, 1 / (alpha + beta)), flops, cost=2)


@best_split.mistake(
    "the six in D alone",
    hint="You use C for N and C / 6 for D. It is C / 6 in both.",
)
def _(A, alpha, B, beta, flops):
    n = (alpha * A / (beta * B) * flops**beta) ** (1 / (alpha + beta))
    return n, flops / 6 / n


@best_split.mistake(
    "factors upside down in the fraction",
    hint="You have A and B exchanged in the fraction. A belongs to N, with alpha.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha * B / (beta * A), (beta, 1 / (alpha + beta)), flops)


@best_split.mistake(
    "the factors left out",
    hint="You leave A and B out. They shift the split for all budgets.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha / beta, (beta, 1 / (alpha + beta)), flops)


@best_split.mistake(
    "the whole fraction left out",
    hint="You take the powers of C / 6 and leave the fraction in front out.",
)
def _(A, alpha, B, beta, flops):
    return _split(1.0, (beta, 1 / (alpha + beta)), flops)


@best_split.mistake(
    "a power for the root",
    hint="You raise to alpha + beta where its root is to be taken.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha * A / (beta * B), (beta, alpha + beta), flops)


@best_split.mistake(
    "the root of the product of the exponents",
    hint="You multiply the exponents. Powers of N that are multiplied add theirs.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha * A / (beta * B), (beta, 1 / (alpha * beta)), flops)


@best_split.mistake(
    "exponents one larger",
    hint="You keep the powers of the derivative, one larger, and forget that D depends on N, too.",
)
def _(A, alpha, B, beta, flops):
    return _split(alpha * A / (beta * B), (beta + 1, 1 / (alpha + beta + 2)), flops)


@best_split.mistake(
    "the root of the fraction alone",
    hint="You take the root of the fraction and leave the operations' power as it is. It goes over "
    "both.",
)
def _(A, alpha, B, beta, flops):
    n = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** beta
    return n, flops / 6 / n


@best_split.mistake(
    "tokens for each parameter",
    hint="Your second number is how many tokens there are for each parameter. All tokens are asked "
    "for.",
)
def _(A, alpha, B, beta, flops):
    n, d = _split(alpha * A / (beta * B), (beta, 1 / (alpha + beta)), flops)
    return n, d / n


@best_split.mistake(
    "the power of Kaplan's law",
    hint="You take N as C^0.73, from another paper. Solve for the law that is given.",
)
def _(A, alpha, B, beta, flops):
    n = (flops / 6) ** 0.73
    return n, flops / 6 / n


@best_split.mistake(
    "both halves from their own formula, with one fraction",
    hint="You use the same fraction for N and for D. For D it is turned over: N times D must be "
    "C / 6.",
)
def _(A, alpha, B, beta, flops):
    factor = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    return (
        factor * (flops / 6) ** (beta / (alpha + beta)),
        factor * (flops / 6) ** (alpha / (alpha + beta)),
    )


@find_floor.mistake(
    "larger runs weigh more, in the sum",
    hint="You weigh the squares by the sizes. All runs count alike.",
)
def _(x, losses, floors):
    weights = np.array(x, float)
    return _nearest(
        x, losses, floors, lambda said, seen: (weights * np.log(said / seen) ** 2).sum()
    )


@find_floor.mistake(
    "stops at the first floor that is worse",
    hint="You stop as soon as a floor is worse than the one before. A better one may come behind "
    "it: try all.",
)
def _(x, losses, floors):
    best, least = None, math.inf
    for floor in _below(losses, floors):
        far = (np.log(_said(x, losses, floor) / np.array(losses)) ** 2).sum()
        if far > least:
            break
        best, least = floor, far
    return best


@find_floor.mistake(
    "each run is held out once",
    hint="You fit without each run in turn and judge by it. All runs are fitted and compared.",
)
def _(x, losses, floors):
    def far(floor):
        total = 0.0
        for out in range(len(x)):
            sizes, seen = [*x[:out], *x[out + 1 :]], [*losses[:out], *losses[out + 1 :]]
            if len(set(sizes)) > 1:
                scale, exponent = power_law(sizes, seen, floor)
                total += math.log((floor + scale / x[out] ** exponent) / losses[out]) ** 2
        return total

    return min(_below(losses, floors), key=far)


@find_floor.mistake(
    "the mean of the possible floors",
    hint="You average the floors that are possible. Return the one whose law is nearest.",
)
def _(x, losses, floors):
    return float(np.mean(_below(losses, floors)))


@best_split.mistake(
    "rounded to whole numbers",
    hint="You round. N and D are asked for as they come.",
)
def _(A, alpha, B, beta, flops):
    n, d = _split(alpha * A / (beta * B), (beta, 1 / (alpha + beta)), flops)
    return round(n), round(d)


@best_split.mistake(
    "the fraction with the operations' power",
    hint="You raise the fraction to the operations' power, too. Its own is 1 / (alpha + beta).",
)
def _(A, alpha, B, beta, flops):
    n = (alpha * A / (beta * B) * (flops / 6)) ** (beta / (alpha + beta))
    return n, flops / 6 / n


@best_split.mistake(
    "the operations' power is a half",
    hint="You let N grow with the root of the operations. That holds only where both exponents are "
    "alike.",
)
def _(A, alpha, B, beta, flops):
    n = (alpha * A / (beta * B)) ** (1 / (alpha + beta)) * (flops / 6) ** 0.5
    return n, flops / 6 / n


@best_split.mistake(
    "the operations' power is the same for both",
    hint="You turn the fraction over for D, and keep the power of C / 6. It is another one there: "
    "N times D must be C / 6.",
)
def _(A, alpha, B, beta, flops):
    factor = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    power = (flops / 6) ** (beta / (alpha + beta))
    return factor * power, power / factor
