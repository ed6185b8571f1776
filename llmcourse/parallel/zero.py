"""ZeRO: data parallelism in which no rank holds what another one holds already.

With plain data parallelism every rank keeps the same optimizer state, the same summed gradients and
the same parameters. ZeRO (Rajbhandari et al., 2020) cuts them into chunks, one owner each, in three
stages: the optimizer state; the gradients, too; and the parameters, which are gathered just before
a block needs them and dropped right after. Stage 3 is what FSDP does (Zhao et al., 2023). The steps
stay those of one process. Not here: gathering the next block ahead of time, and optimizers that
look at a matrix as a whole (Muon), for a chunk has no rows. Chapter 10 teaches this.
"""

import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.objectives.base import LossSum
from llmcourse.parallel.collectives import (
    all_gather,
    all_reduce,
    broadcast,
    chunks_of,
    reduce_scatter,
)
from llmcourse.parallel.memory import Memory
from llmcourse.parallel.world import Channel


class Unit:
    """Parameters that travel together, laid out in one flat tensor, and this rank's chunk of it.

    Attributes:
        parameters: views into `flat`.
        flat: all their numbers; at stage 3 empty while nobody needs them.
        shard: the chunk that this rank's optimizer changes.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], channel: Channel, stage: int) -> None:
        self.parameters = list(parameters)
        self.channel = channel
        self.stage = stage
        self.waiting = set(self.parameters)  # those without a gradient of this backward pass
        joined = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        self.flat = broadcast(channel, joined)
        self.size = self.flat.untyped_storage().nbytes()
        for parameter, view in zip(self.parameters, self._views(self.flat), strict=True):
            parameter.data = view
        chunk = chunks_of(channel, self.flat)[channel.rank]
        # Stage 3 owns a copy, for the whole will go; before that a part of the whole is enough.
        self.shard = nn.Parameter(chunk.clone() if stage == 3 else chunk)
        if stage == 1:
            # Autograd adds to gradients that are there: to one flat tensor, through views.
            self.gradient = torch.zeros_like(self.flat)
            for parameter, view in zip(self.parameters, self._views(self.gradient), strict=True):
                parameter.grad = view
        if stage == 3:
            self.drop()

    @property
    def is_whole(self) -> bool:
        """Whether the parameters are there, and not this rank's chunk alone."""
        return self.flat.untyped_storage().nbytes() > 0

    def gather(self) -> None:
        """Fetch the other ranks' chunks."""
        if not self.is_whole:
            # The same storage as before: what autograd saved in the forward pass points to it.
            self.flat.untyped_storage().resize_(self.size)
            self.refresh()

    def refresh(self) -> None:
        """Bring `flat` up to the chunks that the ranks' optimizers have changed."""
        with torch.no_grad():
            self.flat.copy_(all_gather(self.channel, self.shard, self.flat))

    def drop(self) -> None:
        """Keep this rank's chunk alone; shapes stay, numbers go."""
        self.flat.untyped_storage().resize_(0)

    def reduce(self) -> None:
        """Sum the gradients over all ranks, and keep this rank's chunk of the sum."""
        if self.stage == 1:
            mine = chunks_of(self.channel, self.gradient)[self.channel.rank]
            self.shard.grad = mine.copy_(reduce_scatter(self.channel, self.gradient))
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        flat = torch.cat([grad.reshape(-1) for grad in grads])
        for parameter in self.parameters:
            parameter.grad = None
        mine = reduce_scatter(self.channel, flat)
        # Micro-batches add up in the chunk: nobody keeps a whole gradient between them.
        self.shard.grad = mine if self.shard.grad is None else self.shard.grad.add_(mine)
        self.waiting = set(self.parameters)

    def clear(self) -> None:
        """Begin the next step without gradients."""
        self.shard.grad = None
        if self.stage == 1:
            self.gradient.zero_()

    def _views(self, flat: Tensor) -> list[Tensor]:
        pieces = flat.split([parameter.numel() for parameter in self.parameters])
        return [piece.view_as(p) for piece, p in zip(pieces, self.parameters, strict=True)]


