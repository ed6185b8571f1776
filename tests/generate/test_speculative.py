"""Speculative decoding keeps the distribution: by enumeration, by counts, and by greed."""

import itertools

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.decode import generate
from llmcourse.generate.sampling import greedy
from llmcourse.generate.speculative import Counts, expected_written, residual, speculative, verify

GRID = [(n + 0.5) / 60 for n in range(60)]
P = torch.tensor([[3, 2, 1], [1, 1, 4]], dtype=torch.float64) / 6
Q = torch.tensor([[1, 2, 3]], dtype=torch.float64) / 6


def test_one_draft_keeps_the_distribution_exactly():
    """Probabilities are sixths, so a grid of sixtieths integrates over both uniforms exactly."""
    first, second = torch.zeros(3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    for token, u, v in itertools.product(range(3), GRID, GRID):
        written = verify(P, Q, torch.tensor([token]), torch.tensor([u, 0.0]), v)
        weight = Q[0, token] / 3600
        first[written[0]] += weight
        if len(written) == 2:
            second[written[0], written[1]] += weight
    torch.testing.assert_close(first, P[0], rtol=0, atol=1e-12)
    kept = torch.minimum(P[0], Q[0])
    torch.testing.assert_close(second, kept[:, None] * P[1], rtol=0, atol=1e-12)


def test_the_residual_is_a_distribution():
    assert residual(P[0], Q[0]).tolist() == [1.0, 0.0, 0.0]
    assert torch.equal(residual(Q[0], Q[0]), Q[0])


@pytest.mark.parametrize("n_draft", [1, 3, 6])
def test_greedy_is_the_large_models_greedy_text(make_wild, n_draft):
    large, small = make_wild(seed=0), make_wild(seed=1, n_layers=1)
    ids = torch.tensor([[2, 5, 1]])
    found = list(speculative(large, small, ids, max_new_tokens=15, n_draft=n_draft, greedy=True))
    assert found == [int(t) for t in generate(large, ids, max_new_tokens=15, sampler=greedy)]


def test_a_model_that_drafts_for_itself_is_always_right(make_wild):
    counts, model = Counts(), make_wild()
    dice = torch.Generator().manual_seed(0)
    ids = torch.tensor([[2, 5, 1]])
    list(
        speculative(model, model, ids, max_new_tokens=15, n_draft=4, generator=dice, counts=counts)
    )
    assert counts.acceptance == 1.0
    assert (counts.target_calls, counts.written) == (3, 15)
    assert expected_written(1.0, 4) == 5


def of_pairs(model, ids):
    """The exact distribution of the next two tokens."""
    with torch.no_grad():
        rows = [model(torch.cat([ids, torch.tensor([[a]])], 1)).logits[0] for a in range(3)]
    return torch.stack([(r[1].softmax(-1)[a] * r[2].softmax(-1)) for a, r in enumerate(rows)])


def chi_squared_above(limit, degrees, shift):
    """Chance that a chi-squared variable exceeds the limit: noncentral where `shift` is not 0."""
    k = torch.arange(400, dtype=torch.float64)
    half = torch.tensor(shift / 2, dtype=torch.float64)
    weights = (torch.xlogy(k, half) - half - torch.lgamma(k + 1)).exp()
    limits = torch.full_like(k, limit / 2)
    return float((weights * torch.special.gammaincc(degrees / 2 + k, limits)).sum())


def test_what_a_model_writes_has_the_models_distribution(make_wild):
    """Pairs of tokens, 300 texts: chi-squared at 0.1 %, with a power of 99 % against a leak.

    The leak: a quarter of the texts have the draft's distribution instead of the model's.
    """
    large, small = make_wild(vocab_size=3), make_wild(vocab_size=3, seed=5)
    ids, n, limit = torch.tensor([[2, 1]]), 300, 26.125
    exact, drafts = of_pairs(large, ids), of_pairs(small, ids)
    assert chi_squared_above(limit, 8, 0.0) == pytest.approx(0.001, rel=0.01)
    leak = 0.25 * (drafts - exact)
    assert chi_squared_above(limit, 8, n * float((leak**2 / exact).sum())) > 0.99

    def distance(target):
        dice, counted = torch.Generator().manual_seed(0), torch.zeros(3, 3)
        for _ in range(n):
            a, b = speculative(target, small, ids, max_new_tokens=2, n_draft=2, generator=dice)
            counted[a, b] += 1
        return float(((counted - n * exact) ** 2 / (n * exact)).sum())

    assert distance(large) < limit < distance(small)


def test_what_does_not_fit(make_wild):
    ids = torch.tensor([[1]])
    with pytest.raises(UserError, match="same tokenizer"):
        next(speculative(make_wild(), make_wild(vocab_size=8), ids, max_new_tokens=2))
    with pytest.raises(UserError, match="do not fit"):
        next(speculative(make_wild(), make_wild(), ids, max_new_tokens=99))
