"""Right and wrong answers to the exercises of chapter 15, as people write them."""

import bisect
import heapq
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from others_answers import right_answers, wrong_answers

from llmcourse.checks.bank import decoding, drafting, generation

# Right answers in other styles


def by_a_running_sum(logits, temperature, u):
    total = 0.0
    for token, chance in enumerate(F.softmax(logits / temperature, -1)):
        total += chance.item()
        if total > u:
            return token
    return len(logits) - 1


def by_bisection(logits, temperature, u):
    z = [x / temperature for x in logits.tolist()]
    odds = [math.exp(x - max(z)) for x in z]
    sums = list(itertools.accumulate(x / sum(odds) for x in odds))
    return bisect.bisect_right(sums, u)


def by_searchsorted(logits, temperature, u):
    sums = torch.cumsum((logits.double() / temperature).softmax(0), 0)
    return torch.searchsorted(sums, torch.tensor(u, dtype=torch.float64), right=True)


def by_counting(logits, temperature, u):
    sums = (logits / temperature).softmax(-1).cumsum(-1).numpy()
    return np.sum(sums <= u)


def token_by_token(logits, p):
    chances, kept, total = logits.softmax(0), [], 0.0
    for token in sorted(range(len(logits)), key=lambda v: -float(chances[v])):
        if total >= p and kept:
            break
        kept.append(token)
        total += float(chances[token])
    found = torch.full_like(logits, -float("inf"))
    found[kept] = logits[kept]
    return found


def by_scatter(logits, p):
    ordered, order = torch.sort(logits, descending=True)
    sums = ordered.softmax(-1).cumsum(-1)
    drop = torch.cat([torch.tensor([False]), sums[:-1] >= p])
    back = torch.empty_like(drop)
    back[order] = drop
    return torch.where(back, torch.tensor(float("-inf"), dtype=logits.dtype), logits)


def from_the_small_end(logits, p):
    ordered, order = logits.sort()
    drop = ordered.softmax(-1).cumsum(-1) <= 1 - p
    drop[-1] = False
    out = logits.clone()
    out[order[drop]] = -math.inf
    return out


def all_pairs(logits, p):
    chances = logits.softmax(0)
    likelier = chances[None, :] > chances[:, None]
    return logits.masked_fill((likelier * chances).sum(1) >= p, -math.inf)


def with_a_heap(scores, ids, n_beams, n, end, alpha):
    beams, done = [(0.0, tuple(ids))], []
    for _ in range(n):
        longer = (
            (total + float(score), (*text, token))
            for total, text in beams
            for token, score in enumerate(scores(list(text)))
        )
        beams = []
        for one in heapq.nlargest(n_beams, longer):
            (done if one[1][-1] == end else beams).append(one)
        if not beams:
            break
    texts = done + beams
    return list(max(texts, key=lambda one: one[0] / max(1, len(one[1]) - len(ids)) ** alpha)[1])


def with_tensors(scores, ids, n_beams, n, end, alpha):
    texts, sums = [list(ids)], torch.zeros(1, dtype=torch.float64)
    best, worth = list(ids), -math.inf
    for length in range(1, n + 1):
        table = torch.stack([scores(text) for text in texts]) + sums[:, None]
        values, places = table.flatten().topk(min(n_beams, table.numel()))
        rows, tokens = places // table.size(1), places % table.size(1)
        longer = [[*texts[r], t] for r, t in zip(rows.tolist(), tokens.tolist(), strict=True)]
        going = []
        for text, total in zip(longer, values.tolist(), strict=True):
            if text[-1] == end or length == n:
                if total / length**alpha > worth:
                    best, worth = text, total / length**alpha
            else:
                going.append((text, total))
        if not going:
            break
        texts, sums = [g[0] for g in going], torch.tensor([g[1] for g in going]).double()
    return best


def with_recursion(scores, ids, n_beams, n, end, alpha):
    def step(beams, left):
        if left == 0 or not beams:
            return beams
        new = [
            (s + x.item(), [*t, v])
            for s, t in beams
            for v, x in zip(range(99), scores(t))  # noqa: B905
        ]
        new = sorted(new, key=lambda one: -one[0])[0:n_beams]
        ended = [one for one in new if one[1][-1] == end]
        return ended + step([one for one in new if one not in ended], left - 1)

    found = step([(0, ids[:])], n)
    found.sort(key=lambda one: one[0] * max(len(one[1]) - len(ids), 1) ** -alpha)
    return found[-1][1]


def by_the_library(q, k, v, keys, values):
    keys, values = torch.vstack([keys, k]), torch.vstack([values, v])
    return F.scaled_dot_product_attention(q[None], keys, values)[0], keys, values


