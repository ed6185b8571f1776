"""What a model writes steers no terminal, and reaches a file or another program as it is."""

import contextlib
import io
import json
import os
import select
import sys
import tty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import visible, visible_lines
from llmcourse.evaluate.intervals import Interval
from llmcourse.finetune.__main__ import main as finetune
from llmcourse.generate.__main__ import main as generate
from llmcourse.plain import json_line
from llmcourse.suites import command
from llmcourse.suites.base import Figure
from llmcourse.train.__main__ import _conclude
from llmcourse.train.loop import Result

NASTY = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\b\b\bd\re\u202ef\x7fg\th\n\u2066i"
SHOWN = r"a\x1b[2J\x1b]0;title\x07b\x9b31mc\x08\x08\x08d\re\u202ef\x7fg" + "\th\n" + r"\u2066i"
STEERING = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u202e\u2066"} - {*"\n\t"}


@pytest.fixture
def stdout_is(monkeypatch):
    """Let stdout be a `terminal`, or a `pipe`; returns what tells the text that arrived there.

    Called within the test: between a fixture and its test, pytest puts its own stdout back.
    """
    with contextlib.ExitStack() as opened:

        def stdout_is(where):
            if where == "pipe":
                stdout = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True)
                monkeypatch.setattr(sys, "stdout", stdout)
                return lambda: stdout.buffer.getvalue().decode()
            ours, theirs = os.openpty()
            opened.callback(os.close, ours)
            tty.setraw(theirs)  # else the system itself turns a newline into two characters
            stdout = opened.enter_context(open(theirs, "w", encoding="utf-8", newline=""))
            monkeypatch.setattr(sys, "stdout", stdout)
            return lambda: received(ours)

        yield stdout_is


def received(descriptor):
    """What has arrived at the other end of a terminal."""
    sys.stdout.flush()
    found = b""
    while select.select([descriptor], [], [], 0)[0]:
        found += os.read(descriptor, 4096)
    return found.decode()


each_stdout = pytest.mark.parametrize(
    ("where", "expected"), [("terminal", SHOWN), ("pipe", NASTY)], ids=["terminal", "pipe"]
)


def pattern_for(text):
    """The regular expression that this text alone matches."""
    return "".join(f"[{char}]" if char in ".*+?()|" else f"\\{char}" if char in "[]" else char
                   for char in text)  # fmt: skip


@each_stdout
def test_generated_text(where, expected, writer, stdout_is):
    """The pattern leaves the model no choice, but the writing is real."""
    shown = stdout_is(where)
    arguments = ["--regex", pattern_for(NASTY), "--max-new-tokens", "200"]
    assert generate([str(writer), *arguments]) == 0
    assert shown() == expected + "\n"


@each_stdout
def test_an_answer_in_a_chat(where, expected, writer, stdout_is, monkeypatch):
    monkeypatch.setattr("llmcourse.generate.__main__.chat", lambda options, lines: iter([NASTY]))
    shown = stdout_is(where)
    assert generate([str(writer), "--chat", "--prompt", "hello"]) == 0
    assert shown() == expected


@each_stdout
def test_the_sample_at_the_end_of_training(where, expected, trained, stdout_is):
    shown = stdout_is(where)
    _conclude(
        Result(run=trained, steps=2, seconds=1.0, sample=NASTY, writes=True, score=None,
               uniform=8.0, unigram=4.0, entropy=None, stopped_by=None)
    )  # fmt: skip
    assert shown() == f"\n{expected}\n\n"


@pytest.mark.parametrize("where", ["terminal", "pipe"])
def test_predictions_are_json_of_one_line(where, stdout_is, monkeypatch):
    said = {"text": f"café 猫 {NASTY}", NASTY: [0.5]}
    monkeypatch.setattr("llmcourse.finetune.predict.use", lambda run, lines: iter([said]))
    shown = stdout_is(where)
    assert finetune(["predict", "run", "a text"]) == 0
    line = shown()
    assert not (STEERING | {"\t"}) & set(line)
    assert "café 猫" in line
    assert line.count("\n") == 1
    assert json.loads(line) == said


def test_names_in_the_table_of_an_evaluation(tmp_path, stdout_is, monkeypatch):
    figure = Figure(name=NASTY, interval=Interval(0.5, 0.4, 0.6), n=3, baselines={NASTY: 0.3})
    monkeypatch.setattr(command, "measure", lambda options: ({"labels": [figure]}, None))
    shown = stdout_is("terminal")
    assert command.run_command("about", [str(tmp_path)]) == 0
    assert not STEERING & set(shown())


@given(st.text())
def test_lines_and_letters_stay(text):
    shown = visible_lines(text)
    assert not STEERING & set(shown)
    assert [visible(part) for part in text.replace("\t", "\n").split("\n")] == (
        shown.replace("\t", "\n").split("\n")
    )


@given(st.dictionaries(st.text(), st.text()))
def test_a_line_of_json_means_what_it_meant(value):
    assert json.loads(json_line(value)) == value
