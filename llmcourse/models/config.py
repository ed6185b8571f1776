"""What the transformers' configs share: a block's sizes and the names of its parts.

Checked at the door, counted, and built. What sets a family apart stands in its own file (`gpt.py`,
`bert.py`, `encoder_decoder.py`). Not here: the parts (`nn/`), and the tables of their names
(`nn/parts.py`). Chapter 05 teaches this.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from torch import nn

from llmcourse.errors import UserError, nearest
from llmcourse.nn.attention import Attention, check_heads
from llmcourse.nn.blocks import Block, DecoderBlock
from llmcourse.nn.norms import RMSNorm
from llmcourse.nn.parts import MLPS, NORMS, RESIDUALS
from llmcourse.nn.positions import (
    ALiBi,
    LearnedPositions,
    RelativeBias,
    RoPE,
    SinusoidalPositions,
    offsets,
    relative_buckets,
    sinusoids,
)
from llmcourse.nn.rope_scaling import SCALINGS, scaling_of


class Count(NamedTuple):
    """Trained numbers.

    Attributes:
        matrices: weights that a token is multiplied with.
        vectors: the rest: biases and the weights of norms.
    """

    matrices: int
    vectors: int


class Order(NamedTuple):
    """How order gets into a stack of blocks: by one of these at the most."""

    embedding: LearnedPositions | SinusoidalPositions | None
    rotary: RoPE | None
    bias: RelativeBias | ALiBi | None


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    """The sizes of a stack of blocks and the names of its parts.

    What is None follows from the rest: `kv_heads`, `head_width` and `ff_width` say what it became.

    Attributes:
        vocab_size: how many tokens there are, V.
        context_length: how many tokens the model sees at once.
        d_model: the width of the residual stream, D.
        n_layers: how many blocks, L.
        n_heads: how many query heads, H.
        n_kv_heads: how many key/value heads, G; H unless given.
        head_dim: the width of a head, K; `D / H` unless given.
        d_ff: the feed-forward width, F; the MLP's usual one unless given.
        norm: `layernorm` or `rmsnorm`.
        mlp: a name in `nn.parts.MLPS`, such as `relu`, `gelu_exact`, `geglu` or `swiglu`.
        residual: where the norm stands: on the branch, `pre`, or on the stream, `post`.
        positions: `none`, `sinusoidal`, `learned`, `relative` (T5's bias, one table for all layers
            of a stack), `rope`, or, where a text is read in one direction, `alibi`.
        rope_theta: the base of the rotary frequencies.
        rope_scaling: how rotations are slowed down for a context longer than the weights were
            trained on: `none`, `linear`, `ntk`, `yarn` or `llama3`.
        rope_factor: by how much.
        rope_original_length: the context that the weights were trained on; `context_length /
            rope_factor` unless given.
        relative_buckets: into how many buckets relative distances fall.
        relative_distance: from which distance on all fall into the last one.
        norm_eps: what keeps a norm from dividing by zero.
        qk_norm: whether queries and keys are normalised before they meet (Henry et al., 2020).
        bias: whether linear layers and norms have biases.
        tie_embeddings: whether one matrix reads tokens and predicts them (Press and Wolf, 2017).
        zero_init_outputs: whether what a block adds begins at zero.
        dropout: the share of activations dropped in training.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    known_positions: ClassVar[tuple[str, ...]] = (
        "none",
        "sinusoidal",
        "learned",
        "relative",
        "rope",
    )
    """Without ALiBi, which knows distances alone: a stack that looks both ways could not tell a
    text from its mirror image."""

    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    head_dim: int | None = None
    d_ff: int | None = None
    norm: str = "rmsnorm"
    mlp: str = "geglu"
    residual: str = "pre"
    positions: str = "rope"
    rope_theta: float = 10_000.0
    rope_scaling: str = "none"
    rope_factor: float = 1.0
    rope_original_length: int | None = None
    relative_buckets: int = 32
    relative_distance: int = 128
    norm_eps: float = 1e-5
    qk_norm: bool = True
    bias: bool = False
    tie_embeddings: bool = False
    zero_init_outputs: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads"):
            at_least(1, name, getattr(self, name))
        for name in ("n_kv_heads", "head_dim", "d_ff", "rope_original_length"):
            at_least(1, name, getattr(self, name))
        tables = {"norm": NORMS, "mlp": MLPS, "residual": RESIDUALS}
        others = {"positions": self.known_positions, "rope_scaling": ("none", *SCALINGS)}
        for name, known in (tables | others).items():
            word = getattr(self, name)
            if word not in known:
                raise UserError(f"unknown {name}={word!r}{nearest(word, known)}")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout={self.dropout} must be at least 0 and below 1: try 0.1")
        for name in ("rope_theta", "norm_eps"):
            if getattr(self, name) <= 0:
                raise UserError(f"{name}={getattr(self, name)} must be above 0")
        check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)
        self._check_positions()

    def _check_positions(self) -> None:
        """Refuse positions that do not fit the sizes, and a scaling that would scale nothing."""
        if self.positions == "rope" and self.head_width % 2:
            raise UserError(
                f"a head of width {self.head_width} is odd: rotary positions turn pairs, "
                "so choose d_model and n_heads (or head_dim) that make it even"
            )
        if self.positions == "sinusoidal":
            sinusoids(1, self.d_model)  # it and the next complain of sizes that do not fit
        if self.positions == "relative":
            relative_buckets(offsets(1, 1), self.relative_buckets, self.relative_distance, True)
        if self.positions != "rope" and self.rope_scaling != "none":
            raise UserError(
                f"rope_scaling={self.rope_scaling!r} needs positions='rope', not {self.positions!r}"
            )
        if self.rope_scaling == "none" and self.rope_factor != 1:
            raise UserError(
                f"rope_factor={self.rope_factor} does nothing without rope_scaling: "
                f"choose one of {', '.join(SCALINGS)}"
            )
        scaling_of(self.rope_scaling, self.rope_factor, self.rope_trained_length)

    @property
    def kv_heads(self) -> int:
        """How many key/value heads there are, G."""
        return check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)[0]

    @property
    def head_width(self) -> int:
        """The width of a head, K."""
        return check_heads(self.d_model, self.n_heads, self.n_kv_heads, self.head_dim)[1]

    @property
    def ff_width(self) -> int:
        """The feed-forward width, F."""
        return MLPS[self.mlp].default_width(self.d_model) if self.d_ff is None else self.d_ff

    @property
    def rope_trained_length(self) -> int:
        """The context that the weights were trained on, which rotations were made for."""
        derived = round(self.context_length / max(self.rope_factor, 1))
        return derived if self.rope_original_length is None else self.rope_original_length

    @property
    def query_matrices(self) -> int:
        """How many weights what asks is multiplied with in attention: `q_proj` and `o_proj`."""
        return 2 * self.d_model * self.n_heads * self.head_width

    @property
    def key_matrices(self) -> int:
        """How many weights what is looked at is multiplied with: `k_proj` and `v_proj`."""
        return 2 * self.d_model * self.kv_heads * self.head_width

    @property
    def attention(self) -> Count:
        """The trained numbers of one attention."""
        biases = self.head_width * (self.n_heads + 2 * self.kv_heads) + self.d_model
        norms = 2 * self.head_width * self.qk_norm
        return Count(self.query_matrices + self.key_matrices, biases * self.bias + norms)

    @property
    def feed_forward(self) -> Count:
        """The trained numbers of one feed-forward part."""
        n_matrices = MLPS[self.mlp].n_matrices
        biases = (n_matrices - 1) * self.ff_width + self.d_model
        return Count(n_matrices * self.d_model * self.ff_width, biases * self.bias)

    @property
    def norm_width(self) -> int:
        """The trained numbers of one norm."""
        return self.d_model * (1 + (self.norm == "layernorm" and self.bias))

    @property
    def position_parameters(self) -> int:
        """The trained numbers that bring order into one stack of blocks."""
        learned = self.context_length * self.d_model * (self.positions == "learned")
        return learned + self.relative_buckets * self.n_heads * (self.positions == "relative")

    def looking_flops(self, n_queries: int, n_keys: int) -> int:
        """Floating-point operations of one attention but for its projections: `4 T S H K`.

        A multiplication and an addition for the scores, and as many to mix the values. All of the
        rectangle counts, also what a mask hides.
        """
        return 4 * n_queries * n_keys * self.n_heads * self.head_width


