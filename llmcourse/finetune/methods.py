"""What may move in fine-tuning, and how fast: full, frozen, gradual; rates that differ by layer.

A model with a head is cut into groups from the bottom up: embeddings, each block, head. A method
says, at each moment of a run, how many groups from the top may move. Not here: the loop that asks
(`fit.py`), adapters. Chapter 11 teaches this.
"""

import hashlib
import math
import re
from collections.abc import Callable
from typing import NamedTuple

from torch import nn
from torch.nn import Parameter

from llmcourse.errors import nearest, require
from llmcourse.finetune.heads import Adapted
from llmcourse.models.adapters import KINDS as ADAPTERS

_BLOCK = re.compile(r"(?:^|\.)(?:blocks|layers)\.(\d+)\.")
_NOT_READ = re.compile(
    r"(?:^|\.)(?:(?:decoder|lm_head|mlm_transform|pair_head|pooler|projection)\.|query_seed$)"
)
"""What of a backbone no task head reads: its own output heads, and a decoder behind an encoder."""


class LayerGroup(NamedTuple):
    """A layer: its name, and its parameters by their names in the model."""

    name: str
    parameters: dict[str, Parameter]


def layer_groups(model: Adapted) -> list[LayerGroup]:
    """The layers of a model with a head, from the bottom up: embeddings, blocks, head.

    The norm behind the last block belongs to it. Parameters that the head's loss cannot reach (the
    backbone's own output head, unless it is tied to the embeddings) are in no group.
    """
    groups: dict[str, dict[str, Parameter]] = {"embeddings": {}}
    after: dict[str, Parameter] = {}
    for name, parameter in model.backbone.named_parameters():
        if _NOT_READ.search(name) and not model.reads_own_head:
            continue
        block = _BLOCK.search(name)
        if block:
            group = groups.setdefault(f"block {int(block[1]) + 1}", {})
        else:
            group = groups["embeddings"] if "embedding" in name else after
        group[f"backbone.{name}"] = parameter
    groups[list(groups)[-1]].update(after)
    own = {n: p for n, p in model.named_parameters() if not n.startswith("backbone.")}
    head = [LayerGroup("head", own)] if own else []
    return [*(LayerGroup(*group) for group in groups.items()), *head]


def adapter_groups(model: Adapted) -> list[LayerGroup]:
    """What learns beside a backbone that is held still, and the head, if there is one."""
    beside = {n: p for n, p in model.backbone.named_parameters() if p.requires_grad}
    own = {n: p for n, p in model.named_parameters() if not n.startswith("backbone.")}
    named = {f"backbone.{name}": parameter for name, parameter in beside.items()}
    return [LayerGroup("adapter", named), *([LayerGroup("head", own)] if own else [])]


# --- which groups move ----------------------------------------------------------------------------


def full(progress: float, n_groups: int) -> int:
    """Every group moves from the first step on."""
    return n_groups


def frozen(progress: float, n_groups: int) -> int:
    """The head moves alone: the backbone is a reader of features."""
    return 1


def gradual(progress: float, n_groups: int, over: float = 0.5) -> int:
    """One more group from the top down at a time (Howard and Ruder, 2018).

    The head begins; the last group, the embeddings, joins when the share `over` of the run is done.
    """
    return min(n_groups, 1 + math.floor(progress / over * (n_groups - 1) + 1e-9))


Method = Callable[[float, int], int]
METHODS: dict[str, Method] = {"full": full, "frozen": frozen, "gradual": gradual}
"""How many groups, from the top, move at a progress in [0, 1], by the method's name."""


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        UserError: there is none.
    """
    if name in ADAPTERS:
        return full  # of what is there to move: the base is held still by other means
    require(name in METHODS, f"unknown method {name!r}{nearest(name, METHODS)}")
    return METHODS[name]


def move(groups: list[LayerGroup], n_moving: int) -> None:
    """Let the last `n_moving` groups move, and hold the others still.

    A tied matrix belongs to one group, the embeddings. What is held still has no gradient: no
    optimizer, no decay and no momentum touches it.
    """
    for place, group in enumerate(groups):
        moves = place >= len(groups) - n_moving
        for parameter in group.parameters.values():
            parameter.requires_grad_(moves)
            if not moves:
                parameter.grad = None


# --- how fast -------------------------------------------------------------------------------------


def layerwise_rates(n_groups: int, decay: float) -> list[float]:
    """Multipliers of the learning rate, from the bottom up: `decay` for each layer further down.

    The head's is 1. ULMFiT divides by 2.6 a layer (Howard and Ruder, 2018), ELECTRA multiplies by
    0.8 (Clark et al., 2020).

    Raises:
        UserError: the decay is not in (0, 1].
    """
    require(0 < decay <= 1, f"layer_decay={decay} must be above 0 and at most 1: try 0.8")
    return [decay ** (n_groups - 1 - place) for place in range(n_groups)]


def fingerprint(parameters: dict[str, Parameter]) -> str:
    """A hash of names and values, to the last bit: the same before and after if nothing moved."""
    seen = hashlib.sha256()
    for name, parameter in sorted(parameters.items()):
        seen.update(name.encode())
        seen.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return seen.hexdigest()


def n_moving_parameters(model: nn.Module) -> int:
    """How many numbers may move."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
