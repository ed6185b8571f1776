"""A world of processes that have nothing in common but messages, started from one line of Python.

`run_world(4, function)` starts four processes of this machine, gives each a `Channel` to the
others, and brings back what `function` returned in each. A channel can send a tensor and receive
one, and counts what it sends; all that `parallel/` teaches is made of these two. The messages
travel by gloo, as those of `torch.distributed` do on a CPU. Not here: processes on several
machines, which `torchrun` starts (`train/distributed.py`). Chapter 10 teaches this.
"""

import multiprocessing
import pickle
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from llmcourse.errors import UserError

GRACE = 1.0
"""Seconds in which a process that died is noticed, when another has complained of its silence."""


class RankFailed(RuntimeError):
    """A process of a world raised an exception, died, or did not end in time."""


@dataclass(frozen=True)
class Traffic:
    """Traffic: what one rank has sent.

    Attributes:
        messages: how many tensors.
        bytes: how large they were together, without what the network adds.
    """

    messages: int = 0
    bytes: int = 0

    def __sub__(self, earlier: "Traffic") -> "Traffic":
        return Traffic(self.messages - earlier.messages, self.bytes - earlier.bytes)


class Pending:
    """A message on its way: it holds on to the tensor until `wait` says that it has arrived."""

    def __init__(self, tensor: Tensor, work: dist.Work | None) -> None:
        self.tensor = tensor
        self.work = work

    def wait(self) -> Tensor:
        """The tensor that was sent or received, once it is through."""
        if self.work is not None:
            self.work.wait()
        return self.tensor


class Channel:
    """A rank's channel to the other ranks of its world.

    Two ranks' messages arrive in the order in which they were sent. A receiver has to know the
    shape and the dtype: only the numbers travel.

    Attributes:
        rank: this process's number, from 0.
        size: how many processes there are.
        sent: what this rank has sent so far. What it did within a piece of code is a difference:
            `before = channel.sent`, and later `channel.sent - before`.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size
        self.sent = Traffic()

    def start_send(self, tensor: Tensor, to: int) -> Pending:
        """Begin to send a tensor, and go on; it must not change until `wait` returns."""
        body = tensor.detach().contiguous()
        self.sent = Traffic(
            self.sent.messages + 1, self.sent.bytes + body.numel() * body.element_size()
        )
        # Nothing to say is said without a word: both sides know how long a message is.
        return Pending(body, dist.isend(body, to) if body.numel() else None)

    def start_receive(self, like: Tensor, from_: int) -> Pending:
        """Begin to receive a tensor of the shape and dtype of `like`, and go on."""
        body = torch.empty_like(like, memory_format=torch.contiguous_format, requires_grad=False)
        return Pending(body, dist.irecv(body, from_) if body.numel() else None)

    def send(self, tensor: Tensor, to: int) -> None:
        """Send a tensor; returns when it may be changed again."""
        self.start_send(tensor, to).wait()

    def receive(self, like: Tensor, from_: int) -> Tensor:
        """The next tensor from a rank, of the shape and dtype of `like`. Waits for it."""
        return self.start_receive(like, from_).wait()

    def exchange(self, tensor: Tensor, to: int, like: Tensor, from_: int) -> Tensor:
        """Send one tensor and receive another at the same time.

        In a ring every rank sends to the next. If all of them sent first and received afterwards,
        each could wait for a neighbour that waits, too: a deadlock.
        """
        outgoing = self.start_send(tensor, to)
        incoming = self.start_receive(like, from_)
        received = incoming.wait()
        outgoing.wait()
        return received


def run_world(
    n: int, function: Callable[..., Any], *args: Any, timeout: float = 120.0
) -> list[Any]:
    """Run `function(channel, *args)` in n processes; what each returned, by rank.

    The function goes to the processes by its name, so it has to stand in a module (or in a script
    that was started as a file): one that was typed into a notebook's cell, a lambda, or a function
    inside a function cannot be found there. Arguments and results are pickled. Each process
    computes with one thread. What it prints may not show in a notebook.

    Raises:
        UserError: n is not at least 1, or the function or its arguments cannot be sent.
        RankFailed: a process raised an exception or died, or not all ended within `timeout`
            seconds. The message names the rank; all the others have been ended, too.
    """
    if n < 1:
        raise UserError(f"a world of {n} processes is none: give 1 or more")
    job = _pickled(function, args)
    context = _context(function.__module__)
    with tempfile.TemporaryDirectory() as folder:
        # The processes find each other through a file: no port that another program could hold.
        meeting = str(Path(folder, "meeting"))
        connections: list[Connection] = []
        processes: list[BaseProcess] = []
        try:
            for rank in range(n):
                ours, theirs = context.Pipe()
                arguments = (theirs, rank, n, meeting, timeout, job)
                process = context.Process(target=_live, args=arguments, daemon=True)
                process.start()
                theirs.close()  # theirs alone: once it ends, our end hears it
                connections.append(ours)
                processes.append(process)
            results = _results(connections, processes, time.monotonic() + timeout)
            for connection in connections:
                connection.send_bytes(b"end")  # all are done: nobody is listening any more
            for process in processes:
                process.join(GRACE * 10)
            return results
        finally:
            for connection, process in zip(connections, processes, strict=True):
                connection.close()
                process.kill()
                process.join()
                process.close()


def _pickled(function: Callable[..., Any], args: tuple[Any, ...]) -> bytes:
    """The job as bytes: multiprocessing itself would send tensors as shared memory."""
    name = getattr(function, "__qualname__", repr(function))
    typed = getattr(function, "__module__", "") == "__main__"
    if typed and not hasattr(sys.modules["__main__"], "__file__"):
        raise UserError(
            f"{name} was typed into a notebook or a console, where other processes cannot find it: "
            "write it into a file (%%writefile) and import it from there"
        )
    try:
        return pickle.dumps((function, args))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            f"{name} or its arguments cannot be sent to other processes ({error}): give a function "
            "of a module, and arguments that pickle"
        ) from None


def _context(module: str) -> Any:
    """How processes are started: copies of one that has loaded torch, where the system can.

    It is started once and loads the first job's module, too: further worlds begin in no time.
    """
    # Not copies of this process: it may have threads, whose locks would be copied as they are.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.distributed", module])
    return context


def _results(
    connections: list[Connection], processes: list[BaseProcess], deadline: float
) -> list[Any]:
    """What every rank returned; or the first failure, with the rank's own traceback as a note."""
    n = len(connections)
    results: dict[int, Any] = {}
    while len(results) < n:
        waiting = {connections[rank]: rank for rank in range(n) if rank not in results}
        ready = wait(list(waiting), max(0.0, deadline - time.monotonic()))
        if not ready:
            names = ", ".join(map(str, sorted(waiting.values())))
            raise RankFailed(
                f"rank {names} of {n} did not end in time: does it wait for a message?"
            )
        for connection in ready:
            rank = waiting[connection]  # ty: ignore[invalid-argument-type]
            try:
                went_well, value = pickle.loads(connections[rank].recv_bytes())
            except (EOFError, ConnectionError):
                processes[rank].join(GRACE)
                raise _death(rank, processes) from None
            if not went_well:
                raise _failure(rank, value, processes)
            results[rank] = value
    return [results[rank] for rank in range(n)]


