import pytest
import torch
from torch import nn

from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.optim.groups import decay_groups, split_for_muon

SIZES = {"vocab_size": 11, "context_length": 8, "d_model": 8, "n_layers": 2, "n_heads": 2}


@pytest.fixture(params=[gpt2_recipe, modern_recipe], ids=["gpt2", "modern"])
def model(request):
    return GPT(request.param(**SIZES))


def names(model, parameters):
    by_id = {id(p): name for name, p in model.named_parameters()}
    return [by_id[id(p)] for p in parameters]


def test_decay_groups_partition_the_parameters(model):
    groups = decay_groups(model.parameters(), 0.1)
    members = [p for group in groups for p in group["params"]]
    assert len({id(p) for p in members}) == len(members)
    assert {id(p) for p in members} == {id(p) for p in model.parameters()}
    assert sum(p.numel() for p in members) == model.config.n_parameters
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert {p.ndim for p in groups[0]["params"]} == {2}
    assert {p.ndim for p in groups[1]["params"]} == {1}


def test_frozen_parameters_and_repeated_ones():
    matrix, vector = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    frozen = nn.Parameter(torch.zeros(3), requires_grad=False)
    groups = decay_groups([matrix, vector, matrix, frozen], 0.2)
    assert [len(group["params"]) for group in groups] == [1, 1]
    assert decay_groups([vector], 0.2) == [{"params": [vector], "weight_decay": 0.0}]
    assert decay_groups([frozen], 0.2) == []


def test_the_split_for_muon_partitions_and_takes_hidden_matrices_alone(model):
    matrices, rest = split_for_muon(model)
    assert {id(p) for p in matrices} | {id(p) for p in rest} == {id(p) for p in model.parameters()}
    assert len(matrices) + len(rest) == len(list(model.parameters()))
    hidden = names(model, matrices)
    assert all(name.startswith("blocks.") and name.endswith("_proj.weight") for name in hidden)
    assert len(hidden) == 2 * (4 + (3 if "blocks.0.mlp.gate_proj.weight" in hidden else 2))
    outside = names(model, rest)
    assert "token_embedding.weight" in outside
    assert all(p.ndim == 1 or "blocks" not in name for name, p in zip(outside, rest, strict=True))


def test_tied_weights_are_taken_once_and_are_no_hidden_matrix():
    model = GPT(gpt2_recipe(**SIZES))
    assert model.lm_head.weight is model.token_embedding.weight
    matrices, rest = split_for_muon(model)
    assert sum(p is model.lm_head.weight for p in rest) == 1
    assert not any(p is model.lm_head.weight for p in matrices)


def test_frozen_matrices_are_left_out_of_the_split(model):
    model.blocks[0].requires_grad_(False)
    matrices, rest = split_for_muon(model)
    assert not any(name.startswith("blocks.0.") for name in names(model, [*matrices, *rest]))
