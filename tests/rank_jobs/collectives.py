"""What the processes of `tests/parallel/test_collectives.py` do: our collectives and torch's."""

import torch
import torch.distributed as dist
from torch import Tensor

from llmcourse.parallel import collectives
from llmcourse.parallel.world import Channel

SHAPES = [(12,), (7,), (1,), (0,), (5, 3), (2, 1, 1)]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64]


def tensor_of(rank: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    return (10 * torch.randn(shape, generator=generator)).to(dtype)


def compare(channel: Channel) -> list[tuple[str, Tensor, Tensor]]:
    """Name, ours and torch's, for every collective, shape and dtype."""
    found = []
    for shape in SHAPES:
        for dtype in DTYPES:
            mine = tensor_of(channel.rank, shape, dtype)
            kept = mine.clone()
            for name, ours, theirs in pairs(channel, mine):
                found.append((f"{name} of {list(shape)} {dtype}", ours, theirs))
            assert torch.equal(mine, kept), "the argument was changed"
    return found


def pairs(channel: Channel, mine: Tensor):
    copied = mine.clone()
    dist.broadcast(copied, 0)
    yield "broadcast_naive", collectives.broadcast_naive(channel, mine), copied
    yield "broadcast", collectives.broadcast(channel, mine), copied
    summed = mine.clone()
    dist.all_reduce(summed)
    yield "all_reduce_naive", collectives.all_reduce_naive(channel, mine), summed
    yield "all_reduce", collectives.all_reduce(channel, mine), summed
    largest = mine.clone()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    yield "all_reduce max", collectives.all_reduce(channel, mine, torch.maximum), largest
    chunk = collectives.reduce_scatter(channel, mine)
    yield "reduce_scatter", chunk, collectives.chunks_of(channel, summed)[channel.rank]
    gathered = [torch.empty_like(mine) for _ in range(channel.size)]
    dist.all_gather(gathered, mine)
    rows = torch.stack(gathered)  # as many rows as ranks: one chunk each
    yield "all_gather", collectives.all_gather(channel, mine, rows), rows
    # Rank r has for rank c what it would have drawn as rank n r + c.
    n, dtype, shape = channel.size, mine.dtype, tuple(mine.shape)
    parts = [tensor_of(n * channel.rank + other, shape, dtype) for other in range(n)]
    expected = [tensor_of(n * other + channel.rank, shape, dtype) for other in range(n)]
    turned = collectives.all_to_all(channel, parts)
    yield "all_to_all", torch.stack(turned), torch.stack(expected)


def traffic(channel: Channel, length: int) -> dict[str, tuple[int, int]]:
    """How many bytes and messages each collective sent from here."""
    mine = torch.ones(length)
    chunk = collectives.chunks_of(channel, mine)[channel.rank]
    runs = {
        "broadcast_naive": lambda: collectives.broadcast_naive(channel, mine),
        "broadcast": lambda: collectives.broadcast(channel, mine),
        "all_reduce_naive": lambda: collectives.all_reduce_naive(channel, mine),
        "all_reduce": lambda: collectives.all_reduce(channel, mine),
        "reduce_scatter": lambda: collectives.reduce_scatter(channel, mine),
        "all_gather": lambda: collectives.all_gather(channel, chunk, mine),
    }
    if length % channel.size == 0:  # else a rank's parts for the others have other lengths
        parts = collectives.chunks_of(channel, mine)
        runs["all_to_all"] = lambda: collectives.all_to_all(channel, parts)
    found = {}
    for name, call in runs.items():
        before = channel.sent
        call()
        spent = channel.sent - before
        found[name] = spent.bytes, spent.messages
    return found


def same_bits(channel: Channel) -> Tensor:
    """A sum whose result depends on the order: is it the same everywhere?"""
    return collectives.all_reduce(channel, tensor_of(channel.rank, (1001,), torch.float32))


def wrong_chunk(channel: Channel) -> None:
    collectives.all_gather(channel, torch.ones(3), torch.ones(7))


def wrong_parts(channel: Channel) -> None:
    collectives.all_to_all(channel, [torch.ones(1)] * 3)


def everything(channel: Channel) -> dict:
    """All of the above, in one world: starting processes takes longer than what they do."""
    return {
        "pairs": compare(channel),
        "traffic": {length: traffic(channel, length) for length in (24, 7, 2)},
        "bits": same_bits(channel),
    }
