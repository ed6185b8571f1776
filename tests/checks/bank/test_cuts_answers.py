"""Right answers to the exercises on cutting, in other styles than the solution's: all pass."""

import functools
import heapq
import itertools
import math
from collections import Counter, defaultdict
from fractions import Fraction

import numpy as np
import pytest
import torch
from others_answers import right_answers

from llmcourse.checks.bank import cuts


def later_start_wins(text, probabilities):
    best = [(0.0, [])]
    for end in range(1, len(text) + 1):
        top = (-math.inf, [])
        for start in range(end):
            if (piece := text[start:end]) in probabilities:
                score = best[start][0] + math.log2(probabilities[piece])
                if score >= top[0]:
                    top = (score, [*best[start][1], piece])
        best.append(top)
    return best[-1][1]


def tuples_compared(text, probabilities):
    best = [(0.0, [])]
    for end in range(1, len(text) + 1):
        ways = [(best[s][0] + math.log(probabilities[text[s:end]]), [*best[s][1], text[s:end]])
                for s in range(end) if text[s:end] in probabilities]  # fmt: skip
        best.append(max(ways))
    return best[len(text)][1]


def memoised(text, probabilities):
    @functools.cache
    def best(at):
        if at == len(text):
            return 0.0, ()
        ways = []
        for piece in sorted(probabilities, key=len, reverse=True):
            if text.startswith(piece, at):
                score, rest = best(at + len(piece))
                ways.append((score + math.log(probabilities[piece]), (piece, *rest)))
        return max(ways, key=lambda way: way[0])

    return list(best(0)[1])


def from_the_right(text, probabilities):
    n = len(text)
    best, length = [-np.inf] * n + [0.0], [0] * n
    for start in reversed(range(n)):
        for end in range(start + 1, n + 1):
            score = np.log(probabilities.get(text[start:end], 1e-300)) + best[end]
            if text[start:end] in probabilities and score > best[start]:
                best[start], length[start] = score, end - start
    pieces, at = [], 0
    while at < n:
        pieces.append(text[at : at + length[at]])
        at += length[at]
    return pieces


def shortest_path(text, probabilities):
    heap, done = [(0.0, 0, [])], set()
    while heap:
        cost, at, pieces = heapq.heappop(heap)
        if at == len(text):
            return pieces
        if at not in done:
            done.add(at)
            for piece, share in probabilities.items():
                if text.startswith(piece, at):
                    heapq.heappush(
                        heap, (cost - math.log(share), at + len(piece), [*pieces, piece])
                    )
    return []


def exact_products(text, probabilities):
    best = [(Fraction(1), [])]
    for end in range(1, len(text) + 1):
        ways = ((best[s], text[s:end]) for s in range(end) if text[s:end] in probabilities)
        best.append(max(((b[0] * Fraction(probabilities[p]), [*b[1], p]) for b, p in ways),
                        key=lambda way: way[0]))  # fmt: skip
    return best[-1][1]


def all_ways(text, probabilities):
    counts = defaultdict(float)
    for piece in probabilities:
        counts[piece] += 0
    total = 0.0
    for cut in itertools.product((False, True), repeat=max(0, len(text) - 1)):
        edges = [0, *(at for at, here in enumerate(cut, 1) if here), len(text)]
        pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
        if all(piece in probabilities for piece in pieces):
            weight = math.prod(probabilities[piece] for piece in pieces)
            total += weight
            for piece in pieces:
                counts[piece] += weight
    return {piece: count / total for piece, count in counts.items()}


def by_autograd(text, probabilities):
    logs = {
        piece: torch.tensor(math.log(p), requires_grad=True) for piece, p in probabilities.items()
    }
    alpha = [torch.tensor(0.0)]
    for end in range(1, len(text) + 1):
        ways = [alpha[s] + logs[text[s:end]] for s in range(end) if text[s:end] in logs]
        alpha.append(torch.logsumexp(torch.stack(ways), 0))
    alpha[-1].backward()
    return {piece: 0 if log.grad is None else log.grad for piece, log in logs.items()}


def by_recursion(text, probabilities):
    def ways(rest):
        if not rest:
            yield 1.0, Counter()
        for piece, share in probabilities.items():
            if rest.startswith(piece):
                for weight, used in ways(rest[len(piece) :]):
                    yield share * weight, used + Counter([piece])

    found = list(ways(text))
    total = sum(weight for weight, _ in found)
    return {p: sum(weight * used[p] for weight, used in found) / total for p in probabilities}


def in_logarithms(text, probabilities):
    n = len(text)
    spans = [(i, j) for i in range(n) for j in range(i + 1, n + 1) if text[i:j] in probabilities]
    alpha, beta = np.full(n + 1, -np.inf), np.full(n + 1, -np.inf)
    alpha[0] = beta[n] = 0
    for i, j in sorted(spans, key=lambda span: span[0]):
        alpha[j] = np.logaddexp(alpha[j], alpha[i] + math.log(probabilities[text[i:j]]))
    for i, j in sorted(spans, key=lambda span: -span[1]):
        beta[i] = np.logaddexp(beta[i], beta[j] + math.log(probabilities[text[i:j]]))
    counts = dict.fromkeys(probabilities, 0)
    for i, j in spans:
        share = math.log(probabilities[text[i:j]])
        counts[text[i:j]] += np.exp(alpha[i] + share + beta[j] - alpha[n])
    return counts


RIGHT = {
    cuts.segment: [
        later_start_wins,
        tuples_compared,
        memoised,
        from_the_right,
        shortest_path,
        exact_products,
    ],
    cuts.expected_counts: [all_ways, by_autograd, by_recursion, in_logarithms],
}


@pytest.mark.parametrize("cut", [["a", "aa", "b"], ["aa", "a", "b"]])
def test_of_two_equally_likely_cuts_either_is_right_and_a_dearer_one_is_not(cut):
    def answer(text, probabilities):
        tie = text == "aaab" and probabilities["aa"] == 0.25
        return list(cut) if tie else memoised(text, probabilities)

    assert cuts.segment.verdict(answer).status == "passed"
    cut.append("")
    assert cuts.segment.verdict(answer).status == "wrong"


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
