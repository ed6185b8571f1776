"""The clock of a run with a budget: what counts, and what has to be kept for the end.

A lap is the time since the last one, and belongs to a kind of work: a step, an evaluation, a
checkpoint. A lap of more than 50 times its kind's median counts as the median: then the process was
suspended, or the clock jumped, and nothing was learned. What the end of a run needs (one more
evaluation with its sample, a checkpoint, the report) is foreseen from the laps so far, so that the
schedule is finished and everything is written when the time is over. Reading the text and cutting
it into tokens come before the first step and are not counted. Chapter 09 teaches this.
"""

import statistics
import time
from collections import defaultdict, deque
from collections.abc import Callable

from llmcourse.train.checkpoint import TrainState

Clock = Callable[[], float]

STALL = 50
"""How many times the median a lap has to take to be no work."""
KNOWN = 3
"""From how many laps of a kind on its median is trusted."""
RECENT = 101
"""The median is that of the last so many laps."""
REPORT_SECONDS = 0.5
"""What writing the report takes, about."""


class Budget:
    """Counts the seconds that a run has used, and foresees those that its end needs.

    Attributes:
        state: where the run stands; `seconds`, those before an interruption included, and
            `reserve` are kept there.
    """

    def __init__(self, state: TrainState, clock: Clock = time.monotonic) -> None:
        self.state = state
        self._clock = clock
        self._last = clock()
        self._laps: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))

    def lap(self, kind: str) -> None:
        """Count the time since the last lap as work of this kind."""
        now = self._clock()
        # A clock that was set back counts nothing.
        seconds, laps = max(0.0, now - self._last), self._laps[kind]
        self._last = now
        if len(laps) >= KNOWN and seconds > STALL * statistics.median(laps):
            seconds = statistics.median(laps)
        laps.append(seconds)
        self.state.seconds += seconds
        self.state.reserve = self._reserve()

    def _reserve(self) -> float:
        """Seconds that have to be left when the last step begins to be the last.

        An evaluation and a checkpoint as long as the longest so far, the report, and half a step,
        for the budget ends somewhere within one. Before the first checkpoint was written, one is
        taken to last as long as an evaluation.
        """
        evaluation = max(self._laps["evaluation"], default=0.0)
        checkpoint = max(self._laps["checkpoint"], default=evaluation)
        steps = self._laps["step"]
        half_step = statistics.median(steps) / 2 if steps else 0.0
        return evaluation + checkpoint + REPORT_SECONDS + half_step
