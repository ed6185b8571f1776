"""Rotations in Hugging Face's format: every scaling, both ways, against the library's own model."""

import json

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from llmcourse.errors import UserError
from llmcourse.export.huggingface import choose_format, from_huggingface, to_huggingface
from llmcourse.export.rope import read_rope
from llmcourse.models.gpt import GPT, POSITIONS, gpt2_recipe, modern_recipe

SIZES = {"vocab_size": 50, "context_length": 64, "d_model": 32, "n_layers": 2, "n_heads": 4}
LLAMA = {"mlp": "swiglu", "qk_norm": False}
SCALINGS = {
    "linear": {"rope_factor": 4.0},
    "ntk": {"rope_factor": 4.0},
    "yarn": {"rope_factor": 2.0, "rope_theta": 500.0},
    "llama3": {"rope_factor": 8.0, "rope_original_length": 16},
}


def randomise(model):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model.eval()


@pytest.mark.parametrize("kind", SCALINGS)
def test_theirs_says_what_ours_says_and_back(kind, tmp_path):
    transformers.logging.disable_progress_bar()
    ours = randomise(GPT(modern_recipe(**SIZES, **LLAMA, rope_scaling=kind, **SCALINGS[kind])))
    ids = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(0))
    plain = GPT(modern_recipe(**SIZES, **LLAMA)).eval()
    plain.load_state_dict(ours.state_dict())
    assert (plain(ids).logits - ours(ids).logits).abs().max() > 0.1  # the scaling matters here
    assert to_huggingface(ours, tmp_path) == "llama"
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(ours(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)
    again = from_huggingface(tmp_path)
    torch.testing.assert_close(ours(ids).logits, again(ids).logits, rtol=0, atol=1e-6)
    if kind != "ntk":  # which is written as another base
        assert again.config.rope_scaling == kind
        assert again.config.rope_trained_length == ours.config.rope_trained_length


@pytest.mark.parametrize("kind", sorted(set(POSITIONS) - {"rope", "learned"}))
def test_positions_that_no_format_holds_are_refused(kind):
    with pytest.raises(UserError, match="nearest is llama: train one with positions='rope'"):
        choose_format(GPT(modern_recipe(**SIZES, **LLAMA, positions=kind)))
    with pytest.raises(UserError, match="nearest is gpt2: train one with positions='learned'"):
        choose_format(GPT(gpt2_recipe(**SIZES, positions=kind)))


def test_a_real_llama_3_config_is_read():
    """As published for Llama 3.1, whose factor is not the ratio of its two lengths."""
    rope = {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    }
    assert read_rope({"rope_theta": 500000.0, "rope_scaling": rope}) == {
        "rope_theta": 500000.0,
        "rope_scaling": "llama3",
        "rope_factor": 8.0,
        "rope_original_length": 8192,
    }


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_type='dynamic' is not supported"),
        ({"type": "longrope"}, "rope_type='longrope' is not supported"),
        ({"rope_type": "yarn", "beta_fast": 16}, "beta_fast=16 of rope_type='yarn' is not"),
        ({"rope_type": "llama3", "high_freq_factor": 8.0}, "high_freq_factor=8.0 of rope_type"),
        ({"rope_type": "linear"}, "rope_type='linear' needs a factor"),
        (
            {"rope_type": "default", "partial_rotary_factor": 0.5},
            "partial_rotary_factor=0.5 is not",
        ),
        ({"full_attention": {"rope_type": "default"}}, "differently .full_attention. are not"),
    ],
)
def test_what_we_do_not_have_is_refused(rope, message):
    with pytest.raises(UserError, match=message):
        read_rope({"rope_parameters": rope, "max_position_embeddings": 64})


@pytest.mark.parametrize("kind", ["yarn", "llama3"])
@pytest.mark.parametrize("where", ["nowhere", "beside", "within", "both"])
def test_the_original_length_is_found_where_the_library_finds_it(kind, where, tmp_path):
    """Left out, a valid config was once called damaged; and it may stand in two places."""
    transformers.logging.disable_progress_bar()
    ours = randomise(GPT(modern_recipe(**SIZES, **LLAMA, rope_scaling=kind, **SCALINGS[kind])))
    to_huggingface(ours, tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    name = "original_max_position_embeddings"
    del values["rope_parameters"][name]
    values |= {name: 16} if where in ("beside", "both") else {}
    values["rope_parameters"] |= {name: 32} if where in ("within", "both") else {}
    path.write_text(json.dumps(values))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
    again = from_huggingface(tmp_path)
    assert again.config.rope_trained_length == theirs.config.rope_parameters[name]
    ids = torch.randint(50, (2, 64), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(ids).logits, theirs(ids).logits, rtol=0, atol=1e-5)
