"""The files for clusters: run here with the cluster's own commands replaced by one machine's."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_runs import log_of

from llmcourse.data.prepared import tokens_path
from llmcourse.prepare.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
SLURM = ROOT / "docs" / "cluster" / "train.slurm"
SKY = ROOT / "docs" / "cluster" / "train.sky.yaml"
TROVE = ROOT / "docs" / "cluster" / "prepare_datatrove.py"
LAUNCH = "datatrove.tools.launch_pickled_pipeline"
OPTIONS = (
    "--preset tiny --steps 4 --save-every 2 --sample-tokens 0 --no-tensorboard --device cpu "
    "--data.max-megabytes 0.1 --data.vocab-size 300 --data.held-out 0.2 --parallel fsdp"
)


@pytest.fixture
def machine(tmp_path):
    """An environment with the commands that a cluster has, of one machine with two processors."""
    commands = {
        "srun": 'shift; exec "$@"',
        "scontrol": "echo localhost; echo another",
        "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
    }
    place = tmp_path / "bin"
    place.mkdir()
    for name, line in commands.items():
        (place / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
        (place / name).chmod(stat.S_IRWXU)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "RUN": str(tmp_path / "run")}


def bash(arguments: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", *arguments], env=environment, capture_output=True, text=True, timeout=200, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def last_step(out: str) -> int:
    return log_of(Path(out))[-1]["step"]


@pytest.mark.slow
def test_the_slurm_script_trains_and_goes_on_when_it_is_queued_again(machine):
    machine |= {
        "SLURM_JOB_NAME": "llmcourse",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_JOB_NUM_NODES": "1",
        "SLURM_GPUS_ON_NODE": "2",
    }
    asked = OPTIONS.split()
    bash([str(SLURM), *asked], machine)
    assert last_step(machine["RUN"]) == 4
    bash([str(SLURM), *asked], machine)  # would be refused if it began anew in the same folder
    assert last_step(machine["RUN"]) == 4


@pytest.mark.slow
def test_the_sky_file_trains(machine):
    task = yaml.safe_load(SKY.read_text("utf-8"))
    assert task.keys() <= {
        *("name", "num_nodes", "resources", "workdir", "file_mounts", "envs", "setup", "run")
    }
    assert set(task["envs"]) == {"RUN", "OPTIONS"}
    machine |= {
        "SKYPILOT_NODE_IPS": "127.0.0.1",
        "SKYPILOT_NUM_NODES": "1",
        "SKYPILOT_NUM_GPUS_PER_NODE": "2",
        "SKYPILOT_TASK_ID": "sky-1",
        "OPTIONS": OPTIONS,
    }
    bash(["-c", "set -eu\n" + task["run"]], machine)
    assert last_step(machine["RUN"]) == 4


@pytest.mark.slow
def test_the_script_for_datatrove_prepares_by_slurm(machine, tmp_path):
    """Slurm's queue is a command that runs each task of the job at once, and says its number."""
    queue = """
import os, re, subprocess, sys
job = open(sys.argv[-1]).read()
for rank in range(int(re.search(r"--array=0-(\\d+)", job)[1]) + 1):
    os.environ |= {"SLURM_ARRAY_TASK_ID": str(rank), "SLURM_NODELIST": "localhost"}
    subprocess.run(["bash", sys.argv[-1]], check=True, stdout=sys.stderr)
open("queued", "a").write(" ".join(re.findall(r"job-name=(\\S+)", job) + sys.argv[1:-1]) + "\\n")
print("Submitted batch job", len(open("queued").readlines()))
"""
    place = Path(machine["PATH"].split(os.pathsep)[0])
    for name, line in {
        "sbatch": f'exec {sys.executable} {place / "queue.py"} "$@"',
        "srun": 'while [ "$1" != launch_pickled_pipeline ]; do shift; done; exec "$@"',
        "launch_pickled_pipeline": f'exec {sys.executable} -m {LAUNCH} "$@"',
        "merge_stats": "exit 0",
    }.items():
        (place / name).write_text(f"#!/usr/bin/env bash\n{line}\n")
        (place / name).chmod(stat.S_IRWXU)
    (place / "queue.py").write_text(queue)
    source, first, out = (tmp_path / name for name in ("t.jsonl", "first", "out"))
    source.write_text("".join(f'{{"text": "{tale(n)}"}}\n' for n in range(60)))
    common = [str(source), "--no-filter", "--held-out", "0.2"]
    assert main([*common, "--out", str(first), "--vocab-size", "300"]) == 0
    shared = ["--work", str(tmp_path / "work"), "--tasks", "1", "--on", "slurm"]
    command = [sys.executable, str(TROVE), *common, *shared, "--out", str(out)]
    done = subprocess.run(
        [*command, "--tokenizer", str(first)],
        env=machine | {"PYTHONPATH": os.environ.get("PYTHONPATH", "") or str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for split in ("train", "valid"):
        assert tokens_path(out, split).read_bytes() == tokens_path(first, split).read_bytes()
    queued = [line.split() for line in (tmp_path / "queued").read_text().splitlines()]
    jobs = [line for line in queued if len(line) > 1]  # the others merge statistics
    assert [line[0] for line in jobs] == [
        f"prepare-{name}" for name in ("clean", "find", "settle", "tokens", "together")
    ]
    numbers = [str(queued.index(line) + 1) for line in jobs]
    after = [line[-1].partition("afterok:")[2] for line in jobs]
    assert after == ["", *numbers[:-1]]  # each waits for the one before it


def tale(n: int) -> str:
    return " ".join(str(n * k % 997) for k in range(1, 40))
