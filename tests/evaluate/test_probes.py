"""The probe stands at the lowest point of its loss: by its gradient, by scipy, by trying."""

import itertools

import numpy as np
import pytest
import torch
from numerics import close

from llmcourse.errors import UserError
from llmcourse.evaluate.probes import LinearProbe, best_threshold, fit_probe, probe_loss


@pytest.fixture
def examples():
    """Three classes in five dimensions, one of which never changes, and scales far apart."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (90,), generator=rng)
    features = torch.randn(90, 5, generator=rng) + torch.eye(3, 5)[labels]
    features *= torch.tensor([1.0, 100.0, 0.01, 1.0, 0.0])
    return features, labels


def standardised(features: torch.Tensor) -> torch.Tensor:
    x = features.double().numpy()
    return torch.from_numpy((x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1.0))


@pytest.mark.parametrize("l2", [0.1, 1.0, 30.0])
def test_the_gradient_is_zero_where_the_probe_stands(examples, l2):
    features, labels = examples
    probe = fit_probe(features, labels, 3, l2)
    weight, bias = (part.clone().requires_grad_() for part in (probe.weight, probe.bias))
    probe_loss(standardised(features), labels, weight, bias, l2).backward()
    assert weight.grad.abs().max() < 1e-4
    assert bias.grad.abs().max() < 1e-4


def test_the_same_probe_as_scipys_minimum(examples):
    optimize = pytest.importorskip("scipy.optimize")
    features, labels = examples
    z = standardised(features).numpy()
    one_hot = np.eye(3)[labels.numpy()]

    def loss(flat):
        weight, bias = flat[:15].reshape(3, 5), flat[15:]
        scores = z @ weight.T + bias
        scores -= scores.max(1, keepdims=True)
        nats = np.log(np.exp(scores).sum(1)) - (scores * one_hot).sum(1)
        return nats.sum() + 0.5 * (weight**2).sum()

    lowest = optimize.minimize(loss, np.zeros(18), method="BFGS", options={"gtol": 1e-6})
    probe = fit_probe(features, labels, 3, l2=1.0)
    close(probe.weight, torch.from_numpy(lowest.x[:15].reshape(3, 5)), atol=1e-5)


def test_one_weight_is_found_by_trying_all():
    features = torch.tensor([[-2.0], [-1.0], [0.5], [1.0], [1.5]])
    labels = torch.tensor([0, 0, 1, 0, 1])
    probe = fit_probe(features, labels, 2)
    z, zero = standardised(features), torch.zeros(1).double()
    grid = torch.linspace(-2, 2, 81).double()
    best = min(
        itertools.product(grid, grid),  # by symmetry the two classes' weights are opposite
        key=lambda wb: probe_loss(
            z, labels, torch.stack([-wb[0], wb[0]])[:, None], torch.cat([zero, wb[1][None]]), 1.0
        ),
    )
    assert probe.weight[1, 0].item() == pytest.approx(best[0].item(), abs=0.03)
    assert (probe.bias[1] - probe.bias[0]).item() == pytest.approx(best[1].item(), abs=0.03)


def test_it_does_not_matter_in_which_units_features_come(examples):
    features, labels = examples
    other = fit_probe(1000 * features - 7, labels, 3)
    assert torch.equal(
        fit_probe(features, labels, 3).predict(features), other.predict(1000 * features - 7)
    )


def test_it_tells_what_is_told_by_a_straight_cut_and_not_what_is_not():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(10, 1)
    either, exclusive = corners.amax(1).long(), corners.sum(1).remainder(2).long()
    assert torch.equal(fit_probe(corners, either, 2).predict(corners), either)
    assert not torch.equal(fit_probe(corners, exclusive, 2).predict(corners), exclusive)


def test_it_learns_nothing_of_the_model(examples):
    features, labels = examples
    features = features.requires_grad_()
    probe = fit_probe(features, labels, 3)
    assert isinstance(probe, LinearProbe)
    assert features.grad is None
    assert not probe.weight.requires_grad
    assert probe.weight.dtype == torch.float64


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_beyond_the_classes_are_refused(labels):
    with pytest.raises(UserError, match="labels from 0 to 2"):
        fit_probe(torch.randn(2, 2), torch.tensor(labels), 3)


def test_no_examples_and_no_pull_are_refused(examples):
    with pytest.raises(UserError, match="0 examples"):
        fit_probe(torch.empty(0, 2), torch.empty(0, dtype=torch.long), 2)
    with pytest.raises(UserError, match=r"l2=0\.0 must be above 0"):
        fit_probe(*examples, 3, l2=0.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_best_of_all(seed):
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randint(12, (30,), generator=rng) / 10  # with equal ones among them
    labels = (scores + 0.4 * torch.randn(30, generator=rng) > 0.5).long()
    right = lambda cut: int(((scores > cut).long() == labels).sum())  # noqa: E731
    best = max(right(cut) for cut in torch.arange(-0.05, 1.3, 0.1))
    assert right(best_threshold(scores, labels)) == best


def test_no_threshold_cuts_between_equal_scores():
    scores = torch.tensor([0.5, 0.5, 0.5, 0.5, 0.9])
    assert best_threshold(scores, torch.tensor([0, 0, 1, 1, 0])) > 0.9  # three are right so


def test_the_threshold_may_lie_beyond_all_scores():
    scores = torch.tensor([0.1, 0.2])
    assert best_threshold(scores, torch.tensor([1, 1])) < 0.1
    assert best_threshold(scores, torch.tensor([0, 0])) > 0.2
    with pytest.raises(UserError, match="no scores"):
        best_threshold(torch.empty(0), torch.empty(0, dtype=torch.long))
