"""Each function against its definition, worked through token by token, and against transformers."""

import math

import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.generate.penalties import repetition_penalty
from llmcourse.generate.sampling import (
    COLDEST,
    apply_temperature,
    greedy,
    min_p,
    sample,
    top_k,
    top_p,
    typical_p,
)

VOCAB = 9


@pytest.fixture(params=range(5), ids=lambda seed: f"seed {seed}")
def logits(request):
    generator = torch.Generator().manual_seed(request.param)
    return 2 * torch.randn(3, VOCAB, generator=generator, dtype=torch.float64)


def kept(scores):
    """Which tokens of each row are still possible; the others' scores must be untouched."""
    return [{i for i, x in enumerate(row) if x > -math.inf} for row in scores.tolist()]


def check_a_filter(logits, scores, expected):
    assert kept(scores) == expected
    survivors = scores > -math.inf
    assert torch.equal(scores[survivors], logits[survivors])


@pytest.mark.parametrize("k", [1, 2, 5, VOCAB, 100])
def test_top_k_by_its_definition(logits, k):
    ranked = [sorted(range(VOCAB), key=row.__getitem__, reverse=True) for row in logits.tolist()]
    check_a_filter(logits, top_k(logits, k), [set(row[:k]) for row in ranked])


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.7, 0.95, 1.0])
def test_top_p_by_its_definition(logits, p):
    expected = []
    for row in logits.softmax(-1).tolist():
        taken, total = set(), 0.0
        for token in sorted(range(VOCAB), key=row.__getitem__, reverse=True):
            taken.add(token)
            total += row[token]
            if total >= p and p < 1:
                break
        expected.append(taken)
    check_a_filter(logits, top_p(logits, p), expected)


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 1.0])
def test_min_p_by_its_definition(logits, p):
    rows = logits.softmax(-1).tolist()
    expected = [{i for i, x in enumerate(row) if x >= p * max(row)} for row in rows]
    check_a_filter(logits, min_p(logits, p), expected)


@pytest.mark.parametrize("p", [1e-9, 0.3, 0.7, 0.95, 1.0])
def test_typical_p_by_its_definition(logits, p):
    expected = []
    for row in logits.softmax(-1).tolist():
        entropy = -sum(x * math.log(x) for x in row)
        taken, total = set(), 0.0
        for token in sorted(range(VOCAB), key=lambda v: abs(-math.log(row[v]) - entropy)):
            taken.add(token)
            total += row[token]
            if total >= p and p < 1:
                break
        expected.append(taken)
    check_a_filter(logits, typical_p(logits, p), expected)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_typical_p_is_that_of_transformers(logits, p):
    from transformers import TypicalLogitsWarper

    theirs = TypicalLogitsWarper(mass=p)(torch.zeros(3, 1).long(), logits)
    assert torch.equal(typical_p(logits, p), theirs)


def test_typical_p_may_leave_out_the_likeliest_and_heeds_other_filters():
    peaked = torch.tensor([[0.4, *[0.1] * 6]]).log()
    assert typical_p(peaked, 0.3)[0, 0] == -math.inf
    filtered = typical_p(top_k(torch.tensor([[3.0, 2.0, 1.0, 0.0]]), 2), 0.99)
    assert kept(filtered) == [{0, 1}]


def test_temperature_by_its_definition(logits):
    for temperature in (0.5, 1.0, 2.0):
        weights = logits.softmax(-1) ** (1 / temperature)
        expected = weights / weights.sum(-1, keepdim=True)
        torch.testing.assert_close(apply_temperature(logits, temperature).softmax(-1), expected)


def test_repetition_penalty_by_its_definition(logits):
    ids = torch.tensor([[0, 3, 3], [8, 8, 8], [1, 2, 0]])
    expected = logits.clone()
    for row, seen in enumerate(ids.tolist()):
        for token in set(seen):
            x = float(logits[row, token])
            expected[row, token] = x / 1.3 if x > 0 else x * 1.3
    found = repetition_penalty(logits, ids, 1.3)
    assert torch.equal(found, expected)
    assert torch.equal(repetition_penalty(logits, ids, 1.0), logits)
    assert torch.equal(repetition_penalty(logits, ids[:, :0], 1.3), logits)


