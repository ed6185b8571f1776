"""Attention: each query takes a weighted mean of the values, weighted by how well keys match it.

First the operation, written out; then the module that projects to heads, lets them look, and
projects back. Not here: masks (`nn/masks.py`), positions (`nn/positions.py`) and the cache
(`nn/cache.py`), which are passed in. Chapter 03 teaches this.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.nn.cache import KVCache
from llmcourse.nn.capture import is_watched
from llmcourse.nn.masks import causal
from llmcourse.nn.positions import RoPE


class AttentionResult(NamedTuple):
    """Result of attention: the mixed values, and how they were mixed."""

    output: Float[Tensor, "*B T K"]
    weights: Float[Tensor, "*B T S"]


def attention_weights(
    q: Float[Tensor, "*B T K"],
    k: Float[Tensor, "*B S K"],
    mask: Bool[Tensor, "*#B #T #S"] | None = None,
    scale: float | None = None,
    score_bias: Float[Tensor, "*#B #T #S"] | None = None,
) -> Float[Tensor, "*B T S"]:
    """Attention weights, how much a query looks at a key: `softmax(q k^T * scale + score_bias)`.

    The softmax runs over the keys, and `scale` is `1 / sqrt(K)` unless given. A row of weights sums
    to one; a query that may look nowhere has weights of zero.
    """
    scale = q.size(-1) ** -0.5 if scale is None else scale
    # Scaled before the product, which in half precision could overflow where the score would not.
    scores = (q * scale) @ k.mT  # *B T S
    if score_bias is not None:
        scores = scores + score_bias
    if mask is None:
        return scores.softmax(dim=-1)
    # Not -inf: a row of nothing else would be NaN for a moment, and so would its gradient.
    weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    q: Float[Tensor, "*B T K"],
    k: Float[Tensor, "*B S K"],
    v: Float[Tensor, "*B S K"],
    mask: Bool[Tensor, "*#B #T #S"] | None = None,
    scale: float | None = None,
    score_bias: Float[Tensor, "*#B #T #S"] | None = None,
) -> AttentionResult:
    """Scaled dot-product attention: `softmax(q k^T / sqrt(K)) v`.

    Vaswani et al., 2017, equation 1.
    `mask` is True where a query may look at a key. A query that may look nowhere gets zeros.
    `score_bias` is added to the scores: what a query and a key owe to where they stand.
    """
    weights = attention_weights(q, k, mask, scale, score_bias)
    return AttentionResult(weights @ v, weights)


def split_heads(x: Float[Tensor, "B T HK"], n_heads: int) -> Float[Tensor, "B H T K"]:
    """Cut the width into heads and bring them forward: `B T (H K) -> B H T K`."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def merge_heads(x: Float[Tensor, "B H T K"]) -> Float[Tensor, "B T HK"]:
    """Inverse of `split_heads`: `B H T K -> B T (H K)`."""
    return x.transpose(1, 2).flatten(2)


