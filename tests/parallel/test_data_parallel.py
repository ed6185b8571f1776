"""Ranks that share the rows take the steps that one process takes."""

import pytest
import small_world
import torch
from rank_jobs import data_parallel as jobs

from llmcourse.parallel import costs
from llmcourse.parallel.data_parallel import buckets_of
from llmcourse.parallel.world import RankFailed, run_world


@pytest.fixture(scope="module")
def one():
    return small_world.one_process()


@pytest.fixture(scope="module", params=[2, 3])
def world(request):
    return run_world(request.param, jobs.both, timeout=small_world.PATIENCE)


@pytest.mark.parametrize("micro_batches", [1, 2])
def test_losses_and_weights_equal_one_process(world, one, micro_batches):
    losses, weights = one
    for result in world:
        assert result[micro_batches]["losses"] == pytest.approx(losses, rel=1e-12)
        for name, value in result[micro_batches]["weights"].items():
            # Adam divides by a gradient's size: where that is 1e-9, so is what digits are lost.
            torch.testing.assert_close(value, weights[name], rtol=1e-7, atol=1e-9, msg=name)


def test_accumulation_sends_once(world):
    for result in world:
        assert result[1]["sent"] == result[2]["sent"]


def test_what_is_sent_is_what_the_cost_model_says(world):
    n, model = len(world), small_world.gpt()
    buckets = buckets_of(model.parameters(), jobs.BUCKET)
    lengths = [sum(parameter.numel() for parameter in bucket) for bucket in buckets]
    expected = costs.zero_traffic(lengths, n, stage=0, element=8)
    for rank, result in enumerate(world):
        for spent in result[1]["sent"]:
            assert (spent.bytes, spent.messages) == (expected.sent[rank], expected.messages[rank])


def test_buckets_are_sent_while_gradients_are_still_to_come(world):
    for result in world:
        left = result[1]["left"]
        assert len(left) > 3
        assert left == sorted(left, reverse=True)
        assert left[0] > left[1] > left[-1] == 0
        assert result[1]["ordered"]


def test_every_parameter_is_in_one_bucket(world):
    names = [name for name, _ in small_world.gpt().named_parameters()]
    assert sorted(world[0][1]["names"]) == sorted(names)


def test_parameters_that_not_all_ranks_use_are_summed_too():
    first, second = run_world(2, jobs.half_used)
    assert first[0] == second[0]
    for ours, theirs in zip(first[1:], second[1:], strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(ours, torch.full_like(ours, 1 / 6))  # 1 for each of six outputs


def test_a_second_backward_pass_needs_no_sync():
    with pytest.raises(RankFailed, match=r"second gradient of .*no_sync\(\)"):
        run_world(1, jobs.twice)


def test_a_step_on_nothing_is_refused():
    with pytest.raises(RankFailed, match="are all targets IGNORE"):
        run_world(1, jobs.nothing)
