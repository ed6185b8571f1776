"""Rarer mistakes of chapter 01's exercises on bytes, merges and encoding."""

import itertools
import math

from llmcourse.checks.bank.tokens import bpe_encode, chinese_tokens, merge, utf8_length

# How many bytes


def _by_borders(code, *borders):
    return 1 + sum(code >= border for border in borders)


@utf8_length.mistake(
    "the units of UTF-16",
    hint="You count units of UTF-16, one or two. Bytes of UTF-8 are asked for.",
)
def _(code):
    return 1 if code < 0x10000 else 2


@utf8_length.mistake("UTF-32", hint="You count the bytes of UTF-32, which are always four.")
def _(code):
    return 4


@utf8_length.mistake(
    "six bits a byte",
    hint="You take 6 bits from each byte. Look at the first byte: it has 7, 5, 4 or 3.",
)
def _(code):
    return max(1, math.ceil(code.bit_length() / 6))


@utf8_length.mistake(
    "six bits and a byte more",
    hint="You divide the bits by 6 and add one byte. Look at the first byte: it has room for 7, "
    "5, 4 or 3 bits.",
)
def _(code):
    return 1 + code.bit_length() // 6


@utf8_length.mistake(
    "five bits more a byte",
    hint="You let the room grow by 5 bits a byte from 6 on. The table has 7, 11, 16 and 21.",
)
def _(code):
    return max(1, math.ceil((code.bit_length() - 1) / 5))


@utf8_length.mistake(
    "full bytes and one more",
    hint="You count the full bytes of the number and add one. Compare how many bits there are "
    "with the table.",
)
def _(code):
    return 1 + code.bit_length() // 8


@utf8_length.mistake(
    "no three bytes", hint="You go from two bytes to four. Between 11 and 16 bits it takes three."
)
def _(code):
    return 1 if code < 0x80 else 2 if code < 0x800 else 4


@utf8_length.mistake(
    "one or three", hint="You have no characters of two bytes. From 8 to 11 bits it takes two."
)
def _(code):
    return 1 if code < 0x80 else 3 if code < 0x10000 else 4


@utf8_length.mistake(
    "the bytes that go on", hint="You count the bytes after the first. The first is a byte, too."
)
def _(code):
    return _by_borders(code, 0x80, 0x800, 0x10000) - 1


@utf8_length.mistake(
    "the bits of the number",
    hint="You return how many bits the number has. Find the row of the table that has room for "
    "them.",
)
def _(code):
    return max(1, code.bit_length())


@utf8_length.mistake(
    "the room for the number",
    hint="You return the bits for the number, from the table's last column. Its first column is "
    "asked for.",
)
def _(code):
    return (7, 11, 16, 21)[_by_borders(code, 0x80, 0x800, 0x10000) - 1]


@utf8_length.mistake(
    "surrogates one by one",
    hint="You write what is beyond 65535 as two halves of three bytes (CESU-8). UTF-8 has four "
    "bytes for it.",
)
def _(code):
    return 6 if code >= 0x10000 else _by_borders(code, 0x80, 0x800)


@utf8_length.mistake(
    "two bytes for 0", hint="You give 0 two bytes, as Java does. In UTF-8 it is a single byte."
)
def _(code):
    return 2 if code == 0 else _by_borders(code, 0x80, 0x800, 0x10000)


@utf8_length.mistake(
    "with a byte order mark",
    hint="You count the three bytes of a mark before the text. Only the code point is asked about.",
)
def _(code):
    return 3 + _by_borders(code, 0x80, 0x800, 0x10000)


@utf8_length.mistake(
    "borders that leave out what fits below",
    hint="You let each row of the table begin after all numbers of the rows above. The bits "
    "hold the number itself.",
)
def _(code):
    return _by_borders(code, 0x80, 0x80 + 0x800, 0x80 + 0x800 + 0x10000)


@utf8_length.mistake("the digits of the number", hint="You count decimal digits. Bits decide.")
def _(code):
    return len(str(code))


@utf8_length.mistake(
    "the hexadecimal digits of the number",
    hint="You count hexadecimal digits. Bits decide: find the row that has room for them.",
)
def _(code):
    return len(f"{code:x}")


@utf8_length.mistake(
    "fewer bits than there is room for",
    hint="You ask for fewer bits than there is room for. As many as that fit, too.",
)
def _(code):
    bits = code.bit_length()
    return 1 + (bits >= 7) + (bits >= 11) + (bits >= 16)


