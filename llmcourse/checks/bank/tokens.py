"""The exercises on tokens: bytes, merges, encoding, and two predictions.

Ids below 256 are bytes; merge `r` makes id `256 + r`. Not here: the exercises on cutting a text
(`cuts.py`), on cleaning and on copies (`corpus.py`), their texts (`solutions/`), and how checking
works (`harness.py`). Chapter 01 teaches this.
"""

import itertools
import math
from collections.abc import Iterator

from llmcourse.checks.answers import choice, value
from llmcourse.checks.harness import Case, case, exercise
from llmcourse.tokenizers.bpe import BPETokenizer

CHAPTER = "01"

Pair = tuple[int, int]


# 1. How many bytes?


@exercise(CHAPTER, read="1. What is a letter, to a computer?")
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
    for between in (0xFF, 0x100, 0x840, 0x900, 0x1000, 0x2000, 0x10100, 0x20000, 0x40000, 0x80000):
        yield case(f"between the borders, {between:#x}", between)


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


@utf8_length.mistake(
    "seven bits in every byte",
    hint="Only a single byte has seven bits for the number. In longer patterns each `x` is a bit: "
    "count 11, 16 and 21 of them.",
)
def _(code):
    return max(1, math.ceil(code.bit_length() / 7))


@utf8_length.mistake(
    "one byte up to 255",
    hint="That is Latin-1, where é is a single byte. In UTF-8 a single byte has 7 bits: 0 to 127.",
)
def _(code):
    return 1 if code < 0x100 else 2 if code < 0x800 else 3 if code < 0x10000 else 4


@utf8_length.mistake(
    "a border is one too early",
    hint="With k bits, the largest number is 2**k - 1, and it still fits: the border is 2**k.",
)
def _(code):
    return 1 if code < 0x7F else 2 if code < 0x7FF else 3 if code < 0xFFFF else 4


@utf8_length.mistake(
    "the first byte always has seven bits",
    hint="The first of several bytes says how many they are, and that takes bits: two bytes have "
    "5 + 6 bits for the number, not 7 + 6.",
)
def _(code):
    return 1 + max(0, math.ceil((code.bit_length() - 7) / 6))


@utf8_length.mistake(
    "zero takes no byte",
    hint="Code point 0 is a character, too, and takes a byte like all below 128.",
)
def _(code):
    return utf8_length.right(code) if code else 0


@utf8_length.mistake(
    "borders one bit too late",
    hint="You count one bit too many for each length: 7, 11 and 16 are the bits of 1, 2, 3 bytes.",
)
def _(code):
    return 1 if code < 2**8 else 2 if code < 2**12 else 3 if code < 2**17 else 4


@utf8_length.mistake(
    "two bytes at most",
    hint="Two bytes have 11 bits, enough up to 0x7FF. Chinese lies beyond.",
)
def _(code):
    return 1 if code < 0x80 else 2


# 2. One merge


@exercise(CHAPTER, read="2. Which pieces deserve a number?")
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
    yield case("ids whose digits look alike", [11, 2, 1, 23, 1, 2], (1, 2), 9)
    yield case("the pair at an odd place", [5, 1, 2, 1, 2, 6], (1, 2), 9)
    yield case("two pairs side by side", [3, 4, 3, 4], (3, 4), 256)
    yield case("another id between the two", [1, 5, 2, 1, 2], (1, 2), 9)
    yield case("the first id twice", [1, 1, 2], (1, 2), 9)
    yield case("the second at the beginning, the first at the end", [2, 5, 1], (1, 2), 9)
    yield case("a single id", [5], (5, 5), 9)


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


@merge.mistake(
    "a list is never equal to a tuple",
    hint="Nothing was merged. In Python `[1, 2] == (1, 2)` is False: make the slice a tuple, or "
    "compare the two ids one by one.",
)
def _(ids, pair, new_id):
    return list(ids)


@merge.mistake(
    "digits instead of ids",
    hint="You looked for the pair in a text of digits, and 1,2 stands in 11,2 as well. Compare "
    "whole ids.",
)
def _(ids, pair, new_id):
    text = ",".join(map(str, ids)).replace(",".join(map(str, pair)), str(new_id))
    return [int(part) for part in text.split(",") if part]


@merge.mistake(
    "in either order",
    hint="The pair (1, 2) is 1 and then 2. Where 2 stands before 1, nothing is glued.",
)
def _(ids, pair, new_id):
    merged, at = [], 0
    while at < len(ids):
        found = sorted(ids[at : at + 2]) == sorted(pair)
        merged.append(new_id if found else ids[at])
        at += 1 + found
    return merged


