"""The exercises on a corpus: a filter with a bug, and how alike two documents are.

Not here: the exercises on tokens (`tokens.py`), their texts (`solutions/`), and how checking works
(`harness.py`). Chapter 01 teaches this.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "01"


# 7. Find the bug


@exercise(CHAPTER, read="5. Where does text come from, and what is wrong with it?")
def repeated_lines(text: str) -> float:
    """The share of a text's lines, blank ones left out, that were there before; 0 if none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.cases
def _() -> Iterator[Case]:
    yield case("by hand", "buy\nbuy\nsell\nbuy")
    yield case("a poem of four stanzas", "one\n\ntwo\n\nthree\n\nfour\n\nfive")
    yield case("nothing repeats", "one\ntwo\nthree")
    yield case("indented differently", "x = 1\n    x = 1\ny = 2\n\ty = 2  ")
    yield case("no text", "")
    yield case("only blank lines", "\n  \n\n")
    yield case("blank lines between copies", "buy\n\nbuy\n\n\nsell")
    yield case("lines of nothing but blanks", "a\n  \nb\n \t\nc")
    yield case("capitals", "Buy\nbuy\nBUY\nsell")
    yield case("blanks within a line", "x = 1\nx  =  1\nx=1")
    yield case("blanks at the end alone", "x = 1\nx = 1  \ny = 2")
    yield case("blanks at the beginning alone", "x = 1\n    x = 1\ny = 2")
    yield case("copies far apart", "a\nb\nc\na\nb\nd")
    yield case("one line begins like another", "rain\nrain again\nrain")
    yield case("a copy after many other lines", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\na")
    yield case("different signs", "Stop!\nStop.\nStop?\nStop\nGo on.")
    yield case("different digits", "page 1\npage 2\npage 3\npage 1")
    yield case("one line is within another", "heavy rain again\nrain\nsun")
    yield case("the first is there once", "one\ntwo\ntwo\nthree\nthree\nthree")
    yield case("the same words in another order", "not now\nnow not")
    yield case("an indented line without a copy", "one\none\n  two\nthree")
    yield case("copies within a line", "Yes. Yes.\nNo.")
    yield case("a tab within a line", "a\tb\na b")
    yield case("two equal lines", "buy\nbuy")
    yield case("the same last word", "come in\ngo in\nall in")
    yield case("a later line is the beginning of an earlier one", "rain again\nrain\nsun")


@repeated_lines.mistake(
    "blank lines count as copies",
    hint="Between the stanzas of a poem every line is blank, and equal. Leave blank lines out "
    "before you count.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines()]
    return 1 - len(set(lines)) / max(1, len(lines)) if lines else 0.0


@repeated_lines.mistake(
    "the first one counts as a copy, too",
    hint="Of three equal lines, two were there before: the first is an original.",
)
def _(text):
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    return sum(n for n in counts.values() if n > 1) / max(1, sum(counts.values()))


@repeated_lines.mistake(
    "as a share of the different lines",
    hint="The share is of all lines. As you have it, it can grow beyond 1.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (len(lines) - len(set(lines))) / max(1, len(set(lines)))


@repeated_lines.mistake(
    "blanks at a line's ends make it another line",
    hint="`x = 1` with four blanks before it is the same line to a reader. `strip` it first.",
)
def _(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.mistake(
    "a share of all lines, blank ones included",
    hint="You left the blank lines out above, and count them below. Both numbers are of the lines "
    "that are not blank.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (len(lines) - len(set(lines))) / max(1, len(text.splitlines()))


@repeated_lines.mistake(
    "a line of blanks is not taken for blank",
    hint="You looked whether a line is empty before you stripped it. `'  '` is blank, too: strip "
    "first, then leave out.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.mistake(
    "capitals are ignored",
    hint="`Buy` and `buy` are two lines. Only blanks at the ends do not matter.",
)
def _(text):
    return repeated_lines.right(text.lower())


@repeated_lines.mistake(
    "all blanks are ignored",
    hint="Blanks *within* a line make it another one. Strip its ends and leave the rest.",
)
def _(text):
    return repeated_lines.right("\n".join("".join(line.split()) for line in text.splitlines()))


@repeated_lines.mistake(
    "blanks within a line are evened out",
    hint="`x  =  1` is not `x = 1`: blanks within a line count. Only its ends are stripped.",
)
def _(text):
    return repeated_lines.right("\n".join(" ".join(line.split()) for line in text.splitlines()))


@repeated_lines.mistake(
    "only copies of the line right before",
    hint="You compare neighbours. A line that stood anywhere before is a repetition.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return sum(a == b for a, b in pairwise(lines)) / max(1, len(lines))


@repeated_lines.mistake(
    "how many, not which share",
    hint="You counted the repetitions. Divide by the number of lines that are not blank.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) - len(set(lines))


@repeated_lines.mistake(
    "the share of different lines",
    hint="That is the share of lines that are *new*. What was there before is the rest.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.mistake(
    "the share of lines of which there are several",
    hint="You count the different lines that have copies, each once. Every copy counts, and below "
    "stand all lines, copies included.",
)
def _(text):
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    return sum(n > 1 for n in counts.values()) / max(1, len(counts))


@repeated_lines.mistake(
    "no lines, all repeated",
    hint="A page without a line has no repetition: 0, or it would be dropped for nothing.",
)
def _(text):
    return repeated_lines.right(text) if text.strip() else 1.0


@repeated_lines.mistake(
    "words, not lines",
    hint="You cut the text at every blank. A line ends where a new one begins: `splitlines`.",
)
def _(text):
    words = text.split()
    return 1 - len(set(words)) / len(words) if words else 0.0


@repeated_lines.mistake(
    "only the ends are stripped",
    hint="You strip a line's end. Blanks at its beginning matter as little: `strip` takes both.",
)
def _(text):
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.mistake(
    "only the beginnings are stripped",
    hint="You strip a line's beginning. Blanks at its end matter as little: `strip` takes both.",
)
def _(text):
    lines = [line.lstrip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


@repeated_lines.mistake(
    "nothing is stripped or left out",
    hint="You take the lines as they come. Strip them first, and leave out those that are blank.",
)
def _(text):
    lines = text.split("\n")
    return 1 - len(set(lines)) / len(lines) if text else 0.0


@repeated_lines.mistake(
    "the share of the most frequent line",
    hint="You look at one line only, the most frequent. Every line that was there before counts.",
)
def _(text):
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    return max(counts.values(), default=0) / max(1, sum(counts.values()))


@repeated_lines.mistake(
    "each line that repeats counts once",
    hint="You count the different lines that come again. If one comes three times, two of them "
    "were there before.",
)
def _(text):
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    return sum(n > 1 for n in counts.values()) / max(1, sum(counts.values()))


@repeated_lines.mistake(
    "pairs of equal lines",
    hint="You compare every two lines: three equal ones make three pairs. Ask each line once "
    "whether it was there before.",
)
def _(text):
    counts = Counter(line.strip() for line in text.splitlines() if line.strip())
    return sum(n * (n - 1) // 2 for n in counts.values()) / max(1, sum(counts.values()))


@repeated_lines.mistake(
    "yes or no, not a share",
    hint="Whether anything repeats is not the question: which *share* of the lines does?",
)
def _(text):
    return float(repeated_lines.right(text) > 0)


@repeated_lines.mistake(
    "divided by zero",
    hint="A text may have no line at all. Nothing repeats in it: return 0.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return 1 - len(set(lines)) / len(lines)


# 8. As alike as their smallest hashes

Hash = Callable[[str], int]
"""From a shingle to a whole number, another one for nearly every shingle."""


def _hashes(n: int) -> list[Hash]:
    """Hash functions that are the same on every machine, where Python's own `hash` is not."""

    def made(seed: int) -> Hash:
        def hash_of(text: str) -> int:
            state = 1_000_003 * (seed + 1)
            for char in text:
                state = (state ^ ord(char)) * 16_777_619 % 2**32
            return (state ^ state >> 15) * 2_246_822_519 % 2**32

        return hash_of

    return [made(seed) for seed in range(n)]


_COLLIDING: list[Hash] = [
    {"a": 1, "b": 10, "c": 10, "d": 2}.__getitem__,
    {"a": 20, "b": 3, "c": 20, "d": 20}.__getitem__,
    {"a": 20, "b": 20, "c": 3, "d": 20}.__getitem__,
]
"""The least is always a single one's; other values are not."""


@exercise(CHAPTER, read="5. Where does text come from, and what is wrong with it?")
def minhash_similarity(a: set[str], b: set[str], hashes: list[Hash]) -> float:
    """The share of hash functions whose least values over the two sets are equal."""
    agree = [min(map(hash_of, a)) == min(map(hash_of, b)) for hash_of in hashes]
    return sum(agree) / len(agree)


def _set(first: int, last: int) -> set[str]:
    return {f"shingle {number}" for number in range(first, last)}


@minhash_similarity.cases
def _() -> Iterator[Case]:
    yield case("by hand", {"a", "b"}, {"b", "c"}, [ord, lambda text: -ord(text)])
    yield case("half alike", _set(0, 30), _set(10, 40), _hashes(64))
    yield case("equal", _set(0, 9), _set(0, 9), _hashes(16))
    yield case("nothing in common", _set(0, 9), _set(9, 20), _hashes(16))
    yield case("one inside the other", _set(0, 40), _set(0, 10), _hashes(64))
    yield case("hashes that collide", set("abc"), set("bcd"), list(_COLLIDING))
    yield case("one hash function", _set(0, 6), _set(2, 8), _hashes(1))
    yield case("single shingles", {"rain"}, {"rain"}, _hashes(4))
    yield case("few functions, many shingles", _set(0, 60), _set(20, 90), _hashes(10))
    successors = [ord, lambda text: ord(text) + 1]
    yield case("two functions that share a hash", {"b"}, {"c"}, successors)
    yield case("hashes below zero", {"a", "c"}, {"b", "c"}, [lambda text: -ord(text)])
    yield case("hashes that begin alike", {"a"}, {"b"}, [lambda text: 10**12 + ord(text)])
    yield case("hashes that end alike", {"a"}, {"b"}, [lambda text: 65_536_000 * ord(text)])


@minhash_similarity.mistake(
    "the second set is hashed by the first function alone",
    hint="Each function hashes *both* sets: compare what one and the same function gives.",
)
def _(a, b, hashes):
    first = min(map(hashes[0], b))
    return sum(min(map(function, a)) == first for function in hashes) / len(hashes)


@minhash_similarity.mistake(
    "the exact similarity",
    hint="That is Jaccard's formula, exact and slow. The point is to look at nothing but the "
    "smallest hash of each set, once for each hash function.",
)
def _(a, b, hashes):
    return len(a & b) / len(a | b)


@minhash_similarity.mistake(
    "one hash function, many elements",
    hint="You compare all hashes of the first function. Take one number for each function: the "
    "least over the set.",
)
def _(a, b, hashes):
    ours, theirs = ({hashes[0](text) for text in texts} for texts in (a, b))
    return len(ours & theirs) / len(hashes)


@minhash_similarity.mistake(
    "the minima compared across functions",
    hint="The minimum of function 3 may only be compared with the other set's minimum of function "
    "3. As sets, minima of different functions meet, and the share is of another whole.",
)
def _(a, b, hashes):
    ours, theirs = ({min(map(hash_of, texts)) for hash_of in hashes} for texts in (a, b))
    return len(ours & theirs) / len(ours | theirs)


@minhash_similarity.mistake(
    "a count, not a share",
    hint="You counted the functions that agree. Divide by how many there are.",
)
def _(a, b, hashes):
    return sum(min(map(hash_of, a)) == min(map(hash_of, b)) for hash_of in hashes)


def _least(texts: set[str], hashes: list[Hash]) -> list[int]:
    return [min(map(hash_of, texts)) for hash_of in hashes]


@minhash_similarity.mistake(
    "the largest hash, not the least",
    hint="You take the largest hash of each set. It would estimate as well, but asked is for the "
    "least.",
)
def _(a, b, hashes):
    return sum(max(map(h, a)) == max(map(h, b)) for h in hashes) / len(hashes)


@minhash_similarity.mistake(
    "the least over the functions, for each shingle",
    hint="You take a minimum for each shingle, over all functions. The other way round: one "
    "minimum for each *function*, over all shingles of a set.",
)
def _(a, b, hashes):
    ours, theirs = ({min(h(text) for h in hashes) for text in texts} for texts in (a, b))
    return len(ours & theirs) / len(ours | theirs)


@minhash_similarity.mistake(
    "the first function alone",
    hint="One function says yes or no. The share over all of them is the estimate.",
)
def _(a, b, hashes):
    return float(_least(a, hashes[:1]) == _least(b, hashes[:1]))


@minhash_similarity.mistake(
    "all functions have to agree",
    hint="You ask whether the two signatures are the same. Count at how many places they are.",
)
def _(a, b, hashes):
    return float(_least(a, hashes) == _least(b, hashes))


@minhash_similarity.mistake(
    "one function that agrees is enough",
    hint="You ask whether any function agrees. Count how many do.",
)
def _(a, b, hashes):
    return float(any(x == y for x, y in zip(_least(a, hashes), _least(b, hashes), strict=True)))


@minhash_similarity.mistake(
    "the least shingle, not the least hash",
    hint="You took the first shingle of the alphabet and hashed that. Hash all shingles of the "
    "set, then take the least number.",
)
def _(a, b, hashes):
    return sum(h(min(a)) == h(min(b)) for h in hashes) / len(hashes)


@minhash_similarity.mistake(
    "divided by the number of shingles",
    hint="The share is of the hash functions: divide by how many of *them* there are.",
)
def _(a, b, hashes):
    agree = sum(x == y for x, y in zip(_least(a, hashes), _least(b, hashes), strict=True))
    return agree / len(a | b)


@minhash_similarity.mistake(
    "the sum of the hashes, not the least",
    hint="You add the hashes of a set up. One shingle more and the sum is another: take the least.",
)
def _(a, b, hashes):
    return sum(sum(map(h, a)) == sum(map(h, b)) for h in hashes) / len(hashes)


@minhash_similarity.mistake(
    "the share of equal hashes, over all functions",
    hint="You compare all hashes of both sets. Of each set and function only the least counts: "
    "that is what makes it short.",
)
def _(a, b, hashes):
    pairs = [({h(t) for t in a}, {h(t) for t in b}) for h in hashes]
    return sum(len(x & y) / len(x | y) for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "one least hash for all functions",
    hint="You keep a single number for a set: the least over all functions together. Keep one for "
    "each function.",
)
def _(a, b, hashes):
    return float(min(_least(a, hashes)) == min(_least(b, hashes)))


@minhash_similarity.mistake(
    "the share of functions that differ",
    hint="You count where the two are not equal. Alike is where they are.",
)
def _(a, b, hashes):
    agree = sum(x == y for x, y in zip(_least(a, hashes), _least(b, hashes), strict=True))
    return 1 - agree / len(hashes)


@minhash_similarity.mistake(
    "the exact share of one set",
    hint="You count shingles that both have, exactly. Look at nothing but the least hashes.",
)
def _(a, b, hashes):
    return len(a & b) / max(len(a), len(b))


@minhash_similarity.mistake(
    "common minima, whichever function they are of",
    hint="You look for numbers that are in both lists of minima. Compare function by function, "
    "first with first.",
)
def _(a, b, hashes):
    return len(set(_least(a, hashes)) & set(_least(b, hashes))) / len(hashes)


@minhash_similarity.mistake(
    "one least among all hashes of the other",
    hint="You ask whether the least of the first set is anywhere in the second. It has to be the "
    "least there as well.",
)
def _(a, b, hashes):
    return sum(min(map(h, a)) in set(map(h, b)) for h in hashes) / len(hashes)


@minhash_similarity.mistake(
    "every function against every other",
    hint="A function is compared with itself alone: as many comparisons as functions.",
)
def _(a, b, hashes):
    ours, theirs = _least(a, hashes), _least(b, hashes)
    pairs = [x == y for x in ours for y in theirs]
    return sum(pairs) / len(pairs)


@minhash_similarity.mistake(
    "the minima sorted before they are compared",
    hint="Sorted, minima of different functions stand side by side. Leave them in the functions' "
    "order.",
)
def _(a, b, hashes):
    ours, theirs = sorted(_least(a, hashes)), sorted(_least(b, hashes))
    return sum(x == y for x, y in zip(ours, theirs, strict=True)) / len(hashes)


@minhash_similarity.mistake(
    "twice the common over both sizes",
    hint="That is Dice's formula, exact, and not the similarity meant here. Look at the least "
    "hashes alone.",
)
def _(a, b, hashes):
    return 2 * len(a & b) / (len(a) + len(b))


@minhash_similarity.mistake(
    "the exact share of the smaller set",
    hint="You count what both have, exactly. The sets are not compared, only their least hashes.",
)
def _(a, b, hashes):
    return len(a & b) / min(len(a), len(b))


@minhash_similarity.mistake(
    "the exact share of the first set",
    hint="You count how much of `a` is in `b`, exactly. Look at nothing but the least "
    "hashes, function by function.",
)
def _(a, b, hashes):
    return len(a & b) / len(a)


which_bands = choice(
    CHAPTER,
    "which_bands",
    right=(
        "b",
        "At 0.8 it finds 1 - (1 - 0.8^8)^16 = 95 %, at 0.5 it proposes 6 %. The step stands "
        "between the two.",
    ),
    wrong={
        "a": "One row agrees with probability J itself, and 128 tries find anything: at J = 0.5 "
        "practically every pair is proposed, and nothing was saved.",
        "c": "At J = 0.8, 32 rows all agree with probability 0.8^32 = 0.0008. Four bands will "
        "hardly ever find a pair.",
        "d": "It finds everything at 0.8, but at 0.5 four rows agree with probability 1/16, and "
        "32 bands propose 87 % of the pairs.",
    },
    read="5. Where does text come from, and what is wrong with it?",
)