@utf8_length.mistake(
    "always three beyond ASCII",
    hint="You give three bytes to all that is not ASCII. It takes two to four.",
)
def _(code):
    return 1 if code < 0x80 else 3


@utf8_length.mistake(
    "borders at 7, 12 and 17 bits",
    hint="You let each further byte add five bits to seven: 12 and 17. The table has 11 and 16.",
)
def _(code):
    return _by_borders(code, 1 << 7, 1 << 12, 1 << 17)


@utf8_length.mistake(
    "the last border at 12 bits",
    hint="You put the last border at 12 bits. With three bytes there is room for 16.",
)
def _(code):
    return _by_borders(code, 1 << 7, 1 << 11, 1 << 12)


@utf8_length.mistake(
    "four for emoji only",
    hint="You give four bytes to emoji only. All that takes more than 16 bits has four.",
)
def _(code):
    return _by_borders(code, 0x80, 0x800, 0x1F300)


@utf8_length.mistake(
    "full bytes beyond ASCII, and one for the marks",
    hint="You count the bytes that the number fills, and one more for the bits that say how "
    "many. Look up the row of the table instead.",
)
def _(code):
    return 1 if code < 0x80 else math.ceil(code.bit_length() / 8) + 1


@utf8_length.mistake(
    "one mark for all bytes",
    hint="You add the bits of one mark and divide by 8. Each further byte has a mark, too.",
)
def _(code):
    return 1 if code < 0x80 else math.ceil((code.bit_length() + 3) / 8)


def _up_to(*borders):
    return lambda code: _by_borders(code, *borders)


for _name, _hint, _borders in (
    ("the first border late", "128 takes 8 bits: two bytes.", (0x81, 0x800, 0x10000)),
    ("the second border late", "2048 takes 12 bits: three bytes.", (0x80, 0x801, 0x10000)),
    ("the third border late", "65536 takes 17 bits: four bytes.", (0x80, 0x800, 0x10001)),
    ("the upper borders late", "Only your first border is right.", (0x80, 0x801, 0x10001)),
    ("the first border early", "127 takes 7 bits: a single byte.", (0x7F, 0x800, 0x10000)),
    ("the second border early", "2047 takes 11 bits: two bytes.", (0x80, 0x7FF, 0x10000)),
    ("the third border early", "65535 takes 16 bits: three bytes.", (0x80, 0x800, 0xFFFF)),
    ("the upper borders early", "Your first border is right alone.", (0x80, 0x7FF, 0xFFFF)),
):
    utf8_length.mistake(_name, hint=_hint)(_up_to(*_borders))


@utf8_length.mistake(
    "one, two or four",
    hint="You have no characters of three bytes, and give two to all up to 65535.",
)
def _(code):
    return 1 if code < 0x80 else 2 if code < 0x10000 else 4


# One merge


def _merged(ids, pair, new_id, same=None, step=2, made=None):
    same = same or (lambda a, b: (a, b) == tuple(pair))
    out, place = [], 0
    while place < len(ids):
        if place + 1 < len(ids) and same(ids[place], ids[place + 1]):
            out += [new_id] if made is None else made
            place += step
        else:
            out.append(ids[place])
            place += 1
    return out


@merge.mistake(
    "only the last occurrence", hint="You replace the last pair only. Replace all of them."
)
def _(ids, pair, new_id):
    for place in reversed(range(len(ids) - 1)):
        if (ids[place], ids[place + 1]) == tuple(pair):
            return [*ids[:place], new_id, *ids[place + 2 :]]
    return list(ids)


@merge.mistake(
    "the first place of the first id",
    hint="You look where the first id stands for the first time, and only there whether the "
    "second follows. Look at each place.",
)
def _(ids, pair, new_id):
    if pair[0] not in ids:
        return list(ids)
    place = ids.index(pair[0])
    if ids[place + 1 : place + 2] == [pair[1]]:
        return [*ids[:place], new_id, *ids[place + 2 :]]
    return list(ids)


@merge.mistake("turned around", hint="You look for the second id before the first.")
def _(ids, pair, new_id):
    return _merged(ids, pair[::-1], new_id)


@merge.mistake(
    "either of the two", hint="You take two ids for the pair if one of them agrees. Both have to."
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, lambda a, b: a == pair[0] or b == pair[1])


@merge.mistake(
    "both from the pair",
    hint="You take any two ids that occur in the pair. The first id stands first, the second "
    "behind it.",
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, lambda a, b: a in pair and b in pair)


