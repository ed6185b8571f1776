"""A model with what was trained beside it: low-rank matrices, a soft prompt, or keys and values.

An adapter knows the model to use, the base as it was, and its own few tensors, which are all that
is kept of it. On disk it is a folder `adapter` beside the base's weights. Not here: the parts
themselves (`nn/lora.py`, `nn/soft_prompts.py`), the format of `peft` (`export/peft.py`). Chapter 13
teaches this.
"""

import contextlib
import dataclasses
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from llmcourse.errors import UserError, nearest, require
from llmcourse.files import atomic_write_text
from llmcourse.models.base import Model, Output
from llmcourse.models.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    load_model,
    read_json,
    read_tensors,
    write_weights,
)
from llmcourse.nn.cache import KVCache
from llmcourse.nn.lora import add_lora, load_lora_state, lora_layers, lora_state, merge_lora, put
from llmcourse.nn.soft_prompts import add_soft_prompt, prefix_for
from llmcourse.plain import from_plain

FOLDER = "adapter"
"""Where an adapter lies, in the folder of its base's weights."""


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """What an adapter is.

    Attributes:
        kind: `lora`, `prompt` or `prefix`.
        rank: of LoRA's matrices, R.
        alpha: LoRA's product counts alpha / R times.
        targets: the ends of the names of the layers that get matrices.
        virtual_tokens: how many vectors a soft prompt has, or keys and values a prefix, P.

    Raises:
        UserError: an unknown kind.
    """

    kind: str
    rank: int = 8
    alpha: float = 16.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    virtual_tokens: int = 16

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UserError(f"unknown kind of adapter {self.kind!r}{nearest(self.kind, KINDS)}")


