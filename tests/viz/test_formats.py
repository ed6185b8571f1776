import math

import pytest
import torch

from llmcourse.nn.formats import BF16, E4M3, FP16, FP32, Format
from llmcourse.viz import formats, style


def test_a_box_for_every_bit():
    ax = formats.layout([FP32, BF16, E4M3])
    assert len(ax.patches) == 32 + 16 + 8
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fp32", "bf16", "fp8 e4m3"]


def test_reach_is_from_the_smallest_to_the_largest():
    ax = formats.reach([FP16])
    normal, subnormal = ax.patches
    assert normal.get_x() + normal.get_width() == pytest.approx(math.log10(65504))
    assert subnormal.get_x() == pytest.approx(math.log10(6e-8), abs=0.01)
    assert subnormal.get_x() + subnormal.get_width() == pytest.approx(normal.get_x())


def test_what_becomes_zero_has_the_other_colour():
    from matplotlib.colors import to_hex

    sizes = 2.0 ** torch.tensor([-40.5, -30.5, -10.5, -10.4])
    lost = {
        patch.get_x(): to_hex(patch.get_facecolor()) == style.CONTRAST
        for patch in formats.gradient_sizes(sizes, FP16).patches
        if patch.get_height()
    }
    assert lost == {-41: True, -31: True, -11: False}
    scaled = [
        p for p in formats.gradient_sizes(sizes, FP16, scale=2.0**16).patches if p.get_height()
    ]
    assert [p.get_x() for p in scaled] == [-25, -15, 5]


def test_spacing_shows_every_number_once():
    form = Format(name="x", exponent_bits=3, mantissa_bits=2)
    drawn = formats.spacing(form)
    # 0, three subnormals, four in each of [1/4, 1/2), [1/2, 1), [1, 2), [2, 4), and 4
    assert "21 numbers" in drawn.axes[0].get_title(loc="left")


def test_the_explorer_redraws():
    shown = formats.explorer()
    before = bytes(shown.picture.value)
    shown.controls["mantissa_bits"].value = 5
    assert bytes(shown.picture.value) != before
    assert shown.message.value == ""
