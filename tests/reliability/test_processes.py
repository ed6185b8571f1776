"""Ctrl-C at any time, streams that are closed, and processes whose parent is killed."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from small_runs import flags, small

COMMANDS = ["train", "prepare", "generate", "finetune", "evaluate", "export", "serve"]

LOADING = """
import os, runpy, signal, sys
command, module = sys.argv[1:3]
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
sys.argv = ["-m", *sys.argv[3:]]
runpy.run_module("llmcourse." + command, run_name="__main__", alter_sys=True)
"""
"""Runs a command as `python -m` does, and interrupts it when it imports a module."""


@pytest.mark.parametrize(
    ("command", "module"), [*((one, "tyro") for one in COMMANDS), ("train", "torch")]
)
def test_ctrl_c_while_modules_load(command, module, tmp_path):
    run = tmp_path / "run"
    arguments = {
        "train": ["--preset", "tiny", "--steps", "1", "--out", tmp_path / "out"],
        "prepare": ["tinytown", "--out", tmp_path / "out"],
        "finetune": ["--base", run, "--data", run],
        "export": [run, "--out", tmp_path / "out"],
    }.get(command, [run])
    line = [sys.executable, "-c", LOADING, command, module, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=100)
    assert done.returncode == 130, done.stderr
    assert done.stderr == "stopped: nothing had begun\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_closed_streams(closed, writer, tmp_path):
    code = "import sys; from llmcourse.generate.__main__ import main; sys.exit(main(sys.argv[1:]))"
    line = f'"{sys.executable}" -c "{code}" "{writer}" --max-new-tokens 2 --prompt hello {closed}'
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_full_device_as_output(writer):
    if not os.path.exists("/dev/full"):
        pytest.skip("needs Linux's /dev/full")
    line = [sys.executable, "-m", "llmcourse.generate", str(writer), "--max-new-tokens", "2"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=100)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: cannot write")


WORKER = """
import os, signal, sys, time
from llmcourse.train.distributed import end_with_parent
end_with_parent(every=0.05)
print(os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""
PARENT = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]]).wait()"


def test_a_process_ends_with_its_parent():
    line = [sys.executable, "-c", PARENT, WORKER]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        gone, _ = psutil.wait_procs([child], timeout=60)
    assert gone or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_workers_end_with_torchrun(tmp_path):
    out = tmp_path / "run"
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "llmcourse.train", *flags(small(out, steps=100_000, save_every=50))]  # fmt: skip
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as torchrun:
        while not (out / "checkpoints" / "step-00000050").is_dir():
            assert torchrun.poll() is None
            time.sleep(0.1)
        workers = psutil.Process(torchrun.pid).children(recursive=True)
        torchrun.kill()
        _gone, alive = psutil.wait_procs(workers, timeout=90)
    assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
    assert len(workers) >= 2
