"""A run that was killed and resumed is the run that was never stopped, bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import flags, log_of, run, small, state_of, weights_of

from llmcourse.train.checkpoint import list_checkpoints

STEPS = 60


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(start(out))
    return out


def start(out: Path, *more: str) -> subprocess.Popen:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "llmcourse.train", *flags(small(out, steps=STEPS)), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> None:
    """Wait for a run that should end well."""
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def wait_for_step(process: subprocess.Popen, out: Path, step: int) -> None:
    """Wait until the log mentions a step, or the process is over."""
    deadline = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        if any(record["step"] >= step for record in log_of(out)):
            return
        time.sleep(0.005)


def assert_same_run(one: Path, other: Path) -> None:
    assert log_of(one) == log_of(other)
    assert weights_of(one) == weights_of(other)
    assert state_of(one) == state_of(other)


@pytest.mark.slow
def test_killed_and_resumed_equals_never_stopped(whole, tmp_path):
    out, chance = tmp_path / "run", random.Random()  # another moment each time, on purpose
    process = start(out)
    for step in (1, 20, 40):
        wait_for_step(process, out, step)
        time.sleep(chance.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start(out, "--resume") if (out / "config.json").exists() else start(out)
    finish(process)
    assert_same_run(whole, out)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_saves_and_says_how_to_go_on(whole, tmp_path, number):
    out = tmp_path / "run"
    process = start(out)
    wait_for_step(process, out, 6)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert f"--out {out} --resume" in said
    finish(start(out, "--resume"))
    assert_same_run(whole, out)


def test_every_checkpoint_leads_to_the_same_end(tmp_path):
    whole = tmp_path / "whole"
    run(whole, micro_batch_size=4, save_every=6, keep_last=9)
    checkpoints = list_checkpoints(whole / "checkpoints")
    assert [path.name[-2:] for path in checkpoints] == ["06", "12", "18", "20"]
    for kept in range(1, len(checkpoints)):
        out = tmp_path / f"from-{kept}"
        shutil.copytree(whole, out)
        for path in list_checkpoints(out / "checkpoints")[kept:]:
            shutil.rmtree(path)
        run(out, micro_batch_size=4, save_every=6, keep_last=9, resume=True)
        assert_same_run(whole, out)


def test_a_different_seed_is_a_different_run(tmp_path):
    """The comparison above can fail."""
    run(tmp_path / "a", steps=3)
    run(tmp_path / "b", steps=3, seed=1)
    assert weights_of(tmp_path / "a") != weights_of(tmp_path / "b")
    assert log_of(tmp_path / "a") != log_of(tmp_path / "b")
