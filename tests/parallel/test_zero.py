"""Ranks that hold a part each take the steps of one process, and hold what the model says."""

import pytest
import small_world
import torch
from rank_jobs import zero as jobs

from llmcourse.parallel import costs
from llmcourse.parallel.memory import zero_memory
from llmcourse.parallel.world import RankFailed, run_world

STAGES = [1, 2, 3]
CASES = [(stage, micro) for stage in STAGES for micro in (1, 2)]


@pytest.fixture(scope="module")
def one():
    return small_world.one_process(n_layers=jobs.LAYERS)


@pytest.fixture(scope="module", params=[2, 3])
def world(request):
    return run_world(request.param, jobs.stages, timeout=small_world.PATIENCE)


def assert_same(result, one):
    losses, weights = one
    assert result["losses"] == pytest.approx(losses, rel=1e-12)
    assert result["weights"].keys() == weights.keys()
    for name, value in result["weights"].items():
        torch.testing.assert_close(value, weights[name], rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("case", CASES)
def test_losses_and_weights_equal_one_process(world, one, case):
    for result in world:
        assert_same(result[case], one)


def test_tied_and_learned_embeddings_equal_one_process():
    changes = {"tie_embeddings": True, "positions": "learned", "bias": True}
    expected = small_world.one_process(n_layers=jobs.LAYERS, **changes)
    for result in run_world(2, jobs.tied):
        assert_same(result, expected)


@pytest.mark.parametrize("stage", STAGES)
def test_memory_is_what_the_cost_model_says(world, stage):
    n, size = len(world), small_world.gpt(n_layers=jobs.LAYERS).n_parameters
    expected = zero_memory(size, n, stage, element=8, state=16)
    held = [result[stage, 1]["memory"] for result in world]
    for part in ("parameters", "gradients", "optimizer_state"):
        mean = sum(getattr(memory, part) for memory in held) / n
        assert mean == pytest.approx(getattr(expected, part), rel=1e-12)
        # Chunks of a unit differ by one number at most.
        slack = 16 * len(world[0][stage, 1]["units"])
        assert all(abs(getattr(memory, part) - mean) <= slack for memory in held)


def test_stage_3_gathers_a_block_at_a_time(world):
    for result in world:
        of = result[3, 1]
        *blocks, rest = (8 * length for length in of["units"])
        assert len(set(blocks)) == 1
        assert of["peak"] == of["memory"].parameters + rest + blocks[0]
        assert of["between"].parameters == of["memory"].parameters


@pytest.mark.parametrize("stage", STAGES)
def test_no_gradient_is_left_after_a_step(world, stage):
    for result in world:
        left = result[stage, 1]["between"].gradients
        assert left == (result[stage, 1]["memory"].gradients if stage == 1 else 0)


@pytest.mark.parametrize("stage", STAGES)
def test_traffic_is_what_the_cost_model_says(world, stage):
    for rank, result in enumerate(world):
        of = result[stage, 1]
        expected = costs.zero_traffic(of["units"], len(world), stage, 8)
        for spent in of["sent"]:
            assert (spent.bytes, spent.messages) == (expected.sent[rank], expected.messages[rank])


def test_the_papers_figure():
    """7.5 billion parameters on 64 ranks in mixed precision: 120, 31.4, 16.6 and 1.9 GB."""
    totals = [zero_memory(int(7.5e9), 64, k, element=2, state=12).total for k in range(4)]
    assert [round(total / 1e9, 1) for total in totals] == [120.0, 31.4, 16.6, 1.9]


def test_an_unknown_stage_is_refused():
    with pytest.raises(ValueError, match="no stage 4"):
        zero_memory(1, 1, 4)
    with pytest.raises(ValueError, match="no stage 4"):
        costs.zero_traffic([1], 1, 4)
    with pytest.raises(RankFailed, match="no stage 4"):
        run_world(1, jobs.no_such_stage)
