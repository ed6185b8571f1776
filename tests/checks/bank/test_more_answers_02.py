"""More wrong answers that checks once accepted, to the exercises of chapters 02, 03 and 04."""

import math
from itertools import pairwise

import torch
from others_answers import wrong_answers

from llmcourse.checks.bank.attention import softmax
from llmcourse.checks.bank.counting import add_k_row, continuation_counts, hold_out, perplexity
from llmcourse.checks.bank.distances import alibi_bias
from llmcourse.checks.bank.online_attention import chunked_attention
from llmcourse.checks.bank.recurrence import gradient_through_time


def rounded(probabilities):
    return round((-probabilities.double().log().mean()).exp().item(), 2)


def in_pieces_of_a_hundred(probabilities):
    pieces = (-probabilities.double().log()).split(100)
    return sum(piece.mean().exp().item() for piece in pieces) / len(pieces)


def alike_ones_once(probabilities):
    return (-probabilities.double().unique().log().mean()).exp().item()


def nothing_added_where_all_was_seen(counts, k):
    counts = counts + k if (counts == 0).any() else counts
    return counts / counts.sum()


def a_total_of_one_at_least(counts, k):
    return (counts + k) / (counts.sum() + k * len(counts)).clamp(min=1)


def held_out_by(key):
    def hold_out(documents):
        held = {key(text) for text in documents[::10]}
        return [text for text in documents if key(text) not in held], documents[::10]

    return hold_out


def without_empty_ones(documents):
    test = documents[::10]
    return [text for text in documents if text and text not in test], test


def nothing_across_a_stop(words):
    found = {}
    for before, word in pairwise(words):
        if before != ".":
            found.setdefault(word, set()).add(before)
    return {word: len(others) for word, others in found.items()}


def by_the_first_letter(words):
    found = {}
    for before, word in pairwise(words):
        found.setdefault(word, set()).add(before[:1])
    return {word: len(others) for word, others in found.items()}


def cut_from_the_end(hidden, U, gradient, steps):
    dx = torch.zeros_like(hidden)
    for t in reversed(range(len(hidden))):
        dx[t] = gradient * (1 - hidden[t] ** 2)
        gradient = U.mT @ dx[t]
    dx[: len(hidden) - steps] = 0
    return dx


def a_smaller_number_taken_off(scores, mask=None):
    lowered = scores if mask is None else scores - 1e4 * (~mask)
    weights = lowered.double().softmax(-1).to(scores.dtype)
    return weights if mask is None else weights * mask


def no_further_than(far):
    def alibi_bias(n_heads, n_queries, n_keys):
        slopes = 2.0 ** (-8 * (torch.arange(n_heads) + 1) / n_heads)
        queries = torch.arange(n_keys - n_queries, n_keys)[:, None]
        return -slopes[:, None, None] * (queries - torch.arange(n_keys)).abs().clamp(max=far)

    return alibi_bias


def cut_off(queries=False, keys=False, shrink=False):
    """Attention in chunks, where nothing flows back to some of what it was made of."""

    def chunked_attention(q, k, v, chunk):
        q = q.detach() if queries else q
        k, v = (k.detach(), v.detach()) if keys else (k, v)
        largest, total, mixed = torch.full_like(q[:, :1], -math.inf), 0, 0
        for some, values in zip(k.split(chunk), v.split(chunk), strict=True):
            scores = q @ some.mT / math.sqrt(q.size(-1))
            new = torch.maximum(largest, scores.amax(-1, keepdim=True))
            less, weights = (largest - new).exp(), (scores - new).exp()
            less = less.detach() if shrink else less
            total = total * less + weights.sum(-1, keepdim=True)
            mixed, largest = mixed * less + weights @ values, new
        return mixed / total

    return chunked_attention


test_a_wrong_answer_is_rejected = wrong_answers(
    [
        (perplexity, rounded, "rounded to two decimals"),
        (perplexity, in_pieces_of_a_hundred, "perplexities of a hundred"),
        (perplexity, alike_ones_once, "equal probabilities counted once"),
        (add_k_row, nothing_added_where_all_was_seen, "k only where something is unseen"),
        (add_k_row, a_total_of_one_at_least, "a total of one at least"),
        (hold_out, held_out_by(str.strip), None),
        (
            hold_out,
            held_out_by(lambda text: " ".join(text.split())),
            "blanks between words ignored",
        ),
        (
            hold_out,
            held_out_by(lambda text: " ".join(sorted(text.split()))),
            "the words in any order",
        ),
        (hold_out, held_out_by(lambda text: frozenset(text.split())), "the set of words"),
        (hold_out, held_out_by(lambda text: "".join(sorted(text))), "the letters in any order"),
        (hold_out, held_out_by(lambda text: text[:50]), "fifty letters compared"),
        (
            hold_out,
            held_out_by(lambda text: "".join(filter(str.isalnum, text))),
            "punctuation ignored",
        ),
        (hold_out, without_empty_ones, "empty texts dropped"),
        (continuation_counts, nothing_across_a_stop, "a new sentence begins"),
        (continuation_counts, by_the_first_letter, "the first letters of the words"),
        (gradient_through_time, cut_from_the_end, "cut where steps are more"),
        (softmax, a_smaller_number_taken_off, "a large number taken off"),
        (alibi_bias, no_further_than(8), "cut at a far distance"),
        (alibi_bias, no_further_than(128), "cut at 128"),
        (chunked_attention, cut_off(queries=True), "queries that get no gradient"),
        (chunked_attention, cut_off(keys=True), "keys and values that get no"),
        (chunked_attention, cut_off(shrink=True), "a factor that gets no gradient"),
    ]
)
