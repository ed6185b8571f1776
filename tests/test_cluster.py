"""The files for clusters: run here with the cluster's own commands replaced by one machine's."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from small_runs import log_of

ROOT = Path(__file__).resolve().parent.parent
SLURM = ROOT / "docs" / "cluster" / "train.slurm"
SKY = ROOT / "docs" / "cluster" / "train.sky.yaml"
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