@merge.mistake(
    "each half replaced by itself",
    hint="You replace every id that belongs to the pair. Only where both stand side by side, one "
    "new id takes the place of the two.",
)
def _(ids, pair, new_id):
    return [new_id if token in pair else token for token in ids]


@merge.mistake(
    "only even places are looked at",
    hint="You cut the ids into twos. A pair may begin at an odd place, too: go on by one where "
    "nothing matches.",
)
def _(ids, pair, new_id):
    merged = []
    for at in range(0, len(ids), 2):
        two = ids[at : at + 2]
        merged += [new_id] if tuple(two) == pair else two
    return merged


@merge.mistake(
    "the first half stays",
    hint="1 2 became 1 9: the new id takes the place of both, so the first has to go as well.",
)
def _(ids, pair, new_id):
    return [
        new_id if at and tuple(ids[at - 1 : at + 1]) == pair else ids[at] for at in range(len(ids))
    ]


@merge.mistake(
    "the id after a pair is lost",
    hint="A pair is two ids long: after a match go on by two places, not three.",
)
def _(ids, pair, new_id):
    merged, at = [], 0
    while at < len(ids):
        found = tuple(ids[at : at + 2]) == pair
        merged.append(new_id if found else ids[at])
        at += 3 if found else 1
    return merged


@merge.mistake(
    "only the pairs are kept",
    hint="What belongs to no pair stays as it is: it must not vanish.",
)
def _(ids, pair, new_id):
    return [new_id] * merge.right(ids, pair, new_id).count(new_id)


@merge.mistake(
    "two places on, match or not",
    hint="After a match go on by two places; without one, by one. Yours skips an id that it never "
    "kept.",
)
def _(ids, pair, new_id):
    return [new_id if tuple(ids[at : at + 2]) == pair else ids[at] for at in range(0, len(ids), 2)]


@merge.mistake(
    "the last id is put there once more",
    hint="You always add the last id at the end, also where a pair has just taken it.",
)
def _(ids, pair, new_id):
    merged, at = [], 0
    while at < len(ids) - 1:
        found = (ids[at], ids[at + 1]) == pair
        merged.append(new_id if found else ids[at])
        at += 1 + found
    return merged + ids[-1:]


@merge.mistake(
    "neighbours looked at, two by two",
    hint="You go over all pairs of neighbours. The second half of a match comes again as the first "
    "of the next pair, and the last id is in no pair's first place.",
)
def _(ids, pair, new_id):
    return [new_id if two == pair else two[0] for two in itertools.pairwise(ids)]


@merge.mistake(
    "the new id is written twice",
    hint="Two ids become one. You kept the length and wrote the new id at both places.",
)
def _(ids, pair, new_id):
    return [
        t for token in merge.right(ids, pair, -1) for t in ([new_id] * 2 if token < 0 else [token])
    ]


# 3. Encode


@exercise(CHAPTER, read="2. Which pieces deserve a number?")
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
    yield case("a byte and itself", list(b"aaab"), [(97, 97), (256, 98)])
    yield case("no merges", list(b"cab"), [])
    text = "low lower newest widest " * 3
    yield case("a trained tokenizer", list(b"newer"), BPETokenizer.train([text], 270).merges)
    yield case("nothing", [], _LEARNED)
    yield case("the second merge alone fits", list(b"abab"), [(98, 99), (97, 98)])
    yield case("one merge, many places", list(b"bcxbcbc"), _LEARNED)
    yield case("learned late, and frequent", list(b"ababbc"), [(98, 98), (98, 99), (97, 98)])
    longer = [(97, 98), (98, 99), (99, 100), (257, 258)]
    yield case("a long piece that cannot be reached", list(b"abcdbcd"), longer)
    early = [(99, 100), (98, 99), (97, 257), (97, 98)]
    yield case("an early merge takes the end of a long piece", list(b"abcd"), early)
    overlapping = [(97, 98), (256, 99), (99, 100), (258, 101)]
    yield case("fewer tokens would do", list(b"abcde"), overlapping)
    yield case("the second merge stands first in the word", list(b"cba"), [(98, 97), (99, 98)])
    yield case("the whole word is a token", list(b"abc"), [(97, 98), (256, 99)])


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
    "only merges that fit are counted",
    hint="A merge that finds nothing keeps its number: merge r makes id 256 + r all the same.",
)
def _(ids, merges):
    new = 256
    for pair in merges:
        merged = merge.right(ids, pair, new)
        new += merged != ids
        ids = merged
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


