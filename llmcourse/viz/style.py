"""One look for every figure of the course: a palette, two colour maps, sizes that match the page.

The palette is an accent, one contrasting colour and greys. Blue against orange is the pair that the
common kinds of colour blindness keep apart, and both maps change in lightness, so that nothing is
lost in grey. Titles stand on the left and state the message. `use()` belongs in a chapter's first
cell; the figures themselves are drawn in the sibling modules.
"""

import contextlib
import functools
import io
import math
import sys
from collections.abc import Generator
from contextvars import ContextVar
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.typing import ColorType
from PIL import Image

ACCENT = "#1668a8"
"""What the figure is about."""
CONTRAST = "#d9731a"
"""The one other thing that it is compared with."""
GREYS = ("#1f2933", "#52606d", "#8a96a3", "#c5cdd5", "#eef1f4")
"""From text (darkest) to background (lightest); text is in the first two."""
READABLE = 4.5
"""The contrast that text needs with what is behind it (WCAG 2.2, level AA)."""

SEQUENTIAL = LinearSegmentedColormap.from_list(
    "llmcourse", ("#f3f6f9", "#cfe3f3", "#86bbdf", "#3a8cc6", ACCENT, "#0b3a63")
)
"""For probabilities and other amounts: pale is nothing, dark is much."""
DIVERGING = LinearSegmentedColormap.from_list(
    "llmcourse_signed",
    ("#0b3a63", ACCENT, "#86bbdf", "#ffffff", "#f2b680", CONTRAST, "#7a3a05"),
)
"""For signed values: blue is negative, white is zero, orange is positive."""

WIDTH = 7.0
"""The width of a figure in inches that fills a notebook's column."""
DPI = 100
"""Pixels an inch as the page counts them; pictures hold `SHARPNESS` times as many."""
SHARPNESS = 2

_LOG_STEPS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), np.arange(1, 10, 0.2))
_MOST_LOG_TICKS = 7
_FONT = "DejaVu Sans"
"""Shipped with matplotlib, so that the same letters stand on every machine."""
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the same glyphs: Debian's package lists the family once, by this name
    "Source Han Sans SC",
    "PingFang SC",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "SimHei",
)

_RC: dict[str, Any] = {
    "figure.dpi": DPI,
    "figure.figsize": (WIDTH, 3.2),
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "savefig.dpi": DPI * SHARPNESS,
    "svg.hashsalt": "llmcourse",
    "font.size": 10,
    "text.color": GREYS[0],
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.titlecolor": GREYS[0],
    "axes.labelsize": 10,
    "axes.labelcolor": GREYS[1],
    "axes.labelpad": 6,
    "axes.edgecolor": GREYS[3],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=[ACCENT, CONTRAST, GREYS[0], GREYS[2]])
    + cycler(linestyle=["-", "-", "--", ":"]),
    "grid.color": GREYS[4],
    "grid.linewidth": 0.8,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "xtick.color": GREYS[3],
    "ytick.color": GREYS[3],
    "xtick.labelcolor": GREYS[1],
    "ytick.labelcolor": GREYS[1],
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.cmap": SEQUENTIAL.name,
}


def use() -> None:
    """Make this the look of every figure drawn from here on, and notebooks show them sharp."""
    _sharp_in_notebooks()
    for colormap in (SEQUENTIAL, DIVERGING):
        if colormap.name not in mpl.colormaps:
            mpl.colormaps.register(colormap)
    plt.style.use({**_RC, "font.family": _fonts()})


_aside: ContextVar[bool] = ContextVar("aside", default=False)


@contextlib.contextmanager
def aside() -> Generator[None]:
    """A place where `figure` makes figures that pyplot does not know.

    They need no closing, no notebook displays them by itself, and another thread's figures are left
    alone: pyplot's list of open figures is one for all threads.
    """
    token = _aside.set(True)
    try:
        yield
    finally:
        _aside.reset(token)


def figure(
    *,
    width: float = WIDTH,
    height: float = 3.2,
    rows: int = 1,
    columns: int = 1,
    **layout: Any,
) -> tuple[Figure, Any]:
    """A figure and its axes (an array of them when there are several), sizes in inches.

    `layout` goes to `matplotlib.pyplot.subplots`: `sharey=True`, `width_ratios=[2, 1]` and so on.
    """
    size = (width, height)
    if not _aside.get():
        return plt.subplots(rows, columns, figsize=size, layout="constrained", **layout)
    drawn = Figure(figsize=size, dpi=DPI * SHARPNESS, layout="constrained")
    return drawn, drawn.subplots(rows, columns, **layout)


def png(drawn: Figure) -> bytes:
    """The figure as the bytes of a PNG file, the same bytes each time.

    It is drawn once, where `savefig` draws twice: a slider's picture has to follow the hand.
    """
    canvas = FigureCanvasAgg(drawn)
    usual = drawn.dpi
    drawn.set_dpi(DPI * SHARPNESS)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.set_dpi(usual)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", compress_level=1)
    return buffer.getvalue()


def printable(label: str, *, blank: str = "␣") -> str:
    """A token as a figure can show it: white space made visible, unknown letters as boxes.

    Running text keeps its blanks with `blank=" "`.
    """
    visible = label.replace("\n", "⏎").replace("\t", "→").replace(" ", blank)
    return "".join(letter if _has_glyph(letter) else "□" for letter in visible).replace("$", r"\$")


def log_ticks(axis: Axis) -> None:
    """Ticks with plain numbers on a logarithmic axis: two or more, however short it is."""
    low, high = axis.get_view_interval()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _LOG_STEPS:
        marks = [step * 10.0**power for power in powers for step in steps]
        ticks = [mark for mark in marks if low <= mark <= high]
        if len(ticks) > 2:
            break
    every = math.ceil(len(ticks) / _MOST_LOG_TICKS)
    axis.set_major_locator(FixedLocator(ticks[::every]))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def text_on(color: ColorType | np.ndarray) -> str:
    """White or near-black, whichever is easier to read on a colour."""
    return max(("white", GREYS[0]), key=lambda text: contrast(text, color))


@functools.cache
def ink(color: str) -> str:
    """The colour, or a shade of it dark enough for text on white: for a label beside its line."""
    red, green, blue = to_rgb(color)
    while contrast((red, green, blue), "white") < READABLE:
        red, green, blue = 0.98 * red, 0.98 * green, 0.98 * blue
    return to_hex((red, green, blue))


def contrast(one: ColorType | np.ndarray, other: ColorType | np.ndarray) -> float:
    """How far apart two colours are in lightness, from 1 to 21 (WCAG 2.2's contrast ratio)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: ColorType | np.ndarray) -> float:
    """How bright a colour looks, from 0 (black) to 1 (white): WCAG 2.2's relative luminance."""
    encoded = np.array(to_rgba(tuple(color) if isinstance(color, np.ndarray) else color)[:3])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@functools.cache
def _fonts() -> tuple[str, ...]:
    """The course's font, and one for Chinese where one is installed (a missing one would warn)."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (_FONT, *[name for name in _CHINESE_FONTS if name in installed][:1])


@functools.cache
def _has_glyph(letter: str) -> bool:
    paths = [font_manager.findfont(name) for name in _fonts()]
    return any(font_manager.get_font(path).get_char_index(ord(letter)) for path in paths)


def _sharp_in_notebooks() -> None:
    """Have the notebook's own display of figures keep their size and use `SHARPNESS` 2."""
    ipython = sys.modules.get("IPython")
    if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
        return  # a script or a test: nothing displays figures by itself
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("retina", bbox_inches=None)
