"""Right answers to the exercises on gradients, in the styles in which people write them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from llmcourse.checks.bank import gradients


def children_asked(graph):
    """From the end: what a node is worth is asked of its children, and remembered."""
    children = [[] for _ in graph]
    for node, parents in enumerate(graph):
        for parent, slope in parents:
            children[parent].append((node, slope))
    known = {len(graph) - 1: 1.0}
    for node in range(len(graph) - 2, -1, -1):
        known[node] = sum((known[child] * slope for child, slope in children[node]), 0.0)
    return [known[node] for node in range(len(graph))]


def asked_by_recursion(graph):
    worth = {}

    def of(node):
        if node not in worth:
            own = 1.0 if node == len(graph) - 1 else 0.0
            worth[node] = own + sum(
                slope * of(child)
                for child in range(node + 1, len(graph))
                for parent, slope in graph[child]
                if parent == node
            )
        return worth[node]

    return [of(node) for node in range(len(graph))]


def by_waiting(graph):
    """Kahn's algorithm: a node passes on when all that it went into have reported."""
    missing, found = [0] * len(graph), [0] * len(graph)
    for parents in graph:
        for parent, _ in parents:
            missing[parent] += 1
    ready = [node for node, left in enumerate(missing) if not left]
    found[-1] = 1
    while ready:
        node = ready.pop()
        for parent, slope in graph[node]:
            found[parent] += slope * found[node]
            missing[parent] -= 1
            if not missing[parent]:
                ready.append(parent)
    return found


def in_numpy(graph):
    found = np.zeros(len(graph))
    found[-1] = 1
    for node, parents in reversed(list(enumerate(graph))):
        for parent, slope in parents:
            found[parent] += slope * found[node]
    return found.tolist()


def by_a_matrix(hidden, weight, gradient, eps=1e-5):
    """The Jacobian of each token, written out."""
    width = hidden.size(-1)
    centred = hidden - hidden.mean(-1, keepdim=True)
    s = torch.sqrt(centred.pow(2).sum(-1, keepdim=True) / width + eps)
    n = centred / s
    outer = torch.einsum("bti,btk->btik", n, n)
    jacobian = (torch.eye(width) - 1 / width - outer / width) / s[..., None]
    return torch.einsum("bti,btik->btk", gradient * weight, jacobian)


def token_by_token(hidden, weight, gradient, eps=1e-5):
    found = torch.zeros(hidden.shape)
    for b in range(hidden.shape[0]):
        for t in range(hidden.shape[1]):
            x, d = hidden[b, t].double(), gradient[b, t].double() * weight.double()
            s = (x.var(correction=0) + eps) ** 0.5
            n = (x - x.mean()) / s
            found[b, t] = (d - d.mean() - n * (d @ n) / len(x)) / s
    return found


def in_three_ways(hidden, weight, gradient, eps=1e-5):
    """Directly, through the scale, through the mean, each from the last."""
    width = hidden.size(-1)
    mean = hidden.mean(-1, keepdim=True)
    s = (hidden.var(-1, keepdim=True, unbiased=False) + eps).sqrt()
    d = weight * gradient
    to_scale = -(d * (hidden - mean)).sum(-1, keepdim=True) / s**2
    to_centred = d / s + to_scale * (hidden - mean) / (width * s)
    return to_centred - to_centred.mean(-1, keepdim=True)


def by_autograd(hidden, weight, gradient, eps=1e-5):
    leaf = hidden.detach().requires_grad_()
    out = F.layer_norm(leaf, weight.shape, weight, None, eps)
    return torch.autograd.grad(out, leaf, gradient)[0]


RIGHT = [
    (gradients.backward, children_asked),
    (gradients.backward, asked_by_recursion),
    (gradients.backward, by_waiting),
    (gradients.backward, in_numpy),
    (gradients.layer_norm_gradient, by_a_matrix),
    (gradients.layer_norm_gradient, token_by_token),
    (gradients.layer_norm_gradient, in_three_ways),
    (gradients.layer_norm_gradient, by_autograd),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")
