"""Ranks that hold a piece of every matrix compute what one process does: losses and gradients."""

import pytest
import small_world
import torch
from rank_jobs import tensor_parallel as jobs
from torch import nn

from llmcourse.objectives.base import token_loss
from llmcourse.parallel import costs
from llmcourse.parallel.memory import tensor_parallel_parameters
from llmcourse.parallel.world import RankFailed, run_world


@pytest.fixture(scope="module")
def world():
    """Three ranks: they divide the heads, but neither the vocabulary nor the hidden units."""
    return run_world(3, jobs.everything, timeout=small_world.PATIENCE)


def one_step(**changes):
    model = small_world.gpt(**changes)
    ids, targets = small_world.rows(0)
    loss = token_loss(model(ids).logits, targets)
    mean = loss.total / loss.count
    mean.backward()
    return mean.item(), {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("case", jobs.CASES)
def test_loss_and_gradients_equal_one_process(world, case):
    loss, gradients = one_step(**jobs.CASES[case])
    for result in world:
        assert result[case]["losses"][0] == pytest.approx(loss, rel=1e-12)
    found = jobs.whole([result[case]["gradients"] for result in world])
    assert found.keys() == gradients.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, gradients[name], rtol=1e-9, atol=1e-14, msg=name)


def test_five_steps_equal_one_process(world):
    losses, weights = small_world.one_process(**jobs.CASES["modern"])
    for result in world:
        assert result["modern"]["losses"] == pytest.approx(losses, rel=1e-12)
    for name, value in jobs.whole([result["modern"]["weights"] for result in world]).items():
        torch.testing.assert_close(value, weights[name], rtol=1e-7, atol=1e-9, msg=name)


def test_a_column_and_a_row_make_a_pair(world):
    torch.manual_seed(0)
    first, second = nn.Linear(5, 7).double(), nn.Linear(7, 3).double()
    x = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    y = second(first(x).relu())
    y.square().sum().backward()
    for result in world:
        pair = result["two layers"]
        torch.testing.assert_close(pair["y"], y.detach())
        torch.testing.assert_close(pair["x"], x.grad)
        torch.testing.assert_close(pair["bias"], second.bias.grad)


def test_traffic_is_what_the_cost_model_says(world):
    ids, _ = small_world.rows(0)
    config = small_world.gpt(**jobs.CASES["modern"]).config
    expected = costs.tensor_parallel_traffic(
        ids.numel(), config.d_model, config.n_layers, 3, 8, head_norms=config.head_width
    )
    for rank, result in enumerate(world):
        spent = result["modern"]["spent"]
        assert (spent.bytes, spent.messages) == (expected.sent[rank], expected.messages[rank])


@pytest.mark.parametrize("case", jobs.CASES)
def test_parameters_are_what_the_memory_model_says(world, case):
    config = small_world.gpt(**jobs.CASES[case]).config
    for rank, result in enumerate(world):
        held = sum(value.numel() for value in result[case]["weights"].values())
        assert held == tensor_parallel_parameters(config, rank, 3)
    assert tensor_parallel_parameters(config, 0, 1) == config.n_parameters


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(RankFailed, match="3 key/value heads do not divide among 2 ranks: take 1 "):
        run_world(2, jobs.heads)
    with pytest.raises(RankFailed, match="a bias on the scores is not cut"):
        run_world(2, jobs.biased)
    with pytest.raises(RankFailed, match="cannot be shared by 2 ranks: take 1"):
        run_world(2, jobs.crowd)
