"""What the processes of `tests/parallel/test_zero.py` do."""

import small_world
import torch

from llmcourse.objectives.base import LossSum, token_loss
from llmcourse.parallel.world import Channel
from llmcourse.parallel.zero import ZeRO

LAYERS = 2


def train(channel: Channel, stage: int, micro_batches: int, **changes) -> dict:
    model = small_world.gpt(seed=channel.rank, n_layers=LAYERS, **changes)
    zero = ZeRO(model, channel, small_world.adamw, stage, model.blocks)
    losses, sent = [], []
    for step in range(small_world.STEPS):
        mine = [
            small_world.share(part, channel.rank, channel.size) for part in small_world.rows(step)
        ]
        before = channel.sent
        total = LossSum(torch.zeros((), dtype=torch.float64), torch.tensor(0))
        for micro in range(micro_batches):
            ids, targets = (small_world.share(part, micro, micro_batches) for part in mine)
            loss = token_loss(zero(ids).logits, targets)
            loss.total.backward()
            total = LossSum(total.total + loss.total.detach(), total.count + loss.count)
        losses.append(zero.step(total).item())
        sent.append(channel.sent - before)
    between = zero.held()
    with zero.gathered() as whole:
        weights = small_world.weights(whole)
    return {
        "losses": losses,
        "weights": weights,
        "sent": sent,
        "units": [sum(p.numel() for p in unit.parameters) for unit in zero.units],
        "memory": zero.memory,
        "between": between,
        "peak": zero.peak_parameters,
    }


def stages(channel: Channel) -> dict:
    found = {(stage, 1): train(channel, stage, 1) for stage in (1, 2, 3)}
    found |= {(stage, 2): train(channel, stage, 2) for stage in (1, 2, 3)}
    return found


def tied(channel: Channel) -> dict:
    """One matrix that embeds and scores; and positions and biases that are learned."""
    return train(channel, 3, 1, tie_embeddings=True, positions="learned", bias=True)


def no_such_stage(channel: Channel) -> None:
    ZeRO(small_world.gpt(), channel, small_world.adamw, 4)
