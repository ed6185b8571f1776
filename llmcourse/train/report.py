"""The page that shows a run: `report.html`, made from what the run directory holds and nothing else.

    python -m llmcourse.train.report runs/mine

makes it anew. It says as much as there is to say: a run that was killed has a page too. Not here:
the log and the folder (`record.py`), how the page looks (`page.py`), the charts (`chart.py`).
Chapter 08 reads one.
"""

import argparse
import math
import shlex
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError, exit_on_user_error
from llmcourse.files import atomic_write_text
from llmcourse.train.chart import Bar, Level, Line, Point, bar_chart, line_chart
from llmcourse.train.page import escape, figure, page, table, tiles
from llmcourse.train.record import RunDirectory, read_metrics, read_object

Record = dict[str, Any]

WIDE, SMALL = 720, 340
"""Widths of the charts in pixels: the page's column, and half of it or a phone's."""


@dataclass(frozen=True)
class Story:
    """What a run directory tells, sorted; whatever is missing is empty."""

    run: RunDirectory
    records: list[Record]
    config: Record
    environment: Record

    @classmethod
    def read(cls, run: RunDirectory) -> "Story":
        """Read a run directory.

        Raises:
            UserError: its log is damaged.
        """
        return cls(run, read_metrics(run.metrics), read_object(run.config), read_object(run.environment))

    def of(self, kind: str) -> list[Record]:
        """The records of one kind, oldest first."""
        return [record for record in self.records if record["kind"] == kind]

    def points(self, kind: str, name: str) -> list[Point]:
        """A figure over the steps."""
        return [(r["step"], r[name]) for r in self.of(kind) if is_number(r.get(name))]

    def latest(self, name: str) -> Any:
        """The last value of a figure, or None."""
        return next((r[name] for r in reversed(self.records) if name in r), None)

    def middle(self, name: str) -> float | None:
        """The median of a figure over the training records, or None."""
        values = [y for _, y in self.points("train", name) if math.isfinite(y)]
        return statistics.median(values) if values else None

    @cached_property
    def baseline(self) -> Record:
        """What there is to beat, and sizes."""
        return next(iter(self.of("baseline")), {})

    @cached_property
    def best(self) -> Record | None:
        """The evaluation with the fewest bits per byte, whose weights are the run's model."""
        scored = [r for r in self.of("evaluate") if is_finite(r.get("bits_per_byte"))]
        return min(scored, key=lambda record: record["bits_per_byte"], default=None)

    @cached_property
    def nats_per_bit(self) -> float | None:
        """Nats a token for each bit a byte, on the validation text: what converts the two units."""
        for record in self.of("evaluate"):
            loss, bits = record.get("loss"), record.get("bits_per_byte")
            if is_finite(loss) and is_finite(bits) and bits > 0 and loss > 0:
                return loss / bits
        return None

    @cached_property
    def reason(self) -> str | None:
        """Why the run ended, or None if it did not."""
        ends = self.of("end")
        return str(ends[-1].get("reason", "")) if ends else None
