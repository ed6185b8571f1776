"""The exercises on scaling laws: a line in logarithms, its floor, the best split, an experiment.

Not here: the exercises on operations, memory and time (`budgets.py`), the exercises' texts
(`solutions/`), and how checking works (`harness.py`). Chapter 09 teaches this.
"""

import math
from collections.abc import Iterator

import numpy as np

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.planning.laws import Law, power_law

CHAPTER = "09"
LAWS = "4. What does a ladder of small runs say?"

# 5. A law from a ladder


@exercise(CHAPTER, read=LAWS)
def fit_power_law(x: list[float], losses: list[float], floor: float) -> tuple[float, float]:
    """Scale and exponent of floor + scale / x^exponent, by least squares in logarithms."""
    return power_law(x, losses, floor)


def _points(floor: float, scale: float, exponent: float, x: list[float]) -> list[float]:
    return [floor + scale / at**exponent for at in x]


NOISY = [2.31, 1.62, 1.33, 0.98]


@fit_power_law.cases
def _() -> Iterator[Case]:
    yield case("by hand", [1.0, 4.0], [5.0, 3.0], 1.0)
    yield case("three points of a law", [1.0, 2.0, 8.0], _points(0.5, 3.0, 0.7, [1, 2, 8]), 0.5)
    yield case("no floor", [10.0, 20.0, 80.0], _points(0.0, 7.0, 0.3, [10, 20, 80]), 0.0)
    yield case("points that lie on no line", [1.0, 2.0, 4.0, 8.0], NOISY, 0.3)
    yield case("points of many sizes", [3e4, 6e4, 2.4e5, 1e6], [3.9, 3.1, 1.9, 1.4], 0.3)
    yield case("not in order", [8.0, 1.0, 4.0, 2.0], [0.98, 2.31, 1.33, 1.62], 0.3)
    yield case("a steep one", [1.0, 2.0, 3.0], _points(0.1, 9.0, 1.9, [1, 2, 3]), 0.1)
    yield case("losses that rise", [1.0, 2.0, 4.0], [1.0, 1.2, 1.7], 0.2)
    yield case("two runs of one size", [1.0, 4.0, 1.0, 16.0], [2.5, 1.4, 2.1, 1.0], 0.3)


def _line(x, losses, floor, *, log=np.log, back=np.exp, weights=None):
    slope, level = np.polyfit(log(np.array(x)), log(np.array(losses) - floor), 1, w=weights)
    return float(back(level)), -float(slope)


@fit_power_law.mistake(
    "the slope in place of the exponent",
    hint="The loss falls, so the line's slope is negative. It is minus the exponent.",
)
def _(x, losses, floor):
    scale, exponent = _line(x, losses, floor)
    return scale, -exponent


@fit_power_law.mistake(
    "the logarithm of the scale",
    hint="The line meets the axis at ln(scale). Take the exponential of it.",
)
def _(x, losses, floor):
    scale, exponent = _line(x, losses, floor)
    return math.log(scale), exponent


@fit_power_law.mistake(
    "the floor was not taken off",
    hint="Only what lies *above* the floor follows a power law: loss − floor.",
)
def _(x, losses, floor):
    return _line(x, losses, 0.0)


@fit_power_law.mistake("the floor added", hint="Take the floor off the losses. You add it.")
def _(x, losses, floor):
    return _line(x, losses, -floor)


@fit_power_law.mistake("the exponent first", hint="The order asked for is: scale, then exponent.")
def _(x, losses, floor):
    return _line(x, losses, floor)[::-1]


@fit_power_law.mistake(
    "through the first and the last point",
    hint="All points count: the line with the least squared distances, not the one through two.",
)
def _(x, losses, floor):
    first, last = math.log(losses[0] - floor), math.log(losses[-1] - floor)
    slope = (last - first) / (math.log(x[-1]) - math.log(x[0]))
    return math.exp(first - slope * math.log(x[0])), -slope


