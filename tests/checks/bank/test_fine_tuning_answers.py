"""Right answers to the exercises of chapter 11, in the styles in which people write them."""

import itertools
import math

import numpy as np
import pytest
import torch
from others_answers import right_answers

from llmcourse.checks.bank import few_labels, fine_tuning, pooling, tuning_step


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


def without_nan(hidden, lengths):
    filled = torch.arange(hidden.size(1)) >= lengths[:, None]
    return hidden.masked_fill(filled[..., None], torch.nan).nanmean(dim=1)


def updated_on_the_way(hidden, lengths):
    mean = hidden[:, 0].clone()
    for t in range(1, hidden.size(1)):
        mean = torch.where((t < lengths)[:, None], mean + (hidden[:, t] - mean) / (t + 1), mean)
    return mean


def number_by_number_in_float64(hidden, lengths):
    n_rows, _, width = hidden.shape
    means = torch.zeros(n_rows, width, dtype=torch.float64)
    for b in range(n_rows):
        for d in range(width):
            means[b, d] = sum(hidden[b, t, d].item() for t in range(lengths[b])) / lengths[b].item()
    return means


def by_accumulating(n_layers, lr, decay):
    factors = [lr, *[decay] * (n_layers + 1)]
    return list(itertools.accumulate(factors, lambda rate, factor: rate * factor))[::-1]


def by_recursion(n_layers, lr, decay):
    return [lr * decay, lr] if n_layers == 0 else [*_below(n_layers, lr, decay), lr]


def _below(n_layers, lr, decay):
    return by_recursion(n_layers - 1, lr * decay, decay)


def by_living_through_it(step, every, n_groups):
    moving, coldest = [False] * n_groups, n_groups - 1
    for now in range(step + 1):
        if now % every == 0 and coldest >= 0:
            moving[coldest] = True
            coldest -= 1
    return moving


def from_a_first_sum_of_shape_one(weights, start, alpha):
    total = torch.zeros(1)
    for w, s in zip(weights, start, strict=True):
        total = total + torch.einsum("...,...->", w - s, w - s) * alpha / 2
    return total


def as_parameter_vectors_in_float64(weights, start, alpha):
    vector = torch.nn.utils.parameters_to_vector
    far = vector(weights).double() - vector(start).double()
    return 0.5 * alpha * far.dot(far)


def with_the_clipping_of_torch(weights, gradients, start, rates, moving, alpha, max_norm):
    parameters = [torch.nn.Parameter(w.detach().clone()) for w in weights]
    for n, parameter in enumerate(parameters):
        pull = alpha * (weights[n] - start[n]) if n < len(weights) - 1 else 0.0
        parameter.grad = gradients[n] + pull
    movers = [(p, rate) for p, rate, moves in zip(parameters, rates, moving, strict=True) if moves]
    torch.nn.utils.clip_grad_norm_([p for p, _ in movers], max_norm)
    torch.optim.SGD([{"params": [p], "lr": rate} for p, rate in movers], lr=1.0).step()
    return [p.detach() for p in parameters]


def in_numpy_with_float64(weights, gradients, start, rates, moving, alpha, max_norm):
    w, g, s = ([t.numpy().astype(float) for t in ts] for ts in (weights, gradients, start))
    g = [g[n] + alpha * (w[n] - s[n]) for n in range(len(w) - 1)] + g[-1:]
    norm = np.linalg.norm(np.concatenate([x.ravel() for x, m in zip(g, moving, strict=True) if m]))
    scale = min(1.0, max_norm / norm)
    return [torch.tensor(w[n] - moving[n] * rates[n] * scale * g[n]) for n in range(len(w))]


def one_word_and_the_rest(words, draws, rate, synonyms, keep):
    def rest(i):
        if i == len(words):
            return []
        if draws[i] >= rate or words[i] in keep:
            return [words[i], *rest(i + 1)]
        return [synonyms[w] for w in words[i : i + 1] if w in synonyms] + rest(i + 1)

    return rest(0) or words


def one_evaluation_and_the_rest(losses, patience):
    def rest(best, n):
        if n - best >= patience or n == len(losses) - 1:
            return best, n
        return rest(n + 1 if losses[n + 1] < losses[best] else best, n + 1)

    return rest(0, 0)


def by_running_minima(losses, patience):
    values = np.array(losses)
    lowest = np.minimum.accumulate(values)
    better = np.r_[True, values[1:] < lowest[:-1]]
    best = np.maximum.accumulate(np.where(better, np.arange(len(values)), 0))
    lost = np.flatnonzero(np.arange(len(values)) - best >= patience)
    last = lost[0] if len(lost) else len(values) - 1
    return best[last], last


RIGHT = [
    (pooling.masked_mean, without_nan),
    (pooling.masked_mean, updated_on_the_way),
    (pooling.masked_mean, number_by_number_in_float64),
    (fine_tuning.layer_rates, by_accumulating),
    (fine_tuning.layer_rates, by_recursion),
    (fine_tuning.thawed, by_living_through_it),
    (fine_tuning.l2_sp, from_a_first_sum_of_shape_one),
    (fine_tuning.l2_sp, as_parameter_vectors_in_float64),
    (tuning_step.fine_tuning_step, with_the_clipping_of_torch),
    (tuning_step.fine_tuning_step, in_numpy_with_float64),
    (few_labels.thin_out, one_word_and_the_rest),
    (few_labels.stop_early, one_evaluation_and_the_rest),
    (few_labels.stop_early, by_running_minima),
    *(
        (pooling.masked_mean, f)
        for f in (row_by_row, by_where, by_einsum, in_numpy, by_running_sums)
    ),
    *((fine_tuning.layer_rates, f) for f in (by_powers, by_logarithms, backwards, as_a_tensor)),
    *((fine_tuning.thawed, f) for f in (by_counting, by_the_step_of_each, as_a_mask, as_ones)),
    *((fine_tuning.l2_sp, f) for f in (two_lists, one_long_vector, by_norms)),
    *((tuning_step.fine_tuning_step, f) for f in (with_an_offset, by_autograd, rates_of_zero)),
    *((few_labels.thin_out, f) for f in (with_lookups, place_by_place, by_deleting)),
    *((few_labels.stop_early, f) for f in (with_infinity, by_distance, in_a_while, with_numpy)),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


@pytest.mark.parametrize("answer", [10, 9.2, 10.9, 10.27])
def test_what_a_run_may_measure_is_right(answer):
    assert few_labels.turned_round.verdict(answer).status == "passed"


@pytest.mark.parametrize(
    ("measured", "name"),
    [
        (20.3, "as if every sentence were negated"),
        (51.3, "as if every negated sentence lost its not"),
        (0.102, "a share instead of a number in a hundred"),
        (79.6, "those that kept it, of the negated alone"),
        (41, "those that kept it"),
        (89.8, "all that did not lose it"),
    ],
)
def test_a_measured_mistake_is_known(measured, name):
    assert f"✗ turned_round: {name}\n" in few_labels.turned_round.verdict(measured).text
