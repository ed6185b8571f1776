"""Wrong answers that the checks of the first two chapters once accepted."""

import math

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.corpus import minhash_similarity, repeated_lines
from llmcourse.checks.bank.cuts import segment
from llmcourse.checks.bank.tokens import bpe_encode, merge
from llmcourse.checks.bank.welcome import bits_per_byte, next_token_pairs
from llmcourse.checks.bank.writing import write


def no_more_than_a_byte_has(loss, n_tokens, n_bytes):
    return min(8.0, loss / math.log(2) * n_tokens / n_bytes)


def each_token_once(tokens):
    kept = torch.unique_consecutive(tokens)
    return kept[:-1], kept[1:]


def nearly_the_likeliest(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        shares = (scores(text) / 0.1).softmax(-1)
        text.append(int(torch.multinomial(shares, 1)))
    return text


def never_twice_in_a_row(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        best = scores(text).topk(2).indices.tolist()
        text.append(best[1] if best[0] == text[-1] else best[0])
    return text


def one_token_ahead(scores, ids, n):
    text = list(ids)
    for _ in range(n):
        now = scores(text).log_softmax(-1)
        then = [scores([*text, t]).log_softmax(-1).max() for t in range(len(now))]
        text.append(int((now + torch.stack(then)).argmax()))
    return text


def remembered_by_two(scores, ids, n):
    text, known = list(ids), {}
    for _ in range(n):
        last = tuple(text[-2:])
        known[last] = known.get(last, int(scores(text).argmax()))
        text.append(known[last])
    return text


def second_may_follow_later(ids, pair, new_id):
    merged, waiting = [], None
    for token in ids:
        if waiting is not None and token == pair[1]:
            merged[waiting], waiting = new_id, None
            continue
        if token == pair[0]:
            waiting = len(merged)
        merged.append(token)
    return merged


def a_single_id_is_nothing(ids, pair, new_id):
    merged, place = [], 0
    if len(ids) < 2:
        return merged
    while place < len(ids):
        found = tuple(ids[place : place + 2]) == tuple(pair)
        merged.append(new_id if found else ids[place])
        place += 2 if found else 1
    return merged


def pairs_from_the_end(ids, merges):
    ids = list(ids)
    for r, pair in enumerate(merges):
        place = len(ids) - 2
        while place >= 0:
            if tuple(ids[place : place + 2]) == tuple(pair):
                ids[place : place + 2] = [256 + r]
            place -= 1
    return ids


def done_at_two_tokens(ids, merges):
    ids = list(ids)
    for r, pair in enumerate(merges):
        place = 0
        while len(ids) > 2 and place < len(ids):
            if tuple(ids[place : place + 2]) == tuple(pair):
                ids[place : place + 2] = [256 + r]
            place += 1
    return ids


def pieces_of_three(text, probabilities):
    best = [(0.0, [])]
    for end in range(1, len(text) + 1):
        ways = []
        for begin in range(max(0, end - 3), end):
            if text[begin:end] in probabilities:
                total, pieces = best[begin]
                share = probabilities[text[begin:end]]
                ways.append((total + math.log(share), [*pieces, text[begin:end]]))
        best.append(max(ways))
    return best[-1][1]


def kept_lines(text):
    return [line.strip() for line in text.splitlines() if line.strip()]


def the_last_three_lines(text):
    lines = kept_lines(text)
    found = [line in lines[max(0, k - 3) : k] for k, line in enumerate(lines)]
    return sum(found) / max(1, len(found))


def signs_do_not_count(text):
    lines = ["".join(c for c in line if c.isalnum() or c == " ") for line in kept_lines(text)]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def digits_are_alike(text):
    lines = ["".join("0" if c.isdigit() else c for c in line) for line in kept_lines(text)]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def found_in_the_text_above(text):
    lines = kept_lines(text)
    found = [line in "\n".join(lines[:k]) for k, line in enumerate(lines)]
    return sum(found) / max(1, len(found))


def nothing_repeats_in_two_lines(text):
    lines = kept_lines(text)
    return 1 - len(set(lines)) / len(lines) if len(lines) > 2 else 0.0


def tabs_are_blanks(text):
    lines = [line.expandtabs(1) for line in kept_lines(text)]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def a_full_stop_is_nothing(text):
    lines = [line.rstrip(".") for line in kept_lines(text)]
    return 1 - len(set(lines)) / len(lines) if lines else 0.0


def nearly_equal(a, b, hashes):
    pairs = [(min(map(h, a)), min(map(h, b))) for h in hashes]
    return sum(math.isclose(x, y, rel_tol=1e-9) for x, y in pairs) / len(hashes)


def of_any_function(a, b, hashes):
    others = [min(map(h, b)) for h in hashes]
    return sum(min(map(h, a)) in others for h in hashes) / len(hashes)


def nearest_to_zero(a, b, hashes):
    agree = [min(abs(h(x)) for x in a) == min(abs(h(x)) for x in b) for h in hashes]
    return sum(agree) / len(agree)


def last_bytes(a, b, hashes):
    agree = [min(map(h, a)) % 256 == min(map(h, b)) % 256 for h in hashes]
    return sum(agree) / len(agree)


test_an_answer_that_once_passed_is_rejected = wrong_answers(
    [
        (bits_per_byte, no_more_than_a_byte_has, None),
        (next_token_pairs, each_token_once, None),
        (write, nearly_the_likeliest, None),
        (write, never_twice_in_a_row, None),
        (write, one_token_ahead, None),
        (write, remembered_by_two, None),
        (merge, second_may_follow_later, None),
        (merge, a_single_id_is_nothing, None),
        (bpe_encode, pairs_from_the_end, None),
        (bpe_encode, done_at_two_tokens, None),
        (segment, pieces_of_three, None),
        (repeated_lines, the_last_three_lines, None),
        (repeated_lines, signs_do_not_count, None),
        (repeated_lines, digits_are_alike, None),
        (repeated_lines, found_in_the_text_above, None),
        (repeated_lines, nothing_repeats_in_two_lines, None),
        (repeated_lines, tabs_are_blanks, None),
        (repeated_lines, a_full_stop_is_nothing, None),
        (minhash_similarity, of_any_function, None),
        (minhash_similarity, nearly_equal, None),
        (minhash_similarity, nearest_to_zero, None),
        (minhash_similarity, last_bytes, None),
    ]
)
