"""Where the memory of training goes: predicted by arithmetic, and measured to the byte.

Four parts: the weights, a gradient for each, what the optimizer remembers of each, and the
activations that the forward pass keeps for the backward pass. The first three depend on the model,
the last on the batch as well. The arithmetic here is a GPT's, by hand. Not here: the same for every
family, from shapes (`planning/memory.py`), and time (`throughput.py`). Chapter 08 teaches this.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, GPTConfig
from llmcourse.models.registry import family_of
from llmcourse.planning.memory import Memory, kept_tensors, state_numbers

MLP_KEEPS = {
    "relu": 1,
    "gelu_tanh": 2,
    "gelu_exact": 2,
    "squared_relu": 2,
    "swiglu": 4,
    "geglu": 4,
}
"""How many tensors of the feed-forward width an MLP keeps for the backward pass."""


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
    with torch.device("meta"):  # shapes without memory
        model = GPT(config)
    return Memory(
        weights=weights,
        gradients=weights,
        optimizer=4 * state_numbers(model, optimizer),
        activations=activations,
    )


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


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