class ZeRO(nn.Module):
    """A model and its optimizer, of which every rank holds a part.

        loss = objective.loss(zero(ids), batch)         # this rank's rows: a sum and a count
        loss.total.backward()                           # for every micro-batch
        mean = zero.step(loss)                          # divided by all ranks' count, and stepped

    Every rank's loss has to reach the same parameters. At stage 3 their numbers are there during a
    forward or backward pass alone, and within `gathered`.

    Args:
        model: the model; all ranks begin with the weights and buffers of rank 0.
        channel: to the other ranks.
        make_optimizer: called with this rank's chunks, gives an optimizer that treats each number
            by itself, such as AdamW.
        stage: 1 shares out the optimizer state, 2 the gradients too, 3 the parameters too.
        units: modules whose parameters are gathered together, such as the blocks; what is in none
            of them is one more unit.

    Attributes:
        memory: what this rank held at the end of the last step.
        peak_parameters: the most bytes of parameters that lay here at any time.

    Raises:
        UserError: there is no such stage.
    """

    def __init__(
        self,
        model: nn.Module,
        channel: Channel,
        make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
        stage: int,
        units: Iterable[nn.Module] = (),
    ) -> None:
        super().__init__()
        if stage not in (1, 2, 3):
            raise UserError(f"ZeRO has no stage {stage}: choose 1, 2 or 3")
        self.model = model
        self.channel = channel
        self.stage = stage
        for buffer in model.buffers():
            buffer.copy_(broadcast(channel, buffer))
        self.units: list[Unit] = []
        for module in [*units, model]:  # the model last: it takes what is left
            taken = {parameter for unit in self.units for parameter in unit.parameters}
            rest = [parameter for parameter in module.parameters() if parameter not in taken]
            if rest:
                self._add_unit(Unit(rest, channel, stage), module)
        self.optimizer = make_optimizer([unit.shard for unit in self.units])
        self.memory = self.held()
        self.peak_parameters = self.memory.parameters

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model makes of this rank's rows."""
        return self.model(*args, **kwargs)

    def step(self, loss: LossSum) -> Float[Tensor, ""]:
        """Divide the gradients by all ranks' count, change this rank's chunks, and share them.

        `loss` is the sum and the count of all this rank's micro-batches.

        Raises:
            UserError: no rank scored a position.
        """
        for unit in self.units:
            if self.stage == 1 or len(unit.waiting) < len(unit.parameters):
                unit.reduce()  # not yet reduced: at stage 1, or where a parameter was not used
        both = torch.stack([loss.total.detach().double(), loss.count.double()])
        total, count = all_reduce(self.channel, both)
        if count == 0:
            raise UserError("no rank scored a single position: are all targets IGNORE?")
        for unit in self.units:
            if unit.shard.grad is not None:
                unit.shard.grad.div_(count.to(unit.shard.dtype))
        self.optimizer.step()
        self.memory = self.held()
        for unit in self.units:
            unit.clear()
            if self.stage < 3:  # at stage 3 whoever needs it gathers it
                unit.refresh()
        return (total / count).to(loss.total.dtype)

    def held(self) -> Memory:
        """What lies on this rank now, in bytes."""
        shards = [unit.shard for unit in self.units]
        # A storage counts once, however many views there are: chunks may be part of the whole.
        parameters = [*shards, *(unit.flat for unit in self.units)]
        gradients = [p.grad for p in [*shards, *self.model.parameters()] if p.grad is not None]
        state = [
            value
            for entry in self.optimizer.state.values()
            for value in entry.values()
            if isinstance(value, Tensor) and value.dim() > 0  # not the counter of steps
        ]
        return Memory(*(_bytes(tensors) for tensors in (parameters, gradients, state)))

    @contextlib.contextmanager
    def gathered(self) -> Generator[nn.Module]:
        """The model with all its parameters, on every rank: to save it, or to look at it."""
        for unit in self.units:
            unit.gather()
        try:
            yield self.model
        finally:
            for unit in self.units:
                if self.stage == 3:
                    unit.drop()

    def _add_unit(self, unit: Unit, module: nn.Module) -> None:
        """Let the unit's gradients be reduced, and its parameters come and go, by themselves."""
        self.units.append(unit)
        if self.stage == 1:
            return

        def arrived(parameter: Tensor) -> None:
            unit.waiting.discard(parameter)
            if not unit.waiting:
                unit.reduce()
                if self.stage == 3:
                    unit.drop()

        for parameter in unit.parameters:
            parameter.register_post_accumulate_grad_hook(arrived)
        if self.stage < 3:
            return

        def gather(*_: Any) -> None:
            unit.gather()
            lying = sum(each.size for each in self.units if each.is_whole)
            shards = _bytes([each.shard for each in self.units])
            self.peak_parameters = max(self.peak_parameters, lying + shards)

        def after_forward(_module: nn.Module, _inputs: Any, output: Any) -> None:
            unit.drop()
            # The backward pass comes to this module by the gradient of what it returned.
            for tensor in output if isinstance(output, tuple) else (output,):
                if tensor.requires_grad:
                    tensor.register_hook(gather)

        module.register_forward_pre_hook(gather)
        module.register_forward_hook(after_forward)


def _bytes(tensors: Iterable[Tensor]) -> int:
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage._cdata: storage.nbytes() for storage in storages}.values())
