"""Answers that do what no answer should: the check says so, and leaves everything usable."""

import ctypes
import math
import os
import sys
import time

import psutil
import pytest
import torch

from llmcourse.checks import patches, probe, sandbox
from llmcourse.checks.harness import case, exercise

SECONDS = 0.3
linux = pytest.mark.skipif(sys.platform != "linux", reason="a process is copied on Linux alone")


@pytest.fixture
def check():
    @exercise("00", seconds=SECONDS)
    def root(x):
        return x**0.5

    @root.cases
    def _():
        yield case("four", 4.0)
        yield case("nine", 9.0)

    return root


def swallows(x):
    while True:
        try:
            while True:
                x += 1
        except BaseException:
            pass


def swallows_and_goes_on(x):
    while True:
        try:
            sum(range(1000))
        except:  # noqa: E722 - what learners write
            continue


def computes_in_c(x):
    return sum(range(10**12))


@pytest.mark.parametrize("answer", [swallows, swallows_and_goes_on])
def test_a_loop_that_swallows_every_alarm_is_ended(answer):
    outcome = sandbox.run(lambda: answer(4.0), answer, SECONDS)
    assert outcome.timed_out
    assert outcome.line.startswith("line ")
    assert sys.gettrace() is None or sys.gettrace().__module__ != sandbox.__name__


@linux
@pytest.mark.parametrize("answer", [swallows, computes_in_c])
def test_what_never_looks_up_is_ended_in_a_copy(check, answer):
    text = check.verdict(answer).text
    assert f"In the case 'four' it was still running after {SECONDS:g} s" in text


@linux
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: os._exit(3), "it ended Python itself"),
        (lambda x: ctypes.string_at(0), "it made Python itself crash (SIGSEGV)"),
        (lambda x: x**0.5 if x < 5 else os.abort(), "it made Python itself crash (SIGABRT)"),
    ],
)
def test_what_ends_python_ends_a_copy(check, answer, said):
    text = check.verdict(answer).text
    assert said in text
    assert check.verdict(check.right).status == "passed"


@linux
def test_who_asks_for_too_much_memory_is_refused(check):
    assert "MemoryError" in check.verdict(lambda x: [bytes(2**33) for _ in range(2**10)]).text


def test_a_busy_machine_makes_nobody_late():
    """What counts is the processor's time: only who waits for ten times as long is late."""
    assert sandbox.run(lambda: time.sleep(2 * SECONDS), None, SECONDS).error == ""
    assert not sandbox.run(lambda: time.sleep(2 * SECONDS), None, SECONDS).timed_out
    assert sandbox.run(lambda: time.sleep(1000), None, 0.1).timed_out


@linux
def test_a_copy_that_waits_for_ever_proves_nothing():
    calls = [lambda: sandbox.Outcome(value=time.sleep(1000))]
    assert probe.rehearse(calls, 0.1) is None


def test_a_copy_leaves_no_process_behind(check):
    before = psutil.Process().children()
    check.verdict(check.right)
    assert psutil.Process().children() == before


@linux
def test_where_no_process_can_be_copied_an_answer_is_judged_all_the_same(check, monkeypatch):
    def full():
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", full)
    before = len(os.listdir("/proc/self/fd"))
    assert check.verdict(check.right).status == "passed"
    assert check.verdict(lambda x: x).status == "wrong"
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_an_answer_empties_is_whole_for_the_next_one():
    table = {"a": 1, "b": 2}

    @exercise("00")
    def total(numbers):
        return sum(numbers.values())

    @total.cases
    def _():
        yield case("both", table)

    def empties(numbers):
        found = sum(numbers.values())
        numbers.clear()
        return found

    for trial in total.trials():
        empties(*trial.args)
    assert table == {"a": 1, "b": 2}
    assert total.verdict(total.right).status == "passed"


def test_a_replaced_function_is_named_and_put_back(check):
    root, log, gelu = math.sqrt, torch.Tensor.log, torch.nn.functional.gelu

    def replaces(x):
        math.sqrt = torch.Tensor.log = torch.nn.functional.gelu = lambda *_: x**0.5
        torch.Tensor.mine = 3
        return x**0.5

    text = check.verdict(replaces).text
    assert "it replaced math.sqrt and torch.nn.functional.gelu and torch.Tensor.log" in text
    assert (math.sqrt, torch.Tensor.log, torch.nn.functional.gelu) == (root, log, gelu)
    assert not hasattr(torch.Tensor, "mine")


def test_what_a_notebook_replaced_before_counts_for_no_truth(check, monkeypatch):
    monkeypatch.setattr(math, "sqrt", lambda _: 7.0)
    with patches.unpatched() as found:
        assert math.sqrt(4) == 2
    assert found == []
    assert math.sqrt(4) == 7


def test_a_flood_is_cut(check, capsys):
    def prints(x):
        print("x" * 10_000)
        print("problem", file=sys.stderr)
        return x**0.5

    assert check.verdict(prints).status == "passed"
    shown = capsys.readouterr()
    assert len(shown.out) < sandbox.PRINTED + 100
    assert "and 18,002 more characters that your code printed" in shown.out
    assert shown.err == "problem\nproblem\n"
