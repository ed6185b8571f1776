"""The C library's allocator, set for programs that take the same steps again and again.

Not here: memory of a GPU, which PyTorch keeps anyway; how much a run needs (`planning/memory.py`).
No chapter teaches this.
"""

import ctypes
import os
import sys

KEPT_BELOW = 2**30
"""Pieces of memory up to this size are kept, in bytes, and so much of them in all."""

# Numbers of malloc.h; a manual page tells what they mean: mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Keep what is freed for the next step, in place of handing it back; says whether it is so.

    A step frees its activations, and the next one asks for as many. By default glibc hands large
    ones back to the system, and each page of the new ones is cleared by it anew: a seventh of the
    time of the default run. What a run needs at most does not change. Without glibc, or where the
    environment says how it shall be, nothing is done.
    """
    theirs = os.environ.get("MALLOC_TRIM_THRESHOLD_") or os.environ.get("MALLOC_MMAP_THRESHOLD_")
    if not sys.platform.startswith("linux") or theirs:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    # Before 2.35 glibc takes no mapping threshold above 32 MB: then at least that.
    mapped = mallopt(_M_MMAP_THRESHOLD, KEPT_BELOW) or mallopt(_M_MMAP_THRESHOLD, 2**25)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, KEPT_BELOW))
