import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.viz.rounding import relative_error, rounded, rounding, rounding_explorer

WEIGHT = torch.tensor([[1.0, -0.4, 0.1], [10.0, 4.0, -7.0]])


def test_two_bits_know_three_values_a_row():
    after = rounded(WEIGHT, 2, per_channel=True)
    assert after.tolist() == [[1.0, 0.0, 0.0], [10.0, 0.0, -10.0]]
    assert rounded(WEIGHT, 2, per_channel=False)[0].tolist() == [0.0, 0.0, 0.0]


def test_fewer_bits_and_one_scale_lose_more():
    lost = [relative_error(WEIGHT, bits, per_channel=True) for bits in (8, 6, 4, 2)]
    assert lost == sorted(lost)
    assert lost[0] < 0.004
    small = WEIGHT[:1].repeat(3, 1)
    mixed = torch.cat([small, 100 * small[:1]])
    one, each = (rounded(mixed, 4, per_channel=which)[:3] for which in (False, True))
    assert (one - small).norm() > (each - small).norm()


def test_the_title_says_how_much_is_lost():
    title = rounding(WEIGHT, 4).get_title(loc="left")
    lost = 100 * relative_error(WEIGHT, 4, per_channel=True)
    assert title == f"4 bits, a scale a channel: an error of {lost:.1f} %"


def test_complains():
    with pytest.raises(UserError, match="bits=1 must be from 2 to 8"):
        rounded(WEIGHT, 1, per_channel=True)


def test_the_explorer_has_more_bits():
    explorer = rounding_explorer(WEIGHT)
    before = bytes(explorer.picture.value)
    explorer.controls["bits"].value = 8
    assert explorer.message.value == ""
    assert bytes(explorer.picture.value) != before
