"""A few kills of `make torture`, in a process of its own, and a process that is suspended."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from small_jobs import Job
from small_runs import flags, log_of, small

from llmcourse.runs.log import Training, read_log
from tools.torture import Reference, Trial

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_few_kills_and_what_is_kept_of_them(tmp_path):
    """In a process of its own: what is forked from one that has trained may wait for ever."""
    given = ["--seed", "3", "--kills", "4", "--minutes", "4", "--only", "preset tiny"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "torture.py"), *given, "--out", str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path, timeout=280,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 3\n")
    (path,) = tmp_path.glob("torture-20*.json")
    kept = json.loads(path.read_text())
    assert kept["settings"]["seed"] == 3
    assert kept["results"]["kills_by_job"] == {"preset tiny": kept["results"]["kills"]}
    assert kept["results"]["kills"] >= 4
    assert kept["results"]["failures"] == []
    assert str(tmp_path) not in json.dumps(kept["results"])


def test_a_difference_is_seen(tmp_path):
    """The comparison can fail: of what is there, and of a file of the user's."""
    job = Job("fake", lambda _: 0, [], lambda out: {"weights": out.read_bytes()}, resumes=False)
    trial = Trial(job, Reference({"weights": b"whole"}, [], 1.0), tmp_path / "trial")
    assert not trial.is_there
    trial.out.write_bytes(b"whole")
    assert trial.is_there
    assert trial.finish() is None
    trial.out.write_bytes(b"whola")
    assert trial.finish() == "differs from the undisturbed run in 1 parts: weights"
    (trial.out.parent / "mine.md").write_text("gone")
    assert trial.finish() == "a file of the user's has changed"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs SIGSTOP")
def test_a_process_that_is_suspended_uses_no_budget(tmp_path):
    """It sleeps for 100 of its own steps, as long as they happen to take."""
    out = tmp_path / "run"
    given = flags(small(out, steps=40, budget="600s", log_every=1, save_every=100,
                        evaluate_every=100))  # fmt: skip
    line = [sys.executable, "-m", "llmcourse.train", *given]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, **quiet) as process:
        while len(log_of(out)) < 8:
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGSTOP)
        asleep = 100 * max(statistics.median(laps(out)), 0.01)
        time.sleep(asleep)
        process.send_signal(signal.SIGCONT)
        assert process.wait(120) == 0
    assert len(laps(out)) == 39
    assert max(laps(out)) < asleep / 2


def laps(out) -> list[float]:
    """Seconds of each step but the first, as the run counted them."""
    seconds = [r.seconds for r in read_log(out / "metrics.jsonl") if isinstance(r, Training)]
    return [after - before for before, after in pairwise(seconds)]
