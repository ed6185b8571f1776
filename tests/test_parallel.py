"""Two processes take the steps that one would take; so do micro-batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import flags, log_of, run, small

STEPS = 12


def losses(out: Path) -> list[float]:
    """Every training and validation loss, and gradient norm, in order."""
    return [
        record[name] for record in log_of(out) for name in ("loss", "grad_norm") if name in record
    ]


def torchrun(out: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "llmcourse.train", *flags(wanted(out)), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)


def wanted(out: Path, **changes):
    # Dropout draws differ between one process and two, so there is none here.
    return small(out, **{"steps": STEPS, "model__dropout": 0.0, **changes})


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path):
    done = torchrun(tmp_path / "two", "--micro-batch-size", "2")
    assert done.returncode == 0, done.stderr
    run(tmp_path / "one", steps=STEPS, model__dropout=0.0)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) >= 8
    assert two == pytest.approx(one, rel=2e-5)


def test_micro_batches_equal_one_batch(tmp_path):
    run(tmp_path / "whole", steps=STEPS, model__dropout=0.0)
    run(tmp_path / "parts", steps=STEPS, model__dropout=0.0, micro_batch_size=2)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=2e-5)


def test_another_batch_does_not_equal_it(tmp_path):
    """The comparisons above can fail: their tolerance is smaller than what one window changes."""
    run(tmp_path / "eight", steps=STEPS, model__dropout=0.0)
    run(tmp_path / "seven", steps=STEPS, model__dropout=0.0, batch_size=7)
    assert losses(tmp_path / "seven") != pytest.approx(losses(tmp_path / "eight"), rel=2e-3)
