"""What the processes of `tests/parallel/test_pipeline.py` do."""

import small_world
from torch import Tensor

from llmcourse.objectives.base import Batch
from llmcourse.parallel.pipeline import Pipeline, Stage
from llmcourse.parallel.pipeline_schedules import Schedule
from llmcourse.parallel.world import Channel


def micro_batches(step: int, count: int) -> list[Batch]:
    ids, targets = small_world.rows(step)
    return [
        Batch(ids=small_world.share(ids, i, count), targets=small_world.share(targets, i, count))
        for i in range(count)
    ]


def learn(channel: Channel, schedule: Schedule, count: int, **changes) -> dict:
    stage = Stage(small_world.gpt(**changes), channel.rank, channel.size)
    pipeline = Pipeline(stage, channel)
    optimizer = small_world.adamw(stage.parameters())
    losses, sent = [], []
    for step in range(small_world.STEPS):
        optimizer.zero_grad()
        before = channel.sent
        ran = pipeline.step(schedule[channel.rank], micro_batches(step, count))
        sent.append(channel.sent - before)
        optimizer.step()
        losses.append(ran.loss.item())
    weights: dict[str, Tensor] = small_world.weights(stage)
    return {"losses": losses, "weights": weights, "sent": sent, "ran": ran}


def schedules(channel: Channel, by_name: dict[str, Schedule], count: int) -> dict[str, dict]:
    found = {name: learn(channel, schedule, count) for name, schedule in by_name.items()}
    more = {"positions": "sinusoidal", "norm": "layernorm", "bias": True}
    found["another"] = learn(channel, by_name["1f1b"], count, **more)
    return found