@merge.mistake(
    "the first id of the pair alone",
    hint="You replace the first id wherever it stands, without a look at what follows.",
)
def _(ids, pair, new_id):
    return [new_id if token == pair[0] else token for token in ids]


@merge.mistake(
    "the second id stays",
    hint="You put the new id in place of the first and leave the second. Both are replaced.",
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, made=[new_id, pair[1]])


@merge.mistake(
    "the first id stays",
    hint="You leave the first id and put the new one in place of the second. Both are replaced.",
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, made=[pair[0], new_id])


@merge.mistake(
    "the pair stays", hint="You add the new id behind the pair. It stands in place of the two."
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, made=[*pair, new_id])


@merge.mistake("the pair taken out", hint="You take the pair out and put nothing there.")
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id, made=[])


@merge.mistake(
    "the last pair overlooked",
    hint="You end the search one place too early: the last two ids may be a pair.",
)
def _(ids, pair, new_id):
    return _merged(ids[:-1], pair, new_id) + ids[-1:]


@merge.mistake(
    "the first pair overlooked",
    hint="You start the search at the second place: the first two ids may be a pair.",
)
def _(ids, pair, new_id):
    return ids[:1] + _merged(ids[1:], pair, new_id)


@merge.mistake("around the end", hint="You take the last id and the first for neighbours.")
def _(ids, pair, new_id):
    if len(ids) > 1 and (ids[-1], ids[0]) == tuple(pair):
        return [*_merged(ids[1:-1], pair, new_id), new_id]
    return _merged(ids, pair, new_id)


@merge.mistake(
    "with something between",
    hint="You take the two for a pair although something stands between them. The second stands "
    "right behind the first.",
)
def _(ids, pair, new_id):
    out, waiting = [], None
    for token in ids:
        if waiting is not None and token == pair[1]:
            out[waiting] = new_id
            waiting = None
            continue
        if token == pair[0]:
            waiting = len(out)
        out.append(token)
    return out


@merge.mistake(
    "as text between blanks",
    hint="You write the ids as text and replace there, with a blank on each side. Two pairs "
    "side by side share that blank, and the second is overlooked.",
)
def _(ids, pair, new_id):
    text = f" {' '.join(map(str, ids))} ".replace(f" {pair[0]} {pair[1]} ", f" {new_id} ")
    return [int(word) for word in text.split()]


@merge.mistake(
    "a whole run at once",
    hint="You replace a whole run of equal ids by one. Two ids are a pair, and each id belongs "
    "to one.",
)
def _(ids, pair, new_id):
    out = _merged(ids, pair, new_id)
    if pair[0] != pair[1]:
        return out
    shorter = []
    for token in out:
        if shorter and shorter[-1] == new_id and token in (new_id, pair[0]):
            continue
        shorter.append(token)
    return shorter


@merge.mistake(
    "new ids side by side as one",
    hint="You write the new id once where it stands several times in a row. Each pair gets its "
    "own.",
)
def _(ids, pair, new_id):
    out = _merged(ids, pair, new_id)
    return [t for k, t in enumerate(out) if not (k and t == out[k - 1] == new_id)]


@merge.mistake(
    "only if it is there twice",
    hint="You replace the pair only where it occurs at least twice. Once is enough.",
)
def _(ids, pair, new_id):
    out = _merged(ids, pair, new_id)
    return out if out.count(new_id) > 1 else list(ids)


@merge.mistake(
    "a skip that is never over",
    hint="You note that the next id is to be skipped, and never take the note back. Skip one id "
    "for each pair.",
)
def _(ids, pair, new_id):
    out, skip = [], False
    for place, token in enumerate(ids):
        if tuple(ids[place : place + 2]) == tuple(pair) and not skip:
            out.append(new_id)
            skip = True
        elif not skip:
            out.append(token)
    return out


