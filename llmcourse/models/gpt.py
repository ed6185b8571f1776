"""GPT: a stack of causal blocks that says which token comes next, from GPT-2's recipe to today's.

One module spans both recipes (and what lies between): the config names the parts, and
`nn/parts.py` is where a name becomes a part. Not here: training (`train/`), the loss
(`objectives/clm.py`), generation (`generate/`), files (`models/files.py`), other libraries' formats
(`export/`). Chapter 05 builds it, chapter 09 trains it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor, nn

from llmcourse.errors import UserError, nearest
from llmcourse.models.base import Output
from llmcourse.nn.attention import Attention, check_heads
from llmcourse.nn.blocks import Block
from llmcourse.nn.cache import KVCache
from llmcourse.nn.init import normal_, scale_residual_outputs_, zero_residual_outputs_
from llmcourse.nn.norms import RMSNorm
from llmcourse.nn.parts import MLPS, NORMS
from llmcourse.nn.positions import (
    ALiBi,
    LearnedPositions,
    RelativeBias,
    RoPE,
    SinusoidalPositions,
)
from llmcourse.nn.rope_scaling import SCALINGS, scaling_of

POSITIONS = ("none", "sinusoidal", "learned", "relative", "alibi", "rope")
RELATIVE_BUCKETS = 32
"""How many buckets of distances a relative bias has."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The shape of a GPT and the names of its parts.

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
        mlp: a name in `nn.parts.MLPS`, such as `gelu`, `swiglu` or `squared_relu`.
        positions: `none`, `sinusoidal`, `learned`, `relative` (T5's bias, one table for all
            layers), `alibi` or `rope`.
        rope_theta: the base of the rotary frequencies.
        rope_scaling: how rotations are slowed down for a context longer than the weights were
            trained on: `none`, `linear`, `ntk`, `yarn` or `llama3`.
        rope_factor: by how much.
        rope_original_length: the context that the weights were trained on; `context_length /
            rope_factor` unless given.
        norm_eps: what keeps a norm from dividing by zero.
        qk_norm: whether queries and keys are normalised before they meet (Henry et al., 2020).
        bias: whether linear layers and norms have biases (the output head never has).
        tie_embeddings: whether one matrix reads tokens and predicts them (Press and Wolf, 2017).
        zero_init_outputs: whether each block begins as the identity, or small, as in GPT-2. With
            tied embeddings of great width, the identity first bets on the token just read.
        dropout: the share of activations dropped in training.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    vocab_size: int
    context_length: int
    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int | None = None
    head_dim: int | None = None
    d_ff: int | None = None
    norm: str = "rmsnorm"
    mlp: str = "squared_relu"
    positions: str = "rope"
    rope_theta: float = 10_000.0
    rope_scaling: str = "none"
    rope_factor: float = 1.0
    rope_original_length: int | None = None
    norm_eps: float = 1e-5
    qk_norm: bool = True
    bias: bool = False
    tie_embeddings: bool = False
    zero_init_outputs: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "d_model", "n_layers", "n_heads"):
            _at_least_one(name, getattr(self, name))
        for name in ("n_kv_heads", "head_dim", "d_ff", "rope_original_length"):
            if getattr(self, name) is not None:
                _at_least_one(name, getattr(self, name))
        _known_part("norm", self.norm, NORMS)
        _known_part("mlp", self.mlp, MLPS)
        _known_part("positions", self.positions, POSITIONS)
        _known_part("rope_scaling", self.rope_scaling, ("none", *SCALINGS))
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
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise UserError(f"d_model={self.d_model} is odd: sinusoids come in pairs, make it even")
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
    def rope_trained_length(self) -> int:
        """The context that the weights were trained on, which rotations were made for."""
        derived = round(self.context_length / max(self.rope_factor, 1))
        return derived if self.rope_original_length is None else self.rope_original_length

    @property
    def ff_width(self) -> int:
        """The feed-forward width, F."""
        return MLPS[self.mlp].default_width(self.d_model) if self.d_ff is None else self.d_ff

    @property
    def n_matrix_parameters(self) -> int:
        """How many weights a token is multiplied with: all matrices, the output head among them."""
        attention = 2 * self.d_model * self.head_width * (self.n_heads + self.kv_heads)
        mlp = MLPS[self.mlp].n_matrices * self.d_model * self.ff_width
        return self.n_layers * (attention + mlp) + self.vocab_size * self.d_model

    @property
    def n_parameters(self) -> int:
        """How many trained numbers there are, tied matrices counted once."""
        norm = self.d_model * (1 + (self.norm == "layernorm" and self.bias))
        heads = self.head_width * (self.n_heads + 2 * self.kv_heads)
        mlp_bias = (MLPS[self.mlp].n_matrices - 1) * self.ff_width + self.d_model
        biases = (heads + self.d_model + mlp_bias) * self.bias
        vectors = self.n_layers * (2 * norm + biases + 2 * self.head_width * self.qk_norm) + norm
        token_table = self.vocab_size * self.d_model * (not self.tie_embeddings)
        position_tables = {
            "learned": self.context_length * self.d_model,
            "relative": RELATIVE_BUCKETS * self.n_heads,
        }
        position_table = position_tables.get(self.positions, 0)
        return self.n_matrix_parameters + vectors + token_table + position_table

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations to train on one token, in windows of `context_length`.

        `6 N + 12 L H K T`: a multiplication and an addition for each of the N matrix weights and
        for each key and value that is looked at, and twice as much backward as forward. All of
        attention's square counts, though half is masked (Chowdhery et al., 2022, appendix B).
        """
        attention = 2 * self.context_length * self.n_heads * self.head_width  # scores, and mixing
        forward = 2 * self.n_matrix_parameters + 2 * self.n_layers * attention
        return 3 * forward


def gpt2_recipe(**sizes: Any) -> GPTConfig:
    """A config by the recipe of GPT-2 (Radford et al., 2019); `sizes` are any of its fields.

    Learned positions, LayerNorm, GELU, biases, tied embeddings, scaled residual projections.

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "mlp": "gelu",
        "positions": "learned",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init_outputs": False,
    }
    return GPTConfig(**{**recipe, **sizes})


