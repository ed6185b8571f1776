"""What the processes of `tests/parallel/test_twins.py` do: torch's own wrappers, in our world."""

import small_world
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from llmcourse.objectives.base import token_loss
from llmcourse.parallel.data_parallel import DataParallel
from llmcourse.parallel.world import Channel
from llmcourse.parallel.zero import ZeRO


def rows_of(channel: Channel, step: int) -> list[torch.Tensor]:
    return [small_world.share(part, channel.rank, channel.size) for part in small_world.rows(step)]


def by_torch(channel: Channel, model: nn.Module) -> list[float]:
    """Torch's wrappers average over the ranks: so their sum is n times too small for our loss."""
    optimizer, losses = small_world.adamw(model.parameters()), []
    for step in range(small_world.STEPS):
        ids, targets = rows_of(channel, step)
        optimizer.zero_grad()
        total, count = token_loss(model(ids).logits, targets)
        both = torch.stack([total.detach(), count.double()])
        dist.all_reduce(both)
        (total * channel.size / both[1]).backward()
        optimizer.step()
        losses.append((both[0] / both[1]).item())
    return losses


def ours(channel: Channel, kind: str) -> list[float]:
    model = small_world.gpt(n_layers=2)
    if kind == "ddp":
        parallel = DataParallel(model, channel)
        optimizer = small_world.adamw(parallel.parameters())
    else:
        parallel = ZeRO(model, channel, small_world.adamw, 3, model.blocks)
    losses = []
    for step in range(small_world.STEPS):
        ids, targets = rows_of(channel, step)
        loss = token_loss(parallel(ids).logits, targets)
        loss.total.backward()
        if kind == "ddp":
            losses.append(parallel.finish(loss).item())
            optimizer.step()
            optimizer.zero_grad()
        else:
            losses.append(parallel.step(loss).item())
    return losses


def both(channel: Channel) -> dict[str, tuple[list[float], list[float]]]:
    wrapped = DistributedDataParallel(small_world.gpt(n_layers=2))
    found = {"ddp": (ours(channel, "ddp"), by_torch(channel, wrapped))}
    mesh = init_device_mesh("cpu", (channel.size,))
    sharded = small_world.gpt(n_layers=2)
    for module in [*sharded.blocks, sharded]:
        fully_shard(module, mesh=mesh)
    found["fsdp"] = (ours(channel, "fsdp"), by_torch(channel, sharded))
    return found
