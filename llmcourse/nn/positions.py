"""Position encodings, how order gets in: vectors that are added, rotations, biases on scores.

Attention alone cannot tell one order of its input from another. Three ways to cure that:

    added to the hidden states      SinusoidalPositions, LearnedPositions
    rotating queries and keys       RoPE
    added to the scores             RelativeBias, ALiBi

Parts of the first two kinds are asked for the positions `start, start + 1, ...` or for explicit
`positions`, `[T]`, which differ between rows (padding on the left, packed documents) as `[B, T]`.
Biases know only distances
within the row, which padding and packing do not change. Not here: slower rotations for longer texts
(`nn/rope_scaling.py`). Chapter 04 teaches this.
"""

import math
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.nn.rope_scaling import Scaling


def sinusoids(context_length: int, d_model: int) -> Float[Tensor, "C D"]:
    """Sinusoids, clock hands of many speeds: `sin(t w)` in even columns, `cos(t w)` in odd ones.

    Pair `i` has `w = 10000 ** (-2 i / D)`. From `t` to `t + k` every pair turns by `k w`, whatever
    `t` is: a fixed linear map (Vaswani et al., 2017, section 3.5).

    Raises:
        UserError: an odd width, whose entries do not pair up.
    """
    if d_model % 2:
        raise UserError(f"d_model={d_model} is odd: sinusoids come in pairs, so make it even")
    angles = torch.outer(
        torch.arange(context_length, dtype=torch.float64), rope_frequencies(d_model, 10_000.0)
    )
    pairs = torch.stack([angles.sin(), angles.cos()], dim=-1)  # C D/2 2
    return pairs.flatten(1).to(torch.get_default_dtype())


class SinusoidalPositions(nn.Module):
    """A fixed vector of sines and cosines for each position, added to the embedding of the token.

    Vaswani et al., 2017. Nothing is learned. The vectors have length `sqrt(D / 2)`, so the paper
    multiplies its embeddings by `sqrt(D)` before it adds them; that is left to the model.

    Raises:
        UserError: an odd width.
    """

    table: Tensor

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(context_length, d_model), persistent=False)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        positions: Int[Tensor, "*#B T"] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "B T D"]:
        """Add to each hidden state its position's vector."""
        return hidden + _rows(self.table, hidden.size(1), positions, start).to(hidden.dtype)


class LearnedPositions(nn.Module):
    """A learned vector for each position, added to the embedding of the token that stands there.

    As in GPT-2 (Radford et al., 2019). There is no vector beyond `context_length`.
    """

    def __init__(self, context_length: int, d_model: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(context_length, d_model).normal_(std=0.02))

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        positions: Int[Tensor, "*#B T"] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "B T D"]:
        """Add to each hidden state its position's vector."""
        return hidden + _rows(self.weight, hidden.size(1), positions, start)


def rope_frequencies(head_dim: int, theta: float) -> Float[Tensor, " P"]:
    """RoPE frequencies, radians a position for each of K/2 pairs: `theta ** (-2 i / K)`, float64.

    A pair's wavelength, the distance after which it is back where it was, is `2 pi` over that.
    """
    return theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)


def rope_tables(
    head_dim: int, theta: float, context_length: int, scaling: Scaling | None = None
) -> tuple[Float[Tensor, "C K"], Float[Tensor, "C K"]]:
    """The cosines and signed sines that `rotate` multiplies by, for each position.

    The angles are computed in double precision: at position 10,000 single precision would be off by
    a thousandth.
    """
    frequencies = rope_frequencies(head_dim, theta)
    if scaling is not None:
        frequencies = scaling(frequencies, theta)
    angles = torch.outer(torch.arange(context_length, dtype=torch.float64), frequencies)
    # C K/2 -> C K: entries i and i + K/2 are a pair, and turn by the same angle.
    cosines = torch.cat([angles.cos(), angles.cos()], dim=-1)
    sines = torch.cat([-angles.sin(), angles.sin()], dim=-1)
    dtype = torch.get_default_dtype()
    magnitude = 1.0 if scaling is None else scaling.magnitude
    return (cosines * magnitude).to(dtype), (sines * magnitude).to(dtype)


