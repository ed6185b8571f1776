"""The gate that every request passes: its host, its key, its size, and that it is counted.

Plain ASGI, because what is streamed must not be wrapped in anything that waits for its end. Not
here: what a request asks for (`app.py`).
"""

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from llmcourse.serve.metrics import Metrics
from llmcourse.serve.protocol import ApiError

OPEN_PATHS = ("/", "/health")
"""What needs no key: the page, which asks for one, and whether the server lives."""
PATHS = (
    *("/", "/health", "/metrics", "/openapi.json", "/v1/models"),
    *("/v1/completions", "/v1/chat/completions", "/llmcourse/next"),
)
"""Paths that are counted by name; nobody can make more of them."""


class Gate:
    """What stands in front of the application.

    Args:
        app: the application.
        metrics: where requests are counted.
        key: what clients must show; empty for nothing.
        hosts: the names by which they may call; None for any.
        max_body_bytes: the longest body.
        body_seconds: how long it may take to arrive.
        is_draining: whether nothing more is begun.
    """

    def __init__(
        self,
        app: Any,
        *,
        metrics: Metrics,
        key: str,
        hosts: frozenset[str] | None,
        max_body_bytes: int,
        body_seconds: float,
        is_draining: Callable[[], bool],
    ) -> None:
        self._app, self._metrics, self._key, self._hosts = app, metrics, key.encode(), hosts
        self._most, self._seconds, self._is_draining = max_body_bytes, body_seconds, is_draining

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request pass, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 499  # nobody was there to hear an answer

        async def counted(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check(scope)
            body = await self._body(scope, receive)
            if body is not None:
                await self._app(scope, _replayed(body, receive), counted)
        except ApiError as error:
            await _refuse(error, counted)
        finally:
            path = scope["path"]
            path = path if path in PATHS else "/v1/models/" * path.startswith("/v1/models/")
            self._metrics.requests.labels(path or "other", str(status)).inc()
            seconds = time.monotonic() - started
            self._metrics.request_seconds.labels(path or "other").observe(seconds)

    def _check(self, scope: Any) -> None:
        """Refuse who may not ask, and who asks for something new at the end.

        Raises:
            ApiError: with the reason.
        """
        headers = dict(scope["headers"])
        if self._hosts is not None:
            name = _host(headers.get(b"host", b"").decode("latin-1"))
            if name not in self._hosts:
                raise ApiError(
                    403, "this server does not go by that name: start it with --allow-host NAME"
                )
        if self._key and scope["path"] not in OPEN_PATHS:
            shown = headers.get(b"authorization", b"")
            # The scheme's name is no secret; the key is compared in a time that tells nothing.
            known = shown[:7].lower() == b"bearer " and hmac.compare_digest(shown[7:], self._key)
            if not known:
                raise ApiError(
                    401,
                    "this server wants a key: send the header Authorization: Bearer KEY",
                    code="invalid_api_key",
                )
        if scope["method"] == "POST" and self._is_draining():
            raise ApiError(503, "the server is shutting down: ask another", retry_after=5)

    async def _body(self, scope: Any, receive: Any) -> bytes | None:
        """The whole body; None where the client left before its end.

        Raises:
            ApiError: it is too long, or too slow.
        """
        said = dict(scope["headers"]).get(b"content-length", b"0")
        too_long = ApiError(413, f"the body is longer than {self._most:,} bytes: send less")
        if said.isdigit() and int(said[:20]) > self._most:
            raise too_long
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self._most:
                        raise too_long
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise ApiError(408, "the body took too long to arrive") from None


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _replayed(body: bytes, receive: Any) -> Callable[[], Any]:
    """Messages of a request whose body was read: the body, and then what else comes."""
    is_read = False

    async def replay() -> Any:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(error: ApiError, send: Any) -> None:
    body = json.dumps(error.body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    if error.status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not wanted
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
