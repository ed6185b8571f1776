"""What a person sees while a run goes on: a progress bar, or plain lines where nobody watches.

Everything here goes to stderr, so that a sample on stdout can be piped on. Not here: what is kept
(`runs/directory.py`).
"""

import signal
import sys
import threading
from types import FrameType
from typing import Any

from tqdm import tqdm

from llmcourse.errors import visible


class Console:
    """A progress bar with the loss, tokens per second and the time left; silent unless `speak`."""

    def __init__(self, total: float, done: float, *, speak: bool, unit: str = "step"):
        """`total` and `done` count steps, or seconds where a budget decides."""
        self.speak = speak
        self.total = total
        self.bar = tqdm(
            total=total,
            initial=done,
            unit=unit,
            disable=not speak or not sys.stderr.isatty(),
            bar_format="{l_bar}{bar}| {n:.0f}/{total:.0f} {unit} [{elapsed}<{remaining}{postfix}]",
        )

    def line(self, text: str) -> None:
        """Say something above the bar."""
        if self.speak:
            tqdm.write(visible(text), file=sys.stderr)

    def update(self, done: float, *, loss: float, tokens_per_second: float) -> None:
        """Move the bar, and show how it goes."""
        self.bar.set_postfix_str(f"loss {loss:.3f}, {tokens_per_second / 1000:.1f}k tokens/s")
        self.bar.update(min(done, self.total) - self.bar.n)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self.bar.close()


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a request to stop; a second one takes effect at once.

    Only Python's main thread may listen to signals; elsewhere this does nothing.

    Attributes:
        received: the number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        """Listen."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the former handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        # Handlers are put back at once: the next signal does what it always did.
        self.received = number
        self.__exit__()


def ignore_termination() -> None:
    """Let SIGTERM pass from now on: this process is about to end by itself."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def signal_name(number: int) -> str:
    """The signal's name, such as `SIGTERM`."""
    return signal.Signals(number).name
