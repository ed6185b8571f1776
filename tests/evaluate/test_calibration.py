"""Calibration against loops, scikit-learn's curve and scipy's minimiser."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve

from llmcourse.errors import UserError
from llmcourse.evaluate.calibration import (
    confidence_of,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


@pytest.fixture
def classifier():
    """Logits three times as large as they should be, and labels drawn from what they should."""
    dice = torch.Generator().manual_seed(0)
    honest = torch.randn(4000, 3, generator=dice, dtype=torch.float64) * 1.5
    labels = torch.multinomial(honest.softmax(1), 1, generator=dice)[:, 0]
    return 3 * honest, labels


def test_bins_by_hand():
    confidence = torch.tensor([0.0, 0.5, 0.55, 0.9, 1.0])
    right = torch.tensor([False, True, False, True, True])
    bins = reliability(confidence, right, 2)
    assert [b.n for b in bins] == [2, 3]  # 0.5 lies in (0, 0.5]
    assert bins[0].accuracy == 0.5
    assert bins[0].confidence == 0.25
    assert bins[1].confidence == pytest.approx(2.45 / 3)
    wanted = 2 / 5 * 0.25 + 3 / 5 * abs(2 / 3 - 2.45 / 3)
    assert expected_calibration_error(confidence, right, 2) == pytest.approx(wanted)
    assert math.isnan(reliability(confidence[:1], right[:1], 2)[1].accuracy)


@pytest.mark.parametrize("n_bins", [1, 5, 10, 15])
def test_ece_by_loops_and_the_curve_of_scikit_learn(classifier, n_bins):
    logits, labels = classifier
    confidence, right = confidence_of(logits, labels)
    total = 0.0
    for b in range(n_bins):
        here = [
            (c, r) for c, r in zip(confidence.tolist(), right.tolist(), strict=True)
            if b / n_bins < c <= (b + 1) / n_bins
        ]  # fmt: skip
        total += abs(sum(r for _, r in here) - sum(c for c, _ in here))
    found = expected_calibration_error(confidence, right, n_bins)
    assert found == pytest.approx(total / len(labels), abs=1e-12)
    accuracy, mean = calibration_curve(right.numpy(), confidence.numpy(), n_bins=n_bins)
    ours = [b for b in reliability(confidence, right, n_bins) if b.n]
    assert [b.accuracy for b in ours] == pytest.approx(accuracy)
    assert [b.confidence for b in ours] == pytest.approx(mean)


def test_the_temperature_is_the_minimisers_and_mends_the_error(classifier):
    logits, labels = classifier
    ours = fit_temperature(logits, labels)
    theirs = minimize_scalar(
        lambda t: torch.nn.functional.cross_entropy(logits / t, labels).item(),
        bounds=(0.1, 20), method="bounded", options={"xatol": 1e-8},
    ).x  # fmt: skip
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours == pytest.approx(3, rel=0.1)
    before, after = (
        expected_calibration_error(*confidence_of(logits, labels, t)) for t in (1.0, ours)
    )
    assert after < 0.03 < 0.1 < before
    assert confidence_of(logits, labels)[1].equal(confidence_of(logits, labels, ours)[1])


def test_complains():
    with pytest.raises(UserError, match="a confidence is a probability"):
        reliability(torch.tensor([1.2]), torch.tensor([True]))
    with pytest.raises(UserError, match="for each answer"):
        expected_calibration_error(torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    with pytest.raises(UserError, match="n_bins=0"):
        reliability(torch.tensor([0.2]), torch.tensor([True]), 0)
    with pytest.raises(UserError, match="of some examples"):
        fit_temperature(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long))
    assert np.isfinite(fit_temperature(torch.tensor([[9.0, 0.0]]), torch.tensor([0])))
