"""A handful of the kills and faults of `make torture`, at moments that are always the same."""

import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise

import pytest
from small_jobs import other_jobs, training_jobs
from small_runs import flags, log_of, small

from llmcourse.runs.log import Training, read_log
from tools import torture
from tools.torture import Hit, Trial, draw, main, refer, warm_up


@pytest.fixture(scope="module", autouse=True)
def _warm():
    warm_up()


@pytest.fixture(scope="module")
def job():
    return next(job for job in training_jobs() if job.name == "preset tiny")


@pytest.fixture(scope="module")
def reference(job, tmp_path_factory):
    return refer(job, tmp_path_factory.mktemp("reference") / "run")


MOMENTS = {
    "the settings are half written": r"write run/\.config\.json",
    "the second checkpoint's weights are half written":
        r"write run/checkpoints/\.step-00000004\S*/\.model\.safetensors",
    "a checkpoint is complete, but not yet in place":
        r"replace run/checkpoints/step-00000004$",
    "an old checkpoint is half removed": r"unlink run/checkpoints/\.step-00000002\S*/model",
    "a record of the log is half written": r"write run/metrics\.jsonl",
    "the report is half written": r"write run/\.report\.html",
}  # fmt: skip


def operation(reference, pattern: str) -> int:
    """The number of the first operation that is meant, from 1."""
    return next(at for at, done in enumerate(reference.done, 1) if re.match(pattern, done))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_that_is_killed(moment, job, reference, tmp_path):
    trial = Trial(job, reference, tmp_path / "trial")
    hit = Hit("killed", "anywhere", at=operation(reference, MOMENTS[moment]))
    status, wrong = trial.strike(hit)
    assert (status, wrong) == (-signal.SIGKILL, None)
    assert trial.finish() is None


@pytest.mark.parametrize("kind", ["broken", "full"])
def test_a_run_whose_disk_fails(kind, job, reference, tmp_path):
    trial = Trial(job, reference, tmp_path / "trial")
    at = operation(reference, MOMENTS["the second checkpoint's weights are half written"])
    status, wrong = trial.strike(Hit(kind, "checkpoint", at=at))
    assert (status, wrong) == (2, None)
    assert trial.finish() is None


def test_what_has_no_checkpoints_is_there_whole_or_not_at_all(trained, tmp_path):
    chance = random.Random()  # other moments each time, on purpose
    for job in other_jobs(trained, tmp_path):
        if job.name == "export hf":
            continue
        reference = refer(job, tmp_path / "reference")
        for number in range(4):
            trial = Trial(job, reference, tmp_path / f"{job.name}-{number}")
            hit = draw(chance, reference, share_of_faults=0.5)
            _, wrong = trial.strike(hit)
            assert wrong is None, str(hit)
            assert trial.finish() is None, str(hit)


def test_a_difference_is_seen(job, reference, tmp_path):
    """The comparison can fail: of one bit of one weight, a record, and a file of the user's."""
    trial = Trial(job, reference, tmp_path / "trial")
    assert trial.finish() is None
    name = next(name for name in reference.picture if name.startswith("best/"))
    kept = reference.picture[name]
    reference.picture[name] = kept[:-1] + bytes([kept[-1] ^ 1])
    assert name in trial.differs()
    reference.picture[name] = kept
    with open(trial.out / "metrics.jsonl", "a") as log:
        log.write('{"kind": "train", "step": 99, "loss": 1.0}\n')
    assert trial.differs() == "differs from the undisturbed run in 1 parts: log"
    (trial.out.parent / "mine.md").write_text("gone")
    assert trial.differs() == "a file of the user's has changed"


def test_what_is_complete_is_not_started_again(trained, tmp_path):
    """Killed at its very last operation, an export is there: to write it once more is refused."""
    job = next(job for job in other_jobs(trained, tmp_path) if job.name == "export int8")
    reference = refer(job, tmp_path / "reference")
    last = len(reference.done)
    assert reference.done[-1].startswith("unlink .run.llmcourse-lock")

    class Last(random.Random):
        """Aims at the last operation, and would go on for ever."""

        def choice(self, of):
            return "anywhere" if "anywhere" in of else last if last in of else of[0]

        def random(self):
            return 1.0

    counts = torture.Counts()
    torture.try_once(job, reference, tmp_path / "trial", Last(), counts, 0.0)
    assert counts.failures == []
    assert counts.kills == {"export int8": 1}


def test_the_campaign_keeps_what_it_did(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = ["--seed", "3", "--kills", "2", "--only", "prepare", "--faults", "0.2"]
    assert main([*given, "--minutes", "2", "--out", str(tmp_path)]) == 0
    (path,) = tmp_path.glob("torture-20*.json")
    kept = json.loads(path.read_text())
    assert kept["settings"]["seed"] == 3
    assert kept["results"]["kills_by_job"] == {"prepare": kept["results"]["kills"]}
    assert kept["results"]["kills"] >= 2
    assert kept["results"]["failures"] == []
    assert str(tmp_path) not in json.dumps(kept["results"])
    assert capsys.readouterr().out.startswith("seed 3\n")


def test_what_goes_wrong_is_a_failure_of_the_campaign(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Trial, "differs", lambda _: "differs")
    given = ["--kills", "1", "--only", "prepare", "--minutes", "2", "--out", str(tmp_path)]
    assert main(given) == 1
    (path,) = tmp_path.glob("torture-20*.json")
    (failure, *_) = json.loads(path.read_text())["results"]["failures"]
    assert (failure["job"], failure["wrong"]) == ("prepare", "differs")


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


def test_kills_are_aimed_at_what_they_say(reference):
    chance = random.Random(0)
    hits = [draw(chance, reference, 0.3) for _ in range(300)]
    assert {hit.place for hit in hits} == set(torture.PLACES)
    assert {hit.kind for hit in hits} == {"killed", *torture.FAULTS}
    for hit in hits:
        done = reference.done[hit.at - 1]
        assert hit.place != "checkpoint" or "checkpoints" in done
        assert hit.place != "report" or "report" in done
