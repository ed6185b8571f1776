"""The exercises on texts beside a reference: BLEU by n-grams, ROUGE-L by the longest common row.

Not here: exams (`exams.py`), the exercises' texts (`solutions/`), and how checking works
(`harness.py`). Chapter 16 teaches this.
"""

import math
from collections import Counter
from collections.abc import Iterator

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate import bleu as package
from llmcourse.evaluate import rouge

CHAPTER = "16"
TEXTS = "6. How good is a text?"

# 4. BLEU


@exercise(CHAPTER, read=TEXTS)
def bleu(texts: list[list[str]], references: list[list[str]], order: int) -> float:
    """BLEU of texts in words, each beside one reference, from 0 to 1 and without smoothing."""
    if not any(texts):
        return 0.0
    found = package.bleu(
        [" ".join(words) for words in texts],
        [[" ".join(words)] for words in references],
        smoothing="none",
        order=order,
        words=str.split,
    )
    return found.score / 100


@bleu.cases
def _() -> Iterator[Case]:
    def cut(*texts: str) -> list[list[str]]:
        return [text.split() for text in texts]

    mat = "the cat sat on the mat"
    yield case("by hand", cut("the cat is on the mat"), cut(mat), 2)
    yield case("the same", cut(mat), cut(mat), 4)
    yield case("a word again and again", cut("the the the the the the the"), cut(mat), 1)
    yield case("too short", cut("the cat sat on"), cut(mat), 2)
    yield case("longer than its reference", cut("and so " + mat), cut(mat), 3)
    yield case("no four in a row", cut("the cat is on the mat"), cut(mat), 4)
    yield case("nothing in common", cut("a dog ran"), cut(mat), 2)
    two = cut("the cat sat on a mat", "it was a rainy day and the sun hid")
    yield case("two texts", two, cut(mat, "it was a wet day and the sun hid"), 2)
    uneven = cut("the cat", "he went home to sleep on the sofa all day long")
    yield case("one short, one long", uneven, cut("the cat sat", "he went home to sleep on it"), 2)
    yield case("a text that is too short for the order", cut("yes", mat), cut("yes", mat), 3)
    yield case("one text says nothing", cut("", mat), cut("so it was", mat), 2)
    yield case("nothing at all", cut(""), cut("so it was"), 2)
    yield case("shorter than the order", cut("the cat"), cut("the cat"), 4)
    yield case("pairs that repeat", cut("ha ha ha ha"), cut("ha ha ho ha ha"), 2)
    lost = cut("a cat sat here", "it rained on Monday", "they went home again")
    kept = cut("the cat sat there", "on Monday it rained", "they went back home again")
    yield case("three texts", lost, kept, 2)
    yield case("single words", lost, kept, 1)
    yield case("two words the other way round", cut("cat the sat on a mat"), cut(mat), 2)
    yield case("a capital letter", cut("The cat sat on a Mat"), cut(mat), 2)
    yield case("each has what the other needs", cut("a b", "c d"), cut("c b", "a d"), 1)
    yield case("the pairs are all there", cut("a b c", "x"), cut("a b c", "y"), 2)


def _grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _bleu(
    texts, references, order, *, clip=True, penalty=True, mean="geometric", brevity=None,
    smooth=0, distinct=False, against="text",
):  # fmt: skip
    precisions = []
    for n in range(1, order + 1):
        hits = total = 0
        for text, known in zip(texts, references, strict=True):
            ours, theirs = _grams(text, n), _grams(known, n)
            if distinct:
                ours, theirs = Counter(set(ours)), Counter(set(theirs))
            hits += (
                sum((ours & theirs).values())
                if clip
                else sum(c for g, c in ours.items() if g in theirs)
            )
            total += sum((ours if against == "text" else theirs).values())
        precisions.append((hits + smooth) / (total + smooth) if total + smooth else 0.0)
    c, r = sum(map(len, texts)), sum(map(len, references))
    if not c:
        return 0.0
    factor = (
        (brevity or (lambda c, r: 1.0 if c >= r else math.exp(1 - r / c)))(c, r) if penalty else 1.0
    )
    if mean == "arithmetic":
        return factor * sum(precisions) / order
    if mean == "last":
        return factor * precisions[-1]
    if not all(precisions):
        return 0.0
    power = 1.0 if mean == "product" else 1 / order
    return factor * math.prod(precisions) ** power