def rotate(
    x: Float[Tensor, "*B T K"], cosines: Float[Tensor, "*#B T K"], sines: Float[Tensor, "*#B T K"]
) -> Float[Tensor, "*B T K"]:
    """Rotate each pair `(x[i], x[i + K/2])` by its position's angle.

    `(a, b) -> (a cos - b sin, b cos + a sin)`. The pairs are halves, as in Llama's `transformers`
    weights, not neighbours, as in the paper; one is a permutation of the other.
    """
    swapped = x.roll(x.size(-1) // 2, dims=-1)  # (first half, second half) -> (second, first)
    return torch.addcmul(x * cosines, swapped, sines)


class RoPE(nn.Module):
    """Rotary position embedding: queries and keys are turned by an angle that grows with position.

    The score of a query at `t` and a key at `s` then depends on `t - s` alone
    (Su et al., 2021, equation 16).

    Args:
        head_dim: the width of a head, K.
        theta: the base of the frequencies.
        context_length: how many positions there are.
        scaling: slows the rotations down, for texts longer than those of training; or None.

    Raises:
        UserError: an odd `head_dim`, whose entries do not pair up.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self,
        head_dim: int,
        *,
        theta: float = 10_000.0,
        context_length: int = 1024,
        scaling: Scaling | None = None,
    ) -> None:
        super().__init__()
        if head_dim % 2:
            raise UserError(
                f"head_dim={head_dim} is odd: rotary positions turn pairs, so make it even"
            )
        # Not persistent: the tables follow from the config, so no checkpoint has to hold them.
        cosines, sines = rope_tables(head_dim, theta, context_length, scaling)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def forward(
        self,
        x: Float[Tensor, "B H T K"],
        positions: Int[Tensor, "*#B T"] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "B H T K"]:
        """Turn the queries or keys `x` by their positions."""
        if positions is None:
            here: slice | Tensor = slice(start, start + x.size(-2))
        else:
            # B T -> B 1 T, for every head; and T -> 1 T, the same for every row
            here = _one_each(positions, x.size(-2)).unsqueeze(-2)
        return rotate(x, self.cosines[here].to(x.dtype), self.sines[here].to(x.dtype))


def offsets(
    n_queries: int, n_keys: int, device: torch.device | str | None = None
) -> Int[Tensor, "T S"]:
    """Offset of each key from each query, `s - t`; negative in the past.

    With more keys than queries (a cache holds the past), the last query stands at the last key.
    """
    queries = torch.arange(n_keys - n_queries, n_keys, device=device)
    return torch.arange(n_keys, device=device) - queries[:, None]


def relative_buckets(
    offsets: Int[Tensor, "*B"],
    n_buckets: int = 32,
    max_distance: int = 128,
    bidirectional: bool = False,
) -> Int[Tensor, "*B"]:
    """The bucket of each offset `s - t`: one for each short distance, wider ones for longer.

    Half of the buckets hold one distance each; the other half's borders grow like a geometric
    series up to `max_distance`, beyond which all distances share the last. Looking both ways, keys
    ahead have half of the buckets to themselves; looking back, they share the query's own bucket.
    Raffel et al., 2020 (T5), section 2.1.

    Raises:
        UserError: too few buckets, or a `max_distance` that the single-distance buckets reach.
    """
    n_buckets = n_buckets // 2 if bidirectional else n_buckets
    exact = n_buckets // 2
    if exact < 1 or max_distance <= exact:
        raise UserError(
            f"{n_buckets} buckets a direction and max_distance={max_distance} do not go together: "
            "try n_buckets=32, max_distance=128"
        )
    distances = offsets.abs() if bidirectional else (-offsets).clamp(min=0)
    # In single precision, as T5: on borders between buckets the rounding decides, so it must agree.
    growth = torch.log(distances.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    # From `exact` on, borders grow like a geometric series: even steps of the logarithm.
    far = exact + (growth * (n_buckets - exact)).long()
    found = torch.where(distances < exact, distances, far.clamp(max=n_buckets - 1))
    return found + n_buckets * (offsets > 0) if bidirectional else found


class RelativeBias(nn.Module):
    """Relative position bias: a learned number for each head and bucket, added to the scores.

    T5 (Raffel et al., 2020), which shares one such table among its layers. It begins at zero: no
    distance is preferred.

    Args:
        n_heads: how many heads, H.
        n_buckets: how many buckets of distances, N.
        max_distance: from here on, all distances share a bucket.
        bidirectional: whether keys ahead of the query have buckets of their own, as in an encoder.

    Raises:
        UserError: buckets and distance that do not go together.
    """

    def __init__(
        self,
        n_heads: int,
        n_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self._buckets = partial(
            relative_buckets,
            n_buckets=n_buckets,
            max_distance=max_distance,
            bidirectional=bidirectional,
        )
        self._buckets(offsets(1, 1))  # complains now, not at the first text
        self.weight = nn.Parameter(torch.zeros(n_buckets, n_heads))

    def forward(self, n_queries: int, n_keys: int) -> Float[Tensor, "H T S"]:
        """The biases of all heads; the last query stands at the last key."""
        ahead = offsets(n_queries, n_keys, self.weight.device)
        return self.weight[self._buckets(ahead)].permute(2, 0, 1)  # T S H -> H T S


def alibi_slopes(n_heads: int) -> Float[Tensor, " H"]:
    """ALiBi slopes, how much each head dislikes distance: `2 ** (-8 h / H)` for h = 1, ..., H.

    Where H is no power of two, the slopes of the next lower power come first, and then every other
    slope of the next higher one, as in the authors' code (Press et al., 2022).
    """
    whole = 2 ** int(math.log2(n_heads))
    slopes = [2 ** (-8 * head / whole) for head in range(1, whole + 1)]
    between = [2 ** (-4 * head / whole) for head in range(1, 2 * whole + 1, 2)]
    return torch.tensor((slopes + between)[:n_heads])


class ALiBi(nn.Module):
    """Attention with linear biases: `-slope |t - s|` is added to the scores; nothing is learned.

    Each head has its own slope: steep ones read near by, flat ones far and wide (Press et al.,
    2022). Keys ahead of the query, where a mask lets them be seen, count by their distance too.
    """

    slopes: Tensor

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", alibi_slopes(n_heads), persistent=False)

    def forward(self, n_queries: int, n_keys: int) -> Float[Tensor, "H T S"]:
        """The biases of all heads; the last query stands at the last key."""
        distances = offsets(n_queries, n_keys, self.slopes.device).abs()
        return -self.slopes[:, None, None] * distances  # H 1 1, T S -> H T S


def _rows(
    table: Float[Tensor, "C D"], length: int, positions: Int[Tensor, "*#B T"] | None, start: int
) -> Tensor:
    """A table's rows for the positions asked for, broadcast over rows of the batch."""
    if positions is None:
        return table[start : start + length]
    return table[_one_each(positions, length)]


def _one_each(positions: Int[Tensor, "*#B T"], length: int) -> Int[Tensor, "*#B T"]:
    """The positions of `length` tokens, for each row of the batch or for all of them.

    Raises:
        UserError: there are more or fewer. One for all tokens would broadcast, and say nothing.
    """
    if positions.dim() > 2 or positions.size(-1) != length:
        raise UserError(
            f"positions of shape {list(positions.shape)} do not say where {length} tokens stand: "
            f"give one for each token, [T] or [B, T]"
        )
    return positions
