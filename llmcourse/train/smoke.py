"""What only a GPU can show, in lines to paste: flash attention, a fused optimizer, pinned memory.

`python -m llmcourse.train --preset gpu-smoke` trains for two minutes, compiled and in bf16, and
prints these lines. Each probe compares the fast way with the plain one. Not here: what the run
itself says (`runs/report.py`). Chapter 09 names it.
"""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from llmcourse.runs.history import RunHistory
from llmcourse.runs.log import Training


def lines_to_paste(run: Path, device: torch.device) -> str:
    """The machine, the run's figures, and what became of each probe."""
    history = RunHistory.read(run)
    environment, config = history.environment, history.config
    mfu, losses = history.typical("mfu"), history.losses
    facts = {
        "GPU": environment.get("gpu"),
        "torch": f"{environment.get('torch')}, CUDA {environment.get('cuda')}",
        "precision": f"{config.get('precision')}, compile {config.get('compile')}",
        "steps": history.last_step,
        "loss": f"{losses[0]:.3f} to {losses[-1]:.3f}" if len(losses) else "none",
        "tokens/s": f"{history.typical('tokens_per_second') or 0:,.0f}",
        "MFU": "unknown for this GPU" if mfu is None else f"{mfu:.0%}",
        "memory": f"{peak_bytes(device) / 1e9:.1f} GB at the most",
        "logged": len(history.of(Training)),
    }
    facts |= {name: outcome(probe, device) for name, probe in PROBES.items()}
    return "\n".join(f"{name:<16}{fact}" for name, fact in facts.items())


def outcome(probe: Callable[[torch.device], float], device: torch.device) -> str:
    """`ok` and how far two ways are apart, or what went wrong: the other probes still run."""
    try:
        gap = probe(device)
    except (RuntimeError, ValueError) as error:
        return f"FAILED: {(str(error).splitlines() or ['no reason given'])[0][:90]}"
    return f"{'ok' if gap < 0.02 else 'FAILED'}: {gap:.1e} apart"


def flash_attention(device: torch.device) -> float:
    """The flash kernel in bf16 against two matrix products in float32, largest difference."""
    q, k, v = torch.randn(3, 2, 4, 128, 64, device=device)
    half = [tensor.bfloat16() for tensor in (q, k, v)]
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        fused = F.scaled_dot_product_attention(*half, is_causal=True)
    with sdpa_kernel(SDPBackend.MATH):
        plain = F.scaled_dot_product_attention(*(t.float() for t in half), is_causal=True)
    return _apart(fused.float(), plain)


def fused_adamw(device: torch.device) -> float:
    """Ten steps of AdamW in one kernel against one tensor at a time, largest difference."""
    ends = []
    for fused in (True, False):
        weight = torch.linspace(-1, 1, 1000, device=device).requires_grad_()
        optimizer = torch.optim.AdamW([weight], lr=1e-2, fused=fused, foreach=False)
        for _ in range(10):
            weight.square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends.append(weight.detach())
    return _apart(*ends)


def pinned_memory(device: torch.device) -> float:
    """A copy that does not wait, out of memory that the system may not move."""
    numbers = torch.arange(100_000.0)
    there = numbers.pin_memory().to(device, non_blocking=True)
    return _apart(there.cpu(), numbers)


PROBES: dict[str, Callable[[torch.device], float]] = {
    "flash attention": flash_attention,
    "fused AdamW": fused_adamw,
    "pinned memory": pinned_memory,
}
"""What is tried, by name."""


def peak_bytes(device: torch.device) -> int:
    """The most memory that was in use on the device; 0 where nobody counts."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _apart(one: Tensor, other: Tensor) -> float:
    return (one - other).abs().max().item()
