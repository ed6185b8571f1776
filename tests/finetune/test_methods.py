import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.finetune import methods
from llmcourse.finetune.heads import Classifier, Tagger
from llmcourse.models.registry import FAMILIES
from llmcourse.nn.crf import LinearChainCRF
from llmcourse.nn.masks import padding

SIZES = {"vocab_size": 20, "context_length": 8, "d_model": 8}


def backbone_of(family):
    kind = FAMILIES[family]
    sizes = SIZES | {"n_layers": 2, "n_heads": 2}
    known = {name: size for name, size in sizes.items() if name in kind.config.__dataclass_fields__}
    torch.manual_seed(0)
    return kind.model(kind.config(**known))


def logits_of(model):
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 0]])
    return model(ids, mask=padding(torch.tensor([4, 3]), 4)).logits


def gradients_of(model):
    logits_of(model).square().sum().backward()
    return {name for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_groups_hold_exactly_what_a_loss_reaches(family):
    model = Classifier(backbone_of(family), 3)
    grouped = [name for group in methods.layer_groups(model) for name in group.parameters]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == gradients_of(model)


def test_the_groups_stand_from_the_bottom_up():
    model = Tagger(backbone_of("bert"), 3, crf=LinearChainCRF(3))
    groups = methods.layer_groups(model)
    assert [group.name for group in groups] == ["embeddings", "block 1", "block 2", "head"]
    assert "backbone.norm.weight" in groups[2].parameters
    assert {"head.weight", "head.bias", "crf.transitions"} <= set(groups[3].parameters)


@pytest.mark.parametrize(
    ("method", "moving"),
    [("full", [4, 4, 4, 4]), ("frozen", [1, 1, 1, 1]), ("gradual", [1, 2, 4, 4])],
)
def test_how_many_groups_move(method, moving):
    at = [0.0, 0.2, 0.5, 1.0]
    assert [methods.find_method(method)(progress, 4) for progress in at] == moving


def test_what_is_frozen_does_not_move_by_a_bit():
    model = Classifier(backbone_of("bert"), 3)
    groups = methods.layer_groups(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    logits_of(model).sum().backward()
    optimizer.step()  # momentum for all: frozen ones must not use it
    before = {group.name: methods.fingerprint(group.parameters) for group in groups}
    methods.move(groups, 2)
    for _ in range(3):
        logits_of(model).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    after = {group.name: methods.fingerprint(group.parameters) for group in groups}
    assert [name for name in before if before[name] != after[name]] == ["block 2", "head"]


def test_rates_fall_from_the_head_down():
    assert methods.layerwise_rates(3, 0.5) == [0.25, 0.5, 1.0]
    assert methods.layerwise_rates(3, 1.0) == [1.0, 1.0, 1.0]
    with pytest.raises(UserError, match="layer_decay=0"):
        methods.layerwise_rates(3, 0)


def test_an_unknown_method_is_named():
    with pytest.raises(UserError, match="unknown method 'frozn'; did you mean 'frozen'"):
        methods.find_method("frozn")