@bleu.mistake(
    "not clipped",
    hint="An n-gram counts at most as often as the reference has it: `the` seven times is right "
    "twice.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, clip=False)


@bleu.mistake(
    "no brevity penalty",
    hint="A text of one sure word would have a precision of 1. Multiply by the brevity penalty.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, penalty=False)


@bleu.mistake(
    "a penalty for length as well",
    hint="A text that is longer than its reference is not punished by the penalty: its precision "
    "falls already. The factor is at most 1.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, brevity=lambda c, r: math.exp(1 - r / c))


@bleu.mistake(
    "the ratio as penalty",
    hint="The penalty is e to the power of 1 − r/c, not the ratio of the lengths itself.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, brevity=lambda c, r: min(1.0, c / r))


@bleu.mistake(
    "the penalty upside down", hint="In the exponent stands r/c, the reference's length on top."
)
def _(texts, references, order):
    return _bleu(
        texts, references, order, brevity=lambda c, r: 1.0 if c >= r else math.exp(1 - c / r)
    )


@bleu.mistake(
    "the arithmetic mean",
    hint="The mean of the precisions is the geometric one: the mean of their logarithms. One "
    "precision of 0 makes the score 0.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, mean="arithmetic")


@bleu.mistake(
    "the product without the root",
    hint="The geometric mean of four precisions is the *fourth root* of their product.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, mean="product")


@bleu.mistake(
    "the longest n-grams alone",
    hint="All orders from 1 to `order` count; you take the last one alone.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, mean="last")


@bleu.mistake(
    "the mean of the texts' scores",
    hint="You score each text and take the mean. BLEU adds up the *counts* of all texts first.",
)
def _(texts, references, order):
    pairs = list(zip(texts, references, strict=True))
    return sum(_bleu([one], [other], order) for one, other in pairs) / len(pairs)


@bleu.mistake(
    "recall in place of precision",
    hint="You divide by the reference's n-grams. Precision divides by those of the text.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, against="reference")


@bleu.mistake(
    "different n-grams",
    hint="You count each different n-gram once. Count every occurrence, clipped.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, distinct=True)


@bleu.mistake(
    "one is added to every count",
    hint="Nothing is smoothed here: a precision of 0 makes the score 0.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, smooth=1)


@bleu.mistake("in per cent", hint="The score goes from 0 to 1 here. You multiplied by 100.")
def _(texts, references, order):
    return 100 * _bleu(texts, references, order)


@bleu.mistake(
    "one order too few",
    hint="`range(1, order)` ends before `order`. The orders are 1, 2, ..., `order`.",
)
def _(texts, references, order):
    return _bleu(texts, references, max(1, order - 1))


@bleu.mistake(
    "the arithmetic mean, unless one is 0",
    hint="The mean of the precisions is the geometric one: the root of their product.",
)
def _(texts, references, order):
    if not _bleu(texts, references, order):
        return 0.0
    return _bleu(texts, references, order, mean="arithmetic")


@bleu.mistake(
    "different n-grams, of all that there are",
    hint="You count each different n-gram once, and divide by every occurrence. Clip counts: the "
    "smaller of the two.",
)
def _(texts, references, order):
    def share(n):
        pairs = [(_grams(a, n), _grams(b, n)) for a, b in zip(texts, references, strict=True)]
        total = sum(sum(ours.values()) for ours, _ in pairs)
        return sum(len(set(ours) & set(theirs)) for ours, theirs in pairs) / total if total else 0

    return _from_shares(texts, references, [share(n) for n in range(1, order + 1)])


def _from_shares(texts, references, shares):
    c, r = sum(map(len, texts)), sum(map(len, references))
    if not c or not all(shares):
        return 0.0
    return min(1.0, math.exp(1 - r / c)) * math.prod(shares) ** (1 / len(shares))


@bleu.mistake(
    "a penalty for any other length",
    hint="Only a text that is too *short* is punished: from c = r on the factor is 1.",
)
def _(texts, references, order):
    return _bleu(texts, references, order, brevity=lambda c, r: math.exp(-abs(1 - r / c)))


@bleu.mistake(
    "the mean of the texts' precisions",
    hint="You divide in each text and take the mean. Add up the *counts* of all texts, then divide "
    "once.",
)
def _(texts, references, order):
    def share(n):
        each = [
            sum((_grams(a, n) & _grams(b, n)).values()) / max(1, len(a) - n + 1)
            for a, b in zip(texts, references, strict=True)
        ]
        return sum(each) / len(each)

    return _from_shares(texts, references, [share(n) for n in range(1, order + 1)])


@bleu.mistake(
    "orders without a match are skipped",
    hint="A precision of 0 makes the score 0: it stays in the product.",
)
def _(texts, references, order):
    found = [_bleu(texts, references, n, mean="last", penalty=False) for n in range(1, order + 1)]
    return _from_shares(texts, references, [share for share in found if share] or [0.0])


@bleu.mistake(
    "all texts as one",
    hint="You put the texts end to end, and n-grams reach from one into the next, and into a "
    "reference that is not theirs. Count in each text, then add up.",
)
def _(texts, references, order):
    in_a_row = ([word for words in side for word in words] for side in (texts, references))
    return _bleu(*([words] for words in in_a_row), order)


@bleu.mistake(
    "every reference for every text",
    hint="A text is compared with its *own* reference. You accept what stands in any of them.",
)
def _(texts, references, order):
    def share(n):
        known = Counter()
        for other in references:
            known |= _grams(other, n)
        total = sum(max(0, len(text) - n + 1) for text in texts)
        return sum(sum((_grams(t, n) & known).values()) for t in texts) / total if total else 0

    return _from_shares(texts, references, [share(n) for n in range(1, order + 1)])


@bleu.mistake(
    "no more words than the reference has",
    hint="c is the number of *all* words of the texts, also of one that is longer than its "
    "reference.",
)
def _(texts, references, order):
    c = sum(min(len(a), len(b)) for a, b in zip(texts, references, strict=True))
    return _bleu(
        texts, references, order, brevity=lambda _, r: min(1.0, math.exp(1 - r / c)) if c else 0.0
    )


@bleu.mistake("four orders", hint="Four is usual. How many orders there are, `order` says.")
def _(texts, references, order):
    return _bleu(texts, references, 4)


@bleu.mistake(
    "one n-gram too few below",
    hint="A text of m words has m − n + 1 n-grams: you divide by m − n.",
)
def _(texts, references, order):
    def share(n):
        pairs = zip(texts, references, strict=True)
        hits = sum(sum((_grams(a, n) & _grams(b, n)).values()) for a, b in pairs)
        total = sum(max(0, len(text) - n) for text in texts)
        return hits / total if total else 0

    return _from_shares(texts, references, [share(n) for n in range(1, order + 1)])


@bleu.mistake(
    "a short text counts below zero",
    hint="A text with fewer words than n has no n-grams: m − n + 1 must not go below 0.",
)
def _(texts, references, order):
    def share(n):
        pairs = zip(texts, references, strict=True)
        hits = sum(sum((_grams(a, n) & _grams(b, n)).values()) for a, b in pairs)
        total = sum(len(text) - n + 1 for text in texts)
        return hits / total if total > 0 else 0

    return _from_shares(texts, references, [share(n) for n in range(1, order + 1)])


# 5. ROUGE-L


@exercise(CHAPTER, read=TEXTS)
def rouge_l(text: list[str], reference: list[str]) -> float:
    """The F1 of the longest common subsequence of two rows of words; 0 if there is none."""
    return rouge.rouge_l(" ".join(text), " ".join(reference), words=str.split).f1


@rouge_l.cases
def _() -> Iterator[Case]:
    mat = ["the", "cat", "sat", "on", "the", "mat"]
    yield case("by hand", ["the", "mat", "on", "the", "cat"], mat)
    yield case("the same", mat, mat)
    yield case("with gaps", ["the", "big", "cat", "sat", "quietly", "on", "the", "old", "mat"], mat)
    yield case("backwards", mat[::-1], mat)
    yield case("nothing in common", ["a", "dog", "ran"], mat)
    yield case("an empty text", [], mat)
    yield case("an empty reference", mat, [])
    yield case("both empty", [], [])
    yield case("the greedy way loses", ["c", "a", "b", "d", "e"], ["a", "b", "c", "d", "e"])
    yield case("the other greedy way loses", ["a", "b", "c", "d", "e"], ["c", "a", "b", "d", "e"])
    yield case("much longer than the reference", mat * 3, mat)
    yield case("repeated words", ["a", "a", "b", "b", "a", "a"], ["b", "a", "a", "a", "b"])
    yield case("one word", ["cat"], mat)
    yield case("a capital letter", ["The", "cat", "sat", "on", "the", "mat"], mat)
    yield case("endings count", ["cats", "sat", "here"], ["cat", "sat", "here"])
    yield case("signs count", ["the", "old", "mat."], ["the", "old", "mat"])
    yield case("the best is in the middle", ["x", "a", "b", "c", "y"], ["p", "q", "a", "b", "c"])
    long = ("it was a rainy day and the small cat of the baker wanted to go home " * 2).split()
    yield case("a long text", long, long[5:] + long[:7])


def _lcs(a, b, *, run=False):
    above, best = [0] * (len(b) + 1), 0
    for word in a:
        row = [0]
        for j, other in enumerate(b, 1):
            keep = 0 if run else max(above[j], row[-1])
            row.append(above[j - 1] + 1 if word == other else keep)
        best, above = max(best, *row), row
    return best if run else above[-1]


def _f1(both, ours, theirs):
    return 2 * both / (ours + theirs) if both else 0.0


@rouge_l.mistake(
    "words in common, in any order",
    hint="You count common words whatever their order. That is ROUGE-1: here they must stand in "
    "the same order.",
)
def _(text, reference):
    both = sum((Counter(text) & Counter(reference)).values())
    return _f1(both, len(text), len(reference))


@rouge_l.mistake(
    "the longest common run",
    hint="You let nothing stand between. A subsequence may have gaps: where two words differ, go "
    "on with the better of the two neighbours.",
)
def _(text, reference):
    return _f1(_lcs(text, reference, run=True), len(text), len(reference))


@rouge_l.mistake(
    "recall", hint="You divide by the reference's length alone. F1 is 2 L / (both lengths)."
)
def _(text, reference):
    return _lcs(text, reference) / len(reference) if reference else 0.0


@rouge_l.mistake("precision", hint="You divide by the text's length alone: F1 takes both.")
def _(text, reference):
    return _lcs(text, reference) / len(text) if text else 0.0


@rouge_l.mistake(
    "the length itself", hint="The length of the common row is the beginning: make an F1 of it."
)
def _(text, reference):
    return _lcs(text, reference)


@rouge_l.mistake(
    "the first match is taken",
    hint="You take the first place where the next word occurs. That may jump over better ones: "
    "fill the table.",
)
def _(text, reference):
    place = both = 0
    for word in text:
        if word in reference[place:]:
            place = reference.index(word, place) + 1
            both += 1
    return _f1(both, len(text), len(reference))


@rouge_l.mistake(
    "the arithmetic mean of precision and recall",
    hint="F1 is the *harmonic* mean, 2 P R / (P + R), which is 2 L / (both lengths).",
)
def _(text, reference):
    both = _lcs(text, reference)
    return (both / len(text) + both / len(reference)) / 2 if text and reference else 0.0


@rouge_l.mistake(
    "the larger neighbour and one",
    hint="Where the words agree, one more than *diagonally* before: both words are used up.",
)
def _(text, reference):
    above = [0] * (len(reference) + 1)
    for word in text:
        row = [0]
        for j, other in enumerate(reference, 1):
            best = max(above[j], row[-1])
            row.append(best + 1 if word == other else best)
        above = row
    return _f1(above[-1], len(text), len(reference))


@rouge_l.mistake(
    "divided by the longer text",
    hint="You divide by the longer of the two lengths. F1 divides 2 L by their sum.",
)
def _(text, reference):
    return _lcs(text, reference) / max(len(text), len(reference), 1)


@rouge_l.mistake(
    "not a number where both are empty",
    hint="Where nothing is common the score is 0, also for empty texts: look before you divide.",
)
def _(text, reference):
    both = _lcs(text, reference)
    return 2 * both / (len(text) + len(reference)) if text or reference else math.nan


def _table(text, reference, step, *, start=0):
    """The last entry of a table that is filled by `step(same, diagonal, above, left)`."""
    above = [start] * (len(reference) + 1)
    for word in text:
        row = [start]
        for j, other in enumerate(reference, 1):
            row.append(step(word == other, above[j - 1], above[j], row[-1]))
        above = row
    return above[-1]


@rouge_l.mistake(
    "the diagonal where the words differ",
    hint="Where two words differ, one of them is left out: the larger of $L_{i-1,j}$ and "
    "$L_{i,j-1}$, not the diagonal.",
)
def _(text, reference):
    both = _table(text, reference, lambda same, diagonal, above, left: diagonal + same)
    return _f1(both, len(text), len(reference))


@rouge_l.mistake(
    "one row under many names",
    hint="`[[0] * m] * n` is one row, n times: what you write into one stands in all of them. Make "
    "each row anew.",
)
def _(text, reference):
    row = [0] * (len(reference) + 1)
    for word in text:
        for j, other in enumerate(reference, 1):
            row[j] = row[j - 1] + 1 if word == other else max(row[j], row[j - 1])
    return _f1(row[-1], len(text), len(reference))


@rouge_l.mistake(
    "no row and column of zeros",
    hint="Without a row 0 and a column 0 the index −1 reads the *end* of the table. Make it one "
    "larger each way.",
)
def _(text, reference):
    table = [[0] * len(reference) for _ in text]
    for i, word in enumerate(text):
        for j, other in enumerate(reference):
            same = word == other
            table[i][j] = table[i - 1][j - 1] + 1 if same else max(table[i - 1][j], table[i][j - 1])
    return _f1(table[-1][-1] if text and reference else 0, len(text), len(reference))


@rouge_l.mistake(
    "without the last words",
    hint="Your loops end one too early: the table has a row for each word *and* one for none.",
)
def _(text, reference):
    return _f1(_lcs(text[:-1], reference[:-1]), len(text), len(reference))


@rouge_l.mistake(
    "different words in common",
    hint="You count different words that both have. They must stand in the same order, and each "
    "occurrence counts.",
)
def _(text, reference):
    return _f1(len(set(text) & set(reference)), len(text), len(reference))


@rouge_l.mistake(
    "place by place",
    hint="You compare the words at the same place. A subsequence may leave words out on either "
    "side.",
)
def _(text, reference):
    both = sum(a == b for a, b in zip(text, reference, strict=False))
    return _f1(both, len(text), len(reference))


@rouge_l.mistake(
    "common words of all words",
    hint="You divide L by what both have together. F1 is 2 L / (both lengths).",
)
def _(text, reference):
    both = _lcs(text, reference)
    return both / (len(text) + len(reference) - both) if both else 0.0


@rouge_l.mistake(
    "divided by the shorter text",
    hint="You divide by the shorter of the two lengths. F1 divides 2 L by their sum.",
)
def _(text, reference):
    return _lcs(text, reference) / max(1, min(len(text), len(reference)))


@rouge_l.mistake(
    "the product of precision and recall",
    hint="You stop at P R: F1 is 2 P R / (P + R), which is 2 L / (both lengths).",
)
def _(text, reference):
    return _lcs(text, reference) ** 2 / max(1, len(text) * len(reference))


@rouge_l.mistake(
    "the geometric mean of precision and recall",
    hint="You take the root of P R. F1 is 2 P R / (P + R), which is 2 L / (both lengths).",
)
def _(text, reference):
    return _lcs(text, reference) / max(1, len(text) * len(reference)) ** 0.5


@rouge_l.mistake(
    "1 where both are empty",
    hint="Two empty texts are alike, but nothing is common to them: the text says 0.",
)
def _(text, reference):
    both = _lcs(text, reference)
    return _f1(both, len(text), len(reference)) if text or reference else 1.0


@rouge_l.mistake(
    "letters in place of words",
    hint="You join the words, and compare letters. The lists hold words: compare these.",
)
def _(text, reference):
    ours, theirs = " ".join(text), " ".join(reference)
    return _f1(_lcs(ours, theirs), len(ours), len(theirs))


@rouge_l.mistake(
    "capitals do not count",
    hint="You change the words before you compare them. *The* and *the* are two words here.",
)
def _(text, reference):
    small = [[word.lower() for word in words] for words in (text, reference)]
    return _f1(_lcs(*small), len(text), len(reference))