def at_least(least: int, name: str, value: int | None) -> None:
    """Refuse a size that is too small; None, which is derived, passes.

    Raises:
        UserError: it is.
    """
    if value is not None and value < least:
        raise UserError(f"{name}={value} must be at least {least}")


def check_length(length: int, context_length: int) -> None:
    """Refuse more tokens than a model sees at once.

    Raises:
        UserError: there are more.
    """
    if length > context_length:
        raise UserError(
            f"{length} tokens do not fit into the context_length of {context_length}: "
            f"give {context_length} at the most"
        )


def norm_of(config: BlockConfig) -> nn.Module:
    """A norm over the model's width."""
    return NORMS[config.norm](config.d_model, config.norm_eps, config.bias)


def final_norm_of(config: BlockConfig) -> nn.Module:
    """What stands after the last block: with post-norm nothing, for it has normalised already."""
    return norm_of(config) if config.residual == "pre" else nn.Identity()


def attention_of(config: BlockConfig, order: Order | None = None) -> Attention:
    """An attention; one that looks at another text has no `order`."""
    q_norm, k_norm = None, None
    if config.qk_norm:
        q_norm = RMSNorm(config.head_width, eps=config.norm_eps)
        k_norm = RMSNorm(config.head_width, eps=config.norm_eps)
    return Attention(
        d_model=config.d_model,
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        bias=config.bias,
        dropout=config.dropout,
        q_norm=q_norm,
        k_norm=k_norm,
        rotary=None if order is None else order.rotary,
        position_bias=None if order is None else order.bias,
    )


