"""Line and bar charts as SVG text, for a page that needs neither a server nor a script.

Colours come from the page's style sheet through classes (`accent`, `muted`), so that one chart fits
a light page, a dark one and paper. Lines differ in weight and marks too, not in colour alone. Not
here: the page (`report.py`), and the chapters' pictures (`viz/`, by matplotlib).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

Number = int | float
Point = tuple[Number, Number]
Tick = tuple[Number, str]

MOST_POINTS = 500
"""A line of more points than a screen has columns is binned; a bin shows its mean."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line through points in order of x; where y is not finite, the line has a gap and a mark.

    Attributes:
        label: what it shows, for the legend.
        points: (x, y).
        style: the class of the style sheet, `accent` or `muted`.
        dots: mark each point, and let the pointer ask for its value.
    """

    label: str
    points: Sequence[Point]
    style: str = "accent"
    dots: bool = False


@dataclass(frozen=True, kw_only=True)
class Level:
    """A dashed horizontal line at `value`, with its label written on it."""

    label: str
    value: Number


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A horizontal bar of length `value`; `style` is a class of the style sheet."""

    label: str
    value: Number
    style: str = "muted"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a chart is called, and how large it is in pixels; letters keep their size.

    Attributes:
        title: what the chart says, read out instead of the picture.
        description: the same at greater length.
        name: tells this picture's parts from those of others on the page.
        width: from left to right.
        height: from top to bottom; bars are as high as they need.
    """

    title: str
    description: str
    name: str
    width: int
    height: int = 0


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plot's place on the picture, in pixels, and the range of values that it spans."""

    left: Number
    right: Number
    top: Number
    bottom: Number
    x: tuple[Number, Number]
    y: tuple[Number, Number]

    def at_x(self, value: Number) -> Number:
        """Where a value stands from left to right."""
        low, high = self.x
        return self.left + (self.right - self.left) * (value - low) / (high - low)

    def at_y(self, value: Number) -> Number:
        """Where a value stands from top to bottom; one that is far too high stands not too far."""
        low, high = self.y
        share = min((value - low) / (high - low), 10.0)
        return self.bottom - (self.bottom - self.top) * share


