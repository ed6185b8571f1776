"""Right answers to the exercises on hiding, in the styles in which people write them."""

import itertools

import numpy as np
import pytest
import torch

from llmcourse.checks.bank import denoising, masking


def place_by_place(tokens, chosen, fate, noise, mask_id):
    read, asked = [], []
    for t in range(len(tokens)):
        if not chosen[t]:
            read.append(int(tokens[t]))
        elif fate[t] < 0.8:
            read.append(mask_id)
        elif fate[t] < 0.9:
            read.append(int(noise[t]))
        else:
            read.append(int(tokens[t]))
        asked.append(int(tokens[t]) if chosen[t] else -100)
    return torch.tensor(read), torch.tensor(asked)


def by_where(tokens, chosen, fate, noise, mask_id):
    inner = torch.where(fate < 0.8, torch.full_like(tokens, mask_id), tokens)
    inner = torch.where((fate >= 0.8) & (fate < 0.9), noise, inner)
    return torch.where(chosen, inner, tokens), torch.where(chosen, tokens, -100)


def noise_first(tokens, chosen, fate, noise, mask_id):
    ids = tokens.clone()
    ids[chosen & (fate < 0.9)] = noise[chosen & (fate < 0.9)]
    ids[chosen & (fate < 0.8)] = mask_id
    targets = torch.full(tokens.shape, -100)
    targets[chosen] = tokens[chosen]
    return ids, targets


def in_numpy(tokens, chosen, fate, noise, mask_id):
    tokens, chosen, noise, fate = (x.numpy() for x in (tokens, chosen, noise, fate))
    stays = ~chosen | (fate >= 0.9)
    ids = np.select([stays, fate < 0.8], [tokens, mask_id], noise)
    return torch.from_numpy(ids), torch.from_numpy(np.where(chosen, tokens, -100))


def token_by_token(words, draws, rate):
    return torch.tensor([bool(draws[word] < rate) for word in words])


def gathered(words, draws, rate):
    return draws.gather(0, words).lt(rate)


def hidden_words(words, draws, rate):
    return torch.isin(words, torch.nonzero(draws < rate).flatten())


def as_numbers(words, draws, rate):
    return (torch.index_select(draws, 0, words) < rate).long()


def pair_by_pair(order):
    places = order.tolist()
    n = len(places)
    content, query = (torch.zeros(n, n, dtype=torch.bool) for _ in range(2))
    for t, s in itertools.product(range(n), repeat=2):
        query[t, s] = places.index(s) < places.index(t)
        content[t, s] = query[t, s] or t == s
    return content, query


def walked(order):
    n = len(order)
    content, query = torch.zeros(2, n, n, dtype=torch.bool)
    for i, place in enumerate(order):
        query[place, order[:i]] = True
        content[place, order[: i + 1]] = True
    return content, query


def a_triangle_moved(order):
    back = torch.argsort(order)
    lower = torch.ones(len(order), len(order)).tril()
    return lower[back][:, back] > 0, (lower - torch.eye(len(order)))[back][:, back] > 0


def scattered(order):
    n = len(order)
    content = torch.zeros(n, n, dtype=torch.bool)
    content[order[:, None], order[None, :]] = torch.ones(n, n, dtype=torch.bool).tril()
    return content, content & ~torch.eye(n, dtype=torch.bool)


def grouped(tokens, hidden, first_sentinel):
    source, target, n = [], [], first_sentinel
    for gone, run in itertools.groupby(zip(tokens, hidden, strict=True), key=lambda pair: pair[1]):
        piece = [token for token, _ in run]
        if gone:
            source += [n]
            target += [n, *piece]
            n += 1
        else:
            source += piece
    return source, target + [n]  # noqa: RUF005


def two_pointers(tokens, hidden, first_sentinel):
    source, target, t, n = [], [], 0, first_sentinel
    while t < len(tokens):
        if not hidden[t]:
            source.append(tokens[t])
            t += 1
            continue
        end = t
        while end < len(tokens) and hidden[end]:
            end += 1
        source.append(n)
        target.extend([n, *tokens[t:end]])
        n, t = n + 1, end
    target.append(n)
    return source, target


def counted(tokens, hidden, first_sentinel):
    """Where runs begin, by differences; each token's gap by a running count."""
    gone = np.array(hidden, dtype=int)
    begins = np.diff(gone, prepend=0) == 1
    gaps = first_sentinel - 1 + np.cumsum(begins)
    source, target = [], []
    for token, hide, begin, gap in zip(tokens, gone, begins, gaps, strict=True):
        if begin:
            source.append(int(gap))
            target.append(int(gap))
        (target if hide else source).append(token)
    return source, [*target, first_sentinel + int(begins.sum())]


RIGHT = [
    *((masking.hide_tokens, f) for f in (place_by_place, by_where, noise_first, in_numpy)),
    *((masking.choose_words, f) for f in (token_by_token, gathered, hidden_words, as_numbers)),
    *((masking.order_masks, f) for f in (pair_by_pair, walked, a_triangle_moved, scattered)),
    *((denoising.cut_spans, f) for f in (grouped, two_pointers, counted)),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")