def repeat_kv(x: Float[Tensor, "B G S K"], n_heads: int) -> Float[Tensor, "B H S K"]:
    """Repeat keys or values for the query heads of each group: head `h` takes group `h G // H`."""
    return x.repeat_interleave(n_heads // x.size(1), dim=1)


def check_heads(
    d_model: int, n_heads: int, n_kv_heads: int | None, head_dim: int | None
) -> tuple[int, int]:
    """The number of key/value heads and the width of a head, with what was left open filled in.

    Raises:
        UserError: sizes that do not divide each other, with ones that do.
    """
    if n_heads < 1 or (head_dim is None and d_model % n_heads):
        fits = [n for n in range(1, d_model + 1) if d_model % n == 0]
        near = [n for n in fits if n < n_heads][-1:] + [n for n in fits if n > n_heads][:1]
        raise UserError(
            f"n_heads={n_heads} does not divide d_model={d_model}: "
            f"try {' or '.join(map(str, near))}"
        )
    n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
    if n_kv_heads < 1 or n_heads % n_kv_heads:
        fits = [n for n in range(1, n_heads + 1) if n_heads % n == 0]
        raise UserError(
            f"n_kv_heads={n_kv_heads} does not divide n_heads={n_heads}: "
            f"try one of {', '.join(map(str, fits))}"
        )
    return n_kv_heads, d_model // n_heads if head_dim is None else head_dim


def check_mask(mask: Tensor) -> None:
    """Refuse a mask that the fused kernel would take for something else, and say nothing.

    Numbers it adds to the scores; a batch of `[T, S]` masks it lays along the heads.

    Raises:
        UserError: it is not Boolean, or has neither two nor four axes.
    """
    if mask.dtype != torch.bool:
        raise UserError(
            f"the mask holds {mask.dtype}, not True and False: give mask.bool() if 1 means look"
        )
    if mask.dim() not in (2, 4):
        raise UserError(
            f"a mask of shape {list(mask.shape)} must be [T, S] or [B, H, T, S], where B and H "
            "may be 1: give mask[:, None] if there is one for each row"
        )


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017, section 3.2.2), with grouped key/value heads.

    G = H is multi-head, G = 1 multi-query (Shazeer, 2019), between them grouped-query attention
    (Ainslie et al., 2023). The tap point `weights` sees the weights, before dropout.

    Args:
        d_model: the width of what comes in and goes out, D.
        n_heads: how many query heads, H.
        n_kv_heads: how many key/value heads, G; H unless given.
        head_dim: the width of a head, K; `D / H` unless given.
        bias: whether the four projections have biases.
        dropout: the fraction of weights dropped in training.
        q_norm: a norm over the width of a head, applied to the queries; or None.
        k_norm: the same for the keys.
        rotary: turns queries and keys by their positions; or None.
        position_bias: called with the numbers of queries and keys, gives what to add to the scores,
            `[H, T, S]`, the last query standing at the last key; or None.

    Raises:
        UserError: sizes that do not divide each other.
    """

    def __init__(
        self,
        *,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        head_dim: int | None = None,
        bias: bool = False,
        dropout: float = 0.0,
        q_norm: nn.Module | None = None,
        k_norm: nn.Module | None = None,
        rotary: RoPE | None = None,
        position_bias: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.n_kv_heads, head_dim = check_heads(d_model, n_heads, n_kv_heads, head_dim)
        self.q_proj = nn.Linear(d_model, n_heads * head_dim, bias=bias)
        self.k_proj = nn.Linear(d_model, self.n_kv_heads * head_dim, bias=bias)
        self.v_proj = nn.Linear(d_model, self.n_kv_heads * head_dim, bias=bias)
        self.o_proj = nn.Linear(n_heads * head_dim, d_model, bias=bias)
        self.dropout = dropout
        self.q_norm = q_norm
        self.k_norm = k_norm
        self.rotary = rotary
        self.position_bias = position_bias
        self.weights = nn.Identity()
        self._joined: tuple[Tensor, Tensor | None] | None = None

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        *,
        context: Float[Tensor, "B S D"] | None = None,
        mask: Bool[Tensor, "#B #H #T #N"] | Bool[Tensor, "#T #N"] | None = None,
        is_causal: bool = False,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B T D"]:
        """Let every position of `hidden` look at `context`, or at `hidden` itself.

        Args:
            hidden: asks the queries.
            context: gives the keys and values; `hidden` itself unless given.
            mask: True where a query may look at a key, over all N keys, the cached ones included.
            is_causal: whether a position sees nothing after itself (on top of `mask`).
            positions: where `hidden` stands, for `rotary`; what follows the cache unless given.
            cache: past keys and values; the new ones are appended. Those of a `context` do not
                grow: they are computed at the first call, and read from the cache after it.
            layer: which of the cache's layers is this one's.
        """
        start = 0 if cache is None else cache.length_of(layer)
        # A context is the same at every call: its keys and values are computed once, then read.
        if context is not None and cache is not None and start:
            q, (k, v) = self.q_proj(hidden), cache.get(layer)
        else:
            q, k, v = self._project(hidden, hidden if context is None else context)
            k, v = self._keys_and_values(k, v, positions, start)
            if cache is not None:
                k, v = cache.update(layer, k, v)
        q = split_heads(q, self.n_heads)  # B T (H K) -> B H T K
        if self.q_norm is not None:  # before the rotation, which keeps lengths as they are
            q = self.q_norm(q)
        if self.rotary is not None:
            q = self.rotary(q, positions, start)
        mixed = self._attend(q, k, v, mask, is_causal)
        return self.o_proj(merge_heads(mixed))  # B H T K -> B T (H K) -> B T D

    def _project(
        self, hidden: Float[Tensor, "B T D"], source: Float[Tensor, "B S D"]
    ) -> tuple[Float[Tensor, "B T HK"], Float[Tensor, "B S GK"], Float[Tensor, "B S GK"]]:
        """What `hidden` asks for, and what `source` offers: by three products, or by one."""
        parts = (self.q_proj, self.k_proj, self.v_proj)
        if source is hidden and self._joined is not None and _lie_in(self._joined[0], parts):
            return F.linear(hidden, *self._joined).split([p.out_features for p in parts], dim=-1)
        return self.q_proj(hidden), self.k_proj(source), self.v_proj(source)

    @torch.no_grad()
    def join_projections(self) -> None:
        """Let the matrices of queries, keys and values lie side by side, along their output.

        From then on one product does the work of three, wherever no gradient is asked for. They
        stay three parameters. For a model that writes on a CPU: see `generate/layout.py`.
        """
        parts = (self.q_proj, self.k_proj, self.v_proj)
        if any(type(part) is not nn.Linear or part.weight.device.type != "cpu" for part in parts):
            return  # an adapter has a way of its own
        sizes = [part.out_features for part in parts]
        weight = torch.cat([part.weight for part in parts]).t().contiguous().t()  # (H + 2 G) K, D
        bias = None
        if self.q_proj.bias is not None:
            bias = torch.cat([part.bias for part in parts])
            for part, its_bias in zip(parts, bias.split(sizes), strict=True):
                part.bias.data = its_bias
        for part, its_weight in zip(parts, weight.split(sizes), strict=True):
            part.weight.data = its_weight
        self._joined = weight, bias

    def _keys_and_values(
        self,
        k: Float[Tensor, "B S GK"],
        v: Float[Tensor, "B S GK"],
        positions: Int[Tensor, "*#B S"] | None,
        start: int,
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """What is offered to be looked at, standing at `positions`, or from `start` on."""
        # B S (G K) -> B G S K: with fewer key/value heads than query heads, the cache is smaller.
        k, v = split_heads(k, self.n_kv_heads), split_heads(v, self.n_kv_heads)
        if self.k_norm is not None:
            k = self.k_norm(k)
        if self.rotary is not None:
            k = self.rotary(k, positions, start)
        return k, v

    def _attend(
        self,
        q: Float[Tensor, "B H T K"],
        k: Float[Tensor, "B G S K"],
        v: Float[Tensor, "B G S K"],
        mask: Tensor | None,
        is_causal: bool,
    ) -> Float[Tensor, "B H T K"]:
        """Mix the values: by the library's fused kernel, or written out where that is better."""
        n_queries, n_keys = q.size(-2), k.size(-2)
        if mask is not None:
            check_mask(mask)
        dropout = self.dropout if self.training else 0.0
        bias = None if self.position_bias is None else self.position_bias(n_queries, n_keys)
        # The fused kernel never holds the weights, so whoever taps them needs them written out;
        # both ways give the same output.
        explicit = is_watched(self.weights) or _explicit_is_faster(q) or bias is not None
        is_causal = is_causal and n_queries > 1  # the last query sees every key as it is
        if is_causal and (explicit or mask is not None or n_queries != n_keys):
            # The library's flag alone would stand the first query at the first key.
            past = causal(n_queries, n_keys, q.device)
            mask, is_causal = past if mask is None else mask & past, False
        if not explicit:
            # With `enable_gqa` each group's keys and values serve H / G query heads.
            return F.scaled_dot_product_attention(
                q, k, v, mask, dropout, is_causal, enable_gqa=self.n_heads != self.n_kv_heads
            )
        # B G S K -> B H S K, then B H T S in full: what the fused kernel never holds.
        k, v = repeat_kv(k, self.n_heads), repeat_kv(v, self.n_heads)
        weights = self.weights(attention_weights(q, k, mask, score_bias=bias))
        return F.dropout(weights, dropout) @ v


def _explicit_is_faster(q: Tensor) -> bool:
    """Half precision on a CPU: two matrix products take a half to a fifth of the kernel's time."""
    return q.device.type == "cpu" and q.dtype in (torch.bfloat16, torch.float16)


def _lie_in(joined: Tensor, parts: tuple[nn.Module, ...]) -> bool:
    """Whether these layers still are what was joined: unchanged in kind, unwatched, not moved."""
    if torch.is_grad_enabled():
        return False
    place = joined.untyped_storage().data_ptr()
    return all(
        type(part) is nn.Linear
        and not is_watched(part)
        and part.weight.untyped_storage().data_ptr() == place
        for part in parts
    )
