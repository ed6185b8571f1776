"""Two processes take the steps that one would take; so do micro-batches."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_runs import flags, log_of, run, small

STEPS = 12

# AdamW, because torch's Muon works in bfloat16: there a difference in the seventh digit of a
# gradient may flip a rounding in the third. No dropout: two processes draw other numbers than one.
EXACT = {"steps": STEPS, "optimizer__name": "adamw", "model__dropout": 0.0}
FLOAT = 2e-5


def losses(out: Path) -> list[float]:
    """Every training and validation loss, and gradient norm, in order."""
    return [
        record[name] for record in log_of(out) for name in ("loss", "grad_norm") if name in record
    ]


def torchrun(out: Path, **changes) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--standalone", "-m", "llmcourse.train", *flags(small(out, **changes))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> list[float]:
    """What one process measures that takes whole batches."""
    out = tmp_path_factory.mktemp("one") / "run"
    run(out, **EXACT)
    found = losses(out)
    assert len(found) == 4 * 2 + 3  # four records of training, three evaluations
    return found


@pytest.mark.slow
def test_two_processes_equal_one(one, tmp_path):
    torchrun(tmp_path / "two", **EXACT)
    assert losses(tmp_path / "two") == pytest.approx(one, rel=FLOAT)


@pytest.mark.slow
def test_two_processes_with_micro_batches_and_muon_equal_one(tmp_path):
    recipe = {**EXACT, "optimizer__name": "muon"}
    run(tmp_path / "one", **recipe)
    torchrun(tmp_path / "two", **recipe, micro_batch_size=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["mlm", "nsp", "plm"])
def test_two_processes_equal_one_at_other_tasks(objective, tmp_path):
    """What is hidden, exchanged or asked first is drawn for the whole batch."""
    run(tmp_path / "one", **EXACT, objective__name=objective)
    torchrun(tmp_path / "two", **EXACT, objective__name=objective)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=FLOAT)


def test_micro_batches_equal_one_batch(one, tmp_path):
    run(tmp_path / "parts", **EXACT, micro_batch_size=2)
    assert losses(tmp_path / "parts") == pytest.approx(one, rel=FLOAT)


def test_another_batch_does_not_equal_it(one, tmp_path):
    """The comparisons above can fail: one window less is seen, even at the widest tolerance."""
    run(tmp_path / "seven", **EXACT, batch_size=7)
    assert losses(tmp_path / "seven") != pytest.approx(one, rel=1e-3)
