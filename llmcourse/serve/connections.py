"""Connections: how long one may stay that asks for nothing, and how many there may be.

A client that is connected and sends nothing, or a letter now and then, costs the server a file; and
of files the system gives a process only so many. Not here: what a request may cost once its head is
there (`gate.py`, `engine.py`).
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

SPARE = 64
"""Files that connections leave to the rest of the process: the listener, the model, logs."""


def files_for_connections() -> int | None:
    """How many connections there may be, once as many files are allowed as can be; None for any.

    Where the system allows none to be had, as Windows, it keeps no such count.
    """
    try:
        import resource
    except ImportError:
        return None
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else max(1, hard - SPARE)


def protocol(head_seconds: float, most: int | None = None) -> type[H11Protocol]:
    """What uvicorn is to make of each connection: one that is closed unless a request's head comes.

    Args:
        head_seconds: how long a head may take from the moment that one can come.
        most: how many connections there are at once; further ones are closed when they are made.
    """

    class Patience(H11Protocol):
        """A connection with a deadline wherever it waits for the head of a request."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if most is not None and len(self.connections) > most:
                transport.abort()
            else:
                self._set_deadline()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._set_deadline()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._set_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._cancel()

        def _set_deadline(self) -> None:
            """Begin to wait for a head, or end it; a letter more does not begin it anew."""
            if self.conn.their_state is not h11.IDLE:
                self._cancel()
            elif self._deadline is None:
                self._deadline = self.loop.call_later(head_seconds, self.transport.abort)

        def _cancel(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return Patience