@fit_power_law.mistake(
    "x by the losses",
    hint="You minimise distances along x. What scatters is the loss: it is fitted *from* x.",
)
def _(x, losses, floor):
    slope, level = np.polyfit(np.log(np.array(losses) - floor), np.log(np.array(x)), 1)
    return float(np.exp(-level / slope)), -float(1 / slope)


@fit_power_law.mistake(
    "the exponential of a logarithm to base ten",
    hint="Logarithm and exponential must have one base. With log10 the way back is 10 ** level.",
)
def _(x, losses, floor):
    return _line(x, losses, floor, log=np.log10)


@fit_power_law.mistake(
    "a line in the losses themselves",
    hint="Of the losses take the logarithm as well. You have it of x alone.",
)
def _(x, losses, floor):
    slope, level = np.polyfit(np.log(np.array(x)), np.array(losses) - floor, 1)
    return float(np.exp(level)), -float(slope)


def _in_logarithms(x, losses, floor):
    return np.log(np.array(x)), np.log(np.array(losses) - floor)


@fit_power_law.mistake(
    "the mean of the slopes from point to point",
    hint="Each pair of neighbours counts alike in yours, near or far apart. Least squares weighs "
    "all points at once: Σ (a − ā)(b − b̄) / Σ (a − ā)².",
)
def _(x, losses, floor):
    u, v = _in_logarithms(x, losses, floor)
    slope = float(np.mean(np.diff(v) / np.diff(u)))
    return math.exp(v.mean() - slope * u.mean()), -slope


@fit_power_law.mistake(
    "a line through the origin",
    hint="Take the means off before you multiply: the line goes through the point of both means, "
    "not through (0, 0).",
)
def _(x, losses, floor):
    u, v = _in_logarithms(x, losses, floor)
    slope = float((u * v).sum() / (u * u).sum())
    return math.exp(v.mean() - slope * u.mean()), -slope


@fit_power_law.mistake(
    "a line without logarithms",
    hint="You fit a straight line to sizes and losses as they are. The law is straight in "
    "*logarithms* of both.",
)
def _(x, losses, floor):
    slope, level = np.polyfit(np.array(x), np.array(losses) - floor, 1)
    return float(level), -float(slope)


@fit_power_law.mistake(
    "the correlation as the slope",
    hint="A correlation divides by both spreads. A slope divides by the spread of ln x alone, "
    "squared.",
)
def _(x, losses, floor):
    u, v = _in_logarithms(x, losses, floor)
    slope = float(np.corrcoef(u, v)[0, 1])
    return math.exp(v.mean() - slope * u.mean()), -slope


@fit_power_law.mistake(
    "divided by n − 1 above and by n below",
    hint="`numpy.cov` divides by n − 1, `numpy.var` by n. Take one for both, or plain sums.",
)
def _(x, losses, floor):
    u, v = _in_logarithms(x, losses, floor)
    slope = float(np.cov(u, v)[0, 1] / np.var(u))
    return math.exp(v.mean() - slope * u.mean()), -slope


@fit_power_law.mistake(
    "the floor taken off the logarithm",
    hint="ln(L − floor) is not ln L − ln floor. Subtract first, then take the logarithm.",
)
def _(x, losses, floor):
    scale, exponent = _line(x, losses, 0.0)
    return scale / (floor if floor > 0 else 1.0), exponent


@fit_power_law.mistake(
    "the height at the mean for the scale",
    hint="The exponent is right. The scale is the line's height at ln x = 0: go from the point of "
    "both means back along the slope.",
)
def _(x, losses, floor):
    _, v = _in_logarithms(x, losses, floor)
    return math.exp(v.mean()), _line(x, losses, floor)[1]


@fit_power_law.mistake(
    "the first point for the scale",
    hint="The exponent is right. The scale belongs to x = 1 on the *line*; the first point may lie "
    "beside it, and elsewhere.",
)
def _(x, losses, floor):
    return losses[0] - floor, _line(x, losses, floor)[1]


