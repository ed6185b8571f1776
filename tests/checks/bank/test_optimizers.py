"""Right answers to the exercises on descent, in the styles in which people write them."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from llmcourse.checks.bank import adamw, optimizers


def number_by_number(gradients, max_norm):
    total = 0.0
    for gradient in gradients:
        for number in gradient.flatten().tolist():
            total += number * number
    if math.sqrt(total) <= max_norm:
        return list(gradients)
    return [gradient * (max_norm / math.sqrt(total)) for gradient in gradients]


def by_the_library(gradients, max_norm):
    parameters = [nn.Parameter(torch.zeros_like(g)) for g in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, max_norm)
    return [parameter.grad for parameter in parameters]


def in_one_row(gradients, max_norm):
    row = torch.cat([gradient.double().reshape(-1) for gradient in gradients])
    norm = torch.linalg.norm(row)
    factor = 1.0 if norm == 0 else min(1.0, float(max_norm / norm))
    return [gradient.double() * factor for gradient in gradients]


def with_a_little_added(gradients, max_norm):
    norm = torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))
    return [g * torch.minimum(torch.ones(()), max_norm / (norm + 1e-6)) for g in gradients]


def by_cases(progress, warmup, final):
    if warmup > 0 and progress < warmup:
        return progress / warmup
    if progress >= 1:
        return final
    angle = math.pi * (progress - warmup) / (1 - warmup)
    return (1 + final) / 2 + (1 - final) / 2 * math.cos(angle)


def by_half_angles(progress, warmup, final):
    if progress < warmup:
        return progress / warmup
    left = max(0.0, 1 - (progress - warmup) / (1 - warmup))
    return final + (1 - final) * math.sin(math.pi / 2 * left) ** 2


def as_a_tensor(progress, warmup, final):
    if progress < warmup:
        return torch.tensor(progress / warmup)
    done = torch.tensor((progress - warmup) / (1 - warmup)).clamp(max=1.0)
    return final + (1 - final) * 0.5 * (1 + torch.cos(torch.pi * done))


def interpolated(progress, warmup, final):
    ramp = np.interp(progress, [0.0, warmup or 1e-12], [0.0 if warmup else 1.0, 1.0])
    done = np.clip((progress - warmup) / (1 - warmup), 0.0, 1.0)
    fall = final + (1 - final) * (1 + np.cos(np.pi * done)) / 2
    return ramp if progress < warmup else fall


def by_lerp(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m, v = torch.lerp(g, m, beta1), torch.lerp(g.square(), v, beta2)
    ours = w.clone()
    ours.mul_(1 - lr * decay)
    ours.addcdiv_(m, (v.sqrt() / math.sqrt(1 - beta2**t)).add_(eps), value=-lr / (1 - beta1**t))
    return ours, m, v


def all_subtracted_at_once(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    m = m + (1 - beta1) * (g - m)
    v = v + (1 - beta2) * (g * g - v)
    step = (m / (1 - beta1**t)) / (torch.sqrt(v / (1 - beta2**t)) + eps) + decay * w
    return [w - lr * step, m, v][0], m, v


def in_float64(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    w, g, m, v = (x.numpy().astype(np.float64) for x in (w, g, m, v))
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    w = w - lr * decay * w - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return tuple(torch.from_numpy(x) for x in (w, m, v))


def by_the_library_adamw(w, g, m, v, t, lr=0.01, beta1=0.9, beta2=0.99, eps=1e-6, decay=0.0):
    parameter = nn.Parameter(w.clone())
    parameter.grad = g.clone()
    optimizer = torch.optim.AdamW([parameter], lr, (beta1, beta2), eps, decay)
    step = torch.tensor(float(t - 1))
    optimizer.state[parameter] = {"step": step, "exp_avg": m.clone(), "exp_avg_sq": v.clone()}
    optimizer.step()
    state = optimizer.state[parameter]
    return parameter.detach(), state["exp_avg"], state["exp_avg_sq"]


RIGHT = [
    (optimizers.clip, number_by_number),
    (optimizers.clip, by_the_library),
    (optimizers.clip, in_one_row),
    (optimizers.clip, with_a_little_added),
    (optimizers.warmup_cosine, by_cases),
    (optimizers.warmup_cosine, by_half_angles),
    (optimizers.warmup_cosine, as_a_tensor),
    (optimizers.warmup_cosine, interpolated),
    (adamw.adamw_step, by_lerp),
    (adamw.adamw_step, all_subtracted_at_once),
    (adamw.adamw_step, in_float64),
    (adamw.adamw_step, by_the_library_adamw),
]


@pytest.mark.parametrize(
    ("check", "answer"), RIGHT, ids=[f"{c.name}-{a.__name__}" for c, a in RIGHT]
)
def test_a_right_answer_in_another_style_passes(check, answer):
    assert check.verdict(answer).text.startswith("✓")


@pytest.mark.parametrize("rate", [2 / 9, 0.222, 0.2222, 0.224])
def test_a_rate_may_be_rounded(rate):
    assert optimizers.critical_rate.verdict(rate).status == "passed"
