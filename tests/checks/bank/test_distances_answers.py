"""Right answers to the exercises on distances, in other styles."""

import math

import numpy as np
import torch
from others_answers import right_answers

from llmcourse.checks.bank import distances as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.alibi_bias)
def loops(n_heads, n_queries, n_keys):
    bias = torch.zeros(n_heads, n_queries, n_keys)
    for h in range(n_heads):
        for t in range(n_queries):
            for s in range(n_keys):
                bias[h, t, s] = -(2 ** (-8 * (h + 1) / n_heads)) * abs(t + n_keys - n_queries - s)
    return bias


@right(check.alibi_bias)
def float64_and_einsum(n_heads, n_queries, n_keys):
    slopes = torch.pow(2.0, torch.arange(1, n_heads + 1, dtype=torch.float64) * (-8 / n_heads))
    keys = torch.arange(n_keys, dtype=torch.float64)
    distances = torch.cdist(keys[-n_queries:, None], keys[:, None], p=1)
    return -torch.einsum("h,ts->hts", slopes, distances)


@right(check.alibi_bias)
def slopes_as_a_row_of_powers(n_heads, n_queries, n_keys):
    ratio = 2 ** (-8 / n_heads)
    places = torch.arange(n_keys)
    square = -(places[None, :] - places[:, None]).abs()
    return torch.stack([square[n_keys - n_queries :] * ratio ** (h + 1) for h in range(n_heads)])


@right(check.alibi_bias)
def numpy_inside(n_heads, n_queries, n_keys):
    slopes = 2.0 ** (-8 * np.arange(1, n_heads + 1) / n_heads)
    t, s = np.arange(n_keys - n_queries, n_keys)[:, None], np.arange(n_keys)
    return torch.from_numpy(-slopes[:, None, None] * np.abs(t - s))


@right(check.relative_buckets)
def whole_numbers_of_32_bits(distances, n_buckets, max_distance):
    e = n_buckets / 2
    far = e + torch.floor(
        (distances.double().clamp(min=1) / e).log() / math.log(max_distance / e) * (n_buckets - e)
    )
    return torch.where(distances < e, distances, far.clamp(max=n_buckets - 1)).to(torch.int32)


@right(check.relative_buckets)
def one_at_a_time(distances, n_buckets, max_distance):
    found = []
    for distance in distances.tolist():
        e = n_buckets // 2
        if distance < e:
            found.append(distance)
            continue
        share = (math.log(distance) - math.log(e)) / (math.log(max_distance) - math.log(e))
        found.append(min(e + int(share * (n_buckets - e)), n_buckets - 1))
    return torch.tensor(found)


@right(check.relative_buckets)
def borders(distances, n_buckets, max_distance):
    e = n_buckets // 2
    steps = torch.arange(1, n_buckets - e, dtype=torch.float64)
    borders = e * (max_distance / e) ** (steps / (n_buckets - e))
    far = e + torch.bucketize(distances.double(), borders, right=True)
    return torch.where(distances < e, distances, far)


@right(check.relative_buckets)
def into_a_copy(distances, n_buckets, max_distance):
    e = n_buckets // 2
    buckets = distances.clone()
    far = distances >= e
    growth = torch.log2(distances[far] / e) / math.log2(max_distance / e)
    buckets[far] = (e + (growth * (n_buckets - e)).floor()).long().clamp(max=n_buckets - 1)
    return buckets


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
