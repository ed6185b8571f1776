"""Rarer mistakes of the exercises on shared words. Chapter 16 teaches this."""

import math
from collections import Counter

from llmcourse.checks.bank.overlaps import bleu, rouge_l


def _grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _clipped(text, reference, n):
    have = _grams(text, n)
    return sum((have & _grams(reference, n)).values()), have.total()


def _brevity(c, r):
    return 1.0 if c >= r else math.exp(1 - r / c) if c else 0.0


def _geometric(precisions):
    if not precisions or min(precisions) <= 0:
        return 0.0
    return math.exp(sum(map(math.log, precisions)) / len(precisions))


def _bleu(texts, references, order, *, count=_clipped, smooth=None, mean=_geometric, brevity=None):
    """BLEU with its count, its precisions, their mean, or its brevity exchanged."""
    precisions = []
    for n in range(1, order + 1):
        pairs = [count(t, r, n) for t, r in zip(texts, references, strict=True)]
        hit, total = sum(h for h, _ in pairs), sum(t for _, t in pairs)
        precisions.append(smooth(hit, total, n) if smooth else hit / total if total else 0.0)
    c, r = sum(map(len, texts)), sum(map(len, references))
    return (brevity or _brevity)(c, r) * mean(precisions) if c else 0.0


@bleu.mistake(
    "one added to each count above one word",
    hint="You add 1 above and below the line for orders beyond the first (Lin and Och). There is "
    "no smoothing here.",
)
def _(texts, references, order):
    def smooth(hit, total, n):
        one = n > 1
        return (hit + one) / (total + one) if total + one else 0.0

    return _bleu(texts, references, order, smooth=smooth)


@bleu.mistake(
    "a small number where nothing is found",
    hint="You put a small number where a precision is 0 (as nltk's method 1). Then the score is 0.",
)
def _(texts, references, order):
    def smooth(hit, total, n):
        return (hit or 0.1) / total if total else 0.0

    return _bleu(texts, references, order, smooth=smooth)


@bleu.mistake(
    "halved and halved where nothing is found",
    hint="You put a half, a quarter, and so on, where nothing is found (as the reference program "
    "does by default). Then the score is 0.",
)
def _(texts, references, order):
    zeros = [0]

    def smooth(hit, total, n):
        zeros[0] += not hit
        return (hit or 0.5 ** zeros[0]) / total if total else 0.0

    return _bleu(texts, references, order, smooth=smooth)


@bleu.mistake(
    "a tiny number in the logarithm",
    hint="You add a tiny number before the logarithm, so that a precision of 0 leaves something. "
    "The score is 0 then.",
)
def _(texts, references, order):
    def smooth(hit, total, n):
        return (hit / total if total else 0.0) + 1e-9

    return _bleu(texts, references, order, smooth=smooth)


@bleu.mistake(
    "orders without n-grams left out",
    hint="You leave out the orders that no text is long enough for. Such an order makes the score "
    "0.",
)
def _(texts, references, order):
    longest = max(map(len, texts), default=0)
    return _bleu(texts, references, max(min(order, longest), 1))


@bleu.mistake(
    "orders that find nothing left out, with their share",
    hint="You leave zeros out of the product but take the root of the full order. One zero makes "
    "the score 0.",
)
def _(texts, references, order):
    def mean(precisions):
        found = [p for p in precisions if p]
        return math.prod(found) ** (1 / len(precisions)) if found else 0.0

    return _bleu(texts, references, order, mean=mean)


@bleu.mistake(
    "the harmonic mean",
    hint="You take the harmonic mean of the precisions. The root of their product is asked for.",
)
def _(texts, references, order):
    return _bleu(
        texts, references, order, mean=lambda ps: len(ps) / sum(1 / p for p in ps) if all(ps) else 0
    )


