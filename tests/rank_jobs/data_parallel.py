"""What the processes of `tests/parallel/test_data_parallel.py` do."""

import small_world
import torch
from torch import nn

from llmcourse.objectives.base import LossSum, token_loss
from llmcourse.parallel.data_parallel import DataParallel
from llmcourse.parallel.world import Channel

BUCKET = 16_000  # bytes: a dozen buckets of a small model


def train(channel: Channel, micro_batches: int, bucket_bytes: int) -> dict:
    """Five steps; every rank begins with other weights, so that rank 0's have to be sent."""
    parallel = DataParallel(small_world.gpt(seed=channel.rank), channel, bucket_bytes)
    optimizer = small_world.adamw(parallel.parameters())
    losses, sent = [], []
    for step in range(small_world.STEPS):
        mine = [
            small_world.share(part, channel.rank, channel.size) for part in small_world.rows(step)
        ]
        optimizer.zero_grad()
        before = channel.sent
        total = LossSum(torch.zeros((), dtype=torch.float64), torch.tensor(0))
        for micro in range(micro_batches):
            ids, targets = (small_world.share(part, micro, micro_batches) for part in mine)
            if micro < micro_batches - 1:
                with parallel.no_sync():
                    loss = token_loss(parallel(ids).logits, targets)
                    loss.total.backward()
                assert channel.sent == before, "no_sync sent something"
            else:
                loss = token_loss(parallel(ids).logits, targets)
                loss.total.backward()
            total = LossSum(total.total + loss.total.detach(), total.count + loss.count)
        losses.append(parallel.finish(total).item())
        optimizer.step()
        sent.append(channel.sent - before)
    return {
        "losses": losses,
        "weights": small_world.weights(parallel.model),
        "sent": sent,
        "left": [exchange.gradients_left for exchange in parallel.exchanges],
        "ordered": all(e.ready <= e.begun <= e.ended for e in parallel.exchanges),
        "names": [name for exchange in parallel.exchanges for name in exchange.names],
    }


def both(channel: Channel) -> dict[int, dict]:
    return {micro: train(channel, micro, BUCKET) for micro in (1, 2)}


def half_used(channel: Channel) -> list:
    """Each rank's loss reaches another layer: buckets must go in one order all the same."""
    torch.manual_seed(0)
    model = nn.ModuleList(nn.Linear(3, 3, dtype=torch.float64) for _ in range(2))
    parallel = DataParallel(model, channel, bucket_bytes=1)
    loss = LossSum(model[channel.rank](torch.ones(3, dtype=torch.float64)).sum(), torch.tensor(3))
    loss.total.backward()
    mean = parallel.finish(loss)
    return [mean.item(), *[parameter.grad.clone() for parameter in model.parameters()]]


def twice(channel: Channel) -> None:
    model = nn.Linear(3, 1)
    parallel = DataParallel(model, channel)
    for _ in range(2):
        parallel(torch.ones(3)).sum().backward()


def nothing(channel: Channel) -> None:
    parallel = DataParallel(nn.Linear(3, 1), channel)
    total = parallel(torch.ones(3)).sum()
    total.backward()
    parallel.finish(LossSum(total, torch.tensor(0)))
