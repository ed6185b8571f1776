"""Processes start, talk, return, and fail with a message that names who failed."""

import multiprocessing
import os
import sys
import time

import pytest
import torch
from rank_jobs import world as jobs

from llmcourse.errors import UserError
from llmcourse.parallel import world
from llmcourse.parallel.world import RankFailed, Traffic, run_world


def test_results_come_back_by_rank():
    assert run_world(3, jobs.greet, "hello") == [(rank, 3, "hello") for rank in range(3)]


@pytest.mark.parametrize("n", [1, 3])
def test_messages_arrive_whole_and_are_counted(n):
    length = 1_000_003
    for rank, result in enumerate(run_world(n, jobs.ring, length)):
        for dtype, got in result["got"].items():
            expected = (torch.arange(length) % 7 * ((rank - 1) % n)).to(dtype)
            assert torch.equal(got, expected), dtype
        if n > 1:  # four dtypes of 4, 2, 8 and 1 bytes, an empty message; rank 0 sends one more
            first = Traffic(1, 24) if rank == 0 else Traffic()
            assert result["sent"] - first == Traffic(5, 15 * length)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "rank 1 of 3 failed: ValueError: no such luck"),
        ("exit", r"rank 1 of 3 died \(exit code 3\)"),
        ("kill", r"rank 1 of 3 died \(signal 9\)"),
    ],
)
def test_a_failure_names_the_rank_and_ends_the_world(how, message):
    before = set(multiprocessing.active_children())
    with pytest.raises(RankFailed, match=message) as caught:
        run_world(3, jobs.fail, 1, how)
    if how == "raise":  # the rank's own traceback comes along
        assert "rank_jobs/world.py" in "".join(caught.value.__notes__)
    assert set(multiprocessing.active_children()) <= before


def test_a_rank_that_complains_of_a_dead_one_is_not_to_blame():
    """The survivor's complaint may come in first."""
    context = multiprocessing.get_context("spawn")
    survivor = context.Process(target=time.sleep, args=(60,))
    dead = context.Process(target=os._exit, args=(3,))
    for process in (survivor, dead):
        process.start()
    dead.join()
    try:
        complaint = ("RuntimeError: connection closed by peer", "a traceback")
        blamed = world._failure(0, complaint, [survivor, dead])
        assert str(blamed) == "rank 1 of 2 died (exit code 3) before it had a result"
    finally:
        survivor.kill()
        for process in (survivor, dead):
            process.join()
            process.close()


def test_a_world_that_hangs_ends_at_its_timeout():
    with pytest.raises(RankFailed, match="rank 0, 1 of 2 did not end in time"):
        run_world(2, jobs.fail, 1, "sleep", timeout=4)


def test_a_result_that_cannot_be_sent_is_the_ranks_failure():
    with pytest.raises(RankFailed, match=r"rank \d of 2 failed: .*pickle"):
        run_world(2, jobs.lock)


def test_no_processes_are_none():
    with pytest.raises(UserError, match="give 1 or more"):
        run_world(0, jobs.greet, "hello")


def test_a_function_without_a_name_is_refused():
    with pytest.raises(UserError, match="a function of a module"):
        run_world(2, lambda channel: None)


def test_a_function_of_a_notebook_is_refused(monkeypatch):
    def typed(channel):
        return None

    typed.__module__ = "__main__"
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    with pytest.raises(UserError, match="typed into a notebook"):
        run_world(2, typed)