def test_they_agree_with_transformers(logits):
    from transformers import generation

    ids = torch.tensor([[0, 3, 3], [8, 8, 8], [1, 2, 0]])
    pairs = [
        (top_k(logits, 4), generation.TopKLogitsWarper(4)),
        (top_p(logits, 0.8), generation.TopPLogitsWarper(0.8)),
        (min_p(logits, 0.1), generation.MinPLogitsWarper(0.1)),
        (apply_temperature(logits, 0.7), generation.TemperatureLogitsWarper(0.7)),
        (repetition_penalty(logits, ids, 1.5), generation.RepetitionPenaltyLogitsProcessor(1.5)),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs(ids, logits), rtol=1e-12, atol=1e-12)


def test_they_take_any_number_of_axes_and_change_nothing(logits):
    before = logits.clone()
    ids = torch.tensor([[0, 3], [8, 8], [1, 2]])
    for function in (
        lambda x, i: apply_temperature(x, 0.5),
        lambda x, i: top_k(x, 3),
        lambda x, i: top_p(x, 0.6),
        lambda x, i: min_p(x, 0.2),
        lambda x, i: repetition_penalty(x, i, 1.2),
        lambda x, i: greedy(x),
        lambda x, i: sample(x, torch.Generator().manual_seed(0)),
    ):
        whole = function(logits, ids)
        assert torch.equal(function(logits[0], ids[0]), whole[0])
        assert function(logits[None], ids[None]).shape == (1, *whole.shape)
    assert torch.equal(logits, before)


def test_filters_compose_over_what_is_already_ruled_out(logits):
    scores = min_p(top_p(top_k(logits, 4), 0.9), 0.05)
    assert all(1 <= len(row) <= 4 for row in kept(scores))
    assert not torch.isnan(scores).any()
    assert torch.equal(greedy(scores), greedy(logits))


def test_ties():
    flat = torch.zeros(4)
    assert kept(top_k(flat, 2)[None]) == [{0, 1, 2, 3}]
    assert len(kept(top_p(flat, 0.5)[None])[0]) == 2
    assert kept(min_p(flat, 1.0)[None]) == [{0, 1, 2, 3}]
    assert int(greedy(flat)) == 0


def test_top_p_of_one_keeps_a_tail_that_rounding_would_lose():
    logits = torch.tensor([20.0, 0.0, -20.0])
    assert kept(top_p(logits, 1.0)[None]) == [{0, 1, 2}]


def test_top_p_adds_up_in_full_precision():
    half = torch.zeros(5000, dtype=torch.bfloat16)
    assert len(kept(top_p(half, 0.5)[None])[0]) in range(2499, 2502)


def test_sampling_follows_the_probabilities():
    logits = torch.tensor([0.5, 0.2, 0.3, 0.0]).log()
    drawn = sample(logits.expand(40_000, 4), torch.Generator().manual_seed(0))
    frequencies = torch.bincount(drawn, minlength=4) / len(drawn)
    assert frequencies[3] == 0
    # Four standard deviations of a frequency from 40 000 draws are at most 0.01.
    torch.testing.assert_close(frequencies, logits.exp(), rtol=0, atol=0.01)


def test_the_same_generator_draws_the_same(logits):
    draws = [sample(logits, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)


def test_the_coldest_temperature_draws_the_likeliest(logits):
    cold = apply_temperature(logits.float() * 100, COLDEST)
    assert torch.equal(sample(cold), greedy(logits))


@pytest.mark.parametrize(
    ("function", "value", "name"),
    [
        *((apply_temperature, t, "temperature") for t in (0.0, -1.0, 1e-9, math.inf, math.nan)),
        *((top_k, k, "top_k") for k in (0, -1)),
        *((top_p, p, "top_p") for p in (0.0, -0.1, 1.1, math.nan)),
        *((typical_p, p, "typical_p") for p in (0.0, -0.1, 1.1, math.nan)),
        *((min_p, p, "min_p") for p in (-0.1, 1.1, math.nan)),
        *(
            (lambda x, penalty: repetition_penalty(x, torch.zeros(3, 1).long(), penalty), p, "rep")
            for p in (0.9, 0.0, -1.0, math.inf, math.nan)
        ),
    ],
)
def test_values_out_of_range_are_refused(function, value, name):
    with pytest.raises(UserError, match=name):
        function(torch.zeros(3, 4), value)


@pytest.mark.parametrize("cut", [top_p, typical_p])
def test_a_probability_that_rounds_to_nothing_keeps_one_token(cut):
    kept = cut(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]), 5e-324).isfinite()
    assert kept.sum(-1).tolist() == [1, 1]
