import io

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from llmcourse.viz import style

# What the common kinds of colour blindness see, as matrices on linear RGB (Machado et al., 2009,
# severity 1.0).
SEEN_BY = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


def linear(color):
    encoded = np.array(to_rgb(color))
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb):
    """CIELAB (D65), in which equal distances look about equally different."""
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ linear_rgb.clip(0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("kind", [*SEEN_BY, "everybody"])
def test_colours_stay_apart_for_every_reader(kind):
    eye = np.array(SEEN_BY.get(kind, np.eye(3)))
    colors = [style.ACCENT, style.CONTRAST, style.GREYS[0], style.GREYS[3]]
    seen = [lab(eye @ linear(color)) for color in colors]
    for i, one in enumerate(seen):
        for other in seen[:i]:
            assert np.linalg.norm(one - other) > 25  # ten times a difference that is noticed


def test_red_and_green_would_not_pass():
    eye = np.array(SEEN_BY["deuteranopia"])
    red, green = (lab(eye @ linear(color)) for color in ("#c0504d", "#6f8f2f"))
    assert np.linalg.norm(red - green) < 25


def test_more_is_always_darker():
    shades = [style.luminance(style.SEQUENTIAL(x)) for x in np.linspace(0, 1, 101)]
    assert np.all(np.diff(shades) < 0)


def test_signed_values_darken_equally_on_both_sides():
    right = np.array([style.luminance(style.DIVERGING(x)) for x in np.linspace(0.5, 1, 51)])
    left = np.array([style.luminance(style.DIVERGING(x)) for x in np.linspace(0.5, 0, 51)])
    assert np.all(np.diff(right) <= 0)
    assert np.all(np.diff(left) <= 0)
    assert np.abs(left - right).max() < 0.2


@pytest.mark.parametrize("colormap", [style.SEQUENTIAL, style.DIVERGING])
def test_text_is_readable_on_every_shade(colormap):
    for shade in colormap(np.linspace(0, 1, 101)):
        assert style.contrast(style.text_on(shade), shade) > 3.8


def test_contrast_has_the_known_extremes():
    assert style.contrast("black", "white") == pytest.approx(21)
    assert style.contrast("#777777", "#777777") == pytest.approx(1)


def test_a_picture_has_the_same_bytes_each_time_and_twice_the_pixels():
    pictures = []
    for _ in range(2):
        drawn, ax = style.figure(width=3, height=2)
        ax.plot([0, 1], [1, 0])
        pictures.append(style.png(drawn))
        assert drawn.dpi == style.DPI  # as it was
    assert pictures[0] == pictures[1]
    assert Image.open(io.BytesIO(pictures[0])).size == (600, 400)


def test_a_picture_is_what_matplotlib_draws():
    drawn, ax = style.figure(width=3, height=2)
    ax.plot([0, 1], [1, 0])
    ours = np.asarray(Image.open(io.BytesIO(style.png(drawn))))
    saved = io.BytesIO()
    drawn.savefig(saved, dpi=style.DPI * style.SHARPNESS)
    theirs = np.asarray(Image.open(saved).convert("RGB"))
    assert np.abs(ours.astype(int) - theirs).mean() < 1


def test_use_sets_the_style():
    with mpl.rc_context():
        mpl.rcdefaults()
        style.use()
        assert plt.rcParams["axes.titlelocation"] == "left"
        assert plt.rcParams["svg.hashsalt"] == "llmcourse"
        assert mpl.colormaps[plt.rcParams["image.cmap"]](1.0) == style.SEQUENTIAL(1.0)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" cat", "␣cat"),
        ("\n", "⏎"),
        ("$x$", r"\$x\$"),
        ("\ue000", "□"),  # private use: no font has it
        ("a", "a"),
    ],
)
def test_tokens_are_printable(token, shown):
    assert style.printable(token) == shown


def test_any_token_can_be_drawn_without_a_warning():
    drawn, ax = style.figure()
    ax.set_title(style.printable("$\ue000 \x00\U0001f600 猫 _^{}"))
    style.png(drawn)  # warnings are errors
