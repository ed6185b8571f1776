"""Run a learner's code and come back, whatever it does: raise, exit, loop for ever, print, change.

Not a prison: code that means harm is not held. A keyboard interrupt passes. Not here: a rehearsal
in another process, for what never comes back (`probe.py`); modules that were changed
(`patches.py`); judging what came back (`compare.py`, `harness.py`). No chapter teaches this.
"""

import contextlib
import inspect
import io
import linecache
import random
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch

from llmcourse.checks.compare import difference

RING = 0.05
"""Seconds between two alarms, once the time is up."""

ASLEEP = 0.005
"""Who computes for less than this share of the time waits for something, and not for a processor
that others keep busy."""

PRINTED = 2_000
"""How many characters of what an answer prints are shown."""


class _TimeIsUp(BaseException):
    """Not an `Exception`, so that a learner's `except Exception` does not swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call.

    Attributes:
        value: what was returned.
        error: what was raised, as `RuntimeError: message`; empty where the call returned.
        line: the deepest line of the learner's own code on the way to the error, or empty.
        timed_out: it was still running when its time was up.
        open: it raised `NotImplementedError`.
        changed: the arguments that were not the same afterwards.
        crashed: how it ended Python itself, as the rest of a sentence; empty if it did not.
    """

    value: Any = None
    error: str = ""
    line: str = ""
    timed_out: bool = False
    open: bool = False
    changed: tuple[str, ...] = ()
    crashed: str = ""

    def same(self, other: "Outcome", tolerance: float | None = None) -> bool:
        """Whether both calls did the same: one value, or one error with one message."""
        mine, others = ((o.error, o.timed_out, o.open, o.changed, o.crashed) for o in (self, other))
        if mine != others:
            return False
        return difference(self.value, other.value, tolerance=tolerance, loose=True) is None


def run(function: Callable[[], Any], answer: Any, seconds: float) -> Outcome:
    """Call `function`, which calls the learner's `answer`, for at most `seconds` of computing."""
    try:
        with time_limit(seconds):
            return Outcome(value=function())
    except KeyboardInterrupt:
        raise
    except _TimeIsUp as error:
        return Outcome(timed_out=True, line=_own_line(error, answer))
    except BaseException as error:  # SystemExit and generators' exits too
        name, said = type(error).__name__, _message(error)
        return Outcome(
            error=f"{name}: {said}" if said else name,
            line=_own_line(error, answer),
            open=isinstance(error, NotImplementedError),
        )


