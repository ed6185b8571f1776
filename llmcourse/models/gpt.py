"""GPT: a stack of causal blocks that says which token comes next, from GPT-2's recipe to today's.

One module spans both recipes (and what lies between): the config names the parts, and
`models/assemble.py` is where a name becomes a part. Not here: what it shares with other families
(`models/config.py`, `models/counts.py`), training (`train/`), the loss (`objectives/clm.py`),
generation (`generate/`), files (`models/files.py`), other libraries' formats (`export/`). Chapter
05 builds it, chapter 09 trains it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Bool, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.assemble import build_block, build_final_norm, build_positions
from llmcourse.models.base import Model, Output
from llmcourse.models.config import BlockConfig
from llmcourse.models.counts import (
    attention_flops,
    attention_parameters,
    mlp_parameters,
    norm_parameters,
    position_parameters,
)
from llmcourse.nn.cache import KVCache
from llmcourse.nn.init import normal_, scale_residual_outputs_, zero_residual_outputs_

POSITIONS = ("none", "sinusoidal", "learned", "relative", "alibi", "rope")
"""Position encodings that a causal stack can have."""


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
        matrices = attention_parameters(self).matrices + mlp_parameters(self).matrices
        return self.n_layers * matrices + self.vocab_size * self.d_model

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied matrices counted once."""
        norm = norm_parameters(self)
        vectors = attention_parameters(self).vectors + mlp_parameters(self).vectors + 2 * norm
        final_norm = norm * (self.residual == "pre")
        token_table = self.vocab_size * self.d_model * (not self.tie_embeddings)
        tables = token_table + position_parameters(self)
        return self.n_matrix_parameters + self.n_layers * vectors + final_norm + tables

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        `2 N T + 4 L H K T^2`: a multiplication and an addition for each of the N matrix weights,
        and for each key and value that is looked at. All of attention's square counts, though half
        is masked (Chowdhery et al., 2022, appendix B).
        """
        # N counts what tokens are multiplied with; scores and mixing multiply tokens with tokens.
        attention = self.n_layers * attention_flops(self, length, length)
        return 2 * length * self.n_matrix_parameters + attention

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
        "mlp": "gelu_tanh",
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


class GPT(Model):
    """A decoder-only transformer, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        position_embedding: adds a vector for each position, learned or sinusoidal; or None.
        position_bias: what all layers add to their scores, relative bias or ALiBi; or None.
        dropout: on the embeddings; the blocks have their own.
        blocks: the L layers.
        norm: the final norm; with post-norm the identity.
        lm_head: from hidden states to logits, `[V, D]`; the token embedding itself where tied.
    """

    generates = True
    batches_ragged = True

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        # One at the most: an embedding, a rotation of queries and keys, or a bias on the scores.
        positions = build_positions(config, bidirectional=False)
        self.position_embedding = positions.embedding
        self.position_bias = positions.bias
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(build_block(config, positions) for _ in range(config.n_layers))
        self.norm = build_final_norm(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        normal_(self)
        # Each block adds to the residual stream: nothing at first, or little, so that L of them
        # together do not drown the embeddings.
        if config.zero_init_outputs:
            zero_residual_outputs_(self)
        else:
            scale_residual_outputs_(self, config.n_layers)
        if config.tie_embeddings:  # one matrix, whose row embeds a token and scores it
            self.lm_head.weight = self.token_embedding.weight

    def new_cache(self) -> KVCache:
        """Cache of keys and values, empty, with a place for each layer."""
        return KVCache(self.config.n_layers)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Bool[Tensor, "#B #H #T #S"] | Bool[Tensor, "#T #S"] | None = None,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
        n_scored: int | None = None,
    ) -> Output:
        """Score every token of the vocabulary as the successor of each position.

        Args:
            ids: the tokens to read.
            mask: True where a position may look, on top of causality (padding, packed documents);
                with a cache it covers the cached positions too.
            positions: where the tokens stand; after those in the cache, unless given. Biases on
                the scores go by the distance within the row, whatever is said here.
            cache: keys and values of the tokens before these; theirs are appended.
            n_scored: score the successors of so many positions at the end only, all unless given:
                who reads a long prompt to go on with it needs one.

        Raises:
            UserError: more tokens, cached ones included, than the context is long.
        """
        start = 0 if cache is None else cache.length
        if start + ids.size(1) > self.config.context_length:
            raise UserError(
                f"{start + ids.size(1)} tokens do not fit into the context_length of "
                f"{self.config.context_length}: give the last {self.config.context_length}"
            )
        hidden = self.token_embedding(ids)  # B T -> B T D
        if self.config.positions == "sinusoidal":
            # Sinusoids have entries near 1, embeddings near 0.02: unscaled, tokens would drown.
            hidden = hidden * self.config.d_model**0.5
        if self.position_embedding is not None:
            hidden = self.position_embedding(hidden, positions, start)
        hidden = self.dropout(hidden)
        # Each block reads the residual stream and adds to it. Within its attention
        # B T (H K) -> B H T K and back; outside it the stream stays B T D.
        for layer, block in enumerate(self.blocks):
            hidden = block(
                hidden, mask=mask, is_causal=True, positions=positions, cache=cache, layer=layer
            )
        hidden = self.norm(hidden)
        scored = hidden if n_scored is None else hidden[:, -n_scored:]
        return Output(self.lm_head(scored), hidden)  # B T D -> B T V
