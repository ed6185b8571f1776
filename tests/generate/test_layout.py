"""A model that lies differently in memory is the same model."""

import pytest
import torch
from torch import nn

from llmcourse.generate.decode import generate
from llmcourse.generate.layout import lay_out_for_writing
from llmcourse.generate.sampling import greedy
from llmcourse.models.files import load_model, save_model
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.lora import add_lora

SIZES = {"vocab_size": 70, "context_length": 24, "d_model": 32, "n_layers": 2, "n_heads": 4}
RECIPES = [gpt2_recipe, modern_recipe]
IDS = torch.randint(70, (2, 9), generator=torch.Generator().manual_seed(0))


def build(recipe) -> GPT:
    torch.manual_seed(0)
    model = GPT(recipe(**SIZES)).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def written(model) -> list[list[int]]:
    tokens = generate(model, IDS, max_new_tokens=12, sampler=greedy)
    return torch.stack(list(tokens), dim=1).tolist()


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_numbers_same_text(recipe):
    model, moved = build(recipe), build(recipe)
    lay_out_for_writing(moved)
    for name, tensor in model.state_dict().items():
        assert torch.equal(moved.state_dict()[name], tensor), name
    torch.testing.assert_close(moved(IDS).logits, model(IDS).logits, rtol=1e-10, atol=1e-10)
    assert written(moved) == written(model)


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_widens_lies_along_its_output_and_nothing_else_is_moved(recipe):
    model = build(recipe)
    lay_out_for_writing(model)
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    wide = {name for name, part in linear.items() if part.out_features > part.in_features}
    assert "lm_head" in wide
    assert 0 < len(wide) < len(linear)
    for name, part in linear.items():
        assert part.weight.stride(0 if name in wide else 1) == 1, name


def test_tied_matrix_stays_tied():
    model = build(gpt2_recipe)
    lay_out_for_writing(model)
    assert model.lm_head.weight is model.token_embedding.weight


def test_matrices_beside_an_adapter_are_moved_too():
    model = build(modern_recipe)
    add_lora(model, ("up_proj",), rank=2, alpha=4.0)
    before = model(IDS).logits
    lay_out_for_writing(model)
    assert model.blocks[0].mlp.up_proj.base.weight.stride(0) == 1
    torch.testing.assert_close(model(IDS).logits, before, rtol=1e-10, atol=1e-10)


def test_model_that_was_moved_is_saved_as_ever(tmp_path):
    model = build(gpt2_recipe).float()
    lay_out_for_writing(model)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
