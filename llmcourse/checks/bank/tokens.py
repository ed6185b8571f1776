"""The exercises on tokens: bytes, merges, the likeliest cut, and what all cuts together say.

Ids below 256 are bytes; merge `r` makes id `256 + r`. Not here: the exercises on cleaning and on
copies (`corpus.py`), their texts (`solutions/`), and how checking works (`harness.py`). Chapter 01
teaches this.
"""

import itertools
import math
from collections.abc import Iterator

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.lattice import UnigramModel

CHAPTER = "01"

Pair = tuple[int, int]


# 1. How many bytes?


@exercise(CHAPTER)
def utf8_length(code: int) -> int:
    """How many bytes UTF-8 takes for a code point."""
    return len(chr(code).encode("utf-8", "surrogatepass"))


@utf8_length.cases
def _() -> Iterator[Case]:
    for name in ("a", "é", "猫", "🙂"):
        yield case(name, ord(name))
    yield case("zero", 0)
    for last in (0x7F, 0x7FF, 0xFFFF):
        yield case(f"the last before a border, {last:#x}", last)
        yield case(f"the first after a border, {last + 1:#x}", last + 1)
    yield case("the last of all", 0x10FFFF)


@utf8_length.mistake(
    "a border is one too late",
    hint="With k bits for the number, the largest is 2**k - 1: two bytes begin at 0x80 itself.",
)
def _(code):
    return 1 if code <= 0x80 else 2 if code <= 0x800 else 3 if code <= 0x10000 else 4


@utf8_length.mistake(
    "all eight bits of each byte",
    hint="Some bits of each byte say where a character begins and how long it is. A byte that "
    "follows carries six bits of the number, not eight.",
)
def _(code):
    return max(1, math.ceil(code.bit_length() / 8))


@utf8_length.mistake(
    "UTF-16",
    hint="That is UTF-16, in which `a` takes two bytes. UTF-8 gives the first 128 one byte each.",
)
def _(code):
    return 2 if code < 0x10000 else 4


@utf8_length.mistake(
    "three bytes at most",
    hint="Three bytes carry 4 + 6 + 6 = 16 bits. Emoji lie beyond: 🙂 is 0x1F642.",
)
def _(code):
    return 1 if code < 0x80 else 2 if code < 0x800 else 3


# 2. One merge


@exercise(CHAPTER)
def merge(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """The ids with every occurrence of the pair, from left to right, replaced by the new id."""
    merged: list[int] = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            merged.append(new_id)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged


@merge.cases
def _() -> Iterator[Case]:
    yield case("by hand", [1, 2, 3, 1, 2], (1, 2), 9)
    yield case("it is not there", [2, 1, 3], (1, 2), 9)
    yield case("three in a row", [7, 7, 7], (7, 7), 9)
    yield case("four in a row", [5, 7, 7, 7, 7], (7, 7), 9)
    yield case("the last one stays", [1, 2, 1], (1, 2), 9)
    yield case("nothing", [], (1, 2), 9)
    yield case("bytes of a word", list(b"banana"), (ord("a"), ord("n")), 256)


@merge.mistake(
    "one id used twice",
    hint="In 7 7 7 there is one pair, not two: the second 7 went into it. After a match, go on two "
    "places further.",
)
def _(ids, pair, new_id):
    merged = []
    for at, token in enumerate(ids):
        if tuple(ids[at : at + 2]) == pair:
            merged.append(new_id)
        elif at == 0 or tuple(ids[at - 1 : at + 1]) != pair:
            merged.append(token)
    return merged


@merge.mistake(
    "the second half of the pair stays",
    hint="1 2 became 9 2: the new id takes the place of both. After a match, skip the second.",
)
def _(ids, pair, new_id):
    return [new_id if tuple(ids[at : at + 2]) == pair else ids[at] for at in range(len(ids))]


@merge.mistake(
    "the last id is lost",
    hint="Your walk ends one place early: an id at the end that belongs to no pair has to stay.",
)
def _(ids, pair, new_id):
    merged, at = [], 0
    while at < len(ids) - 1:
        found = (ids[at], ids[at + 1]) == pair
        merged.append(new_id if found else ids[at])
        at += 1 + found
    return merged


@merge.mistake(
    "only the first one is merged",
    hint="Every place where the pair stands is merged in the same step, not one.",
)
def _(ids, pair, new_id):
    for at, two in enumerate(itertools.pairwise(ids)):
        if two == pair:
            return [*ids[:at], new_id, *ids[at + 2 :]]
    return list(ids)


@merge.mistake(
    "from right to left",
    hint="Of 7 7 7, the first two are glued: training and encoding both walk from the left.",
)
def _(ids, pair, new_id):
    return merge.right(ids[::-1], pair[::-1], new_id)[::-1]


# 3. Encode


@exercise(CHAPTER)
def bpe_encode(ids: list[int], merges: list[Pair]) -> list[int]:
    """The ids after all merges, in the order in which they were learned; merge r makes 256 + r."""
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair, 256 + rank)
    return list(ids)


