"""Memory that a device has free, now.

Not here: what a step needs of it (`planning/memory.py`), and how fast the device is
(`train/calibrate.py`, which takes real steps).
"""

import os
import re
from pathlib import Path

import torch

FILLED = 0.8
"""The share of the free memory that a plan may fill: the rest is for what no estimate counts."""

_MEMINFO = Path("/proc/meminfo")


def free_bytes(device: torch.device) -> float:
    """Bytes that are free on the device: of a GPU its own memory, else that of the machine.

    Where the system does not tell (not Linux), half of what is built in.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if _MEMINFO.exists():
        found = re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text("utf-8"))
        if found:
            return 1024 * float(found[1])
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2
    return 4 * 2.0**30  # the least that a machine of today has free
