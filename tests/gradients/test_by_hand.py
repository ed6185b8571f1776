"""Backward passes by hand against autograd, and against nudging every number."""

import pytest
import torch
import torch.nn.functional as F
from numerics import close

from llmcourse.gradients import by_hand
from llmcourse.gradients.numeric import numeric_gradient
from llmcourse.nn import masks
from llmcourse.nn.attention import scaled_dot_product_attention
from llmcourse.nn.norms import layer_norm
from llmcourse.objectives.base import IGNORE
from llmcourse.objectives.cross_entropy import cross_entropy


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def autograd(function, inputs, gradient=None):
    """The gradients of every input, by the library."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    return torch.autograd.grad(function(*leaves), leaves, gradient)


def nudged(function, inputs, gradient):
    """The same by trying, one input at a time."""
    return [
        numeric_gradient(
            lambda x, i=i: (function(*inputs[:i], x, *inputs[i + 1 :]) * gradient).sum(), inputs[i]
        )
        for i in range(len(inputs))
    ]


def check(function, inputs, gradient, ours, largest=0.1):
    for mine, library, tried in zip(
        ours, autograd(function, inputs, gradient), nudged(function, inputs, gradient), strict=True
    ):
        close(mine, library, largest=largest)
        close(mine, tried, atol=1e-7, largest=largest)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_a_product(batch):
    a, b, gradient = (
        random(*batch, 3, 4),
        random(*batch, 4, 2, seed=1),
        random(*batch, 3, 2, seed=2),
    )
    ours = by_hand.product_gradients(a, b, gradient)
    check(torch.matmul, (a, b), gradient, ours)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 4)])
def test_a_softmax(shape):
    scores, gradient = 2 * random(*shape), random(*shape, seed=1)
    ours = by_hand.softmax_gradient(scores.softmax(-1), gradient)
    check(lambda z: z.softmax(-1), (scores,), gradient, (ours,), largest=0.01)
    close(ours.sum(-1), torch.zeros(shape[:-1], dtype=torch.float64))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_cross_entropy(shape, smoothing):
    logits = 2 * random(*shape)
    targets = torch.randint(shape[-1], shape[:-1], generator=torch.Generator().manual_seed(1))

    def loss(z):
        return F.cross_entropy(
            z.view(-1, shape[-1]), targets.view(-1), reduction="sum", label_smoothing=smoothing
        )

    ours = by_hand.cross_entropy_gradient(logits, targets, smoothing)
    check(loss, (logits,), torch.tensor(1.0, dtype=torch.float64), (ours,))


def test_cross_entropys_gradient_by_hand():
    logits = torch.log(torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64))
    found = by_hand.cross_entropy_gradient(logits, torch.tensor(1))
    close(found, torch.tensor([0.7, -0.8, 0.1], dtype=torch.float64))


def test_it_is_the_gradient_of_the_packages_loss():
    logits, targets = random(3, 4), torch.tensor([2, 0, 1])
    (library,) = autograd(lambda z: cross_entropy(z, targets, label_smoothing=0.2).total, (logits,))
    close(by_hand.cross_entropy_gradient(logits, targets, 0.2), library)
    assert IGNORE not in targets


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6)])
def test_layer_norm(shape):
    hidden, gradient = 3 * random(*shape) + 1, random(*shape, seed=1)
    weight, bias = random(6, seed=2) + 1, random(6, seed=3)
    ours = by_hand.layer_norm_gradients(hidden, weight, gradient, eps=0.1)
    check(lambda x, w, b: layer_norm(x, w, b, eps=0.1), (hidden, weight, bias), gradient, ours)


def test_layer_norm_sends_nothing_back_that_it_would_remove():
    hidden, gradient, ones = random(5, 8), random(5, 8, seed=1), torch.ones(8).double()
    sent = by_hand.layer_norm_gradients(hidden, ones, gradient, eps=0.0).hidden
    nothing = torch.zeros(5, dtype=torch.float64)
    close(sent.sum(-1), nothing)
    close((sent * (hidden - hidden.mean(-1, keepdim=True))).sum(-1), nothing)
    assert sent.abs().max() > 0.1


@pytest.mark.parametrize("mask", [None, masks.causal(4, 4), torch.rand(4, 4) > -1])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_attention(batch, mask):
    q, k, v, gradient = (random(*batch, 4, 3, seed=seed) for seed in range(4))
    ours = by_hand.attention_gradients(q, k, v, gradient, mask)
    check(
        lambda q, k, v: scaled_dot_product_attention(q, k, v, mask).output,
        (q, k, v),
        gradient,
        ours,
    )


def test_attention_over_another_text():
    q, gradient = random(2, 3, 4), random(2, 3, 4, seed=3)
    k, v = random(2, 5, 4, seed=1), random(2, 5, 4, seed=2)
    check(
        lambda q, k, v: scaled_dot_product_attention(q, k, v).output,
        (q, k, v),
        gradient,
        by_hand.attention_gradients(q, k, v, gradient),
    )


def test_a_hidden_key_learns_nothing():
    q, k, v, gradient = (random(4, 3, seed=seed) for seed in range(4))
    gradient[1:] = 0  # only the first query's answer counts, and it may look at the first key
    found = by_hand.attention_gradients(q, k, v, gradient, masks.causal(4, 4))
    assert not found.k[1:].any()
    assert not found.v[1:].any()
    assert found.v[0].any()


def test_nudging_leaves_its_input_alone_and_finds_a_known_slope():
    x = random(2, 3)
    before = x.clone()
    close(numeric_gradient(lambda x: (x**3).sum(), x), 3 * x**2, atol=1e-8)
    assert torch.equal(x, before)
