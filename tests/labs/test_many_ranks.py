"""What chapter 10's processes do: every way equals one process, and the sick ones do not."""

import pytest
import torch

from llmcourse.labs import many_ranks
from llmcourse.objectives.base import IGNORE
from llmcourse.parallel import costs
from llmcourse.parallel.pipeline_schedules import gpipe, one_f_one_b
from llmcourse.parallel.world import RankFailed, run_world


@pytest.fixture(scope="module")
def alone():
    return many_ranks.by_one_process()


def assert_same(learned, alone):
    assert learned.losses == pytest.approx(alone.losses, rel=1e-12)
    assert learned.weights.keys() == alone.weights.keys()
    assert many_ranks.furthest(learned.weights, alone.weights) < 1e-9


def test_rows_are_ragged_and_other_ones_at_every_step():
    batch = many_ranks.rows(0)
    scored = batch.targets != IGNORE
    assert scored.sum(1).tolist() == [3, 7, 11, 15, 19, 23, 27, 31]
    # What is asked at a place is what is read at the next.
    nexts = batch.ids[:, 1:][scored[:, 1:]]
    assert torch.equal(nexts, batch.targets[:, :-1][scored[:, 1:]])
    assert not torch.equal(many_ranks.rows(1).ids, batch.ids)
    both = [many_ranks.share(batch, part, 2).ids for part in range(2)]
    assert torch.equal(torch.cat(both), batch.ids)


@pytest.mark.slow
def test_every_way_equals_one_process(alone):
    for micro_batches in (1, 2):
        for learned in run_world(2, many_ranks.with_data_parallel, micro_batches):
            assert_same(learned, alone)
    for stages in run_world(2, many_ranks.with_zero):
        for learned in stages.values():
            assert_same(learned, alone)
    for learned in run_world(2, many_ranks.with_torch)[1].values():
        assert_same(learned, alone)
    for learned in run_world(2, many_ranks.with_tensor_parallel):
        assert learned.losses == pytest.approx(alone.losses, rel=1e-12)


@pytest.mark.slow
def test_pipelines_equal_one_process(alone):
    orders = {"gpipe": gpipe(3, 4), "1f1b": one_f_one_b(3, 4)}
    line = run_world(3, many_ranks.with_pipeline, orders)
    for name in orders:
        whole = {key: w for rank in line for key, w in rank[name][0].weights.items()}
        assert_same(many_ranks.Learned(line[0][name][0].losses, whole), alone)


@pytest.mark.slow
def test_collectives_are_torchs_and_counted():
    for rank, found in enumerate(run_world(3, many_ranks.all_reduces, 7)):
        assert torch.equal(found["torch"], 3 * torch.arange(7.0) + 3)
        for name in ("all_reduce", "all_reduce_naive", "gathered"):
            assert torch.equal(found[name], found["torch"])
        assert torch.equal(found["broadcast"], torch.arange(7.0))
        assert found["all_reduce sent"] == costs.all_reduce(7, 3).sent[rank]


@pytest.mark.slow
def test_times_are_measured_for_every_size():
    found = run_world(2, many_ranks.measure, [8, 1024], 2)[1]
    assert {name: len(seconds) for name, seconds in found.items()} == {
        "all-reduce": 2,
        "all-gather": 2,
    }
    assert all(second > 0 for seconds in found.values() for second in seconds)


@pytest.mark.slow
def test_sick_worlds_are_sick(alone):
    truth = many_ranks.true_gradient()
    for found in run_world(2, many_ranks.two_means):
        assert torch.allclose(found["one division"], truth, rtol=1e-10, atol=1e-14)
        assert (found["mean of means"] - truth).norm() > 0.05 * truth.norm()
    well = run_world(2, many_ranks.own_seeds, True)
    assert_same(well[0], alone)
    sick = run_world(2, many_ranks.own_seeds, False)
    assert many_ranks.furthest(sick[0].weights, sick[1].weights) > 0.01
    with pytest.raises(RankFailed, match="rank 0 of 2 did not end in time"):
        run_world(2, many_ranks.evaluate_alone, timeout=15)
