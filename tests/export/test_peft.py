"""Adapters in `peft`'s format: the library loads ours with the same logits, and we load its."""

import json

import peft
import pytest
import torch
import transformers
from numerics import close, randomise
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM

from llmcourse.errors import UserError
from llmcourse.export.huggingface import to_huggingface
from llmcourse.export.peft import CONFIG_FILE, WEIGHTS_FILE, base_hash, load_peft, save_peft
from llmcourse.models.bert import BERT, bert_recipe
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe
from llmcourse.nn.lora import add_lora, lora_parameters, lora_state, merge_lora, use_lora

# The two libraries' own words to each other.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

SIZES = {"vocab_size": 20, "context_length": 12, "d_model": 8, "n_layers": 2, "n_heads": 2}
CONFIGS = {
    "gpt2": gpt2_recipe(**SIZES),
    "llama": modern_recipe(**SIZES, mlp="swiglu", qk_norm=False, n_kv_heads=1),
    "apertus": modern_recipe(**SIZES),
}
TARGETS = {
    "q and v": ("q_proj", "v_proj"),
    "all of attention": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "k and mlp": ("k_proj", "up_proj", "down_proj"),
}
IDS = torch.arange(20).view(2, 10)
each_config = pytest.mark.parametrize("config", CONFIGS)


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.disable_progress_bar()


def gpt(config="llama"):
    return randomise(GPT(CONFIGS[config]))


def filled(model):
    generator = torch.Generator().manual_seed(1)
    for parameter in lora_parameters(model):
        nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


def adapted(config="llama", targets="q and v", **settings):
    model = gpt(config)
    add_lora(model, TARGETS[targets], **{"rank": 3, "alpha": 5.0, **settings})
    return filled(model)


@each_config
@pytest.mark.parametrize("targets", TARGETS)
def test_peft_loads_ours(config, targets, tmp_path):
    model = adapted(config, targets)
    to_huggingface(gpt(config), tmp_path / "base")
    save_peft(model, tmp_path / "adapter", str(tmp_path / "base"))
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    close(model(IDS).logits, theirs(IDS).logits, atol=2e-5, largest=0.1)
    assert (model(IDS).logits - gpt(config)(IDS).logits).abs().max() > 0.01
    again = gpt(config)
    load_peft(again, tmp_path / "adapter")
    close(again(IDS).logits, model(IDS).logits)
    close(theirs.merge_and_unload()(IDS).logits, model(IDS).logits, atol=2e-5)


