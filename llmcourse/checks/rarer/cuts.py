"""Rarer mistakes of chapter 01's exercises on cutting a text into pieces."""

import itertools
import math
from collections import Counter

from llmcourse.checks.bank.cuts import expected_counts, segment

# The likeliest cut


def _best(text, probabilities, cost, worst=math.inf, longest=math.inf, later=False):
    """The cut whose costs sum to the least, by the ends of its pieces."""
    least, begins = [0.0] + [worst] * len(text), [0] * (len(text) + 1)
    for end in range(1, len(text) + 1):
        for begin in range(end):
            piece = text[begin:end]
            if piece not in probabilities or len(piece) > longest:
                continue
            paid = least[begin] + cost(piece, probabilities[piece])
            if paid < least[end] or (later and paid == least[end]):
                least[end], begins[end] = paid, begin
    pieces, end = [], len(text)
    while end:
        pieces.insert(0, text[begins[end] : end])
        end = begins[end]
    return pieces


def _greedy(text, probabilities, key):
    """From the left, each time the piece with the largest key."""
    pieces, place = [], 0
    while place < len(text):
        ends = range(place + 1, len(text) + 1)
        fits = [text[place:end] for end in ends if text[place:end] in probabilities]
        pieces.append(max(fits, key=key))
        place += len(pieces[-1])
    return pieces


def _ways(text, probabilities):
    if not text:
        return [[]]
    return [
        [text[:end], *rest]
        for end in range(1, len(text) + 1)
        if text[:end] in probabilities
        for rest in _ways(text[end:], probabilities)
    ]


@segment.mistake(
    "the likeliest piece a character",
    hint="You take the piece with the highest probability for each of its characters, from left "
    "to right. The whole way's product decides.",
)
def _(text, probabilities):
    return _greedy(text, probabilities, lambda piece: probabilities[piece] ** (1 / len(piece)))


@segment.mistake(
    "the longest weighted piece first",
    hint="You take the piece with the largest product of length and probability, from left to "
    "right. The whole way's product decides.",
)
def _(text, probabilities):
    return _greedy(text, probabilities, lambda piece: probabilities[piece] * len(piece))


@segment.mistake(
    "the longest piece anywhere first",
    hint="You take the longest piece of the whole text, then go on left and right of it. The "
    "whole way's product decides.",
)
def _(text, probabilities):
    def split(part):
        places = itertools.combinations(range(len(part) + 1), 2)
        fits = [(i, j) for i, j in places if part[i:j] in probabilities]
        if not fits:
            return []
        i, j = max(fits, key=lambda p: (p[1] - p[0], -p[0]))
        return [*split(part[:i]), part[i:j], *split(part[j:])]

    return split(text)


@segment.mistake(
    "neighbours joined, the likeliest first",
    hint="You begin with characters and join the two neighbours that make the likeliest piece "
    "(as BPE does). The whole way's product decides.",
)
def _(text, probabilities):
    pieces = list(text)
    while True:
        pairs = [(k, a + b) for k, (a, b) in enumerate(itertools.pairwise(pieces))]
        fits = [(probabilities[made], -k) for k, made in pairs if made in probabilities]
        if not fits:
            return pieces
        k = -max(fits)[1]
        pieces[k : k + 2] = [pieces[k] + pieces[k + 1]]


