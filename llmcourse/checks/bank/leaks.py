"""The exercise on leaks: how much of an exam's texts stands in the training texts.

Not here: exams and chance (`exams.py`), the exercise's text (`solutions/`), and how checking works
(`harness.py`). Chapter 16 teaches this.
"""

from collections.abc import Iterator, Sequence

from llmcourse.checks.harness import Case, case, exercise
from llmcourse.evaluate import contamination

CHAPTER = "16"
LEAK = "9. Has it seen the exam?"

# 7. Who has seen the exam?


@exercise(CHAPTER, read=LEAK)
def seen_shares(exam: list[list[str]], training: list[list[str]], n: int) -> list[float]:
    """For each text of an exam, the share of its different n-grams that stand in training texts."""
    known = _grams_of(training)
    shares = []
    for words in exam:
        grams = contamination.distinct_ngrams(words, n)
        shares.append(sum(known(gram) for gram in grams) / len(grams) if grams else 0.0)
    return shares


def _grams_of(training: Sequence[list[str]]):
    """A question to some texts: does one of them hold these words in a row?"""

    def known(gram: tuple[str, ...]) -> bool:
        n = len(gram)
        return any(
            tuple(words[i : i + n]) == gram for words in training for i in range(len(words) - n + 1)
        )

    return known


@seen_shares.cases
def _() -> Iterator[Case]:
    sat = ["the", "cat", "sat", "on", "the", "mat"]
    yield case("by hand", [sat], [["a", "cat", "sat", "on", "the", "sofa"]], 3)
    yield case("word for word", [sat], [["well", *sat, "there"]], 4)
    yield case("nothing seen", [sat, ["a", "dog", "ran"]], [["it", "was", "wet"]], 2)
    yield case(
        "two exams, two texts", [sat, ["a", "dog", "ran"]], [["the", "dog", "ran"], sat[:3]], 2
    )
    yield case("shorter than n", [["a", "dog"]], [["once", "a", "dog", "ran"]], 5)
    yield case("shorter than n, and not seen", [["a", "dog"]], [["a", "big", "dog"]], 5)
    yield case("no words", [[], sat], [sat], 2)
    yield case("no training text", [sat], [], 2)
    yield case("not from one text into the next", [["cat", "sat"]], [["the", "cat"], ["sat"]], 2)
    yield case("an n-gram twice", [["ha", "ha", "ha", "ho"]], [["ha", "ha"]], 2)
    yield case("the same words in another order", [["on", "the", "mat"]], [["mat", "the", "on"]], 2)
    yield case("as long as n", [sat], [sat], 6)
    yield case("single words", [["the", "dog", "sat"]], [sat], 1)
    yield case("the end of a text", [["on", "the", "mat"]], [["sat", "on", "the", "mat"]], 3)
    yield case("a text seen twice", [sat], [sat[:4], sat[:4]], 3)
    yield case("letters that run together", [["ab", "c"]], [["a", "bc"]], 2)
    yield case("parts of words", [["at", "on"]], [["cat", "only"]], 2)
    yield case("half here, half there", [sat], [["the", "cat"], ["the", "mat", "cat", "sat"]], 2)
    yield case("a short text beside a long one", [["a", "dog"], sat], [["the", "cat", "ran"]], 3)
    yield case("three training texts", [sat], [sat[:2], sat[2:4], sat[4:]], 2)
    yield case("signs at a word", [["the", "mat."]], [["the", "mat"]], 1)
    lines = [["a", "b", "c"], ["a", "b", "c", "d"]]
    yield case("two exams that share their words", lines, [["a", "b"]], 2)
    yield case("a short text as it is", [["a", "b"]], [["a", "b"], ["x", "a", "c", "b"]], 4)
    yield case("a capital letter", [["The", "cat", "sat"]], [["the", "cat", "sat"]], 2)


def _shares(exam, training, n, *, grams=None, distinct=True, known=None):
    grams = grams or (lambda words, n: [tuple(words[i : i + n]) for i in range(len(words) - n + 1)])
    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        there = (
            {g for text in training for g in grams(text, size)} if known is None else known(size)
        )
        ours = grams(words, size) if words else []
        ours = set(ours) if distinct else ours
        found.append(sum(g in there for g in ours) / len(ours) if ours else 0.0)
    return found


@seen_shares.mistake(
    "every occurrence counts",
    hint="*Different* n-grams: one that occurs twice in the exam's text counts once. Use a set.",
)
def _(exam, training, n):
    return _shares(exam, training, n, distinct=False)


@seen_shares.mistake(
    "short texts are never seen",
    hint="A text of fewer than n words counts as one n-gram of all its words.",
)
def _(exam, training, n):
    found = _shares(exam, training, n)
    return [0.0 if len(words) < n else one for words, one in zip(exam, found, strict=True)]


@seen_shares.mistake(
    "the training texts in one row",
    hint="You put the training texts end to end, and then n-grams reach from one into the next.",
)
def _(exam, training, n):
    row = [word for text in training for word in text]
    return _shares(exam, [row], n)


@seen_shares.mistake(
    "words in place of n-grams",
    hint="You ask for single words. Ask for n of them in a row.",
)
def _(exam, training, n):
    there = {word for text in training for word in text}
    return [
        sum(w in there for w in set(words)) / len(set(words)) if words else 0.0 for words in exam
    ]