@pytest.mark.parametrize(
    ("config", "targets"),
    [
        ("gpt2", ["c_attn"]),
        ("gpt2", ["attn.c_proj", "c_fc"]),
        ("llama", ["q_proj", "down_proj"]),
        ("apertus", ["v_proj", "up_proj"]),
    ],
)
def test_ours_loads_pefts(config, targets, tmp_path):
    to_huggingface(gpt(config), tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(
        r=3,
        lora_alpha=5,
        target_modules=targets,
        fan_in_fan_out=config == "gpt2",
        rank_pattern={f"1.*.{targets[0].split('.')[-1]}": 2},
        alpha_pattern={targets[-1]: 7},
        task_type="CAUSAL_LM",
    )
    theirs = peft.get_peft_model(base, settings).eval()
    for name, parameter in theirs.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    ours = gpt(config)
    load_peft(ours, tmp_path / "adapter")
    close(ours(IDS).logits, theirs(IDS).logits, atol=2e-5, largest=0.1)
    assert all(not p.requires_grad or "lora" in n for n, p in ours.named_parameters())


def test_one_of_several_adapters_is_saved(tmp_path):
    model = adapted()
    add_lora(model, TARGETS["k and mlp"], rank=2, name="other")
    use_lora(model, "default")
    save_peft(model, tmp_path, "base", "default")
    again = gpt()
    load_peft(again, tmp_path, "mine")
    assert lora_state(again, "mine").keys() == lora_state(model).keys()
    assert torch.equal(again(IDS).logits, model(IDS).logits)
    with pytest.raises(UserError, match="there is an adapter 'mine' already"):
        load_peft(again, tmp_path, "mine")
    save_peft(model, tmp_path, "base", "other")
    load_peft(again, tmp_path, "yours")
    use_lora(model, "other")
    use_lora(again, "yours")
    assert again(IDS).logits.equal(model(IDS).logits)


def test_base_is_known_by_its_weights():
    one = gpt()
    assert base_hash(one) == base_hash(adapted()) == base_hash(gpt())
    with torch.no_grad():
        one.blocks[0].norm1.weight[0] += 1e-4
    assert base_hash(one) != base_hash(gpt())
    merged = adapted()
    merge_lora(merged)
    assert base_hash(merged) != base_hash(gpt())


# --- what cannot be -------------------------------------------------------------------------------


def refused(model, folder, line):
    before = {name: p.clone() for name, p in model.state_dict().items()}
    with pytest.raises(UserError, match=line) as found:
        load_peft(model, folder)
    assert "\n" not in str(found.value)
    assert before.keys() == model.state_dict().keys()
    assert all(p.requires_grad for p in model.parameters())


def without_hash(folder):
    """As another program writes it."""
    save_file(load_file(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE, {"format": "pt"})


def test_adapter_of_other_weights_is_refused(tmp_path):
    save_peft(adapted(), tmp_path, "base")
    other = gpt()
    with torch.no_grad():
        other.lm_head.weight[3, 3] += 1
    refused(other, tmp_path, "an adapter of another base: its weights are not this model's")


def test_adapter_of_another_shape_is_refused(tmp_path):
    save_peft(adapted(), tmp_path, "base")
    without_hash(tmp_path)
    wide = GPT(modern_recipe(**{**SIZES, "d_model": 16}, mlp="swiglu", qk_norm=False))
    refused(wide, tmp_path, r"another base: blocks.0.attention.q_proj is \[8, 8\] there")
    flat = GPT(modern_recipe(**{**SIZES, "n_layers": 1}, mlp="swiglu", qk_norm=False, n_kv_heads=1))
    refused(flat, tmp_path, "it adapts blocks.1.attention.q_proj, which this model has not")


def test_adapter_of_another_family_is_refused(tmp_path):
    save_peft(adapted("gpt2"), tmp_path, "base")
    without_hash(tmp_path)
    refused(gpt(), tmp_path, "another base: it adapts transformer.h.0.attn.c_attn")


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ({"use_dora": True}, "use_dora=True is not supported, only False is"),
        ({"use_rslora": True}, "use_rslora=True is not supported"),
        ({"peft_type": "PREFIX_TUNING"}, "peft_type='PREFIX_TUNING' is not supported"),
        ({"bias": "all"}, "bias='all' is not supported"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\] is not supported"),
    ],
)
def test_other_kinds_are_refused(setting, line, tmp_path):
    save_peft(adapted(), tmp_path, "base")
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config | setting))
    refused(gpt(), tmp_path, line)


def test_damaged_adapters_are_refused(tmp_path):
    refused(gpt(), tmp_path, "no adapter_config.json")
    save_peft(adapted(), tmp_path, "base")
    tensors = load_file(tmp_path / WEIGHTS_FILE)
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
    save_file({n: t for n, t in tensors.items() if n != key}, tmp_path / WEIGHTS_FILE)
    refused(gpt(), tmp_path, f"damaged: {key} is missing")
    config = json.loads((tmp_path / CONFIG_FILE).read_text())
    save_file(tensors, tmp_path / WEIGHTS_FILE)
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config | {"r": 2}))
    refused(gpt(), tmp_path, "damaged: .* has rank 3, and the config says 2")
    (tmp_path / CONFIG_FILE).write_text(json.dumps(config))
    save_file({"odd": torch.zeros(1), **tensors}, tmp_path / WEIGHTS_FILE)
    refused(gpt(), tmp_path, "odd is no part of a LoRA adapter")
    save_file({}, tmp_path / WEIGHTS_FILE)
    refused(gpt(), tmp_path, "it holds no adapter")


def test_models_without_a_format_or_an_adapter_are_refused(tmp_path):
    with pytest.raises(UserError, match="no adapter 'default' to save"):
        save_peft(gpt(), tmp_path, "base")
    model = BERT(bert_recipe(**SIZES))
    add_lora(model)
    with pytest.raises(UserError, match="adapters of a bert have no format here"):
        save_peft(model, tmp_path, "base")


def test_unequal_adapters_have_no_place_in_gpt2(tmp_path):
    model = gpt("gpt2")
    add_lora(model, ("q_proj",), rank=2, alpha=2.0)
    for layer in ("k_proj", "v_proj"):
        add_lora(model, (layer,), rank=2, alpha=6.0)
    with pytest.raises(UserError, match="attention have different alpha / rank"):
        save_peft(model, tmp_path, "base")
