"""Rows that come and go: many texts, each of its own length, in one forward pass a token.

A row that joins is filled up on the left to the width of the others, so that the newest token of
every row stands in the last column; a mask hides the filler, and positions are told to the model.
A row that leaves takes its place in the batch with it, and the columns that it alone needed. Not
here: which token is taken (`writing.py`), who joins when (`engine.py`).
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from llmcourse.generate.decode import CachingModel
from llmcourse.models.base import Model
from llmcourse.nn.cache import KVCache

SLACK = 64
"""So many columns are made at a time, and written one by one."""


@runtime_checkable
class Rows(Protocol):
    """The texts that are being written, as the model has read them."""

    def read(self, ids: Sequence[int]) -> tuple[Any, Float[Tensor, "T V"]]:
        """Read a text by itself: what `join` takes, and the scores behind each of its tokens."""
        ...

    def join(self, row: Any) -> None:
        """Make a text that was read the last row."""
        ...

    def step(self, tokens: Sequence[int]) -> Float[Tensor, "B V"]:
        """Append one token to each row; the scores behind it."""
        ...

    def keep(self, places: Sequence[int]) -> None:
        """Let all rows go but those at these places."""
        ...


class RowsCache(KVCache):
    """Keys and values of several rows, their ends in one column, in buffers with room to spare.

    A cache that grows by concatenation copies all that it holds for each token; here a token is
    written where it belongs.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__(n_layers)
        self._widths = [0] * n_layers

    def length_of(self, layer: int) -> int:
        """How many columns one layer holds, filler included."""
        return self._widths[layer]

    def get(self, layer: int) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """The keys and values that a layer holds; it must hold some."""
        k, v = super().get(layer)
        width = self._widths[layer]
        return k[..., :width, :], v[..., :width, :]

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Write the new columns; returns all that the layer now holds."""
        start, end = self._widths[layer], self._widths[layer] + k.size(-2)
        held = self._layers[layer]
        if held is None:
            held = (k[..., :0, :], v[..., :0, :])
        if held[0].size(-2) < end:
            extra = end + SLACK - start
            held = (_widened(held[0], start, extra), _widened(held[1], start, extra))
            self._layers[layer] = held
        for buffer, new in zip(held, (k, v), strict=True):
            buffer[..., start:end, :] = new
        self._widths[layer] = end
        return self.get(layer)

    def join(self, other: KVCache) -> None:
        """Append the rows of another cache; the narrower one is filled up on the left."""
        width = max(self.length, other.length)
        for layer in range(len(self._layers)):
            rows = [other.get(layer)]
            if self._layers[layer] is not None:
                rows.insert(0, self.get(layer))
            sides = zip(*rows, strict=True)  # all keys, and all values
            k, v = (torch.cat([_filled(one, width) for one in side]) for side in sides)
            self._layers[layer], self._widths[layer] = (k, v), width

    def keep(self, places: Int[Tensor, " N"], width: int) -> None:
        """Let all rows go but those at these places, and all columns but the last `width`."""
        for layer in range(len(self._layers)):
            k, v = self.get(layer)
            self._layers[layer] = (k[places][..., -width:, :], v[places][..., -width:, :])
            self._widths[layer] = width


def _widened(part: Float[Tensor, "B G S K"], width: int, extra: int) -> Float[Tensor, "B G C K"]:
    """The first `width` columns, and room for `extra` more."""
    return F.pad(part[..., :width, :], (0, 0, 0, extra))


def _filled(part: Float[Tensor, "B G S K"], width: int) -> Float[Tensor, "B G W K"]:
    """The columns, behind as much filler as makes `width` of them."""
    return F.pad(part, (0, 0, width - part.size(-2), 0))


class RaggedRows:
    """Rows of a model that is told by a mask and by positions where each text begins.

    Args:
        model: declares `batches_ragged`, and is in evaluation mode.
    """

    def __init__(self, model: Model) -> None:
        self._model: Any = model
        self._device = next(model.parameters()).device
        self._cache = RowsCache(model.config.n_layers)
        self._lengths: list[int] = []

    def read(self, ids: Sequence[int]) -> tuple[KVCache, Float[Tensor, "T V"]]:
        """Read a text by itself: its keys and values, and the scores behind each of its tokens."""
        cache = self._model.new_cache()
        return cache, self._model(self._tensor([ids]), cache=cache).logits[0]

    def join(self, row: KVCache) -> None:
        """Make a text that was read the last row."""
        self._cache.join(row)
        self._lengths.append(row.length)

    def step(self, tokens: Sequence[int]) -> Float[Tensor, "B V"]:
        """Append one token to each row; the scores behind it."""
        width = self._cache.length + 1
        lengths = self._tensor(self._lengths)[:, None]  # B 1
        columns = torch.arange(width, device=self._device)
        # B 1 1 S: a row's text fills its last columns, the new token's among them.
        mask = (columns >= width - 1 - lengths)[:, None, None]
        if min(self._lengths) == width - 1:
            mask = None  # no filler anywhere
        ids = self._tensor(tokens)[:, None]
        out = self._model(ids, mask=mask, positions=lengths, cache=self._cache)
        self._lengths = [length + 1 for length in self._lengths]
        return out.logits[:, -1]

    def keep(self, places: Sequence[int]) -> None:
        """Let all rows go but those at these places, and the columns that nobody needs then."""
        self._lengths = [self._lengths[place] for place in places]
        if not places:
            self._cache = RowsCache(self._model.config.n_layers)
            return
        self._cache.keep(self._tensor(places), max(self._lengths))

    def _tensor(self, values: Any) -> Tensor:
        return torch.tensor(values, device=self._device)


class SeparateRows:
    """Rows of any other model that writes, each read by itself: one pass a row and token."""

    def __init__(self, model: Model) -> None:
        self._model: Any = model
        self._device = next(model.parameters()).device
        self._rows: list[Any] = []

    def read(self, ids: Sequence[int]) -> tuple[Any, Float[Tensor, "T V"]]:
        """Read a text; what is kept of it is a cache, or else the text itself."""
        if isinstance(self._model, CachingModel):
            cache = self._model.new_cache()
            return cache, self._scores(ids, cache=cache)
        return list(ids), self._scores(ids)

    def join(self, row: Any) -> None:
        """Make a text that was read the last row."""
        self._rows.append(row)

    def step(self, tokens: Sequence[int]) -> Float[Tensor, "B V"]:
        """Append one token to each row; the scores behind it."""
        return torch.stack([self._next(at, token) for at, token in enumerate(tokens)])

    def _next(self, place: int, token: int) -> Float[Tensor, " V"]:
        if isinstance(self._model, CachingModel):
            return self._scores([token], cache=self._rows[place])[-1]
        # Such a model looks at a few tokens only, so it reads those again.
        self._rows[place] = [*self._rows[place], token][-self._model.config.context_length :]
        return self._scores(self._rows[place])[-1]

    def _scores(self, ids: Sequence[int], **parts: Any) -> Float[Tensor, "T V"]:
        return self._model(torch.tensor([ids], device=self._device), **parts).logits[0]

    def keep(self, places: Sequence[int]) -> None:
        """Let all rows go but those at these places."""
        self._rows = [self._rows[place] for place in places]


def rows_of(model: Model) -> Rows:
    """No rows yet, of the kind that the model can have."""
    return RaggedRows(model) if model.batches_ragged else SeparateRows(model)