def _smallest(ids, merges, key):
    """The pair that is best by `key(pair, rank, its first place)` merged, again and again."""
    ids, ranks = list(ids), {pair: rank for rank, pair in reversed(list(enumerate(merges)))}
    while found := [(p, at) for at, p in enumerate(itertools.pairwise(ids)) if p in ranks]:
        pair, _ = min(found, key=lambda one: key(one[0], ranks[one[0]], one[1], ids))
        ids = merge.right(ids, pair, 256 + ranks[pair])
    return ids


def _lengths(merges: list[Pair]) -> dict[int, int]:
    """How many bytes stand in each id."""
    lengths: dict[int, int] = {}
    for rank, (first, second) in enumerate(merges):
        lengths[256 + rank] = lengths.get(first, 1) + lengths.get(second, 1)
    return lengths


@bpe_encode.mistake(
    "the longest piece first",
    hint="You glue what makes the longest piece. How long a piece is does not matter here: the "
    "order in which the merges were learned decides.",
)
def _(ids, merges):
    lengths = _lengths(merges)
    return _smallest(ids, merges, lambda _, rank, at, __: (-lengths[256 + rank], at))


@bpe_encode.mistake(
    "the most frequent pair first",
    hint="That is how merges are *learned*. To encode, replay them in the order of learning, "
    "whatever is frequent in this word.",
)
def _(ids, merges):
    def key(pair: Pair, rank: int, at: int, now: list[int]) -> tuple[int, int]:
        return -list(itertools.pairwise(now)).count(pair), at

    return _smallest(ids, merges, key)


@bpe_encode.mistake(
    "the longest piece from the left",
    hint="You looked the pieces up like words in a dictionary, the longest that fits. BPE knows no "
    "dictionary: it replays merges, one after the other.",
)
def _(ids, merges):
    pieces: dict[tuple[int, ...], int] = {(token,): token for token in range(256)}
    spelled: dict[int, tuple[int, ...]] = {token: (token,) for token in range(256)}
    for rank, (first, second) in enumerate(merges):
        spelled[256 + rank] = spelled[first] + spelled[second]
        pieces.setdefault(spelled[256 + rank], 256 + rank)
    encoded, at = [], 0
    while at < len(ids):
        fits = (n for n in range(len(ids), at, -1) if tuple(ids[at:n]) in pieces)
        end = next(fits)
        encoded.append(pieces[tuple(ids[at:end])])
        at = end
    return encoded


@bpe_encode.mistake(
    "the merges sorted",
    hint="The list of merges has an order, that of learning. You sorted it by the ids.",
)
def _(ids, merges):
    for pair in sorted(set(merges)):
        ids = merge.right(ids, pair, 256 + merges.index(pair))
    return list(ids)


@bpe_encode.mistake(
    "each merge at one place only",
    hint="A merge is applied at every place where its pair stands, not at the first alone.",
)
def _(ids, merges):
    ids = list(ids)
    for rank, pair in enumerate(merges):
        at = next((n for n, two in enumerate(itertools.pairwise(ids)) if two == pair), None)
        if at is not None:
            ids[at : at + 2] = [256 + rank]
    return ids


