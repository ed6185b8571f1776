"""Right answers to the exercises on counting, in other styles than the solution's: all pass."""

import math
from collections import Counter, defaultdict
from itertools import groupby, pairwise

import numpy as np
import torch
import torch.nn.functional as F
from others_answers import right_answers

from llmcourse.checks.bank import counting


def surprise_in_a_loop(probabilities):
    total = 0.0
    for p in probabilities.tolist():
        if p == 0:
            return math.inf
        total += -math.log(p)
    return math.exp(total / len(probabilities))


def surprise_in_bits(probabilities):
    return 2 ** (-probabilities.log2()).mean()


def surprise_of_tensors_in_a_loop(probabilities):
    total = torch.zeros(1)
    for p in probabilities.float():
        total = total - torch.log(p)
    return (total / len(probabilities)).exp()


def surprise_by_numpy(probabilities):
    with np.errstate(divide="ignore"):
        return np.exp(-np.log(probabilities.double().numpy()).mean())


def surprise_by_roots(probabilities):
    return (
        1 / math.prod(p ** (1 / len(probabilities)) for p in probabilities.tolist())
        if (probabilities.min() > 0)
        else float("inf")
    )


def surprise_by_entropy(probabilities):
    n = len(probabilities)
    return F.nll_loss(probabilities.log()[:, None], torch.zeros(n, dtype=torch.long)).exp().item()


def row_in_a_loop(counts, k):
    row = torch.zeros_like(counts)
    for word in range(len(counts)):
        row[word] = (counts[word] + k) / (counts.sum() + k * len(counts))
    return row


def row_of_a_mixture(counts, k):
    n, size = counts.sum(), counts.numel()
    old = counts / n if n else torch.zeros_like(counts)
    weight = n / (n + k * size)
    return weight * old + (1 - weight) / size


def row_by_numpy(counts, k):
    raised = counts.numpy() + np.array(k, dtype=counts.numpy().dtype)
    return torch.from_numpy(raised / raised.sum())


def held_out_by_index(documents):
    test, train = [], []
    asked = {documents[i] for i in range(0, len(documents), 10)}
    for i, document in enumerate(documents):
        if not i % 10:
            test += [document]
        elif document not in asked:
            train += [document]
    return train, test


def held_out_by_counter(documents):
    test = [d for i, d in enumerate(documents) if i % 10 == 0]
    asked = Counter(test)
    return list(filter(lambda d: not asked[d], documents)), test


def held_out_by_removal(documents):
    train, test = list(documents), documents[::10]
    for document in test:
        while document in train:
            train.remove(document)
    return train, test


def before_by_sorting(words):
    pairs = sorted({(after, before) for before, after in pairwise(words)})
    return {word: len(list(some)) for word, some in groupby(pairs, key=lambda pair: pair[0])}


def before_by_dict(words):
    found = defaultdict(dict)
    for at in range(1, len(words)):
        found[words[at]][words[at - 1]] = True
    return {word: sum(others.values()) for word, others in found.items()}


def before_by_question(words):
    pairs = [(words[at], words[at + 1]) for at in range(len(words) - 1)]
    return {w: len({a for a, b in pairs if b == w}) for w in dict.fromkeys(words[1:])}


RIGHT = {
    counting.perplexity: [
        surprise_in_a_loop,
        surprise_in_bits,
        surprise_of_tensors_in_a_loop,
        surprise_by_numpy,
        surprise_by_roots,
        surprise_by_entropy,
    ],
    counting.add_k_row: [
        row_in_a_loop,
        row_of_a_mixture,
        row_by_numpy,
        lambda counts, k: F.normalize(counts + k, p=1, dim=0),
        lambda counts, k: ((counts.double() + k) / (counts.double() + k).sum()).to(counts.dtype),
        lambda counts, k: (counts + k).log().softmax(0),
    ],
    counting.hold_out: [held_out_by_index, held_out_by_counter, held_out_by_removal],
    counting.continuation_counts: [
        before_by_sorting,
        before_by_dict,
        before_by_question,
        lambda words: Counter(b for _, b in dict.fromkeys(pairwise(words))),
    ],
}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