def line_chart(
    lines: Sequence[Line],
    picture: Picture,
    *,
    x_label: str,
    y_label: str,
    levels: Sequence[Level] = (),
    ceiling: Number = math.inf,
) -> str:
    """An SVG picture of lines over one pair of linear axes.

    Args:
        lines: what to draw; may be empty, or hold no finite point.
        picture: its name and size.
        x_label: what runs from left to right, from zero on.
        y_label: what runs upwards, with its unit.
        levels: values to compare with.
        ceiling: the axis ends near here, and what goes higher leaves the picture.
    """
    width, height = picture.width, picture.height
    values = [y for line in lines for _, y in line.points if math.isfinite(y)]
    values += [level.value for level in levels]
    across = ticks(values, count=height // 55, ceiling=ceiling)
    frame = Frame(
        left=10 + 7.5 * max(len(label) for _, label in across),
        right=width - 12,
        top=38 if y_label else 12,
        bottom=height - 42,
        x=(0.0, max([x for line in lines for x, _ in line.points], default=0.0) or 1.0),
        y=(across[0][0], across[-1][0]),
    )
    body = [
        *_axes(frame, across, ticks(frame.x, count=width // 75)),
        _text(0, 14, y_label, "name"),
        _text(frame.right, height - 6, x_label, "name", anchor="end"),
        *_legend(frame, lines),
        *(part for level in levels for part in _level(frame, level)),
        _clip(frame, f"{picture.name}-plot"),
        f'<g clip-path="url(#{picture.name}-plot)">',
        *(part for line in lines for part in _line(frame, line)),
        "</g>",
        *(part for line in lines for part in _gaps(frame, line)),
    ]
    return _svg(body, picture, height)


def bar_chart(bars: Sequence[Bar], picture: Picture, *, unit: str) -> str:
    """An SVG picture of horizontal bars from zero, each with its label and its value.

    `bars` holds one or more, none of them below zero.
    """
    row, gutter = 32, 10 + 7.5 * max(len(bar.label) for bar in bars)
    longest = max(bar.value for bar in bars) or 1.0
    body = []
    for index, bar in enumerate(bars):
        top, length = index * row, (picture.width - gutter - 55) * bar.value / longest
        body += [
            _text(gutter - 10, top + 15, bar.label, bar.style, anchor="end"),
            f'<rect class="{bar.style}" x="{gutter:.1f}" y="{top}" width="{length:.1f}" '
            f'height="20" rx="2">{_hint(f"{bar.label}: {bar.value:.4f} {unit}")}</rect>',
            _text(gutter + length + 8, top + 15, f"{bar.value:.3f}", bar.style),
        ]
    return _svg(body, picture, row * len(bars) - 10)


def ticks(values: Iterable[Number], *, count: int, ceiling: Number = math.inf) -> list[Tick]:
    """Round values that span others, about `count` of them, each with its label.

    The distance between two is 1, 2 or 5 times a power of ten. Where there is nothing to span, or
    all is one value, they stand around it.
    """
    values = [min(value, ceiling) for value in values] or [0.0, 1.0]
    low, high = min(values), max(values)
    if high - low <= 1e-9 * abs(high):
        low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if high else (0.0, 1.0)
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [(index * step, number(index * step, step)) for index in range(first, last + 1)]


def number(value: Number, step: Number) -> str:
    """A tick's label: as many digits as tell it from its neighbours `step` away."""
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if digits > 4:
        return f"{value:.6g}"
    return f"{value:,.{digits}f}"


def binned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points, each the mean of as many neighbours; not finite if one of them is."""
    size = math.ceil(len(points) / most)
    if size <= 1:
        return list(points)
    groups = (points[start : start + size] for start in range(0, len(points), size))
    return [
        (sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group))
        for group in groups
    ]


def _axes(frame: Frame, across: Sequence[Tick], along: Sequence[Tick]) -> list[str]:
    """The grid's horizontal lines, the axis below, and the labels of both."""
    parts = []
    for value, label in across:
        y = frame.at_y(value)
        parts.append(_rule("grid", frame.left, y, frame.right, y))
        parts.append(_text(frame.left - 7, y + 4, label, "tick", anchor="end"))
    for value, label in along:
        if value > frame.x[1]:
            continue
        x = frame.at_x(value)
        parts.append(_rule("axis", x, frame.bottom, x, frame.bottom + 4))
        anchor = "end" if x > frame.right - 15 else "middle"
        parts.append(_text(x, frame.bottom + 18, label, "tick", anchor=anchor))
    return [*parts, _rule("axis", frame.left, frame.bottom, frame.right, frame.bottom)]


def _legend(frame: Frame, lines: Sequence[Line]) -> list[str]:
    """The lines' labels, each beside a piece of its line, from the right; none for a lone line."""
    parts, x = [], frame.right
    for line in reversed(lines if len(lines) > 1 else ()):
        parts.append(_text(x, 14, line.label, line.style, anchor="end"))
        x -= 10 + 6.8 * len(line.label)
        parts.append(_rule(f"line {line.style}", x - 20, 10, x, 10))
        if line.dots:
            parts.append(f'<circle class="{line.style}" cx="{x - 10:.1f}" cy="10" r="3"/>')
        x -= 38
    return parts


def _level(frame: Frame, level: Level) -> list[str]:
    """A dashed line with its label on it, or nothing where it is off the picture."""
    if not frame.y[0] <= level.value <= frame.y[1]:
        return []
    y = frame.at_y(level.value)
    label = f"{level.label} {level.value:.3f}"
    return [
        _rule("level", frame.left, y, frame.right, y),
        _text(frame.right, y - 5, label, "level", anchor="end"),
    ]


def _line(frame: Frame, line: Line) -> list[str]:
    """A line's path, broken where a value is not finite, and its dots."""
    path, pen = [], "M"
    points = binned(line.points)
    for x, y in points:
        if math.isfinite(y):
            path.append(f"{pen}{frame.at_x(x):.1f} {frame.at_y(y):.1f}")
        pen = "L" if math.isfinite(y) else "M"
    finite = [(x, y) for x, y in points if math.isfinite(y)]
    # A line of one point has no length: it is there only as a dot.
    dotted = finite if line.dots or len(finite) == 1 else []
    dots = [
        f'<circle class="{line.style}" cx="{frame.at_x(x):.1f}" cy="{frame.at_y(y):.1f}" r="3">'
        f"{_hint(f'{line.label}: {y:.4g} at {x:,.0f}')}</circle>"
        for x, y in dotted
    ]
    return [f'<path class="line {line.style}" d="{" ".join(path)}"/>', *dots] if path else []


def _gaps(frame: Frame, line: Line) -> list[str]:
    """A cross at the top of the plot wherever a line's value is not finite."""
    return [
        f'<path class="gap" d="M{x - 4:.1f} {frame.top - 4} l8 8 m0 -8 l-8 8">'
        f"{_hint(f'{line.label}: not a finite number at {step:,.0f}')}</path>"
        for step, y in binned(line.points)
        if not math.isfinite(y)
        for x in [frame.at_x(step)]
    ]


def _clip(frame: Frame, name: str) -> str:
    """What is visible of the lines: the plot, and as much around it as half a dot."""
    width, height = frame.right - frame.left + 8, frame.bottom - frame.top + 8
    return (
        f'<clipPath id="{name}"><rect x="{frame.left - 4:.1f}" y="{frame.top - 4}" '
        f'width="{width:.1f}" height="{height}"/></clipPath>'
    )


def _text(x: Number, y: Number, text: str, style: str, *, anchor: str = "start") -> str:
    return (
        f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _rule(style: str, x1: Number, y1: Number, x2: Number, y2: Number) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _hint(text: str) -> str:
    """What the pointer is told when it rests on the part of the picture that this stands in."""
    return f"<title>{escape(text)}</title>"


def _svg(body: Sequence[str], picture: Picture, height: Number) -> str:
    """The parts as one picture that a screen reader reads as its title and description."""
    name, width = picture.name, picture.width
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-text" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<title id="{name}-title">{escape(picture.title)}</title>\n'
        f'<desc id="{name}-text">{escape(picture.description)}</desc>\n'
        + "\n".join(body)
        + "\n</svg>"
    )