@fit_power_law.mistake(
    "the floor put back into the scale",
    hint="The scale is what lies *above* the floor at x = 1. The floor stays beside it in the law.",
)
def _(x, losses, floor):
    scale, exponent = _line(x, losses, floor)
    return scale + floor, exponent


@exercise(CHAPTER, read=LAWS)
def find_floor(x: list[float], losses: list[float], floors: list[float]) -> float:
    """The first floor whose law is nearest to the losses, in logarithms; below all of them."""
    best, least = 0.0, math.inf
    for floor in floors:
        if floor < min(losses):
            scale, exponent = power_law(x, losses, floor)
            said = [math.log(floor + scale / at**exponent) for at in x]
            off = sum((a - math.log(b)) ** 2 for a, b in zip(said, losses, strict=True))
            if off < least:
                best, least = floor, off
    return best


@find_floor.cases
def _() -> Iterator[Case]:
    x = [1.0, 2.0, 4.0, 8.0]
    grid = [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]
    yield case("by hand", [1.0, 4.0, 16.0], [5.0, 3.0, 2.0], [0.0, 0.5, 1.0, 1.5])
    yield case("a law with a floor", x, _points(0.75, 2.0, 0.6, x), grid)
    yield case("a law without a floor", x, _points(0.0, 2.0, 0.3, x), grid)
    yield case("the largest that is left", x, _points(1.25, 2.0, 0.9, x), grid)
    yield case("floors in no order", x, _points(0.5, 2.0, 0.6, x), [0.5, 1.0, 0.0, 0.75])
    yield case("one of them is the lowest loss", x, NOISY, [0.98, 0.2, 0.6, 1.4])
    yield case("points that lie on no line", x, [2.31, 1.62, 1.30, 1.10], [0.0, 0.3, 0.6, 0.85])
    yield case("noise at the end", [1.0, 3.0, 9.0, 27.0, 81.0], [3.0, 2.1, 1.55, 1.31, 1.02],
               [0.0, 0.4, 0.7, 0.9, 1.0])  # fmt: skip
    yield case("a run that went wrong", x, [3.7, 3.2, 1.1, 1.9], [0.0, 0.8, 1.0, 1.4])
    yield case("the lowest is not the last", [*x, 16.0], [3.3, 3.2, 1.5, 1.1, 1.2],
               [0.0, 0.8, 1.0])  # fmt: skip
    yield case("one floor", x, NOISY, [0.5])
    uneven = [1.0, 1.5, 10.0, 80.0]
    yield case("uneven sizes", uneven, _points(0.5, 2.0, 0.6, uneven), grid)
    yield case("uneven sizes, a high floor", uneven, _points(1.25, 2.0, 0.6, uneven), grid)
    yield case("better, worse, and best", x, _points(0.5, 2.0, 0.6, x), [0.25, 0.0, 0.5, 0.75])
    yield case("a run that weighs on the others", x, [3.15, 2.17, 1.73, 1.33],
               [0.0, 0.3, 0.5, 0.7, 0.9])  # fmt: skip
    yield case("sizes in no order", [8.0, 16.0, 1.0, 4.0, 2.0], [1.41, 1.1, 3.06, 1.74, 2.2],
               [0.0, 0.3, 0.5, 0.7, 0.8, 0.9])  # fmt: skip


def _floor(x, losses, floors, *, off, allowed=lambda floor, lowest: floor < lowest, pick=min):
    fine = [floor for floor in floors if allowed(floor, min(losses))]
    return pick(fine, key=lambda floor: off(floor, *power_law(x, losses, floor)))


@find_floor.mistake(
    "in logarithms of what lies above the floor",
    hint="Compare whole losses: ln(loss) with ln(floor + scale / x^exponent). Above a high floor a "
    "small rest has a huge logarithm.",
)
def _(x, losses, floors):
    def off(floor, scale, exponent):
        return sum(
            (math.log(scale / at**exponent) - math.log(loss - floor)) ** 2
            for at, loss in zip(x, losses, strict=True)
        )

    return _floor(x, losses, floors, off=off)


