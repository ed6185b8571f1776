"""LoRA adapters in the format of `peft`, both ways: `adapter_config.json` and its tensors.

Needs no `peft`: the format is two files. What is written, `PeftModel.from_pretrained` puts on the
same base in the library's own format (`huggingface.py`). GPT-2 has one matrix for queries, keys and
values, so their adapters become one of the sum of their ranks, block-diagonal in B. Not here:
adapters themselves (`nn/lora.py`), other kinds than LoRA. Chapter 13 teaches this.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.export.formats import State, inverse, rename
from llmcourse.export.huggingface import choose_format
from llmcourse.export.huggingface_gpt import APERTUS_NAMES, GPT2_NAMES, GPT_FORMATS, LLAMA_NAMES
from llmcourse.files import atomic_write_bytes, atomic_write_text
from llmcourse.models.base import Model
from llmcourse.models.files import read_json, read_tensors, unique_state
from llmcourse.nn.lora import DEFAULT, adapt, check_free, linear_layers, lora_layers, use_lora

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
BASE_HASH = "base_sha256"
"""What the tensors' file says of the base: `peft` does not read it, and we refuse another base."""

_PREFIX = "base_model.model."
_FUSED, _PARTS = ".qkv_proj", (".q_proj", ".k_proj", ".v_proj")
_MUST_BE = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None,),
}
"""What a config of theirs must say; all else in it changes training alone, or names the layers."""


class LowRank(NamedTuple):
    """An adapter's tensors, A `[R, in]` and B `[out, R]`, whose product alpha / R scales."""

    a: Tensor
    b: Tensor
    alpha: float


def save_peft(
    model: Model, folder: str | os.PathLike[str], base: str, name: str = DEFAULT
) -> list[str]:
    """Write an adapter as `peft.PeftModel.from_pretrained` reads it; returns their layers' names.

    Args:
        model: a GPT with adapters (`nn/lora.py`).
        folder: where to.
        base: the name or path of the base in Hugging Face's format, which the file repeats.
        name: which of its adapters.

    Raises:
        UserError: there is no such adapter, or the model has no family in the library.
        OSError: no room or no permission.
    """
    names = _their_names(model)
    adapters = {n: m.named(name) for n, m in lora_layers(model).items() if name in m.adapters}
    if not adapters:
        raise UserError(f"this model has no adapter {name!r} to save: call add_lora first")
    ours = {n: LowRank(one.lora_a, one.lora_b, one.alpha) for n, one in adapters.items()}
    if names is GPT2_NAMES:
        ours = _fused(model, ours)
    theirs = {_renamed(layer, names): one for layer, one in ours.items()}
    tensors: State = {}
    for layer, one in theirs.items():
        tensors[f"{_PREFIX}{layer}.lora_A.weight"] = one.a.detach().contiguous()
        tensors[f"{_PREFIX}{layer}.lora_B.weight"] = one.b.detach().contiguous()
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        **_ranks({layer: (len(one.a), one.alpha) for layer, one in theirs.items()}),
        "lora_dropout": next(iter(adapters.values())).dropout.p,
        "fan_in_fan_out": names is GPT2_NAMES,  # whose matrices are stored transposed
        "bias": "none",
        "inference_mode": True,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt", BASE_HASH: base_hash(model)}
    atomic_write_bytes(folder / WEIGHTS_FILE, save(tensors, metadata=metadata))
    atomic_write_text(folder / CONFIG_FILE, json.dumps(config, indent=2) + "\n")
    return sorted(theirs)


def load_peft(model: Model, folder: str | os.PathLike[str], name: str = DEFAULT) -> list[str]:
    """Put the adapter that `peft` or `save_peft` wrote beside a model's layers, and use it.

    All else in the model is held still. Returns the names of the layers.

    Raises:
        UserError: no adapter there, a damaged one, one of a kind that ours do not span, or one of
            another base; the model is then untouched.
    """
    folder = Path(folder)
    config, path = read_json(folder / CONFIG_FILE), folder / WEIGHTS_FILE
    for key, allowed in _MUST_BE.items():
        if config.get(key, allowed[0]) not in allowed:
            raise UserError(
                f"{folder / CONFIG_FILE}: {key}={config[key]!r} is not supported, "
                f"only {allowed[0]!r} is"
            )
    tensors = read_tensors(path)
    with safe_open(path, framework="pt") as file:
        made_for = (file.metadata() or {}).get(BASE_HASH)
    if made_for not in (None, base_hash(model)):
        raise UserError(f"{folder} is an adapter of another base: its weights are not this model's")
    adapters = _ours(model, config, tensors, folder)
    layers = linear_layers(model)
    for layer, one in adapters.items():
        _check_fits(layer, layers.get(layer), one, folder)
    check_free(model, list(adapters), name)
    model.requires_grad_(False)
    for layer, (a, b, alpha) in adapters.items():
        adapter = adapt(model, layer, len(a), alpha, config.get("lora_dropout", 0.0), name)
        with torch.no_grad():
            adapter.lora_a.copy_(a)
            adapter.lora_b.copy_(b)
    use_lora(model, name)
    return list(adapters)


