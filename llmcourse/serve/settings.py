"""What an operator decides: where the server listens, who may ask, and how much.

Not here: the command that reads them (`__main__.py`).
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from llmcourse.errors import UserError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


MOST = {
    "max_batch": 10_000,
    "max_queue": 1_000_000,
    "max_texts": 10_000,
    "max_body_bytes": 1_000_000_000,
}
"""The largest limits: above, a single client could ask for more memory than any machine has."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server takes upon itself.

    Raises:
        UserError: a limit below what makes sense.
    """

    max_batch: int = 32
    """How many texts are written at once."""
    max_queue: int = 64
    """How many texts may wait; who comes then is told to come again (429)."""
    max_texts: int = 16
    """How many texts a request may ask for: prompts times n."""
    max_body_bytes: int = 1_000_000
    """The longest body of a request."""
    request_seconds: float = 300.0
    """How long a request may take, waiting included."""
    head_seconds: float = 10.0
    """How long a connection may be there, or stay, without a request's head."""
    body_seconds: float = 20.0
    """How long the body of a request may take to arrive."""
    shutdown_seconds: float = 30.0
    """How long texts that were begun may go on after SIGTERM."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UserError(f"{name}={value} must be above 0")
            if value > MOST.get(name, value):
                raise UserError(
                    f"{name}={value} must be at most {MOST[name]:,}: all of it is held in memory"
                )


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which run to serve, and how."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The run directory that training left behind."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every one, and then you want a key."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    name: str = ""
    """What clients call the model; the directory's name unless given."""
    api_key: str = ""
    """What clients must show; $LLMCOURSE_API_KEY unless given, which no list of processes shows."""
    allow_host: tuple[str, ...] = ()
    """Further names by which clients may call a server that listens on this machine alone."""
    template: str = "auto"
    """The chat template: plain, chatml, llama, a .jinja file, or auto: the run's own, or plain."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    access_log: bool = False
    """Whether each request is a line on the screen: address, path and status, never its text."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = Limits()

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"port={self.port} must lie between 0 and 65535")

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names by which clients may call; None for any.

        A server that only this machine can reach answers to this machine's names alone: else a
        web page could have its own name lead here, and read what its visitor's model says.
        """
        return frozenset((*LOOPBACK_NAMES, *self.allow_host)) if is_loopback(self.host) else None


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOOPBACK_NAMES
