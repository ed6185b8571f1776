"""The Hugging Face format, both ways: a directory that `transformers` opens, and one that it wrote.

This is the one place where foreign names (`c_attn`, `wte`) appear. A GPT of the recipe of 2019 is a
GPT-2; one of today's is a Llama, or a sibling of it that has QK-norm, squared ReLU or both. Needs
no `transformers`: the format is two files. Not here: tokenizers, ONNX. Chapter 17 teaches this.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    model_of,
    read_json,
    read_tensors,
    unique_state,
    write_model,
)
from llmcourse.models.gpt import GPT, GPTConfig

State = dict[str, Tensor]

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


@dataclass(frozen=True)
class Format:
    """One of the library's families.

    Attributes:
        architecture: the class that `transformers` builds.
        parts: what a `GPTConfig` must say to be of this family.
        to_theirs: our weights under their names.
        to_ours: their weights under our names.
        write_config: our config to theirs.
        read_config: their config to the keyword arguments of ours.
    """

    architecture: str
    parts: dict[str, Any]
    to_theirs: Callable[[State], State]
    to_ours: Callable[[State], State]
    write_config: Callable[[GPTConfig], dict[str, Any]]
    read_config: Callable[[dict[str, Any]], dict[str, Any]]


def to_huggingface(model: GPT, directory: str | os.PathLike) -> str:
    """Write what `AutoModelForCausalLM.from_pretrained(directory)` opens; returns its family.

    Raises:
        UserError: the model combines parts that no family of the library combines.
    """
    family = choose_format(model.config)
    chosen = FORMATS[family]
    config = {
        "architectures": [chosen.architecture],
        "model_type": family,
        "vocab_size": model.config.vocab_size,
        "tie_word_embeddings": model.config.tie_embeddings,
        # Left open, transformers would fill in token ids that the vocabulary may not have.
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **chosen.write_config(model.config),
    }
    write_model(directory, chosen.to_theirs(unique_state(model)), config)
    return family


def from_huggingface(directory: str | os.PathLike) -> GPT:
    """The model that `transformers` saved in `directory`, in evaluation mode.

    Raises:
        UserError: no model there, a damaged one, or one of a family that `GPT` does not span.
    """
    directory = Path(directory)
    chosen, config = _read_config(directory / CONFIG_FILE)
    tensors = chosen.to_ours(_read_shards(directory))
    if config.tie_embeddings:
        tensors.pop("lm_head.weight", None)  # some files hold the same matrix twice
    return model_of(config, tensors, directory)


def choose_format(config: GPTConfig) -> str:
    """The library's family that has all of a config's parts.

    Raises:
        UserError: there is none; the message says what would have to change.
    """
    differences = {
        name: {
            part: wanted for part, wanted in chosen.parts.items() if getattr(config, part) != wanted
        }
        for name, chosen in FORMATS.items()
    }
    if not differences["gpt2"]:
        if config.kv_heads != config.n_heads:
            differences["gpt2"]["n_kv_heads"] = config.n_heads
        if config.head_width * config.n_heads != config.d_model:
            differences["gpt2"]["head_dim"] = config.d_model // config.n_heads
    family = min(differences, key=lambda name: len(differences[name]))
    if differences[family]:
        changes = ", ".join(f"{part}={wanted!r}" for part, wanted in differences[family].items())
        raise UserError(
            f"Hugging Face has no family with all parts of this model; nearest is {family}: "
            f"train one with {changes} to export it"
        )
    return family


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
    fused = rename(theirs, {theirs: ours for ours, theirs in GPT2_NAMES.items()})
    ours = {name: tensor for name, tensor in fused.items() if ".qkv_proj." not in name}
    for name in fused.keys() - ours.keys():
        for which, tensor in zip("qkv", fused[name].chunk(3), strict=True):
            ours[name.replace(".qkv_proj.", f".{which}_proj.")] = tensor
    return ours


def rename(state: State, names: dict[str, str]) -> State:
    """The same tensors by other names; a name that the table lacks is kept."""
    renamed = {}
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        layer = re.search(r"\.(\d+)\.", name)
        template = module if layer is None else module.replace(layer[0], ".#.", 1)
        found = names.get(template, module)
        renamed[f"{found if layer is None else found.replace('#', layer[1])}.{leaf}"] = tensor
    return renamed


def _is_qkv(name: str) -> bool:
    return name.split(".")[-2] in ("q_proj", "k_proj", "v_proj")


def _conv1d(name: str, tensor: Tensor) -> Tensor:
    """Transposed, where GPT-2 stores it so; in both directions."""
    return tensor.T if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")) else tensor


def _read_config(path: Path) -> tuple[Format, GPTConfig]:
    """The family that a `config.json` names, and our config of the same model."""
    values = read_json(path)
    family = values.get("model_type")
    if family not in FORMATS:
        raise UserError(f"{path} is a {family!r}: this course's GPT reads {', '.join(FORMATS)}")
    chosen = FORMATS[family]
    try:
        config = GPTConfig(
            **chosen.parts,
            **chosen.read_config(values),
            vocab_size=values["vocab_size"],
            tie_embeddings=values.get("tie_word_embeddings", family == "gpt2"),
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(f"{path} is damaged ({reason}): save the model again") from None
    return chosen, config


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
    _require(values, "activation_function", "gelu_new", "gelu_pytorch_tanh")
    _require(values, "scale_attn_weights", True)
    _require(values, "scale_attn_by_inverse_layer_idx", False)
    _require(values, "add_cross_attention", False)
    return {
        "context_length": values["n_positions"],
        "d_model": values["n_embd"],
        "n_layers": values["n_layer"],
        "n_heads": values["n_head"],
        "d_ff": values.get("n_inner"),
        "norm_eps": values.get("layer_norm_epsilon", 1e-5),
        "dropout": values.get("resid_pdrop", 0.1),
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
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": config.dropout,
    }


def _read_llama_config(values: dict[str, Any]) -> dict[str, Any]:
    family = FORMATS[values["model_type"]]
    _require(values, "hidden_act", _ACTIVATIONS[family.parts["mlp"]])
    _require(values, "attention_bias", False)
    _require(values, "mlp_bias", False)
    _require(values, "use_sliding_window", False)
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    _require({"rope_type": rope.get("rope_type", rope.get("type"))}, "rope_type", "default", None)
    return {
        "context_length": values["max_position_embeddings"],
        "d_model": values["hidden_size"],
        "n_layers": values["num_hidden_layers"],
        "n_heads": values["num_attention_heads"],
        "n_kv_heads": values.get("num_key_value_heads"),
        "head_dim": values.get("head_dim"),
        "d_ff": values["intermediate_size"],
        "norm_eps": values["rms_norm_eps"],
        "rope_theta": rope.get("rope_theta", values.get("rope_theta", 10_000.0)),
    }


def _require(values: dict[str, Any], name: str, *allowed: Any) -> None:
    """Refuse a feature that `GPT` does not have; a missing field has the first allowed value."""
    value = values.get(name, allowed[0])
    if value not in allowed:
        raise UserError(f"{name}={value!r} is not supported, only {allowed[0]!r} is")


def _read_shards(directory: Path) -> State:
    """All tensors, from one file or from the several that an index lists."""
    index = directory / f"{WEIGHTS_FILE}.index.json"
    if not index.exists():
        return read_tensors(directory / WEIGHTS_FILE)
    tensors: State = {}
    for name in sorted(set(read_json(index).get("weight_map", {}).values())):
        tensors |= read_tensors(directory / name)
    return tensors


def _llama_family(architecture: str, mlp: str, qk_norm: bool, names: dict[str, str]) -> Format:
    """Llama or a sibling: the same but for the MLP, QK-norm, and what norms are called."""
    back = {theirs: ours for ours, theirs in names.items()}
    return Format(
        architecture=architecture,
        parts={
            "norm": "rmsnorm",
            "mlp": mlp,
            "positions": "rope",
            "qk_norm": qk_norm,
            "bias": False,
        },
        to_theirs=lambda state: rename(state, names),
        to_ours=lambda state: rename(
            {name: tensor for name, tensor in state.items() if "rotary_emb" not in name}, back
        ),
        write_config=_write_llama_config,
        read_config=_read_llama_config,
    )


_ACTIVATIONS = {"swiglu": "silu", "squared_relu": "relu2"}

FORMATS = {
    "gpt2": Format(
        architecture="GPT2LMHeadModel",
        parts={
            "norm": "layernorm",
            "mlp": "gelu",
            "positions": "learned",
            "qk_norm": False,
            "bias": True,
        },
        to_theirs=gpt2_state,
        to_ours=from_gpt2_state,
        write_config=_write_gpt2_config,
        read_config=_read_gpt2_config,
    ),
    "llama": _llama_family("LlamaForCausalLM", "swiglu", False, LLAMA_NAMES),
    "qwen3": _llama_family("Qwen3ForCausalLM", "swiglu", True, LLAMA_NAMES),
    "arcee": _llama_family("ArceeForCausalLM", "squared_relu", False, LLAMA_NAMES),
    "apertus": _llama_family("ApertusForCausalLM", "squared_relu", True, APERTUS_NAMES),
}
"""The library's families that `GPT` spans, by their `model_type`."""
