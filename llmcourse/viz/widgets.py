"""Pictures that answer to a slider: controls, and a drawing made anew when one of them moves.

An `Explorer` is a thin shell around a function that draws. The function is a plot like any other,
usable and testable without the shell. Where no kernel runs (a page on the web, a fresh clone), the
notebook shows the picture of the default state. Not here: what is drawn (the sibling modules).
"""

import base64
import html
import threading
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llmcourse import notebook
from llmcourse.errors import UserError
from llmcourse.viz import style
from llmcourse.viz.layout import Layout

_LABEL_WIDTH = "9em"
_CONTROL_LAYOUT = {"width": "min(100%, 44em)"}
_ONE_AT_A_TIME = threading.RLock()
"""Held while something draws. JupyterLab has widgets answered in a second thread, and matplotlib
(its text parser, for one) is not made for two."""


def slider(
    value: float,
    low: float,
    high: float,
    step: float | None = None,
    *,
    label: str = "",
) -> ipywidgets.Widget:
    """A slider from `low` to `high`: for whole numbers if all are, else in a hundred steps."""
    numbers = (value, low, high) if step is None else (value, low, high, step)
    whole = all(isinstance(number, int) for number in numbers)
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    step = step or (1 if whole else (high - low) / 100)
    return kind(value=value, min=low, max=high, step=step, description=label)


def choice(options: Iterable[Any], value: Any = None) -> ipywidgets.Dropdown:
    """A drop-down list of values or of `(label, value)` pairs, at `value` or else at the first."""
    control = ipywidgets.Dropdown(options=list(options))
    if value is not None:
        control.value = value
    return control


def text(value: str) -> ipywidgets.Text:
    """A line to type in; the picture follows when Enter is pressed or the line is left."""
    return ipywidgets.Text(value=value, continuous_update=False)


def follow(
    controls: Iterable[ipywidgets.Widget],
    answer: Callable[[], None],
    message: ipywidgets.HTML,
) -> None:
    """Call `answer` whenever a control has changed, one call at a time, for the newest values.

    What changes during a call is answered once, after it, whichever thread it came in. What
    `answer` raises stands in `message`: nobody would see an exception of a widget's callback.
    """
    turns = _Turns(answer, message)
    for control in controls:
        control.observe(turns.ask, names="value")


class Explorer(ipywidgets.VBox):
    """Controls over a picture, which is drawn anew whenever one of them changes.

    `draw` is called with the controls' values by name and returns a `Figure`; it should take less
    than 200 ms, so it never trains anything. What it raises once the widget is shown appears as a
    line under the controls, and the last good picture stays. A hand that is faster than `draw` gets
    the picture of where it came to rest. Figures made by `style.figure` in `draw` are the
    explorer's own, and in no list of open ones.

    Attributes:
        controls: the control of each name.
        picture: the drawing, as the widget that shows it.
        message: the line under the controls; empty while all is well.
    """

    def __init__(self, draw: Callable[..., Figure], **controls: ipywidgets.Widget) -> None:
        self._draw = draw
        self._layout = Layout()
        self.controls: dict[str, Any] = controls
        for name, control in controls.items():
            _dress(name, control)
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%"})
        self.message = ipywidgets.HTML()
        self._shown: dict[str, Any] = {}
        _wait_for_drawings()
        self._redraw()  # an error in the default state is the author's: it is raised, not shown
        super().__init__([*controls.values(), self.message, self.picture])
        follow(controls.values(), self._redraw, self.message)

    @property
    def values(self) -> dict[str, Any]:
        """What the controls are set to now."""
        return {name: control.value for name, control in self.controls.items()}

    def _redraw(self) -> None:
        values = self.values
        if values == self._shown:
            return  # moved by `draw` itself, or there and back
        with _ONE_AT_A_TIME, style.aside():
            drawn = self._draw(**values)
            try:
                self._layout.reuse(drawn)
                picture = style.png(drawn)
                self._layout.remember(drawn)
            finally:
                plt.close(drawn)  # a figure that `draw` had made by pyplot; no other
        width, height = drawn.get_size_inches() * style.DPI
        self._size = {"width": round(width), "height": round(height)}
        self.picture.layout.width = f"{width:.0f}px"
        self.picture.value = picture
        self._shown = values

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


class _Turns:
    """Calls of one function for many askers: never two at once, and none for what is out of date.

    Who asks while a call is under way does not wait: the caller sees that there was a later request
    and calls again.
    """

    def __init__(self, answer: Callable[[], None], message: ipywidgets.HTML) -> None:
        self._answer = answer
        self._message = message
        self._lock = threading.Lock()
        self._asked = 0
        self._answering = False

    def ask(self, _change: dict[str, Any]) -> None:
        with self._lock:
            self._asked += 1
            if self._answering:
                return
            self._answering = True
        try:
            answered = 0
            while (asked := self._newest(answered)) is not None:
                self._try()
                answered = asked
        except BaseException:  # an interrupt: the next request must not wait for this one for ever
            self._answering = False
            raise

    def _newest(self, answered: int) -> int | None:
        """The number of the last request, or None, and the turn is over, if it was answered."""
        with self._lock:
            if self._asked == answered:
                self._answering = False
                return None
            return self._asked

    def _try(self) -> None:
        try:
            self._answer()
        except Exception as error:  # anything: a callback's exception would vanish unseen
            self._message.value = alert(error)
        else:
            self._message.value = ""


def alert(error: Exception) -> str:
    """An error as a line of HTML that is readable on light and dark pages."""
    said = str(error) or "no message"
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return (
        '<div role="alert" style="background:#fdecea;color:#8c1d18;border-left:3px solid #b3261e;'
        f'border-radius:3px;line-height:1.5;padding:2px 8px">{html.escape(kind + said)}</div>'
    )


def _wait_for_drawings() -> None:
    """Have what a notebook does after every message wait until no explorer draws.

    pyplot then draws all its open figures again, and the notebook shows them, in whichever thread
    the message came: also one that an explorer's `draw` is still making by pyplot in another.
    """
    if not notebook.has_kernel():
        return
    from IPython import get_ipython

    afterwards = get_ipython().events.callbacks["post_execute"]
    for turn in (_ONE_AT_A_TIME.acquire, _ONE_AT_A_TIME.release):
        if turn in afterwards:
            afterwards.remove(turn)
    # Around all of them, those that came since the last explorer was made included. The others stay
    # registered: `plt.ioff()` and a change of the backend take them out by name.
    afterwards.insert(0, _ONE_AT_A_TIME.acquire)
    afterwards.append(_ONE_AT_A_TIME.release)


def _dress(name: str, control: Any) -> None:
    """Give a control its name as the label, and the size that all of them have."""
    control.description = control.description or name.replace("_", " ")
    control.style.description_width = _LABEL_WIDTH
    for trait, value in _CONTROL_LAYOUT.items():
        setattr(control.layout, trait, value)
