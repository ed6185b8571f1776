"""The checks on positions: their truth is right, and they know mistakes written in other ways too.

That stub, solution and every catalogued mistake get the verdict they should is the matrix of
`tests/test_exercises.py`.
"""

import math

import pytest
import torch

from llmcourse.checks.bank import positions as check


def verdict_of(exercise, answer) -> str:
    verdict = exercise.verdict(answer)
    assert verdict.status == "wrong"
    return verdict.mistake.name if verdict.mistake else verdict.text


# The truth, by hand


def test_sinusoids_by_hand():
    wanted = [[0, 1, 0, 1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]]
    torch.testing.assert_close(check.sinusoids.right(2, 4), torch.tensor(wanted))


def test_a_quarter_turn_by_hand():
    quarter = torch.tensor(math.pi / 2)
    turned = check.rotate_pair.right(torch.tensor(0.0), torch.tensor(1.0), quarter)
    torch.testing.assert_close(torch.stack(turned), torch.tensor([-1.0, 0.0]))


def test_rope_by_hand():
    """As the exercise says: (0, 1) at position 1 becomes (-sin 1, cos 1)."""
    turned = check.rope.right(torch.tensor([[0.0, 1.0]]), torch.tensor([1]), 100.0)
    torch.testing.assert_close(turned, torch.tensor([[-math.sin(1), math.cos(1)]]))


def test_places_by_hand():
    assert check.positions_of_new.right(4, 1).tolist() == [4]
    assert check.positions_of_new.right(2, 3).tolist() == [2, 3, 4]


def test_the_wavelength_by_hand():
    wanted = 2 * math.pi * 500_000 ** (126 / 128)
    assert check.longest_wavelength.right() == pytest.approx(wanted)
    assert check.longest_wavelength.verdict(2.55e6).status == "passed"


def test_interpolation_by_hand():
    angles = check.interpolated_angles.right(4, 4, 100.0, 2.0)
    torch.testing.assert_close(angles[3], torch.tensor([1.5, 0.15]))


def test_the_choice_has_a_reason_for_each():
    assert check.which_reads_on.verdict("c").status == "passed"
    for letter in "abde":
        assert check.which_reads_on.verdict(letter).mistake is not None


# Mistakes as learners write them, which is not as the catalogue does


def test_loops_with_neighbours_are_recognised():
    def rope(x, positions, theta):
        turned = x.clone()
        width = x.size(-1)
        for row, t in enumerate(positions.tolist()):
            for i in range(width // 2):
                angle = t * theta ** (-2 * i / width)
                a, b = x[row, 2 * i].clone(), x[row, 2 * i + 1].clone()
                turned[row, 2 * i] = a * math.cos(angle) - b * math.sin(angle)
                turned[row, 2 * i + 1] = b * math.cos(angle) + a * math.sin(angle)
        return turned

    assert verdict_of(check.rope, rope) == "neighbours paired, not halves"


def test_concatenated_halves_of_a_clock_are_recognised():
    def sinusoids(n_positions, d_model):
        table = torch.zeros(n_positions, d_model)
        for t in range(n_positions):
            for i in range(d_model // 2):
                w = 10_000 ** (-2 * i / d_model)
                table[t, i], table[t, d_model // 2 + i] = math.sin(t * w), math.cos(t * w)
        return table

    assert verdict_of(check.sinusoids, sinusoids) == "all sines first, then all cosines"


def test_rope_in_complex_numbers_is_right():
    def rope(x, positions, theta):
        a, b = x.double().chunk(2, dim=-1)
        w = theta ** (-torch.arange(a.size(-1), dtype=torch.double) / a.size(-1))
        turned = torch.complex(a, b) * torch.exp(1j * positions[:, None] * w)
        return torch.cat([turned.real, turned.imag], dim=-1).to(x.dtype)

    assert check.rope.verdict(rope).status == "passed"
