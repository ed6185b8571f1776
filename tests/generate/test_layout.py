"""A model that lies differently in memory is the same model."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from llmcourse.generate.decode import generate
from llmcourse.generate.layout import lay_out_for_writing
from llmcourse.generate.sampling import greedy
from llmcourse.models.files import load_model, save_model
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.cache import KVCache
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
def test_what_does_not_narrow_lies_along_its_output_and_nothing_else_is_moved(recipe):
    model = build(recipe)
    lay_out_for_writing(model)
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    wide = {name for name, part in linear.items() if part.out_features >= part.in_features}
    # Keys and values of few heads narrow, but lie beside the queries, and together they widen.
    wide |= {name for name in linear if name.endswith(("k_proj", "v_proj"))}
    assert "lm_head" in wide
    assert 0 < len(wide) < len(linear)
    for name, part in linear.items():
        assert part.weight.stride(0 if name in wide else 1) == 1, name


def products_of(model) -> list[tuple[int, ...]]:
    """The shapes of the weights that a pass multiplies by."""
    seen = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is F.linear:
                seen.append(tuple(args[1].shape))
            return func(*args, **(kwargs or {}))

    with Watch():
        model(IDS)
    return seen


@pytest.mark.parametrize("recipe", RECIPES)
def test_queries_keys_and_values_are_one_product_unless_a_gradient_is_asked_for(recipe):
    model = build(recipe)
    with torch.no_grad():
        apart = products_of(model)
        lay_out_for_writing(model)
        joined = products_of(model)
    assert len(apart) - len(joined) == 2 * SIZES["n_layers"]
    assert (96, 32) in joined
    assert products_of(model) == apart
    model(IDS).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.no_grad()
def test_a_step_on_what_was_joined_is_seen():
    """The parameters are views of the joined matrix, so it cannot fall behind them."""
    model, other = build(gpt2_recipe), build(gpt2_recipe)
    lay_out_for_writing(model)
    for one in (model, other):
        one.blocks[1].attention.k_proj.weight.mul_(1.5)
        one.blocks[0].attention.v_proj.bias.add_(0.5)
    torch.testing.assert_close(model(IDS).logits, other(IDS).logits, rtol=1e-10, atol=1e-10)


def _to_float(attention) -> None:
    attention.float()
    attention.double()


def _renew(attention) -> None:
    attention.v_proj.weight = nn.Parameter(attention.v_proj.weight.clone())


def _adapt(attention) -> None:
    attention.k_proj = nn.Sequential(attention.k_proj)


def _watch(attention) -> None:
    attention.q_proj.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize("change", [_to_float, _renew, _adapt, _watch])
@torch.no_grad()
def test_what_was_joined_and_changed_is_multiplied_apart(change):
    model = build(gpt2_recipe)
    before = len(products_of(model))
    lay_out_for_writing(model)
    for block in model.blocks:
        change(block.attention)
    assert len(products_of(model)) == before


def test_a_text_of_known_length_has_a_cache_that_is_made_once(monkeypatch):
    model, capacities = build(gpt2_recipe), []
    with_room = KVCache.with_room

    def noted(self, capacity):
        capacities.append(capacity)
        return with_room(self, capacity)

    expected = torch.stack(
        list(generate(model, IDS, max_new_tokens=12, sampler=greedy, use_cache=False)), dim=1
    )
    monkeypatch.setattr(KVCache, "with_room", noted)
    assert written(model) == expected.tolist()
    assert capacities == [21]
    list(generate(model, IDS, max_new_tokens=10**9, stop_ids=range(70), sampler=greedy))
    assert capacities == [21, 24]


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
