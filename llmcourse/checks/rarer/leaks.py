"""Rarer mistakes of the exercise on leaked exams. Chapter 16 teaches this."""

from collections import Counter

from llmcourse.checks.bank.leaks import seen_shares


def _grams(words, size, step=1):
    return [tuple(words[i : i + size]) for i in range(0, len(words) - size + 1, step)]


def _shares(exam, training, n, *, size=None, share=None, known=None, grams=_grams, keep=None):
    """The shares with one part exchanged: the length of n-grams, the share, or what is known."""
    size = size or (lambda words: min(n, len(words)))
    share = share or (lambda mine, seen: len(set(mine) & seen) / len(set(mine)) if mine else 0.0)
    found = []
    for words in exam:
        if not words:
            found.append(0.0)
            continue
        many = size(words)
        rows = training if keep is None else keep(words)
        seen = known(many) if known else {g for row in rows for g in grams(row, many)}
        found.append(share(grams(words, many), seen))
    return found


@seen_shares.mistake(
    "different ones that are seen, of all",
    hint="You divide the different seen n-grams by all places. Divide by the different ones.",
)
def _(exam, training, n):
    return _shares(exam, training, n, share=lambda mine, seen: len(set(mine) & seen) / len(mine))


@seen_shares.mistake(
    "the share of words that are covered",
    hint="You return the share of *words* that lie in a seen n-gram. The share of n-grams is asked "
    "for.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words))
        seen = {g for row in training for g in _grams(row, size)}
        hit = {i + k for i, g in enumerate(_grams(words, size)) if g in seen for k in range(size)}
        found.append(len(hit) / len(words) if words else 0.0)
    return found


@seen_shares.mistake(
    "the mean over the training texts",
    hint="You take the mean of the shares in each training text. An n-gram may stand in any of "
    "them.",
)
def _(exam, training, n):
    each = [_shares(exam, [row], n) for row in training]
    if not each:
        return [0.0] * len(exam)
    return [sum(column) / len(column) for column in zip(*each, strict=True)]


@seen_shares.mistake(
    "in every training text",
    hint="You ask that an n-gram stands in *every* training text. One is enough.",
)
def _(exam, training, n):
    def known(many):
        sets = [set(_grams(row, many)) for row in training]
        return set.intersection(*sets) if sets else set()

    return _shares(exam, training, n, known=known)


@seen_shares.mistake(
    "in one training text and no other",
    hint="You drop n-grams that stand in several training texts. They are seen all the more.",
)
def _(exam, training, n):
    def known(many):
        often = Counter(g for row in training for g in set(_grams(row, many)))
        return {g for g, times in often.items() if times == 1}

    return _shares(exam, training, n, known=known)


@seen_shares.mistake(
    "n-grams side by side in the training texts",
    hint="You cut the training texts into n-grams side by side. One begins at each word.",
)
def _(exam, training, n):
    def known(many):
        return {g for row in training for g in _grams(row, many, many)}

    return _shares(exam, training, n, known=known)


@seen_shares.mistake(
    "punctuation taken off",
    hint="You strip punctuation off the words. They are compared as they stand.",
)
def _(exam, training, n):
    bare = [[[w.strip(".,!?;:") for w in row] for row in rows] for rows in (exam, training)]
    return _shares(*bare, n)


@seen_shares.mistake(
    "a short text only if it is a whole training text",
    hint="You look for a short text among whole training texts. It may stand anywhere in one.",
)
def _(exam, training, n):
    whole = {tuple(row) for row in training}
    return [
        share if len(words) >= n or not words else float(tuple(words) in whole)
        for words, share in zip(exam, _shares(exam, training, n), strict=True)
    ]


@seen_shares.mistake(
    "a short text by its single words",
    hint="You cut a short text into single words. It counts as one n-gram of all its words.",
)
def _(exam, training, n):
    return _shares(exam, training, n, size=lambda words: n if len(words) >= n else 1)


@seen_shares.mistake(
    "one word fewer",
    hint="Your n-grams have n − 1 words.",
)
def _(exam, training, n):
    return _shares(exam, training, n, size=lambda words: min(max(n - 1, 1), len(words)))


@seen_shares.mistake(
    "all lengths up to n",
    hint="You take n-grams of all lengths up to n. Those of n words count.",
)
def _(exam, training, n):
    def grams(words, size):
        return [g for many in range(1, size + 1) for g in _grams(words, many)]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "the last n-gram of an exam's text left out",
    hint="You leave the last n-gram of each exam text out. A text of m words has m − n + 1.",
)
def _(exam, training, n):
    def share(mine, seen):
        kept = set(mine[:-1] or mine)
        return len(kept & seen) / len(kept) if kept else 0.0

    return _shares(exam, training, n, share=share)


@seen_shares.mistake(
    "broken n-grams at the end",
    hint="You count the shorter pieces at a text's end. N-grams have n words.",
)
def _(exam, training, n):
    def grams(words, size):
        return [tuple(words[i : i + size]) for i in range(len(words))]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "one share for the exam",
    hint="You return one share of all texts together. Each text has its own.",
)
def _(exam, training, n):
    found = _shares(exam, training, n)
    return [sum(found) / len(found)] if found else []


@seen_shares.mistake(
    "n-grams of other exam texts, too",
    hint="You count n-grams as seen that another *exam* text has. The training texts are searched.",
)
def _(exam, training, n):
    found = []
    for at, words in enumerate(exam):
        others = [*training, *exam[:at], *exam[at + 1 :]]
        found += _shares([words], others, n)
    return found


@seen_shares.mistake(
    "an n-gram that an earlier text had counts no more",
    hint="You count an n-gram for the first exam text that has it. Each text is looked at by "
    "itself.",
)
def _(exam, training, n):
    used, found = set(), []
    for words in exam:
        mine = set(_grams(words, min(n, len(words)))) - used if words else set()
        seen = {g for row in training for g in _grams(row, min(n, len(words)))}
        found.append(len(mine & seen) / len(mine) if mine else 0.0)
        used |= mine
    return found
