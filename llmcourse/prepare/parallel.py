"""One function over many documents in several processes, the results in the documents' order.

Since the order stays, the number of processes changes nothing but the time.
"""

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any, TypeVar

from llmcourse.data.documents import Document

Result = TypeVar("Result")

BATCH_LENGTH = 250_000
"""Characters that are sent to a process at once: much work for one message, little memory."""

_function: Callable[[Document], Any] | None = None
"""What a worker does, sent to it once."""


def ordered_map(
    function: Callable[[Document], Result], documents: Iterable[Document], workers: int
) -> Iterator[tuple[Document, Result]]:
    """Each document with `function(document)`, computed in `workers` processes; 1 starts none.

    At most two batches a process are on their way, so a source may be larger than memory. The
    function goes to other processes: it must pickle.
    """
    if workers == 1:
        for document in documents:
            yield document, function(document)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy locks of running threads
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=(function,))
    pending: deque[tuple[list[Document], Future[list[Result]]]] = deque()
    try:
        for batch in batches(documents):
            pending.append((batch, pool.submit(_run, batch)))
            if len(pending) > 2 * workers:
                yield from _finished(*pending.popleft())
        while pending:
            yield from _finished(*pending.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Neighbouring documents together, each batch of `BATCH_LENGTH` characters or little more."""
    batch: list[Document] = []
    length = 0
    for document in documents:
        batch.append(document)
        length += len(document.text)
        if length >= BATCH_LENGTH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _finished(
    batch: list[Document], future: Future[list[Result]]
) -> Iterator[tuple[Document, Result]]:
    return zip(batch, future.result(), strict=True)


def _start(function: Callable[[Document], Any]) -> None:
    """Make a process ready: the function is kept, and Ctrl-C is left to the parent."""
    global _function
    _function = function
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(batch: list[Document]) -> list[Any]:
    assert _function is not None
    return [_function(document) for document in batch]
