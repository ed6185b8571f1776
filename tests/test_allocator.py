"""Freed memory is kept: later steps ask the system for hardly a page."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
from llmcourse.allocator import keep_freed_memory
import torch
print(keep_freed_memory() if sys.argv[1] == "kept" else None)
for number in range(20):
    step = [torch.empty(12_000_000).fill_(1) for _ in range(3)]
    del step
    if number == 4:  # by now it has found room for all of them
        first = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - first)
"""


def faults(how: str, **environment: str) -> tuple[str, int]:
    """What `keep_freed_memory` said, and the pages that the system found for 15 more steps."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    run = [sys.executable, "-c", FAULTS, how]
    ran = subprocess.run(run, capture_output=True, text=True, check=True, env=env | environment)
    said, found = ran.stdout.split()
    return said, int(found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_memory_is_kept_and_the_users_own_setting_wins():
    said, kept = faults("kept")
    if said != "True":
        pytest.skip("a C library without mallopt")
    # A step of 144 MB are 35,000 pages of 4 kB, or 72 of 2 MB where the system gives such.
    _, handed_back = faults("handed back")
    assert kept < handed_back / 4
    said, _ = faults("kept", MALLOC_TRIM_THRESHOLD_="131072")
    assert said == "False"
