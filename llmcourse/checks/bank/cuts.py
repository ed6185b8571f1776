"""The exercises on cutting a text into pieces: the likeliest cut, and what all cuts together say.

Where two cuts are equally likely, either is right. Not here: bytes and merges (`tokens.py`), the
exercises' texts (`solutions/`), and how checking works (`harness.py`). Chapter 01 teaches this.
"""

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.tokenizers.lattice import UnigramModel

CHAPTER = "01"


def _model(probabilities: dict[str, float]) -> UnigramModel:
    return UnigramModel({piece: math.log(share) for piece, share in probabilities.items()})


_HATCH = {"h": 0.1, "a": 0.1, "t": 0.1, "c": 0.1} | {
    "at": 0.15,
    "hat": 0.2,
    "ch": 0.1,
    "tch": 0.05,
    "hatch": 0.001,
}
_DOGS = {"d": 0.01, "o": 0.01, "g": 0.01, "s": 0.1} | {
    "do": 0.05,
    "gs": 0.2,
    "og": 0.3,
    "dog": 0.02,
    "ogs": 0.001,
    "dogs": 0.0015,
}
_TRAPS = {"a": 0.3, "b": 0.2, "c": 0.02, "ab": 0.25, "bc": 0.2, "abc": 0.001}


def _log(probabilities: dict[str, float], pieces: list[str]) -> float:
    return sum(math.log(probabilities[piece]) for piece in pieces)


def _up_to_ties(answer: Any, text: str, probabilities: dict[str, float]) -> Any:
    """What the answer gives; of several cuts that are equally likely, always the oracle's."""
    pieces = answer(text, probabilities)
    plain = isinstance(pieces, list) and all(isinstance(piece, str) for piece in pieces)
    if not plain or "".join(pieces) != text or not set(pieces) <= set(probabilities):
        return pieces
    best = _model(probabilities).best(text)
    alike = math.isclose(
        _log(probabilities, pieces), _log(probabilities, best), rel_tol=1e-12, abs_tol=1e-12
    )
    return best if alike else pieces


def _noise() -> Iterator[tuple[str, dict[str, float]]]:
    """Texts and tables that nobody chose, the same each time."""
    chance = random.Random(0)
    for _ in range(4):
        table = {char: chance.uniform(0.02, 0.4) for char in "abc"}
        for size in (2, 2, 2, 3, 3, 4):
            piece = "".join(chance.choices("abc", k=size))
            table[piece] = chance.uniform(0.4, 1.2) * 0.22**size * chance.choice((1, 2, 4))
        yield "".join(chance.choices("abc", k=9)), table


@exercise(CHAPTER, call=_up_to_ties, read="3. What if a text can be cut in several ways?")
def segment(text: str, probabilities: dict[str, float]) -> list[str]:
    """The pieces of the likeliest way to cut a text; every character is a piece, too."""
    return _model(probabilities).best(text)


@segment.cases
def _() -> Iterator[Case]:
    yield case("by hand", "hatch", _HATCH)
    yield case("the first piece must not be the likeliest", "abc", _TRAPS)
    yield case("twice", "abcabc", _TRAPS)
    yield case("one character", "a", _TRAPS)
    yield case("nothing", "", _TRAPS)
    yield case("equally likely cuts", "aaab", {"a": 0.5, "b": 0.1, "aa": 0.25})
    yield case("one long piece is dear", "aaab", {"a": 0.5, "b": 0.1, "aa": 0.26, "aab": 0.01})
    yield case("many likely ones", "aaaa", {"a": 0.9, "aa": 0.05, "aaaa": 0.6})
    yield case("the end decides", "abbb", {"a": 0.3, "b": 0.1, "ab": 0.2, "abb": 0.02, "bbb": 0.2})
    yield case("short ones beat a long one", "dogs", _DOGS)
    pieces = {"a": 0.2, "b": 0.01, "c": 0.4, "ac": 0.3, "aba": 0.1}
    yield case("a piece in the middle", "cabaca", pieces)
    pieces = {"a": 0.4, "b": 0.3, "aa": 0.15, "aaa": 0.06, "ab": 0.2}
    yield case("many poor ways to the same place", "aaab", pieces)
    yield case("a piece of five characters", "hatchat", _HATCH | {"hatch": 0.1})
    yield case("the whole text is the likeliest piece", "hatch", _HATCH | {"hatch": 0.1})
    for number, (word, table) in enumerate(_noise(), 1):
        yield case(f"a random text, {number}", word, table)
    yield case("forty characters", "abcbabca" * 5, _TRAPS)
    rare = {piece: share * 1e-4 ** len(piece) for piece, share in _TRAPS.items()}
    yield case("a hundred rare pieces", "abcbabca" * 15, rare)


