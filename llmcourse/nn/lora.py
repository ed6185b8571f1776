"""LoRA: a large matrix held still, and beside it the product of two small ones that learn.

`y = W x + (alpha / R) B A x`, Hu et al., 2021. Adapters go into a model in place, have names, and
can be used one at a time; merged, they cost nothing. Not here: which layers a method of
`finetune/` lets move, files in other libraries' format (`export/peft.py`). Chapter 13 teaches this.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import Parameter

from llmcourse.errors import UserError, nearest, require

DEFAULT = "default"
"""The name of an adapter that nobody named."""


class Adapter(nn.Module):
    """Adapter of one matrix: A `[R, in]`, B `[out, R]`, and the factor of their product.

    A is drawn as `nn.Linear` draws its weights, B is zero: at first the product changes nothing,
    and yet B's gradient is not zero.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        require(rank >= 1, f"rank={rank} must be at least 1: try 8")
        require(alpha > 0, f"alpha={alpha:g} must be above 0: try {rank}")
        require(0 <= dropout < 1, f"dropout={dropout:g} must be in [0, 1): try 0.05")
        out_features, in_features = base.weight.shape
        self.rank, self.alpha = rank, alpha
        self.lora_a = Parameter(base.weight.new_empty(rank, in_features))
        self.lora_b = Parameter(base.weight.new_zeros(out_features, rank))
        self.dropout = nn.Dropout(dropout)
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))

    @property
    def scale(self) -> float:
        """The factor of the product: alpha / R, so that another rank needs no other rate."""
        return self.alpha / self.rank

    def delta(self) -> Float[Tensor, "out in"]:
        """What the adapter adds to the matrix: `(alpha / R) B A`."""
        return self.scale * self.lora_b @ self.lora_a

    def forward(self, x: Float[Tensor, "*B in"]) -> Float[Tensor, "*B out"]:
        """What the adapter adds to the matrix's output, by way of R numbers."""
        return self.scale * F.linear(F.linear(self.dropout(x), self.lora_a), self.lora_b)


