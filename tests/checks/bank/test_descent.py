"""The checks of chapter 06: their truth is right, and they know mistakes written otherwise.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from llmcourse.checks.bank import adamw, gradients, loss, optimizers
from llmcourse.gradients.scalar import Value, ancestors

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


# The truth, against the library and by hand


def test_the_loss_is_the_librarys():
    logits = 5 * torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(loss.log_softmax.right(logits), logits.log_softmax(-1), **EXACT)
    targets = torch.tensor([0, 5, 2, 2])
    for smoothing in (0.0, 0.3):
        leaf = logits.clone().requires_grad_()
        F.cross_entropy(leaf, targets, label_smoothing=smoothing).backward()
        ours = loss.logit_gradient.right(logits, targets, smoothing)
        torch.testing.assert_close(ours, leaf.grad, **EXACT)


def test_the_walk_back_is_the_engines():
    x, y = Value(0.7), Value(-1.3)
    end = (x * y + x).tanh() * y + (x * x).exp()
    nodes = ancestors(end)
    places = {id(node): place for place, node in enumerate(nodes)}
    graph = [[(places[id(parent)], slope) for parent, slope in node.parents] for node in nodes]
    end.backward()
    assert gradients.backward.right(graph) == pytest.approx([node.grad for node in nodes])


def test_layer_norms_way_back_is_autograds():
    hidden, arriving = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    weight = torch.randn(5, dtype=torch.float64)
    leaf = hidden.clone().requires_grad_()
    F.layer_norm(leaf, (5,), weight, None, 0.1).backward(arriving)
    ours = gradients.layer_norm_gradient.right(hidden, weight, arriving, 0.1)
    torch.testing.assert_close(ours, leaf.grad, **EXACT)


def test_the_critical_rate_is_the_edge():
    curvatures = torch.tensor([[5.0, 4.0], [4.0, 5.0]], dtype=torch.float64)
    for share, flies in ((0.99, False), (1.01, True)):
        theta = torch.tensor([1.0, 0.0], dtype=torch.float64)
        for _ in range(1000):
            theta = theta - share * optimizers.critical_rate.right() * curvatures @ theta
        assert (theta.norm() > 1) == flies


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_the_clip_is_the_librarys(max_norm):
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in ((3, 4), (5,))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape)
    ours = optimizers.clip.right([p.grad.clone() for p in parameters], max_norm)
    nn.utils.clip_grad_norm_(parameters, max_norm)
    for mine, parameter in zip(ours, parameters, strict=True):
        torch.testing.assert_close(mine, parameter.grad, rtol=1e-5, atol=1e-6)


def test_the_schedule_by_hand():
    for progress, rate in {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.55, 1: 0.1, 1.5: 0.1}.items():
        assert optimizers.warmup_cosine.right(progress, 0.2, 0.1) == pytest.approx(rate)


def test_ten_steps_of_adamw_are_the_librarys():
    parameter = nn.Parameter(torch.randn(5, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], 0.02, (0.8, 0.95), eps=1e-4, weight_decay=0.3)
    weight, mean, square = parameter.data.clone(), *torch.zeros(2, 5, dtype=torch.float64)
    for t in range(1, 11):
        parameter.grad = torch.randn(5, dtype=torch.float64)
        weight, mean, square = adamw.adamw_step.right(
            weight, parameter.grad, mean, square, t, 0.02, 0.8, 0.95, 1e-4, 0.3
        )
        optimizer.step()
        torch.testing.assert_close(weight, parameter.data, **EXACT)


# Mistakes written otherwise


def test_a_stable_softmax_and_then_its_logarithm_is_known_in_the_librarys_words():
    answer = lambda logits: torch.log(torch.softmax(logits, dim=-1))  # noqa: E731
    assert verdict_of(loss.log_softmax, answer) == "the logarithm of a stable softmax"


def test_clamping_a_probability_is_no_cure():
    def clamped(logits):
        return logits.softmax(-1).clamp(min=1e-12).log()

    assert verdict_of(loss.log_softmax, clamped) == "probabilities held above a small number"


def test_the_librarys_own_mean_and_sum_are_told_apart():
    def summed(logits, targets, smoothing=0.0):
        leaf = logits.detach().requires_grad_()
        total = F.cross_entropy(leaf, targets, label_smoothing=smoothing, reduction="sum")
        return torch.autograd.grad(total, leaf)[0]

    assert verdict_of(loss.logit_gradient, summed) == "of the sum, not of the mean"


def test_a_walk_along_every_way_is_right_and_does_not_end(monkeypatch):
    """The chapter's own naive version: it passes all but the case that it cannot finish."""
    hasty = dataclasses.replace(gradients.backward._settings, seconds=0.5)
    monkeypatch.setattr(gradients.backward, "_settings", hasty)

    def every_way(graph):
        found = [0.0] * len(graph)

        def send(node, amount):
            found[node] += amount
            for parent, slope in graph[node]:
                send(parent, amount * slope)

        send(len(graph) - 1, 1.0)
        return found

    verdict = gradients.backward.verdict(every_way)
    assert verdict.status == "wrong"
    assert "still running" in verdict.text


def test_a_clip_in_place_is_told_so():
    def in_place(gradients, max_norm):
        norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
        for gradient in gradients:
            gradient.mul_(min(1.0, max_norm / norm) if norm else 1.0)
        return gradients

    assert "in place" in verdict_of(optimizers.clip, in_place)


def test_a_loop_over_numbers_passes():
    def one_by_one(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
        rows = []
        for weight, gradient, mean, square in zip(*(x.tolist() for x in (w, g, m, v)), strict=True):
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            size = math.sqrt(square / (1 - beta2**t)) + eps
            moved = (1 - lr * decay) * weight - lr * mean / (1 - beta1**t) / size
            rows.append((moved, mean, square))
        return tuple(torch.tensor(column, dtype=w.dtype) for column in zip(*rows, strict=True))

    assert adamw.adamw_step.verdict(one_by_one).status == "passed"