@segment.mistake(
    "the longest piece first",
    hint="Long is not likely: `hatch` as one piece has the probability 0.001, `hat` and `ch` have "
    "0.02. Compare products.",
)
def _(text, probabilities):
    pieces = []
    while text:
        pieces.append(max((p for p in probabilities if text.startswith(p)), key=len))
        text = text[len(pieces[-1]) :]
    return pieces


@segment.mistake(
    "the longest piece first, from the end",
    hint="You take the longest piece that fits, from the right. Long is not likely: compare the "
    "products of whole cuts.",
)
def _(text, probabilities):
    pieces = []
    while text:
        pieces.append(max((p for p in probabilities if text.endswith(p)), key=len))
        text = text[: len(text) - len(pieces[-1])]
    return pieces[::-1]


@segment.mistake(
    "the likeliest piece first, from the end",
    hint="From the end or from the beginning: a piece that is best now may leave a rest that is "
    "dear. Keep the best way to every place.",
)
def _(text, probabilities):
    pieces = []
    while text:
        fitting = (p for p in probabilities if text.endswith(p))
        pieces.append(max(fitting, key=probabilities.__getitem__))
        text = text[: len(text) - len(pieces[-1])]
    return pieces[::-1]


@segment.mistake(
    "the likeliest piece anywhere, then the rest",
    hint="You fix the best single piece of the text and cut what is left and right of it. It may "
    "force dear pieces on its neighbours: compare whole cuts.",
)
def _(text, probabilities):
    def cut(part: str) -> list[str]:
        found = [p for p in probabilities if p in part]
        if not found:
            return []
        piece = max(found, key=probabilities.__getitem__)
        at = part.index(piece)
        return [*cut(part[:at]), piece, *cut(part[at + len(piece) :])]

    return cut(text)