class LoRALinear(nn.Module):
    """Linear layer that is held still, with adapters beside it: `W x + (alpha / R) B A x`.

    Args:
        base: the layer; its parameters are held still from now on.
        rank: R, how many numbers are between A and B.
        alpha: the product is multiplied by alpha / R.
        dropout: of the adapter's input, in training.
        name: what the adapter is called.

    Attributes:
        adapters: the adapters by name.
        active: the name of the one in use, or None.

    Raises:
        UserError: a rank below 1, an alpha that is not positive, a dropout that is no fraction.
    """

    def __init__(
        self,
        base: nn.Linear,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        name: str = DEFAULT,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.adapters = nn.ModuleDict()
        self.active: str | None = None
        self.add(name, rank, alpha, dropout)

    @property
    def weight(self) -> Float[Tensor, "out in"]:
        """The base's matrix: whoever asks a linear layer for its weight may ask this one, too."""
        return self.base.weight

    @property
    def lora_a(self) -> Float[Tensor, "R in"]:
        """A of the adapter in use."""
        return self.adapter().lora_a

    @property
    def lora_b(self) -> Float[Tensor, "out R"]:
        """B of the adapter in use."""
        return self.adapter().lora_b

    def adapter(self) -> Adapter:
        """The adapter in use.

        Raises:
            UserError: all are off.
        """
        if self.active is None:
            raise UserError(f"no adapter is in use{nearest('', self.adapters)}")
        return self.named(self.active)

    def named(self, name: str) -> Adapter:
        """The adapter of a name, which there must be."""
        adapter = self.adapters[name]
        assert isinstance(adapter, Adapter)
        return adapter

    def add(self, name: str, rank: int, alpha: float, dropout: float = 0.0) -> None:
        """Add an adapter, and use it.

        Raises:
            UserError: there is one of this name, or it is no name.
        """
        self.check_name(name)
        self.adapters[name] = Adapter(self.base, rank, alpha, dropout)
        self.active = name

    def check_name(self, name: str) -> None:
        """Refuse a name for a new adapter.

        Raises:
            UserError: there is one of this name, or it is no name.
        """
        require(name.isidentifier(), f"{name!r} cannot name an adapter: use letters, digits and _")
        if name in self.adapters:
            raise UserError(f"there is an adapter {name!r} already: choose another name")

    def use(self, name: str | None) -> None:
        """Use the adapter of a name from now on; None uses the base alone.

        Raises:
            UserError: there is none of this name.
        """
        if name is not None and name not in self.adapters:
            raise UserError(f"unknown adapter {name!r}{nearest(name, self.adapters)}")
        self.active = name

    def forward(self, x: Float[Tensor, "*B in"]) -> Float[Tensor, "*B out"]:
        """The base's output, and what the adapter in use adds to it."""
        hidden = self.base(x)
        return hidden if self.active is None else hidden + self.adapter()(x)

    def merged(self) -> nn.Linear:
        """The base with the adapter in use folded into its matrix: as fast as it was before."""
        if self.active is not None:
            with torch.no_grad():
                self.base.weight += self.adapter().delta()
        return self.base


# --- a whole model --------------------------------------------------------------------------------


def add_lora(
    model: nn.Module,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    name: str = DEFAULT,
) -> list[str]:
    """Put an adapter beside each linear layer that a target names; all else is held still.

    Args:
        model: changed in place.
        targets: the last parts of the layers' names: `q_proj`, or `attention.q_proj`.
        rank: R of each.
        alpha: each product is multiplied by alpha / R.
        dropout: of the adapters' inputs, in training.
        name: what the adapter is called. A layer that has others keeps them.

    Returns:
        The names of the layers.

    Raises:
        UserError: a target names no linear layer, one that has an adapter of this name, or one
            whose matrix has another use, too. The model is then untouched.
    """
    found = linear_layers(model)
    chosen: list[str] = []
    for target in targets:
        layers = [layer for layer in found if f".{layer}".endswith(f".{target}")]
        if not layers:
            there = sorted({layer.rpartition(".")[2] for layer in found})
            raise UserError(f"no linear layer is called {target!r}{nearest(target, there)}")
        chosen += [layer for layer in layers if layer not in chosen]
    chosen = [layer for layer in found if layer in chosen]  # in the model's own order
    check_free(model, chosen, name)
    model.requires_grad_(False)
    for layer in chosen:
        adapt(model, layer, rank, alpha, dropout, name)
    use_lora(model, name)
    for parameter in lora_parameters(model, name):
        parameter.requires_grad_(True)
    return chosen


def linear_layers(model: nn.Module) -> dict[str, nn.Linear | LoRALinear]:
    """All layers that can have an adapter, or have one, by name."""
    found: dict[str, nn.Linear | LoRALinear] = {}
    for name, module in model.named_modules():
        inside = name.rpartition(".")[0] in found  # the base of a layer that has adapters
        if isinstance(module, nn.Linear | LoRALinear) and not inside:
            found[name] = module
    return found


def check_free(model: nn.Module, layers: Sequence[str], name: str = DEFAULT) -> None:
    """Refuse to put an adapter of this name beside these layers, before anything is changed.

    Raises:
        UserError: a layer has one of this name, or its matrix has another use, too.
    """
    for layer in layers:
        module = model.get_submodule(layer)
        if isinstance(module, LoRALinear):
            module.check_name(name)
            continue
        uses = [n for n, p in model.named_parameters(remove_duplicate=False) if p is module.weight]
        if len(uses) > 1:  # a tied head: what is folded into it, the embedding would have, too
            raise UserError(f"{layer} cannot have an adapter: its matrix is {uses[0]}, too")


def adapt(
    model: nn.Module, layer: str, rank: int, alpha: float, dropout: float = 0.0, name: str = DEFAULT
) -> Adapter:
    """Put an adapter beside one linear layer that is free for it (`check_free`)."""
    module = model.get_submodule(layer)
    if isinstance(module, LoRALinear):
        module.add(name, rank, alpha, dropout)
    else:
        assert isinstance(module, nn.Linear)
        module = LoRALinear(module, rank, alpha, dropout, name).train(module.training)
        put(model, layer, module)
    return module.named(name)


def use_lora(model: nn.Module, name: str | None) -> None:
    """Use the adapter of a name in the whole model; None uses the base alone.

    Layers without an adapter of this name use none.

    Raises:
        UserError: no layer has an adapter of this name.
    """
    layers = lora_layers(model)
    known = {each for layer in layers.values() for each in layer.adapters}
    if name is not None and name not in known:
        raise UserError(f"unknown adapter {name!r}{nearest(name, known)}")
    for layer in layers.values():
        layer.use(name if name is not None and name in layer.adapters else None)


def merge_lora(model: nn.Module) -> list[str]:
    """Fold the adapters in use into their matrices, and put plain linear layers back.

    Adapters that are not in use are lost. Returns the names of the layers.

    Raises:
        UserError: there is no adapter: what is merged once is not merged twice.
    """
    layers = lora_layers(model)
    if not layers:
        raise UserError("this model has no adapters to merge: call add_lora first")
    for name, layer in layers.items():
        put(model, name, layer.merged())
    return list(layers)


def lora_layers(model: nn.Module) -> dict[str, LoRALinear]:
    """The layers that have adapters, by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, LoRALinear)}


def lora_parameters(model: nn.Module, name: str | None = None) -> Iterator[Parameter]:
    """The adapters' parameters, or those of one adapter: what an optimizer is to be given."""
    for layer in lora_layers(model).values():
        for each, adapter in layer.adapters.items():
            if name in (None, each):
                yield from adapter.parameters()


# --- kept and loaded ------------------------------------------------------------------------------


def lora_state(model: nn.Module, name: str = DEFAULT) -> dict[str, Tensor]:
    """An adapter's tensors alone, as `blocks.0.attention.q_proj.lora_a`.

    Raises:
        UserError: there is no adapter of this name.
    """
    state = {}
    for layer, module in lora_layers(model).items():
        if name in module.adapters:
            adapter = module.named(name)
            state[f"{layer}.lora_a"] = adapter.lora_a.detach()
            state[f"{layer}.lora_b"] = adapter.lora_b.detach()
    if not state:
        raise UserError(f"this model has no adapter {name!r} to save: call add_lora first")
    return state


def load_lora_state(model: nn.Module, state: dict[str, Tensor], name: str = DEFAULT) -> None:
    """Copy what `lora_state` gave into an adapter of the same layers and rank.

    Raises:
        UserError: a name is missing or unknown, or a shape differs; the model is then untouched.
    """
    wanted = lora_state(model, name)
    if odd := sorted(wanted.keys() ^ state.keys()):
        where = "is missing" if odd[0] in wanted else "has no place here"
        raise UserError(f"the adapter is one of other layers: {odd[0]} {where}")
    for key, place in wanted.items():
        if place.shape != state[key].shape:
            raise UserError(
                f"the adapter is one of another shape: {key} is {list(state[key].shape)} there "
                f"and {list(place.shape)} here"
            )
    with torch.no_grad():
        for key, place in wanted.items():
            place.copy_(state[key])


def put(model: nn.Module, name: str, module: nn.Module) -> None:
    """Give a module its place in the model."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)
