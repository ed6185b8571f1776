"""The number format of a run, the gradient scaler that fp16 needs, and compilation.

Not here: what number formats can hold (`nn/formats.py`). Chapter 08 teaches mixed precision.
"""

import torch
from torch import nn

from llmcourse.errors import UserError


def choose_precision(wanted: str, device: torch.device) -> str:
    """The format of matrix multiplications: `auto` is bf16, or fp16, on a GPU, and fp32 elsewhere.

    Raises:
        UserError: fp16 or bf16 on a device that has none.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32 for what stays in fp32
        # bf16 has fp32's range with fewer digits, and needs no scaler; fp16 is for GPUs without it.
        if wanted == "auto":
            return "bf16" if _multiplies_bf16() else "fp16"
        if wanted == "bf16" and not _multiplies_bf16():
            raise UserError("precision bf16 needs a newer GPU: use fp16 or fp32")
    return "fp32" if wanted == "auto" else wanted


def gradient_scaler(precision: str, device: torch.device, positions: int) -> torch.amp.GradScaler:
    """The scaler that keeps fp16 gradients from vanishing; does nothing in other formats.

    The loss is a sum over `positions`, so the usual first scale of 65536 is divided by that.
    """
    # fp16 holds nothing below 6e-8: small gradients would become 0. The loss times the scale lifts
    # all of them, and the optimizer divides it out again.
    scale = max(1.0, 65536.0 / positions)
    return torch.amp.GradScaler(device.type, init_scale=scale, enabled=precision == "fp16")


def compiled(model: nn.Module, wanted: str, device: torch.device) -> nn.Module:
    """The model compiled, where that was asked for or pays (`auto`: on CUDA)."""
    if wanted == "yes" or (wanted == "auto" and device.type == "cuda"):
        return torch.compile(model)  # ty: ignore[invalid-explicit-return]
    return model


def _multiplies_bf16() -> bool:
    """Whether the GPU has units for bf16; older ones emulate it, many times slower than fp16."""
    return torch.cuda.is_bf16_supported(including_emulation=False)
