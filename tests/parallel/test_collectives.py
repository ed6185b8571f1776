"""Collectives give what torch's give, and send what the cost model says."""

import pytest
import torch
from rank_jobs import collectives as jobs

from llmcourse.parallel import costs
from llmcourse.parallel.world import RankFailed, run_world

SIZES = [1, 2, 3, 4]


@pytest.fixture(scope="module", params=SIZES)
def world(request):
    return request.param, run_world(request.param, jobs.everything)


def test_results_equal_those_of_torch(world):
    n, results = world
    for result in results:
        assert len(result["pairs"]) == len(jobs.SHAPES) * len(jobs.DTYPES) * 8
        for name, ours, theirs in result["pairs"]:
            summed = "reduce" in name and "max" not in name and ours.is_floating_point()
            if not summed or n <= 2:  # a sum of two has one order
                assert torch.equal(ours, theirs), name
            else:
                tolerance = 0.03 if ours.dtype == torch.bfloat16 else 1e-6
                torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=10 * tolerance)


def test_every_rank_gets_the_same_bits(world):
    _, results = world
    for result in results:
        assert torch.equal(result["bits"], results[0]["bits"])


def test_traffic_is_what_the_cost_model_says(world):
    n, results = world
    for rank, result in enumerate(results):
        for length, counted in result["traffic"].items():
            for name, (sent, messages) in counted.items():
                cost = getattr(costs, name)(length, n)
                assert (cost.sent[rank], cost.messages[rank]) == (sent, messages), (name, length)


@pytest.mark.parametrize("n", SIZES)
def test_ring_costs_are_the_textbooks(n):
    cost = costs.all_reduce(24, n)
    assert cost.sent == (2 * (n - 1) * 24 * 4 // n,) * n
    assert cost.rounds == 2 * (n - 1)
    assert cost.path == cost.sent[0]


def test_a_ring_beats_the_naive_form_by_half_the_ranks():
    n, link = 8, costs.Link(latency=0.0, bandwidth=1e9)
    naive, ring = costs.all_reduce_naive(8000, n), costs.all_reduce(8000, n)
    assert naive.seconds(link) / ring.seconds(link) == pytest.approx(n)
    assert sum(naive.sent) == sum(ring.sent)  # no fewer bytes: they take all links at once


def test_where_latency_rules_the_ring_loses_to_the_tree():
    link = costs.Link(latency=1e-3, bandwidth=1e12)
    assert costs.broadcast(1, 64).seconds(link) == pytest.approx(6e-3)
    assert costs.all_reduce(1, 64).seconds(link) == pytest.approx(126e-3)


def test_a_link_must_be_possible():
    with pytest.raises(ValueError, match="above 0"):
        costs.Link(latency=0.0, bandwidth=0.0)


def test_chunks_that_do_not_fit_are_refused():
    with pytest.raises(RankFailed, match="has 4, not 3: cut it with chunks_of"):
        run_world(2, jobs.wrong_chunk)
    with pytest.raises(RankFailed, match="3 parts for 2 ranks"):
        run_world(2, jobs.wrong_parts)
