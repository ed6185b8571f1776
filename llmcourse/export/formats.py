"""How one family of another library is described, so that one door serves all (`huggingface.py`).

A format says what a config of ours must be, and translates weights and settings both ways. Not
here: the formats themselves (`huggingface_gpt.py`, `huggingface_bert.py`, `huggingface_t5.py`).
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from typing import Any

from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.registry import Family

State = dict[str, Tensor]

SIZES = (
    *("vocab_size", "context_length", "d_model", "n_layers", "d_ff", "norm_eps", "dropout"),
    *("n_heads", "n_kv_heads", "head_dim", "tie_embeddings", "zero_init_outputs"),
)
"""What a format says (`changes` has the exceptions), or need not say: how the weights began."""
ROPE = ("rope_theta", "rope_scaling", "rope_factor", "rope_original_length")
RELATIVE = ("relative_buckets", "relative_distance")
"""What needs to be said of one kind of positions, and changes nothing with another."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One of the library's families.

    Attributes:
        architecture: the class that `transformers` builds.
        head: what it calls the output head's matrix, which a file need not hold if it is tied.
        family: our config and model of which it holds some.
        parts: what our config must say to be of this format.
        free: fields of which it says any value, or that change nothing beside these parts.
        choices: fields of which it says some values. A field in none of the three must be as it is
            unless given: so a part that a format has never heard of is refused, not left out.
        changes: what it would have to say besides, given the rest of it; empty where all is well.
        to_theirs: our weights, and our config, to the weights under their names.
        to_ours: their weights, and our config, to the weights under our names.
        write_config: our config to theirs.
        read_config: their config to the keyword arguments of ours, but for `parts`.
        read_weights: their weights to those keyword arguments that only weights tell.
    """

    architecture: str
    head: str = "lm_head.weight"
    family: Family
    parts: dict[str, Any]
    free: tuple[str, ...]
    choices: dict[str, Collection[Any]] = field(default_factory=dict)
    changes: Callable[[Any], dict[str, Any]] = lambda config: {}
    to_theirs: Callable[[State, Any], State]
    to_ours: Callable[[State, Any], State]
    write_config: Callable[[Any], dict[str, Any]]
    read_config: Callable[[dict[str, Any]], dict[str, Any]]
    read_weights: Callable[[State], dict[str, Any]] = lambda state: {}

    def differences(self, config: Any) -> dict[str, Any]:
        """What a config would have to say instead, to be of this format."""
        wrong = {}
        for item in fields(config):
            fixed = self.parts.get(item.name, item.default)
            allowed = tuple(self.choices.get(item.name, (fixed,)))
            if item.name not in self.free and getattr(config, item.name) not in allowed:
                wrong[item.name] = allowed[0]
        return wrong | self.changes(config)


def own_keys(config: Any) -> dict[str, Any]:
    """Each query head needs keys and values of its own."""
    return {} if config.kv_heads == config.n_heads else {"n_kv_heads": config.n_heads}


def even_heads(config: Any) -> dict[str, Any]:
    """Heads must share the width evenly, and have keys and values of their own."""
    even = config.head_width * config.n_heads == config.d_model
    return own_keys(config) | ({} if even else {"head_dim": config.d_model // config.n_heads})


def inverse(names: dict[str, str]) -> dict[str, str]:
    """A table of names, read from right to left."""
    return {theirs: ours for ours, theirs in names.items()}


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


def require(values: dict[str, Any], name: str, *allowed: Any) -> None:
    """Refuse a feature that our model does not have.

    A setting that is missing has the first of the allowed values.

    Raises:
        UserError: the setting has none of them.
    """
    value = values.get(name, allowed[0])
    if value not in allowed:
        raise UserError(f"{name}={value!r} is not supported, only {allowed[0]!r} is")
