"""Pipeline parallelism: every rank has some of the layers, and micro-batches pass through.

Activations go from stage to stage, gradients the same way back; nothing else travels but the loss.
While one stage works on one micro-batch, its neighbours work on others. Not here: the order in
which they do (`pipeline_schedules.py`). Chapter 10 teaches this.
"""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT
from llmcourse.objectives.base import Batch, token_loss
from llmcourse.parallel.collectives import all_reduce
from llmcourse.parallel.costs import chunk_lengths
from llmcourse.parallel.pipeline_schedules import Action, Pass, Slot
from llmcourse.parallel.world import Channel, Pending


class Stage(nn.Module):
    """Some layers of a GPT, under the names that they have there: a copy, for one rank.

    The first stage embeds tokens, too, and the last one scores them.

    Args:
        model: the whole model.
        rank: which stage.
        n_stages: how many there are.

    Raises:
        UserError: fewer layers than stages, or parameters that two stages would share.
    """

    def __init__(self, model: GPT, rank: int, n_stages: int) -> None:
        super().__init__()
        config = self.config = model.config
        if config.n_layers < n_stages:
            raise UserError(
                f"{config.n_layers} layers cannot make {n_stages} stages: take "
                f"{config.n_layers} ranks at the most"
            )
        bias = model.position_bias
        shared = bias is not None and len(list(bias.parameters())) > 0
        if n_stages > 1 and (config.tie_embeddings or shared):
            raise UserError(
                "first and last stage would share parameters: choose tie_embeddings=False, and "
                "positions other than relative"
            )
        self.is_first, self.is_last = rank == 0, rank == n_stages - 1
        lengths = chunk_lengths(config.n_layers, n_stages)
        start = sum(lengths[:rank])
        if self.is_first:
            self.token_embedding = copy.deepcopy(model.token_embedding)
            self.position_embedding = copy.deepcopy(model.position_embedding)
            self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleDict(
            {str(i): copy.deepcopy(model.blocks[i]) for i in range(start, start + lengths[rank])}
        )
        if self.is_last:
            self.norm = copy.deepcopy(model.norm)
            self.lm_head = copy.deepcopy(model.lm_head)

    def forward(
        self, x: Int[Tensor, "B T"] | Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B T D"] | Float[Tensor, "B T V"]:
        """From tokens or the stage before to the stage behind or logits."""
        hidden = self._embed(x) if self.is_first else x
        for block in self.blocks.values():
            hidden = block(hidden, is_causal=True)
        return self.lm_head(self.norm(hidden)) if self.is_last else hidden

    def _embed(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """As `GPT.forward` begins."""
        hidden = self.token_embedding(ids)
        if self.config.positions == "sinusoidal":
            hidden = hidden * self.config.d_model**0.5
        if self.position_embedding is not None:
            hidden = self.position_embedding(hidden, None, 0)
        return self.dropout(hidden)


@dataclass(frozen=True)
class Ran:
    """What a step through the pipeline left behind on one rank.

    Attributes:
        loss: the mean loss of all micro-batches, the same on every rank.
        slots: what this rank did when, in seconds of one clock for all ranks of a machine.
        most_in_flight: the most micro-batches of which activations lay here at the same time.
    """

    loss: Float[Tensor, ""]
    slots: list[Slot]
    most_in_flight: int


class Pipeline:
    """A stage at work: it does what its schedule says, and talks to its neighbours.

    Args:
        stage: this rank's layers.
        channel: to the other ranks; rank r has stage r.
    """

    def __init__(self, stage: Stage, channel: Channel) -> None:
        self.stage = stage
        self.channel = channel
        self._flying: dict[int, tuple[Tensor, Tensor]] = {}
        self._sent: dict[Action, Pending] = {}
        self._sums = torch.zeros(2, dtype=torch.float64)

    def step(self, actions: Sequence[Action], micro_batches: Sequence[Batch]) -> Ran:
        """One pass over all micro-batches; then `.grad` is the gradient of their mean loss.

        Every rank gives the same micro-batches: the first stage reads the ids, the last the
        targets, and the others how many rows there are.

        Raises:
            UserError: not a single position was scored.
        """
        self._sums = torch.zeros(2, dtype=torch.float64)
        slots, most = [], 0
        for action in actions:
            batch = micro_batches[action.micro_batch]
            if action.direction is Pass.FORWARD:
                span = self._forward(action.micro_batch, batch)
            else:
                span = self._backward(action.micro_batch)
            slots.append(Slot(self.channel.rank, action, *span))
            most = max(most, len(self._flying))
        for pending in self._sent.values():
            pending.wait()
        self._sent = {}
        # The last stage alone knows the loss and the count, by which all divide: once.
        total, count = all_reduce(self.channel, self._sums)
        if count == 0:
            raise UserError("not a single position was scored: are all targets IGNORE?")
        for parameter in self.stage.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(count.to(parameter.dtype))
        return Ran(total / count, slots, most)

    def _forward(self, micro: int, batch: Batch) -> tuple[float, float]:
        """Take a micro-batch on by one stage; returns when the work began and ended."""
        x = batch.ids
        if not self.stage.is_first:
            # The stream has the same shape between all stages: B T D.
            like = next(self.stage.parameters()).new_empty(*x.shape, self.stage.config.d_model)
            x = self.channel.receive(like, self.channel.rank - 1).requires_grad_()
        start = time.monotonic()
        out = self.stage(x)
        if self.stage.is_last:
            loss = token_loss(out, batch.targets)
            self._sums += torch.stack([loss.total.detach().double(), loss.count.double()])
            out = loss.total
        end = time.monotonic()
        if not self.stage.is_last:
            # Not waited for: the receiver may be busy, and this stage has other things to do.
            sending = self.channel.start_send(out, self.channel.rank + 1)
            self._sent[Action(Pass.FORWARD, micro)] = sending
        # `x` and `out` are the two ends of this stage's graph: its activations stay until backward.
        self._flying[micro] = x, out
        return start, end

    def _backward(self, micro: int) -> tuple[float, float]:
        """Take a micro-batch's gradient back by one stage; returns when that began and ended."""
        x, out = self._flying.pop(micro)
        grad = None
        if not self.stage.is_last:
            grad = self.channel.receive(out, self.channel.rank + 1)
            # An answer has come, so the question has arrived: let its tensor go.
            self._sent.pop(Action(Pass.FORWARD, micro)).wait()
        start = time.monotonic()
        # Gradients of the parameters add up over the micro-batches, as in accumulation.
        out.backward(grad)
        end = time.monotonic()
        if not self.stage.is_first:
            assert x.grad is not None
            sending = self.channel.start_send(x.grad, self.channel.rank - 1)
            self._sent[Action(Pass.BACKWARD, micro)] = sending
        return start, end