@segment.mistake(
    "the fewest pieces, then the likeliest",
    hint="You look for the fewest pieces, and among these for the likeliest. The product alone "
    "decides.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: 1e6 - math.log(share))


@segment.mistake(
    "the smallest sum",
    hint="You add the probabilities and look for the least. Their logarithms are added, and the "
    "most is best.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: share)


@segment.mistake(
    "the sum of 1 / p",
    hint="You add one over the probabilities. Minus their logarithms is what adds up.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: 1 / share)


@segment.mistake(
    "the sum of 1 - p", hint="You add what is missing to 1. Minus the logarithms is what adds up."
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: 1 - share)


@segment.mistake(
    "the sum of p log p",
    hint="You weigh the logarithms by the probabilities (an entropy). They are added as they are.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -share * math.log(share))


@segment.mistake(
    "logarithms over the length",
    hint="You divide each logarithm by the length of its piece. A piece counts as it is, "
    "however long.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share) / len(piece))


@segment.mistake(
    "probabilities times the length",
    hint="You multiply each probability by the length of its piece. Long pieces get no bonus.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share * len(piece)))


@segment.mistake(
    "a price on each piece",
    hint="You take something off for each piece on top of its logarithm. The product alone "
    "decides.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: 1 - math.log(share))


@segment.mistake(
    "shares among pieces with the same beginning",
    hint="You divide the probabilities by their sum over the pieces that begin alike. They are "
    "given as they are meant.",
)
def _(text, probabilities):
    sums = Counter()
    for piece, share in probabilities.items():
        sums[piece[0]] += share
    return _best(text, probabilities, lambda piece, share: -math.log(share / sums[piece[0]]))


@segment.mistake(
    "the ways summed",
    hint="At each place you add up all ways, and go back over the piece that adds most. The "
    "best single way is asked for: keep the largest.",
)
def _(text, probabilities):
    sums, begins = [0.0], [0]
    for end in range(1, len(text) + 1):
        found = [
            (sums[begin] + math.log(probabilities[text[begin:end]]), begin)
            for begin in range(end)
            if text[begin:end] in probabilities
        ]
        most = max(found)[0]
        sums.append(most + math.log(sum(math.exp(p - most) for p, _ in found)))
        begins.append(max(found)[1])
    pieces, end = [], len(text)
    while end:
        pieces.insert(0, text[begins[end] : end])
        end = begins[end]
    return pieces


@segment.mistake(
    "pieces of two at most", hint="You try pieces of one and two characters. A piece may be longer."
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share), longest=2)


@segment.mistake(
    "short pieces only",
    hint="You try pieces of up to a few characters. A piece may be longer than that.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share), longest=3)


@segment.mistake(
    "never the whole text",
    hint="You never take the whole text as one piece. It may be the likeliest way.",
)
def _(text, probabilities):
    whole = len(text) if len(text) > 1 else 2
    return _best(text, probabilities, lambda p, share: -math.log(share), longest=whole - 1)


@segment.mistake(
    "the whole text, if it is a piece",
    hint="You return the whole text where it is a piece. Its parts may be likelier.",
)
def _(text, probabilities):
    if text in probabilities:
        return [text]
    return _best(text, probabilities, lambda piece, share: -math.log(share))


@segment.mistake(
    "an empty piece for an empty text",
    hint="You return one empty piece for an empty text. It has none.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share)) or [""]


@segment.mistake("the pieces as one text", hint="You join the pieces. A list is asked for.")
def _(text, probabilities):
    return " ".join(_best(text, probabilities, lambda piece, share: -math.log(share)))


@segment.mistake(
    "where the pieces end",
    hint="You return places in the text. The pieces themselves are asked for.",
)
def _(text, probabilities):
    pieces = _best(text, probabilities, lambda piece, share: -math.log(share))
    return list(itertools.accumulate(map(len, pieces)))


@segment.mistake(
    "the way and its probability",
    hint="You return the logarithm, too. The pieces alone are asked for.",
)
def _(text, probabilities):
    pieces = _best(text, probabilities, lambda piece, share: -math.log(share))
    return pieces, sum(math.log(probabilities[piece]) for piece in pieces)


@segment.mistake(
    "each piece once in the answer",
    hint="You drop pieces that were there before. The pieces make up the text again.",
)
def _(text, probabilities):
    pieces = _best(text, probabilities, lambda piece, share: -math.log(share))
    return list(dict.fromkeys(pieces))


@segment.mistake(
    "without the first piece",
    hint="You stop going back one piece too early: the first piece is missing.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share))[1:]


@segment.mistake(
    "without the last piece",
    hint="You begin to go back one piece too late: the last piece is missing.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share))[:-1]


@segment.mistake(
    "the last character by itself",
    hint="You search to the last character but one, and add the last by itself. It may belong "
    "to a longer piece.",
)
def _(text, probabilities):
    return _best(text[:-1], probabilities, lambda p, share: -math.log(share)) + list(text[-1:])


@segment.mistake(
    "the middle split and split again",
    hint="You split the text in two at the best place for whole pieces, and split the halves "
    "the same way. Ways of more pieces are never compared with one another.",
)
def _(text, probabilities):
    def share(part):
        return probabilities.get(part) or math.prod(probabilities[c] for c in part)

    def split(part):
        if len(part) < 2:
            return [part] if part else []
        k = max(range(1, len(part)), key=lambda k: share(part[:k]) * share(part[k:]))
        if probabilities.get(part, 0) >= share(part[:k]) * share(part[k:]):
            return [part]
        return [*split(part[:k]), *split(part[k:])]

    return split(text)


@segment.mistake(
    "nothing is above 0",
    hint="Your sums of logarithms begin at 0 everywhere, and no sum is above that. Begin with "
    "minus infinity, except before the first character.",
)
def _(text, probabilities):
    return [text] if text else []


@segment.mistake(
    "long pieces by their squares",
    hint="You look for long pieces (the largest sum of squared lengths). The largest product is "
    "asked for.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -(len(piece) ** 2))


@segment.mistake(
    "the table made to sum to one",
    hint="You divide the probabilities by their sum first. They are given as they are meant, "
    "and each piece would then count differently.",
)
def _(text, probabilities):
    total = sum(probabilities.values())
    return _best(text, probabilities, lambda piece, share: math.log(total / share))


@segment.mistake(
    "pieces weighed by how often they are found",
    hint="You multiply a piece's probability by how often it is found in the text. It counts as "
    "it is given.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share * text.count(piece)))


@segment.mistake(
    "a bonus on each piece",
    hint="You give each piece a bonus on top of its logarithm. The product alone decides.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share) - 1)


@segment.mistake(
    "characters only where nothing else fits",
    hint="You take single characters only where no longer piece fits. They may be likelier.",
)
def _(text, probabilities):
    return _best(text, probabilities, lambda p, share: 1000 * (len(p) == 1) - math.log(share))


@segment.mistake(
    "the lengths of the pieces", hint="You return lengths. The pieces themselves are asked for."
)
def _(text, probabilities):
    return list(map(len, _best(text, probabilities, lambda piece, share: -math.log(share))))


@segment.mistake(
    "begins and ends of the pieces",
    hint="You return where each piece begins and ends. The pieces themselves are asked for.",
)
def _(text, probabilities):
    pieces = _best(text, probabilities, lambda piece, share: -math.log(share))
    ends = list(itertools.accumulate(map(len, pieces), initial=0))
    return list(itertools.pairwise(ends))


@segment.mistake(
    "the best beginnings whatever their length",
    hint="You keep the two best beginnings by their sums, whatever their lengths (a beam "
    "search). A long one has the lower sum: compare only ways to the same place.",
)
def _(text, probabilities):
    kept = [(0.0, 0, [])]
    while any(place < len(text) for _, place, _ in kept):
        longer = [way for way in kept if way[1] == len(text)]
        for total, place, pieces in kept:
            for end in range(place + 1, len(text) + 1):
                if text[place:end] in probabilities:
                    piece = text[place:end]
                    longer.append((total + math.log(probabilities[piece]), end, [*pieces, piece]))
        kept = sorted(longer, key=lambda way: -way[0])[:2]
    return kept[0][2]


def _likeliest(text, probabilities):
    return _best(text, probabilities, lambda piece, share: -math.log(share))


@segment.mistake(
    "in two halves", hint="You cut the text in the middle first. A piece may lie across it."
)
def _(text, probabilities):
    half = len(text) // 2
    return _likeliest(text[:half], probabilities) + _likeliest(text[half:], probabilities)


@segment.mistake(
    "eight characters at a time",
    hint="You cut the text into parts of a fixed length first. A piece may lie across their "
    "borders.",
)
def _(text, probabilities):
    parts = [text[place : place + 8] for place in range(0, len(text), 8)]
    return [piece for part in parts for piece in _likeliest(part, probabilities)]


@segment.mistake(
    "the longest first piece, then the best",
    hint="You begin with the longest piece, and search after it. The first piece may be shorter.",
)
def _(text, probabilities):
    first = next((text[:k] for k in range(len(text), 0, -1) if text[:k] in probabilities), "")
    return ([first] if first else []) + _likeliest(text[len(first) :], probabilities)


@segment.mistake(
    "rare pieces left out", hint="You leave pieces out that are rare. A way may need them."
)
def _(text, probabilities):
    kept = {p: share for p, share in probabilities.items() if share >= 0.05 or len(p) == 1}
    return _likeliest(text, kept)


# All cuts at once


def _weighed(text, probabilities, weigh, times=Counter, share=True):
    """The counts over all ways, each with its weight."""
    ways = _ways(text, probabilities)
    weights = [weigh(way) for way in ways]
    total = sum(weights) if share else 1
    counts = dict.fromkeys(probabilities, 0.0)
    for way, weight in zip(ways, weights, strict=True):
        for piece, n in times(way).items():
            counts[piece] += n * weight / total
    return counts


def _product(probabilities):
    return lambda way: math.prod(probabilities[piece] for piece in way)


def _sums(text, probabilities, add=sum):
    """The alphas and the betas of the forward-backward algorithm."""
    n = len(text)
    alpha, beta = [1.0], [0.0] * n + [1.0]
    for j in range(1, n + 1):
        alpha.append(add(alpha[i] * probabilities.get(text[i:j], 0.0) for i in range(j)))
    for i in reversed(range(n)):
        later = range(i + 1, n + 1)
        beta[i] = add(probabilities.get(text[i:j], 0.0) * beta[j] for j in later)
    return alpha, beta


def _placed(text, probabilities, used, put=lambda before, new: before + new):
    """The counts, where `used(i, j, p)` says how often the piece from i to j is."""
    counts = dict.fromkeys(probabilities, 0.0)
    for i, j in itertools.combinations(range(len(text) + 1), 2):
        if text[i:j] in counts:
            p = probabilities[text[i:j]]
            counts[text[i:j]] = put(counts[text[i:j]], used(i, j, p))
    return counts


@expected_counts.mistake(
    "the likeliest way by its share",
    hint="You count the pieces of the likeliest way by its share. All ways count.",
)
def _(text, probabilities):
    ways = _ways(text, probabilities)
    weights = [_product(probabilities)(way) for way in ways]
    share, best = max(zip(weights, ways, strict=True))
    return {piece: best.count(piece) * share / sum(weights) for piece in probabilities}


@expected_counts.mistake(
    "the two likeliest ways", hint="You count only the likeliest ways. All of them count."
)
def _(text, probabilities):
    product = _product(probabilities)
    ways = sorted(_ways(text, probabilities), key=product)[-2:]
    counts = dict.fromkeys(probabilities, 0.0)
    for way in ways:
        for piece in way:
            counts[piece] += product(way) / sum(map(product, ways))
    return counts


@expected_counts.mistake(
    "ways weighed by the geometric mean",
    hint="You take the root of a way's product by its number of pieces. The product itself "
    "weighs it.",
)
def _(text, probabilities):
    product = _product(probabilities)
    return _weighed(text, probabilities, lambda way: product(way) ** (1 / len(way)))


@expected_counts.mistake(
    "ways weighed by the square", hint="You square the probability of a way. It weighs as it is."
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: _product(probabilities)(way) ** 2)


@expected_counts.mistake(
    "ways weighed by the root",
    hint="You take the root of the probability of a way (a smoothed sampling). It weighs as it is.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: _product(probabilities)(way) ** 0.5)


@expected_counts.mistake(
    "a softmax over the ways",
    hint="You put a softmax over probabilities. They are divided by their sum.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: math.exp(_product(probabilities)(way)))


@expected_counts.mistake(
    "ways of few pieces preferred",
    hint="You divide a way's probability by its number of pieces. It weighs as it is.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: _product(probabilities)(way) / len(way))


@expected_counts.mistake(
    "a count a character",
    hint="You divide by the length of the text. The counts themselves are asked for.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: n / len(text) for piece, n in counts.items()}


@expected_counts.mistake(
    "one more for each", hint="You add one to each count. A piece that is in no way has 0."
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: n + 1 for piece, n in counts.items()}


@expected_counts.mistake(
    "whole counts", hint="You round the counts. An expected count is no whole number."
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: float(round(n)) for piece, n in counts.items()}


@expected_counts.mistake(
    "places shared out by probability",
    hint="You multiply places by probabilities and divide by the sum. How the rest of the text "
    "is cut counts, too.",
)
def _(text, probabilities):
    counts = _placed(text, probabilities, lambda i, j, p: p)
    return {piece: n / sum(counts.values()) for piece, n in counts.items()}


@expected_counts.mistake(
    "the pieces that begin at a place shared out",
    hint="At each place you share one out among the pieces that begin there. Not every way "
    "comes to that place.",
)
def _(text, probabilities):
    def used(i, j, p):
        later = range(i + 1, len(text) + 1)
        return p / sum(probabilities.get(text[i:k], 0.0) for k in later)

    return _placed(text, probabilities, used)


@expected_counts.mistake(
    "drawn from left to right",
    hint="You go from left to right and share out by the pieces that begin at each place. What "
    "comes later counts, too.",
)
def _(text, probabilities):
    reached = [1.0] + [0.0] * len(text)
    counts = dict.fromkeys(probabilities, 0.0)
    for i in range(len(text)):
        ends = [j for j in range(i + 1, len(text) + 1) if text[i:j] in probabilities]
        total = sum(probabilities[text[i:j]] for j in ends)
        for j in ends:
            share = reached[i] * probabilities[text[i:j]] / total
            counts[text[i:j]] += share
            reached[j] += share
    return counts


def _by_sums(text, probabilities, formula, add=sum, put=lambda before, new: before + new):
    alpha, beta = _sums(text, probabilities, add)
    return _placed(text, probabilities, lambda i, j, p: formula(alpha, beta, i, j, p), put)


def _rightly(a, b, i, j, p):
    return a[i] * p * b[j] / a[-1]


@expected_counts.mistake(
    "begin and end exchanged",
    hint="You take alpha where the piece ends and beta where it begins. It is the other way round.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[j] * p * b[i] / a[-1])


@expected_counts.mistake(
    "divided by the ways to the end of the piece",
    hint="You divide by alpha where the piece ends, which forgets what comes after. Divide by "
    "the sum over all ways.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[i] * p / a[j])


@expected_counts.mistake(
    "divided by the ways through a place",
    hint="You divide by alpha times beta at the piece's beginning. Not every way comes to that "
    "place: divide by the sum over all ways.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: p * b[j] / b[i])


@expected_counts.mistake(
    "both sums in the divisor",
    hint="You divide by alpha and by beta of the whole text, which are the same number. Divide "
    "once.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[i] * p * b[j] / (a[-1] * b[0]))


@expected_counts.mistake(
    "the probability squared",
    hint="You multiply by the probability of the piece twice. It is in no other factor.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[i] * p * p * b[j] / a[-1])


@expected_counts.mistake(
    "the best ways in place of the sums",
    hint="You keep the best way to each place and from it (as Viterbi does). Alpha and beta are "
    "sums over all ways.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, _rightly, add=max)


@expected_counts.mistake(
    "the last place alone", hint="You keep the last place of a piece. Its places are added."
)
def _(text, probabilities):
    return _by_sums(text, probabilities, _rightly, put=lambda before, new: new)


@expected_counts.mistake(
    "the likeliest place alone",
    hint="You keep the likeliest place of a piece. Its places are added.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, _rightly, put=max)


@expected_counts.mistake(
    "the first place alone", hint="You keep the first place of a piece. Its places are added."
)
def _(text, probabilities):
    return _by_sums(text, probabilities, _rightly, put=lambda before, new: before or new)


@expected_counts.mistake(
    "at least once",
    hint="You combine the places of a piece as if they were independent chances of being there "
    "at all. The counts are added.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, _rightly, put=lambda x, y: 1 - (1 - x) * (1 - y))


@expected_counts.mistake(
    "logarithms of the counts", hint="You return logarithms. The counts themselves are asked for."
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: math.log(n) if n else -math.inf for piece, n in counts.items()}


@expected_counts.mistake(
    "pieces of two at the most",
    hint="You try pieces of one and two characters. A piece may be longer.",
)
def _(text, probabilities):
    short = {piece: p for piece, p in probabilities.items() if len(piece) < 3}
    return dict.fromkeys(probabilities, 0.0) | _weighed(text, short, _product(short))


@expected_counts.mistake(
    "no piece as long as the text",
    hint="You never take the whole text as one piece. It is a way, too.",
)
def _(text, probabilities):
    short = {p: s for p, s in probabilities.items() if len(p) < len(text) or len(p) == 1}
    return dict.fromkeys(probabilities, 0.0) | _weighed(text, short, _product(short))


@expected_counts.mistake(
    "the last piece alone counted",
    hint="You count the last piece of each way. All its pieces count.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, _product(probabilities), lambda way: Counter(way[-1:]))


@expected_counts.mistake(
    "the first piece alone counted",
    hint="You count the first piece of each way. All its pieces count.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, _product(probabilities), lambda way: Counter(way[:1]))


@expected_counts.mistake(
    "greedy counts",
    hint="You count the pieces of the longest-first cut. All ways count, each by its share.",
)
def _(text, probabilities):
    pieces = _greedy(text, probabilities, len)
    return {piece: float(pieces.count(piece)) for piece in probabilities}


@expected_counts.mistake(
    "the table summing to one first",
    hint="You divide the probabilities by their sum first. They are given as they are meant, "
    "and ways of many pieces would weigh differently.",
)
def _(text, probabilities):
    total = sum(probabilities.values())
    shares = {piece: p / total for piece, p in probabilities.items()}
    return _weighed(text, shares, _product(shares))


@expected_counts.mistake(
    "the share of the text it covers",
    hint="You return which share of the text a piece covers. Its count is asked for.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: n * len(piece) / len(text) for piece, n in counts.items()}


@expected_counts.mistake(
    "divided by the piece's length",
    hint="You divide each count by the length of the piece. A piece counts once, however long.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    return {piece: n / len(piece) for piece, n in counts.items()}


@expected_counts.mistake(
    "the mean over its places",
    hint="You divide by the number of places where the piece fits. Add them.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    places = _placed(text, probabilities, lambda i, j, p: 1)
    return {piece: n / max(1, places[piece]) for piece, n in counts.items()}


@expected_counts.mistake(
    "shares with one added",
    hint="You add one to each count and divide by the sum. The counts themselves are asked for.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    total = sum(counts.values()) + len(counts)
    return {piece: (n + 1) / total for piece, n in counts.items()}


@expected_counts.mistake(
    "ways of many pieces preferred",
    hint="You multiply a way's probability by its number of pieces. It weighs as it is.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: _product(probabilities)(way) * len(way))


@expected_counts.mistake(
    "each cut by a coin",
    hint="You cut at each place with one half, whatever the probabilities say. They weigh the "
    "ways.",
)
def _(text, probabilities):
    return _weighed(text, probabilities, lambda way: 0.5 ** len(way))


@expected_counts.mistake(
    "ways with the fewest pieces",
    hint="You count only the ways with the fewest pieces. All of them count, by their probability.",
)
def _(text, probabilities):
    fewest = min(map(len, _ways(text, probabilities)))
    return _weighed(text, probabilities, lambda way: float(len(way) == fewest))


@expected_counts.mistake(
    "alpha from both sides",
    hint="You take alpha for what comes after, too, by its length. What comes after is beta's.",
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[i] * p * a[len(a) - 1 - j] / a[-1])


@expected_counts.mistake(
    "alpha a place too early", hint="You take alpha one place before the piece begins."
)
def _(text, probabilities):
    return _by_sums(text, probabilities, lambda a, b, i, j, p: a[max(0, i - 1)] * p * b[j] / a[-1])


@expected_counts.mistake(
    "beta a place too late", hint="You take beta one place behind the piece's end."
)
def _(text, probabilities):
    return _by_sums(
        text, probabilities, lambda a, b, i, j, p: a[i] * p * b[min(j + 1, len(a) - 1)] / a[-1]
    )


@expected_counts.mistake(
    "the probability of being there at all, undivided",
    hint="You add the probabilities of the ways that hold the piece, and do not divide. The "
    "text is given, and a piece may stand in a way several times.",
)
def _(text, probabilities):
    def once(way):
        return Counter(set(way))

    return _weighed(text, probabilities, _product(probabilities), once, share=False)


@expected_counts.mistake(
    "a list of the counts", hint="You return a list. Asked for is a dict with each piece's count."
)
def _(text, probabilities):
    return list(_weighed(text, probabilities, _product(probabilities)).values())


@expected_counts.mistake(
    "how many, if it is there",
    hint="You divide by the probability that the piece is there at all. All ways count, those "
    "without it, too.",
)
def _(text, probabilities):
    counts = _weighed(text, probabilities, _product(probabilities))
    there = _weighed(text, probabilities, _product(probabilities), lambda way: Counter(set(way)))
    return {piece: n / there[piece] if n else 0.0 for piece, n in counts.items()}
