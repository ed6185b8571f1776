import copy
import dataclasses
import json
import subprocess
import sys

import numerics
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from llmcourse.errors import UserError
from llmcourse.export.huggingface import (
    FORMATS,
    choose_format,
    from_huggingface,
    to_huggingface,
)
from llmcourse.export.huggingface_gpt import from_gpt2_state, gpt2_state
from llmcourse.models.files import save_model, unique_state
from llmcourse.models.gpt import GPT, gpt2_recipe, modern_recipe

SIZES = {"vocab_size": 50, "context_length": 24, "d_model": 32, "n_layers": 2, "n_heads": 4}
LLAMA = {"mlp": "swiglu", "qk_norm": False}
OURS = {
    "gpt2": gpt2_recipe(**SIZES),
    "gpt2 untied": gpt2_recipe(**SIZES, tie_embeddings=False, d_ff=72, norm_eps=1e-3),
    "llama": modern_recipe(**SIZES, **LLAMA),
    "llama grouped, tied": modern_recipe(**SIZES, **LLAMA, n_kv_heads=2, tie_embeddings=True),
    "llama odd sizes": modern_recipe(
        **SIZES, **LLAMA, n_kv_heads=1, head_dim=6, d_ff=40, rope_theta=500.0, norm_eps=1e-3
    ),
    "qwen3": modern_recipe(**SIZES, mlp="swiglu", n_kv_heads=2),
    "arcee": modern_recipe(**SIZES, qk_norm=False, tie_embeddings=True),
    "apertus": modern_recipe(**SIZES, n_kv_heads=2),  # the default recipe
}
LLAMA_SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 24,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2_SIZES = {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}
THEIRS = {
    "gpt2": transformers.GPT2Config(**GPT2_SIZES),
    "gpt2 untied": transformers.GPT2Config(
        **GPT2_SIZES,
        n_inner=72,
        activation_function="gelu_pytorch_tanh",
        tie_word_embeddings=False,
    ),
    "llama": transformers.LlamaConfig(**LLAMA_SIZES),
    "llama grouped, tied": transformers.LlamaConfig(
        **LLAMA_SIZES,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    ),
    "llama odd sizes": transformers.LlamaConfig(
        **LLAMA_SIZES, num_key_value_heads=1, head_dim=6, rms_norm_eps=1e-3
    ),
    "qwen3": transformers.Qwen3Config(**LLAMA_SIZES, num_key_value_heads=2, head_dim=8),
    "arcee": transformers.ArceeConfig(**LLAMA_SIZES, num_key_value_heads=2),
    "apertus": transformers.ApertusConfig(
        **LLAMA_SIZES,
        hidden_act="relu2",
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    ),
}


