"""What the processes of `tests/parallel/test_world.py` do: it must stand in a module."""

import os
import time

import torch

from llmcourse.parallel.world import Channel


def greet(channel: Channel, word: str) -> tuple[int, int, str]:
    return channel.rank, channel.size, word


def ring(channel: Channel, length: int) -> dict:
    """Each rank's tensors travel once around; larger than any buffer of the system's sockets."""
    after, before = (channel.rank + 1) % channel.size, (channel.rank - 1) % channel.size
    out = {}
    for dtype in (torch.float32, torch.bfloat16, torch.int64, torch.bool):
        mine = (torch.arange(length) % 7 * channel.rank).to(dtype)
        out[dtype] = channel.exchange(mine, after, mine, before) if channel.size > 1 else mine
    empty = torch.empty(0)
    if channel.size > 1:
        assert channel.exchange(empty, after, empty, before).numel() == 0
    columns = torch.arange(6.0).view(2, 3).t()  # not contiguous
    if channel.rank == 0 and channel.size > 1:
        channel.send(columns.requires_grad_(), 1)
    if channel.rank == 1:
        assert torch.equal(channel.receive(columns, 0), columns)
    return {"got": out, "sent": channel.sent}


def fail(channel: Channel, rank: int, how: str) -> None:
    """One rank fails; the others wait for its message for ever."""
    if channel.rank != rank:
        channel.receive(torch.empty(3), rank)
    match how:
        case "raise":
            raise ValueError("no such luck")
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), 9)
        case "sleep":
            time.sleep(60)


def lock(channel: Channel) -> object:
    return lambda: None  # a result that does not pickle
