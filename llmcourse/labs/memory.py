"""Where the memory of training goes: predicted by arithmetic, and measured to the byte.

Four parts: the weights, a gradient for each, what the optimizer remembers of each, and the
activations that the forward pass keeps for the backward pass. The first three depend on the model,
the last on the batch as well. Not here: time (`throughput.py`). Chapter 08 teaches this.
"""

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.errors import UserError, nearest
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.registry import family_of
from llmcourse.optim.groups import split_for_muon
from llmcourse.optim.registry import OPTIMIZERS

MLP_KEEPS = {
    "relu": 1,
    "gelu_tanh": 2,
    "gelu_exact": 2,
    "squared_relu": 2,
    "swiglu": 4,
    "geglu": 4,
}
"""How many tensors of the feed-forward width an MLP keeps for the backward pass."""


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
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations


def predicted(config: Any, batch_size: int, optimizer: str = "adamw") -> Memory:
    """What training a GPT takes, in float32 and with fused attention, from its config alone.

    Weights, gradients and memories are exact. The activations leave out what is small (tables of
    positions, ids): they are right to 3 per cent, a little below what is measured. Dropout, biases
    on the scores, and masks keep more.

    Raises:
        UserError: the optimizer is not in `OPTIMIZERS`, or the config is of another family.
    """
    if (family := family_of(config)) != "gpt":
        raise UserError(f"what a {family} keeps is not predicted: run a step, and use `measured`")
    weights = 4 * config.n_parameters
    activations = 4 * batch_size * config.context_length * kept_per_token(config)
    return Memory(
        weights=weights,
        gradients=weights,
        optimizer=4 * state_numbers(config, optimizer),
        activations=activations,
    )


def state_numbers(config: GPTConfig, optimizer: str) -> int:
    """How many numbers an optimizer's state holds for a GPT, step counts apart.

    Raises:
        UserError: the optimizer is not in `OPTIMIZERS`.
    """
    if optimizer not in OPTIMIZERS:
        raise UserError(f"unknown optimizer {optimizer!r}{nearest(optimizer, OPTIMIZERS)}")
    entry = OPTIMIZERS[optimizer]
    if entry.matrices is None:
        return entry.state_tensors * config.n_parameters
    with torch.device("meta"):  # shapes without memory
        hidden, rest = split_for_muon(GPT(config))
    matrix_tensors = entry.matrices.state_tensors
    return matrix_tensors * _numbers(hidden) + entry.state_tensors * _numbers(rest)


def _numbers(parameters: list[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def kept_per_token(config: GPTConfig) -> int:
    """Number of activations that the forward pass keeps of each token.

    In each layer, of the width D: what both norms read and give (RMSNorm keeps its quotient too),
    queries, keys, values and their mixture; of the feed-forward width F what `MLP_KEEPS` says; and
    some numbers per head. At the end what the last norm and the head read, and the V log
    probabilities. For GPT-2's recipe that is `16 D` a layer (compare Korthikanti et al., 2022).
    """
    D, H, G, K = config.d_model, config.n_heads, config.kv_heads, config.head_width
    norm = 3 * D + 1 if config.norm == "rmsnorm" else 2 * D + 2
    attention = (2 * H + 2 * G) * K + H  # queries and mixture, keys and values, log-sum-exp
    if config.qk_norm:
        attention += (H + G) * (2 * K + 1) + H * K  # and the mixture again, its heads in order
    feed_forward = MLP_KEEPS[config.mlp] * config.ff_width
    layer = 2 * norm + attention + feed_forward
    return config.n_layers * layer + norm + config.vocab_size


def measured(model: nn.Module, optimizer: Optimizer, loss_of: Callable[[], Tensor]) -> Memory:
    """What one step of training really takes: forward, backward and a step are run.

    Args:
        model: what is trained.
        optimizer: takes one step.
        loss_of: the forward pass, up to the loss.
    """
    with kept_tensors(model) as kept:
        loss = loss_of()
    loss.backward()
    optimizer.step()
    parameters = list(model.parameters())
    remembered = [
        value
        for memory in optimizer.state.values()
        for value in memory.values()
        if isinstance(value, Tensor) and value.dim() > 0
    ]
    return Memory(
        weights=sum(map(_size, parameters)),
        gradients=sum(_size(p.grad) for p in parameters if p.grad is not None),
        optimizer=sum(map(_size, remembered)),
        activations=sum(kept.values()),
    )


@contextlib.contextmanager
def kept_tensors(model: nn.Module) -> Generator[dict[int, int]]:
    """Tensors kept for the backward pass within the block: bytes, by where they lie in memory.

    A storage that several operations keep counts once; the weights, which are there anyway, do not
    count. The kept tensors are held on to by the graph as long as the loss is, so no address is
    used twice.
    """
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield kept


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
