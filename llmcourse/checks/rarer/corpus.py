"""Rarer mistakes of chapter 01's exercises on repeated lines and on copies."""

import itertools
import math
import re
from collections import Counter

from llmcourse.checks.bank.corpus import minhash_similarity, repeated_lines

# Find the bug


def _lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def _share(lines):
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def _few(part, whole):
    return part / whole if whole else 0.0


@repeated_lines.mistake(
    "the three lines before",
    hint="You look at the last few lines only. An equal one may stand anywhere above.",
)
def _(text):
    lines = _lines(text)
    return _few(sum(line in lines[max(0, k - 3) : k] for k, line in enumerate(lines)), len(lines))


@repeated_lines.mistake(
    "the line above it, blank or not",
    hint="You look at the line right above, before blank ones are left out. An equal one may "
    "stand anywhere above.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines()]
    found = sum(a == b != "" for a, b in itertools.pairwise(lines))
    return _few(found, len(_lines(text)))


@repeated_lines.mistake(
    "the first line again",
    hint="You ask how often the first line comes again. Each line may repeat.",
)
def _(text):
    lines = _lines(text)
    return _few(lines[1:].count(lines[0]) if lines else 0, len(lines))


@repeated_lines.mistake(
    "the copies of the most frequent line",
    hint="You count the copies of the most frequent line only. Each line may repeat.",
)
def _(text):
    counts = Counter(_lines(text))
    return _few(max(counts.values(), default=1) - 1, counts.total())


@repeated_lines.mistake(
    "pairs of lines",
    hint="You count pairs of equal lines among all pairs. Count lines that were there before.",
)
def _(text):
    pairs = list(itertools.combinations(_lines(text), 2))
    return _few(sum(a == b for a, b in pairs), len(pairs))


@repeated_lines.mistake(
    "the chance that two lines differ",
    hint="You take one minus the sum of the squared shares (Simpson's index). Count lines that "
    "were there before.",
)
def _(text):
    counts = Counter(_lines(text))
    return 1 - sum((n / counts.total()) ** 2 for n in counts.values()) if counts else 0.0


@repeated_lines.mistake(
    "the sum of squared shares",
    hint="You add squared shares (Herfindahl's index). Count lines that were there before.",
)
def _(text):
    counts = Counter(_lines(text))
    return sum((n / counts.total()) ** 2 for n in counts.values())


@repeated_lines.mistake(
    "lines that are there once",
    hint="You return the share of lines that never repeat. The share of copies is asked for.",
)
def _(text):
    counts = Counter(_lines(text))
    return _few(sum(n == 1 for n in counts.values()), counts.total())


@repeated_lines.mistake(
    "one line fewer in the divisor",
    hint="You divide by one line fewer, since the first cannot repeat. It is a line, too.",
)
def _(text):
    lines = _lines(text)
    return _few(len(lines) - len(set(lines)), len(lines) - 1)


@repeated_lines.mistake(
    "one line more in the divisor",
    hint="You add one to the divisor against a division by 0. Then all shares are too small: "
    "ask for no lines instead.",
)
def _(text):
    lines = _lines(text)
    return (len(lines) - len(set(lines))) / (len(lines) + 1)


@repeated_lines.mistake(
    "characters of the copies",
    hint="You weigh the lines by their characters. Each line counts once.",
)
def _(text):
    lines, seen, twice = _lines(text), set(), 0
    for line in lines:
        twice += len(line) * (line in seen)
        seen.add(line)
    return _few(twice, sum(map(len, lines)))


@repeated_lines.mistake(
    "words of the copies", hint="You weigh the lines by their words. Each line counts once."
)
def _(text):
    lines, seen, twice = _lines(text), set(), 0
    for line in lines:
        twice += len(line.split()) * (line in seen)
        seen.add(line)
    return _few(twice, sum(len(line.split()) for line in lines))


@repeated_lines.mistake("characters", hint="You count repeated characters. Lines are asked about.")
def _(text):
    return _share(list(text))


@repeated_lines.mistake("paragraphs", hint="You count paragraphs. Lines are asked about.")
def _(text):
    return _share([part.strip() for part in text.split("\n\n") if part.strip()])


@repeated_lines.mistake("sentences", hint="You cut at full stops. Lines are asked about.")
def _(text):
    return _share([part.strip() for part in text.split(".") if part.strip()])


@repeated_lines.mistake(
    "pairs of neighbouring lines",
    hint="You count pairs of lines that stand one after the other. Single lines are asked about.",
)
def _(text):
    return _share(list(itertools.pairwise(_lines(text))))


@repeated_lines.mistake(
    "without punctuation", hint="You drop what is no letter or digit. The lines count as they are."
)
def _(text):
    return _share([re.sub(r"[^\w\s]", "", line) for line in _lines(text)])


@repeated_lines.mistake(
    "digits alike", hint="You take all digits for the same. The lines count as they are."
)
def _(text):
    return _share([re.sub(r"\d", "0", line) for line in _lines(text)])


@repeated_lines.mistake(
    "the first word of a line",
    hint="You compare the first words of the lines. The whole lines are compared.",
)
def _(text):
    return _share([line.split()[0] for line in _lines(text)])


@repeated_lines.mistake(
    "the words of a line in any order",
    hint="You compare which words the lines have, in any order. The whole lines are compared.",
)
def _(text):
    return _share([tuple(sorted(line.split())) for line in _lines(text)])


@repeated_lines.mistake(
    "lines as long as an earlier one",
    hint="You compare how long the lines are. What stands in them is compared.",
)
def _(text):
    return _share([len(line) for line in _lines(text)])


@repeated_lines.mistake(
    "found somewhere in the text above",
    hint="You look for the line in the text above, where it may be a part of another line. "
    "Compare whole lines.",
)
def _(text):
    lines = _lines(text)
    return _few(sum(line in "\n".join(lines[:k]) for k, line in enumerate(lines)), len(lines))


@repeated_lines.mistake(
    "found somewhere in the whole text",
    hint="You count how often the line is found in the text, where it may be a part of another "
    "line. Compare whole lines.",
)
def _(text):
    lines = _lines(text)
    return _few(sum(text.count(line) > 1 for line in lines), len(lines))


@repeated_lines.mistake(
    "short lines left out", hint="You leave short lines out. Only blank ones are none."
)
def _(text):
    return _share([line for line in _lines(text) if len(line) > 2])


@repeated_lines.mistake(
    "blanks but no tabs",
    hint="You strip blanks and leave tabs. Neither matters at the ends of a line.",
)
def _(text):
    return _share([line.strip(" ") for line in text.splitlines() if line.strip(" ")])


@repeated_lines.mistake(
    "blank by the first character",
    hint="You leave lines out that begin with a blank. They are blank only if nothing else is "
    "in them.",
)
def _(text):
    return _share([line.strip() for line in text.splitlines() if line and not line[0].isspace()])


@repeated_lines.mistake(
    "one blank line counted",
    hint="You keep one blank line. All of them are left out, the first too.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines()]
    kept = [line for k, line in enumerate(lines) if line or "" not in lines[:k]]
    return _share(kept)


@repeated_lines.mistake(
    "line ends in the divisor",
    hint="You divide by the number of line ends. The last line may have none, and blank lines "
    "are none.",
)
def _(text):
    lines = _lines(text)
    return _few(len(lines) - len(set(lines)), text.count("\n"))


@repeated_lines.mistake(
    "the last line left out",
    hint="You leave the last line out, as if the text ended with a line end.",
)
def _(text):
    return _share(_lines(text)[:-1])


@repeated_lines.mistake(
    "the first line left out", hint="You leave the first line out, as if it were a title."
)
def _(text):
    return _share(_lines(text)[1:])


@repeated_lines.mistake("in percent", hint="You return percent. A share is between 0 and 1.")
def _(text):
    return 100 * _share(_lines(text))


@repeated_lines.mistake(
    "whole division", hint="You divide in whole numbers. A share has a fraction."
)
def _(text):
    lines = _lines(text)
    return float((len(lines) - len(set(lines))) // max(len(lines), 1))


@repeated_lines.mistake(
    "rounded to two digits", hint="You round the share. Leave all of its digits."
)
def _(text):
    return round(_share(_lines(text)), 2)


@repeated_lines.mistake(
    "no number for no text",
    hint="You return no number for a page without lines. There, 0 is asked for.",
)
def _(text):
    lines = _lines(text)
    return _share(lines) if lines else math.nan


@repeated_lines.mistake(
    "nothing for no text", hint="You return None for a page without lines. There, 0 is asked for."
)
def _(text):
    lines = _lines(text)
    return _share(lines) if lines else None


@repeated_lines.mistake(
    "one copy is free",
    hint="You allow one copy of each line and count from the second on. The first copy was "
    "there before, too.",
)
def _(text):
    counts = Counter(_lines(text))
    return _few(sum(max(0, n - 2) for n in counts.values()), counts.total())


@repeated_lines.mistake(
    "what was there before cleared at a blank line",
    hint="You begin anew after each blank line. An equal line may stand in any stanza above.",
)
def _(text):
    seen, twice, all_of_them = set(), 0, 0
    for line in map(str.strip, text.splitlines()):
        if not line:
            seen = set()
            continue
        twice += line in seen
        all_of_them += 1
        seen.add(line)
    return _few(twice, all_of_them)


@repeated_lines.mistake(
    "split at blanks", hint="You cut the text at blanks. It is cut at line ends."
)
def _(text):
    return _share([part.strip() for part in text.split(" ") if part.strip()])


@repeated_lines.mistake(
    "the longest run",
    hint="You take the longest run of equal lines. Count each line that was there before.",
)
def _(text):
    lines = _lines(text)
    return _few(max((len(list(g)) for _, g in itertools.groupby(lines)), default=0), len(lines))


@repeated_lines.mistake(
    "the mean over the different lines",
    hint="You take the mean over the different lines of their share of copies. Count the "
    "copies, and divide by all lines.",
)
def _(text):
    counts = Counter(_lines(text))
    return _few(sum((n - 1) / n for n in counts.values()), len(counts))


@repeated_lines.mistake(
    "copies by lines that are there once",
    hint="You divide the copies by the lines without a copy. Divide by all lines that are not "
    "blank.",
)
def _(text):
    counts = Counter(_lines(text))
    return _few(counts.total() - len(counts), sum(n == 1 for n in counts.values()))


@repeated_lines.mistake(
    "blank as one of the different lines",
    hint="You leave blank lines out of the number of lines, and count them as one of the "
    "different ones.",
)
def _(text):
    kinds = {line.strip() for line in text.splitlines()}
    return _few(len(_lines(text)) - len(kinds), len(_lines(text)))


@repeated_lines.mistake(
    "blank copies in the dividend",
    hint="You count blank lines among the copies, and not among the lines. They are no lines at "
    "all.",
)
def _(text):
    lines = [line.strip() for line in text.splitlines()]
    return _few(len(lines) - len(set(lines)), len(_lines(text)))


@repeated_lines.mistake(
    "how the lines begin", hint="You compare how the lines begin. The whole lines are compared."
)
def _(text):
    return _share([line[:4] for line in _lines(text)])


@repeated_lines.mistake(
    "how many different lines",
    hint="You return how many different lines there are. The share of copies is asked for.",
)
def _(text):
    return len(set(_lines(text)))


@repeated_lines.mistake(
    "tabs and blanks alike", hint="You take a tab for a blank. Within a line they matter."
)
def _(text):
    return _share([line.replace("\t", " ") for line in _lines(text)])


@repeated_lines.mistake(
    "without a full stop at the end",
    hint="You drop a full stop at the end of a line. The lines count as they are.",
)
def _(text):
    return _share([line.rstrip(".") for line in _lines(text)])


@repeated_lines.mistake(
    "begins like an earlier one",
    hint="You count lines that begin like an earlier line. The whole lines are compared.",
)
def _(text):
    lines = _lines(text)
    return _few(sum(line.startswith(tuple(lines[:k])) for k, line in enumerate(lines)), len(lines))


@repeated_lines.mistake(
    "0 for a short text",
    hint="You return 0 where there are few lines. Two equal lines are half copies.",
)
def _(text):
    return _share(_lines(text)) if len(_lines(text)) > 2 else 0.0


@repeated_lines.mistake(
    "the last words of the lines",
    hint="You compare the last words of the lines. The whole lines are compared.",
)
def _(text):
    return _share([line.split()[-1] for line in _lines(text)])


# As alike as their smallest hashes


def _least(items, hashes, least=min):
    return [least(hash_of(item) for item in items) for hash_of in hashes]


def _agree(one, other):
    return sum(x == y for x, y in zip(one, other, strict=True)) / len(one)


@minhash_similarity.mistake(
    "the cosine of the sets",
    hint="You divide what is common by the root of the product of the sizes. Use the least hashes.",
)
def _(a, b, hashes):
    return len(a & b) / math.sqrt(len(a) * len(b))


@minhash_similarity.mistake(
    "the cosine of the signatures",
    hint="You take the cosine of the two rows of least hashes. Count how many are equal.",
)
def _(a, b, hashes):
    one, other = _least(a, hashes), _least(b, hashes)
    dot = sum(x * y for x, y in zip(one, other, strict=True))
    return dot / math.sqrt(sum(x * x for x in one) * sum(y * y for y in other))


@minhash_similarity.mistake(
    "the middle hash",
    hint="You compare the hashes in the middle of the order. The least are compared.",
)
def _(a, b, hashes):
    def middle(values):
        ordered = sorted(values)
        return ordered[len(ordered) // 2]

    return _agree(_least(a, hashes, middle), _least(b, hashes, middle))


@minhash_similarity.mistake(
    "the second least", hint="You compare the second hashes of the order. The least are compared."
)
def _(a, b, hashes):
    def second(values):
        return sorted(values)[:2][-1]

    return _agree(_least(a, hashes, second), _least(b, hashes, second))


@minhash_similarity.mistake(
    "the two least", hint="You ask that the two least hashes be equal. The least alone decides."
)
def _(a, b, hashes):
    def two(values):
        return sorted(values)[:2]

    return _agree(_least(a, hashes, two), _least(b, hashes, two))


@minhash_similarity.mistake(
    "some of the two least",
    hint="You ask whether the two sets have one of their two least hashes in common. The least "
    "alone decides.",
)
def _(a, b, hashes):
    def two(items, hash_of):
        return set(sorted(map(hash_of, items))[:2])

    return sum(bool(two(a, f) & two(b, f)) for f in hashes) / len(hashes)


@minhash_similarity.mistake(
    "least or largest",
    hint="You count a function where the least hashes agree or the largest. Only the least do.",
)
def _(a, b, hashes):
    found = [min(map(f, a)) == min(map(f, b)) or max(map(f, a)) == max(map(f, b)) for f in hashes]
    return sum(found) / len(found)


@minhash_similarity.mistake(
    "least and largest",
    hint="You ask that the least hashes agree and the largest, too. The least alone decide.",
)
def _(a, b, hashes):
    found = [min(map(f, a)) == min(map(f, b)) and max(map(f, a)) == max(map(f, b)) for f in hashes]
    return sum(found) / len(found)


@minhash_similarity.mistake(
    "the least by size without the sign",
    hint="You ignore the signs of the hashes. The least of negative numbers is the one farthest "
    "from 0.",
)
def _(a, b, hashes):
    def nearest(values):
        return min(map(abs, values))

    return _agree(_least(a, hashes, nearest), _least(b, hashes, nearest))


@minhash_similarity.mistake(
    "either least among the other's",
    hint="You ask whether one set's least hash is among the other's hashes. The least of each "
    "are compared.",
)
def _(a, b, hashes):
    found = [min(map(f, a)) in set(map(f, b)) or min(map(f, b)) in set(map(f, a)) for f in hashes]
    return sum(found) / len(found)


@minhash_similarity.mistake(
    "no more than the other's",
    hint="You count where the first set's least hash is no more than the second's. They have to "
    "be equal.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    return sum(x <= y for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "smaller over larger",
    hint="You take the mean of the smaller over the larger hash. They are equal, or they are not.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    sizes = [sorted((abs(x), abs(y))) for x, y in pairs]
    return sum(x / y if y else 1.0 for x, y in sizes) / len(hashes)


@minhash_similarity.mistake(
    "nearly equal",
    hint="You count least hashes that lie close together. They are equal, or they are not.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    return sum(math.isclose(x, y, rel_tol=0.05) for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "the last bit",
    hint="You compare the last bits of the least hashes (b-bit MinHash). Half of them agree by "
    "chance: compare the whole numbers.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    return sum(x % 2 == y % 2 for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "the last digits",
    hint="You compare the last digits or bytes of the least hashes. Compare the whole numbers.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    return sum(x % 256 == y % 256 for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "the bottom of one function",
    hint="You take as many of the least hashes of the first function as there are functions (a "
    "bottom sketch). Take the least of each.",
)
def _(a, b, hashes):
    k, f = len(hashes), hashes[0]
    one, other = set(sorted(map(f, a))[:k]), set(sorted(map(f, b))[:k])
    return len(one & other) / k


@minhash_similarity.mistake(
    "the bottom of the union",
    hint="You take the least hashes of both sets together, of the first function (a bottom "
    "sketch). Take the least of each function.",
)
def _(a, b, hashes):
    k, f = len(hashes), hashes[0]
    one, other = set(sorted(map(f, a))[:k]), set(sorted(map(f, b))[:k])
    lowest = set(sorted(one | other)[:k])
    return len(lowest & one & other) / len(lowest)


@minhash_similarity.mistake(
    "the majority", hint="You say whether most functions agree. Their share is asked for."
)
def _(a, b, hashes):
    return float(round(_agree(_least(a, hashes), _least(b, hashes))))


@minhash_similarity.mistake(
    "the last function left out",
    hint="You leave the last function out of the count. All of them count.",
)
def _(a, b, hashes):
    return sum(min(map(f, a)) == min(map(f, b)) for f in hashes[:-1]) / len(hashes)


@minhash_similarity.mistake(
    "the first function left out",
    hint="You leave the first function out of the count. All of them count.",
)
def _(a, b, hashes):
    return sum(min(map(f, a)) == min(map(f, b)) for f in hashes[1:]) / len(hashes)


@minhash_similarity.mistake(
    "one function more in the divisor", hint="You divide by one function more than there are."
)
def _(a, b, hashes):
    return sum(min(map(f, a)) == min(map(f, b)) for f in hashes) / (len(hashes) + 1)


@minhash_similarity.mistake(
    "one added above and two below",
    hint="You add one agreeing and one differing function (Laplace). The plain share is asked for.",
)
def _(a, b, hashes):
    return (sum(min(map(f, a)) == min(map(f, b)) for f in hashes) + 1) / (len(hashes) + 2)


@minhash_similarity.mistake(
    "by the shingles of the first set",
    hint="You divide by the first set's size. Divide by the number of functions.",
)
def _(a, b, hashes):
    return sum(min(map(f, a)) == min(map(f, b)) for f in hashes) / len(a)


@minhash_similarity.mistake(
    "by twice the functions",
    hint="You divide by the length of both signatures together. Divide by the number of functions.",
)
def _(a, b, hashes):
    return sum(min(map(f, a)) == min(map(f, b)) for f in hashes) / (2 * len(hashes))


@minhash_similarity.mistake(
    "signatures as Jaccard's sets of places",
    hint="You divide the functions that agree by all least hashes, equal ones once. Divide by "
    "the number of functions.",
)
def _(a, b, hashes):
    n = sum(min(map(f, a)) == min(map(f, b)) for f in hashes)
    return n / (2 * len(hashes) - n)


@minhash_similarity.mistake(
    "Dice of the share",
    hint="You turn the share into twice what is common over both sizes. The share itself is "
    "asked for.",
)
def _(a, b, hashes):
    share = _agree(_least(a, hashes), _least(b, hashes))
    return 2 * share / (1 + share)


@minhash_similarity.mistake(
    "the last function for all",
    hint="You use the last function for all, as a loop leaves it. Each has its turn.",
)
def _(a, b, hashes):
    return float(min(map(hashes[-1], a)) == min(map(hashes[-1], b)))


@minhash_similarity.mistake(
    "the least that were seen so far",
    hint="You keep the least hash from one function to the next. Begin anew for each function.",
)
def _(a, b, hashes):
    one = other = math.inf
    agree = 0
    for f in hashes:
        one, other = min([one, *map(f, a)]), min([other, *map(f, b)])
        agree += one == other
    return agree / len(hashes)


@minhash_similarity.mistake(
    "the least begun with 0",
    hint="You begin the search for the least with 0, below which hashes are rare. Begin with "
    "the first hash.",
)
def _(a, b, hashes):
    def least(values):
        return min([0, *values])

    return _agree(_least(a, hashes, least), _least(b, hashes, least))


@minhash_similarity.mistake(
    "the functions one apart",
    hint="You compare a function with the next one. The same function hashes both sets.",
)
def _(a, b, hashes):
    return _agree(_least(a, hashes), _least(b, hashes[1:] + hashes[:1]))


@minhash_similarity.mistake(
    "bands of two",
    hint="You count bands of two functions in which both agree (locality-sensitive hashing). "
    "Each function counts by itself.",
)
def _(a, b, hashes):
    same = [min(map(f, a)) == min(map(f, b)) for f in hashes]
    bands = [all(same[k : k + 2]) for k in range(0, len(same), 2)]
    return sum(bands) / len(bands)


@minhash_similarity.mistake(
    "bands of four",
    hint="You count bands of four functions in which all agree (locality-sensitive hashing). "
    "Each function counts by itself.",
)
def _(a, b, hashes):
    same = [min(map(f, a)) == min(map(f, b)) for f in hashes]
    bands = [all(same[k : k + 4]) for k in range(0, len(same), 4)]
    return sum(bands) / len(bands)


@minhash_similarity.mistake(
    "as far as they agree", hint="You stop at the first function that differs. All of them count."
)
def _(a, b, hashes):
    same = [min(map(f, a)) == min(map(f, b)) for f in hashes]
    return (same.index(False) if False in same else len(same)) / len(same)


@minhash_similarity.mistake(
    "the bits of the hashes",
    hint="You count equal bits of the least hashes (as SimHash does). The numbers are equal, or "
    "they are not.",
)
def _(a, b, hashes):
    pairs = zip(_least(a, hashes), _least(b, hashes), strict=True)
    return sum(1 - ((x ^ y) & 0xFFFFFFFF).bit_count() / 32 for x, y in pairs) / len(hashes)


@minhash_similarity.mistake(
    "the shingles that win",
    hint="You compare the sets of shingles that have the least hash of some function. Compare "
    "the hashes, function by function.",
)
def _(a, b, hashes):
    one = {min(sorted(a), key=f) for f in hashes}
    other = {min(sorted(b), key=f) for f in hashes}
    return len(one & other) / len(one | other)


@minhash_similarity.mistake(
    "in percent of the functions", hint="You return percent. A share is between 0 and 1."
)
def _(a, b, hashes):
    return 100 * _agree(_least(a, hashes), _least(b, hashes))


@minhash_similarity.mistake(
    "rounded to two decimals", hint="You round the share. Leave all of its digits."
)
def _(a, b, hashes):
    return round(_agree(_least(a, hashes), _least(b, hashes)), 2)


@minhash_similarity.mistake(
    "found among the other's least hashes",
    hint="You ask whether a least hash is among those of the other set, of any function. "
    "Compare them function by function.",
)
def _(a, b, hashes):
    other = _least(b, hashes)
    return sum(x in other for x in _least(a, hashes)) / len(hashes)


@minhash_similarity.mistake(
    "all hashes of all functions together",
    hint="You put all hashes of all functions into one set for each side. Take the least of "
    "each function.",
)
def _(a, b, hashes):
    one, other = ({f(item) for f in hashes for item in items} for items in (a, b))
    return len(one & other) / len(one | other)


@minhash_similarity.mistake(
    "no more functions than shingles",
    hint="You use only as many functions as the smaller set has shingles. All functions count.",
)
def _(a, b, hashes):
    few = hashes[: min(len(a), len(b))]
    return _agree(_least(a, few), _least(b, few))


@minhash_similarity.mistake(
    "weighed by the sizes",
    hint="You multiply by the smaller size over the larger. The share itself is asked for.",
)
def _(a, b, hashes):
    sizes = sorted((len(a), len(b)))
    return _agree(_least(a, hashes), _least(b, hashes)) * sizes[0] / sizes[1]


@minhash_similarity.mistake(
    "the least of both is the second's",
    hint="You count where the least hash of both sets together is the second's. It has to be "
    "the least of each.",
)
def _(a, b, hashes):
    return sum(min(map(f, a | b)) == min(map(f, b)) for f in hashes) / len(hashes)


@minhash_similarity.mistake(
    "some of the three least",
    hint="You ask how many of the three least hashes are common. The least alone decides.",
)
def _(a, b, hashes):
    def three(items, f):
        return set(sorted(map(f, items))[:3])

    return sum(len(three(a, f) & three(b, f)) / 3 for f in hashes) / len(hashes)


@minhash_similarity.mistake(
    "hashes as texts",
    hint="You compare hashes as strings to find the least, where 10 comes before 9. They are "
    "numbers.",
)
def _(a, b, hashes):
    def least(values):
        return min(map(str, values))

    return _agree(_least(a, hashes, least), _least(b, hashes, least))


@minhash_similarity.mistake(
    "the first half of the functions",
    hint="You use the first half of the functions. All of them count.",
)
def _(a, b, hashes):
    half = hashes[: max(1, len(hashes) // 2)]
    return _agree(_least(a, half), _least(b, half))
