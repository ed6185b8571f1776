"""How sure a classifier is beside how often it is right: bars, and a temperature to turn.

Not here: the figures themselves (`evaluate/calibration.py`). Chapter 16 teaches what the pictures
show.
"""

from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from llmcourse.evaluate.calibration import (
    BINS,
    confidence_of,
    expected_calibration_error,
    reliability,
)
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider


def reliability_diagram(
    confidence: Float[Tensor, " N"],
    right: Bool[Tensor, " N"],
    *,
    n_bins: int = BINS,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """The accuracy of each bin as a bar at its mean confidence; a calibrated model is on the line.

    Under the bars stands how many answers a bin has. The title says the calibration error unless
    another one is given.

    Raises:
        UserError: as `reliability`.
    """
    if ax is None:
        _, ax = style.figure(width=4.6, height=3.6)
    bins = [b for b in reliability(confidence, right, n_bins) if b.n]
    ax.plot([0, 1], [0, 1], color=style.GREYS[2], linestyle="--", linewidth=1.2)
    width = 0.85 / n_bins
    ax.bar([b.confidence for b in bins], [b.accuracy for b in bins], width, color=style.ACCENT)
    for b in bins:
        ax.vlines(b.confidence, b.accuracy, b.confidence, color=style.CONTRAST, linewidth=2.5)
        ax.text(b.confidence, 0.02, str(b.n), ha="center", fontsize=7, color="white")
    error = expected_calibration_error(confidence, right, n_bins)
    ax.set(
        xlim=(0, 1.06), ylim=(0, 1.03), xlabel="how sure it is", ylabel="share that is right",
        title=title or f"Calibration error {error:.2f}",
    )  # fmt: skip
    return ax


def calibration_explorer(
    logits: Float[Tensor, "N C"], labels: Int[Tensor, " N"], n_bins: int = BINS
) -> Explorer:
    """`reliability_diagram` of a classifier, with the temperature of its logits as a slider."""

    def draw(temperature: float) -> Figure:
        drawn, ax = style.figure(width=4.6, height=3.6)
        confidence, right = confidence_of(logits, labels, temperature)
        reliability_diagram(confidence, right, n_bins=n_bins, ax=ax)
        error = expected_calibration_error(confidence, right, n_bins)
        share = float(right.double().mean())
        ax.set_title(f"Right {100 * share:.0f} %, calibration error {error:.2f}")
        return drawn

    return Explorer(draw, temperature=slider(1.0, 0.5, 5.0, 0.1))
