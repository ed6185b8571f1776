"""Ranks in miniature: a GPT of four blocks, trained in every parallel way, beside one process.

What `parallel.world.run_world` starts has to stand in a module: the functions of chapter 10 that
take a `Channel` stand here. The model is small, in double precision, and reads sentences of
different length, so what differs from one process beyond the order of a sum would be seen. Not
here: the parts themselves (`parallel/`), and the real run (`train/`). Chapter 10 teaches this.
"""

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import torch
import torch._dynamo  # the first optimizer loads it, for seconds: here, before processes are copied
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.objectives.base import IGNORE, Batch, LossSum, token_loss
from llmcourse.parallel import collectives
from llmcourse.parallel.data_parallel import DataParallel, Exchange
from llmcourse.parallel.memory import Memory
from llmcourse.parallel.pipeline import Pipeline, Ran, Stage
from llmcourse.parallel.pipeline_schedules import Schedule
from llmcourse.parallel.tensor_parallel import tensor_parallel, vocabulary_loss
from llmcourse.parallel.world import Channel, Traffic
from llmcourse.parallel.zero import ZeRO
from llmcourse.tinytown.stories import stories

STEPS = 3
N_ROWS = 8
WINDOW = 32
BUCKET_BYTES = 40_000
"""About ten buckets of the small GPT: enough to see them travel."""

CONFIG = GPTConfig(
    vocab_size=128,  # characters
    context_length=WINDOW,
    d_model=32,
    n_layers=4,
    n_heads=4,
    zero_init_outputs=False,  # else the blocks do nothing at first, and hide a wrong gradient
)


@dataclass(frozen=True)
class Learned:
    """What a rank, or one process, has after a few steps.

    Attributes:
        losses: the mean loss of each step, over all ranks.
        weights: the model's parameters, or this rank's part of them.
        sent: what this rank sent in the last step.
        exchanges: the buckets of the last step, where gradients travelled in buckets.
        memory: what lay on this rank at the end of a step, where that was asked.
    """

    losses: list[float]
    weights: dict[str, Tensor] = field(default_factory=dict)
    sent: Traffic = field(default_factory=Traffic)
    exchanges: list[Exchange] = field(default_factory=list)
    memory: Memory | None = None


def small_gpt(seed: int = 0, **changes: Any) -> GPT:
    """A GPT of four blocks over characters, in double precision."""
    torch.manual_seed(seed)
    return GPT(GPTConfig(**{**vars(CONFIG), **changes})).double()


def rows(step: int, n_rows: int = N_ROWS) -> Batch:
    """Global batch of a step: the beginnings of stories, short ones first."""
    ids = torch.zeros(n_rows, WINDOW + 1, dtype=torch.long)
    targets = torch.full((n_rows, WINDOW), IGNORE)
    for row, story in enumerate(stories(n_rows, seed=step)):
        length = 3 + 4 * (row % N_ROWS) + step % 2
        text = torch.tensor([min(ord(letter), 127) for letter in story.text[: length + 1]])
        ids[row, : len(text)] = text
        targets[row, : len(text) - 1] = text[1:]
    return Batch(ids=ids[:, :-1], targets=targets)


def share(batch: Batch, part: int, parts: int) -> Batch:
    """One of so many equal parts of a batch's rows."""
    each = len(batch.ids) // parts
    return batch.rows(slice(part * each, (part + 1) * each))


def adamw(parameters: Any) -> torch.optim.AdamW:
    """The optimizer of all that is compared."""
    return torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.1)


def copied(model: nn.Module) -> dict[str, Tensor]:
    """A model's parameters by name, as they are now."""
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between two models' parameters of the same names."""
    return max((value - other[name]).abs().max().item() for name, value in one.items())


# --- one process ----------------------------------------------------------------------------------


def loss_of(model: nn.Module, batch: Batch) -> LossSum:
    """The summed loss of a batch, and how many positions were scored."""
    return token_loss(model(batch.ids).logits, batch.targets)


def by_one_process(steps: int = STEPS) -> Learned:
    """The steps that all others have to equal."""
    model = small_gpt()
    optimizer, losses = adamw(model.parameters()), []
    for step in range(steps):
        optimizer.zero_grad()
        total, count = loss_of(model, rows(step))
        (total / count).backward()
        optimizer.step()
        losses.append((total / count).item())
    return Learned(losses, copied(model))


# --- collectives ----------------------------------------------------------------------------------


