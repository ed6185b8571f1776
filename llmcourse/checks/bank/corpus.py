"""The exercises on a corpus: a filter with a bug, and how alike two documents are.

Not here: the exercises on tokens (`tokens.py`), their texts (`solutions/`), and how checking works
(`harness.py`). Chapter 01 teaches this.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from llmcourse.checks.answers import choice
from llmcourse.checks.harness import Case, case, exercise

CHAPTER = "01"


# 7. Find the bug


@exercise(CHAPTER)
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


@exercise(CHAPTER)
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
)
