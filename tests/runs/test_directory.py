import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmcourse.errors import UserError
from llmcourse.files import atomic_directory
from llmcourse.runs.directory import RunDirectory, read_object


@pytest.fixture
def run(tmp_path: Path):
    with RunDirectory.create(tmp_path / "run", resume=False) as run:
        yield run


# --- the folder


def test_a_new_run_gets_its_folders(tmp_path: Path):
    with RunDirectory.create(tmp_path / "runs" / "first", resume=False) as run:
        assert run.path == tmp_path / "runs" / "first"
        assert run.checkpoints.is_dir()
        assert run.data.is_dir()
        assert not run.holds_a_run


def test_the_names_of_a_run_directory(tmp_path: Path):
    run = RunDirectory(tmp_path)
    paths = [run.config, run.environment, run.metrics, run.samples, run.report]
    folders = [run.model, run.checkpoints, run.tensorboard, run.data]
    assert [path.name for path in paths + folders] == [
        *("config.json", "environment.json", "metrics.jsonl", "samples.md", "report.html"),
        *("model", "checkpoints", "tensorboard", "data"),
    ]
    assert all(path.parent == tmp_path for path in paths + folders)


def test_a_run_is_not_overwritten(run: RunDirectory):
    run.write_config({})
    run.close()
    with pytest.raises(UserError, match=r"holds a run already: add --resume .* another --out"):
        RunDirectory.create(run.path, resume=False)
    RunDirectory.create(run.path, resume=True).close()


def test_what_is_refused_stays_unlocked(run: RunDirectory):
    run.write_config({})
    run.close()
    for _ in range(2):
        with pytest.raises(UserError, match="holds a run already"):
            RunDirectory.create(run.path, resume=False)


@pytest.mark.parametrize("exists", [False, True])
def test_there_must_be_a_run_to_resume(tmp_path: Path, exists: bool):
    path = tmp_path / "run"
    if exists:
        path.mkdir()
    with pytest.raises(UserError, match="no run to resume"):
        RunDirectory.create(path, resume=True)
    assert path.exists() == exists, "looking for a run left something behind"


def test_a_run_that_died_before_its_config_is_begun_anew(tmp_path: Path):
    RunDirectory.create(tmp_path / "run", resume=False).close()
    RunDirectory.create(tmp_path / "run", resume=False).close()


def test_a_file_is_no_place_for_a_run(tmp_path: Path):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match=r"is a file.*choose another --out"):
        RunDirectory.create(tmp_path / "run", resume=False)


HOLD = """
import sys
from llmcourse.runs.directory import RunDirectory
run = RunDirectory.create(sys.argv[1], resume=False)
run.write_config({})
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_run_in_use_is_refused_until_its_process_is_killed(tmp_path: Path):
    path = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"ready"
        for resume in (True, False):
            with pytest.raises(UserError, match=f"in use by process {holder.pid}:"):
                RunDirectory.create(path, resume=resume)
        holder.kill()
    RunDirectory.create(path, resume=True).close()


def test_what_a_killed_run_left_half_done_is_finished_or_removed(run: RunDirectory):
    run.write_config({})
    (run.path / ".config.json.0badf00d.tmp").touch()
    (run.checkpoints / ".step-00000002.0badf00d.tmp").mkdir()
    (run.data / ".train.bin.0badf00d.tmp").touch()
    with atomic_directory(run.path / ".model.new") as folder:
        (folder / "config.json").touch()
    run.close()
    RunDirectory.create(run.path, resume=True).close()
    left = {str(path.relative_to(run.path)) for path in run.path.rglob("*")}
    assert left == {"config.json", ".lock", "checkpoints", "data", "model", "model/config.json"}


# --- config and environment


def test_the_config_is_json_and_marks_the_folder(run: RunDirectory):
    run.write_config({"steps": 3, "model": {"d_model": 8, "n_kv_heads": None}})
    assert json.loads(run.config.read_text()) == {
        "steps": 3,
        "model": {"d_model": 8, "n_kv_heads": None},
    }
    assert run.holds_a_run


def test_the_environment_keeps_the_first_start_and_adds_the_others(run: RunDirectory, monkeypatch):
    starts = iter([{"started": "one"}, {"started": "two"}, {"started": "three"}])
    monkeypatch.setattr("llmcourse.runs.environment.describe_environment", lambda: next(starts))
    for _ in range(3):
        run.write_environment()
    assert read_object(run.environment) == {
        "started": "one",
        "resumed": [{"started": "two"}, {"started": "three"}],
    }


def test_an_object_that_cannot_be_read_is_empty(tmp_path: Path):
    assert read_object(tmp_path / "nowhere") == {}
    for content in (b"", b"{", b"[1]", b"\xff\xfe"):
        (tmp_path / "file").write_bytes(content)
        assert read_object(tmp_path / "file") == {}


def test_the_folder_needs_no_torch():
    code = "import sys, llmcourse.runs.directory; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
