"""From settings to optimizers and schedules, by the tables in `optim/`.

AdamW is the library's fast one, which the tests prove equal, step for step, to the one written out
in `optim/`; the others are the written-out ones themselves.
"""

from collections.abc import Callable
from pkgutil import resolve_name
from typing import Any

from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from llmcourse.optim.groups import decay_groups, split_for_muon
from llmcourse.optim.registry import OPTIMIZERS, OptimizerEntry
from llmcourse.optim.schedules import named_schedule
from llmcourse.train.settings import OptimizerSettings


def build_optimizers(model: nn.Module, settings: OptimizerSettings) -> list[Optimizer]:
    """One optimizer for everything, or one for the hidden matrices and one for the rest.

    Muon (Jordan et al., 2024) orthogonalises the step of a matrix; embeddings, the output head and
    vectors are not matrices in that sense. Each group keeps its peak rate as `peak_lr`.
    """
    entry = OPTIMIZERS[settings.name]
    optimizers: list[Optimizer] = []
    rest = list(model.parameters())
    if entry.matrices is not None:
        # Muon sees matrices alone; what is left goes to AdamW, with a learning rate of its own.
        matrices, rest = split_for_muon(model)
        optimizers.append(_build(entry.matrices, matrices, settings))
    optimizers.append(_build(entry, rest, settings))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            # The schedule multiplies the peak, so the peak must outlive what is set in each step.
            group["peak_lr"] = group["lr"]
    return optimizers


def _build(
    entry: OptimizerEntry, parameters: list[Parameter], settings: OptimizerSettings
) -> Optimizer:
    options: dict[str, Any] = {
        setting: settings.value_of(setting, entry) for setting in entry.defaults
    }
    # From the words of the settings to the library's.
    if "beta1" in options:
        options["betas"] = (options.pop("beta1"), options.pop("beta2"))
    if "matrix_lr" in options:
        options["lr"] = options.pop("matrix_lr")
    kind = resolve_name(entry.kind)
    given = settings.weight_decay
    groups = decay_groups(parameters, entry.weight_decay if given is None else given)
    return kind(groups, **options, **entry.fixed)


def build_schedule(settings: OptimizerSettings) -> Callable[[float], float]:
    """The pure function from progress in [0, 1] to a multiplier of the peak rate."""
    return named_schedule(settings.schedule, warmup=settings.warmup, final=settings.final)


def set_lr(optimizers: list[Optimizer], multiplier: float) -> float:
    """Set every group's learning rate; returns the last group's, which is AdamW's."""
    lr = 0.0
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            lr = group["lr"] = group["peak_lr"] * multiplier
    return lr
