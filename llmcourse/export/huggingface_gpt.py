"""GPT in the Hugging Face format: GPT-2, Llama and its siblings.

A GPT of the recipe of 2019 is a GPT-2; one of today's is a Llama, or a sibling of it that has
QK-norm, squared ReLU or both. Not here: the door to all formats (`huggingface.py`), and how a
rotation is written (`rope.py`). Chapter 17 teaches this.
"""

from typing import Any

import torch
from torch import Tensor

from llmcourse.export.formats import (
    RELATIVE,
    ROPE,
    SIZES,
    Format,
    State,
    even_heads,
    inverse,
    rename,
    require,
)
from llmcourse.export.rope import WRITTEN, read_rope, write_rope
from llmcourse.models.gpt import GPTConfig
from llmcourse.models.registry import FAMILIES

GPT2_NAMES = {
    "token_embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "blocks.#.norm1": "transformer.h.#.ln_1",
    "blocks.#.attention.qkv_proj": "transformer.h.#.attn.c_attn",
    "blocks.#.attention.o_proj": "transformer.h.#.attn.c_proj",
    "blocks.#.norm2": "transformer.h.#.ln_2",
    "blocks.#.mlp.up_proj": "transformer.h.#.mlp.c_fc",
    "blocks.#.mlp.down_proj": "transformer.h.#.mlp.c_proj",
    "norm": "transformer.ln_f",
    "lm_head": "lm_head",
}
"""Our module's name to GPT-2's; `#` is the layer. `qkv_proj` is our three projections in one."""

LLAMA_NAMES = {
    "token_embedding": "model.embed_tokens",
    "blocks.#.norm1": "model.layers.#.input_layernorm",
    "blocks.#.attention.q_proj": "model.layers.#.self_attn.q_proj",
    "blocks.#.attention.k_proj": "model.layers.#.self_attn.k_proj",
    "blocks.#.attention.v_proj": "model.layers.#.self_attn.v_proj",
    "blocks.#.attention.o_proj": "model.layers.#.self_attn.o_proj",
    "blocks.#.attention.q_norm": "model.layers.#.self_attn.q_norm",
    "blocks.#.attention.k_norm": "model.layers.#.self_attn.k_norm",
    "blocks.#.norm2": "model.layers.#.post_attention_layernorm",
    "blocks.#.mlp.gate_proj": "model.layers.#.mlp.gate_proj",
    "blocks.#.mlp.up_proj": "model.layers.#.mlp.up_proj",
    "blocks.#.mlp.down_proj": "model.layers.#.mlp.down_proj",
    "norm": "model.norm",
    "lm_head": "lm_head",
}
"""Our module's name to Llama's, which its siblings share."""

APERTUS_NAMES = LLAMA_NAMES | {
    "blocks.#.norm1": "model.layers.#.attention_layernorm",
    "blocks.#.norm2": "model.layers.#.feedforward_layernorm",
}


def gpt2_state(state: State) -> State:
    """Our weights as GPT-2's: one matrix for q, k and v, and matrices stored transposed.

    GPT-2's `Conv1D` computes `x @ weight` where `nn.Linear` computes `x @ weight.T`.
    """
    fused = {name: tensor for name, tensor in state.items() if not _is_qkv(name)}
    for name in state:
        if ".q_proj." in name:
            three = [state[name.replace(".q_proj.", f".{which}_proj.")] for which in "qkv"]
            fused[name.replace(".q_proj.", ".qkv_proj.")] = torch.cat(three)
    return {name: _conv1d(name, tensor) for name, tensor in rename(fused, GPT2_NAMES).items()}


def from_gpt2_state(state: State) -> State:
    """GPT-2's weights as ours. The hub's oldest files leave out the prefix `transformer.`."""
    theirs = {}
    for name, tensor in state.items():
        if not name.endswith((".attn.bias", ".attn.masked_bias")):  # masks, once kept as buffers
            full = name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}"
            theirs[full] = _conv1d(name, tensor)
    fused = rename(theirs, inverse(GPT2_NAMES))
    ours = {name: tensor for name, tensor in fused.items() if ".qkv_proj." not in name}
    for name in fused.keys() - ours.keys():
        for which, tensor in zip("qkv", fused[name].chunk(3), strict=True):
            ours[name.replace(".qkv_proj.", f".{which}_proj.")] = tensor
    return ours


def from_llama_state(state: State, names: dict[str, str]) -> State:
    """The weights of a Llama or a sibling as ours. Saved without a head they lack their prefix."""
    theirs = {
        name if name.startswith(("model.", "lm_head.")) else f"model.{name}": tensor
        for name, tensor in state.items()
        if "rotary_emb" not in name  # what can be computed, once kept as a buffer
    }
    return rename(theirs, inverse(names))


def _is_qkv(name: str) -> bool:
    return name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")


