"""Sizes that no machine can hold, refused by arithmetic before any memory is asked for.

What is counted is the least that a run takes; what it takes exactly is said by
`planning/memory.py`, and how much memory there is by `planning/machine.py`.
"""

import dataclasses

import torch

from llmcourse.errors import require
from llmcourse.optim.registry import OPTIMIZERS
from llmcourse.planning.machine import free_bytes
from llmcourse.train.assemble import SHORTEST_CONTEXT, build_config, check_model
from llmcourse.train.settings import Settings

BYTES = 4
"""Of a number in float32."""
ID_BYTES = 8
"""Of a token's number in a batch."""


def check_sizes(
    settings: Settings, device: torch.device, vocab_size: int = 1, processes: int = 1
) -> None:
    """Refuse a model or a batch that cannot fit into the device's free memory.

    Before the text is read nobody knows its vocabulary, nor how long a window it allows; then this
    is called with the least that there could be, and again when all is known.

    Raises:
        UserError: says what was asked for, and what would fit.
    """
    free = free_bytes(device)
    config = build_config(settings, vocab_size)
    share = processes if settings.parallel == "fsdp" else 1
    optimizer = OPTIMIZERS[settings.optimizer.name]
    remembered = (optimizer.matrices or optimizer).state_tensors
    each = BYTES * (2 + remembered)  # the weight itself, its gradient, and what is remembered of it
    taken = each * config.n_parameters / share
    shape = ", ".join(
        f"model.{name}={getattr(settings.model, name)}"
        for name in ("d_model", "n_layers", "d_ff")
        if getattr(settings.model, name) is not None
    )
    require(
        taken <= free,
        f"{shape} make {config.n_parameters:,} parameters, which take {_gigabytes(taken)} of "
        f"memory to train, and {_gigabytes(free)} are free: at most {int(free * share / each):,} "
        "parameters fit, so choose smaller numbers",
    )
    rows, window = settings.batch_size, settings.model.context_length
    taken = ID_BYTES * rows * window
    require(
        taken <= free,
        f"batch_size={rows} windows of model.context_length={window} take {_gigabytes(taken)} of "
        f"memory, and {_gigabytes(free)} are free: at most {int(free // (ID_BYTES * window)):,} "
        "fit",
    )
    micro = settings.micro_batch_size
    micro = micro if isinstance(micro, int) else 1 if micro else max(1, rows // processes)
    one = BYTES * window * vocab_size  # a row's logits, the least that a forward pass keeps
    require(
        one * micro <= free,
        f"a forward pass over {micro} windows takes {_gigabytes(one * micro)} of memory and more, "
        f"and {_gigabytes(free)} are free: add --micro-batch-size auto",
    )


def check_before_reading(settings: Settings, device: torch.device, processes: int = 1) -> None:
    """Refuse what can be refused without the text: how long a window can be only that tells.

    Raises:
        UserError: as `check_model` and `check_sizes`.
    """
    check_model(settings)
    shortest = min(SHORTEST_CONTEXT, settings.model.context_length)
    model = dataclasses.replace(settings.model, context_length=shortest)
    check_sizes(dataclasses.replace(settings, model=model), device, processes=processes)


def _gigabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes < 1e15 else f"{n_bytes / 1e9:.0e} GB"
