"""Pictures that answer to a slider: controls, and a drawing made anew when one of them moves.

An `Explorer` is a thin shell around a function that draws. The function is a plot like any other,
usable and testable without the shell. Where no kernel runs (a page on the web, a fresh clone), the
notebook shows the picture of the default state. Not here: what is drawn (the sibling modules).
"""

import base64
import html
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llmcourse import notebook
from llmcourse.viz import style

_LABEL_WIDTH = "9em"
_CONTROL_LAYOUT = {"width": "min(100%, 34em)"}


def slider(value: float, low: float, high: float, step: float | None = None) -> ipywidgets.Widget:
    """A slider from `low` to `high`: for whole numbers if all are, else in a hundred steps."""
    numbers = (value, low, high) if step is None else (value, low, high, step)
    whole = all(isinstance(number, int) for number in numbers)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    step = step or (1 if whole else (high - low) / 100)
    return kind(value=value, min=low, max=high, step=step)


def choice(options: Iterable[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list of values or of `(label, value)` pairs, at `value` or else at the first."""
    control = ipywidgets.Dropdown(options=list(options))
    if value is not None:
        control.value = value
    return control


def text(value: str) -> ipywidgets.Text:
    """A line to type in; the picture follows when Enter is pressed or the line is left."""
    return ipywidgets.Text(value=value, continuous_update=False)


class Explorer(ipywidgets.VBox):
    """Controls over a picture, which is drawn anew whenever one of them changes.

    `draw` is called with the controls' values by name and returns a `Figure`; it should take less
    than 200 ms, so it never trains anything. What it raises once the widget is shown appears as a
    line under the controls, and the last good picture stays.

    Attributes:
        controls: the control of each name.
        picture: the drawing, as the widget that shows it.
        message: the line under the controls; empty while all is well.
    """

    def __init__(self, draw: Callable[..., Figure], **controls: ipywidgets.Widget) -> None:
        self._draw = draw
        self.controls: dict[str, Any] = controls
        for name, control in controls.items():
            _dress(name, control)
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.message = ipywidgets.HTML()
        self._redraw()  # an error in the default state is the author's: it is raised, not shown
        super().__init__([*controls.values(), self.message, self.picture])
        for control in controls.values():
            control.observe(self._on_change, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to now."""
        return {name: control.value for name, control in self.controls.items()}

    def _on_change(self, _change: dict[str, Any]) -> None:
        try:
            self._redraw()
        except Exception as error:  # anything: a callback's exception would vanish unseen
            self.message.value = _alert(error)
        else:
            self.message.value = ""

    def _redraw(self) -> None:
        already_open = set(plt.get_fignums())
        try:
            drawn = self._draw(**self.values)
            width, height = drawn.get_size_inches() * style.DPI
            self.picture.value = style.png(drawn)
            self.picture.layout.width = f"{width:.0f}px"
            self._size = {"width": round(width), "height": round(height)}
        finally:  # also what a failed drawing left behind
            for number in set(plt.get_fignums()) - already_open:
                plt.close(number)

    def _repr_mimebundle_(self, **_kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a page without a kernel shows: the picture, and what the controls are set to."""
        state = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        picture = base64.b64encode(bytes(self.picture.value)).decode()
        bundle = {"text/plain": f"Explorer({state})", "image/png": picture}
        return bundle, {"image/png": self._size}

    def _ipython_display_(self) -> None:
        """Show it, and in its place where no kernel runs the picture that was drawn last."""
        still = notebook.Still(*self._repr_mimebundle_())
        notebook.show_live(lambda: self, still)
        self.picture.observe(lambda _: still.renew(*self._repr_mimebundle_()), names="value")


def _dress(name: str, control: Any) -> None:
    """Give a control its name as the label, and the size that all of them have."""
    control.description = control.description or name.replace("_", " ")
    control.style.description_width = _LABEL_WIDTH
    for trait, value in _CONTROL_LAYOUT.items():
        setattr(control.layout, trait, value)


def _alert(error: Exception) -> str:
    said = str(error) or "no message"
    return (
        '<div role="alert" style="color:#b3261e;padding:2px 0">'
        f"{html.escape(type(error).__name__)}: {html.escape(said)}</div>"
    )