@merge.mistake(
    "the new id at the end",
    hint="You put the new ids at the end. Each stands where its pair stood.",
)
def _(ids, pair, new_id):
    rest = _merged(ids, pair, new_id, made=[])
    return rest + [new_id] * ((len(ids) - len(rest)) // 2)


@merge.mistake(
    "a new id for each place",
    hint="You count the new id up at each place. The same pair gets the same id.",
)
def _(ids, pair, new_id):
    out, place, made = [], 0, new_id
    while place < len(ids):
        if tuple(ids[place : place + 2]) == tuple(pair):
            out.append(made)
            made, place = made + 1, place + 2
        else:
            out.append(ids[place])
            place += 1
    return out


@merge.mistake(
    "how many were replaced",
    hint="You return the number of replacements. The new list is asked for.",
)
def _(ids, pair, new_id):
    return len(ids) - len(_merged(ids, pair, new_id))


@merge.mistake(
    "nothing for a single id",
    hint="You return an empty list if there are fewer than two ids. They stay as they are.",
)
def _(ids, pair, new_id):
    return _merged(ids, pair, new_id) if len(ids) > 1 else []


@merge.mistake(
    "the second id removed elsewhere",
    hint="You remove the second id where it stands first in the list. Remove the one right "
    "behind the first.",
)
def _(ids, pair, new_id):
    out, place = list(ids), 0
    while place < len(out) - 1:
        if (out[place], out[place + 1]) == tuple(pair):
            out[place] = new_id
            out.remove(pair[1])
        place += 1
    return out


@merge.mistake(
    "all of the second ids removed",
    hint="You replace each first id and remove each second. The two have to stand together.",
)
def _(ids, pair, new_id):
    return [new_id if token == pair[0] else token for token in ids if token != pair[1]]


@merge.mistake(
    "only at the beginning", hint="You look at the first two ids only. A pair may stand anywhere."
)
def _(ids, pair, new_id):
    return [new_id, *ids[2:]] if tuple(ids[:2]) == tuple(pair) else list(ids)


@merge.mistake("the ids sorted first", hint="You sort the ids. Their order is what makes pairs.")
def _(ids, pair, new_id):
    return _merged(sorted(ids), pair, new_id)


@merge.mistake(
    "the end at the first that is no pair",
    hint="You stop at the first two ids that are no pair. Go on to the end.",
)
def _(ids, pair, new_id):
    place = 0
    while tuple(ids[place : place + 2]) == tuple(pair):
        place += 2
    return [new_id] * (place // 2) + list(ids[place:])


# Encode


def _joined(ids, pair, new_id):
    return _merged(ids, pair, new_id)


def _in_order(ids, merges, numbers=lambda r: 256 + r, join=_joined):
    ids = list(ids)
    for r, pair in enumerate(merges):
        ids = join(ids, pair, numbers(r))
    return ids


def _pieces(merges):
    """The bytes of each id, as a tuple."""
    pieces = {}
    for r, (a, b) in enumerate(merges):
        pieces[256 + r] = pieces.get(a, (a,)) + pieces.get(b, (b,))
    return pieces


@bpe_encode.mistake(
    "a number for each replacement",
    hint="You count up at each replacement. All of a merge's pairs get the same id.",
)
def _(ids, merges):
    ids, made = list(ids), 256
    for pair in merges:
        while (place := _place(ids, pair)) is not None:
            ids[place : place + 2] = [made]
            made += 1
    return ids


def _place(ids, pair):
    return next((k for k in range(len(ids) - 1) if (ids[k], ids[k + 1]) == tuple(pair)), None)


@bpe_encode.mistake(
    "numbers after the largest id",
    hint="You number on from the largest id of the word. Merge r makes id 256 + r, whatever is "
    "in the word.",
)
def _(ids, merges):
    first = max(ids, default=255) + 1
    return _in_order(ids, merges, lambda r: first + r)


@bpe_encode.mistake(
    "256 for all", hint="You give the same id to all merges. Merge r makes id 256 + r."
)
def _(ids, merges):
    return _in_order(ids, merges, lambda r: 256)


@bpe_encode.mistake(
    "numbers that go down",
    hint="You give the first merge the highest id, and go down from there. Merge r makes id 256 "
    "+ r.",
)
def _(ids, merges):
    return _in_order(ids, merges, lambda r: 256 + len(merges) - 1 - r)


@bpe_encode.mistake(
    "overlaps joined", hint="You let an id belong to two pairs. Each belongs to one at most."
)
def _(ids, merges):
    def overlapping(ids, pair, new_id):
        hit = [tuple(ids[k : k + 2]) == tuple(pair) for k in range(len(ids))]
        made = [new_id if h else t for h, t in zip(hit, ids, strict=True)]
        return [t for k, t in enumerate(made) if hit[k] or not (k and hit[k - 1])]

    return _in_order(ids, merges, join=overlapping)


@bpe_encode.mistake(
    "pairs found from the right",
    hint="You look for a merge's pairs from the right. Walk from left to right.",
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: _merged(i[::-1], p[::-1], n)[::-1])


@bpe_encode.mistake(
    "in either order of the two",
    hint="You join the two of a merge in either order. The first stands first.",
)
def _(ids, merges):
    def either(ids, pair, new_id):
        return _merged(ids, pair, new_id, lambda a, b: sorted((a, b)) == sorted(pair))

    return _in_order(ids, merges, join=either)


@bpe_encode.mistake(
    "the longest token first, from the right",
    hint="You take the longest token that fits, from right to left. BPE applies its merges in "
    "order.",
)
def _(ids, merges):
    tokens = {piece: token for token, piece in reversed(_pieces(merges).items())}
    out, end = [], len(ids)
    while end:
        for begin in range(end - 1):
            if tuple(ids[begin:end]) in tokens:
                out.append(tokens[tuple(ids[begin:end])])
                break
        else:
            begin = end - 1
            out.append(ids[begin])
        end = begin
    return out[::-1]


@bpe_encode.mistake(
    "as few tokens as can be",
    hint="You look for the fewest tokens. BPE applies its merges in order, and may well need more.",
)
def _(ids, merges):
    tokens = {piece: token for token, piece in reversed(_pieces(merges).items())}
    best = [[]]
    for end in range(1, len(ids) + 1):
        ways = [[*best[end - 1], ids[end - 1]]]
        for begin in range(end - 1):
            if tuple(ids[begin:end]) in tokens:
                ways.append([*best[begin], tokens[tuple(ids[begin:end])]])
        best.append(min(ways, key=len))
    return best[-1]


@bpe_encode.mistake(
    "the newest pair first",
    hint="You join the pair with the highest number that stands in the word, again and again. "
    "The lowest goes first.",
)
def _(ids, merges):
    ids = list(ids)
    while True:
        found = [r for r, pair in enumerate(merges) if _place(ids, pair) is not None]
        if not found:
            return ids
        ids = _merged(ids, merges[max(found)], 256 + max(found))


@bpe_encode.mistake(
    "the most frequent pair of each round",
    hint="You join the pair that is most frequent in the word. How often it stood in the "
    "training text was decided before: follow the order of the merges.",
)
def _(ids, merges):
    ids = list(ids)
    while True:
        pairs = list(itertools.pairwise(ids))
        found = [(-pairs.count(tuple(p)), r) for r, p in enumerate(merges) if tuple(p) in pairs]
        if not found:
            return ids
        r = min(found)[1]
        ids = _merged(ids, merges[r], 256 + r)


@bpe_encode.mistake(
    "merges of bytes only",
    hint="You apply merges of two bytes only. A merge may join what an earlier one made.",
)
def _(ids, merges):
    ids = list(ids)
    for r, pair in enumerate(merges):
        if max(pair) < 256:
            ids = _merged(ids, pair, 256 + r)
    return ids


@bpe_encode.mistake(
    "without the first merge", hint="You leave the first merge out. It makes id 256."
)
def _(ids, merges):
    ids = list(ids)
    for r, pair in enumerate(merges[1:], start=1):
        ids = _merged(ids, pair, 256 + r)
    return ids


@bpe_encode.mistake("the last byte lost", hint="You lose the last id where it belongs to no pair.")
def _(ids, merges):
    def shorter(ids, pair, new_id):
        out = _merged(ids, pair, new_id)
        return out if out and out[-1] == new_id else out[:-1]

    return _in_order(ids, merges, join=shorter)


@bpe_encode.mistake(
    "the pieces as bytes", hint="You return each token's bytes. Its id is asked for."
)
def _(ids, merges):
    pieces = _pieces(merges)
    return [bytes(pieces.get(token, (token,))) for token in _in_order(ids, merges)]


@bpe_encode.mistake(
    "bytes again",
    hint="You return the bytes of the tokens, which are what you were given. The ids are asked "
    "for.",
)
def _(ids, merges):
    return list(ids)


@bpe_encode.mistake(
    "as many as there are", hint="You return how many tokens there are. The ids are asked for."
)
def _(ids, merges):
    return len(_in_order(ids, merges))


@bpe_encode.mistake(
    "which merges were used",
    hint="You return the numbers of the merges that found something. The word's ids are asked for.",
)
def _(ids, merges):
    out = _in_order(ids, merges)
    return [token - 256 for token in out if token >= 256]


@bpe_encode.mistake(
    "each id once", hint="You drop ids that are there already. A word may have a token twice."
)
def _(ids, merges):
    return list(dict.fromkeys(_in_order(ids, merges)))


@bpe_encode.mistake(
    "an end after the word",
    hint="You put an id for the word's end behind it. Only what the merges leave is asked for.",
)
def _(ids, merges):
    return [*_in_order(ids, merges), 256 + len(merges)]


@bpe_encode.mistake(
    "both ids of a merge stay",
    hint="You put the new id beside the pair. It stands in place of the two.",
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: _merged(i, p, n, made=[*p, n]))


@bpe_encode.mistake(
    "numbers after the word's length",
    hint="You number on from 256 plus the word's length. Merge r makes id 256 + r.",
)
def _(ids, merges):
    return _in_order(ids, merges, lambda r: 256 + len(ids) + r)


@bpe_encode.mistake("numbers from 128", hint="You number the merges from 128. There are 256 bytes.")
def _(ids, merges):
    return _in_order(ids, merges, lambda r: 128 + r)


@bpe_encode.mistake(
    "each merge once, at the end",
    hint="You apply each merge at the last place alone. It goes wherever its pair stands.",
)
def _(ids, merges):
    def last(ids, pair, new_id):
        place = _place(ids[::-1], pair[::-1])
        return ids if place is None else [*ids[: -place - 2], new_id, *ids[len(ids) - place :]]

    return _in_order(ids, merges, join=last)


@bpe_encode.mistake(
    "each id of a merge alone",
    hint="You replace each id of a merge wherever it stands. The two have to stand together.",
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: [n if token in p else token for token in i])


@bpe_encode.mistake(
    "the second id of each pair stays",
    hint="You put the new id in place of the first and leave the second. Both are replaced.",
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: _merged(i, p, n, made=[n, p[1]]))


@bpe_encode.mistake(
    "the earliest token from the left",
    hint="At each place you take the token that was learned first, from left to right. Each "
    "merge walks over the whole word.",
)
def _(ids, merges):
    pieces, out, place = _pieces(merges), [], 0
    while place < len(ids):
        fits = [t for t, piece in pieces.items() if tuple(ids[place:][: len(piece)]) == piece]
        out.append(min(fits, default=ids[place]))
        place += len(pieces[out[-1]]) if fits else 1
    return out


@bpe_encode.mistake(
    "whole tokens, the longest first",
    hint="You replace whole tokens in the word, the longest first. BPE applies its merges in "
    "order.",
)
def _(ids, merges):
    ids = list(ids)
    for token, piece in sorted(_pieces(merges).items(), key=lambda one: -len(one[1])):
        out, place = [], 0
        while place < len(ids):
            fits = tuple(ids[place : place + len(piece)]) == piece
            out.append(token if fits else ids[place])
            place += len(piece) if fits else 1
        ids = out
    return ids


@bpe_encode.mistake(
    "passes until nothing changes",
    hint="You walk over the word again and again, and join whatever is a merge. Each merge has "
    "its turn, in the order of learning.",
)
def _(ids, merges):
    ranks, ids = {tuple(pair): r for r, pair in enumerate(merges)}, list(ids)
    while True:
        out, place = [], 0
        while place < len(ids):
            two = tuple(ids[place : place + 2])
            out.append(256 + ranks[two] if two in ranks else ids[place])
            place += 2 if two in ranks else 1
        if out == ids:
            return out
        ids = out


@bpe_encode.mistake(
    "the end at two tokens", hint="You stop when two tokens are left. They may be a pair."
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: _merged(i, p, n) if len(i) > 2 else i)


@bpe_encode.mistake(
    "the pairs as tokens", hint="You return pairs in place of ids. Merge r makes id 256 + r."
)
def _(ids, merges):
    return [merges[t - 256] if t > 255 else t for t in _in_order(ids, merges)]


@bpe_encode.mistake("the ids as texts", hint="You turn the ids into strings. They are ints.")
def _(ids, merges):
    return [str(token) for token in _in_order(ids, merges)]


@bpe_encode.mistake(
    "the sum of the two", hint="You add the two ids for the new one. Merge r makes id 256 + r."
)
def _(ids, merges):
    return _in_order(ids, merges, lambda r: sum(merges[r]))


@bpe_encode.mistake(
    "a byte behind only",
    hint="You pass over merges whose second id is no byte. A merge may join any two ids.",
)
def _(ids, merges):
    return _in_order(ids, merges, join=lambda i, p, n: _merged(i, p, n) if p[1] < 256 else i)


# A number to predict


@chinese_tokens.mistake(
    "escapes", hint="You count hexadecimal digits. A byte is one token, however it is written down."
)
def _():
    return 36
