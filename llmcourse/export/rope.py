"""Rotary positions in Hugging Face's words: `rope_parameters` of a Llama's `config.json`.

What it calls `default`, `linear`, `yarn` and `llama3` we have. NTK scaling is but another base, and
is written as one. Not here: the rest of the format (`huggingface.py`), and what the scalings do
(`nn/rope_scaling.py`). Chapter 04 teaches them.
"""

from typing import Any

from llmcourse.errors import UserError
from llmcourse.models.gpt import GPTConfig

_FIXED: dict[str, dict[str, Any]] = {
    "default": {},
    "linear": {},
    "yarn": {
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "attention_factor": None,
        "mscale": None,
        "mscale_all_dim": None,
        "truncate": True,
    },
    "llama3": {"low_freq_factor": 1.0, "high_freq_factor": 4.0},
}
"""What each kind lets one choose and `GPT` does not."""
WRITTEN = ("none", "ntk", *(kind for kind in _FIXED if kind != "default"))
"""The `rope_scaling` of ours that can be said."""


def write_rope(config: GPTConfig) -> dict[str, Any]:
    """The entries of a Llama's config that say how it rotates."""
    theta, kind = config.rope_theta, config.rope_scaling
    if kind == "ntk":
        theta *= config.rope_factor ** (config.head_width / max(config.head_width - 2, 1))
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if kind in _FIXED:
        rope |= {"rope_type": kind, "factor": float(config.rope_factor)}
    if kind in ("yarn", "llama3"):
        rope["original_max_position_embeddings"] = config.rope_trained_length
        rope |= {name: value for name, value in _FIXED[kind].items() if value is not None}
    return {"rope_theta": theta, "rope_parameters": rope}


def read_rope(values: dict[str, Any]) -> dict[str, Any]:
    """The fields of our config that say the same; from files before version 5, too.

    Raises:
        UserError: a kind of rotation that `GPT` does not have, or one that is not said whole.
    """
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if any(isinstance(value, dict) for value in rope.values()):
        raise UserError(f"layers that rotate differently ({', '.join(rope)}) are not supported")
    turned = rope.get("partial_rotary_factor", values.get("partial_rotary_factor"))
    if turned not in (None, 1):
        raise UserError(f"partial_rotary_factor={turned} is not supported: all of a head turns")
    kind = rope.get("rope_type", rope.get("type")) or "default"
    if kind not in _FIXED:
        raise UserError(f"rope_type={kind!r} is not supported, only {', '.join(_FIXED)} are")
    for name, wanted in _FIXED[kind].items():
        found = rope.get(name)
        if found is not None and found != wanted:
            raise UserError(f"{name}={found!r} of rope_type={kind!r} is not supported")
    fields = {"rope_theta": rope.get("rope_theta", values.get("rope_theta", 10_000.0))}
    if kind == "default":
        return fields
    fields["rope_scaling"] = kind
    if kind in ("yarn", "llama3"):
        fields["rope_original_length"] = _original_length(values, rope)
    factor = rope.get("factor")
    if factor is None and kind == "yarn":
        factor = values["max_position_embeddings"] / fields["rope_original_length"]
    if factor is None:
        raise UserError(f"rope_type={kind!r} needs a factor: say by how much it slows down")
    return fields | {"rope_factor": factor}


def _original_length(values: dict[str, Any], rope: dict[str, Any]) -> int:
    """The context before it was stretched: where `transformers` looks for it, in its order."""
    name = "original_max_position_embeddings"
    found = values.get(name) or rope.get(name)
    # A stretched model that does not say so is taken for one that was trained on all of it.
    return values["max_position_embeddings"] if found is None else found
