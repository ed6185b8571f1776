"""Right answers to chapter 00's exercises in other styles than the solution's: all pass."""

import math
from collections import Counter
from functools import reduce

import numpy as np
import torch
import torch.nn.functional as F
from others_answers import right_answers

from llmcourse.checks.bank import welcome, writing


def counted_with_a_loop(train_ids, valid_ids, vocab_size):
    counts = [1] * vocab_size
    for token in train_ids.tolist():
        counts[token] += 1
    total = 0.0
    for token in valid_ids.tolist():
        total -= math.log(counts[token] / sum(counts))
    return total / len(valid_ids)


def counted_by_counter(train_ids, valid_ids, vocab_size):
    counts, n = Counter(train_ids.tolist()), len(train_ids)
    costs = [-math.log((counts[t] + 1) / (n + vocab_size)) for t in valid_ids.tolist()]
    return sum(costs) / len(costs)


def counted_one_hot(train_ids, valid_ids, vocab_size):
    counts = F.one_hot(train_ids, vocab_size).sum(0) + 1
    return F.cross_entropy(counts.log().expand(len(valid_ids), -1), valid_ids)


def counted_by_numpy(train_ids, valid_ids, vocab_size):
    counts = np.bincount(train_ids.numpy(), minlength=vocab_size) + 1
    return np.float32(-np.log(counts / counts.sum())[valid_ids.numpy()].mean())


def counted_in_the_exam_by_shares(train_ids, valid_ids, vocab_size):
    shares = (torch.bincount(train_ids, minlength=vocab_size) + 1.0) / (len(train_ids) + vocab_size)
    asked = torch.bincount(valid_ids, minlength=vocab_size) / len(valid_ids)
    return -(asked @ shares.log())


def written_by_recursion(scores, ids, n):
    if n == 0:
        return list(ids)
    return written_by_recursion(scores, [*ids, scores(ids).argmax().item()], n - 1)


def written_by_reduce(scores, ids, n):
    return reduce(lambda text, _: [*text, int(scores(text).numpy().argmax())], range(n), ids[:])


def written_by_while(scores, ids, n):
    text = ids.copy()
    while len(text) < len(ids) + n:
        all_scores = scores(text).tolist()
        text += [all_scores.index(max(all_scores))]
    return text


def written_by_sorting(scores, ids, n):
    new = []
    for _ in range(n):
        new.append(scores(ids + new).argsort(descending=True)[0].item())
    return ids + new


RIGHT = {
    welcome.uniform_loss: [
        lambda vocab_size: -math.log(1 / vocab_size),
        lambda vocab_size: np.log(vocab_size),
        lambda vocab_size: torch.tensor(float(vocab_size)).log(),
        lambda vocab_size: -sum(math.log(1 / vocab_size) / vocab_size for _ in range(vocab_size)),
        lambda vocab_size: F.cross_entropy(torch.zeros(1, vocab_size), torch.tensor([0])).item(),
        lambda vocab_size: math.log2(vocab_size) * math.log(2),
        lambda vocab_size: torch.full((vocab_size,), 1 / vocab_size).log().neg().mean().view(1),
    ],
    welcome.bits_per_byte: [
        lambda loss, n_tokens, n_bytes: loss * math.log2(math.e) * n_tokens / n_bytes,
        lambda loss, n_tokens, n_bytes: loss / math.log(2) / (n_bytes / n_tokens),
        lambda loss, n_tokens, n_bytes: math.log2(math.exp(loss)) * n_tokens / n_bytes,
        lambda loss, n_tokens, n_bytes: sum([loss] * n_tokens) / np.log(2) / n_bytes,
        lambda loss, n_tokens, n_bytes: torch.tensor(loss * n_tokens / n_bytes) / math.log(2),
    ],
    welcome.next_token_pairs: [
        lambda tokens: (tokens[: len(tokens) - 1], tokens[1 : len(tokens)]),
        lambda tokens: (tokens.narrow(0, 0, len(tokens) - 1), tokens.narrow(0, 1, len(tokens) - 1)),
        lambda tokens: tuple(tokens.unfold(0, 2, 1).T),
        lambda tokens: (tokens[:-1].clone(), tokens.roll(-1)[:-1]),
        lambda tokens: (
            torch.tensor([tokens[i] for i in range(len(tokens) - 1)]),
            torch.tensor([tokens[i + 1] for i in range(len(tokens) - 1)]),
        ),
        lambda tokens: (
            torch.from_numpy(tokens.numpy()[:-1]),
            torch.from_numpy(tokens.numpy()[1:]),
        ),
    ],
    welcome.unigram_loss: [
        counted_with_a_loop,
        counted_by_counter,
        counted_one_hot,
        counted_by_numpy,
        counted_in_the_exam_by_shares,
    ],
    writing.write: [
        written_by_recursion,
        written_by_reduce,
        written_by_while,
        written_by_sorting,
    ],
}


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