@contextlib.contextmanager
def time_limit(seconds: float) -> Generator[None]:
    """End the block with an exception when it has computed for so long, or only waited.

    What counts is the thread's own processor time, so that nobody is late because the machine is
    busy. A block that waits, for input or asleep, ends after ten times as long. The alarm rings on:
    code that swallows it meets it again, in its own handler.

    It works where Unix alarms do: in the main thread, which is where a notebook's cells run.
    Elsewhere (Windows, another thread) the block takes as long as it takes. Alarms that somebody
    else has set go on afterwards with what is left of their time.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and hasattr(signal, "setitimer")):
        yield
        return
    alarm = _Alarm(seconds)
    with (
        _timer(signal.ITIMER_PROF, signal.SIGPROF, alarm.computed, seconds, RING),
        _timer(signal.ITIMER_REAL, signal.SIGALRM, alarm.waited, 10 * seconds, seconds),
    ):
        try:
            yield
        finally:
            alarm.off()


class _Alarm:
    """Rings when a block has computed for its time, and again while it goes on."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._computed, self._began = time.thread_time(), time.monotonic()
        self._on, self._trace = True, sys.gettrace()

    def off(self) -> None:
        """Never ring again."""
        self._on = False
        if sys.gettrace() is not self._trace:
            sys.settrace(self._trace)

    def computed(self, _number: int, frame: FrameType | None) -> None:
        """Ring, if it was this thread that computed."""
        if time.thread_time() - self._computed >= 0.9 * self._seconds:
            self._ring(frame)

    def waited(self, _number: int, frame: FrameType | None) -> None:
        """Ring, if nothing was computed in all this time."""
        share = (time.thread_time() - self._computed) / (time.monotonic() - self._began)
        if share < ASLEEP:
            self._ring(frame)

    def _ring(self, frame: FrameType | None) -> None:
        if not self._on:
            return
        # Whoever catches this alarm is to meet the next one inside its handler.
        sys.settrace(self._follow)
        while frame is not None and frame.f_code.co_filename != __file__:
            frame.f_trace = self._follow
            frame = frame.f_back
        raise _TimeIsUp

    def _follow(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if frame.f_code.co_filename == __file__:
            return None
        if event == "exception":
            return self._raise_at_the_next_line
        return self._follow

    def _raise_at_the_next_line(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line" and self._on:
            raise _TimeIsUp
        return self._raise_at_the_next_line


@contextlib.contextmanager
def _timer(
    which: int, number: int, handler: Callable[..., None], seconds: float, again: float
) -> Generator[None]:
    """A timer that calls `handler`, and afterwards the one that was there before."""
    began = time.monotonic()
    others_handler = signal.signal(number, handler)
    others_time, others_interval = signal.setitimer(which, seconds, again)
    try:
        yield
    finally:
        signal.setitimer(which, 0)
        signal.signal(number, others_handler)
        if others_time:
            left = max(others_time - (time.monotonic() - began), 1e-3)
            signal.setitimer(which, left, others_interval)


@contextlib.contextmanager
def steady() -> Generator[None]:
    """Leave the random generators, torch's default dtype and its gradient mode as they were."""
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)


def seed() -> None:
    """Put every random generator, torch's default dtype and gradient mode at one starting point."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.default_generator.manual_seed(0)  # ours is the CPU's alone, and a tenth of the time
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Show nothing of what the block prints."""
    with contextlib.redirect_stdout(_Capped(None)), contextlib.redirect_stderr(_Capped(None)):
        yield


@contextlib.contextmanager
def capped() -> Generator[None]:
    """Show the beginning of what the block prints, and say how much more there was."""
    out, err = _Capped(sys.stdout), _Capped(sys.stderr)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield
    finally:
        if more := out.more + err.more:
            print(f"\n... and {more:,} more characters that your code printed")


class _Capped(io.TextIOBase):
    """Passes on the first characters, and counts the rest.

    Attributes:
        more: how many were not passed on.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream, self._left = stream, PRINTED if stream is not None else 0
        self.more = 0

    def write(self, text: str, /) -> int:
        shown = text[: self._left]
        self._left -= len(shown)
        self.more += len(text) - len(shown)
        if shown:
            self._stream.write(shown)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def writable(self) -> bool:
        return True


def _message(error: BaseException) -> str:
    """The first line of what the error says; an exception's `__str__` may itself be broken."""
    try:
        said = str(error).strip()
    except Exception:
        return ""
    return said.splitlines()[0][:200] if said else ""


def _own_line(error: BaseException, answer: Any) -> str:
    """The deepest line of the learner's own code in the traceback: `line 3: scores = q @ k`."""
    code = _code(answer)
    if code is None:
        return ""
    # An alarm that rings again on its way out begins another traceback, behind the first one's.
    met: list[BaseException] = [error]
    while (before := met[-1].__context__) is not None and before not in met:
        met.append(before)
    frames = [place for one in reversed(met) for place in traceback.walk_tb(one.__traceback__)]
    # A frame has no line where an alarm rings before its first one.
    lines = [n for frame, n in frames if n and frame.f_code.co_filename == code.co_filename]
    if not lines:
        return ""
    text = linecache.getline(code.co_filename, lines[-1]).strip()
    return f"line {lines[-1]}: {text[:70]}" if text else f"line {lines[-1]}"


def _code(answer: Any) -> CodeType | None:
    """The code object behind a function, a method, a partial or a class, or None."""
    try:
        answer = inspect.unwrap(getattr(answer, "func", answer))
        if isinstance(answer, type):
            answer = next((v for v in vars(answer).values() if inspect.isfunction(v)), None)
        return getattr(answer, "__code__", None)
    except Exception:  # a learner's object may do anything when it is looked at
        return None
