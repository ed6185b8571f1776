"""Right answers to the exercises on positions, in other styles."""

import math

import numpy as np
import pytest
import torch
from others_answers import right_answers

from llmcourse.checks.bank import positions as check

RIGHT = []


def right(exercise):
    """Add a right answer to the table."""
    return lambda answer: RIGHT.append((exercise, answer)) or answer


@right(check.sinusoids)
def loops(n_positions, d_model):
    rows = []
    for t in range(n_positions):
        row = []
        for i in range(d_model // 2):
            angle = t * 10_000 ** (-2 * i / d_model)
            row += [math.sin(angle), math.cos(angle)]
        rows.append(row)
    return torch.tensor(rows)


@right(check.sinusoids)
def float64_throughout(n_positions, d_model):
    t = torch.arange(n_positions, dtype=torch.float64)[:, None]
    w = torch.exp(-math.log(10_000) * torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    table = torch.zeros(n_positions, d_model, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = torch.sin(t * w), torch.cos(t * w)
    return table


@right(check.sinusoids)
def numpy_inside(n_positions, d_model):
    angles = np.outer(np.arange(n_positions), 10_000.0 ** (-np.arange(0, d_model, 2) / d_model))
    table = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(n_positions, d_model)
    return torch.from_numpy(table)


@right(check.rotate_pair)
def complex_numbers(a, b, angle):
    a, b, angle = torch.broadcast_tensors(a, b, angle)
    turned = torch.complex(a.contiguous(), b.contiguous()) * torch.exp(1j * angle)
    return turned.real, turned.imag


@right(check.rotate_pair)
def a_matrix(a, b, angle):
    a, b, angle = torch.broadcast_tensors(a, b, angle)
    c, s = torch.cos(angle), torch.sin(angle)
    matrix = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)
    turned = (matrix @ torch.stack([a, b], -1)[..., None])[..., 0]
    return turned[..., 0], turned[..., 1]


@right(check.rotate_pair)
def length_and_direction(a, b, angle):
    length, direction = torch.hypot(a, b), torch.atan2(b, a) + angle
    return length * torch.cos(direction), length * torch.sin(direction)


@right(check.rope)
def rotated_halves(x, positions, theta):
    half = x.shape[-1] // 2
    w = 1.0 / (theta ** (torch.arange(0, x.shape[-1], 2).float() / x.shape[-1]))
    angles = torch.cat([torch.outer(positions.float(), w)] * 2, dim=-1)
    rotated = torch.cat([-x[..., half:], x[..., :half]], dim=-1)
    return (x * angles.cos() + rotated * angles.sin()).to(x.dtype)


@right(check.rope)
def complex_in_float64(x, positions, theta):
    a, b = x.double().chunk(2, dim=-1)
    w = theta ** (-torch.arange(a.size(-1), dtype=torch.double) / a.size(-1))
    turned = torch.complex(a, b) * torch.exp(1j * positions[:, None] * w)
    return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)


@right(check.rope)
def one_pair_at_a_time(x, positions, theta):
    width = x.size(1)
    columns = [None] * width
    for i in range(width // 2):
        angle = positions * theta ** (-2 * i / width)
        a, b = x[:, i], x[:, i + width // 2]
        columns[i] = a * angle.cos() - b * angle.sin()
        columns[i + width // 2] = b * angle.cos() + a * angle.sin()
    return torch.stack(columns, dim=1)


@right(check.rope)
def into_a_copy(x, positions, theta):
    half = x.shape[1] // 2
    turned = x.clone()
    for row, t in enumerate(positions.tolist()):
        for i in range(half):
            angle = t * theta ** (-i / half)
            c, s = math.cos(angle), math.sin(angle)
            turned[row, i] = x[row, i] * c - x[row, i + half] * s
            turned[row, i + half] = x[row, i + half] * c + x[row, i] * s
    return turned


@right(check.positions_of_new)
def a_range(n_cached, n_new):
    return torch.tensor(list(range(n_cached, n_cached + n_new)))


@right(check.positions_of_new)
def the_end_of_all(n_cached, n_new):
    return torch.arange(n_cached + n_new)[-n_new:]


@right(check.positions_of_new)
def int32(n_cached, n_new):
    return (torch.ones(n_new).cumsum(0) - 1 + n_cached).int()


@right(check.interpolated_angles)
def frequencies_divided(n_positions, head_dim, theta, factor):
    w = theta ** (-torch.arange(0, head_dim, 2) / head_dim) / factor
    return torch.outer(torch.arange(n_positions).float(), w)


@right(check.interpolated_angles)
def in_float64(n_positions, head_dim, theta, factor):
    t = torch.linspace(0, (n_positions - 1) / factor, n_positions, dtype=torch.float64)
    i = torch.arange(head_dim // 2, dtype=torch.float64)
    return torch.einsum("t,i->ti", t, theta ** (-2 * i / head_dim))


@right(check.interpolated_angles)
def lists(n_positions, head_dim, theta, factor):
    pairs = range(head_dim // 2)
    rows = range(n_positions)
    return torch.tensor([[t / factor * theta ** (-2 * i / head_dim) for i in pairs] for t in rows])


@pytest.mark.parametrize("tokens", [2_559_286, 2.56e6, 2.52e6, torch.tensor(2.56e6)])
def test_a_wavelength_however_it_is_handed_over(tokens):
    assert check.longest_wavelength.verdict(tokens).status == "passed"


test_a_right_answer_in_another_style_passes = right_answers(RIGHT)
