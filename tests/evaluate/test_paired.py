"""Paired tests against scipy, and against what they promise."""

import numpy as np
import pytest
from scipy import stats

from llmcourse.errors import UserError
from llmcourse.evaluate.paired import (
    compare,
    mcnemar,
    paired_bootstrap,
    permutation_test,
    questions_needed,
)


def answers(rng, n, share_a=0.7, share_b=0.6):
    """Right and wrong answers of two models to questions that are hard or easy for both."""
    ease = rng.random(n)
    return (ease < share_a) ^ (rng.random(n) < 0.1), (ease < share_b) ^ (rng.random(n) < 0.1)


def test_the_bootstrap_agrees_with_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 60), rng.normal(0.8, 1, 60)
    value, low, high = paired_bootstrap(a, b, rng, draws=20_000)
    theirs = stats.bootstrap(
        (a - b,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert value == pytest.approx((a - b).mean())
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_ratios_are_drawn_with_what_belongs_to_them():
    a, b, counts = np.array([10.0, 40.0]), np.array([0.0, 0.0]), np.array([10, 20])
    value, low, high = paired_bootstrap(a, b, np.random.default_rng(0), counts=counts)
    assert (value, low, high) == (pytest.approx(50 / 30), 1.0, 2.0)


def test_pairing_makes_the_interval_narrower():
    rng = np.random.default_rng(0)
    a, b = answers(rng, 500)
    paired = paired_bootstrap(a, b, rng)
    loose = paired_bootstrap(a, rng.permutation(b), rng)
    assert paired.high - paired.low < 0.75 * (loose.high - loose.low)


@pytest.mark.parametrize("n", [2, 5, 9])
def test_few_questions_exactly_as_scipy(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.5, 1, n), rng.normal(0, 1, n)
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).sum(axis=axis),
        permutation_type="samples", vectorized=True, n_resamples=np.inf,
    ).pvalue  # fmt: skip
    assert permutation_test(a, b, rng) == pytest.approx(theirs)


def test_many_questions_about_as_scipy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.25, 1, 50), rng.normal(0, 1, 50)
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).sum(axis=axis), permutation_type="samples",
        vectorized=True, n_resamples=20_000, rng=np.random.default_rng(1),
    ).pvalue  # fmt: skip
    assert permutation_test(a, b, rng, 20_000) == pytest.approx(theirs, abs=0.02)
    assert permutation_test(a, a, rng) == 1.0
    assert permutation_test(np.ones(30), np.zeros(30), rng, 99) == 0.01


@pytest.mark.parametrize("n", [6, 80, 3000])
def test_mcnemar_is_the_binomial_test(n):
    rng = np.random.default_rng(n)
    a, b = answers(rng, n)
    only = int((a & ~b).sum()), int((a ^ b).sum())
    assert mcnemar(a, b) == pytest.approx(stats.binomtest(*only).pvalue)
    assert mcnemar(b, a) == mcnemar(a, b)
    assert mcnemar(a, a) == 1.0
    long = np.arange(2000) < 1050
    assert mcnemar(long, ~long) == pytest.approx(stats.binomtest(1050, 2000).pvalue)


def test_equals_are_found_different_one_time_in_twenty():
    rng = np.random.default_rng(0)
    found = [answers(rng, 200, 0.7, 0.7) for _ in range(300)]
    assert np.mean([mcnemar(a, b) < 0.05 for a, b in found]) < 0.06
    some = [permutation_test(a, b, rng, 200) < 0.05 for a, b in found]
    assert 0.01 < np.mean(some) < 0.08


def test_compare_chooses_the_test():
    rng = np.random.default_rng(0)
    a, b = answers(rng, 300)
    found = compare(a, b, rng)
    assert found.p == mcnemar(a, b)
    assert found.difference.value == pytest.approx(a.mean() - b.mean())
    bits = compare(a + 0.5, b + 0.5, rng)
    assert bits.p != found.p
    assert bits.p < 0.01


def test_questions_needed_by_simulation():
    assert questions_needed(0.70, 0.72) == 3954
    independent, paired = questions_needed(0.7, 0.8), questions_needed(0.7, 0.8, both=0.65)
    assert paired < 0.6 * independent
    rng = np.random.default_rng(0)
    for n, together in ((independent, None), (paired, 0.65)):
        joint = [0.65, 0.05, 0.15, 0.15] if together else [0.56, 0.14, 0.24, 0.06]
        draws = rng.multinomial(n, joint, 4000)  # both, only a, only b, none
        gaps = (draws[:, 1] - draws[:, 2]) / n
        assert 0.1 / gaps.std() == pytest.approx(1.96, rel=0.05)


def test_complains():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="2 answers of one model and 3"):
        mcnemar(np.ones(2), np.ones(3))
    with pytest.raises(UserError, match="tells equals apart"):
        questions_needed(0.7, 0.7)
    with pytest.raises(UserError, match=r"both=0\.9"):
        questions_needed(0.7, 0.8, both=0.9)
    with pytest.raises(UserError, match="0 answers"):
        paired_bootstrap(np.ones(0), np.ones(0), rng)
