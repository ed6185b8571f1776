"""Memory of a training step, for every family, from shapes alone: nothing is computed or allocated.

Four parts: the weights, a gradient for each, what the optimizer remembers of each, and the
activations that the forward pass keeps for the backward pass. The model is built on PyTorch's
`meta` device, whose tensors have shapes and no numbers, and its forward pass runs there. Not here:
what a step on real numbers takes (`labs/memory.py`), and how much memory there is
(`planning/machine.py`). Chapters 08 and 09 teach this.
"""

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable
from torch.overrides import TorchFunctionMode

from llmcourse.errors import UserError, nearest
from llmcourse.models.base import Model
from llmcourse.objectives.base import Objective
from llmcourse.optim.groups import split_for_muon
from llmcourse.optim.registry import OPTIMIZERS
from llmcourse.randomness import numpy_rng

BYTES = 4
"""Of a number in float32. Half precision keeps less; what is said here is then an upper bound."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes, by what they are for.

    Attributes:
        weights: the model's parameters.
        gradients: one for each trained parameter.
        optimizer: what the optimizer remembers.
        activations: what the forward pass keeps for the backward pass.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def fixed(self) -> int:
        """What does not depend on the batch."""
        return self.weights + self.gradients + self.optimizer

    @property
    def total(self) -> int:
        """All of it."""
        return self.fixed + self.activations


def step_memory(model: Model, objective: Objective, rows: int, optimizer: str) -> Memory:
    """What a step with so many rows in a forward pass takes, in float32 and with fused attention.

    Args:
        model: on the `meta` device.
        objective: what it is trained by.
        rows: the size of a micro-batch.
        optimizer: a name in `OPTIMIZERS`.

    Raises:
        UserError: the optimizer is not in `OPTIMIZERS`.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return Memory(
        weights=BYTES * numbers(list(model.parameters())),
        gradients=BYTES * numbers(trained),
        optimizer=BYTES * state_numbers(model, optimizer),
        activations=activations(model, objective, rows),
    )


def activations(model: Model, objective: Objective, rows: int) -> int:
    """Bytes that the forward pass and the loss over so many rows keep for the backward pass.

    The model stands on the `meta` device; how attention is fused there does not matter.
    """
    length = objective.window(model.config.context_length)
    tokens = torch.zeros(rows, length, dtype=torch.long)
    # What is hidden is drawn by chance: here always by the same.
    batch = objective.prepare(tokens, numpy_rng(0, "memory"))
    batch = batch.rows(slice(None), torch.device("meta"))
    with FusedAttention(), kept_tensors(model) as kept:
        loss = objective.loss(model(ids=batch.ids, **batch.extras), batch)
    assert loss.total.is_meta
    return sum(kept.values())


def state_numbers(model: nn.Module, optimizer: str) -> int:
    """How many numbers an optimizer's state holds for a model, step counts apart.

    Raises:
        UserError: the optimizer is not in `OPTIMIZERS`.
    """
    if optimizer not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {optimizer!r}{nearest(optimizer, OPTIMIZERS)}")
    entry = OPTIMIZERS[optimizer]
    if entry.matrices is None:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return entry.state_tensors * numbers(trained)
    hidden, rest = split_for_muon(model)
    return entry.matrices.state_tensors * numbers(hidden) + entry.state_tensors * numbers(rest)


def numbers(parameters: list[nn.Parameter]) -> int:
    """How many numbers parameters hold."""
    return sum(parameter.numel() for parameter in parameters)


@contextlib.contextmanager
def kept_tensors(model: nn.Module) -> Generator[dict[int, int]]:
    """Tensors kept for the backward pass within the block: bytes, by the storage that holds them.

    A storage that several operations keep counts once; the weights, which are there anyway, do not
    count. The kept tensors are held on to by the graph as long as the loss is, so no name of a
    storage is used twice.
    """
    # A storage's own address, not that of its numbers: on `meta` there are none.
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def largest_micro_batch(fixed: int, each: float, rows: int, free: float) -> int:
    """The most rows in a forward pass that fit and divide the rows of a step; 1 at the least.

    Args:
        fixed: bytes that are needed whatever the batch.
        each: bytes that a row adds.
        rows: how many rows a step has.
        free: bytes that may be used.
    """
    most = rows if fixed + rows * each <= free else int(max(0.0, free - fixed) // each)
    return next((n for n in range(min(rows, most), 0, -1) if rows % n == 0), 1)


class FusedAttention(TorchFunctionMode):
    """Attention that keeps what a fused kernel keeps, wherever the code within asks for one.

    On `meta` the library falls back on two matrix products and keeps all T · S weights.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Exchange one function, and call all others as they are."""
        if func is F.scaled_dot_product_attention:
            return _Fused.apply(*args[:4])
        return func(*args, **(kwargs or {}))


class _Fused(Function):
    """Keeps queries, keys, values, the mixture, and a number for each query (log-sum-exp).

    A mask of yes and no becomes one of numbers, and is kept as well.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        out, log_sum_exp = torch.empty_like(q), q.new_empty(q.shape[:-1])
        added = [] if mask is None else [torch.empty_like(mask, dtype=q.dtype)]
        ctx.save_for_backward(q, k, v, out, log_sum_exp, *added)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *(torch.empty_like(tensor) for tensor in ctx.saved_tensors[:3]), None