def feed_forward_of(config: BlockConfig) -> nn.Module:
    """A feed-forward part."""
    return MLPS[config.mlp](config.d_model, config.ff_width, bias=config.bias)


def block_of(config: BlockConfig, order: Order) -> Block:
    """A layer that reads one text."""
    return Block(
        norm_of(config),
        attention_of(config, order),
        norm_of(config),
        feed_forward_of(config),
        config.dropout,
        RESIDUALS[config.residual],
    )


def decoder_block_of(config: BlockConfig, order: Order) -> DecoderBlock:
    """A layer that also reads another text."""
    return DecoderBlock(
        norm_of(config),
        attention_of(config, order),
        norm_of(config),
        attention_of(config),
        norm_of(config),
        feed_forward_of(config),
        config.dropout,
        RESIDUALS[config.residual],
    )


def order_of(config: BlockConfig, *, bidirectional: bool) -> Order:
    """How order gets into one stack; its blocks share it, as in T5 (Raffel et al., 2020)."""
    embedding, rotary, bias = None, None, None
    match config.positions:
        case "learned":
            embedding = LearnedPositions(config.context_length, config.d_model)
        case "sinusoidal":
            embedding = SinusoidalPositions(config.context_length, config.d_model)
        case "rope":
            rotary = RoPE(
                config.head_width,
                theta=config.rope_theta,
                context_length=config.context_length,
                scaling=scaling_of(
                    config.rope_scaling, config.rope_factor, config.rope_trained_length
                ),
            )
        case "alibi":
            bias = ALiBi(config.n_heads)
        case "relative":
            sizes = config.n_heads, config.relative_buckets, config.relative_distance
            bias = RelativeBias(*sizes, bidirectional=bidirectional)
    return Order(embedding, rotary, bias)