def modern_recipe(**sizes: Any) -> GPTConfig:
    """A config by a recipe of today; `sizes` are any of its fields.

    Rotary positions, RMSNorm, QK-norm, squared ReLU, no biases, untied embeddings, zero-initialised
    output projections: what trained best at small size. `mlp="swiglu", qk_norm=False` is Llama's.

    Raises:
        UserError: sizes that do not go together.
    """
    return GPTConfig(**sizes)


class GPT(nn.Module):
    """A decoder-only transformer, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        position_embedding: adds a vector for each position, learned or sinusoidal; or None.
        position_bias: what all layers add to their scores, relative bias or ALiBi; or None.
        blocks: the L layers.
        norm: the final norm.
        lm_head: from hidden states to logits, `[V, D]`; the token embedding itself where tied.
    """

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = _position_embedding(config)
        self.position_bias = _position_bias(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            _block(config, self.position_bias) for _ in range(config.n_layers)
        )
        self.norm = _norm(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        normal_(self)
        if config.zero_init_outputs:
            zero_residual_outputs_(self)
        else:
            scale_residual_outputs_(self, config.n_layers)
        if config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    @property
    def n_parameters(self) -> int:
        """How many trained numbers there are, tied matrices counted once."""
        return self.config.n_parameters

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations to train on one token: see `GPTConfig.flops_per_token`."""
        return self.config.flops_per_token

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "#B #H #T #S"] | Bool[Tensor, "#T #S"] | None = None,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
    ) -> Output:
        """Score every token of the vocabulary as the successor of each position.

        Args:
            ids: the tokens to read.
            mask: True where a position may look, on top of causality (padding, packed documents);
                with a cache it covers the cached positions too.
            positions: where the tokens stand; after those in the cache, unless given. Biases on
                the scores go by the distance within the row, whatever is said here.
            cache: keys and values of the tokens before these; theirs are appended.

        Raises:
            UserError: more tokens, cached ones included, than the context is long.
        """
        start = 0 if cache is None else cache.length
        if start + ids.size(1) > self.config.context_length:
            raise UserError(
                f"{start + ids.size(1)} tokens do not fit into the context_length of "
                f"{self.config.context_length}: give the last {self.config.context_length}"
            )
        hidden = self.token_embedding(ids)  # B T D
        if self.config.positions == "sinusoidal":  # or sinusoids would drown the tokens
            hidden = hidden * self.config.d_model**0.5
        if self.position_embedding is not None:
            hidden = self.position_embedding(hidden, positions, start)
        hidden = self.dropout(hidden)
        looking: dict[str, Any] = {"mask": mask, "positions": positions, "cache": cache}
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, is_causal=True, layer=layer, **looking)
        hidden = self.norm(hidden)
        return Output(self.lm_head(hidden), hidden)


def _position_embedding(config: GPTConfig) -> LearnedPositions | SinusoidalPositions | None:
    """What is added to the tokens' embeddings, if anything is."""
    kinds = {"learned": LearnedPositions, "sinusoidal": SinusoidalPositions}
    kind = kinds.get(config.positions)
    return None if kind is None else kind(config.context_length, config.d_model)


def _position_bias(config: GPTConfig) -> RelativeBias | ALiBi | None:
    """What is added to the scores, if anything is; one for all layers, as in T5."""
    if config.positions == "relative":
        return RelativeBias(config.n_heads, RELATIVE_BUCKETS)
    return ALiBi(config.n_heads) if config.positions == "alibi" else None


def _rotary(config: GPTConfig) -> RoPE | None:
    """What turns queries and keys, if anything does."""
    if config.positions != "rope":
        return None
    return RoPE(
        config.head_width,
        theta=config.rope_theta,
        context_length=config.context_length,
        scaling=scaling_of(config.rope_scaling, config.rope_factor, config.rope_trained_length),
    )


def _block(config: GPTConfig, position_bias: nn.Module | None) -> Block:
    """One layer, its parts chosen by name."""
    q_norm, k_norm = None, None
    if config.qk_norm:
        q_norm = RMSNorm(config.head_width, eps=config.norm_eps)
        k_norm = RMSNorm(config.head_width, eps=config.norm_eps)
    attention = Attention(
        d_model=config.d_model,
        n_heads=config.n_heads,
        n_kv_heads=config.n_kv_heads,
        head_dim=config.head_dim,
        bias=config.bias,
        dropout=config.dropout,
        q_norm=q_norm,
        k_norm=k_norm,
        rotary=_rotary(config),
        position_bias=position_bias,
    )
    mlp = MLPS[config.mlp](config.d_model, config.ff_width, bias=config.bias)
    return Block(_norm(config), attention, _norm(config), mlp, config.dropout)


def _norm(config: GPTConfig) -> nn.Module:
    return NORMS[config.norm](config.d_model, config.norm_eps, config.bias)


def _known_part(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise UserError(f"unknown {name}={value!r}{nearest(value, known)}")


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"{name}={value} must be at least 1")
