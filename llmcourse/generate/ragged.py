"""Prompts of different lengths in one batch: filled up on the left, where nobody looks.

The last token of each prompt then stands in the last column, and the next token of every row in
the next one. Two things must be told to the model: which columns are filler, and at which position
each row's text begins. Not here: prompts of one length (`decode.py`). Chapter 15 teaches this.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.errors import require
from llmcourse.generate.decode import TokenSampler
from llmcourse.generate.sampling import greedy
from llmcourse.models.base import Model
from llmcourse.nn.cache import KVCache, StaticKVCache


class LeftPadded(NamedTuple):
    """Rows of different lengths, their ends in one column.

    Attributes:
        ids: filler, then the row.
        is_text: where a row is, and not filler.
        positions: where each token stands in its own row, from 0; the filler's is 0, too.
    """

    ids: Int[Tensor, "B T"]
    is_text: Bool[Tensor, "B T"]
    positions: Int[Tensor, "B T"]

    @property
    def mask(self) -> Bool[Tensor, "B 1 1 T"]:
        """What a model needs: True at the keys that may be looked at."""
        return self.is_text[:, None, None]  # B T -> B 1 1 T


def left_padded(rows: Sequence[Sequence[int]], pad_id: int = 0) -> LeftPadded:
    """Rows filled up on the left to the longest one's length.

    Raises:
        UserError: there are no rows, or one is empty.
    """
    require(len(rows) > 0, "no rows: give at least one prompt")
    require(all(len(row) > 0 for row in rows), "a prompt is empty: give at least one token")
    longest = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (longest - len(row)) + list(row) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    positions = torch.arange(longest) - (longest - lengths)[:, None]  # B T, below 0 in the filler
    return LeftPadded(ids, positions >= 0, positions.clamp(min=0))


def generate_ragged(
    model: Model,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    sampler: TokenSampler = greedy,
    stop_ids: Collection[int] = (),
) -> list[list[int]]:
    """Go on with prompts of different lengths, all at once; each row as if it were alone.

    Args:
        model: a causal model with a key/value cache, in evaluation mode.
        prompts: the tokens of each prompt.
        max_new_tokens: how many tokens at the most.
        sampler: takes the next token of each row.
        stop_ids: a row ends before one of these.

    Returns:
        What was written after each prompt.

    Raises:
        UserError: an empty prompt, or one that does not fit into the context with its answer.
    """
    padded = left_padded(prompts)
    width = padded.ids.size(1) + max_new_tokens
    require(
        width - 1 <= model.config.context_length,
        f"a prompt of {padded.ids.size(1)} tokens and {max_new_tokens} new ones do not fit into "
        f"the context_length of {model.config.context_length}",
    )
    cache: KVCache = StaticKVCache(model.config.n_layers, width)
    device = next(model.parameters()).device
    ids, is_text, positions = (part.to(device) for part in padded)
    stops = torch.tensor(sorted(stop_ids), dtype=ids.dtype, device=device)
    ended = torch.zeros(len(ids), dtype=torch.bool, device=device)
    written: list[Tensor] = []
    while len(written) < max_new_tokens:
        with torch.no_grad():
            mask = is_text[:, None, None]
            out = model(ids, mask=mask, positions=positions, cache=cache, n_scored=1)
            token = sampler(out.logits[:, -1])
        ended |= torch.isin(token, stops)
        if ended.all():
            break
        written.append(token)
        # The new token is text in every row, one position after the last.
        ids, positions = token[:, None], positions[:, -1:] + 1
        is_text = torch.cat([is_text, is_text.new_ones(len(is_text), 1)], dim=1)
    rows = torch.stack(written, dim=1).tolist() if written else [[] for _ in prompts]
    return [_before(row, stop_ids) for row in rows]


def _before(row: list[int], stop_ids: Collection[int]) -> list[int]:
    """A row up to where it stops."""
    end = next((n for n, token in enumerate(row) if token in stop_ids), len(row))
    return row[:end]