class Adapter(ABC):
    """Adapter: what was put beside a model, which itself is held still.

    Attributes:
        config: what it is.
        model: what is trained and used.
    """

    def __init__(self, config: AdapterConfig, model: Model) -> None:
        self.config, self.model = config, model

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Its own tensors, by name."""

    @abstractmethod
    def load(self, state: dict[str, Tensor]) -> None:
        """Copy tensors that `state` gave into it.

        Raises:
            UserError: they are another adapter's.
        """

    @abstractmethod
    def plain(self) -> contextlib.AbstractContextManager[Model]:
        """The base as it was, within the block."""

    def finished(self) -> Model:
        """The model to use from now on, when nothing is trained any more."""
        return self.model


class LowRankAdapter(Adapter):
    """LoRA (Hu et al., 2021)."""

    def __init__(self, config: AdapterConfig, base: Model) -> None:
        add_lora(base, config.targets, config.rank, config.alpha)
        super().__init__(config, base)

    def state(self) -> dict[str, Tensor]:
        """A and B of each layer."""
        return lora_state(self.model)

    def load(self, state: dict[str, Tensor]) -> None:
        """Copy A and B of each layer."""
        load_lora_state(self.model, state)

    @contextlib.contextmanager
    def plain(self) -> Generator[Model]:
        """The base, whose plain layers are put back for a while."""
        layers = lora_layers(self.model)
        try:
            for name, layer in layers.items():
                put(self.model, name, layer.base)
            yield self.model
        finally:
            for name, layer in layers.items():
                put(self.model, name, layer)

    def finished(self) -> Model:
        """The model with the products folded in: as fast as the base."""
        merge_lora(self.model)
        return self.model.requires_grad_(True)  # nothing is held still any more


class FrontCache:
    """A cache in which something stands that nobody has written; its length is that of the text."""

    def __init__(self) -> None:
        self.inner: KVCache | None = None
        self.front = 0

    @property
    def length(self) -> int:
        """How many tokens of the text have been read."""
        return 0 if self.inner is None else self.inner.length - self.front


class Fronted(Model, ABC):
    """A model in front of whose texts there is always something that was trained.

    Attributes:
        inner: the model, held still.
        config: its config, with so much less context.
    """

    generates = True
    stands_alone = False

    def __init__(self, inner: Model, front: int) -> None:
        super().__init__()
        self.inner, self._front = inner, front
        room = inner.config.context_length - front
        require(
            room > 1,
            f"{front} virtual tokens leave nothing of a context of {inner.config.context_length}: "
            "take fewer",
        )
        self.config: Any = dataclasses.replace(inner.config, context_length=room)

    @abstractmethod
    def start(self, batch_size: int) -> KVCache:
        """What stands in front of each row, as keys and values."""

    def new_cache(self) -> FrontCache:
        """A cache of nothing but what is always there."""
        return FrontCache()

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        cache: FrontCache | None = None,
        n_scored: int | None = None,
    ) -> Output:
        """Score the successor of each token of the text, or of so many at its end."""
        cache = self.new_cache() if cache is None else cache
        if cache.inner is None:
            cache.inner = self.start(len(ids))
            cache.front = cache.inner.length
        return self.inner(ids, cache=cache.inner, n_scored=n_scored)


class PromptedModel(Fronted):
    """A model behind a soft prompt (Lester et al., 2021)."""

    def __init__(self, inner: Model, length: int) -> None:
        super().__init__(inner, length)
        self.virtual_ids: Int[Tensor, " P"]
        self.register_buffer("virtual_ids", add_soft_prompt(inner, length), persistent=False)

    def start(self, batch_size: int) -> KVCache:
        """The prompt, read by the model itself."""
        cache = KVCache(self.config.n_layers)
        self.inner(self.virtual_ids.expand(batch_size, -1), cache=cache)
        return cache


class PrefixedModel(Fronted):
    """A model whose layers find keys and values that nobody wrote (Li and Liang, 2021)."""

    def __init__(self, inner: Model, length: int) -> None:
        super().__init__(inner, length)
        # From noise a prefix learns slowly; so it begins as what some tokens would leave behind.
        like = torch.randint(inner.config.vocab_size, (length,)).tolist()
        self.prefix = prefix_for(inner, length, like=like)

    def start(self, batch_size: int) -> KVCache:
        """The prefix."""
        return self.prefix.cache(batch_size)


class FrontAdapter(Adapter):
    """What stands in front of a text."""

    def __init__(self, config: AdapterConfig, base: Model) -> None:
        if not base.generates or base.reads_source:
            raise UserError(
                f"method={config.kind} needs a model that goes on with a text, as a GPT does: "
                "take lora for others"
            )
        model = FRONTED[config.kind](base, config.virtual_tokens)
        super().__init__(config, model)
        self._front = model

    def state(self) -> dict[str, Tensor]:
        """All that learns."""
        own = self._front.named_parameters()
        return {name: p.detach() for name, p in own if name in OWN[self.config.kind]}

    def load(self, state: dict[str, Tensor]) -> None:
        """Copy all that learns."""
        for name, place in self.state().items():
            fits = name in state and state[name].shape == place.shape
            require(fits, f"the {self.config.kind} is one of another model: {name} does not fit")
            with torch.no_grad():
                place.copy_(state[name])

    @contextlib.contextmanager
    def plain(self) -> Generator[Model]:
        """The base, whose own embedding is put back for a while."""
        inner: Any = self._front.inner
        embedding = inner.token_embedding
        try:
            inner.token_embedding = getattr(embedding, "embedding", embedding)
            yield inner
        finally:
            inner.token_embedding = embedding


FRONTED: dict[str, type[Any]] = {"prompt": PromptedModel, "prefix": PrefixedModel}
OWN = {"prompt": ("inner.token_embedding.prompt",), "prefix": ("prefix.table",)}
KINDS: dict[str, type[Any]] = {
    "lora": LowRankAdapter,
    "prompt": FrontAdapter,
    "prefix": FrontAdapter,
}
"""Every kind of adapter, by name."""


def attach(base: Model, config: AdapterConfig) -> Adapter:
    """Put an adapter beside a model, which is held still from now on.

    Raises:
        UserError: the model has no place for it.
    """
    return KINDS[config.kind](config, base)


# --- on disk --------------------------------------------------------------------------------------


def save_adapter(adapter: Adapter, folder: str | os.PathLike[str]) -> None:
    """Write an adapter's config and tensors into the folder of its base's weights.

    Raises:
        OSError: no room or no permission.
    """
    directory = Path(folder, FOLDER)
    directory.mkdir(exist_ok=True)
    config = json.dumps(dataclasses.asdict(adapter.config), indent=2) + "\n"
    atomic_write_text(directory / CONFIG_FILE, config)
    write_weights(directory, adapter.state(), config)


def load_adapter(adapter: Adapter, folder: str | os.PathLike[str]) -> None:
    """Put the tensors that `save_adapter` wrote into an adapter of the same kind.

    Raises:
        UserError: they are missing, damaged, or another adapter's.
    """
    path = Path(folder, FOLDER, WEIGHTS_FILE)
    adapter.load(read_tensors(path, path.with_name(CONFIG_FILE)))


def load_adapted_model(folder: str | os.PathLike[str]) -> Model:
    """The model in a folder, with the adapter that lies beside its weights, if there is one.

    Raises:
        UserError: the folder holds no model, or one that is damaged.
    """
    model = load_model(folder)
    if not os.path.lexists(Path(folder, FOLDER)):
        return model
    path, weights = Path(folder, FOLDER, CONFIG_FILE), Path(folder, FOLDER, WEIGHTS_FILE)
    values, tensors = read_json(path), read_tensors(weights, path)
    try:
        config = from_plain(AdapterConfig, values, "setting")
    except UserError as error:
        raise UserError(f"{path}: {error}; save or copy the model again") from None
    adapter = attach(model, config)
    adapter.load(tensors)
    return adapter.finished().eval()