_LEARNED: list[Pair] = [(98, 99), (97, 98), (257, 99), (256, 97), (97, 97)]
"""bc, ab, abc, bca, aa: at `abc`, the earlier merge of `bc` stands behind the later one of `ab`."""


@bpe_encode.cases
def _() -> Iterator[Case]:
    yield case("by hand", list(b"xbc"), _LEARNED[:1])
    yield case("two merges want the same b", list(b"abc"), _LEARNED)
    yield case("a merge of a merge", list(b"bcabca"), _LEARNED)
    yield case("three in a row", list(b"aaab"), _LEARNED)
    yield case("no merges", list(b"cab"), [])
    text = "low lower newest widest " * 3
    yield case("a trained tokenizer", list(b"newer"), BPETokenizer.train([text], 270).merges)
    yield case("nothing", [], _LEARNED)


@bpe_encode.mistake(
    "left to right, whatever fits first",
    hint="At abc you glued a + b, which stands first in the text. But b + c was learned first: "
    "the order of learning decides, not the order of reading.",
)
def _(ids, merges):
    ids, rank = list(ids), {pair: 256 + r for r, pair in enumerate(merges)}
    at = 0
    while at < len(ids) - 1:
        pair = (ids[at], ids[at + 1])
        if pair in rank:
            ids[at : at + 2] = [rank[pair]]
            at = max(0, at - 1)
        else:
            at += 1
    return ids


@bpe_encode.mistake(
    "the last merge first",
    hint="You replay the merges backwards. A late merge joins pieces that earlier ones make.",
)
def _(ids, merges):
    for rank in reversed(range(len(merges))):
        ids = merge.right(ids, merges[rank], 256 + rank)
    return list(ids)


@bpe_encode.mistake(
    "ids that begin at 0",
    hint="Merge 0 makes id 256: the numbers below are taken by the bytes.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair, rank)
    return list(ids)


@bpe_encode.mistake(
    "ids one too large",
    hint="The first merge makes 256, since the bytes are 0 to 255.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair, 257 + rank)
    return list(ids)


# 4. Predict, and compare


@value(CHAPTER, unit="tokens")
def chinese_tokens() -> int:
    """How many tokens a byte-level BPE trained on English needs for 猫在公园里。"""
    return len("猫在公园里。".encode())


@chinese_tokens.mistake(
    "a token a character",
    hint="That would take an id for each character. English text taught the tokenizer none: what "
    "is left when no merge fits?",
)
def _():
    return 6


@chinese_tokens.mistake(
    "two bytes a character",
    hint="Bytes it is, but how many? Two are for é; count for 猫 as the chapter did.",
)
def _():
    return 12


@chinese_tokens.mistake(
    "the full stop is one byte",
    hint="The Chinese full stop 。 is no ASCII character. Print its code point.",
)
def _():
    return 16


which_model = choice(
    CHAPTER,
    "which_model",
    right=(
        "a",
        "3.2 / ln 2 / 4.1 = 1.13 bits per byte, against 1.17 and 1.23. Its tokens are dear and "
        "long, and the text comes out cheapest.",
    ),
    wrong={
        "b": "2.1 nats is less than 3.2, but it buys 2.6 bytes, not 4.1. Divide by the bytes.",
        "c": "The lowest loss of the three, for tokens of a single byte. A text has four times as "
        "many of them as of model a's.",
        "d": "Per token they cannot be compared. Per byte of the same text they can.",
    },
)


# 5. The likeliest cut


def _model(probabilities: dict[str, float]) -> UnigramModel:
    return UnigramModel({piece: math.log(share) for piece, share in probabilities.items()})


_HATCH = {"h": 0.1, "a": 0.1, "t": 0.1, "c": 0.1} | {
    "at": 0.15,
    "hat": 0.2,
    "ch": 0.1,
    "tch": 0.05,
    "hatch": 0.001,
}
_TRAPS = {"a": 0.3, "b": 0.2, "c": 0.02, "ab": 0.25, "bc": 0.2, "abc": 0.001}


@exercise(CHAPTER)
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
    yield case("many rare ones against one rarer", "aaab", {"a": 0.5, "b": 0.1, "aa": 0.3})
    yield case("forty characters", "abcbabca" * 5, _TRAPS)


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


@exercise(CHAPTER)
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
