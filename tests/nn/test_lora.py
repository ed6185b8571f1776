"""LoRA: equal to `peft` on the same weights, free when merged, one of several at a time."""

import copy

import peft
import pytest
import torch
from numerics import close, in_double
from torch import nn

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.lora import (
    LoRALinear,
    add_lora,
    linear_layers,
    load_lora_state,
    lora_layers,
    lora_parameters,
    lora_state,
    merge_lora,
    use_lora,
)

SIZES = {"vocab_size": 20, "context_length": 12, "d_model": 8, "n_layers": 2, "n_heads": 2}
IDS = torch.arange(20).view(2, 10)


def gpt():
    return in_double(lambda: GPT(modern_recipe(**SIZES)))


def filled(model):
    """Adapters as after training: no B is zero."""
    generator = torch.Generator().manual_seed(1)
    for parameter in lora_parameters(model):
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def adapted(**settings):
    model = gpt()
    add_lora(model, ("q_proj", "up_proj"), rank=3, alpha=5.0, **settings)
    return filled(model)


# --- against peft ---------------------------------------------------------------------------------


def pefts_twin(model):
    """The same base with the library's adapters, holding our tensors."""
    config = peft.LoraConfig(r=3, lora_alpha=5.0, target_modules=["q_proj", "up_proj"])
    twin = peft.inject_adapter_in_model(config, gpt())
    for name, layer in lora_layers(model).items():
        theirs = twin.get_submodule(name)
        with torch.no_grad():
            theirs.lora_A["default"].weight.copy_(layer.lora_a)
            theirs.lora_B["default"].weight.copy_(layer.lora_b)
    return twin


def test_forward_and_gradients_are_pefts():
    ours = adapted()
    theirs = pefts_twin(ours)
    for model in (ours, theirs):
        model(IDS).logits.square().sum().backward()
    close(ours(IDS).logits, theirs(IDS).logits, largest=0.1)
    n_seen = 0
    for name, layer in lora_layers(ours).items():
        twin = theirs.get_submodule(name)
        scale = layer.lora_a.grad.abs().max()
        close(layer.lora_a.grad / scale, twin.lora_A["default"].weight.grad / scale, largest=0.1)
        close(layer.lora_b.grad / scale, twin.lora_B["default"].weight.grad / scale, largest=0.01)
        n_seen += 1
    assert n_seen == 4


def test_merged_is_pefts():
    ours = adapted()
    theirs = pefts_twin(ours)
    merge_lora(ours)
    for name, layer in linear_layers(ours).items():
        if name.endswith(("q_proj", "up_proj")):
            twin = theirs.get_submodule(name)
            twin.merge()
            close(layer.weight, twin.base_layer.weight, largest=0.1)


def test_beginning_is_pefts():
    torch.manual_seed(5)
    layer = LoRALinear(nn.Linear(300, 40), 7, 14)
    theirs = peft.tuners.lora.Linear(
        nn.Linear(300, 40), "default", config=peft.LoraConfig(lora_alpha=14), r=7, lora_alpha=14
    )
    spread = theirs.lora_A["default"].weight
    assert (
        torch.count_nonzero(layer.lora_b)
        == torch.count_nonzero(theirs.lora_B["default"].weight)
        == 0
    )
    assert abs(layer.lora_a.std() / spread.std() - 1) < 0.05
    assert abs(layer.lora_a.abs().max() / spread.abs().max() - 1) < 0.01
    assert layer.adapter().scale == theirs.scaling["default"] == 2


# --- one layer ------------------------------------------------------------------------------------


def test_layer_is_its_formula():
    layer = in_double(lambda: LoRALinear(nn.Linear(5, 4), 2, 6.0))
    x = torch.randn(3, 5, dtype=torch.float64)
    base, a, b = layer.base, layer.lora_a, layer.lora_b
    close(layer(x), x @ base.weight.T + base.bias + 3 * (x @ a.T @ b.T), largest=0.1)
    assert layer.weight is base.weight


def test_new_adapter_changes_nothing_and_learns():
    layer = LoRALinear(nn.Linear(5, 4), 2, 6.0)
    x = torch.randn(3, 5)
    assert torch.equal(layer(x), layer.base(x))
    layer(x).square().sum().backward()
    assert layer.lora_b.grad.abs().max() > 0
    assert layer.lora_a.grad.abs().max() == 0  # until B is no longer zero
    assert layer.base.weight.grad is None
    assert layer.base.bias.grad is None


def test_dropout_is_of_the_adapters_input_and_of_training_alone():
    layer = LoRALinear(nn.Linear(50, 4), 2, 6.0, dropout=0.5)
    nn.init.normal_(layer.lora_b)
    x = torch.randn(3, 50)
    assert not torch.equal(layer(x), layer(x))
    use_lora(layer, None)
    assert torch.equal(layer(x), layer(x))
    use_lora(layer, "default")
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"rank": 0}, "rank=0 must be at least 1"),
        ({"alpha": 0.0}, "alpha=0 must be above 0"),
        ({"dropout": 1.0}, r"dropout=1 must be in \[0, 1\)"),
        ({"name": "a.b"}, "'a.b' cannot name an adapter"),
    ],
)
def test_impossible_settings(settings, line):
    with pytest.raises(UserError, match=line):
        LoRALinear(nn.Linear(5, 4), **{"rank": 2, "alpha": 4.0, **settings})