@find_floor.mistake(
    "the worst law", hint="You take the floor with the *largest* distance. The least is asked for."
)
def _(x, losses, floors):
    return _floor(x, losses, floors, off=_off(x, losses), pick=max)


def _off(x, losses, log=math.log, power=2):
    def off(floor, scale, exponent):
        said = [floor + scale / at**exponent for at in x]
        return sum(abs(log(a) - log(b)) ** power for a, b in zip(said, losses, strict=True))

    return off


@find_floor.mistake(
    "the distance and not the floor", hint="Return the floor that won, not how well it did."
)
def _(x, losses, floors):
    floor = _floor(x, losses, floors, off=_off(x, losses))
    return _off(x, losses)(floor, *power_law(x, losses, floor))


@find_floor.mistake(
    "the place of the floor", hint="Return the floor itself, not its number in the list."
)
def _(x, losses, floors):
    return floors.index(_floor(x, losses, floors, off=_off(x, losses)))


@find_floor.mistake(
    "the lowest floor",
    hint="Compare how well each floor's law fits: the lowest need not be best. If you did compare, "
    "is the floor in what you compare, floor + scale / x^exponent?",
)
def _(x, losses, floors):
    return min(floor for floor in floors if floor < min(losses))


@find_floor.mistake(
    "the highest floor",
    hint="A floor just below the lowest loss is possible. It need not fit best.",
)
def _(x, losses, floors):
    return max(floor for floor in floors if floor < min(losses))


@find_floor.mistake(
    "distances that are not squared",
    hint="Add up the *squares* of the distances: one large miss then weighs more than two small "
    "ones.",
)
def _(x, losses, floors):
    return _floor(x, losses, floors, off=_off(x, losses, power=1))


@find_floor.mistake(
    "the largest miss alone",
    hint="All runs count: add up the squares, where you look at the worst run alone.",
)
def _(x, losses, floors):
    return _floor(x, losses, floors, off=_off(x, losses, power=50))


@find_floor.mistake(
    "the last run alone",
    hint="You compare the law with the last loss alone. Add up the squares over all runs.",
)
def _(x, losses, floors):
    return _floor(x, losses, floors, off=_off(x[-1:], losses[-1:]))


@find_floor.mistake(
    "misses in parts of the loss",
    hint="Compare logarithms, ln(said) − ln(loss), not (said − loss) / loss. For small misses they "
    "are alike, for large ones not.",
)
def _(x, losses, floors):
    def off(floor, scale, exponent):
        said = [floor + scale / at**exponent for at in x]
        return sum(((a - b) / b) ** 2 for a, b in zip(said, losses, strict=True))

    return _floor(x, losses, floors, off=off)


@find_floor.mistake(
    "a number of the list that is left, in the list as it was",
    hint="You drop the floors that are too high, and look up the best one's number in the whole "
    "list. Keep the floors themselves.",
)
def _(x, losses, floors):
    fine = [floor for floor in floors if floor < min(losses)]
    return floors[fine.index(_floor(x, losses, floors, off=_off(x, losses)))]


@find_floor.mistake(
    "floors above zero alone",
    hint="A floor of 0 is a floor, too: where it lies in the list, try it.",
)
def _(x, losses, floors):
    return _floor(x, losses, [floor for floor in floors if floor > 0], off=_off(x, losses))


@find_floor.mistake(
    "misses in nats",
    hint="You compare the losses themselves. Compare their logarithms: a miss of 1 % then counts "
    "equally everywhere.",
)
def _(x, losses, floors):
    return _floor(x, losses, floors, off=_off(x, losses, log=float))


# 6. The best split


@exercise(CHAPTER, read="5. What should a budget be spent on?")
def best_split(A: float, alpha: float, B: float, beta: float, flops: float) -> tuple[float, float]:
    """N and D with the lowest A / N^alpha + B / D^beta, where 6 N D is the budget."""
    split = Law(E=1.0, A=A, alpha=alpha, B=B, beta=beta).best_split(flops)
    return split.parameters, split.tokens


