"""What a suite measures: figures with intervals and baselines, and what they are made of.

Not here: the suites (`text.py` and its siblings), how figures are shown (`table.py`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from llmcourse.errors import require
from llmcourse.evaluate.intervals import Interval, bootstrap, wilson
from llmcourse.randomness import numpy_rng


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a suite is told.

    Attributes:
        data: the file or folder that it reads, if it reads one.
        limit: how much of it, in the suite's own unit; None is all.
        n: how many stories, pairs and questions a suite makes that makes its own.
        stride: how many tokens each window of a text scores; None is half a window.
        normalisation: how answers of different length are compared.
        seed: of what is drawn.
        device: where the model is put.
    """

    data: Path | None = None
    limit: int | None = None
    n: int = 300
    stride: int | None = None
    normalisation: str = "byte"
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A measured figure: a share, or a ratio of sums over the things that were examined.

    Attributes:
        name: what it is.
        interval: it, with its 95 % interval.
        n: how many things were examined.
        totals: what each of them adds to the sum; None where the figure is no ratio of sums.
        counts: what it is divided by, likewise.
        is_share: whether it is shown in per cent.
        lower_is_better: whether less is better.
        baselines: what those reach who know little, by name.
    """

    name: str
    interval: Interval
    n: int
    totals: Float[np.ndarray, " N"] | None = None
    counts: Float[np.ndarray, " N"] | None = None
    is_share: bool = True
    lower_is_better: bool = False
    baselines: dict[str, float] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The figure as JSON knows it."""
        value, low, high = self.interval
        return {
            "name": self.name,
            "value": value,
            "low": low,
            "high": high,
            "n": self.n,
            "lower_is_better": self.lower_is_better,
            "baselines": self.baselines,
        }


def share(name: str, right: Any, **more: Any) -> Figure:
    """The share of things that are right, with Wilson's interval."""
    right = np.asarray(right, dtype=float)
    return Figure(
        name=name,
        interval=wilson(int(right.sum()), len(right)),
        n=len(right),
        totals=right,
        counts=np.ones(len(right)),
        **more,
    )


def ratio(name: str, totals: Any, counts: Any, seed: int, **more: Any) -> Figure:
    """A ratio of sums, with its bootstrap interval over the things that were examined."""
    totals, counts = np.asarray(totals, dtype=float), np.asarray(counts, dtype=float)
    return Figure(
        name=name,
        interval=bootstrap(totals, counts, numpy_rng(seed, "suites", name), draws=1000),
        n=len(totals),
        totals=totals,
        counts=counts,
        is_share=False,
        **more,
    )


def data_of(asked: Asked, suite: str, wants: str) -> Path:
    """The file or folder that a suite cannot do without.

    Raises:
        UserError: none was named, or there is none.
    """
    require(
        asked.data is not None, f"the suite {suite} reads {wants}: name it (--data {suite}=PATH)"
    )
    assert asked.data is not None
    require(asked.data.exists(), f"there is no file or folder {asked.data}")
    return asked.data
