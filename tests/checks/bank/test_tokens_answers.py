"""Right answers to the exercises on tokens, in other styles than the solution's: all pass."""

import bisect
import itertools
import re

import numpy as np
from others_answers import right_answers

from llmcourse.checks.bank import tokens


def length_by_bits(code):
    bits = max(1, code.bit_length())
    return 1 if bits <= 7 else 2 if bits <= 11 else 3 if bits <= 16 else 4


def length_by_division(code):
    if code < 128:
        return 1
    n = 2
    while code >= 1 << (5 * n + 1):
        n += 1
    return n


def length_by_shifts(code):
    return 1 + bool(code >> 7) + bool(code >> 11) + bool(code >> 16)


def merge_by_recursion(ids, pair, new_id):
    if len(ids) < 2:
        return list(ids)
    if (ids[0], ids[1]) == pair:
        return [new_id, *merge_by_recursion(ids[2:], pair, new_id)]
    return [ids[0], *merge_by_recursion(ids[1:], pair, new_id)]


def merge_with_a_flag(ids, pair, new_id):
    merged, skip = [], False
    for at, token in enumerate(ids):
        if skip:
            skip = False
        elif at + 1 < len(ids) and token == pair[0] and ids[at + 1] == pair[1]:
            merged.append(new_id)
            skip = True
        else:
            merged.append(token)
    return merged


def merge_by_pop(ids, pair, new_id):
    rest, merged = list(ids), []
    while rest:
        first = rest.pop(0)
        if rest and (first, rest[0]) == pair:
            rest.pop(0)
            first = new_id
        merged.append(first)
    return merged


def merge_on_a_copy(ids, pair, new_id):
    ids, at = ids[:], 0
    while at < len(ids) - 1:
        if ids[at : at + 2] == list(pair):
            ids[at : at + 2] = [new_id]
        at += 1
    return ids


def merge_by_regex(ids, pair, new_id):
    text = "".join(map(chr, ids))
    pattern = re.escape(chr(pair[0]) + chr(pair[1]))
    return [ord(char) for char in re.sub(pattern, lambda _: chr(new_id), text, flags=re.DOTALL)]


def merge_backwards_looking(ids, pair, new_id):
    merged = []
    for token in ids:
        if merged and (merged[-1], token) == pair:
            merged[-1] = new_id
        else:
            merged.append(token)
    return merged


def encode_by_rank(ids, merges):
    ranks, ids = {pair: rank for rank, pair in enumerate(merges)}, list(ids)
    while pairs := [pair for pair in itertools.pairwise(ids) if pair in ranks]:
        best = min(pairs, key=ranks.__getitem__)
        ids = merge_with_a_flag(ids, best, 256 + ranks[best])
    return ids


def encode_one_place_at_a_time(ids, merges):
    ids = np.array(ids, dtype=int).tolist()
    while True:
        found = [
            (merges.index(p), at) for at, p in enumerate(itertools.pairwise(ids)) if p in merges
        ]
        if not found:
            return ids
        rank, at = min(found)
        ids = [*ids[:at], 256 + rank, *ids[at + 2 :]]


def encode_by_recursion(ids, merges):
    if not merges:
        return [*ids]
    return merge_by_pop(encode_by_recursion(ids, merges[:-1]), merges[-1], 255 + len(merges))


def encode_until_nothing_changes(ids, merges):
    before = None
    while before != ids:
        before = ids
        for rank, pair in enumerate(merges):
            ids = merge_on_a_copy(ids, pair, 256 + rank)
    return list(ids)


RIGHT = {
    tokens.utf8_length: [
        length_by_bits,
        length_by_division,
        length_by_shifts,
        lambda code: bisect.bisect([0x80, 0x800, 0x10000], code) + 1,
        lambda code: np.int64(sum(code >= 2**bits for bits in (0, 7, 11, 16)) or 1),
        lambda code: float(1 + (code > 127) + (code > 2047) + (code > 65535)),
    ],
    tokens.merge: [
        merge_by_recursion,
        merge_with_a_flag,
        merge_by_pop,
        merge_on_a_copy,
        merge_by_regex,
        merge_backwards_looking,
    ],
    tokens.bpe_encode: [
        encode_by_rank,
        encode_one_place_at_a_time,
        encode_by_recursion,
        encode_until_nothing_changes,
    ],
}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
