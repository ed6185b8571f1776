"""How fast a run is, and how fast it could be: tokens a second, operations, utilisation.

Model FLOPs utilisation (MFU, Chowdhery et al., 2022) is the share of a machine's best speed that
goes into the model's own arithmetic. For GPUs the best is on the data sheet (`device.py`); for any
other machine it can be measured: the speed of one large matrix product. Not here: memory
(`memory.py`). Chapter 08 teaches this.
"""

import time
from collections.abc import Callable

import torch

from llmcourse.device import synchronize
from llmcourse.errors import UserError


def mfu(tokens_per_second: float, flops_per_token: float, peak: float) -> float:
    """The share of the peak that a run makes use of: `tokens/s · FLOPs/token / peak`.

    Raises:
        UserError: the peak is not above zero.
    """
    if peak <= 0:
        raise UserError(f"peak={peak} must be above 0, in floating-point operations a second")
    return tokens_per_second * flops_per_token / peak


def seconds_for(
    tokens: float, flops_per_token: float, peak: float, utilisation: float = 0.4
) -> float:
    """How long a run will take: its operations over what the machine really gets done.

    Raises:
        UserError: the peak or the utilisation is not above zero.
    """
    if peak <= 0 or utilisation <= 0:
        raise UserError(f"peak={peak} and utilisation={utilisation} must be above 0")
    return tokens * flops_per_token / (peak * utilisation)


def speed_of(work: Callable[[], object], device: torch.device, repeat: int = 5) -> float:
    """Turns a second, from the fastest of some: what slows a turn down comes from outside."""
    work()
    fastest = float("inf")
    for _ in range(repeat):
        synchronize(device)
        began = time.perf_counter()
        work()
        synchronize(device)
        fastest = min(fastest, time.perf_counter() - began)
    return 1 / fastest


def matmul_peak(device: torch.device, size: int = 512, dtype: torch.dtype = torch.float32) -> float:
    """The best speed at multiplying matrices that was measured here, in operations a second.

    A product of two `n · n` matrices takes `2 n^3`: a multiplication and an addition for each of
    `n` terms of `n²` sums.
    """
    left, right = torch.ones(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 * speed_of(lambda: left @ right, device)
