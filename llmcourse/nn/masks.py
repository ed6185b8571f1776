"""Who may look at whom: boolean masks, True where a query may look at a key.

Masks are combined with `&`, and broadcast over what they do not mention: a `[T, S]` mask serves
every head of every row. Not here: what is done with one (`nn/attention.py`). Chapter 03 teaches
this and writes each of them out as a small matrix.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from llmcourse.errors import UserError


def causal(
    n_queries: int, n_keys: int | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "T S"]:
    """Causal mask: each position sees itself and what came before, `mask[t, s] = s <= t + S - T`.

    With more keys than queries (a cache holds the past), the last query stands at the last key.

    Raises:
        UserError: fewer keys than queries, so that some query would stand nowhere.
    """
    n_keys = n_queries if n_keys is None else n_keys
    if n_keys < n_queries:
        raise UserError(
            f"a causal mask of {n_queries} queries needs at least as many keys, not {n_keys}"
        )
    # Shifted right by S - T: the queries are the last T of the S positions.
    whole = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    return whole.tril(n_keys - n_queries)


def padding(lengths: Int[Tensor, " B"], n_keys: int) -> Bool[Tensor, "B 1 1 S"]:
    """Padding mask: the first `lengths[b]` keys of row `b` are text, at the rest nobody looks."""
    places = torch.arange(n_keys, device=lengths.device)
    return (places < lengths[:, None])[:, None, None, :]  # B S -> B 1 1 S


def document(document_ids: Int[Tensor, "B T"]) -> Bool[Tensor, "B 1 T T"]:
    """Document mask: positions see their own document alone, of several packed into one row."""
    same = document_ids[:, :, None] == document_ids[:, None, :]
    return same[:, None]  # B T T -> B 1 T T


def sliding_window(
    n_queries: int,
    window: int,
    n_keys: int | None = None,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "T S"]:
    """Sliding-window mask: causal, and no further back than `window` positions, one's own included.

    Beltagy et al., 2020 (Longformer). Cost falls from `T^2` to `T * window`.

    Raises:
        UserError: the window holds not even the position itself, or fewer keys than queries.
    """
    if window < 1:
        raise UserError(f"window={window} must be at least 1: a position sees at least itself")
    visible = causal(n_queries, n_keys, device)
    reach = visible.size(1) - n_queries - window  # how far right the invisible past extends
    return visible & ~torch.ones_like(visible).tril(reach)