# --- a model --------------------------------------------------------------------------------------


def test_adapters_alone_move():
    model = gpt()
    found = add_lora(model, ("attention.v_proj", "q_proj"), rank=3, alpha=6.0)
    assert found == [f"blocks.{i}.attention.{which}_proj" for i in (0, 1) for which in "qv"]
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    assert moving == {f"{layer}.adapters.default.lora_{x}" for layer in found for x in "ab"}
    assert sum(p.numel() for p in lora_parameters(model)) == 4 * 3 * (8 + 8)
    assert next(lora_parameters(model)).dtype == torch.float64


def test_merging_changes_no_logit_and_leaves_a_plain_model():
    model = adapted()
    logits = model(IDS).logits
    assert (logits - gpt()(IDS).logits).abs().max() > 0.1
    assert merge_lora(model) == [
        f"blocks.{i}.{name}" for i in (0, 1) for name in ("attention.q_proj", "mlp.up_proj")
    ]
    close(model(IDS).logits, logits)
    assert model.state_dict().keys() == gpt().state_dict().keys()
    assert {type(layer) for layer in linear_layers(model).values()} == {nn.Linear}
    with pytest.raises(UserError, match="no adapters to merge"):
        merge_lora(model)


def test_merging_in_single_precision_changes_less_than_a_millionth():
    model = copy.deepcopy(adapted()).float()
    logits = model(IDS).logits
    merge_lora(model)
    assert (model(IDS).logits - logits).abs().max() <= 1e-6 * logits.abs().max()


def test_several_adapters_on_one_base():
    model, alone = adapted(), {None: gpt()(IDS).logits}
    add_lora(model, ("q_proj", "k_proj"), rank=2, name="other")
    filled(model)
    alone["other"] = model(IDS).logits
    with pytest.raises(UserError, match="there is an adapter 'other' already"):
        add_lora(model, ("q_proj",), name="other")
    use_lora(model, "default")
    alone["default"] = model(IDS).logits
    for name in ("other", None, "default", "other"):
        use_lora(model, name)
        assert torch.equal(model(IDS).logits, alone[name])
    assert not torch.equal(alone["other"], alone["default"])
    assert lora_state(model, "other").keys() == {
        f"blocks.{i}.attention.{w}_proj.lora_{x}" for i in (0, 1) for w in "qk" for x in "ab"
    }
    n_other = sum(p.numel() for p in lora_parameters(model, "other"))
    assert n_other == 4 * 2 * (8 + 8) < sum(p.numel() for p in lora_parameters(model))
    merge_lora(model)
    close(model(IDS).logits, alone["other"])


def test_second_adapter_learns_and_the_first_is_held_still():
    model = adapted()
    add_lora(model, ("q_proj",), rank=2, name="other")
    model(IDS).logits.sum().backward()
    assert all(p.grad is None for p in lora_parameters(model, "default"))
    assert all(p.grad is not None for p in lora_parameters(model, "other"))


def test_merging_with_all_adapters_off_gives_the_base():
    model = adapted()
    use_lora(model, None)
    with pytest.raises(UserError, match="no adapter is in use; there are: default"):
        _ = lora_layers(model)["blocks.0.attention.q_proj"].lora_a
    merge_lora(model)
    assert torch.equal(model(IDS).logits, gpt()(IDS).logits)


def test_state_is_the_adapters_alone_and_comes_back():
    model, other = adapted(), gpt()
    state = lora_state(model)
    assert sum(t.numel() for t in state.values()) == sum(p.numel() for p in lora_parameters(model))
    add_lora(other, ("q_proj", "up_proj"), rank=3, alpha=5.0)
    load_lora_state(other, {name: t.clone() for name, t in state.items()})
    assert torch.equal(other(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"targets": ("q_proj",)}, "other layers: blocks.0.mlp.up_proj.lora_a has no place here"),
        ({"targets": ("q_proj", "up_proj", "k_proj")}, "attention.k_proj.lora_a is missing"),
        ({"rank": 4}, r"another shape: blocks.0.attention.q_proj.lora_a is \[3, 8\] there"),
    ],
)
def test_state_of_another_adapter_is_refused(settings, line):
    model = gpt()
    add_lora(model, **{"targets": ("q_proj", "up_proj"), "rank": 3, **settings})
    with pytest.raises(UserError, match=line):
        load_lora_state(model, lora_state(adapted()))


def test_unknown_targets_and_names_say_what_there_is():
    model = gpt()
    with pytest.raises(UserError, match="no linear layer is called 'qproj'; did you mean 'q_proj'"):
        add_lora(model, ("qproj",))
    with pytest.raises(UserError, match="there are: down_proj, k_proj, lm_head, o_proj, q_proj"):
        add_lora(model, ("zzz",))
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(UserError, match="no adapter 'default' to save"):
        lora_state(model)
    add_lora(model)
    with pytest.raises(UserError, match="unknown adapter 'defualt'; did you mean 'default'"):
        use_lora(model, "defualt")


def test_tied_head_is_refused():
    model = GPT(gpt2_recipe(**SIZES))
    with pytest.raises(UserError, match="its matrix is token_embedding"):
        add_lora(model, ("lm_head",))
    assert add_lora(gpt(), ("lm_head",)) == ["lm_head"]