@segment.mistake(
    "the product underflows",
    hint="Right on paper. But a product of a hundred small numbers is 0 in any float, and then all "
    "ways are alike: add logarithms.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda before, share, _: before * share, 1.0)


@segment.mistake(
    "the likeliest last piece, whatever comes before",
    hint="At each end you compare the last pieces alone. Multiply by the best way to get to where "
    "the piece starts.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda _, share, __: share, 1.0)


@segment.mistake(
    "the mean instead of the product",
    hint="You divide by the number of pieces, so that a cut into many is no dearer than one into "
    "few. A product needs no such justice.",
)
def _(text, probabilities):
    best: list[list[tuple[float, list[str]]]] = [[(0.0, [])]]  # by end, then by number of pieces
    for end in range(1, len(text) + 1):
        ways: dict[int, tuple[float, list[str]]] = {}
        for start in range(end):
            piece = text[start:end]
            for score, pieces in best[start] if piece in probabilities else []:
                way = (score + math.log(probabilities[piece]), [*pieces, piece])
                n = len(way[1])
                ways[n] = max(ways.get(n, way), way, key=lambda one: one[0])
        best.append(list(ways.values()))
    return max(best[-1], key=lambda way: way[0] / max(1, len(way[1])))[1]


@segment.mistake(
    "the least likely cut",
    hint="Your comparison is the wrong way round: a log-probability is negative, and the largest "
    "is the one nearest to 0.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda before, share, _: before - math.log(share), 0.0)


@segment.mistake(
    "every character by itself",
    hint="That is one way to cut, and always there. Longer pieces may be likelier: compare.",
)
def _(text, probabilities):
    return list(text)


@segment.mistake(
    "long pieces count more",
    hint="You weigh a piece by its length. Its probability is all that counts: one factor a piece.",
)
def _(text, probabilities):
    def score(before: float, share: float, piece: str) -> float:
        return before + len(piece) * math.log(share)

    return _best(text, probabilities, score, 0.0)


@segment.mistake(
    "two pieces at most",
    hint="You try each single cut, into two pieces. A text may fall into more: each half is a text "
    "of its own.",
)
def _(text, probabilities):
    halves = [[text[:at], text[at:]] for at in range(1, len(text))]
    ways = [way for way in ([text], *halves) if all(p in probabilities for p in way)]
    return max(ways, key=lambda way: math.prod(map(probabilities.__getitem__, way)), default=[])


@segment.mistake(
    "neighbours joined while that helps",
    hint="You begin with characters and join two at a time. A piece of three may be worth it where "
    "no pair on the way is: try every piece at every end.",
)
def _(text, probabilities):
    pieces = list(text)
    while True:
        gains = [
            (probabilities[a + b] / (probabilities[a] * probabilities[b]), at)
            for at, (a, b) in enumerate(itertools.pairwise(pieces))
            if a + b in probabilities
        ]
        gain, at = max(gains, default=(0.0, 0))
        if gain <= 1:
            return pieces
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def _best(
    text: str,
    probabilities: dict[str, float],
    score: Callable[[float, float, str], float],
    nothing: float,
) -> list[str]:
    """The right walk over the ends, with a score that may be wrong."""
    best: list[tuple[float, list[str]]] = [(nothing, [])]
    for end in range(1, len(text) + 1):
        ways = [
            (score(best[start][0], probabilities[text[start:end]], text[start:end]), start)
            for start in range(end)
            if text[start:end] in probabilities
        ]
        value, start = max(ways, key=lambda way: way[0])
        best.append((value, [*best[start][1], text[start:end]]))
    return best[-1][1]


@segment.mistake(
    "the likeliest weakest piece",
    hint="You rate a cut by its rarest piece. Every piece counts: multiply all of them.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda before, share, _: min(before, share), 1.0)


@segment.mistake(
    "one piece ahead and no further",
    hint="You look one piece ahead before you decide. The trap may be two pieces away: keep the "
    "best way to every end.",
)
def _(text, probabilities):
    pieces = []
    while text:
        ways = []
        for piece in (p for p in probabilities if text.startswith(p)):
            rest = text[len(piece) :]
            after = (share for p, share in probabilities.items() if rest.startswith(p))
            ways.append((probabilities[piece] * max(after, default=1.0), piece))
        pieces.append(max(ways)[1])
        text = text[len(pieces[-1]) :]
    return pieces


@segment.mistake(
    "one piece, and then characters",
    hint="You choose the first piece well and cut the rest into characters. The rest is a text "
    "like the whole: cut it as well as you can.",
)
def _(text, probabilities):
    firsts = [text[:end] for end in range(1, len(text) + 1) if text[:end] in probabilities]
    ways = [[first, *text[len(first) :]] for first in firsts]
    return max(ways, key=lambda way: _log(probabilities, way), default=[])


@segment.mistake(
    "the likeliest piece first",
    hint="You take the best piece at each place and never look back. A piece that is best now may "
    "leave a rest that is dear: keep the best way to *every* end.",
)
def _(text, probabilities):
    pieces = []
    while text:
        fitting = (p for p in probabilities if text.startswith(p))
        pieces.append(max(fitting, key=probabilities.__getitem__))
        text = text[len(pieces[-1]) :]
    return pieces


@segment.mistake(
    "the fewest pieces",
    hint="Fewest is best only where all pieces are equally likely. Multiply the probabilities.",
)
def _(text, probabilities):
    return _model(dict.fromkeys(probabilities, 0.1)).best(text)


@segment.mistake(
    "probabilities were added",
    hint="Both pieces have to come, one *and* the other: their probabilities multiply. A sum "
    "favours many pieces.",
)
def _(text, probabilities):
    best: list[tuple[float, list[str]]] = [(0.0, [])]
    for end in range(1, len(text) + 1):
        ways = [
            (best[start][0] + probabilities[text[start:end]], [*best[start][1], text[start:end]])
            for start in range(end)
            if text[start:end] in probabilities
        ]
        best.append(max(ways, key=lambda way: way[0]))
    return best[-1][1]


@segment.mistake(
    "the pieces come backwards",
    hint="You found the right path from its end, where it is read off. Turn the list around.",
)
def _(text, probabilities):
    return segment.right(text, probabilities)[::-1]


# 6. All cuts at once


def _every_way(text: str, probabilities: dict[str, float]) -> list[list[str]]:
    if not text:
        return [[]]
    beginnings = [p for p in probabilities if text.startswith(p)]
    return [[p, *rest] for p in beginnings for rest in _every_way(text[len(p) :], probabilities)]


def _weighted(
    probabilities: dict[str, float], ways: list[list[str]], weights: list[float]
) -> dict[str, float]:
    counts = dict.fromkeys(probabilities, 0.0)
    for way, weight in zip(ways, weights, strict=True):
        for piece in way:
            counts[piece] += weight
    return counts


def _products(probabilities: dict[str, float], ways: list[list[str]]) -> list[float]:
    return [math.prod(probabilities[piece] for piece in way) for way in ways]


@exercise(CHAPTER, tolerance=1e-5, read="3. What if a text can be cut in several ways?")
def expected_counts(text: str, probabilities: dict[str, float]) -> dict[str, float]:
    """How often each piece is expected in a text, over all of its segmentations."""
    return _model(probabilities).expected_counts({text: 1})[0]


@expected_counts.cases
def _() -> Iterator[Case]:
    yield case("by hand", "ab", {"a": 0.5, "b": 0.4, "ab": 0.1})
    yield case("hatch", "hatch", _HATCH)
    yield case("a piece that comes twice", "aab", {"a": 0.4, "b": 0.3, "aa": 0.2, "ab": 0.1})
    yield case("one way only", "ba", {"a": 0.5, "b": 0.5})
    yield case("nine characters", "abcbabcab", _TRAPS)
    yield case("pieces that are not in the text", "aba", _TRAPS | {"ca": 0.1, "zz": 0.1})
    yield case("one character", "a", {"a": 0.2, "b": 0.3})
    for number, (word, table) in enumerate(_noise(), 1):
        yield case(f"a random text, {number}", word[:6], table)


@expected_counts.mistake(
    "only the likeliest cut is counted",
    hint="That is Viterbi's cut. It gets the largest share, but the other ways count with theirs.",
)
def _(text, probabilities):
    return _weighted(probabilities, [segment.right(text, probabilities)], [1.0])


@expected_counts.mistake(
    "all cuts count alike",
    hint="A way of probability 0.02 should count twenty times as much as one of 0.001.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    return _weighted(probabilities, ways, [1 / len(ways)] * len(ways))


@expected_counts.mistake(
    "not divided by the total",
    hint="The text is given: one of its cuts happened for sure. So the ways' weights have to sum "
    "to one. Divide by the probability of the text.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    return _weighted(probabilities, ways, _products(probabilities, ways))


@expected_counts.mistake(
    "each piece at most once a cut",
    hint="In `a a b` the piece `a` comes twice, and counts twice.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    products = _products(probabilities, ways)
    weights = [product / sum(products) for product in products]
    return _weighted(probabilities, [list(dict.fromkeys(way)) for way in ways], weights)


def _sums(text: str, probabilities: dict[str, float]) -> tuple[list[float], list[float]]:
    """For each place, the sum over all ways to cut what is before it, and what is behind it."""
    n = len(text)
    alpha, beta = [1.0] + [0.0] * n, [0.0] * n + [1.0]
    for end in range(1, n + 1):
        pieces = ((start, text[start:end]) for start in range(end))
        alpha[end] = sum(alpha[start] * probabilities.get(piece, 0.0) for start, piece in pieces)
    for start in range(n - 1, -1, -1):
        ends = range(start + 1, n + 1)
        beta[start] = sum(probabilities.get(text[start:end], 0.0) * beta[end] for end in ends)
    return alpha, beta


def _posterior(
    text: str,
    probabilities: dict[str, float],
    weight: Callable[[list[float], list[float], float, int, int], float],
) -> dict[str, float]:
    """The right sum over all places, with a weight that may be wrong."""
    alpha, beta = _sums(text, probabilities)
    counts = dict.fromkeys(probabilities, 0.0)
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            if text[start:end] in probabilities:
                share = probabilities[text[start:end]]
                counts[text[start:end]] += weight(alpha, beta, share, start, end)
    return counts


@expected_counts.mistake(
    "what comes after the piece is left out",
    hint="A piece from i to j needs a way to i, itself, *and* a way from j to the end: beta at j "
    "is missing.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: a[i] * p / a[-1])


@expected_counts.mistake(
    "what comes before the piece is left out",
    hint="A piece from i to j needs a way from the beginning to i: alpha at i is missing.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: p * b[j] / a[-1])


@expected_counts.mistake(
    "beta where the piece begins",
    hint="beta at i holds all that can follow from where the piece *begins*. Behind the piece "
    "stands what follows from its end, j.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: a[i] * p * b[i] / a[-1])


@expected_counts.mistake(
    "alpha where the piece ends",
    hint="alpha at j already holds all ways to the piece's *end*, with other last pieces, too. "
    "Take the ways to where it begins, i.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: a[j] * p * b[j] / a[-1])


@expected_counts.mistake(
    "the piece's own probability is left out",
    hint="You join the ways before and the ways behind, as if the piece between them were free: "
    "multiply by its p.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: a[i] * b[j] / a[-1])


@expected_counts.mistake(
    "no two pieces of a cut together",
    hint="You multiply a piece's probability by nothing: neither by what comes before it nor by "
    "what comes after. A cut is a product of all its pieces.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: p / a[-1])


@expected_counts.mistake(
    "pieces that are nowhere are missing",
    hint="Every piece of `probabilities` has an entry, those that no cut uses with 0.",
)
def _(text, probabilities):
    counts = expected_counts.right(text, probabilities)
    return {piece: count for piece, count in counts.items() if count}


@expected_counts.mistake(
    "how often it stands in the text",
    hint="You count where the letters of a piece stand. Wanted is how often the piece is *used*: "
    "in a cut with `ab`, its `a` is not a piece.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: 1.0)


@expected_counts.mistake(
    "the next probabilities already",
    hint="You divided the counts by their sum: that is the step after this one. Wanted are the "
    "counts themselves.",
)
def _(text, probabilities):
    counts = expected_counts.right(text, probabilities)
    return {piece: count / sum(counts.values()) for piece, count in counts.items()}


@expected_counts.mistake(
    "counted in characters",
    hint="You count how many characters a piece covers. Each use of a piece counts once, however "
    "long it is.",
)
def _(text, probabilities):
    counts = expected_counts.right(text, probabilities)
    return {piece: count * len(piece) for piece, count in counts.items()}


@expected_counts.mistake(
    "logarithms as weights",
    hint="A cut counts with its probability, not with the logarithm of it: make it a product "
    "again, or take the exponential.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    logs = [math.log(product) for product in _products(probabilities, ways)]
    return _weighted(probabilities, ways, [log / sum(logs) for log in logs])


@expected_counts.mistake(
    "a sum of probabilities for each cut",
    hint="You add the probabilities of a cut's pieces. All of them have to come: multiply.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    totals = [sum(probabilities[piece] for piece in way) for way in ways]
    return _weighted(probabilities, ways, [total / sum(totals) for total in totals])


@expected_counts.mistake(
    "divided by the number of cuts",
    hint="You divide by how many cuts there are. Divide by the sum of their probabilities: that "
    "is the probability of the text.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    products = _products(probabilities, ways)
    return _weighted(probabilities, ways, [product / len(ways) for product in products])


@expected_counts.mistake(
    "whether it is used, not how often",
    hint="Of all cuts that use a piece, you count whether they do. A cut that uses it twice counts "
    "twice.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    return {piece: float(any(piece in way for way in ways)) for piece in probabilities}


@expected_counts.mistake(
    "every cut counts once, and fully",
    hint="You add up the uses over all cuts, as if each happened. One of them does: a cut counts "
    "with its probability, given the text.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    return _weighted(probabilities, ways, [1.0] * len(ways))


@expected_counts.mistake(
    "divided by the likeliest cut",
    hint="You divide by the probability of the best cut. Divide by the sum over all of them.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    products = _products(probabilities, ways)
    return _weighted(probabilities, ways, [product / max(products) for product in products])


@expected_counts.mistake(
    "how often it stands in the text, times its probability",
    hint="A piece's own probability is not how likely it is *used here*: that depends on what can "
    "stand beside it, in this text.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: p)


@expected_counts.mistake(
    "what a text of this length would have",
    hint="You multiply each probability by a length: that would be expected of any text. This text "
    "is given: look at its cuts.",
)
def _(text, probabilities):
    return {piece: share * len(text) for piece, share in probabilities.items()}


@expected_counts.mistake(
    "the share within its cut",
    hint="In each cut you divide by the number of its pieces. A use counts once, however many "
    "pieces stand beside it.",
)
def _(text, probabilities):
    ways = _every_way(text, probabilities)
    products = _products(probabilities, ways)
    total = sum(products)
    weights = [p / total / max(1, len(way)) for p, way in zip(products, ways, strict=True)]
    return _weighted(probabilities, ways, weights)


@expected_counts.mistake(
    "alpha, p and beta added",
    hint="Before, piece and behind all have to happen: multiply the three, do not add them.",
)
def _(text, probabilities):
    return _posterior(text, probabilities, lambda a, b, p, i, j: (a[i] + p + b[j]) / a[-1])