def as_a_list(q, k, v, keys, values):
    keys = torch.cat((keys, k.unsqueeze(0)), dim=0)
    values = torch.cat((values, v.unsqueeze(0)), dim=0)
    scores = torch.einsum("k,sk->s", q, keys) / math.sqrt(keys.shape[1])
    return [torch.einsum("s,sk->k", F.softmax(scores, 0), values), keys, values]


def token_by_token_attention(q, k, v, keys, values):
    all_keys, all_values = [*keys, k], [*values, v]
    scores = torch.stack([(q * one).sum() * len(q) ** -0.5 for one in all_keys])
    weights = (scores - scores.logsumexp(0)).exp()
    out = sum(w * one for w, one in zip(weights, all_values, strict=True))
    return out, torch.stack(all_keys), torch.stack(all_values)


def depth_first(steps, ends, state, pieces):
    def can_end(at, seen=()):
        if at in ends:
            return True
        after = {there for (here, _), there in steps.items() if here == at}
        return any(can_end(one, (*seen, at)) for one in after if one not in seen)

    def one(piece):
        at = state
        for character in piece:
            if (at, character) not in steps:
                return False
            at = steps[at, character]
        return can_end(at) if piece else False

    return [one(piece) for piece in pieces]


def with_a_queue(steps, ends, state, pieces):
    before = {}
    for (here, _), there in steps.items():
        before.setdefault(there, []).append(here)
    queue, alive = list(ends), set(ends)
    while queue:
        for here in before.get(queue.pop(), []):
            if here not in alive:
                alive.add(here)
                queue.append(here)
    found = np.zeros(len(pieces), dtype=bool)
    for number, piece in enumerate(pieces):
        at = state
        try:
            for character in piece:
                at = steps[(at, character)]
        except KeyError:
            continue
        found[number] = len(piece) > 0 and at in alive
    return found.tolist()


def as_a_tensor(steps, ends, state, pieces):
    return torch.tensor(depth_first(steps, ends, state, pieces), dtype=torch.bool)


def multiplied_out(p, q, token, u, v):
    if u * q[token] < p[token]:
        return token
    more = torch.relu(p - q)
    return int((more.cumsum(0) / more.sum() <= v).sum())


def in_numpy(p, q, token, u, v):
    p, q = p.double().numpy(), q.double().numpy()
    if u < min(1.0, p[token] / q[token]):
        return token
    more = np.maximum(p - q, 0)
    return np.argmax(np.cumsum(more) / more.sum() > v)


def by_hand(p, q, token, u, v):
    ratio = (p[token] / q[token]).item()
    if ratio > u:
        return torch.tensor(token)
    more = [max(a - b, 0.0) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    total = 0.0
    for place, each in enumerate(more):
        total += each / sum(more)
        if total > v:
            return place
    raise AssertionError("the sums end at one")


RIGHT = [
    *(
        (generation.draw_token, answer)
        for answer in (by_a_running_sum, by_bisection, by_searchsorted, by_counting)
    ),
    *(
        (generation.top_p, answer)
        for answer in (token_by_token, by_scatter, from_the_small_end, all_pairs)
    ),
    *((generation.beam_search, a) for a in (with_a_heap, with_tensors, with_recursion)),
    *((drafting.accept_or_replace, answer) for answer in (multiplied_out, in_numpy, by_hand)),
    *((decoding.attend_next, a) for a in (by_the_library, as_a_list, token_by_token_attention)),
    *((decoding.allowed, answer) for answer in (depth_first, with_a_queue, as_a_tensor)),
]


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)


# Wrong answers that are not the bank's own functions, and the mistake that is heard


def rescaled_after_the_softmax(logits, temperature, u):
    chances = logits.softmax(0) ** temperature
    return by_a_running_sum((chances / chances.sum()).log(), 1.0, u)


def greedy_at_once(logits, temperature, u):
    return int(torch.argmax(logits / temperature))


def no_temperature(logits, temperature, u):
    return by_bisection(logits, 1.0, u)


def the_crossing_one_is_cut(logits, p):
    ordered, order = logits.sort(descending=True)
    out = logits.clone()
    out[order[ordered.softmax(0).cumsum(0) > p]] = -math.inf
    return out


def zero_is_no_chance(logits, p):
    return torch.where(token_by_token(logits, p).isinf(), torch.zeros_like(logits), logits)


def kept_in_the_sorted_order(logits, p):
    return token_by_token(logits, p).sort(descending=True).values


def unmasked_probabilities(logits, p):
    return token_by_token(logits, p).softmax(-1)


