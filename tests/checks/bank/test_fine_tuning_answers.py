"""Right answers to the exercises of chapter 11, in the styles in which people write them."""

import math

import numpy as np
import pytest
import torch

from llmcourse.checks.bank import few_labels, fine_tuning


def row_by_row(hidden, lengths):
    return torch.stack([row[: int(n)].mean(dim=0) for row, n in zip(hidden, lengths, strict=True)])


def by_where(hidden, lengths):
    real = torch.arange(hidden.size(1))[None] < lengths[:, None]
    kept = torch.where(real[..., None], hidden, 0)
    return kept.sum(1) / real.sum(1, keepdim=True)


def by_einsum(hidden, lengths):
    real = (torch.arange(hidden.size(1)) < lengths[:, None]).to(hidden)
    return torch.einsum("btd,bt->bd", hidden, real / real.sum(1, keepdim=True))


def in_numpy(hidden, lengths):
    rows = [row[:n].mean(axis=0) for row, n in zip(hidden.numpy(), lengths.numpy(), strict=True)]
    return torch.from_numpy(np.stack(rows))


def by_running_sums(hidden, lengths):
    sums = hidden.cumsum(dim=1)
    return sums[torch.arange(len(hidden)), lengths - 1] / lengths[:, None]


def by_powers(n_layers, lr, decay):
    return [lr * decay ** (n_layers + 1 - g) for g in range(n_layers + 2)]


def by_logarithms(n_layers, lr, decay):
    return [math.exp(math.log(lr) + k * math.log(decay)) for k in range(n_layers + 1, -1, -1)]


def backwards(n_layers, lr, decay):
    rates = [lr]
    while len(rates) < n_layers + 2:
        rates.append(rates[-1] * decay)
    return rates[::-1]


def as_a_tensor(n_layers, lr, decay):
    return (lr * decay ** torch.arange(n_layers + 1, -1, -1, dtype=torch.float64)).tolist()


