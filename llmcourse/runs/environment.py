"""What a run ran on, and the command that started it: what someone needs to repeat it.

Not here: the settings (`train/settings.py`), and where all this is written (`directory.py`).
Chapter 08 says why a number without its machine is half a number.
"""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import llmcourse

PACKAGE = Path(llmcourse.__file__).parent


def describe_environment() -> dict[str, Any]:
    """Versions, machine, commit, command and the time of day (UTC), as plain JSON values.

    What cannot be found out is None: no run fails for want of a label.
    """
    cuda = torch.cuda.is_available()
    commit, dirty = git_commit()
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command(sys.orig_argv, sys.argv, os.environ)),
        "llmcourse": llmcourse.__version__,
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if cuda else None,
        "gpus": torch.cuda.device_count(),
        "cuda": torch.version.cuda if cuda else None,
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
    }


def command(
    full: Sequence[str], arguments: Sequence[str], variables: Mapping[str, str]
) -> list[str]:
    """What to type to start this process again.

    Args:
        full: `sys.orig_argv`, with the interpreter's own options.
        arguments: `sys.argv`, with the program's alone.
        variables: the environment, which says whether `torchrun` started the process.
    """
    own = list(arguments[1:])
    launcher = list(full[1 : len(full) - len(own)])
    if "TORCHELASTIC_RUN_ID" not in variables:
        return ["python", *launcher, *own]
    local, world = variables.get("LOCAL_WORLD_SIZE", "1"), variables.get("WORLD_SIZE", "1")
    nodes = int(world) // int(local)
    several = ["--nnodes", str(nodes)] if nodes > 1 else []
    launcher = [part for part in launcher if part != "-u"]  # torchrun's own doing
    return ["torchrun", *several, "--nproc-per-node", local, *launcher, *own]


def cpu_model() -> str | None:
    """The processor's name as its maker writes it, or None where the system does not say."""
    try:
        if sys.platform == "darwin":
            return _output("sysctl", "-n", "machdep.cpu.brand_string") or None
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return platform.processor() or None


def git_commit() -> tuple[str | None, bool | None]:
    """The commit of the checkout that this package runs from, and whether tracked files differ.

    (None, None) where the package is installed, not checked out, or where git cannot tell.
    """
    git = ("git", "--no-optional-locks", "-C", str(PACKAGE))
    try:
        # A package installed below somebody's own repository is not that repository's.
        _output(*git, "ls-files", "--error-unmatch", "__init__.py")
        commit = _output(*git, "rev-parse", "HEAD")
        changes = _output(*git, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return commit, bool(changes)


def _output(*arguments: str) -> str:
    """What a command prints; an error where it fails or takes more than ten seconds."""
    # A hook's GIT_DIR would point git to another repository.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=True, timeout=10, env=variables
    )
    return done.stdout.strip()
