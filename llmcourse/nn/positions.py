"""How order gets in: a learned vector for each position, or a rotation of queries and keys.

Attention alone cannot tell one order of its input from another. Not here: sinusoids, ALiBi and
relative biases. Chapter 04 teaches this.

Both parts are asked for the positions `start, start + 1, ...` or, where rows differ (padding on the
left, packed documents), for explicit `positions`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError


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
        positions: Int[Tensor, "#B T"] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "B T D"]:
        """Add to each hidden state its position's vector."""
        if positions is None:
            return hidden + self.weight[start : start + hidden.size(1)]
        return hidden + self.weight[positions]


def rope_tables(
    head_dim: int, theta: float, context_length: int
) -> tuple[Float[Tensor, "C K"], Float[Tensor, "C K"]]:
    """The cosines and signed sines that `rotate` multiplies by, for each position.

    Pair `i` of the K/2 pairs turns by `theta ** (-2 i / K)` radians a position. The angles are
    computed in double precision: at position 10,000 single precision would be off by a thousandth.
    """
    frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(context_length, dtype=torch.float64), frequencies)
    cosines = torch.cat([angles.cos(), angles.cos()], dim=-1)
    sines = torch.cat([-angles.sin(), angles.sin()], dim=-1)
    dtype = torch.get_default_dtype()
    return cosines.to(dtype), sines.to(dtype)


def rotate(
    x: Float[Tensor, "*B T K"], cosines: Float[Tensor, "*#B T K"], sines: Float[Tensor, "*#B T K"]
) -> Float[Tensor, "*B T K"]:
    """Turn each pair `(x[i], x[i + K/2])` by its position's angle.

    `(a, b) -> (a cos - b sin, b cos + a sin)`. The pairs are halves, as in Llama's `transformers`
    weights, not neighbours, as in the paper; one is a permutation of the other.
    """
    swapped = x.roll(x.size(-1) // 2, dims=-1)  # (first half, second half) -> (second, first)
    return torch.addcmul(x * cosines, swapped, sines)


class RoPE(nn.Module):
    """Rotary position embedding: queries and keys are turned by an angle that grows with position.

    The score of a query at `t` and a key at `s` then depends on `t - s` alone
    (Su et al., 2021, equation 16).

    Raises:
        UserError: an odd `head_dim`, whose entries do not pair up.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self, head_dim: int, *, theta: float = 10_000.0, context_length: int = 1024
    ) -> None:
        super().__init__()
        if head_dim % 2:
            raise UserError(
                f"head_dim={head_dim} is odd: rotary positions turn pairs, so make it even"
            )
        cosines, sines = rope_tables(head_dim, theta, context_length)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def forward(
        self,
        x: Float[Tensor, "B H T K"],
        positions: Int[Tensor, "#B T"] | None = None,
        start: int = 0,
    ) -> Float[Tensor, "B H T K"]:
        """Turn the queries or keys `x` by their positions."""
        if positions is None:
            here: slice | Tensor = slice(start, start + x.size(-2))
        else:
            here = positions[:, None]  # B T -> B 1 T, for every head
        return rotate(x, self.cosines[here].to(x.dtype), self.sines[here].to(x.dtype))