def by_counting(step, every, n_groups):
    n = min(1 + step // every, n_groups)
    return [False] * (n_groups - n) + [True] * n


def by_the_step_of_each(step, every, n_groups):
    return [step >= (n_groups - 1 - place) * every for place in range(n_groups)]


def as_a_mask(step, every, n_groups):
    return (torch.arange(n_groups) >= n_groups - 1 - step // every).tolist()


def as_ones(step, every, n_groups):
    return [int(n_groups - place <= 1 + step // every) for place in range(n_groups)]


def two_lists(weights, start, alpha):
    pairs = zip(weights, start, strict=True)
    return 0.5 * alpha * sum(((w - s) ** 2).sum() for w, s in pairs)


def one_long_vector(weights, start, alpha):
    far = torch.cat([(w - s).flatten() for w, s in zip(weights, start, strict=True)])
    return alpha * (far @ far) / 2


def by_norms(weights, start, alpha):
    total = torch.zeros(())
    for w, s in zip(weights, start, strict=True):
        total = total + torch.nn.functional.mse_loss(w, s, reduction="sum")
    return total * alpha / 2


def with_an_offset(weights, gradients, start, rates, moving, alpha, max_norm):
    *below, top = [g.clone() for g in gradients]
    for n, g in enumerate(below):
        below[n] = g + alpha * weights[n] - alpha * start[n]
    full = [*below, top]
    flat = torch.cat([g.reshape(-1) for g, moves in zip(full, moving, strict=True) if moves])
    factor = torch.clamp(max_norm / flat.norm(), max=1.0)
    after = [w.clone() for w in weights]
    for n in range(len(after)):
        if moving[n]:
            after[n] -= rates[n] * full[n] * factor
    return after


def by_autograd(weights, gradients, start, rates, moving, alpha, max_norm):
    leaves = [w.detach().clone().requires_grad_() for w in weights]
    pull = sum(alpha / 2 * ((w - s) ** 2).sum() for w, s in zip(leaves[:-1], start, strict=False))
    given = sum((w * g).sum() for w, g in zip(leaves, gradients, strict=True))
    (pull + given).backward()
    movers = [w for w, moves in zip(leaves, moving, strict=True) if moves]
    norm = math.sqrt(sum(float(w.grad.square().sum()) for w in movers))
    factor = min(1.0, max_norm / norm)
    steps = zip(leaves, rates, moving, strict=True)
    return [(w - rate * factor * w.grad).detach() if m else w.detach() for w, rate, m in steps]


def rates_of_zero(weights, gradients, start, rates, moving, alpha, max_norm):
    last = len(weights) - 1
    pulled = [
        gradients[n] + (alpha if n < last else 0.0) * (weights[n] - start[n])
        for n in range(len(weights))
    ]
    norm = torch.stack([g.norm() * m for g, m in zip(pulled, moving, strict=True)]).norm()
    scale = max_norm / max(float(norm), max_norm)
    return [
        w - r * m * scale * g for w, r, m, g in zip(weights, rates, moving, pulled, strict=True)
    ]


def with_lookups(words, draws, rate, synonyms, keep):
    fates = [
        w if d >= rate or w in keep else synonyms.get(w) for w, d in zip(words, draws, strict=True)
    ]
    return [w for w in fates if w is not None] or words


def place_by_place(words, draws, rate, synonyms, keep):
    new = []
    for i in range(len(words)):
        if draws[i] < rate and words[i] not in keep:
            if words[i] in synonyms:
                new += [synonyms[words[i]]]
        else:
            new += [words[i]]
    return new if len(new) > 0 else words.copy()


def by_deleting(words, draws, rate, synonyms, keep):
    new = list(words)
    for i in reversed(range(len(words))):
        if draws[i] < rate and words[i] not in keep:
            new[i : i + 1] = [synonyms[words[i]]] if words[i] in synonyms else []
    return new or words[:]


def with_infinity(losses, patience):
    best, lowest, wait = 0, math.inf, 0
    for n, loss in enumerate(losses):
        if loss < lowest:
            best, lowest, wait = n, loss, 0
        else:
            wait += 1
            if wait >= patience:
                return best, n
    return best, len(losses) - 1


def by_distance(losses, patience):
    for end in range(1, len(losses) + 1):
        best = min(range(end), key=losses.__getitem__)
        if end - 1 - best == patience:
            return best, end - 1
    return best, end - 1


def in_a_while(losses, patience):
    best = n = 0
    while n + 1 < len(losses) and n - best < patience:
        n += 1
        if losses[n] < losses[best]:
            best = n
    return best, n


def with_numpy(losses, patience):
    values = np.array(losses)
    for n in range(len(values)):
        best = int(values[: n + 1].argmin())
        if n - best >= patience:
            break
    return best, n


RIGHT = [
    *(
        (fine_tuning.masked_mean, f)
        for f in (row_by_row, by_where, by_einsum, in_numpy, by_running_sums)
    ),
    *((fine_tuning.layer_rates, f) for f in (by_powers, by_logarithms, backwards, as_a_tensor)),
    *((fine_tuning.thawed, f) for f in (by_counting, by_the_step_of_each, as_a_mask, as_ones)),
    *((fine_tuning.l2_sp, f) for f in (two_lists, one_long_vector, by_norms)),
    *((fine_tuning.fine_tuning_step, f) for f in (with_an_offset, by_autograd, rates_of_zero)),
    *((few_labels.thin_out, f) for f in (with_lookups, place_by_place, by_deleting)),
    *((few_labels.stop_early, f) for f in (with_infinity, by_distance, in_a_while, with_numpy)),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")


@pytest.mark.parametrize("answer", [10, 9.2, 10.9, 10.27])
def test_what_a_run_may_measure_is_right(answer):
    assert few_labels.turned_round.verdict(answer).status == "passed"
