"""GPT: a stack of causal blocks that says which token comes next, from GPT-2's recipe to today's.

One module spans both recipes (and what lies between): the config names the parts, and
`nn/parts.py` is where a name becomes a part. Not here: what it shares with other families
(`models/config.py`), training (`train/`), the loss (`objectives/clm.py`), generation (`generate/`),
files (`models/files.py`), other libraries' formats (`export/`). Chapter 05 builds it, chapter 09
trains it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.base import Output, Sized
from llmcourse.models.config import BlockConfig, block_of, final_norm_of, order_of
from llmcourse.nn.cache import KVCache
from llmcourse.nn.init import normal_, scale_residual_outputs_, zero_residual_outputs_

POSITIONS = ("none", "sinusoidal", "learned", "relative", "alibi", "rope")
"""What can bring order into a stack that looks back."""


@dataclass(frozen=True, kw_only=True)
class GPTConfig(BlockConfig):
    """The shape of a GPT and the names of its parts: see `BlockConfig`.

    Attributes:
        mlp: the feed-forward part; squared ReLU trained best at small size.
        bias: whether linear layers and norms have biases (the output head never has).
        zero_init_outputs: whether each block begins as the identity, or small, as in GPT-2. With
            tied embeddings of great width, the identity first bets on the token just read.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    known_positions: ClassVar[tuple[str, ...]] = POSITIONS
    mlp: str = "squared_relu"

    @property
    def n_matrix_parameters(self) -> int:
        """How many weights a token is multiplied with: all matrices, the output head among them."""
        matrices = self.attention.matrices + self.feed_forward.matrices
        return self.n_layers * matrices + self.vocab_size * self.d_model

    @property
    def n_parameters(self) -> int:
        """How many trained numbers there are, tied matrices counted once."""
        vectors = self.attention.vectors + self.feed_forward.vectors + 2 * self.norm_width
        final_norm = self.norm_width * (self.residual == "pre")
        token_table = self.vocab_size * self.d_model * (not self.tie_embeddings)
        tables = token_table + self.position_parameters
        return self.n_matrix_parameters + self.n_layers * vectors + final_norm + tables

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        `2 N T + 4 L H K T^2`: a multiplication and an addition for each of the N matrix weights,
        and for each key and value that is looked at. All of attention's square counts, though half
        is masked (Chowdhery et al., 2022, appendix B).
        """
        looking = self.n_layers * self.looking_flops(length, length)
        return 2 * length * self.n_matrix_parameters + looking

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations to train on one token, in windows of `context_length`.

        `6 N + 12 L H K T`: a forward pass, and twice as much backward.
        """
        return 3 * self.forward_flops(self.context_length) // self.context_length


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


class GPT(Sized, nn.Module):
    """A decoder-only transformer, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        position_embedding: adds a vector for each position, learned or sinusoidal; or None.
        position_bias: what all layers add to their scores, relative bias or ALiBi; or None.
        blocks: the L layers.
        norm: the final norm; with post-norm the identity.
        lm_head: from hidden states to logits, `[V, D]`; the token embedding itself where tied.
    """

    generates = True

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        order = order_of(config, bidirectional=False)
        self.position_embedding = order.embedding
        self.position_bias = order.bias
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(block_of(config, order) for _ in range(config.n_layers))
        self.norm = final_norm_of(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        normal_(self)
        if config.zero_init_outputs:
            zero_residual_outputs_(self)
        else:
            scale_residual_outputs_(self, config.n_layers)
        if config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    def new_cache(self) -> KVCache:
        """A cache of nothing."""
        return KVCache(self.config.n_layers)

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
