import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Circle

from llmcourse.nn.positions import ALiBi, rope_frequencies, sinusoids
from llmcourse.nn.rope_scaling import LinearScaling
from llmcourse.viz import positions, style


def tips(ax):
    """Where the hands of a dial point, by drawing order."""
    return [text.xy for text in ax.texts if getattr(text, "arrow_patch", None) is not None]


def words(ax):
    return {text.get_text() for text in ax.texts if text.get_text()}


def test_a_hand_starts_at_noon_and_goes_clockwise():
    ax = positions.dial({"q": 0.0, "k": math.pi / 2}, title="here")
    noon, three = tips(ax)
    assert noon == pytest.approx((0, 1))
    assert three == pytest.approx((1, 0), abs=1e-9)
    assert words(ax) == {"q", "k"}
    assert ax.get_title() == "here"
    assert sum(isinstance(patch, Circle) for patch in ax.patches) == 1


def test_a_trail_shows_the_way_and_no_more_than_a_turn():
    (line,) = positions.dial({"": 1.0}, trail=1.0).lines
    assert line.get_xdata()[0] == pytest.approx(0)
    assert line.get_ydata()[0] == pytest.approx(0.35)
    (line,) = positions.dial({"": 50.0}, trail=50.0).lines
    assert line.get_xdata()[0] == pytest.approx(line.get_xdata()[-1])


def test_clock_hands_are_sinusoids():
    """The tip of pair i at position t is (sin, cos), columns 2i and 2i + 1 of the table."""
    frequencies = rope_frequencies(6, 10_000.0)
    drawn = positions.clock_hands([0, 1, 5], frequencies, title="Said")
    table = sinusoids(6, 6)
    for index, ax in enumerate(drawn.axes):
        row, pair = divmod(index, 3)
        (tip,) = tips(ax)
        wanted = table[(0, 1, 5)[row], 2 * pair : 2 * pair + 2].tolist()
        assert tip == pytest.approx(wanted, abs=1e-6)
    assert [ax.get_title() for ax in drawn.axes[:3]] == ["pair 0", "pair 1", "pair 2"]
    assert "t = 5" in words(drawn.axes[6])
    assert drawn._suptitle.get_text() == "Said"


def test_a_map_of_positions_has_position_0_on_top():
    ax = positions.position_map(sinusoids(10, 4), title="Said")
    assert np.allclose(ax.collections[0].get_array(), sinusoids(10, 4).numpy())
    assert ax.get_ylim() == (9.5, -0.5)
    assert ax.collections[0].get_clim() == (-1, 1)
    assert ax.get_title(loc="left") == "Said"


def test_bias_curves_go_by_distance():
    bias = ALiBi(8)(5, 10)
    ax = positions.bias_curves(bias, heads=[0, 7])
    assert ax.lines[0].get_ydata()[:3].tolist() == [0, -0.5, -1]
    assert ax.lines[1].get_ydata()[9] == pytest.approx(-9 / 256)
    assert words(ax) == {"head 0", "head 7"}
    assert ax.get_xlim() == (0, 9)


def test_wavelengths_and_what_they_are_compared_with():
    plain = rope_frequencies(8, 10_000.0)
    slow = LinearScaling(4.0)(plain, 10_000.0)
    ax = positions.wavelengths({"plain": plain, "slow": slow}, {"trained": 100}, chosen=2)
    assert ax.get_yscale() == "log"
    assert ax.lines[0].get_ydata()[0] == pytest.approx(2 * math.pi)
    marked = next(line for line in ax.lines if line.get_marker() == "o")
    assert marked.get_xydata()[0] == pytest.approx([2, 2 * math.pi * 100])
    one, four = (ax.lines[i].get_ydata() for i in (0, 2))
    assert four / one == pytest.approx(4)
    assert {"plain", "slow", "trained"} == words(ax)


def test_labels_on_a_log_scale_stand_where_the_lines_end():
    plain = rope_frequencies(8, 10_000.0)
    ax = positions.wavelengths({"plain": plain})
    (label,) = (text for text in ax.texts if text.get_text() == "plain")
    low, high = ax.get_ylim()
    share = math.log(ax.lines[0].get_ydata()[-1] / low) / math.log(high / low)
    assert label.xy[1] == pytest.approx(share)


def test_extrapolation_means_and_ends():
    values = torch.arange(16.0)
    ax = positions.extrapolation({"long": values, "short": values[:4]}, 4, every=2, title="Said")
    long, short, cross = ax.lines
    assert long.get_ydata().tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5, 14.5]
    assert long.get_xdata()[:2].tolist() == [0.5, 2.5]
    assert cross.get_marker() == "x"
    assert cross.get_xydata()[0].tolist() == short.get_xydata()[-1].tolist()
    assert words(ax) == {"long 14.5", "short ends here", "seen in training"}
    assert ax.get_xlim() == (0, 16)
    assert to_hex(long.get_color()) == style.ACCENT


def test_extrapolation_on_a_given_scale():
    ax = positions.extrapolation({"one": torch.ones(8)}, 4, ylim=(0, 3))
    assert ax.get_ylim() == (0, 3)


def test_the_angle_between_the_hands_does_not_depend_on_the_position():
    def angle(position):
        drawn = positions.rotation(16, position=position, distance=5, pair=1, theta=100.0)
        (x, y), (u, v) = tips(drawn.axes[0])
        return math.acos(x * u + y * v), drawn.axes[1].get_title(loc="left")

    (here, score), (there, other) = angle(0), angle(77)
    assert here == pytest.approx(there)
    assert score == other


def test_the_mark_rides_the_wave():
    drawn = positions.rotation(16, position=3, distance=7, pair=2, theta=100.0)
    wave, mark = drawn.axes[1].lines
    turn = 100.0 ** (-4 / 16)
    assert mark.get_xydata()[0] == pytest.approx([7, math.cos(7 * turn)])
    assert wave.get_ydata()[0] == 1
    assert f"wavelength {2 * math.pi / turn:.0f}" in drawn.axes[2].get_title(loc="left")


def test_the_explorer_redraws():
    explorer = positions.rotation_explorer(head_dim=16)
    assert set(explorer.controls) == {"position", "distance", "pair", "theta"}
    assert explorer.controls["pair"].max == 7
    before = explorer.picture.value
    for name, value in {"position": 50, "pair": 7, "theta": 1_000_000}.items():
        explorer.controls[name].value = value
        assert explorer.message.value == ""
        assert explorer.picture.value != before
        before = explorer.picture.value
