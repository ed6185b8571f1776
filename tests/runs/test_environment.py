import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from llmcourse.runs import environment
from llmcourse.runs.environment import command, cpu_model, describe_environment, git_commit


def test_everything_that_repeats_a_run_is_said():
    said = describe_environment()
    assert json.loads(json.dumps(said)) == said
    assert said["torch"] == torch.__version__
    assert said["python"].split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert said["threads"] == torch.get_num_threads()
    assert said["processes"] == 1
    assert said["started"].endswith("+00:00")
    if not torch.cuda.is_available():
        assert said["gpu"] is None


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="needs Linux's /proc")
def test_the_processor_is_named():
    name = cpu_model()
    assert name is None or name.strip() == name != ""


def test_what_to_type_again():
    full = ["/usr/bin/python3", "-m", "llmcourse.train", "--steps", "3"]
    arguments = ["/x/llmcourse/train/__main__.py", "--steps", "3"]
    assert command(full, arguments, {}) == ["python", "-m", "llmcourse.train", "--steps", "3"]
    assert command(full[:3], arguments[:1], {}) == ["python", "-m", "llmcourse.train"]


@pytest.mark.parametrize(
    ("world", "local", "start"),
    [
        ("2", "2", ["torchrun", "--nproc-per-node", "2"]),
        ("16", "8", ["torchrun", "--nnodes", "2", "--nproc-per-node", "8"]),
    ],
)
def test_torchrun_is_part_of_the_command(world: str, local: str, start: list[str]):
    variables = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": local}
    full = ["/usr/bin/python3", "-u", "-m", "llmcourse.train", "--seed", "1"]
    assert command(full, ["main.py", "--seed", "1"], variables) == [
        *(*start, "-m", "llmcourse.train", "--seed", "1")
    ]


def git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *settings, "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch) -> Path:
    package = tmp_path / "somewhere" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(environment, "PACKAGE", package)
    return package


def test_no_checkout_has_no_commit(checkout: Path):
    assert git_commit() == (None, None)


def test_a_machine_without_git_has_no_commit(checkout: Path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_commit() == (None, None)


def test_a_checkout_has_a_commit_and_may_be_dirty(checkout: Path, monkeypatch):
    git(checkout, "init")
    git(checkout, "add", "__init__.py")
    git(checkout, "commit", "-m", "first")
    head = git(checkout, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", os.fspath(checkout / "nowhere"))  # as inside a hook
    (checkout / "untracked").touch()
    assert git_commit() == (head, False)
    (checkout / "__init__.py").write_text("changed")
    assert git_commit() == (head, True)


def test_a_package_below_somebody_elses_repository_is_not_theirs(checkout: Path):
    """As in a virtual environment that lies, ignored, in a project's folder."""
    git(checkout.parent, "init")
    git(checkout.parent, "commit", "--allow-empty", "-m", "theirs")
    assert git_commit() == (None, None)