@best_split.cases
def _() -> Iterator[Case]:
    yield case("by hand", 3.0, 0.5, 3.0, 0.5, 600.0)
    yield case("different scales", 400.0, 0.5, 100.0, 0.5, 6e10)
    yield case("different exponents", 400.0, 0.34, 410.0, 0.28, 1e20)
    yield case("data matters more", 50.0, 0.6, 4000.0, 0.4, 1e15)
    yield case("size matters more", 5000.0, 0.3, 40.0, 0.45, 1e15)
    yield case("a small budget", 2.0, 1.0, 3.0, 0.5, 20.0)
    yield case("a laptop's hour", 68.0, 0.42, 80.0, 0.37, 7e13)


def _split(A, alpha, B, beta, flops, *, each=6, scale=None, exponent=None):
    total = alpha + beta
    scale = (alpha * A / (beta * B)) ** (1 / total) if scale is None else scale
    exponent = beta / total if exponent is None else exponent
    parameters = scale * (flops / each) ** exponent
    return parameters, flops / each / parameters


@best_split.mistake(
    "the six forgotten", hint="A parameter and a token meet in six operations: N · D = C / 6."
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, each=1)


@best_split.mistake(
    "the exponents exchanged",
    hint="N grows like (C / 6) to the power beta / (alpha + beta): the more slowly tokens help, "
    "the more the model gets the less. Solve α A / N^α = β B / D^β for N once more.",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, exponent=alpha / (alpha + beta))


@best_split.mistake(
    "the scale upside down",
    hint="At the optimum α A / N^α = β B / D^β: a large A asks for a *larger* model.",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, scale=(beta * B / (alpha * A)) ** (1 / (alpha + beta)))


@best_split.mistake(
    "the two terms equal",
    hint="Not the terms are equal at the optimum, but their slopes in ln N and ln D: alpha and "
    "beta stand before them.",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, scale=(A / B) ** (1 / (alpha + beta)))


@best_split.mistake(
    "twenty tokens for each parameter",
    hint="That is a rule of thumb for one law and one range. Here the law is given.",
)
def _(A, alpha, B, beta, flops):
    parameters = (flops / 6 / 20) ** 0.5
    return parameters, 20 * parameters


@best_split.mistake(
    "shared in halves", hint="N and D are equal only where both terms are alike. Use the law."
)
def _(A, alpha, B, beta, flops):
    return (flops / 6) ** 0.5, (flops / 6) ** 0.5


@best_split.mistake("the tokens first", hint="The order asked for is: N, then D.")
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops)[::-1]


@best_split.mistake("tokens without the six", hint="N is right. D is what is left: C / (6 N).")
def _(A, alpha, B, beta, flops):
    parameters, tokens = _split(A, alpha, B, beta, flops)
    return parameters, 6 * tokens


@best_split.mistake(
    "the root left out",
    hint="(αA / βB) has to be raised to 1 / (alpha + beta).",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, scale=alpha * A / (beta * B))


@best_split.mistake(
    "the root of the product left out",
    hint="What you have is N^(alpha + beta). Take the root: to the power 1 / (alpha + beta).",
)
def _(A, alpha, B, beta, flops):
    parameters = alpha * A / (beta * B) * (flops / 6) ** beta
    return parameters, flops / 6 / parameters


@best_split.mistake(
    "alpha beside B and beta beside A",
    hint="alpha belongs to A, and beta to B: α A / N^α = β B / D^β.",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, scale=(beta * A / (alpha * B)) ** (1 / (alpha + beta)))


@best_split.mistake(
    "six times where it is a sixth",
    hint="C = 6 N D, so N · D is C / 6. You multiply by six.",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops, each=1 / 6)


@best_split.mistake(
    "the best of a grid",
    hint="You are near the optimum, as near as your grid is fine. Solve for N: there is a formula.",
)
def _(A, alpha, B, beta, flops):
    sizes = np.logspace(0, 30, 2000)
    at = int(np.argmin(A / sizes**alpha + B / (flops / 6 / sizes) ** beta))
    return float(sizes[at]), float(flops / 6 / sizes[at])


