"""From settings to the machinery of a run: how a model is compiled, and its number format.

Not here: the model (`train/assemble.py`), optimizers (`train/optimizers.py`) and data
(`train/corpus.py`).
"""

import torch
from torch import nn

from llmcourse.errors import UserError
from llmcourse.objectives.base import Objective
from llmcourse.train.distributed import Ranks
from llmcourse.train.settings import Settings


def choose_precision(wanted: str, device: torch.device) -> str:
    """The format of matrix multiplications: `auto` is bf16, or fp16, on a GPU, and fp32 elsewhere.

    Raises:
        UserError: fp16 or bf16 on a device that has none.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
        if wanted == "auto":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        if wanted == "bf16" and not torch.cuda.is_bf16_supported():
            raise UserError("precision bf16 needs a newer GPU: use fp16 or fp32")
    return "fp32" if wanted == "auto" else wanted


def gradient_scaler(precision: str, device: torch.device, positions: int) -> torch.amp.GradScaler:
    """The scaler that keeps fp16 gradients from vanishing; does nothing in other formats.

    The loss is a sum over `positions`, so the usual first scale of 65536 is divided by that.
    """
    scale = max(1.0, 65536.0 / positions)
    return torch.amp.GradScaler(device.type, init_scale=scale, enabled=precision == "fp16")


def compiled(model: nn.Module, wanted: str, device: torch.device) -> nn.Module:
    """The model compiled, where that was asked for or pays (`auto`: on CUDA)."""
    if wanted == "yes" or (wanted == "auto" and device.type == "cuda"):
        return torch.compile(model)  # ty: ignore[invalid-explicit-return]
    return model


def rows_per_process(settings: Settings, ranks: Ranks, objective: Objective) -> tuple[int, int]:
    """How many windows a process has in a step, and how many it takes in one forward pass.

    Raises:
        UserError: the global batch cannot be divided so, or, for this objective, not at all.
    """
    if settings.batch_size % ranks.world:
        raise UserError(
            f"batch_size={settings.batch_size} cannot be shared by {ranks.world} processes: "
            f"try {max(1, settings.batch_size // ranks.world) * ranks.world}"
        )
    rows = settings.batch_size // ranks.world
    micro = settings.micro_batch_size or rows
    if rows % micro:
        raise UserError(
            f"micro_batch_size={micro} does not divide the {rows} windows that each process has "
            f"in a step: try {max(n for n in range(1, micro + 1) if rows % n == 0)}"
        )
    if not objective.rows_are_independent and micro < settings.batch_size:
        raise UserError(
            f"objective={settings.objective} compares each window with all others of its batch, so "
            f"{settings.batch_size} windows cannot be cut into parts of {micro}: use one process "
            "and no micro_batch_size, or a smaller batch_size"
        )
    return rows, micro