def _death(rank: int, processes: list[BaseProcess]) -> RankFailed:
    code = processes[rank].exitcode
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return RankFailed(f"rank {rank} of {len(processes)} died ({how}) before it had a result")


def _failure(rank: int, value: tuple[str, str], processes: list[BaseProcess]) -> RankFailed:
    """What to raise when a rank reported an exception: a dead one beside it is the cause."""
    # A rank that raised stays until it is ended. One that is gone died, and this one noticed it.
    wait([process.sentinel for process in processes], GRACE)
    for other, process in enumerate(processes):
        if other != rank and not process.is_alive():
            return _death(other, processes)
    summary, story = value
    failed = RankFailed(f"rank {rank} of {len(processes)} failed: {summary}")
    failed.add_note(story)
    return failed


def _live(
    connection: Connection, rank: int, n: int, meeting: str, timeout: float, job: bytes
) -> None:
    """A process's life: meet the others, do the job, report, wait until all are done, and part."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends all of them
    torch.set_num_threads(1)  # n processes share the cores already
    try:
        function, args = pickle.loads(job)
        # Twice the parent's patience: that the world hangs is for the parent to say.
        limit, store = timedelta(seconds=2 * timeout), dist.FileStore(meeting, n)
        dist.init_process_group("gloo", timeout=limit, world_size=n, rank=rank, store=store)
        report = pickle.dumps((True, function(Channel(rank, n), *args)))
    except BaseException as error:
        summary = f"{type(error).__name__}: {error}"
        report = pickle.dumps((False, (summary, traceback.format_exc())))
    try:
        connection.send_bytes(report)
        # Whoever leaves early takes down messages that others have not read yet.
        connection.recv_bytes()
    except (EOFError, ConnectionError):
        return  # the parent is gone
    if dist.is_initialized():
        dist.destroy_process_group()