@seen_shares.mistake(
    "in any order",
    hint="You compare the words of an n-gram without their order: use tuples, not sets.",
)
def _(exam, training, n):
    def grams(words, size):
        return [tuple(sorted(words[i : i + size])) for i in range(len(words) - size + 1)]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "the last n-gram is missing",
    hint="A text of m words has m − n + 1 n-grams: your range ends one too early.",
)
def _(exam, training, n):
    def grams(words, size):
        return [tuple(words[i : i + size]) for i in range(len(words) - size)]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "n-grams that jump",
    hint="You cut the text into pieces of n words. N-grams overlap: one begins at every word.",
)
def _(exam, training, n):
    def grams(words, size):
        return [tuple(words[i : i + size]) for i in range(0, len(words) - size + 1, size)]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "the share of the training text",
    hint="You divide by the n-grams of the training texts. It is the share of the *exam's*.",
)
def _(exam, training, n):
    def grams(words, size):
        return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}

    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        there = {g for text in training for g in grams(text, size)}
        found.append(len(grams(words, size) & there) / len(there) if there and words else 0.0)
    return found


@seen_shares.mistake(
    "seen or not",
    hint="You return 1 as soon as one n-gram was found. Return the share of them.",
)
def _(exam, training, n):
    return [float(one > 0) for one in _shares(exam, training, n)]


@seen_shares.mistake(
    "joined without a blank",
    hint="You glue the words together, so `ab c` and `a bc` become the same. Compare tuples.",
)
def _(exam, training, n):
    def grams(words, size):
        return ["".join(words[i : i + size]) for i in range(len(words) - size + 1)]

    return _shares(exam, training, n, grams=grams)


def _pieces(words, size):
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


@seen_shares.mistake(
    "a text without words counts as seen",
    hint="A text without words has the share 0: its only n-gram would be the empty one, which "
    "stands everywhere.",
)
def _(exam, training, n):
    found = _shares(exam, training, n)
    return [one if words else 1.0 for words, one in zip(exam, found, strict=True)]


@seen_shares.mistake(
    "the share of both together",
    hint="You divide by the n-grams of both, exam and training. Divide by the exam text's.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        there = {g for text in training for g in _pieces(text, size)}
        ours = _pieces(words, size)
        found.append(len(ours & there) / len(ours | there) if words else 0.0)
    return found


@seen_shares.mistake(
    "one training text at a time",
    hint="You take the training text that has most of it. An n-gram is seen if *any* of the texts "
    "has it: put the sets of all together.",
)
def _(exam, training, n):
    alone = [_shares(exam, [text], n) for text in training]
    return [max(shares, default=0.0) for shares in zip(*alone, strict=True)] or [0.0] * len(exam)


@seen_shares.mistake(
    "parts of words are found",
    hint="You look into a long string: `at on` stands in `cat only`. Compare whole words.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        grams = _pieces(words, min(n, len(words))) if words else set()
        seen = [g for g in grams if any(" ".join(g) in " ".join(text) for text in training)]
        found.append(len(seen) / len(grams) if grams else 0.0)
    return found


@seen_shares.mistake(
    "all texts as short as the shortest",
    hint="Only a text that has fewer than n words is taken whole. The others keep their n.",
)
def _(exam, training, n):
    return _shares(exam, training, min([n, *(len(words) for words in exam if words)]))


@seen_shares.mistake(
    "capitals do not count",
    hint="You change the words before you compare them. *The* and *the* are two words here.",
)
def _(exam, training, n):
    small = [[[w.lower() for w in words] for words in texts] for texts in (exam, training)]
    return _shares(*small, n)


@seen_shares.mistake(
    "one word less", hint="Your n-grams have n − 1 words: `words[i : i + n]` has n of them."
)
def _(exam, training, n):
    def grams(words, size):
        size = max(1, size - 1)
        return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]

    return _shares(exam, training, n, grams=grams)


@seen_shares.mistake(
    "divided by the words",
    hint="You divide by the words of the text. Divide by its different n-grams.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        there = {g for text in training for g in _pieces(text, size)}
        found.append(len(_pieces(words, size) & there) / len(words) if words else 0.0)
    return found


@seen_shares.mistake(
    "the exam in pieces",
    hint="You cut the exam's text into pieces of n words. N-grams overlap: one begins at every "
    "word.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        ours = {tuple(words[i : i + size]) for i in range(0, len(words) - size + 1, size)}
        there = {g for text in training for g in _pieces(text, size)}
        found.append(len(ours & there) / len(ours) if ours else 0.0)
    return found


@seen_shares.mistake(
    "the exam's last n-gram is missing",
    hint="The exam's text has m − n + 1 n-grams, and you take m − n: the last is missing.",
)
def _(exam, training, n):
    found = []
    for words in exam:
        size = min(n, len(words)) or 1
        ours = {tuple(words[i : i + size]) for i in range(len(words) - size)}
        there = {g for text in training for g in _pieces(text, size)}
        found.append(len(ours & there) / len(ours) if ours else 0.0)
    return found


@seen_shares.mistake(
    "the mean over the exam", hint="Return a list with a share for each text of the exam."
)
def _(exam, training, n):
    return sum(_shares(exam, training, n)) / len(exam)


@seen_shares.mistake(
    "the first training text alone",
    hint="You look into the first training text. All of them count: put their n-grams together.",
)
def _(exam, training, n):
    return _shares(exam, training[:1], n)


@seen_shares.mistake(
    "the last training text alone",
    hint="Your set is made anew for each training text, so the last one's remains. Make it once, "
    "before the loop.",
)
def _(exam, training, n):
    return _shares(exam, training[-1:], n)
