"""Stages that pass micro-batches on take the steps that one process takes."""

import pytest
import small_world
import torch
from rank_jobs import pipeline as jobs

from llmcourse.errors import UserError
from llmcourse.parallel import costs
from llmcourse.parallel.memory import stage_parameters
from llmcourse.parallel.pipeline import Stage
from llmcourse.parallel.pipeline_schedules import gpipe, most_in_flight, needs, one_f_one_b
from llmcourse.parallel.world import run_world

MICRO_BATCHES = 4
ROWS = 12 // MICRO_BATCHES
SCHEDULES = ["gpipe", "1f1b"]


@pytest.fixture(scope="module")
def one():
    return small_world.one_process()


@pytest.fixture(scope="module", params=[2, 3])
def world(request):
    """Four layers: with three stages the first has two of them."""
    n = request.param
    by_name = {"gpipe": gpipe(n, MICRO_BATCHES), "1f1b": one_f_one_b(n, MICRO_BATCHES)}
    results = run_world(n, jobs.schedules, by_name, MICRO_BATCHES, timeout=small_world.PATIENCE)
    return by_name, results


def assert_same(results, expected):
    losses, weights = expected
    found = {}
    for result in results:
        assert result["losses"] == pytest.approx(losses, rel=1e-12)
        assert not found.keys() & result["weights"].keys()
        found |= result["weights"]
    assert found.keys() == weights.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, weights[name], rtol=1e-7, atol=1e-9, msg=name)


@pytest.mark.parametrize("name", SCHEDULES)
def test_losses_and_weights_equal_one_process(world, one, name):
    assert_same([result[name] for result in world[1]], one)


def test_another_recipe_equals_one_process(world):
    changes = {"positions": "sinusoidal", "norm": "layernorm", "bias": True}
    assert_same([result["another"] for result in world[1]], small_world.one_process(**changes))


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_ran_as_scheduled(world, name):
    by_name, results = world
    ran = [result[name]["ran"] for result in results]
    ended = {(slot.rank, slot.action): slot.end for each in ran for slot in each.slots}
    for rank, each in enumerate(ran):
        assert [slot.action for slot in each.slots] == by_name[name][rank]
        assert each.most_in_flight == most_in_flight(by_name[name][rank])
        for slot in each.slots:  # nothing began before what it needs was over, on any clock
            for need in needs(rank, slot.action, len(ran)):
                assert ended[need] <= slot.start


@pytest.mark.parametrize("name", SCHEDULES)
def test_traffic_is_what_the_cost_model_says(world, name):
    _, results = world
    expected = costs.pipeline_traffic(ROWS * 8, 24, len(results), MICRO_BATCHES, 8)
    for rank, result in enumerate(results):
        for spent in result[name]["sent"]:
            assert (spent.bytes, spent.messages) == (expected.sent[rank], expected.messages[rank])


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_parameters_are_what_the_memory_model_says(n):
    model = small_world.gpt(positions="learned", norm="layernorm", bias=True)
    for rank in range(n):
        held = sum(parameter.numel() for parameter in Stage(model, rank, n).parameters())
        assert held == stage_parameters(model.config, rank, n)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(UserError, match="4 layers cannot make 5 stages"):
        Stage(small_world.gpt(), 0, 5)
    with pytest.raises(UserError, match="tie_embeddings=False"):
        Stage(small_world.gpt(tie_embeddings=True), 0, 2)
    with pytest.raises(UserError, match="other than relative"):
        Stage(small_world.gpt(positions="relative"), 0, 2)
