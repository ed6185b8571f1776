"""A rehearsal in another process: does an answer come back at all, and does Python survive it?

An alarm reaches Python code alone: `sum(range(10**12))` never looks up, and a crash of the
interpreter takes the learner's whole notebook with it. So an answer is first tried in a copy of the
process, which may be killed. Where a process cannot be copied (safely on Linux alone, and not where
memory or processes have run out), and where the copy waits for a lock that it will never get, there
is no rehearsal. Not here: the limits
within the process (`sandbox.py`). No chapter teaches this.
"""

import contextlib
import faulthandler
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import torch

from llmcourse.checks.sandbox import Outcome

GRACE = 1.0
"""Seconds of computing beyond the limit that a copy gets: the alarm within it rings first."""

MEMORY = 4 * 2**30
"""Bytes that an answer may take; less where less than twice as much is free."""


@dataclass(frozen=True)
class Stop:
    """Where a rehearsal ended that did not come to its end.

    Attributes:
        number: in which call, counted from 0.
        why: what happened, as the rest of a sentence that begins with "it".
        endless: it was still computing.
        line: the line of the learner's code where it was, if that is known.
    """

    number: int
    why: str
    endless: bool
    line: str = ""


def rehearse(calls: Iterable[Callable[[], Outcome]], seconds: float) -> Stop | None:
    """Make the calls in a copy of the process; None if it comes to its end, or there is no copy.

    Args:
        calls: what to call, one after the other.
        seconds: of computing that one call may take.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return None
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: see `_copy_waits`
        try:
            child = os.fork()
        except OSError:  # no room for another process: the answer is called without a rehearsal
            os.close(reader)
            os.close(writer)
            return None
    if child == 0:
        _rehearse_here(calls, reader, writer)
    os.close(writer)
    try:
        return _watch(child, reader, seconds)
    finally:
        os.close(reader)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)


def _rehearse_here(calls: Iterable[Callable[[], Outcome]], reader: int, writer: int) -> None:
    """The copy's life: a dot before each call and a mark at the end; it never returns."""
    try:
        os.close(reader)
        signal.set_wakeup_fd(-1)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        faulthandler.disable()  # what kills the copy is no crash of this process
        torch.set_num_threads(1)  # the other threads were not copied
        for call in calls:
            os.write(writer, b".")
            outcome = call()
            if outcome.timed_out:
                os.write(writer, b"?" + outcome.line.encode(errors="replace"))
                os._exit(0)
    except BaseException:  # an interrupt, say: it will be met again where it can be shown
        pass
    try:
        os.write(writer, b"!")
    finally:
        os._exit(0)


def _watch(child: int, reader: int, seconds: float) -> Stop | None:
    """Follow a copy to its end, or kill it."""
    number, began, ticks = -1, _computed(child), 0
    while True:
        ready, _, _ = select.select([reader], [], [], 0.05)
        if ready:
            signs = os.read(reader, 4096)
            if not signs:
                return _died(child, max(number, 0))
            signs, late, line = signs.partition(b"?")
            number += signs.count(b".")
            if b"!" in signs:
                return None
            if late:
                return _endless(number, seconds, line.decode(errors="replace"))
            began, ticks = _computed(child), 0
            continue
        ticks += 1
        computed = _computed(child) - began
        if computed > seconds + GRACE:
            return _endless(number, seconds, "")
        if _copy_waits(ticks * 0.05, computed, seconds):
            return None


def _endless(number: int, seconds: float, line: str) -> Stop:
    return Stop(max(number, 0), f"was still running after {seconds:g} s", True, line)


def _copy_waits(waited: float, computed: float, seconds: float) -> bool:
    """Whether the copy only waits: asleep, or for a lock that another thread held at its birth.

    The answer is then called without a rehearsal: waiting can be interrupted.
    """
    return waited > max(2.0, seconds) and computed < 0.01 * waited


def _died(child: int, number: int) -> Stop:
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Stop(number, f"made Python itself crash ({name})", endless=False)
    return Stop(number, "ended Python itself", endless=False)


def _computed(process: int) -> float:
    """Seconds of computing that a process has used so far."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
    except OSError:
        return time.process_time()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def memory_limit() -> Generator[None]:
    """Within the block, who asks for more memory than any answer needs gets a MemoryError."""
    if sys.platform != "linux":
        yield
        return
    import resource

    pages = os.sysconf("SC_PAGE_SIZE")
    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * pages
    free = os.sysconf("SC_AVPHYS_PAGES") * pages
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = used + max(min(MEMORY, free // 2), 2**30)
    limits = [value for value in (limit, soft, hard) if value != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
