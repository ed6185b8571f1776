"""Right answers in another style: preferences, writing, exams, shipping. No chapter teaches
this.
"""

import math
from collections import Counter

import torch
from torch import Tensor

CHAPTERS = ("14", "15", "16", "17")


def advantages(rewards: Tensor) -> Tensor:
    rows = []
    for row in rewards:
        centred = row - row.mean()
        spread = (centred.square().sum() / (len(row) - 1)).sqrt()
        rows.append(centred / (spread + 1e-4))
    return torch.stack(rows)


def answer_log_prob(logits: Tensor, targets: Tensor) -> Tensor:
    rows = []
    for row, wanted in zip(logits, targets, strict=True):
        total = row.sum() * 0
        for scores, target in zip(row, wanted.tolist(), strict=True):
            if target != -100:
                total = total + scores.log_softmax(dim=0)[target]
        rows.append(total)
    return torch.stack(rows)


def preference_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    margin = chosen - rejected
    return torch.logaddexp(torch.zeros_like(margin), -margin).mean()


def dpo(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    beta: float,
) -> tuple[Tensor, Tensor, Tensor]:
    policy = policy_chosen - policy_rejected
    reference = (reference_chosen - reference_rejected).detach()
    losses = torch.logaddexp(policy * 0, -beta * (policy - reference))
    chosen = beta * policy_chosen.detach() - beta * reference_chosen.detach()
    rejected = beta * policy_rejected.detach() - beta * reference_rejected.detach()
    return losses, chosen, rejected


def draw_token(logits: Tensor, temperature: float, u: float) -> int:
    scores = logits / temperature
    weights = torch.exp(scores - scores.max())
    sums = weights.cumsum(dim=0) / weights.sum()
    token = 0
    while sums[token] <= u:
        token += 1
    return token


def top_p(logits: Tensor, p: float) -> Tensor:
    order = logits.argsort(descending=True).tolist()
    shares = logits.softmax(dim=0)
    kept, total = [], 0.0
    number_of_tokens_to_keep = 1
    for token in order:
        if total >= p and len(kept) >= number_of_tokens_to_keep:
            break
        kept.append(token)
        total += float(shares[token])
    cut = torch.full_like(logits, -torch.inf)
    cut[kept] = logits[kept]
    return cut