@pytest.fixture(params=numerics.TOLERANCE, ids=str)
def dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def ids():
    return torch.randint(50, (2, 24), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def quiet():
    transformers.logging.disable_progress_bar()


def exact(model):
    """The library's norms and angles, which it computes in single precision, in double.

    That they equal ours is tested in single precision; here the rest is to be compared.
    """

    def norm(self, x):
        return torch.nn.functional.rms_norm(x, x.shape[-1:], self.weight, self.variance_epsilon)

    def rotary(self, x, position_ids):
        theta, width = self.config.rope_parameters["rope_theta"], 2 * len(self.inv_freq)
        turn = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = (position_ids[..., None] * turn).repeat(1, 1, 2)
        return angles.cos(), angles.sin()

    for module in model.modules():
        if module._get_name().endswith("RMSNorm"):
            module.forward = norm.__get__(module)
        if module._get_name().endswith("RotaryEmbedding"):
            module.forward = rotary.__get__(module)
    return model


def logits(theirs, ids):
    return exact(theirs)(ids).logits if theirs.dtype == torch.float64 else theirs(ids).logits


def close(ours, theirs):
    numerics.close(ours, theirs, largest=1)


class TestExport:
    @pytest.mark.parametrize("name", OURS)
    def test_theirs_says_what_ours_says(self, name, dtype, ids, tmp_path):
        ours = numerics.randomise(GPT(OURS[name]))
        assert to_huggingface(ours, tmp_path) == name.split()[0]
        theirs, loading = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
        assert type(theirs).__name__ == FORMATS[name.split()[0]].architecture
        assert theirs.dtype == dtype
        assert not any(loading.values()), loading
        for token in ("bos_token_id", "eos_token_id", "pad_token_id"):
            assert getattr(theirs.config, token) is None  # not the library's, beyond the vocabulary
        close(ours(ids).logits, logits(theirs.eval(), ids))

    @pytest.mark.parametrize("name", OURS)
    def test_and_back_again(self, name, tmp_path, ids):
        ours = numerics.randomise(GPT(OURS[name]))
        to_huggingface(ours, tmp_path)
        back = from_huggingface(tmp_path)
        assert torch.equal(back(ids).logits, ours(ids).logits)
        assert back.config.n_parameters == ours.config.n_parameters
        assert choose_format(back) == name.split()[0]

    def test_it_writes(self, tmp_path):
        """Greedy text through the library's own loop, cache and all, is ours."""
        ours = numerics.randomise(GPT(OURS["apertus"]))
        to_huggingface(ours, tmp_path)
        theirs = AutoModelForCausalLM.from_pretrained(tmp_path)
        prompt = torch.tensor([[3, 1, 4]])
        written = theirs.generate(prompt, max_new_tokens=20, do_sample=False)
        with torch.no_grad():
            for _ in range(20):
                prompt = torch.cat([prompt, ours(prompt).logits[:, -1:].argmax(-1)], dim=1)
        assert torch.equal(written, prompt)

    def test_tied_weights_are_stored_once(self, tmp_path):
        to_huggingface(GPT(OURS["gpt2"]), tmp_path)
        stored = load_file(tmp_path / "model.safetensors")
        assert "lm_head.weight" not in stored
        assert sum(x.numel() for x in stored.values()) == OURS["gpt2"].n_parameters

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (
                modern_recipe(**SIZES, norm="layernorm"),
                r"no family with all parts .* nearest is apertus: train one with norm='rmsnorm'",
            ),
            (modern_recipe(**SIZES, bias=True), "nearest is apertus: train one with bias=False"),
            (gpt2_recipe(**SIZES, bias=False), "nearest is gpt2: train one with bias=True"),
            (gpt2_recipe(**SIZES, residual="post"), "gpt2: train one with residual='pre'"),
            (gpt2_recipe(**SIZES, qk_norm=True), "nearest is gpt2: train one with qk_norm=False"),
            (gpt2_recipe(**SIZES, n_kv_heads=2), "nearest is gpt2: train one with n_kv_heads=4"),
            (gpt2_recipe(**SIZES, head_dim=6), "nearest is gpt2: train one with head_dim=8"),
        ],
    )
    def test_what_no_family_holds_is_refused(self, config, message, tmp_path):
        with pytest.raises(UserError, match=message) as caught:
            to_huggingface(GPT(config), tmp_path)
        assert "\n" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []


