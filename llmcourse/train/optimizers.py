"""From settings to optimizers. A run uses the library's fused ones; `optim/` holds the taught ones.

The two are proven equal step for step in the tests.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim import Optimizer

from llmcourse.optim.groups import decay_groups, split_for_muon
from llmcourse.optim.schedules import constant, linear, one_cycle, warmup_cosine, wsd
from llmcourse.train.settings import OptimizerSettings


def build_optimizers(model: nn.Module, settings: OptimizerSettings) -> list[Optimizer]:
    """AdamW for everything, or Muon for the hidden matrices and AdamW for the rest.

    Muon (Jordan et al., 2024) orthogonalises the step of a matrix; embeddings, the output head and
    vectors are not matrices in that sense. Each group keeps its peak rate as `peak_lr`.
    """
    optimizers: list[Optimizer] = []
    rest = list(model.parameters())
    if settings.name == "muon":
        matrices, rest = split_for_muon(model)
        optimizers.append(
            torch.optim.Muon(matrices, lr=settings.matrix_lr, weight_decay=settings.weight_decay)
        )
    adamw = torch.optim.AdamW(
        decay_groups(rest, settings.weight_decay),
        lr=settings.lr,
        betas=(settings.beta1, settings.beta2),
        fused=True,
    )
    optimizers.append(adamw)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def build_schedule(settings: OptimizerSettings) -> Callable[[float], float]:
    """The pure function from progress in [0, 1] to a multiplier of the peak rate."""
    warmup, final = settings.warmup, settings.final
    schedules: dict[str, Callable[[], Callable[[float], float]]] = {
        "constant": constant,
        "linear": lambda: linear(warmup=warmup, final=final),
        "cosine": lambda: warmup_cosine(warmup=warmup, final=final),
        "wsd": lambda: wsd(warmup=warmup, final=final),
        "one_cycle": lambda: one_cycle(final=final),
    }
    return schedules[settings.schedule]()


def set_lr(optimizers: list[Optimizer], multiplier: float) -> float:
    """Set every group's learning rate; returns the last group's, which is AdamW's."""
    lr = 0.0
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            lr = group["lr"] = group["peak_lr"] * multiplier
    return lr
