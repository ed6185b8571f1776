"""Our data parallelism is DDP, and our third stage of ZeRO is FSDP2: the same losses."""

import pytest
from rank_jobs import twins as jobs

from llmcourse.parallel.world import run_world


def test_losses_equal_those_of_torchs_wrappers():
    for result in run_world(2, jobs.both):
        for name, (ours, theirs) in result.items():
            assert len(ours) == 5
            assert ours == pytest.approx(theirs, rel=1e-12), name
