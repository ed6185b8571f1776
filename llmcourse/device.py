"""Where tensors live, in which format they are multiplied, and how fast that place could go.

Not here: several devices at once (`train/distributed.py`). Chapters 08 and 09 teach this.
"""

import contextlib
import re
from typing import Any

import torch

from llmcourse.errors import UserError

# Dense bf16 tensor-core peaks in FLOP/s, from the makers' data sheets (SXM versions where there are
# several). They are the denominator of model FLOPs utilisation, MFU (Chowdhery et al., 2022).
PEAK_FLOPS: dict[str, float] = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "T4": 65e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


# A tensor in slices is a DTensor. They are told by what they can do: to import the class takes half
# a second, which a run of one process need not wait.


def whole(tensor: Any) -> torch.Tensor:
    """The whole of a tensor of which each process holds a slice (all must ask); any other as is."""
    return tensor.full_tensor() if is_sliced(tensor) else tensor


def held_here(tensor: Any) -> torch.Tensor:
    """This process's slice of a tensor, which shares its memory; all of one that is not cut."""
    return tensor.to_local() if is_sliced(tensor) else tensor


def sliced_like(tensor: torch.Tensor, other: Any) -> torch.Tensor:
    """A whole tensor, cut into slices as `other` is; each process keeps its own of what it has."""
    if not is_sliced(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


def is_sliced(tensor: torch.Tensor) -> bool:
    """Whether each of several processes holds a slice of the tensor."""
    return hasattr(tensor, "full_tensor")


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or for `auto` the best that is there: CUDA, then Apple's MPS, then CPU.

    Raises:
        UserError: the device is not one that torch knows, or not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name!r} is unknown: try auto, cpu, cuda or mps") from None
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UserError(f"device {name!r} is not on this machine: try auto or cpu")
    return device


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bf16 peak in FLOP/s, or None where no data sheet figure is known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((flops for model, flops in PEAK_FLOPS.items() if _is_model(name, model)), None)


def _is_model(name: str, model: str) -> bool:
    """Whether a GPU's name says that model and no relative of it: an RTX A1000 is no A100."""
    return bool(re.search(rf"\b{model}\b(?! (Ti|SUPER|D|Laptop)\b)", name))


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The context in which a forward pass runs in `precision`: fp32 (no cast), bf16 or fp16."""
    if precision == "fp32":
        return contextlib.nullcontext()
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what was asked of it: else a timing times the asking."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
