"""The checks on distances: their truth is right, and they know mistakes written otherwise."""

import math

import torch

from llmcourse.checks.bank import distances as check


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


def test_alibi_by_hand():
    bias = check.alibi_bias.right(8, 3, 3)
    assert bias[0, 2].tolist() == [-1.0, -0.5, 0.0]
    assert bias[7, 2, 0] == -2 / 256


def test_buckets_by_hand():
    found = check.relative_buckets.right(torch.arange(14), 8, 16)
    assert found.tolist() == [0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7]


def test_a_bias_of_the_wrong_sign_by_loops_is_recognised():
    def alibi_bias(n_heads, n_queries, n_keys):
        bias = torch.zeros(n_heads, n_queries, n_keys)
        for h in range(n_heads):
            for t in range(n_queries):
                for s in range(n_keys):
                    place = t + n_keys - n_queries
                    bias[h, t, s] = 2 ** (-8 * (h + 1) / n_heads) * abs(place - s)
        return bias

    assert verdict_of(check.alibi_bias, alibi_bias) == "distance is rewarded"


def test_slow_loops_are_right():
    def relative_buckets(distances, n_buckets, max_distance):
        found = []
        for distance in distances.tolist():
            exact = n_buckets // 2
            if distance < exact:
                found.append(distance)
                continue
            share = math.log(distance / exact) / math.log(max_distance / exact)
            found.append(min(exact + int(share * (n_buckets - exact)), n_buckets - 1))
        return torch.tensor(found)

    assert check.relative_buckets.verdict(relative_buckets).status == "passed"
