"""The key/value cache: what a decoder keeps so that it need not read its past again.

Keys and values of past positions never change in a causal model, so each new token needs one
column of attention instead of the whole square. The caller owns the cache and passes it in;
attention stores nothing between calls. One kind grows by what is appended, the other is as large
as it will be from the beginning. Not here: the loops that use it (`generate/`). Chapter 15 teaches
this.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.errors import UserError, require


class KVCache:
    """Keys and values of every layer, each `[B, G, S, K]`, growing by what is appended."""

    def __init__(self, n_layers: int) -> None:
        self._layers: list[tuple[Tensor, Tensor] | None] = [None] * n_layers

    @property
    def length(self) -> int:
        """How many positions have passed through the whole model."""
        # The last layer's: it is the last to be updated within a forward pass.
        return self.length_of(len(self._layers) - 1)

    def length_of(self, layer: int) -> int:
        """How many positions one layer holds: within a forward pass, early layers are ahead."""
        held = self._layers[layer]
        return 0 if held is None else held[0].size(-2)

    def get(self, layer: int) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """The keys and values that a layer holds; it must hold some."""
        held = self._layers[layer]
        assert held is not None
        return held

    def with_room(self, capacity: int) -> "StaticKVCache":
        """An empty cache for as many layers, made once for so many positions."""
        return StaticKVCache(len(self._layers), capacity)

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Append the new positions' keys and values; returns all that the layer now holds."""
        held = self._layers[layer]
        if held is not None:
            # B G S K and B G T K -> B G (S + T) K
            k, v = torch.cat([held[0], k], dim=-2), torch.cat([held[1], v], dim=-2)
        self._layers[layer] = (k, v)
        return k, v

    def truncate(self, length: int) -> None:
        """Forget all positions from `length` on: what was read there is taken back.

        Raises:
            UserError: there are fewer positions than should stay.
        """
        require(
            0 <= length <= self.length,
            f"a cache of {self.length} positions cannot be cut to {length}",
        )
        self._layers = [
            None
            if held is None or length == 0
            else (held[0][..., :length, :], held[1][..., :length, :])
            for held in self._layers
        ]

    def reorder(self, rows: Int[Tensor, " N"]) -> None:
        """Take these rows, in this order and as often as they are named: beams need it."""
        self._layers = [
            None if held is None else (held[0][rows], held[1][rows]) for held in self._layers
        ]


class StaticKVCache(KVCache):
    """Keys and values in buffers `[B, G, C, K]` that are made once and written in place.

    A growing cache copies all that it holds at each token; here a token is written where it
    belongs. Attention gets a view of what has been written.

    Args:
        n_layers: how many layers.
        capacity: how many positions fit, C.
    """

    def __init__(self, n_layers: int, capacity: int) -> None:
        super().__init__(n_layers)
        self.capacity = capacity
        self._buffers: list[tuple[Tensor, Tensor] | None] = [None] * n_layers

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Write the new positions' keys and values; returns a view of all that the layer holds.

        Raises:
            UserError: more positions than fit.
        """
        begin = self.length_of(layer)
        end = begin + k.size(-2)
        if end > self.capacity:
            raise UserError(f"{end} positions do not fit into a cache made for {self.capacity}")
        buffers = self._buffers[layer]
        if buffers is None:
            shape = (*k.shape[:2], self.capacity, k.size(-1))
            buffers = self._buffers[layer] = (k.new_empty(shape), v.new_empty(shape))
        for buffer, new in zip(buffers, (k, v), strict=True):
            buffer[..., begin:end, :] = new
        held = (buffers[0][..., :end, :], buffers[1][..., :end, :])
        self._layers[layer] = held
        return held

    def reorder(self, rows: Int[Tensor, " N"]) -> None:
        """Take these rows, in this order and as often as they are named."""
        self._buffers = [
            None if held is None else (held[0][rows], held[1][rows]) for held in self._buffers
        ]
        self._layers = [
            None if buffers is None or held is None
            else (buffers[0][..., : held[0].size(-2), :], buffers[1][..., : held[0].size(-2), :])
            for buffers, held in zip(self._buffers, self._layers, strict=True)
        ]  # fmt: skip


def cache_bytes(config: Any, n_rows: int, length: int, bytes_each: int = 4) -> int:
    """Bytes of a model's keys and values for so many rows and positions: `2 L B G S K` numbers.

    Args:
        config: has `n_layers`, `n_heads`, `n_kv_heads`, `d_model` and `head_dim`.
        n_rows: how many texts at once, B.
        length: how many positions of each, S.
        bytes_each: of one number: 4 for float32, 2 for half precision.
    """
    heads = config.n_kv_heads or config.n_heads
    width = config.head_dim or config.d_model // config.n_heads
    return 2 * config.n_layers * n_rows * heads * length * width * bytes_each
