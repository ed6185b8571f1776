"""Where a figure's axes stand: worked out once, and used again while nothing moves them.

Working it out (matplotlib's constrained layout measures every text, twice) takes as long as all the
drawing, and a slider's next picture has its axes where the last one had them. Not here: the widget
that redraws (`widgets.py`).
"""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


class Layout:
    """The places of the axes in the last of a series of figures."""

    def __init__(self) -> None:
        self._words: Any = None
        self._axes: list[Any] = []
        self._texts: list[Any] = []

    def reuse(self, drawn: Figure) -> bool:
        """Put the axes where they were, if the words around them are the same; say whether."""
        words = _words_around(drawn)
        same = words == self._words
        if same:
            drawn.set_layout_engine("none")
            for ax, place in zip(drawn.axes, self._axes, strict=True):
                ax.set_position(place)
            for text, place in zip(drawn.texts, self._texts, strict=True):
                text.set_position(place)
        self._words = words
        return same

    def remember(self, drawn: Figure) -> None:
        """Keep where a figure, which was drawn, has its axes."""
        self._axes = [ax.get_position(original=True).frozen() for ax in drawn.axes]
        self._texts = [text.get_position() for text in drawn.texts]


def _words_around(drawn: Figure) -> tuple[Any, ...]:
    """Everything that the layout measures: sizes, labels, ticks, legends, and how high titles are.

    A title may grow to the right as it likes, so that its lines alone are counted.
    """
    title = drawn.get_suptitle()
    others = [text.get_text() for text in drawn.texts if text.get_text() != title]
    return (*drawn.get_size_inches(), _lines(title), *others, *map(_around, drawn.axes))


def _around(ax: Axes) -> tuple[Any, ...]:
    ticks = [label.get_text() for axis in (ax.xaxis, ax.yaxis) for label in axis.get_ticklabels()]
    titles = [_lines(ax.get_title(loc)) for loc in ("left", "center", "right")]
    words = [part.get_text() for part in ax.texts if part.get_in_layout()]
    legend = ax.get_legend()
    names = [text.get_text() for text in legend.get_texts()] if legend else []
    spec = ax.get_subplotspec()
    span = (*spec.get_geometry(), ax.get_aspect()) if spec else ()
    return (span, *ticks, *titles, ax.get_xlabel(), ax.get_ylabel(), *words, *names)


def _lines(title: str) -> int:
    return title.count("\n") + 1 if title else 0