@bpe_encode.mistake(
    "it stops at the first merge that does not fit",
    hint="A merge that this word has no use for is passed over. The later ones may still fit.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        if pair not in itertools.pairwise(ids):
            break
        ids = merge.right(ids, pair, 256 + rank)
    return list(ids)


@bpe_encode.mistake(
    "numbers only for the merges that are used",
    hint="Merge r makes 256 + r, also where earlier merges found nothing in this word: count all "
    "merges, not those that fit.",
)
def _(ids, merges):
    names: dict[int, int] = {}
    ids = list(ids)
    for rank, (first, second) in enumerate(merges):
        pair = (names.get(first, first), names.get(second, second))
        if pair in itertools.pairwise(ids):
            names[256 + rank] = 256 + len(names)
            ids = merge.right(ids, pair, names[256 + rank])
    return ids


@bpe_encode.mistake(
    "the first merge alone",
    hint="You return after one merge. Go through the whole list, each on what the one before left.",
)
def _(ids, merges):
    return merge.right(ids, merges[0], 256) if merges else list(ids)


@bpe_encode.mistake(
    "every merge on the plain bytes",
    hint="Each merge works on what the merges before it left, not on the bytes anew: late pairs "
    "are made of ids that early merges made.",
)
def _(ids, merges):
    encoded = list(ids)
    for rank, pair in enumerate(merges):
        encoded = merge.right(ids, pair, 256 + rank)
    return encoded


@bpe_encode.mistake(
    "the number of merges is the first id",
    hint="There are always 256 bytes, however many merges: merge r makes 256 + r.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair, len(merges) + rank)
    return list(ids)


@bpe_encode.mistake(
    "only one merge a word",
    hint="You stop after the first merge that fits. The ones behind it may join what it made.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        if pair in itertools.pairwise(ids):
            return merge.right(ids, pair, 256 + rank)
    return list(ids)


@bpe_encode.mistake(
    "one walk, never back",
    hint="You glue what fits as you walk, and each new piece is never looked at again. Go over the "
    "whole word once for each merge, in the order of learning.",
)
def _(ids, merges):
    ids, ranks, at = list(ids), {pair: rank for rank, pair in enumerate(merges)}, 0
    while at < len(ids) - 1:
        if (pair := (ids[at], ids[at + 1])) in ranks:
            ids[at : at + 2] = [256 + ranks[pair]]
        at += 1
    return ids


@bpe_encode.mistake(
    "from right to left, whatever fits first",
    hint="You walk from the end and glue what fits. Neither end decides, but the order in which "
    "the merges were learned.",
)
def _(ids, merges):
    ids, ranks, at = list(ids), {pair: rank for rank, pair in enumerate(merges)}, len(ids) - 2
    while at >= 0:
        if (pair := tuple(ids[at : at + 2])) in ranks:
            ids[at : at + 2] = [256 + ranks[pair]]
        at = min(at, len(ids) - 1) - 1
    return ids


@bpe_encode.mistake(
    "ids one too small",
    hint="255 is a byte, the last one. The first merge makes 256.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair, 255 + rank)
    return list(ids)


@bpe_encode.mistake(
    "the pairs the wrong way round",
    hint="A merge of b and c glues b before c. You look for c before b.",
)
def _(ids, merges):
    for rank, pair in enumerate(merges):
        ids = merge.right(ids, pair[::-1], 256 + rank)
    return list(ids)


@bpe_encode.mistake(
    "only the merges that fit are returned",
    hint="You return which merges found something. Wanted is the word itself, its ids after them.",
)
def _(ids, merges):
    ids, used = list(ids), []
    for rank, pair in enumerate(merges):
        used += [256 + rank] * (pair in itertools.pairwise(ids))
        ids = merge.right(ids, pair, 256 + rank)
    return used


# 4. Predict, and compare


@value(CHAPTER, unit="tokens", read="4. Does one vocabulary fit all languages?")
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


@chinese_tokens.mistake(
    "the full stop is forgotten",
    hint="Five characters at three bytes, and a full stop. It is text, too: how many bytes has 。?",
)
def _():
    return 15


@chinese_tokens.mistake(
    "four bytes a character",
    hint="Four bytes are for emoji and rare characters. Count the bytes of 猫.",
)
def _():
    return 24


@chinese_tokens.mistake(
    "an id for the beginning or the end",
    hint="You counted one more than there are bytes. `encode` adds no sign for the end by itself.",
)
def _():
    return 19


@chinese_tokens.mistake(
    "a token a word",
    hint="Cat, in the park, inside: those are the words. But this tokenizer never saw a Chinese "
    "word, so it has no piece for one.",
)
def _():
    return 4


@chinese_tokens.mistake(
    "one token for the unknown",
    hint="A tokenizer of whole words would say `<unk>`, once. A byte-level one can spell anything.",
)
def _():
    return 1


@chinese_tokens.mistake(
    "the full stop is one byte, and two a character",
    hint="Two bytes are for é and я. Chinese characters lie beyond, and so does their full stop.",
)
def _():
    return 11


@chinese_tokens.mistake(
    "a token a character, without the full stop",
    hint="The full stop counts as well. And is there an id for 猫, in a vocabulary from English?",
)
def _():
    return 5


@chinese_tokens.mistake(
    "ids for both ends",
    hint="You counted two more than there are bytes. `encode` adds no signs for beginning and end.",
)
def _():
    return 20


@chinese_tokens.mistake(
    "the bytes of one character",
    hint="Three bytes take one character. The sentence has six.",
)
def _():
    return 3


@chinese_tokens.mistake(
    "a token a character, and one for the end",
    hint="There is no id for 猫 in a vocabulary from English, and no sign for the end is added.",
)
def _():
    return 7


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
    read="4. Does one vocabulary fit all languages?",
)
