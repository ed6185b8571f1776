"""The checks on norms: their truth is right, and they know mistakes written otherwise."""

import torch
import torch.nn.functional as F

from llmcourse.checks.bank import normalisation as check


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


def test_the_norms_are_the_librarys():
    hidden = torch.randn(2, 3, 5, dtype=torch.float64)
    weight, bias = torch.randn(2, 5, dtype=torch.float64)
    ours = check.layer_norm.right(hidden, weight, bias)
    assert torch.allclose(ours, F.layer_norm(hidden, (5,), weight, bias), atol=1e-12)
    ours = check.rms_norm.right(hidden, weight)
    assert torch.allclose(ours, F.rms_norm(hidden, (5,), weight, 1e-5), atol=1e-12)


def test_the_librarys_variance_is_recognised():
    def layer_norm(hidden, weight, bias, eps=1e-5):
        mean, variance = hidden.mean(2, keepdim=True), torch.var(hidden, 2, keepdim=True)
        return weight * (hidden - mean) * (variance + eps) ** -0.5 + bias

    assert verdict_of(check.layer_norm, layer_norm) == "the variance is divided by D - 1"


def test_a_norm_over_the_tokens_in_a_loop_is_recognised():
    def rms_norm(hidden, weight, eps=1e-5):
        texts = [text / (text**2).mean(0).add(eps).sqrt() for text in hidden]
        return torch.stack(texts) * weight

    assert verdict_of(check.rms_norm, rms_norm).startswith("over the tokens")
