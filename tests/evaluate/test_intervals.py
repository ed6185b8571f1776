"""Intervals against their definitions, and against what they promise: to hold the truth."""

import math

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.intervals import Z, bootstrap, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (50, 50), (97, 200), (1, 1)])
def test_wilsons_bounds_are_as_far_from_the_measured_share_as_they_say(right, n):
    share, low, high = wilson(right, n)
    assert share == right / n
    for bound in (low, high):  # the definition: |p^ - p| = z sqrt(p (1 - p) / n)
        distance = Z * math.sqrt(bound * (1 - bound) / n)
        assert abs(share - bound) == pytest.approx(distance, abs=1e-12)
    assert 0 <= low <= share <= high <= 1
    assert low < high


def test_wilson_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.binomtest(37, 120).proportion_ci(method="wilson")
    ours = wilson(37, 120, z=float(stats.norm.ppf(0.975)))
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(3, 2), (-1, 5), (0, 0)])
def test_a_share_that_cannot_be_is_refused(right, n):
    with pytest.raises(UserError, match="is no share"):
        wilson(right, n)


@pytest.mark.parametrize("p", [0.5, 0.9])
def test_wilson_holds_the_truth_19_times_out_of_20(p):
    rng = np.random.default_rng(0)
    held = [
        low <= p <= high for _, low, high in (wilson(int(k), 60) for k in rng.binomial(60, p, 2000))
    ]
    assert abs(np.mean(held) - 0.95) < 0.02


def test_the_bootstrap_holds_the_truth_most_times():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(200):  # texts of many lengths, two bits a byte on average
        counts = rng.integers(20, 200, size=80)
        totals = counts * rng.gamma(4, 0.5, size=80)
        _, low, high = bootstrap(totals, counts, rng, draws=400)
        held.append(low <= 2.0 <= high)
    assert 0.88 < np.mean(held) < 0.98


def test_the_bootstrap_draws_texts_with_what_belongs_to_them():
    totals, counts = np.array([10.0, 40.0]), np.array([10, 20])
    value, low, high = bootstrap(totals, counts, np.random.default_rng(0))
    assert value == pytest.approx(50 / 30)
    assert (low, high) == (1.0, 2.0)  # one of the two texts twice
    narrow = bootstrap(totals, counts, np.random.default_rng(0), level=0.6)
    assert (narrow.low, narrow.high) == (1.0, 2.0)  # a quarter of all draws each
    narrower = bootstrap(totals, counts, np.random.default_rng(0), level=0.4)
    assert narrower.low == narrower.high == value


def test_the_same_generator_gives_the_same_interval():
    numbers = np.arange(1.0, 30.0)
    one, other = (bootstrap(numbers, numbers + 1, np.random.default_rng(3)) for _ in range(2))
    assert one == other


def test_texts_without_their_counts_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="2 totals for 1 counts"):
        bootstrap(np.ones(2), np.ones(1), rng)
    with pytest.raises(UserError, match="0 totals"):
        bootstrap(np.ones(0), np.ones(0), rng)