def _conv1d(name: str, tensor: Tensor) -> Tensor:
    """Transposed, where GPT-2 stores it so; in both directions."""
    return tensor.T if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else tensor


def _write_gpt2_config(config: GPTConfig) -> dict[str, Any]:
    return {
        "n_positions": config.context_length,
        "n_embd": config.d_model,
        "n_layer": config.n_layers,
        "n_head": config.n_heads,
        "n_inner": config.ff_width,
        "activation_function": "gelu_pytorch_tanh",
        "layer_norm_epsilon": config.norm_eps,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
    }


def _read_gpt2_config(values: dict[str, Any]) -> dict[str, Any]:
    require(values, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    require(values, "scale_attn_weights", True)
    require(values, "scale_attn_by_inverse_layer_idx", False)
    require(values, "add_cross_attention", False)
    return {
        "context_length": values["n_positions"],
        "d_model": values["n_embd"],
        "n_layers": values["n_layer"],
        "n_heads": values["n_head"],
        "d_ff": values.get("n_inner"),
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "dropout": values.get("resid_pdrop", 0.1),
        "tie_embeddings": values.get("tie_word_embeddings", True),
    }


def _write_llama_config(config: GPTConfig) -> dict[str, Any]:
    return {
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "intermediate_size": config.ff_width,
        "hidden_act": _ACTIVATIONS[config.mlp],
        "rms_norm_eps": config.norm_eps,
        **write_rope(config),
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": config.dropout,
    }


def _read_llama_config(values: dict[str, Any]) -> dict[str, Any]:
    family = GPT_FORMATS[values["model_type"]]
    require(values, "hidden_act", _ACTIVATIONS[family.parts["mlp"]])
    require(values, "attention_bias", False)
    require(values, "mlp_bias", False)
    require(values, "use_sliding_window", False)
    values = _USUAL[values["model_type"]] | values
    return {
        "context_length": values["max_position_embeddings"],
        "d_model": values["hidden_size"],
        "n_layers": values["num_hidden_layers"],
        "n_heads": values["num_attention_heads"],
        "n_kv_heads": values.get("num_key_value_heads"),
        "head_dim": values.get("head_dim"),
        "d_ff": values["intermediate_size"],
        "norm_eps": values["rms_norm_eps"],
        "dropout": values.get("attention_dropout") or 0.0,
        "tie_embeddings": values.get("tie_word_embeddings", False),
        **read_rope(values),
    }


def _llama_family(architecture: str, mlp: str, qk_norm: bool, names: dict[str, str]) -> Format:
    """Llama or a sibling: the same but for the MLP, QK-norm, and what norms are called."""
    return Format(
        architecture=architecture,
        family=FAMILIES["gpt"],
        parts={
            "norm": "rmsnorm",
            "mlp": mlp,
            "residual": "pre",
            "positions": "rope",
            "qk_norm": qk_norm,
            "bias": False,
        },
        free=(*SIZES, *RELATIVE, "rope_theta", "rope_factor", "rope_original_length"),
        choices={"rope_scaling": WRITTEN},
        to_theirs=lambda state, config: rename(state, names),
        to_ours=lambda state, config: from_llama_state(state, names),
        write_config=_write_llama_config,
        read_config=_read_llama_config,
    )


_ACTIVATIONS = {"swiglu": "silu", "squared_relu": "relu2"}

_USUAL: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 2048, "rms_norm_eps": 1e-6},
    "qwen3": {"max_position_embeddings": 32768, "rms_norm_eps": 1e-6},
    "arcee": {"max_position_embeddings": 4096, "rms_norm_eps": 1e-5},
    "apertus": {"max_position_embeddings": 65536, "rms_norm_eps": 1e-5},
}
"""What `transformers` takes where a config, which a person may have written, leaves it out."""

GPT_FORMATS = {
    "gpt2": Format(
        architecture="GPT2LMHeadModel",
        family=FAMILIES["gpt"],
        parts={
            "norm": "layernorm",
            "mlp": "gelu_tanh",
            "residual": "pre",
            "positions": "learned",
            "qk_norm": False,
            "bias": True,
        },
        free=(*SIZES, *ROPE, *RELATIVE),
        changes=even_heads,
        to_theirs=lambda state, config: gpt2_state(state),
        to_ours=lambda state, config: from_gpt2_state(state),
        write_config=_write_gpt2_config,
        read_config=_read_gpt2_config,
    ),
    "llama": _llama_family("LlamaForCausalLM", "swiglu", False, LLAMA_NAMES),
    "qwen3": _llama_family("Qwen3ForCausalLM", "swiglu", True, LLAMA_NAMES),
    "arcee": _llama_family("ArceeForCausalLM", "squared_relu", False, LLAMA_NAMES),
    "apertus": _llama_family("ApertusForCausalLM", "squared_relu", True, APERTUS_NAMES),
}
"""The library's families that `GPT` spans, by their `model_type`."""
