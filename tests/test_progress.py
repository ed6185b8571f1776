import errno
import json
import os
import subprocess
import sys

import pytest

from llmcourse import learner, progress, quiz, syllabus
from llmcourse.errors import UserError
from llmcourse.syllabus import Exercise

EXERCISES = {
    "00": (Exercise(1, "Count pairs", 5, ("count_pairs",)), Exercise(2, "Guess", 4, ("guess",))),
    "03": (
        Exercise(1, "Scores <and> masks", 70, ("scores", "mask")),
        Exercise(2, "Heads", 8, ("heads",)),
    ),
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def _small(monkeypatch):
    """A course of two chapters; the questions are the real ones."""
    monkeypatch.setattr(syllabus, "exercises", lambda: EXERCISES)


def n_questions(chapter):
    return len(quiz.questions_of(chapter))


def test_every_check_belongs_to_one_exercise():
    from llmcourse.checks.catalog import all_checks

    listed = [
        (chapter, check)
        for chapter, every in syllabus.exercises().items()
        for one in every
        for check in one.checks
    ]
    assert sorted(listed) == sorted((check.chapter, check.name) for check in all_checks())
    assert all(one.minutes > 0 for every in syllabus.exercises().values() for one in every)


@pytest.mark.usefixtures("_small")
def test_nothing_recorded_is_an_empty_record():
    assert learner.load() == {}
    shown = progress.show()
    assert shown.lines() == [
        ("chapter", "exercises", "begun", "questions", "minutes left"),
        ("00 Welcome", "0 of 2", "-", f"0 of {n_questions('00')}", str(9 + n_questions("00"))),
        ("03 Attention", "0 of 2", "-", f"0 of {n_questions('03')}", str(78 + n_questions("03"))),
    ]
    assert shown.next_step().startswith("Nothing recorded yet")
    assert "0 of 4 exercises" in shown.summary()


@pytest.mark.usefixtures("_small")
def test_attempts_add_up_and_passed_stays_passed():
    for passed in (False, True, False):
        learner.record_exercise("03", "heads", passed)
    learner.record_exercise("03", "scores", True)
    first, second = quiz.questions_of("03")[:2]
    learner.record_question("03", first.name, True)
    learner.record_question("03", second.name, False)
    learner.record_question("03", "a question of long ago", True)
    record = learner.load()
    assert record["03"]["exercises"]["heads"] == {"right": True, "tries": 3}
    row = progress.row_of(syllabus.CHAPTERS[3], record)
    assert (row.passed, row.tried, row.right) == (1, 1, 1)
    assert row.minutes_left == 70 + n_questions("03") - 1
    learner.record_exercise("03", "mask", True)
    for question in quiz.questions_of("03"):
        learner.record_question("03", question.name, True)
    assert progress.show().lines()[2][1:] == ("2 of 2", "-", f"{row.asked} of {row.asked}", "✓")
    assert progress.show("03").summary().endswith("Done!")


@pytest.mark.usefixtures("_small")
def test_the_next_step_is_what_was_begun_then_what_is_open():
    learner.record_exercise("00", "guess", False)
    step = progress.show().next_step()
    assert step == "You have begun exercise 2 of chapter 00, 'Guess': about 4 minutes."
    learner.record_exercise("00", "guess", True)
    step = progress.show().next_step()
    assert step == "Next is exercise 1 of chapter 00, 'Count pairs': about 5 minutes."
    assert "exercise 1 of chapter 03" in progress.show("03").next_step()
    learner.record_exercise("03", "mask", True)
    step = progress.show().next_step()
    assert step == (
        "You have begun exercise 1 of chapter 03, 'Scores <and> masks': about 1 hour 10 minutes."
    )
    for chapter, every in EXERCISES.items():
        for one in every:
            for check in one.checks:
                learner.record_exercise(chapter, check, True)
    assert progress.show().next_step().startswith("Every exercise passed")


@pytest.mark.usefixtures("_small")
def test_one_chapter_is_shown_exercise_by_exercise():
    learner.record_exercise("03", "mask", True)
    shown = progress.show("03")
    assert shown.lines()[1:] == [
        ("1", "Scores <and> masks", "70", "… begun"),
        ("2", "Heads", "8", "· open"),
    ]
    assert repr(shown).splitlines()[1] == "1  Scores <and> masks  70       … begun"
    with pytest.raises(UserError, match=r"no chapter '3' with exercises; did you mean '0[03]'"):
        progress.show("3")


@pytest.mark.usefixtures("_small")
def test_a_notebook_shows_links_and_no_markup_of_a_title():
    page = progress.show("03")._repr_html_()
    assert '<a href="../exercises/03_attention.ipynb">Scores &lt;and&gt; masks</a>' in page
    assert '<a href="../exercises/00_welcome.ipynb">00 Welcome</a>' in progress.show()._repr_html_()


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0, "0 minutes"),
        (1, "1 minute"),
        (59, "59 minutes"),
        (60, "1 hour"),
        (141, "2 hours 21 minutes"),
    ],
)
def test_durations_are_said_in_words(minutes, words):
    assert progress.duration(minutes) == words


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
    assert "03 Attention" in done.stdout
    assert "questions" in done.stdout
    assert "Many heads" in run_progress("03").stdout
    assert "Nothing recorded yet" in done.stdout
    home.mkdir()
    (home / "progress.json").write_text(json.dumps({"version": 1}))
    damaged = run_progress()
    assert damaged.returncode == 2
    assert damaged.stderr.startswith("error: ")
    assert damaged.stderr.count("\n") == 1
    assert run_progress("--nonsense").returncode == 2
    unknown = run_progress("99")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: no chapter '99'")


def test_progress_needs_no_torch():
    script = "import sys, llmcourse.progress as p; p.show(); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
