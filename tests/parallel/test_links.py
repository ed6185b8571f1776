"""The two numbers of a link come out of the times that it would take."""

import pytest
from rank_jobs import links as jobs

from llmcourse.errors import UserError
from llmcourse.parallel.costs import Link
from llmcourse.parallel.links import SIZES, fit_link
from llmcourse.parallel.world import RankFailed, Traffic, run_world


def test_a_line_gives_back_its_link():
    link = Link(latency=3e-5, bandwidth=2e9)
    seconds = [link.latency + size / link.bandwidth for size in SIZES]
    fitted = fit_link(SIZES, seconds)
    assert fitted.latency == pytest.approx(link.latency, rel=1e-9)
    assert fitted.bandwidth == pytest.approx(link.bandwidth, rel=1e-9)


def test_small_messages_settle_the_latency():
    """A tenth more for the largest message moves the bandwidth, and hardly the latency."""
    link = Link(latency=3e-5, bandwidth=2e9)
    seconds = [link.latency + size / link.bandwidth for size in SIZES]
    seconds[-1] *= 1.1
    assert fit_link(SIZES, seconds).latency == pytest.approx(link.latency, rel=0.05)


def test_times_that_do_not_grow_are_refused():
    with pytest.raises(UserError, match="no bandwidth to be seen"):
        fit_link([1, 2], [2.0, 1.0])
    with pytest.raises(UserError, match="two points"):
        fit_link([8, 8], [1.0, 1.0])


def test_messages_go_there_and_back():
    first, second, third = run_world(3, jobs.measure)
    assert len(first["seconds"]) == 2
    assert all(seconds > 0 for seconds in first["seconds"])
    assert second["seconds"] == third["seconds"] == []
    assert first["sent"] == second["sent"] == Traffic(6, 3 * (8 + 2**20))
    assert third["sent"] == Traffic()
    with pytest.raises(RankFailed, match="a world of 2 or more"):
        run_world(1, jobs.measure)