def all_reduces(channel: Channel, length: int) -> dict[str, Any]:
    """The sum of all ranks' tensors, by a ring, by way of rank 0, and by torch; and who sent what.

    Rank r gives the numbers r, r + 1, ...
    """
    mine = torch.arange(length, dtype=torch.float32) + channel.rank
    found: dict[str, Any] = {}
    for name in ("all_reduce", "all_reduce_naive"):
        before = channel.sent
        found[name] = getattr(collectives, name)(channel, mine)
        found[f"{name} sent"] = (channel.sent - before).bytes
    found["torch"] = mine.clone()
    dist.all_reduce(found["torch"])
    chunk = collectives.reduce_scatter(channel, mine)
    found["gathered"] = collectives.all_gather(channel, chunk, mine)
    found["broadcast"] = collectives.broadcast(channel, mine)
    return found


def measure(channel: Channel, sizes: list[int], repeats: int = 15) -> dict[str, list[float]]:
    """Seconds of all-reduces and of all-gathers of so many bytes: the fastest of some.

    Whatever else the machine has to do makes a message slower, never faster.
    """
    found: dict[str, list[float]] = {"all-reduce": [], "all-gather": []}
    for size in sizes:
        tensor = torch.zeros(size // 4)
        chunk = collectives.chunks_of(channel, tensor)[channel.rank]
        jobs = {
            "all-reduce": lambda whole=tensor: collectives.all_reduce(channel, whole),
            "all-gather": lambda part=chunk, whole=tensor: collectives.all_gather(
                channel, part, whole
            ),
        }
        for name, job in jobs.items():
            spans = []
            for _ in range(repeats):
                dist.barrier()
                start = time.perf_counter()
                job()
                spans.append(time.perf_counter() - start)
            found[name].append(min(spans))
    return found


# --- the four ways --------------------------------------------------------------------------------


def with_data_parallel(channel: Channel, micro_batches: int = 1) -> Learned:
    """Every rank has the model and its own rows; every rank begins with other weights.

    All micro-batches but the last keep their gradients to themselves.
    """
    parallel = DataParallel(small_gpt(seed=channel.rank), channel, BUCKET_BYTES)
    optimizer, losses, before = adamw(parallel.parameters()), [], channel.sent
    for step in range(STEPS):
        mine = share(rows(step), channel.rank, channel.size)
        optimizer.zero_grad()
        before, total, count = channel.sent, 0.0, 0
        for micro in range(micro_batches):
            last = micro == micro_batches - 1
            with contextlib.nullcontext() if last else parallel.no_sync():
                loss = loss_of(parallel, share(mine, micro, micro_batches))
                loss.total.backward()
            total, count = total + loss.total.detach(), count + loss.count
        losses.append(parallel.finish(LossSum(total, count)).item())  # ty: ignore[invalid-argument-type]
        optimizer.step()
    sent, exchanges = channel.sent - before, parallel.exchanges
    return Learned(losses, copied(parallel.model), sent, exchanges)


def with_zero(channel: Channel) -> dict[int, Learned]:
    """ZeRO's three stages, one after the other."""
    found = {}
    for stage in (1, 2, 3):
        model = small_gpt(seed=channel.rank)
        zero = ZeRO(model, channel, adamw, stage, model.blocks)
        losses, before = [], channel.sent
        for step in range(STEPS):
            before = channel.sent
            loss = loss_of(zero, share(rows(step), channel.rank, channel.size))
            loss.total.backward()
            losses.append(zero.step(loss).item())
        sent = channel.sent - before
        with zero.gathered() as whole:
            found[stage] = Learned(losses, copied(whole), sent, memory=zero.memory)
    return found


def with_torch(channel: Channel) -> dict[str, Learned]:
    """The same steps by `DistributedDataParallel` and by `fully_shard` (FSDP2)."""
    sharded = small_gpt()
    mesh = init_device_mesh("cpu", (channel.size,))
    for module in [*sharded.blocks, sharded]:
        fully_shard(module, mesh=mesh)
    found = {}
    for name, model in {"DDP": DistributedDataParallel(small_gpt()), "FSDP2": sharded}.items():
        optimizer, losses = adamw(model.parameters()), []
        for step in range(STEPS):
            optimizer.zero_grad()
            total, count = loss_of(model, share(rows(step), channel.rank, channel.size))
            both = torch.stack([total.detach(), count.double()])
            dist.all_reduce(both)
            # These wrappers take the mean over the ranks: times the ranks, it is a sum again.
            (total * channel.size / both[1]).backward()
            optimizer.step()
            losses.append((both[0] / both[1]).item())
        whole = {
            # What is sharded is put together again: by all ranks, for that is a collective, too.
            key.removeprefix("module."): (w.full_tensor() if isinstance(w, DTensor) else w)
            for key, w in model.named_parameters()
        }
        found[name] = Learned(losses, {key: w.detach().clone() for key, w in whole.items()})
    return found


def with_tensor_parallel(channel: Channel) -> Learned:
    """Every rank has a piece of every matrix, and all of the rows."""
    model = tensor_parallel(small_gpt(), channel)
    optimizer, losses, before = adamw(model.parameters()), [], channel.sent
    for step in range(STEPS):
        batch, before = rows(step), channel.sent
        optimizer.zero_grad()
        logits = model(batch.ids).logits  # this rank's part of the vocabulary
        start: int = model.token_embedding.start  # ty: ignore[invalid-assignment]
        total, count = vocabulary_loss(logits, batch.targets, channel, start)
        (total / count).backward()
        losses.append((total / count).item())
        optimizer.step()
    return Learned(losses, copied(model), channel.sent - before)


def with_pipeline(
    channel: Channel, schedules: dict[str, Schedule], d_model: int = CONFIG.d_model
) -> dict[str, tuple[Learned, Ran]]:
    """Every rank has some of the blocks; by each schedule what was learned, and the last step."""
    found = {}
    for name, schedule in schedules.items():
        stage = Stage(small_gpt(d_model=d_model), channel.rank, channel.size)
        pipeline, optimizer = Pipeline(stage, channel), adamw(stage.parameters())
        micro_batches = 1 + max(action.micro_batch for action in schedule[0])
        losses, before = [], channel.sent
        for step in range(STEPS):
            parts = [share(rows(step), part, micro_batches) for part in range(micro_batches)]
            optimizer.zero_grad()
            before = channel.sent
            ran = pipeline.step(schedule[channel.rank], parts)
            optimizer.step()
            losses.append(ran.loss.item())
        found[name] = Learned(losses, copied(stage), channel.sent - before), ran
    return found


# --- sick worlds ----------------------------------------------------------------------------------


def gradient_of(model: nn.Module) -> Float[Tensor, " N"]:
    """All of a model's gradients, one after the other."""
    return torch.cat([p.grad.reshape(-1) for p in model.parameters() if p.grad is not None])


def true_gradient() -> Float[Tensor, " N"]:
    """The gradient of the first batch's mean loss, by one process."""
    model = small_gpt()
    total, count = loss_of(model, rows(0))
    (total / count).backward()
    return gradient_of(model)


def two_means(channel: Channel) -> dict[str, Tensor]:
    """The gradient of the first batch, as a mean of the ranks' means, and by one division."""
    model = small_gpt()
    total, count = loss_of(model, share(rows(0), channel.rank, channel.size))
    total.backward()
    grad = gradient_of(model)
    summed, counts = (collectives.all_reduce(channel, t) for t in (grad, count.double()[None]))
    means = collectives.all_reduce(channel, grad / count) / channel.size
    return {"mean of means": means, "one division": summed / counts}


def own_seeds(channel: Channel, broadcast: bool) -> Learned:
    """Data parallelism in which each rank drew its own weights: sent by rank 0, or forgotten."""
    model = small_gpt(seed=channel.rank)
    if broadcast:
        for parameter in model.parameters():
            parameter.data = collectives.broadcast(channel, parameter.data)
    optimizer, losses = adamw(model.parameters()), []
    for step in range(STEPS):
        optimizer.zero_grad()
        total, count = loss_of(model, share(rows(step), channel.rank, channel.size))
        total.backward()
        both = torch.stack([total.detach(), count.double()])
        summed, counts = collectives.all_reduce(channel, both)
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.grad = collectives.all_reduce(channel, parameter.grad) / counts
        optimizer.step()
        losses.append((summed / counts).item())
    return Learned(losses, copied(model))


def evaluate_alone(channel: Channel) -> str:
    """Rank 0 evaluates after the step, and asks all ranks for their loss. The others do not know.

    A deadlock: rank 0 waits for a message that nobody will send.
    """
    loss = torch.tensor([1.0])
    collectives.all_reduce(channel, loss)  # the step: everybody calls it
    if channel.rank == 0:
        collectives.all_reduce(channel, loss)  # the evaluation: called by one rank alone
    return "done"
