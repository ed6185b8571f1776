"""Right answers to the exercises on the transformer's parts, in other styles."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from others_answers import right_answers

from llmcourse.checks.bank import transformer as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.swiglu)
def linear_functions(hidden, gate, up, down):
    return F.linear(F.silu(F.linear(hidden, gate)) * F.linear(hidden, up), down)


@right(check.swiglu)
def silu_by_hand(hidden, gate, up, down):
    opened = torch.einsum("btd,fd->btf", hidden, gate)
    opened = opened / (1 + torch.exp(-opened))
    return torch.einsum("btf,btf,df->btd", opened, torch.einsum("btd,fd->btf", hidden, up), down)


@right(check.swiglu)
def both_at_once(hidden, gate, up, down):
    opened, passed = (hidden @ torch.cat([gate, up]).T).chunk(2, dim=-1)
    return (opened * opened.sigmoid() * passed) @ down.T


@right(check.initial_std)
def branches(shape, rule):
    out, into = shape
    if rule == "kaiming":
        return np.sqrt(2.0 / into)
    if rule == "kaiming_out":
        return np.sqrt(2.0 / out)
    return np.sqrt(2.0 / (into + out))


@right(check.initial_std)
def a_tensor(shape, rule):
    fans = {"kaiming": shape[1], "kaiming_out": shape[0], "xavier": sum(shape)}
    return torch.tensor(2.0 / fans[rule]).sqrt()


@right(check.initial_std)
def match_and_logarithms(shape, rule):
    match rule:
        case "xavier":
            fan = shape[0] + shape[1]
        case "kaiming":
            fan = shape[1]
        case _:
            fan = shape[0]
    return math.exp(0.5 * (math.log(2) - math.log(fan)))


@right(check.block_parameters)
def matrices_in_a_list(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    wide, narrow = n_heads * head_dim, n_kv_heads * head_dim
    shapes = [(wide, d_model), (narrow, d_model), (narrow, d_model), (d_model, wide)]
    shapes += [(d_ff, d_model), (d_ff, d_model), (d_model, d_ff), (d_model,), (d_model,)]
    return sum(math.prod(shape) for shape in shapes)


@right(check.block_parameters)
def factored_out(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return d_model * (2 * head_dim * (n_heads + n_kv_heads) + 3 * d_ff + 2)


@right(check.block_parameters)
def as_a_float(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    return 1.0 * factored_out(d_model, n_heads, n_kv_heads, head_dim, d_ff)


@right(check.block_parameters)
def empty_matrices(d_model, n_heads, n_kv_heads, head_dim, d_ff):
    wide, narrow = n_heads * head_dim, n_kv_heads * head_dim
    shapes = [(wide, d_model)] * 2 + [(narrow, d_model)] * 2 + [(d_ff, d_model)] * 3
    norms = [torch.empty(d_model, device="meta")] * 2
    return sum(torch.empty(s, device="meta").numel() for s in shapes) + sum(map(len, norms))


@pytest.mark.parametrize("size", [73**0.5, 8.5, 8.54, torch.tensor(8.544)])
def test_a_size_however_it_is_handed_over(size):
    assert check.stream_size.verdict(size).status == "passed"


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
