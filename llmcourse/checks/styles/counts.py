"""Right answers in another style: text, tokens and counts. No chapter teaches this."""

import math

import torch
from torch import Tensor

CHAPTERS = ("00", "01", "02")


def unigram_loss(train_ids: Tensor, valid_ids: Tensor, vocab_size: int) -> float:
    counts = [1] * vocab_size
    for token in train_ids.tolist():
        counts[token] += 1
    loss = 0.0
    for token in valid_ids.tolist():
        share = counts[token] / sum(counts)
        loss += -math.log(share)
    return loss / len(valid_ids)


def next_token_pairs(tokens: Tensor) -> tuple[Tensor, Tensor]:
    places = list(range(len(tokens) - 1))
    return tokens[places], tokens[[place + 1 for place in places]]


def repeated_lines(text: str) -> float:
    seen: set[str] = set()
    copies, filled = 0, 0
    for line in text.splitlines():
        plain = line.strip()
        if plain:
            filled += 1
            if plain in seen:
                copies += 1
            seen.add(plain)
    return copies / filled if filled else 0.0


def minhash_similarity(a: set[str], b: set[str], hashes: list) -> float:
    ours = [min(one_hash(shingle) for shingle in a) for one_hash in hashes]
    theirs = [min(one_hash(shingle) for shingle in b) for one_hash in hashes]
    return sum(x == y for x, y in zip(ours, theirs, strict=True)) / len(hashes)


def merge(ids: list[int], pair: tuple[int, int], new_id: int) -> list[int]:
    merged: list[int] = []
    joined = False
    for place in range(len(ids)):
        if joined:
            joined = False
        elif place + 1 < len(ids) and ids[place] == pair[0] and ids[place + 1] == pair[1]:
            merged.append(new_id)
            joined = True
        else:
            merged.append(ids[place])
    return merged


def segment(text: str, probabilities: dict[str, float]) -> list[str]:
    best: dict[int, tuple[float, list[str]]] = {0: (0.0, [])}
    for end in range(1, len(text) + 1):
        for size in range(end, 0, -1):
            piece = text[end - size : end]
            if end - size in best and piece in probabilities:
                score = best[end - size][0] + math.log(probabilities[piece])
                if end not in best or score > best[end][0]:
                    best[end] = (score, [*best[end - size][1], piece])
    return best[len(text)][1]


def expected_counts(text: str, probabilities: dict[str, float]) -> dict[str, float]:
    ways: list[list[tuple[float, list[str]]]] = [[(1.0, [])]]
    for end in range(1, len(text) + 1):
        ways.append([])
        for start in range(end):
            piece = text[start:end]
            if piece in probabilities:
                for weight, pieces in ways[start]:
                    ways[end].append((weight * probabilities[piece], [*pieces, piece]))
    total = sum(weight for weight, _ in ways[-1])
    counts = dict.fromkeys(probabilities, 0.0)
    for weight, pieces in ways[-1]:
        for piece in pieces:
            counts[piece] += weight / total
    return counts


def perplexity(probabilities: Tensor) -> float:
    surprise, words = 0.0, 0
    for p in probabilities.double():
        surprise += -math.log(p) if p > 0 else math.inf
        words += 1
    return math.exp(surprise / words)


def hold_out(documents: list[str]) -> tuple[list[str], list[str]]:
    train, test = [], []
    for place, document in enumerate(documents):
        if place % 10 == 0:
            test.append(document)
    for document in documents:
        if document not in test:
            train.append(document)
    return train, test


def continuation_counts(words: list[str]) -> dict[str, int]:
    before: dict[str, set[str]] = {}
    number_of_words_before = 1
    for place in range(1, len(words)):
        for other in words[max(0, place - number_of_words_before) : place]:
            before.setdefault(words[place], set()).add(other)
    counts = {}
    for word, others in before.items():
        counts[word] = sum(1 for other in others if words.count(other) > 0)
    return counts


def kneser_ney_row(pairs: Tensor, before: int, d: float) -> Tensor:
    kinds_before = torch.stack([(column > 0).sum() for column in pairs.T])
    shorter = kinds_before / kinds_before.sum()
    total = pairs[before].sum()
    if total == 0:
        return shorter
    row = []
    for word in range(pairs.size(1)):
        left = max(float(pairs[before, word]) - d, 0.0) / total
        kinds_after = (pairs[before, :] > 0).sum()
        row.append(left + d * kinds_after / total * shorter[word])
    return torch.stack(row)


def lstm_step(gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    width = cell.size(-1)
    enter = torch.sigmoid(gates[..., :width])
    keep = torch.sigmoid(gates[..., width : 2 * width])
    new = torch.tanh(gates[..., 2 * width : 3 * width])
    out = torch.sigmoid(gates[..., 3 * width :])
    kept = keep * cell
    added = enter * new
    return out * torch.tanh(kept + added), kept + added


def bpe_encode(ids: list[int], merges: list[tuple[int, int]]) -> list[int]:
    ids = list(ids)
    for rank in range(len(merges)):
        joined, place = [], 0
        while place < len(ids):
            if ids[place : place + 2] == list(merges[rank]):
                joined.append(256 + rank)
                place += 2
            else:
                joined.append(ids[place])
                place += 1
        ids = joined
    return ids


def write(scores, ids: list[int], n: int) -> list[int]:
    text = ids[:]
    while len(text) < len(ids) + n:
        best = scores(text)
        text = [*text, max(range(len(best)), key=lambda token: float(best[token]))]
    return text


def utf8_length(code: int) -> int:
    if code < 128:
        return 1
    if code < 2048:
        return 2
    return 3 if code < 65536 else 4


def add_k_row(counts: Tensor, k: float) -> Tensor:
    total = sum(float(count) for count in counts) + k * len(counts)
    return torch.stack([(count + k) / total for count in counts])


def gradient_through_time(hidden: Tensor, U: Tensor, gradient: Tensor, steps: int) -> Tensor:
    rows = [torch.zeros_like(gradient) for _ in hidden]
    for back in range(min(steps, len(hidden))):
        place = len(hidden) - 1 - back
        slope = 1 - hidden[place] * hidden[place]
        rows[place] = slope * gradient
        gradient = rows[place] @ U
    return torch.stack(rows)
