"""Scaling laws: fits to laws whose constants are known, and the split against a search."""

import json
from pathlib import Path

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.planning.laws import (
    PUBLISHED,
    Law,
    Rung,
    effective_tokens,
    fit_law,
    power_law,
)
from llmcourse.planning.recorded import LADDERS, LAPTOP_RUN

CHINCHILLA = Law(E=1.69, A=406.4, alpha=0.34, B=410.7, beta=0.28)
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"


def rungs_of(law: Law, noise: float = 0.0, seed: int = 0) -> list[Rung]:
    rng = np.random.default_rng(seed)
    grid = [(n, d) for n in (1e6, 1e7, 1e8, 1e9) for d in (1e7, 1e8, 1e9, 1e10)]
    return [Rung(n, d, law.loss(n, d) * float(np.exp(noise * rng.normal()))) for n, d in grid]


@pytest.mark.parametrize("law", [CHINCHILLA, Law(E=0.5, A=30, alpha=0.25, B=900, beta=0.5)])
def test_a_law_is_found_again(law):
    found = fit_law(rungs_of(law), resamplings=5)
    for one in (found.law, *found.resampled):
        assert vars(one) == pytest.approx(vars(law), rel=1e-4)


def test_a_floor_that_is_known_is_kept():
    found = fit_law(rungs_of(CHINCHILLA), entropy=1.69, resamplings=5).law
    assert vars(found) == pytest.approx(vars(CHINCHILLA), rel=1e-4)


def test_noise_widens_the_intervals_and_one_bad_run_is_forgiven():
    point = 1e10, 1e11
    widths = []
    for noise in (0.001, 0.01):
        fit = fit_law(rungs_of(CHINCHILLA, noise), resamplings=60)
        low, high = fit.interval(*point)
        widths.append(high - low)
        assert low < high
        assert fit.law.loss(*point) == pytest.approx(CHINCHILLA.loss(*point), rel=0.05)
        assert fit.range_of("alpha")[0] <= fit.law.alpha <= fit.range_of("alpha")[1] + 0.02
    assert widths[0] < widths[1]
    rungs = rungs_of(CHINCHILLA)
    rungs[5] = rungs[5]._replace(loss=1.3 * rungs[5].loss)
    assert fit_law(rungs, resamplings=1).law.alpha == pytest.approx(0.34, rel=0.02)


def test_intervals_repeat_and_depend_on_the_level():
    rungs = rungs_of(CHINCHILLA, 0.01)
    one, two = (fit_law(rungs, resamplings=30) for _ in range(2))
    assert one.interval(1e9, 1e9) == two.interval(1e9, 1e9)
    inner, outer = one.interval(1e9, 1e9, 0.5), one.interval(1e9, 1e9, 0.95)
    assert outer[0] <= inner[0] <= inner[1] <= outer[1]


@pytest.mark.parametrize("law", [CHINCHILLA, PUBLISHED, Law(E=0, A=3, alpha=0.5, B=3, beta=0.5)])
def test_the_best_split_is_the_best(law):
    flops = 1e18
    best = law.best_split(flops)
    assert 6 * best.parameters * best.tokens == pytest.approx(flops)
    sizes = best.parameters * np.geomspace(0.01, 100, 20001)
    losses = [law.loss(n, flops / 6 / n) for n in sizes]
    assert sizes[int(np.argmin(losses))] == pytest.approx(best.parameters, rel=1e-2)


def test_what_says_too_little_is_refused():
    rungs = rungs_of(CHINCHILLA)
    for few in (rungs[:4], [r for r in rungs if r.parameters == 1e6] * 2):
        with pytest.raises(UserError, match="say too little"):
            fit_law(few)
    with pytest.raises(UserError, match="no model can beat"):
        fit_law(rungs, entropy=3)
    with pytest.raises(UserError, match="flops=0 must be above 0"):
        CHINCHILLA.best_split(0)
    with pytest.raises(UserError, match="there is no text"):
        effective_tokens(10, 0)
    with pytest.raises(UserError, match="at least two"):
        power_law([1, 1], [2, 3])
    with pytest.raises(UserError, match="over the floor 2"):
        power_law([1, 2], [3, 2], 2)


def test_a_line_in_logarithms_is_numpys():
    x, losses = [1.0, 2.0, 5.0, 9.0], [3.1, 2.2, 1.7, 1.1]
    slope, level = np.polyfit(np.log(x), np.log(np.array(losses) - 0.4), 1)
    assert power_law(x, losses, 0.4) == pytest.approx((np.exp(level), -slope))


def test_repeated_tokens():
    """The first epoch is worth itself, further ones less and less, in all 16.39 times the text."""
    assert effective_tokens(50, 100) == 50
    assert effective_tokens(100, 100) == 100
    assert 3.6 < effective_tokens(4, 1) < 3.8
    gains = np.diff([effective_tokens(n, 1) for n in range(1, 60)])
    assert (gains > 0).all()
    assert (np.diff(gains) < 0).all()
    assert effective_tokens(1e6, 1) == pytest.approx(16.39)


def test_the_recorded_ladder_is_that_of_the_benchmark():
    newest = sorted(RESULTS.glob("scaling-*.json"))[-1]
    runs = json.loads(newest.read_text())["results"]["runs"]
    found = {(run["parameters"], run["tokens"]): round(run["bits_per_byte"], 4) for run in runs}
    said = {(r.parameters, r.tokens): r.loss for r in LADDERS["pydocs"].rungs}
    assert found == said
    laptop = json.loads(sorted(RESULTS.glob("laptop-*.json"))[-1].read_text())
    assert laptop["baseline"]["train_tokens"] == LADDERS["pydocs"].unique
    evaluations = [(e["tokens"], e["bits_per_byte"]) for e in laptop["evaluations"] if e["tokens"]]
    assert [(r.tokens, r.loss) for r in LAPTOP_RUN] == [
        (tokens, pytest.approx(bits, abs=1e-3)) for tokens, bits in evaluations
    ]
    assert {r.parameters for r in LAPTOP_RUN} == {laptop["baseline"]["parameters"]}