def base_hash(model: Model) -> str:
    """A hash of the base's names and values, adapters left out, in single precision."""
    seen = hashlib.sha256()
    for name, tensor in sorted(unique_state(model).items()):
        if ".adapters." not in name:
            seen.update(name.replace(".base.", ".").encode())
            seen.update(tensor.cpu().float().contiguous().numpy().tobytes())
    return seen.hexdigest()


def _their_names(model: Model) -> dict[str, str]:
    family = choose_format(model)
    if family not in GPT_FORMATS:
        raise UserError(f"adapters of a {family} have no format here: adapt a GPT")
    return {"gpt2": GPT2_NAMES, "apertus": APERTUS_NAMES}.get(family, LLAMA_NAMES)


def _renamed(layer: str, names: dict[str, str]) -> str:
    (name,) = rename({f"{layer}.weight": torch.empty(0)}, names)
    return name.removesuffix(".weight")


def _ranks(layers: dict[str, tuple[int, float]]) -> dict[str, Any]:
    """What a config says of ranks and alphas by layer: what is usual, and where it is otherwise."""
    rank, alpha = next(iter(layers.values()))
    return {
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: r for name, (r, _) in layers.items() if r != rank},
        "alpha_pattern": {name: a for name, (_, a) in layers.items() if a != alpha},
        "target_modules": sorted(layers),
    }


# --- GPT-2's one matrix for three -----------------------------------------------------------------


def _fused(model: Model, ours: dict[str, LowRank]) -> dict[str, LowRank]:
    """The adapters with those of q, k and v in one: A stacked, B block-diagonal."""
    found = {layer: one for layer, one in ours.items() if not layer.endswith(_PARTS)}
    layers = linear_layers(model)
    for attention in dict.fromkeys(n.rpartition(".")[0] for n in ours if n.endswith(_PARTS)):
        there = {part: ours[attention + part] for part in _PARTS if attention + part in ours}
        ranks = {part: len(one.a) for part, one in there.items()}
        factors = {one.alpha / len(one.a) for one in there.values()}
        if len(factors) > 1:
            raise UserError(
                f"the adapters of {attention} have different alpha / rank, and GPT-2 has one "
                "matrix for the three: give them the same"
            )
        rank, before, blocks = sum(ranks.values()), 0, []
        for part in _PARTS:
            weight = layers[attention + part].weight
            block = weight.new_zeros(len(weight), rank)
            if part in there:
                block[:, before : before + ranks[part]] = there[part].b.detach()
                before += ranks[part]
            blocks.append(block)
        stacked = torch.cat([one.a for one in there.values()])
        found[attention + _FUSED] = LowRank(stacked, torch.cat(blocks), factors.pop() * rank)
    return found


# --- reading --------------------------------------------------------------------------------------


def _ours(model: Model, config: dict[str, Any], tensors: State, folder: Path) -> dict[str, LowRank]:
    """What the file holds for each of our layers."""
    back = inverse(_their_names(model))
    found = {}
    for key in sorted(tensors):
        match = re.fullmatch(rf"{re.escape(_PREFIX)}(.+)\.lora_A\.weight", key)
        other = key.replace(".lora_A.", ".lora_B.")
        if match is None:
            if ".lora_B." not in key or key.replace(".lora_B.", ".lora_A.") not in tensors:
                raise UserError(f"{folder}: {key} is no part of a LoRA adapter of linear layers")
            continue
        if other not in tensors:
            raise UserError(f"{folder} is damaged: {other} is missing; save the adapter again")
        a, b, theirs = tensors[key], tensors[other], match[1]
        rank = _setting(config, "rank_pattern", "r", theirs)
        if rank != len(a):
            raise UserError(
                f"{folder} is damaged: {theirs} has rank {len(a)}, and the config says {rank}"
            )
        alpha = _setting(config, "alpha_pattern", "lora_alpha", theirs)
        layer = _renamed(theirs, back)
        if layer.endswith(_FUSED):
            for part, rows in zip(_PARTS, b.chunk(3), strict=True):
                found[layer.removesuffix(_FUSED) + part] = LowRank(a, rows, alpha)
        else:
            found[layer] = LowRank(a, b, alpha)
    if not found:
        raise UserError(f"{folder} is damaged: it holds no adapter; save it again")
    return found


def _setting(config: dict[str, Any], patterns: str, usual: str, layer: str) -> float:
    """What holds for a layer: by the pattern that its name ends in, else what is usual."""
    for pattern, value in (config.get(patterns) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", layer):
            return value
    return config.get(usual, 8)


def _check_fits(layer: str, there: Any, one: LowRank, folder: Path) -> None:
    other = f"{folder} is an adapter of another base"
    if there is None:
        raise UserError(f"{other}: it adapts {layer}, which this model has not")
    shape = [len(one.b), one.a.size(1)]
    if shape != list(there.weight.shape) or len(one.a) != one.b.size(1):
        raise UserError(f"{other}: {layer} is {shape} there and {list(there.weight.shape)} here")