def attend_next(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    keys, values = torch.cat([keys, k.unsqueeze(0)]), torch.cat([values, v.unsqueeze(0)])
    scores = torch.stack([(key * q).sum() / math.sqrt(len(q)) for key in keys])
    weights = torch.exp(scores - scores.max())
    weights = weights / weights.sum()
    return (weights[:, None] * values).sum(dim=0), keys, values


def allowed(
    steps: dict[tuple[int, str], int], ends: set[int], state: int, pieces: list[str]
) -> list[bool]:
    alive, size = set(ends), 0
    while len(alive) > size:
        size = len(alive)
        for (here, _), there in steps.items():
            if there in alive:
                alive.add(here)
    found = []
    for piece in pieces:
        at: int | None = state
        for character in piece:
            at = steps.get((at, character)) if at is not None else None
        found.append(len(piece) > 0 and at in alive)
    return found


def accept_or_replace(p: Tensor, q: Tensor, token: int, u: float, v: float) -> int:
    if u * q[token] < p[token]:
        return token
    more = torch.maximum(p - q, torch.zeros_like(p))
    total = float(more.sum())
    reached, choice = 0.0, 0
    for number, share in enumerate(more.tolist()):
        reached += share / total
        choice = number
        if reached > v:
            break
    return choice


def calibration_error(confidence: list[float], right: list[bool], n_bins: int) -> float:
    total = 0.0
    for number in range(1, n_bins + 1):
        places = [
            place for place, sure in enumerate(confidence)
            if max(1, math.ceil(sure * n_bins)) == number
        ]  # fmt: skip
        if not places:
            continue
        sure = torch.tensor([confidence[place] for place in places], dtype=torch.float64)
        hits = torch.tensor([right[place] for place in places], dtype=torch.float64)
        gap = abs(float(hits.mean() - sure.mean()))
        total += gap * len(places) / len(confidence)
    return total


def best_answer(log_probs: list[list[float]], answers: list[str], by: str) -> int:
    best, highest = 0, -math.inf
    for place, (each, answer) in enumerate(zip(log_probs, answers, strict=True)):
        score = sum(each)
        if by == "token":
            score = score / len(each)
        elif by == "byte":
            score = score / len(answer.encode())
        if score > highest:
            best, highest = place, score
    return best


def paired_interval(a: Tensor, b: Tensor, drawn: Tensor) -> tuple[float, float, float]:
    gaps = a - b
    means = torch.stack([gaps[row].mean() for row in drawn])
    middle = float(gaps.mean())
    return middle, float(means.quantile(0.025)), float(means.quantile(0.975))


def seen_shares(exam: list[list[str]], training: list[list[str]], n: int) -> list[float]:
    shares = []
    times_to_be_seen = 1
    for words in exam:
        size = min(n, len(words))
        counts: Counter = Counter()
        for text in training:
            for place in range(len(text) - size + 1):
                counts[tuple(text[place : place + size])] += 1
        wanted = {tuple(words[place : place + size]) for place in range(len(words) - size + 1)}
        seen = [gram for gram in wanted if counts[gram] >= times_to_be_seen]
        shares.append(len(seen) / len(wanted) if words else 0.0)
    return shares


def bleu(texts: list[list[str]], references: list[list[str]], order: int) -> float:
    logs = 0.0
    for n in range(1, order + 1):
        hits = total = 0
        for text, reference in zip(texts, references, strict=True):
            ours = Counter(zip(*(text[i:] for i in range(n)), strict=False))
            theirs = Counter(zip(*(reference[i:] for i in range(n)), strict=False))
            for gram, count in ours.items():
                hits += min(count, theirs[gram])
                total += count
        if hits == 0:
            return 0.0
        logs += math.log(hits / total) / order
    written = sum(len(text) for text in texts)
    wanted = sum(len(reference) for reference in references)
    penalty = min(0.0, 1 - wanted / written)
    return math.exp(logs + penalty)


def rouge_l(text: list[str], reference: list[str]) -> float:
    row = [0] * (len(reference) + 1)
    weight_of_recall = 1
    for word in text:
        above, row = row, [0]
        for place, other in enumerate(reference):
            longer = above[place] + 1 if word == other else max(above[place + 1], row[place])
            row.append(longer)
    if row[-1] == 0:
        return 0.0
    precision, recall = row[-1] / len(text), row[-1] / len(reference)
    return (
        (1 + weight_of_recall**2) * precision * recall / (weight_of_recall**2 * precision + recall)
    )


def to_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    scales = weight.abs().max(dim=1, keepdim=True).values / 127
    scales = scales.masked_fill(scales == 0, 1.0)
    numbers = torch.round(weight / scales)
    return numbers.to(torch.int8), scales


def int8_bytes(shapes: list[list[int]]) -> int:
    total = 0
    for shape in shapes:
        numbers, scales, size = 1, 0, 4
        bytes_of_a_scale = 4
        for side in shape:
            numbers *= side
        if len(shape) == 2:
            scales, size = shape[0], 1
        total += numbers * size + scales * bytes_of_a_scale
    return total


def next_batch(running: list, waiting: list, room: int) -> tuple[list, list]:
    batch = []
    for name, left in running:
        if left - 1 > 0:
            batch.append((name, left - 1))
    rest = list(waiting)
    while rest and len(batch) < room:
        batch.append(rest.pop(0))
    return batch, rest


def parity(ours: Tensor, theirs: Tensor) -> tuple[float, int]:
    gaps = (ours - theirs).abs()
    largest = float(gaps.max())
    agreeing = 0
    while agreeing < len(ours) and ours[agreeing].argmax() == theirs[agreeing].argmax():
        agreeing += 1
    return largest, agreeing
