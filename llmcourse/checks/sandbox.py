"""Run a learner's code and come back, whatever it does: raise, exit, loop for ever, change things.

Not a prison: code that means harm is not held. A keyboard interrupt passes, and what is printed
stays where it was printed. Not here: judging what came back (`compare.py`, `harness.py`).
"""

import contextlib
import inspect
import linecache
import random
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
import torch

from llmcourse.checks.compare import difference


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
    """

    value: Any = None
    error: str = ""
    line: str = ""
    timed_out: bool = False
    open: bool = False
    changed: tuple[str, ...] = ()

    def same(self, other: "Outcome", tolerance: float | None = None) -> bool:
        """Whether both calls did the same: one value, or one error with one message."""
        mine, others = ((o.error, o.timed_out, o.open, o.changed) for o in (self, other))
        return mine == others and difference(self.value, other.value, tolerance=tolerance) is None


def run(function: Callable[[], Any], answer: Any, seconds: float) -> Outcome:
    """Call `function`, which calls the learner's `answer`, for at most `seconds`."""
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
    """End the block with an exception when its time is up.

    It works where Unix alarms do: in the main thread, which is where a notebook's cells run.
    Elsewhere (Windows, another thread) the block takes as long as it takes. An alarm that somebody
    else has set goes on afterwards with what is left of its time.
    """
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise _TimeIsUp

    began = time.monotonic()
    others_handler = signal.signal(signal.SIGALRM, ring)
    others_time, others_interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, others_handler)
        if others_time:
            left = max(others_time - (time.monotonic() - began), 1e-3)
            signal.setitimer(signal.ITIMER_REAL, left, others_interval)


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
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


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
    frames = traceback.walk_tb(error.__traceback__)
    numbers = [line for frame, line in frames if frame.f_code.co_filename == code.co_filename]
    if not numbers:
        return ""
    text = linecache.getline(code.co_filename, numbers[-1]).strip()
    return f"line {numbers[-1]}: {text[:70]}" if text else f"line {numbers[-1]}"


def _code(answer: Any) -> CodeType | None:
    """The code object behind a function, a method, a partial or a class, or None."""
    answer = inspect.unwrap(getattr(answer, "func", answer))
    if isinstance(answer, type):
        answer = next((v for v in vars(answer).values() if inspect.isfunction(v)), None)
    return getattr(answer, "__code__", None)
