import errno
import json
import os
import subprocess
import sys

import pytest

from llmcourse import learner, progress
from llmcourse.errors import UserError

EXERCISES = {"00": ["count_pairs", "guess"], "03": ["scores", "mask", "heads"]}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_nothing_recorded_is_an_empty_record():
    assert learner.load() == {}
    assert progress.table({}, EXERCISES) == (
        "chapter  exercises  tried  open  questions\n"
        "00       0 of 2     0      2     -\n"
        "03       0 of 3     0      3     -"
    )
    assert "chapters/00_welcome.ipynb" in progress.next_step({}, EXERCISES)


def test_attempts_add_up_and_passed_stays_passed():
    for passed in (False, True, False):
        learner.record_exercise("03", "mask", passed)
    learner.record_exercise("03", "scores", False)
    learner.record_question("03", "abc", True)
    learner.record_question("01", "def", False)
    record = learner.load()
    assert record["03"]["exercises"]["mask"] == {"right": True, "tries": 3}
    assert progress.table(record, EXERCISES).splitlines()[1:] == [
        "00       0 of 2     0      2     -",
        "01       0 of 0     0      0     0 of 1",
        "03       1 of 3     1      1     1 of 1",
    ]


def test_the_next_step_is_what_was_begun_then_what_is_open():
    learner.record_exercise("00", "guess", False)
    step = progress.next_step(learner.load(), EXERCISES)
    assert step == "You have begun guess, in the exercises of chapter 00."
    learner.record_exercise("00", "guess", True)
    step = progress.next_step(learner.load(), EXERCISES)
    assert step == "Next is count_pairs, in the exercises of chapter 00."
    learner.record_exercise("03", "mask", False)
    step = progress.next_step(learner.load(), EXERCISES)
    assert step == "You have begun mask, in the exercises of chapter 03."
    for chapter, names in EXERCISES.items():
        for name in names:
            learner.record_exercise(chapter, name, True)
    assert progress.next_step(learner.load(), EXERCISES).startswith("Every exercise passed")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 2, "chapters": {}}',
        b'{"version": 1}',
        b'{"version": 1, "chapters": {"00": 3}}',
        b'{"version": 1, "chapters": {"00": {"exercises": {"guess": {"right": "yes"}}}}}',
        b'{"version": 1, "chapters": {"00": {"exercises": {"guess": true}}}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(home, content):
    home.mkdir()
    (home / "progress.json").write_bytes(content)
    with pytest.raises(UserError, match=r"damaged; it is kept as progress.damaged-1.json"):
        learner.load()
    assert (home / "progress.damaged-1.json").read_bytes() == content
    assert learner.load() == {}
    (home / "progress.json").write_bytes(content)
    learner.record_exercise("00", "guess", True)
    assert (home / "progress.damaged-2.json").read_bytes() == content
    assert learner.load()["00"]["exercises"]["guess"]["right"]


def test_what_cannot_be_read_is_left_alone(home, monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    learner.record_exercise("00", "guess", True)
    before = (home / "progress.json").read_text()
    with monkeypatch.context() as patch:
        patch.setattr(learner.Path, "read_bytes", refuse)
        with pytest.raises(UserError, match=r"cannot read .* Permission denied"):
            learner.load()
        learner.record_exercise("03", "mask", False)
    assert (home / "progress.json").read_text() == before


def test_recording_never_raises(home, monkeypatch):
    home.write_text("a file where the folder should be")
    learner.record_exercise("00", "guess", True)
    assert home.read_text() == "a file where the folder should be"
    monkeypatch.delenv("LLMCOURSE_HOME")
    monkeypatch.setattr(learner.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("none")))
    learner.record_exercise("00", "guess", True)


def test_the_file_is_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("LLMCOURSE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert learner.path() == tmp_path / ".llmcourse" / "progress.json"
    monkeypatch.setenv("LLMCOURSE_HOME", "")
    assert learner.path() == tmp_path / ".llmcourse" / "progress.json"


def run_progress(*arguments):
    command = [sys.executable, "-m", "llmcourse.progress", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)


def test_the_command(home):
    done = run_progress()
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("chapter  exercises  tried  open  questions\n")
    assert "Nothing recorded yet" in done.stdout
    home.mkdir()
    (home / "progress.json").write_text(json.dumps({"version": 1}))
    damaged = run_progress()
    assert damaged.returncode == 2
    assert damaged.stderr.startswith("error: ")
    assert damaged.stderr.count("\n") == 1
    assert run_progress("--nonsense").returncode == 2
