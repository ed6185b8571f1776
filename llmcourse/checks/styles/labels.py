"""Right answers in another style: fine-tuning, tags, instructions. No chapter teaches this."""

import torch
from torch import Tensor

CHAPTERS = ("11", "12", "13")


def masked_mean(hidden: Tensor, lengths: Tensor) -> Tensor:
    rows = []
    for row, length in zip(hidden, lengths.tolist(), strict=True):
        rows.append(row[:length].sum(dim=0) / length)
    return torch.stack(rows)


def layer_rates(n_layers: int, lr: float, decay: float) -> list[float]:
    return [lr * decay ** (n_layers + 1 - place) for place in range(n_layers + 2)]


def thin_out(
    words: list[str], draws: list[float], rate: float, synonyms: dict[str, str], keep: set[str]
) -> list[str]:
    changed: list[str] = []
    for place in range(len(words)):
        word = words[place]
        if word in keep:
            changed.append(word)
            continue
        if draws[place] >= rate:
            changed.append(word)
            continue
        if word in synonyms:
            changed.append(synonyms[word])
    return changed if changed else words[:]


def stop_early(losses: list[float], patience: int) -> tuple[int, int]:
    best, lowest, last = 0, losses[0], 0
    least_gain = 0.0
    for place, loss in enumerate(losses):
        last = place
        if loss < lowest - least_gain:
            best, lowest = place, loss
        if place - best >= patience:
            break
    return best, last


def l2_sp(weights: list[Tensor], start: list[Tensor], alpha: float) -> Tensor:
    terms = [((now - then) ** 2).sum() for now, then in zip(weights, start, strict=True)]
    total = torch.stack(terms).sum()
    return 0.5 * alpha * total


def iobes_tags(spans: list[tuple[str, int, int]], n_words: int) -> list[str]:
    tags = ["O"] * n_words
    for label, start, end in spans:
        length = end - start
        if length == 1:
            tags[start] = f"S-{label}"
            continue
        tags[start] = f"B-{label}"
        for place in range(start + 1, end - 1):
            tags[place] = f"I-{label}"
        tags[end - 1] = f"E-{label}"
    return tags


def spans_from_tags(tags: list[str]) -> list[tuple[str, int, int]]:
    spans: list[tuple[str, int, int]] = []
    place = 0
    while place < len(tags):
        if tags[place] == "O":
            place += 1
            continue
        label, end = tags[place][2:], place + 1
        while end < len(tags) and tags[end] == f"I-{label}":
            end += 1
        spans.append((label, place, end))
        place = end
    return spans


def span_f1(gold: list[list[tuple]], predicted: list[list[tuple]]) -> float:
    right = wanted = said = 0
    weight_of_recall = 1
    for ours, theirs in zip(gold, predicted, strict=True):
        for span in theirs:
            right += span in ours
        wanted += len(ours)
        said += len(theirs)
    if right == 0:
        return 0.0
    precision, recall = right / said, right / wanted
    return (
        (1 + weight_of_recall**2) * precision * recall / (weight_of_recall**2 * precision + recall)
    )


def log_partition(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> Tensor:
    scores = emissions[0] + start
    for place in range(1, len(emissions)):
        columns = []
        for tag in range(len(start)):
            ways = scores + transitions[:, tag]
            columns.append(torch.logsumexp(ways, dim=0) + emissions[place, tag])
        scores = torch.stack(columns)
    return torch.logsumexp(scores + end, dim=0)


def viterbi(emissions: Tensor, transitions: Tensor, start: Tensor, end: Tensor) -> list[int]:
    best = [(float(start[tag] + emissions[0, tag]), [tag]) for tag in range(len(start))]
    for place in range(1, len(emissions)):
        longer = []
        for tag in range(len(start)):
            ways = [
                (score + float(transitions[path[-1], tag] + emissions[place, tag]), path)
                for score, path in best
            ]
            score, path = max(ways, key=lambda way: way[0])
            longer.append((score, [*path, tag]))
        best = longer
    return max(best, key=lambda way: way[0] + float(end[way[1][-1]]))[1]


def few_shot_prompt(examples: list[tuple[str, str]], request: str, k: int) -> str:
    lines: list[str] = []
    for question, answer in examples:
        if question != request and len(lines) < k:
            lines.append(f"Q: {question}\nA: {answer}\n\n")
    return "".join([*lines, f"Q: {request}\nA:"])


def chat_targets(turns: list[tuple[str, list[int]]], marks: dict[str, int], end: int) -> list[int]:
    targets: list[int] = []
    for role, ids in turns:
        targets.append(-100)
        for i in ids:
            targets.append(i if role == "assistant" else -100)
        if role == "assistant":
            targets.append(end)
    return targets[1:]


def piece_targets(word_ids: list[int | None], tags: list[int]) -> list[int]:
    targets = []
    for place, word in enumerate(word_ids):
        first = place == 0 or word_ids[place - 1] != word
        targets.append(tags[word] if word is not None and first else -100)
    return targets


def lora_forward(x: Tensor, W: Tensor, A: Tensor, B: Tensor, alpha: float) -> Tensor:
    rank = A.size(0)
    update = (B @ A) * (alpha / rank)
    return torch.einsum("...i,oi->...o", x, W.detach() + update)


def merged_weight(
    W: Tensor, updates: list[tuple[Tensor, Tensor, float]], strengths: list[float]
) -> Tensor:
    change = torch.zeros_like(W)
    for place in range(len(updates)):
        A, B, alpha = updates[place]
        factor = strengths[place] * alpha
        rank = A.size(0)
        change = change + factor * torch.einsum("or,ri->oi", B, A) / rank
    return W + change
