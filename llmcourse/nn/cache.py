"""The key/value cache: what a decoder keeps so that it need not read its past again.

Keys and values of past positions never change in a causal model, so each new token needs one
column of attention instead of the whole square. The caller owns the cache and passes it in;
attention stores nothing between calls. Not here: the loop that uses it (`generate/decode.py`).
Chapter 15 teaches this.
"""

import torch
from jaxtyping import Float
from torch import Tensor


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