class TestImport:
    @pytest.mark.parametrize("name", THEIRS)
    def test_ours_says_what_theirs_says(self, name, dtype, ids, tmp_path):
        theirs = numerics.randomise(AutoModelForCausalLM.from_config(THEIRS[name]).to(dtype))
        theirs.save_pretrained(tmp_path)
        ours = from_huggingface(tmp_path)
        close(ours(ids).logits, logits(theirs, ids))
        assert ours.n_parameters == sum(p.numel() for p in theirs.parameters())
        assert not ours.training

    def test_shards(self, ids, tmp_path):
        theirs = numerics.randomise(AutoModelForCausalLM.from_config(THEIRS["llama"]))
        theirs.save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
        close(from_huggingface(tmp_path)(ids).logits, theirs(ids).logits)

    def test_the_oldest_gpt2_files(self, ids, tmp_path):
        """Without `transformer.` before each name, and with the causal mask among the weights."""
        theirs = numerics.randomise(AutoModelForCausalLM.from_config(THEIRS["gpt2"]))
        theirs.save_pretrained(tmp_path)
        old = {
            name.removeprefix("transformer."): tensor
            for name, tensor in load_file(tmp_path / "model.safetensors").items()
        }
        masks = {f"h.{layer}.attn.bias": torch.ones(1, 1, 24, 24).tril() for layer in range(2)}
        save_file(old | masks, tmp_path / "model.safetensors")
        close(from_huggingface(tmp_path)(ids).logits, theirs(ids).logits)

    def test_the_older_names_of_llama_settings(self, ids, tmp_path):
        """Before version 5 the base stood by itself, and tied files could hold the matrix twice."""
        theirs = numerics.randomise(AutoModelForCausalLM.from_config(THEIRS["llama grouped, tied"]))
        theirs.save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        values = json.loads(path.read_text())
        del values["rope_parameters"]
        path.write_text(json.dumps(values | {"rope_theta": 500.0, "rope_scaling": None}))
        tensors = load_file(tmp_path / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        save_file(tensors, tmp_path / "model.safetensors")
        close(from_huggingface(tmp_path)(ids).logits, theirs(ids).logits)

    @pytest.mark.parametrize("kind", ["llama", "qwen3", "arcee", "apertus"])
    def test_what_a_config_leaves_out_is_the_librarys(self, kind, ids, tmp_path):
        """A person who writes a config leaves out what is usual."""
        theirs = numerics.randomise(AutoModelForCausalLM.from_config(THEIRS[kind]))
        theirs.save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        values = json.loads(path.read_text())
        for name in ("rms_norm_eps", "max_position_embeddings", "attention_dropout"):
            del values[name]
        path.write_text(json.dumps(values))
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        ours = from_huggingface(tmp_path)
        assert ours.config.norm_eps == config.rms_norm_eps
        assert ours.config.context_length == config.max_position_embeddings
        assert ours.config.dropout == config.attention_dropout

    @pytest.mark.parametrize("tied", [False, True])
    def test_bare_models(self, tied, ids, tmp_path):
        """Saved by the class without a head: its names have no prefix, and a tied one is whole."""
        for name, bare in (("gpt2", "GPT2Model"), ("llama", "LlamaModel"), ("qwen3", "Qwen3Model")):
            config = copy.deepcopy(THEIRS[name])
            config.tie_word_embeddings = tied
            theirs = numerics.randomise(AutoModelForCausalLM.from_config(config))
            getattr(transformers, bare).from_pretrained(
                None, config=config, state_dict=theirs.state_dict()
            ).save_pretrained(tmp_path / bare)
            if tied:
                close(from_huggingface(tmp_path / bare)(ids).logits, theirs(ids).logits)
                continue
            with pytest.raises(UserError, match=f"no output head: save a {type(theirs).__name__}"):
                from_huggingface(tmp_path / bare)

    def test_then_saved_as_ours(self, tmp_path):
        AutoModelForCausalLM.from_config(THEIRS["gpt2"]).save_pretrained(tmp_path / "theirs")
        model = from_huggingface(tmp_path / "theirs")
        assert model.config == dataclasses.replace(gpt2_recipe(**SIZES), dropout=0.1)
        save_model(model, tmp_path / "ours")

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            (
                "gpt2",
                {"model_type": "mamba"},
                "is a 'mamba': this course's models read gpt2, llama",
            ),
            ("gpt2", {"model_type": None}, "is a None: this course's models read"),
            (
                "gpt2",
                {"activation_function": "relu"},
                "activation_function='relu' is not supported",
            ),
            ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "is not supported, only False is"),
            ("gpt2", {"n_head": 5}, "n_heads=5 does not divide d_model=32"),
            ("gpt2", {"layer_norm_epsilon": None}, "is damaged"),
            ("llama", {"hidden_act": "gelu"}, "hidden_act='gelu' is not supported, only 'silu' is"),
            ("llama", {"attention_bias": True}, "attention_bias=True is not supported"),
            (
                "llama",
                {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4}},
                "rope_type='longrope' is not supported, only default, linear, yarn, llama3 are",
            ),
            ("qwen3", {"use_sliding_window": True}, "use_sliding_window=True is not supported"),
            ("apertus", {"hidden_act": "xielu"}, "hidden_act='xielu' is not supported"),
            ("llama", {"num_hidden_layers": 3}, "blocks.2.norm1.weight is missing"),
            ("llama", {"intermediate_size": 48}, "is .40, 32. there and .48, 32. here"),
        ],
    )
    def test_what_we_cannot_do_is_refused(self, name, change, message, tmp_path):
        AutoModelForCausalLM.from_config(THEIRS[name]).save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(UserError, match=message) as caught:
            from_huggingface(tmp_path)
        assert "\n" not in str(caught.value)
        assert str(tmp_path) in str(caught.value)

    def test_a_missing_setting(self, tmp_path):
        (tmp_path / "config.json").write_text('{"model_type": "gpt2", "vocab_size": 3}')
        with pytest.raises(UserError, match=r"is damaged .KeyError: 'n_positions'"):
            from_huggingface(tmp_path)

    def test_no_weights(self, tmp_path):
        to_huggingface(GPT(OURS["gpt2"]), tmp_path)
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(UserError, match="no weights at"):
            from_huggingface(tmp_path)

    def test_a_shard_is_missing(self, tmp_path):
        model = AutoModelForCausalLM.from_config(THEIRS["llama"])
        model.save_pretrained(tmp_path, max_shard_size="20KB")
        next(tmp_path.glob("*-of-*.safetensors")).unlink()
        with pytest.raises(UserError, match="no weights at"):
            from_huggingface(tmp_path)


def test_names_both_ways():
    state = unique_state(numerics.randomise(GPT(OURS["gpt2 untied"])))
    back = from_gpt2_state(gpt2_state(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_needs_no_transformers():
    """The format is two files; importing a library of that size for it would cost seconds."""
    script = (
        "import sys, llmcourse.export.huggingface, llmcourse.export.llama2c; "
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
