"""Collectives, what all ranks do together, written with nothing but send and receive.

Each comes as its obvious form, where there is one, and as the form that is used: a broadcast by a
tree, an all-reduce around a ring, which is a reduce-scatter and then an all-gather. Any dtype and
any length, divisible or not. `torch.distributed` has the same under the same names, and the tests
prove them equal; `costs.py` says what each sends. Chapter 10 teaches this.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.parallel.world import Channel

Combine = Callable[[Tensor, Tensor], Tensor]
"""How two ranks' tensors become one; in any order, so a sum or a maximum, not a difference."""


def broadcast_naive(channel: Channel, tensor: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank. It sends to all others, one after the other."""
    if channel.rank != 0:
        return channel.receive(tensor, 0)
    for to in range(1, channel.size):
        channel.send(tensor, to)
    return tensor


def broadcast(channel: Channel, tensor: Tensor) -> Tensor:
    """Rank 0's tensor, on every rank, by a binomial tree: ⌈log₂ n⌉ rounds instead of n - 1.

    Every rank gives a tensor of the same shape and dtype; all but rank 0's say no more than that.
    """
    reach = 1  # the ranks below `reach` have it
    while reach < channel.size:
        if channel.rank < reach and channel.rank + reach < channel.size:
            channel.send(tensor, channel.rank + reach)
        elif reach <= channel.rank < 2 * reach:
            tensor = channel.receive(tensor, channel.rank - reach)
        reach *= 2
    return tensor


def all_reduce_naive(channel: Channel, tensor: Tensor) -> Tensor:
    """Sum of all ranks' tensors, on every rank: to rank 0, and back."""
    if channel.rank != 0:
        channel.send(tensor, 0)
    else:
        for from_ in range(1, channel.size):
            tensor = tensor + channel.receive(tensor, from_)
    return broadcast_naive(channel, tensor)


def chunks_of(channel: Channel, tensor: Tensor) -> list[Tensor]:
    """Chunks of a tensor, flattened, one for each rank; the first ones may be longer by one."""
    return list(tensor.detach().reshape(-1).tensor_split(channel.size))


def reduce_scatter(channel: Channel, tensor: Tensor, combine: Combine = torch.add) -> Tensor:
    """This rank's chunk of the sum of all ranks' tensors, flat.

    A chunk travels once around the ring, and each rank adds its own part to what comes by. It sets
    out from the rank behind its owner, so that after n - 1 steps it is complete where it belongs.
    """
    chunks = chunks_of(channel, tensor)
    after, before = neighbours(channel)
    for step in range(1, channel.size):
        outgoing = (channel.rank - step) % channel.size
        incoming = (channel.rank - step - 1) % channel.size
        arrived = channel.exchange(chunks[outgoing], after, chunks[incoming], before)
        # Not in place: the first chunk to come by lies in the caller's tensor.
        chunks[incoming] = combine(arrived, chunks[incoming])
    return chunks[channel.rank].clone()


def all_gather(channel: Channel, chunk: Tensor, like: Tensor) -> Tensor:
    """All ranks' chunks, put together in the shape of `like`: the inverse of `chunks_of`.

    Each rank passes on what it received last, so that after n - 1 steps everybody has all.

    Raises:
        UserError: the chunk is not as long as this rank's chunk of `like`.
    """
    whole = torch.empty_like(like, memory_format=torch.contiguous_format, requires_grad=False)
    chunks = chunks_of(channel, whole)  # views: what is copied into them is in `whole`
    if chunk.numel() != chunks[channel.rank].numel():
        raise UserError(
            f"rank {channel.rank}'s chunk of {like.numel()} numbers has "
            f"{chunks[channel.rank].numel()}, not {chunk.numel()}: cut it with chunks_of"
        )
    chunks[channel.rank].copy_(chunk.reshape(-1))
    after, before = neighbours(channel)
    for step in range(channel.size - 1):
        outgoing = (channel.rank - step) % channel.size
        incoming = (channel.rank - step - 1) % channel.size
        arrived = channel.exchange(chunks[outgoing], after, chunks[incoming], before)
        chunks[incoming].copy_(arrived)
    return whole


def all_reduce(channel: Channel, tensor: Tensor, combine: Combine = torch.add) -> Tensor:
    """Sum of all ranks' tensors, on every rank, around a ring.

    A reduce-scatter, after which each rank owns a finished chunk, then an all-gather. All ranks get
    the same bits, for each chunk was added up in one order, on one way around the ring.
    """
    return all_gather(channel, reduce_scatter(channel, tensor, combine), tensor)


def all_to_all(channel: Channel, parts: Sequence[Tensor]) -> list[Tensor]:
    """What each rank has for this one, by rank; `parts[r]` is what this one has for rank r.

    A transposition: part c of rank r becomes part r of rank c. `parts[r]` must have the shape and
    dtype of what rank r has for this one.

    Raises:
        UserError: there is not one part for each rank.
    """
    if len(parts) != channel.size:
        raise UserError(f"{len(parts)} parts for {channel.size} ranks: give one for each")
    received = list(parts)
    for step in range(1, channel.size):
        # In every step each rank sends to one other and receives from one other: no queues.
        to, from_ = (channel.rank + step) % channel.size, (channel.rank - step) % channel.size
        received[from_] = channel.exchange(parts[to], to, parts[from_], from_)
    return received


def neighbours(channel: Channel) -> tuple[int, int]:
    """The ranks after and before this one in the ring."""
    return (channel.rank + 1) % channel.size, (channel.rank - 1) % channel.size