@bleu.mistake(
    "the fourth root whatever the order is",
    hint="You weigh each order by a quarter. Each weighs 1 / `order`.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, mean=lambda ps: math.prod(ps) ** 0.25)


@bleu.mistake(
    "the smallest precision",
    hint="You return the smallest precision. The root of their product is asked for.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, mean=min)


@bleu.mistake(
    "longer n-grams count less",
    hint="You weigh the orders by 1, a half, a quarter... All weigh alike.",
)
def _(texts, references, order):
    def mean(precisions):
        weights = [0.5**n for n in range(len(precisions))]
        if not all(precisions):
            return 0.0
        logs = sum(w * math.log(p) for w, p in zip(weights, precisions, strict=True))
        return math.exp(logs / sum(weights))

    return _bleu(texts, references, order, mean=mean)


@bleu.mistake(
    "the mean of the texts' scores, by their words",
    hint="You weigh each text's own score by its words. All counts are added up first, then "
    "divided.",
)
def _(texts, references, order):
    found = [len(t) * _bleu([t], [r], order) for t, r in zip(texts, references, strict=True)]
    return sum(found) / max(sum(map(len, texts)), 1)


@bleu.mistake(
    "each text's own brevity, its mean",
    hint="You take the mean of the texts' brevity penalties. There is one, from the words of all.",
)
def _(texts, references, order):
    each = [_brevity(len(t), len(r)) for t, r in zip(texts, references, strict=True)]
    return _bleu(
        texts, references, order, brevity=lambda c, r: sum(each) / len(each) if each else 0.0
    )


@bleu.mistake(
    "the larger of texts and references below",
    hint="You divide by the n-grams of whichever is longer. A precision divides by the texts' own.",
)
def _(texts, references, order):
    def count(text, reference, n):
        hit, total = _clipped(text, reference, n)
        return hit, max(total, _grams(reference, n).total())

    return _bleu(texts, references, order, count=count)


@bleu.mistake(
    "the F1 of each order",
    hint="You take the F1 of precision and recall. BLEU has precisions, and a brevity penalty.",
)
def _(texts, references, order):
    def count(text, reference, n):
        hit, total = _clipped(text, reference, n)
        return 2 * hit, total + _grams(reference, n).total()

    return _bleu(texts, references, order, count=count, brevity=lambda c, r: 1.0)


@bleu.mistake(
    "words below the line for each order",
    hint="You divide by the number of words for each order. There are fewer n-grams than words.",
)
def _(texts, references, order):
    def count(text, reference, n):
        return _clipped(text, reference, n)[0], len(text)

    return _bleu(texts, references, order, count=count)


@bleu.mistake(
    "places in order",
    hint="You compare n-grams at the same place. They may stand anywhere in the reference.",
)
def _(texts, references, order):
    def count(text, reference, n):
        places = range(len(text) - n + 1)
        return sum(text[i : i + n] == reference[i : i + n] for i in places), len(places)

    return _bleu(texts, references, order, count=count)


@bleu.mistake(
    "n-grams side by side",
    hint="You cut the texts into n-grams side by side. They overlap: one begins at each word.",
)
def _(texts, references, order):
    def cut(words, n):
        return Counter(tuple(words[i : i + n]) for i in range(0, len(words) - n + 1, n))

    def count(text, reference, n):
        have = cut(text, n)
        return sum((have & cut(reference, n)).values()), have.total()

    return _bleu(texts, references, order, count=count)


@bleu.mistake(
    "n-grams as sets of words",
    hint="You sort the words within an n-gram. Their order counts.",
)
def _(texts, references, order):
    def bags(words, n):
        return Counter(tuple(sorted(words[i : i + n])) for i in range(len(words) - n + 1))

    def count(text, reference, n):
        have = bags(text, n)
        return sum((have & bags(reference, n)).values()), have.total()

    return _bleu(texts, references, order, count=count)


@bleu.mistake(
    "capitals are the same",
    hint="You compare in lower case. Words are compared as they stand.",
)
def _(texts, references, order):
    low = [[[w.lower() for w in t] for t in rows] for rows in (texts, references)]
    return _bleu(*low, order)


@bleu.mistake(
    "a penalty for long texts, too",
    hint="You punish texts that are longer than their references, too. BP is 1 for them: the "
    "precision suffers by itself.",
)
def _(texts, references, order):
    return _bleu(
        texts,
        references,
        order,
        brevity=lambda c, r: math.exp(1 - max(r, c) / min(r, c) if r else 0),
    )


@bleu.mistake(
    "the penalty of NIST",
    hint="Your penalty falls with the square of a logarithm, as NIST's does. It is "
    "e to the power of 1 − r / c.",
)
def _(texts, references, order):
    def brevity(c, r):
        if c >= r:
            return 1.0
        return math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(c / r) ** 2)

    return _bleu(texts, references, order, brevity=brevity)


@bleu.mistake(
    "the penalty within the root",
    hint="You take the root of the penalty as well. It multiplies the mean as it is.",
)
def _(texts, references, order):
    return _bleu(
        texts, references, order, brevity=lambda c, r: _brevity(c, r) ** (1 / max(order, 1))
    )


@bleu.mistake(
    "clipped after the sum over the texts",
    hint="You add n-grams up over the texts and over the references, and clip those. Each text is "
    "clipped by its own reference.",
)
def _(texts, references, order):
    precisions = []
    for n in range(1, order + 1):
        have = sum((_grams(t, n) for t in texts), Counter())
        wanted = sum((_grams(r, n) for r in references), Counter())
        total = have.total()
        precisions.append(sum((have & wanted).values()) / total if total else 0.0)
    c, r = sum(map(len, texts)), sum(map(len, references))
    return _brevity(c, r) * _geometric(precisions) if c else 0.0


@bleu.mistake(
    "the mean of the precisions of texts with such n-grams",
    hint="You take the mean of the texts' own precisions of an order. Add up what is found and "
    "what there is, then divide.",
)
def _(texts, references, order):
    precisions = []
    for n in range(1, order + 1):
        pairs = [_clipped(t, r, n) for t, r in zip(texts, references, strict=True)]
        each = [hit / total for hit, total in pairs if total]
        precisions.append(sum(each) / len(each) if each else 0.0)
    c, r = sum(map(len, texts)), sum(map(len, references))
    return _brevity(c, r) * _geometric(precisions) if c else 0.0


def _common(text, reference, *, same=None):
    same = same or (lambda a, b: a == b)
    row = [0] * (len(reference) + 1)
    for word in text:
        before, row = row, [0]
        for j, other in enumerate(reference):
            hit = before[j] + 1 if same(word, other) else max(before[j + 1], row[j])
            row.append(hit)
    return row[-1]


def _f1(common, text, reference):
    both = len(text) + len(reference)
    return 2 * common / both if both else 0.0


@rouge_l.mistake(
    "common pairs of words",
    hint="You compare pairs of neighbours (ROUGE-2). Asked for is the longest common subsequence.",
)
def _(text, reference):
    a, b = _grams(text, 2), _grams(reference, 2)
    both = a.total() + b.total()
    return 2 * (a & b).total() / both if both else 0.0


@rouge_l.mistake(
    "different common words",
    hint="You compare sets of words. Asked for is the longest common subsequence.",
)
def _(text, reference):
    a, b = set(text), set(reference)
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0


@rouge_l.mistake(
    "the share of both words' set",
    hint="You divide common words by all different words (Jaccard). F1 is 2L / (both lengths).",
)
def _(text, reference):
    a, b = set(text), set(reference)
    return len(a & b) / len(a | b) if a or b else 0.0


@rouge_l.mistake(
    "recall weighs more",
    hint="You use an F whose recall weighs more (β = 1.2). F1 weighs both alike.",
)
def _(text, reference):
    common, square = _common(text, reference), 1.2**2
    if not common:
        return 0.0
    p, r = common / len(text), common / len(reference)
    return (1 + square) * p * r / (r + square * p)


@rouge_l.mistake(
    "F2",
    hint="You have F2, which weighs recall four times. F1 weighs both alike.",
)
def _(text, reference):
    common = _common(text, reference)
    return 5 * common / (len(text) + 4 * len(reference)) if common else 0.0


@rouge_l.mistake(
    "F one half",
    hint="You have F½, which weighs precision more. F1 weighs both alike.",
)
def _(text, reference):
    common = _common(text, reference)
    return 1.25 * common / (len(text) + 0.25 * len(reference)) if common else 0.0


@rouge_l.mistake(
    "the distance of edits",
    hint="You have 1 less the edits over the longer length (Levenshtein). Asked for is the longest "
    "common subsequence.",
)
def _(text, reference):
    row = list(range(len(reference) + 1))
    for i, word in enumerate(text, 1):
        before, row = row, [i]
        for j, other in enumerate(reference, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
    longest = max(len(text), len(reference))
    return 1 - row[-1] / longest if longest else 0.0


@rouge_l.mistake(
    "the next match from the left, by the reference",
    hint="You go through the reference and take each word's next place in the text. That may skip "
    "a longer row: fill the table.",
)
def _(text, reference):
    at, common = 0, 0
    for word in reference:
        if word in text[at:]:
            at, common = text.index(word, at) + 1, common + 1
    return _f1(common, text, reference)


@rouge_l.mistake(
    "the common beginning",
    hint="You stop at the first difference. A subsequence goes on behind it.",
)
def _(text, reference):
    common = 0
    for a, b in zip(text, reference, strict=False):
        if a != b:
            break
        common += 1
    return _f1(common, text, reference)


@rouge_l.mistake(
    "stems are the same",
    hint="You drop endings of words before you compare. They are compared as they stand.",
)
def _(text, reference):
    def same(a, b):
        return a == b or (len(a) > 3 and a.rstrip("s") == b.rstrip("s"))

    return _f1(_common(text, reference, same=same), text, reference)


@rouge_l.mistake(
    "punctuation taken off",
    hint="You strip punctuation off the words. They are compared as they stand.",
)
def _(text, reference):
    common = _common(text, reference, same=lambda a, b: a.strip(".,!?;:") == b.strip(".,!?;:"))
    return _f1(common, text, reference)


@rouge_l.mistake(
    "the larger of all three entries, and one more",
    hint="Where words are equal you add one to the largest neighbour. Add it to the entry above "
    "and to the left.",
)
def _(text, reference):
    row = [0] * (len(reference) + 1)
    for word in text:
        before, row = row, [0]
        for j, other in enumerate(reference):
            row.append(max(before[j], before[j + 1], row[j]) + (word == other))
    return _f1(min(row[-1], len(text), len(reference)), text, reference)


@rouge_l.mistake(
    "the first words left out of the table",
    hint="Your table begins with the second words. Its row 0 and its column 0 stand for empty "
    "texts.",
)
def _(text, reference):
    return _f1(_common(text[1:], reference[1:]), text, reference)


@rouge_l.mistake(
    "blocks of matches",
    hint="You use `difflib`, which takes the longest block first and looks on both sides of it. "
    "The longest subsequence may need shorter ones.",
)
def _(text, reference):
    import difflib

    return difflib.SequenceMatcher(None, text, reference, autojunk=False).ratio()
