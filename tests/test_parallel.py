"""Two processes take the steps that one would take; so do micro-batches."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from small_runs import flags, log_of, run, small

from llmcourse.models.files import load_model
from llmcourse.train.checkpoint import list_checkpoints

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


def start(options: list[str], processes: int = 2) -> subprocess.Popen:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    command += ["--standalone", "-m", "llmcourse.train", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def torchrun(out: Path, **changes) -> None:
    finish(start(flags(small(out, **changes))))


def finish(running: subprocess.Popen) -> None:
    said = running.communicate(timeout=200)[1]
    assert running.returncode == 0, said


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
def test_two_processes_with_a_slice_of_the_model_each_equal_one(tmp_path):
    recipe = {**EXACT, "optimizer__name": "muon"}
    run(tmp_path / "one", **recipe)
    torchrun(tmp_path / "two", **recipe, micro_batch_size=2, parallel="fsdp")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    one, two = (load_model(tmp_path / name / "model") for name in ("one", "two"))
    for name, tensor in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], tensor, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parallel", "killed", "goes_on"), [("ddp", "0", [2]), ("fsdp", "1", [1, 2, 4])]
)
def test_without_one_process_a_run_ends_and_any_number_goes_on(parallel, killed, goes_on, tmp_path):
    recipe = {**EXACT, "steps": 60, "evaluate_every": 60, "save_every": 5, "sample_tokens": 0}
    run(tmp_path / "one", **recipe)
    out = tmp_path / "two"
    running = start(flags(small(out, **recipe, parallel=parallel)))
    wait_for(out / "checkpoints" / "step-00000010", running)
    (worker,) = [one for one in workers(running) if one.environ()["RANK"] == killed]
    worker.kill()
    said = running.communicate(timeout=60)[1]
    assert running.returncode != 0
    saved = list_checkpoints(out / "checkpoints")[-1].name
    (line,) = [line for line in said.split("\n") if line.startswith("error: ")]
    assert line == (
        f"error: another process has gone; stopped at once: checkpoint {saved} is kept; "
        f"go on with: python -m llmcourse.train --out {out} --resume"
    )
    assert log_of(out)[-1]["step"] < 60
    for processes in goes_on:
        copy = shutil.copytree(out, tmp_path / str(processes))
        finish(start(["--resume", "--out", str(copy)], processes))
        assert losses(copy)[-2:] == pytest.approx(losses(tmp_path / "one")[-2:], rel=1e-3)


def wait_for(folder: Path, running: subprocess.Popen) -> None:
    while not folder.is_dir():
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.02)


def workers(running: subprocess.Popen) -> list[psutil.Process]:
    return [one for one in psutil.Process(running.pid).children() if "RANK" in one.environ()]


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