def only_one_beam(scores, ids, n_beams, n, end, alpha):
    return with_a_heap(scores, ids, 1, n, end, alpha)


def length_is_free(scores, ids, n_beams, n, end, alpha):
    return with_tensors(scores, ids, n_beams, n, end, 0)


def without_the_prompt(scores, ids, n_beams, n, end, alpha):
    return with_recursion(scores, ids, n_beams, n, end, alpha)[len(ids) :]


def blind_for_the_past(scores, ids, n_beams, n, end, alpha):
    return with_a_heap(lambda text: scores([text[-1]]), ids, n_beams, n, end, alpha)


def never_looks_at_itself(q, k, v, keys, values):
    _, longer, more = by_the_library(q, k, v, keys, values)
    if not len(keys):
        return torch.zeros_like(q), longer, more
    return (keys @ q / len(q) ** 0.5).softmax(0) @ values, longer, more


def unscaled(q, k, v, keys, values):
    _, keys, values = by_the_library(q, k, v, keys, values)
    return F.scaled_dot_product_attention(q[None], keys, values, scale=1.0)[0], keys, values


def forgets(q, k, v, keys, values):
    return by_the_library(q, k, v, keys, values)[0], keys, values


def no_look_ahead(steps, ends, state, pieces):
    return depth_first(steps, set(range(99)), state, pieces)


def first_letters(steps, ends, state, pieces):
    return depth_first(steps, ends, state, [piece[:1] for piece in pieces])


def from_zero(steps, ends, state, pieces):
    return depth_first(steps, ends, 0, pieces)


def redrawn_from_p(p, q, token, u, v):
    return token if u < p[token] / q[token] else int((p.cumsum(0) <= v).sum())


def below_p(p, q, token, u, v):
    return token if u < p[token] else multiplied_out(p, q, token, 2.0**40, v)


def q_over_p(p, q, token, u, v):
    return token if u < q[token] / p[token] else multiplied_out(p, q, token, 2.0**40, v)


WRONG = [
    (generation.draw_token, greedy_at_once, "the likeliest token"),
    (generation.draw_token, no_temperature, "the temperature forgotten"),
    (generation.draw_token, rescaled_after_the_softmax, "multiplied by the temperature"),
    (generation.top_p, the_crossing_one_is_cut, "the token that reaches p is cut"),
    (generation.top_p, zero_is_no_chance, "zeros in place of minus infinity"),
    (generation.top_p, unmasked_probabilities, "probabilities are returned"),
    (generation.top_p, kept_in_the_sorted_order, None),
    (generation.beam_search, only_one_beam, "greedy"),
    (generation.beam_search, length_is_free, "no length penalty"),
    (generation.beam_search, without_the_prompt, "the prompt left out"),
    (generation.beam_search, blind_for_the_past, "the model sees the last token alone"),
    (decoding.attend_next, never_looks_at_itself, "the new token does not see itself"),
    (decoding.attend_next, unscaled, "no square root"),
    (decoding.attend_next, forgets, "the cache as it was"),
    (decoding.allowed, no_look_ahead, "dead ends allowed"),
    (decoding.allowed, first_letters, "the first character alone"),
    (decoding.allowed, from_zero, "always from the beginning"),
    (drafting.accept_or_replace, redrawn_from_p, "replaced from p"),
    (drafting.accept_or_replace, below_p, "accepted with probability p"),
    (drafting.accept_or_replace, q_over_p, "the ratio upside down"),
]


test_a_wrong_answer_hears_its_cause = wrong_answers(WRONG)


@pytest.mark.parametrize(
    ("check", "answer", "named"),
    [
        (decoding.best_speed, decoding._speed(12), "the longest draft"),
        (decoding.best_speed, 5, "the number of tokens drafted"),
        (decoding.best_speed, 3.97, "the draft's time forgotten"),
        (decoding.why_not_longer, "b", "it is not b"),
        (generation.penalty_bug, "a", "it is not a"),
    ],
)
def test_wrong_measurements_and_choices_are_told(check, answer, named):
    assert check.verdict(answer).mistake.name == named


def test_the_experiment_has_its_best_inside_its_range():
    """The exercise says that longer is not always faster, and that the top is flat."""
    speeds = [decoding._speed(n) for n in range(1, decoding.LONGEST + 1)]
    best = speeds.index(max(speeds))
    assert 1 < best < len(speeds) - 2
    assert min(speeds[best - 1], speeds[best + 1]) > 0.98 * speeds[best]
    p, q = decoding.pair()
    assert torch.allclose(p.sum(), torch.ones(()).double())
    assert torch.allclose(q.sum(), torch.ones(()).double())