@best_split.mistake(
    "tokens without their scale",
    hint="N is right. With N known, D needs no formula of its own: D = C / (6 N).",
)
def _(A, alpha, B, beta, flops):
    return _split(A, alpha, B, beta, flops)[0], (flops / 6) ** (alpha / (alpha + beta))


# 8. Predict, then run

LADDER = ((10_000, 4.967), (20_000, 4.128), (40_000, 3.095))
"""Tokens and losses of the exercise's three runs, as they were measured."""
ENTROPY = 0.3028
"""Nats a token: what no model can beat on the unseen stories."""
LONGER = 80_000
MEASURED = 2.37
"""The loss of the longer run, in the middle of three seeds."""


def _extrapolated(floor: float) -> tuple[float, float, float]:
    """Scale and exponent over a floor, and what is above it after `LONGER` tokens."""
    tokens, losses = zip(*LADDER, strict=True)
    scale, exponent = power_law(tokens, losses, floor)
    return scale, exponent, scale / LONGER**exponent


@value(CHAPTER, abs=0.08, unit="nats", read=LAWS)
def predicted_loss() -> float:
    """What the law of three small runs says of one that reads twice the tokens."""
    return ENTROPY + _extrapolated(ENTROPY)[2]


@predicted_loss.mistake(
    "the floor was not put back",
    hint="scale / x^exponent is what lies *above* the entropy. Add the entropy.",
)
def _():
    return _extrapolated(ENTROPY)[2]


@predicted_loss.mistake(
    "a straight line in the tokens",
    hint="From 20,000 to 40,000 tokens the loss fell by one. It does not go on falling at that "
    "pace: the law is a line in logarithms.",
)
def _():
    (x, first), (y, second) = LADDER[1:]
    return second + (second - first) / (y - x) * (LONGER - y)


@predicted_loss.mistake(
    "a straight line in the logarithm of the tokens",
    hint="Each doubling takes off a constant *factor* of what lies above the floor, not a constant "
    "number of nats.",
)
def _():
    return 2 * LADDER[2][1] - LADDER[1][1]


@predicted_loss.mistake(
    "at the longest run of the ladder", hint="That is the law at 40,000 tokens. Ask for 80,000."
)
def _():
    scale, exponent, _ = _extrapolated(ENTROPY)
    return ENTROPY + scale / LADDER[2][0] ** exponent


@predicted_loss.mistake(
    "the entropy itself", hint="The entropy is reached in the limit. Put 80,000 into the law."
)
def _():
    return ENTROPY


@value(CHAPTER, abs=0.15, unit="nats", read=LAWS)
def measured_loss() -> float:
    """The loss of a new run of 80,000 tokens."""
    return MEASURED


@measured_loss.mistake(
    "the run of 40,000 tokens",
    hint="That is the last rung of your ladder. Climb a new one with 80,000 tokens.",
)
def _():
    return LADDER[2][1]


@measured_loss.mistake(
    "what lies above the entropy",
    hint="You took the entropy off. Hand in the loss as it was measured.",
)
def _():
    return MEASURED - ENTROPY


@measured_loss.mistake(
    "a perplexity", hint="That is the exponential of the loss. Hand in the loss, in nats."
)
def _():
    return math.exp(MEASURED)


why_it_fails = choice(
    CHAPTER,
    "why_it_fails",
    right=(
        "size",
        "The law of one size has A / N^alpha within it. With more text only the other term goes.",
    ),
    wrong={
        "noise": "Chance moves these losses by a few hundredths. The law itself leaves something "
        "out, and no repetition cures that.",
        "epochs": "The town tells as many stories as one asks for. With endless fresh ones the "
        "loss would stop falling all the same.",
        "entropy": "No model gets below the entropy, by definition. This one stays far above.",
    },
    read=LAWS,
)
"""Why a law that was fitted to one size cannot hold for ever."""
