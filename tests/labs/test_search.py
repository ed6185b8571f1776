import math

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.labs.search import Between, grid, random, successive_halving, total_steps

RATES = Between(1e-4, 1e-1, by_ratio=True)


def test_a_grid_by_hand():
    found = grid({"lr": RATES, "name": ["a", "b"]}, 4)
    assert [c["name"] for c in found] == ["a", "b"] * 4
    assert [c["lr"] for c in found[::2]] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert grid({"x": Between(0, 3)}, 4) == [{"x": float(x)} for x in range(4)]


def test_random_draws_are_seeded_and_extend_each_other():
    space = {"lr": RATES, "layers": [1, 2, 4]}
    assert random(space, 9, seed=3)[:4] == random(space, 4, seed=3)
    assert random(space, 4, seed=3) != random(space, 4, seed=4)


def test_random_draws_are_spread_as_the_space_says():
    drawn = random({"lr": RATES, "x": Between(-1, 3), "layers": [1, 2, 4]}, 3000)
    shares = np.log10([c["lr"] for c in drawn])
    assert np.histogram(shares, bins=3, range=(-4, -1))[0] == pytest.approx([1000] * 3, abs=110)
    assert np.mean([c["x"] for c in drawn]) == pytest.approx(1, abs=0.1)
    assert np.unique([c["layers"] for c in drawn], return_counts=True)[1].min() > 880
    assert all(1e-4 <= c["lr"] <= 1e-1 and -1 <= c["x"] <= 3 for c in drawn)


def test_random_tries_more_values_of_what_matters_than_a_grid():
    space = {"matters": Between(0, 1), "does not": Between(0, 1)}
    assert len({c["matters"] for c in grid(space, 3)}) == 3
    assert len({c["matters"] for c in random(space, 9)}) == 9


class Runner:
    """A candidate whose score falls from `start` by `speed` a step, and no further than `end`."""

    def __init__(self, start: float, speed: float, end: float) -> None:
        self.start, self.speed, self.end, self.steps = start, speed, end, 0

    def __call__(self, steps: int) -> float:
        self.steps += steps
        return max(self.start - self.speed * self.steps, self.end)


def test_halving_by_hand():
    runners = [Runner(100, speed, 0) for speed in (1, 5, 3, 2, 9, 4, 7, 6, 8)]
    rungs = successive_halving(runners, first=2, eta=3)
    assert [rung.steps for rung in rungs] == [2, 6]
    assert rungs[0].scores == {i: 100 - 2 * r.speed for i, r in enumerate(runners)}
    assert rungs[0].kept == [4, 8, 6]
    assert rungs[1].scores == {4: 46, 8: 52, 6: 58}
    assert rungs[1].kept == [4]
    assert [runner.steps for runner in runners] == [2, 2, 2, 2, 6, 2, 6, 2, 6]
    assert total_steps(rungs) == sum(runner.steps for runner in runners) == 30


def test_a_slow_starter_is_lost():
    """What the method bets against."""
    runners = [Runner(10, 1, 5), Runner(10, 1.1, 6), Runner(10, 0.5, 0), Runner(10, 0.1, 3)]
    rungs = successive_halving(runners, first=2, eta=2)
    assert rungs[0].kept == [1, 0]
    assert runners[2].steps == 2


@pytest.mark.parametrize("n", range(1, 20))
@pytest.mark.parametrize("eta", [2, 3, 4])
def test_the_best_wins_whenever_the_order_never_changes(n, eta):
    runners = [Runner(100, (23 * i) % n + 1, -1e9) for i in range(n)]
    rungs = successive_halving(runners, first=1, eta=eta)
    assert runners[rungs[-1].kept[0]].speed == n
    assert len(rungs[-1].kept) == 1
    assert total_steps(rungs) == sum(runner.steps for runner in runners)


def test_a_run_that_diverged_is_worst():
    rungs = successive_halving([lambda steps: math.nan, lambda steps: 9.0], first=1, eta=2)
    assert rungs[-1].kept == [1]


def test_what_leads_nowhere():
    with pytest.raises(UserError, match="low=2"):
        Between(2, 1)
    with pytest.raises(UserError, match="0 < low"):
        Between(0, 1, by_ratio=True)
    with pytest.raises(UserError, match="two ends"):
        grid({"x": Between(0, 1)}, 1)
    with pytest.raises(UserError, match="0 candidates"):
        successive_halving([], first=1)
    with pytest.raises(UserError, match="eta=1"):
        successive_halving([lambda steps: 0.0], first=1, eta=1)
