"""One layer of a transformer: attention, then feed-forward, each joined to what came in.

How a branch is joined is a part like any other: `pre_norm` or `post_norm`. Not here: the parts
themselves, which are passed in, and the stack of blocks (`models/`). Chapter 05 teaches this.
"""

from collections.abc import Callable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.nn.attention import Attention
from llmcourse.nn.cache import KVCache

Branch = Callable[[Tensor], Tensor]
"""What is added to the stream: attention, or feed-forward, and the dropout after it."""

Residual = Callable[[Tensor, nn.Module, Branch], Tensor]
"""How a branch joins the stream, given the stream, a norm and the branch."""


def pre_norm(hidden: Tensor, norm: nn.Module, branch: Branch) -> Tensor:
    """Pre-norm, `x + branch(norm(x))`: the norm stands on the branch.

    The residual stream runs through unchanged, and gradients reach the first layer undiminished
    (Xiong et al., 2020). What comes out of the last block has never been normalised.
    """
    return hidden + branch(norm(hidden))


def post_norm(hidden: Tensor, norm: nn.Module, branch: Branch) -> Tensor:
    """Post-norm, `norm(x + branch(x))`: it stands on the stream (Vaswani et al., 2017).

    Every block's output is normalised, and every gradient passes through every norm on its way
    down. Deep stacks need a slow warm-up.
    """
    return norm(hidden + branch(hidden))


class Block(nn.Module):
    """A residual block: attention, then feed-forward. The tap point `hidden` sees what comes out.

    Args:
        norm1: belongs to the attention.
        attention: lets positions look at each other.
        norm2: belongs to the feed-forward part.
        mlp: transforms each position by itself.
        dropout: the fraction of each branch's output dropped in training.
        residual: how a branch joins the stream, `pre_norm` or `post_norm`.
    """

    def __init__(
        self,
        norm1: nn.Module,
        attention: Attention,
        norm2: nn.Module,
        mlp: nn.Module,
        dropout: float = 0.0,
        residual: Residual = pre_norm,
    ) -> None:
        super().__init__()
        self.norm1 = norm1
        self.attention = attention
        self.norm2 = norm2
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.hidden = nn.Identity()

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
        """Transform the residual stream; the keyword arguments are `Attention.forward`'s."""

        def attend(x: Tensor) -> Tensor:
            mixed = self.attention(
                x,
                context=context,
                mask=mask,
                is_causal=is_causal,
                positions=positions,
                cache=cache,
                layer=layer,
            )
            return self.dropout(mixed)

        def transform(x: Tensor) -> Tensor:
            return self.dropout(self.mlp(x))

        # B T D throughout. Where the norm stands is up to `residual`, which calls the branch.
        hidden = self.residual(hidden, self.norm1, attend)
        hidden = self.residual(hidden, self.norm2, transform)
        return self.hidden(hidden)


class DecoderBlock(nn.Module):
    """A causal residual block that also reads another text: it has a cross-attention besides.

    Vaswani et al., 2017, figure 1, right. The tap point `hidden` sees what comes out.

    Args:
        norm1: belongs to the attention.
        attention: lets positions look at each other.
        norm2: belongs to the cross-attention.
        cross_attention: lets positions look at the other text.
        norm3: belongs to the feed-forward part.
        mlp: transforms each position by itself.
        dropout: the fraction of each branch's output dropped in training.
        residual: how a branch joins the stream, `pre_norm` or `post_norm`.
    """

    def __init__(
        self,
        norm1: nn.Module,
        attention: Attention,
        norm2: nn.Module,
        cross_attention: Attention,
        norm3: nn.Module,
        mlp: nn.Module,
        dropout: float = 0.0,
        residual: Residual = pre_norm,
    ) -> None:
        super().__init__()
        self.norm1 = norm1
        self.attention = attention
        self.norm2 = norm2
        self.cross_attention = cross_attention
        self.norm3 = norm3
        self.mlp = mlp
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        self.hidden = nn.Identity()

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S D"],
        *,
        memory_mask: Bool[Tensor, "#B #H #T #S"] | None = None,
        memory_cache: KVCache | None = None,
        mask: Bool[Tensor, "#B #H #T #N"] | Bool[Tensor, "#T #N"] | None = None,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "B T D"]:
        """Transform the residual stream, reading `memory` on the way.

        Args:
            hidden: the stream of the text being written.
            memory: what the encoder made of the text being read.
            memory_mask: True where a position may look at the memory.
            memory_cache: the memory's keys and values, computed at the first call and then kept.
            mask: True where a position may look within its own text, besides being causal.
            positions: where `hidden` stands.
            cache: past keys and values of the self-attention.
            layer: which of the caches' layers is this one's.
        """

        def attend(x: Tensor) -> Tensor:
            # In training all of the text is there at once: causality keeps the future out of sight.
            mixed = self.attention(
                x, mask=mask, is_causal=True, positions=positions, cache=cache, layer=layer
            )
            return self.dropout(mixed)

        def read(x: Tensor) -> Tensor:
            # Queries from the text being written, keys and values from the memory; nothing is
            # hidden but padding, for the text being read is there as a whole.
            mixed = self.cross_attention(
                x, context=memory, mask=memory_mask, cache=memory_cache, layer=layer
            )
            return self.dropout(mixed)

        def transform(x: Tensor) -> Tensor:
            return self.dropout(self.mlp(x))

        # What was written, what was read, then each position by itself: B T D throughout.
        hidden = self.residual(hidden, self.norm1, attend)
        hidden = self.residual(hidden, self.norm2, read)
        hidden = self.residual(hidden, self.norm3, transform)
        return self.hidden(hidden)
