"""The report's charts: the loss beside its baselines, and what to look at when it misbehaves.

Not here: how a chart is drawn (`charts.py`), and the rest of the page (`report.py`).
"""

import math

from llmcourse.runs.charts import Bar, Level, Line, Picture, bar_chart, line_chart
from llmcourse.runs.history import RunHistory
from llmcourse.runs.html import figure
from llmcourse.runs.log import Evaluation, Training

COLUMN, HALF = 720, 340
"""Widths in pixels: the page's column, and half of it or a phone's."""


def result_bars(history: RunHistory) -> str:
    """The best evaluation beside the guesses that it had to beat; nothing where one is alone."""
    bars = [Bar(label=label, value=value) for label, value in history.baselines.items()]
    if history.best is not None:
        if history.best.bits_per_byte is None:
            return ""
        model = Bar(label="this model", value=history.best.bits_per_byte, style="accent")
        # Between the guesses and the entropy, which is the last where it is known.
        bars.insert(len(bars) - ("entropy" in history.baselines), model)
    if len(bars) < 2:
        return ""
    return bar_chart(
        bars,
        Picture(
            title="Bits per byte on held-out text; shorter is better",
            description=", ".join(f"{bar.label} {bar.value:.3f}" for bar in bars),
            name="result",
            width=HALF,
        ),
        unit="bits per byte",
    )


def loss_chart(history: RunHistory) -> str:
    """Training and validation loss over the steps; in bits per byte once there is an evaluation."""
    ratio = history.nats_per_bit
    unit = "bits per byte" if ratio else "nats per answer" if _mixed(history) else "nats per token"
    train = [(step, loss / (ratio or 1.0)) for step, loss in history.points(Training, "loss")]
    valid = history.points(Evaluation, "bits_per_byte" if ratio else "loss")
    levels = [Level(label=k, value=v) for k, v in history.baselines.items()] if ratio else []
    lines = [
        Line(label="training", points=train, style="muted" if valid else "accent"),
        Line(label="validation", points=valid, dots=True),
    ]
    lines = [line for line in lines if line.points]
    if not lines:
        return ""
    title = trend(lines[-1], unit)
    ceiling = _ceiling(lines, levels)
    notes = _notes(lines, ratio if train else None, ceiling)
    said = " ".join(
        [f"{title}.", *(f"{level.label} {level.value:.3f}." for level in levels), notes]
    )
    sizes = {"wide": (COLUMN, 380), "narrow": (HALF, 300)}
    pictures = [
        f'<div class="{kind}">\n'
        + line_chart(
            lines,
            Picture(title=title, description=said, name=f"loss-{kind}", width=width, height=height),
            x_label="optimizer steps",
            y_label=unit,
            levels=levels,
            ceiling=ceiling,
        )
        + "\n</div>"
        for kind, (width, height) in sizes.items()
    ]
    return figure(title, "\n".join(pictures), notes)


def small_charts(history: RunHistory) -> str:
    """The learning rate and the gradient's norm, side by side where there is room."""
    charts = []
    for name, title in (("lr", "Learning rate"), ("grad_norm", "Gradient norm, before clipping")):
        points = history.points(Training, name)
        values = [y for _, y in points if math.isfinite(y)]
        if not points:
            continue
        span = f"from {min(values):.3g} to {max(values):.3g}" if values else "never finite"
        picture = line_chart(
            [Line(label=title, points=points)],
            Picture(
                title=f"{title} over the steps",
                description=f"{title}: {span}.",
                name=name,
                width=HALF,
                height=190,
            ),
            x_label="optimizer steps",
            y_label="",
        )
        charts.append(figure(title, picture))
    return f'<div class="pair">\n{"".join(charts)}\n</div>' if charts else ""


def trend(line: Line, unit: str) -> str:
    """What a line says, in words: `Validation loss fell from 3.41 to 1.42 bits per byte`.

    A line that ends above its lowest point is said to rise from there on.
    """
    values = [y for _, y in line.points if math.isfinite(y)]
    what = f"{line.label.capitalize()} loss"
    if not values:
        return f"{what} was never a finite number"
    first, least, last = (f"{value:.2f}" for value in (values[0], min(values), values[-1]))
    if len(values) == 1:
        return f"{what} was {first} {unit}"
    if least == first:
        moved = "stayed at" if last == first else f"rose from {first} to"
    else:
        moved = f"fell from {first} to" + ("" if last == least else f" {least}, then rose to")
    return f"{what} {moved} {last} {unit}"


def _mixed(history: RunHistory) -> bool:
    """Whether the loss is about more than tokens: pairs of sentences, views of a text."""
    evaluations = history.evaluations
    return any(e.bits_per_byte is None or "token_loss" in e.metrics for e in evaluations)


def _ceiling(lines: list[Line], levels: list[Level]) -> float:
    """Above this a loss has nothing more to say: a quarter over the start, and over every guess."""
    first = [next((y for _, y in line.points if math.isfinite(y)), 0.0) for line in lines]
    return 1.25 * max([level.value for level in levels] + first) or math.inf


def _notes(lines: list[Line], ratio: float | None, ceiling: float) -> str:
    """What a reader of the chart has to know beside it."""
    notes = []
    if ratio:
        width = ratio / math.log(2)
        notes.append(
            f"Training loss is converted at the validation text's {width:.2f} bytes a token."
        )
    above = sum(y > ceiling for line in lines for _, y in line.points)
    if above:
        notes.append(f"Higher than shown: {above} points.")
    gaps = sum(not math.isfinite(y) for line in lines for _, y in line.points)
    if gaps:
        notes.append(f"Not a finite number, and crossed: {gaps} points.")
    return " ".join(notes)
