"""Data parallelism: every rank has the whole model and its own rows, and gradients are summed.

Gradients travel in buckets, while the backward pass still computes those of the layers below: that
is what `torch.nn.parallel.DistributedDataParallel` does, too (Li et al., 2020). The loss is a sum,
and one division by the count of all ranks follows, so rows of different length do no harm, and two
ranks take the step that one would take. Not here: models that do not fit on one rank (`zero.py`,
`tensor_parallel.py`, `pipeline.py`). Chapter 10 teaches this.
"""

import contextlib
import time
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.objectives.base import LossSum
from llmcourse.parallel.collectives import all_reduce, broadcast
from llmcourse.parallel.world import Channel

BUCKET_BYTES = 25 * 2**20
"""What torch's buckets hold: large enough that latency is little, small enough to begin early."""


@dataclass
class Exchange:
    """Exchange of one bucket, for a drawing of who worked when; times as of `time.perf_counter`.

    Attributes:
        names: the parameters in the bucket.
        gradients_left: how many parameters still waited for their gradient when it was ready.
        ready: when its last gradient was there.
        begun: when its bytes began to travel.
        ended: when the sum was there.
    """

    names: tuple[str, ...]
    gradients_left: int
    ready: float
    begun: float = 0.0
    ended: float = 0.0


def buckets_of(parameters: Iterable[nn.Parameter], size: int) -> list[list[nn.Parameter]]:
    """Buckets of at least `size` bytes each but the last, in the order of the backward pass.

    That order is taken to be the reverse of the one in which the model lists its parameters.
    """
    buckets: list[list[nn.Parameter]] = [[]]
    held = 0
    for parameter in reversed(list(parameters)):
        if held >= size or (buckets[-1] and buckets[-1][0].dtype != parameter.dtype):
            buckets.append([])
            held = 0
        buckets[-1].append(parameter)
        held += parameter.numel() * parameter.element_size()
    return buckets


class DataParallel(nn.Module):
    """A model whose gradients are summed over all ranks as they are computed.

        loss = objective.loss(parallel(ids), batch)     # this rank's rows: a sum and a count
        loss.total.backward()                           # buckets travel meanwhile
        mean = parallel.finish(loss)                    # now every .grad is that of the mean loss
        optimizer.step()

    Args:
        model: the model; all ranks begin with the weights and buffers of rank 0.
        channel: to the other ranks.
        bucket_bytes: from which size on a bucket is sent.

    Attributes:
        exchanges: the exchanges since the last `finish` or during it, by bucket.
    """

    def __init__(
        self, model: nn.Module, channel: Channel, bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        super().__init__()
        self.model = model
        self.channel = channel
        with torch.no_grad():
            for tensor in [*model.parameters(), *model.buffers()]:
                tensor.copy_(broadcast(channel, tensor))
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.buckets = buckets_of(trained, bucket_bytes)
        self.exchanges: list[Exchange] = []
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self._waiting = set(trained)
        self._futures: list[Future[Tensor]] = []
        self._syncing = True
        # One thread: it sends bucket after bucket while autograd goes on in this one. On a GPU it
        # would be a second stream.
        self._thread = ThreadPoolExecutor(1, "exchange")
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model makes of this rank's rows."""
        return self.model(*args, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Generator[None]:
        """Keep the gradients of a backward pass here: for every micro-batch but the last."""
        self._syncing = False
        try:
            yield
        finally:
            self._syncing = True

    def finish(self, loss: LossSum) -> Float[Tensor, ""]:
        """Wait for the sums, and divide once: the mean loss of all ranks, its gradients in `.grad`.

        `loss` is the sum and the count of all this rank's micro-batches. A parameter that no loss
        has reached gets a gradient of zero.

        Raises:
            UserError: no rank scored a position.
        """
        self._send_ready(everything=True)
        # Two numbers more, in double precision: a count of tokens may pass 2^24.
        both = torch.stack([loss.total.detach().double(), loss.count.double()])
        sums = [future.result() for future in self._futures]
        total, count = all_reduce(self.channel, both)
        if count == 0:
            raise UserError("no rank scored a single position: are all targets IGNORE?")
        for bucket, flat in zip(self.buckets, sums, strict=True):
            pieces = flat.split([parameter.numel() for parameter in bucket])
            for parameter, piece in zip(bucket, pieces, strict=True):
                parameter.grad = piece.view_as(parameter).div_(count.to(piece.dtype))
        self._waiting = set(self._bucketed())
        self._futures = []
        return (total / count).to(loss.total.dtype)

    def _bucketed(self) -> list[nn.Parameter]:
        return [parameter for bucket in self.buckets for parameter in bucket]

    def _arrived(self, parameter: Tensor) -> None:
        """Called by autograd when a parameter's gradient is complete."""
        if not self._syncing:
            return
        if parameter not in self._waiting:
            raise UserError(
                f"a second gradient of {self._names[parameter]} before finish(): wrap every "  # ty: ignore[invalid-argument-type]
                "backward pass but the last in no_sync()"
            )
        self._waiting.remove(parameter)  # ty: ignore[invalid-argument-type]
        self._send_ready()

    def _send_ready(self, everything: bool = False) -> None:
        """Hand over the buckets that are complete, in order: all ranks must agree on it."""
        if not self._futures:
            self.exchanges = []
        for bucket in self.buckets[len(self._futures) :]:
            if not everything and not self._waiting.isdisjoint(bucket):
                return
            grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            # One message for all of them: a copy costs less than the latency of many.
            flat = torch.cat([grad.reshape(-1) for grad in grads])
            names = tuple(self._names[parameter] for parameter in bucket)
            record = Exchange(names, len(self._waiting), time.perf_counter())
            self.exchanges.append(record)
            self._futures.append(self._thread.submit(self._exchange, flat, record))

    def _exchange(self, flat: Tensor, record: Exchange) -> Tensor:
        record.begun = time.perf_counter()
        summed = all_reduce(self.channel, flat)
        record.ended = time.perf_counter()
        return summed
