"""Several processes that train one model: who is who, and the few things that they must agree on.

`torchrun --nproc-per-node 2 -m llmcourse.train` starts the processes; every one of them draws the
same global batch and keeps its own rows, gradients are summed over all of them, and one division by
the global count follows. So two processes take the steps that one would take. With one process
nothing here talks to anybody. Each process holds a copy of the model, or (`--parallel fsdp`) a
slice of it: `sharding.py`. Chapter 10 teaches this.
"""

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from llmcourse.device import choose_device, is_sliced
from llmcourse.errors import UserError
from llmcourse.models.base import Model


class PeerLost(UserError):
    """Another of the processes that train together has gone."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among those that train together.

    Attributes:
        rank: this process's number, from 0; number 0 writes the files and talks to the user.
        world_size: how many processes there are.
        device: where this process's tensors live.
    """

    rank: int
    world_size: int
    device: torch.device

    @classmethod
    def start(cls, device: str = "auto") -> "Ranks":
        """Join the processes that `torchrun` started, or be the only one.

        Raises:
            UserError: the device is not there, or there are fewer GPUs than processes.
        """
        # torchrun tells each process who it is through its environment.
        world = int(os.environ.get("WORLD_SIZE", "1"))
        chosen = choose_device(device)
        if world == 1:
            return cls(0, 1, chosen)
        if chosen.type == "cuda":
            local = int(os.environ["LOCAL_RANK"])
            if local >= torch.cuda.device_count():
                raise UserError(
                    f"process {local} has no GPU: start at most {torch.cuda.device_count()} "
                    "processes on this machine (--nproc-per-node)"
                )
            chosen = torch.device("cuda", local)
            torch.cuda.set_device(chosen)
        end_with_parent()
        # NCCL speaks between GPUs, Gloo between processors.
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
        return cls(dist.get_rank(), world, chosen)

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files and talks to the user."""
        return self.rank == 0

    def stop(self) -> None:
        """Leave the group.

        What still holds on to it (a wrapped model in a circle of references) has to go first: the
        threads of a group that is alive when its process ends abort that process.
        """
        if self.world_size > 1:
            # A wrapped model refers to itself: only the collector finds it.
            gc.collect()
            dist.destroy_process_group()

    def place(self, model: Model, parallel: str) -> Model:
        """The model on this process's device: all of it, or with `fsdp` this process's slice."""
        if parallel != "fsdp" or self.world_size == 1:
            return model.to(self.device)
        from llmcourse.train.sharding import shard  # half a second that one process need not wait

        return shard(model, self.device)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over all processes as they are computed."""
        if self.world_size == 1 or is_sharded(model):
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        # DDP exchanges during the backward pass: gradients of one layer travel while those of the
        # layer below are still being computed.
        return DistributedDataParallel(model, device_ids=ids)

    def no_sync(self, model: Any, last: bool) -> contextlib.AbstractContextManager:
        """Skip the exchange of gradients in every micro-batch of a step but the last."""
        if is_sharded(model):
            model.set_requires_gradient_sync(last)
        elif isinstance(model, DistributedDataParallel) and not last:
            return model.no_sync()
        return contextlib.nullcontext()

    def rows_of(self, size: int) -> slice:
        """This process's rows of a global batch of `size` rows."""
        # The same number everywhere, so that no process waits for a slower one.
        each = size // self.world_size
        return slice(self.rank * each, (self.rank + 1) * each)

    @contextlib.contextmanager
    def shared(self, folder: contextlib.AbstractContextManager[Path]) -> Generator[Path]:
        """A folder that the first process makes and finishes, and that all of them fill."""
        with folder if self.is_main else contextlib.nullcontext() as made:
            yield self.broadcast(made)
            self.barrier()  # it is finished only when everybody has written

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The tensor summed over all processes, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor

    def broadcast(self, value: Any) -> Any:
        """The first process's value, in every process. Waits for all of them."""
        if self.world_size == 1:
            return value
        # Objects are pickled on the way: for a few numbers a step, never for tensors.
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def all_gather(self, value: Any) -> list[Any]:
        """Every process's value, by rank. Waits for all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world_size > 1:
            dist.barrier()

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


GRACE_SECONDS = 60
"""How long a process whose parent has gone may take to save and to end."""


def end_with_parent(every: float = 1.0) -> None:
    """End this process, as SIGTERM does, once the one that started it has gone.

    `torchrun` ends its processes when it ends, but not when it is killed; nobody else would.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(every)
        os.kill(os.getpid(), signal.SIGTERM)  # the loop saves a checkpoint and leaves
        time.sleep(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def is_sharded(model: nn.Module) -> bool:
    """Whether each process holds a slice of the model alone."""
    return any(map(is_sliced, model.parameters()))


def is_loss_of_peer(error: BaseException) -> bool:
    """Whether an error says that another process has gone."""
    # Gloo has no type of its own for it; the file that its messages begin with tells.
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


SINGLE = Ranks(0, 1, torch.device("cpu"))
"""One process, on the CPU."""
