"""XLNet: predicts the tokens of a text in any order, by two streams through one stack.

A position that shall say its token must not have read it; a position that others look at must have.
One vector cannot be both. So each position has two: its content, and its query, which knows where
it stands and what came before it in the permutation, and nothing of the token itself.

Yang et al., 2019, section 2.3. The paper's relative positions are Transformer-XL's; here they are
T5's biases, or rotations, or learned vectors. Its memory of earlier segments is not here, nor how
permutations are drawn (`objectives/plm.py`), nor files (`models/files.py`). Chapter 07 trains it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.models.assemble import build_block, build_final_norm, build_positions
from llmcourse.models.base import Model, Output
from llmcourse.models.config import BlockConfig, check_length
from llmcourse.models.counts import (
    attention_flops,
    attention_parameters,
    mlp_parameters,
    norm_parameters,
    position_parameters,
)
from llmcourse.nn.init import normal_, zero_residual_outputs_

N_STREAMS = 2
"""Content and query."""


@dataclass(frozen=True, kw_only=True)
class XLNetConfig(BlockConfig):
    """The shape of an XLNet and the names of its parts: see `BlockConfig`.

    Attributes:
        bias: whether linear layers, the output head among them, and norms have biases.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    known_positions: ClassVar[tuple[str, ...]] = ("learned", "relative", "rope")
    """Not none: a query that knows neither its token nor its place does not know what is asked."""

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied matrices counted once."""
        norm = norm_parameters(self)
        block = sum(attention_parameters(self)) + sum(mlp_parameters(self)) + 2 * norm
        n_tokens = self.vocab_size * (2 - self.tie_embeddings)
        tables = (n_tokens + 1) * self.d_model + position_parameters(self)  # 1 for the query seed
        head_bias = self.vocab_size * self.bias
        return self.n_layers * block + norm * (self.residual == "pre") + tables + head_bias

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        A multiplication and an addition for each weight and token that meet, and for each query and
        key: twice, as there are two streams. (Each of them computes the contents' keys and values.)
        """
        matrices = attention_parameters(self).matrices + mlp_parameters(self).matrices
        block = N_STREAMS * (2 * length * matrices + attention_flops(self, length, length))
        return self.n_layers * block + 2 * length * self.vocab_size * self.d_model

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token, in rows of `context_length`."""
        return 3 * self.forward_flops(self.context_length) / self.context_length


def xlnet_recipe(**sizes: Any) -> XLNetConfig:
    """A config by the recipe of XLNet (Yang et al., 2019); `sizes` are any of its fields.

    Post-norm, LayerNorm, GELU, relative positions (as T5's biases), biases, tied embeddings.

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "mlp": "gelu_tanh",
        "residual": "post",
        "positions": "relative",
        "norm_eps": 1e-12,
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init_outputs": False,
    }
    return XLNetConfig(**{**recipe, **sizes})


def modern_xlnet_recipe(**sizes: Any) -> XLNetConfig:
    """A config of parts of today; `sizes` are any of its fields.

    Pre-norm, RMSNorm, QK-norm, GEGLU, rotary positions, no biases, untied embeddings, blocks that
    begin as the identity.

    Raises:
        UserError: sizes that do not go together.
    """
    return XLNetConfig(**sizes)


class Visible(NamedTuple):
    """Whom a position may look at.

    Attributes:
        content: which positions go into what is known of one: itself, and those of lower rank.
        query: which positions its token is predicted from: those of lower rank alone.
    """

    content: Bool[Tensor, "#B 1 T T"]
    query: Bool[Tensor, "#B 1 T T"]


def visible(permutation: Int[Tensor, "B T"]) -> Visible:
    """The masks of both streams: `rank[s] <= rank[t]`, and `rank[s] < rank[t]`.

    Positions of one rank see each other's content, and none of them is predicted from another. So
    to ask for one token given all others, let it have rank 1 and them rank 0. (To let every query
    see all but itself at once would not do: what it sees has seen its token, one block below.)
    """
    # B T -> B 1 T 1 and B 1 1 T, which broadcast to a mask of queries by keys, B 1 T T.
    asking, shown = permutation[:, None, :, None], permutation[:, None, None, :]
    return Visible(content=shown <= asking, query=shown < asking)


class XLNet(Model):
    """A transformer that predicts in any order, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`: the content's beginning.
        query_seed: the query's beginning, the same at every position, `[D]`.
        position_embedding: what adds positions to both, or None where attention does.
        blocks: the L layers, which both streams pass.
        norm: the final norm; with post-norm the identity.
        lm_head: from the query to logits, `[V, D]`; its matrix is the token embedding's where tied.
    """

    calls_layers = False  # two streams pass a block's parts in turns

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.config = config
        positions = build_positions(config, bidirectional=True)
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        # The query must not know its token, so all positions begin with the same vector.
        self.query_seed = nn.Parameter(torch.empty(config.d_model).normal_(std=0.02))
        self.position_embedding = positions.embedding
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(build_block(config, positions) for _ in range(config.n_layers))
        self.norm = build_final_norm(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=config.bias)
        normal_(self)
        if config.zero_init_outputs:
            zero_residual_outputs_(self)
        if config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        permutation: Int[Tensor, "#B T"] | None = None,
        mask: Bool[Tensor, "#B #H #T #T"] | Bool[Tensor, "#T #T"] | None = None,
    ) -> Output:
        """Score every token of the vocabulary for each position, given those of lower rank.

        The logits are the query's; `hidden` is the content's, which has seen its own token.

        Args:
            ids: the tokens to read.
            permutation: the rank of each position in the order of prediction. Unless given, all
                have the same: `hidden` then describes a text read from both sides, and the logits
                are guesses from nothing.
            mask: True where a position may look (padding, packed documents), besides the ranks.

        Raises:
            UserError: more tokens than the context is long.
        """
        check_length(ids.size(1), self.config.context_length)
        seen = visible(torch.zeros_like(ids) if permutation is None else permutation)
        if mask is not None:
            seen = Visible(seen.content & mask, seen.query & mask)
        content = self._place(self.token_embedding(ids))
        # D -> B T D: positions tell the queries apart, and nothing else yet.
        query = self._place(self.query_seed.expand_as(content))
        for block in self.blocks:
            content, query = self._step(block, content, query, seen)
        # Predictions come from the queries alone: the contents have read what is to be predicted.
        query = self.norm(query)
        return Output(self.lm_head(query), self.norm(content))

    def hidden_states(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The contents' final hidden states, which have seen the whole row."""
        return self(ids, mask=mask).hidden

    def _place(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Say where each vector stands, where that is not left to attention."""
        if self.position_embedding is not None:
            hidden = self.position_embedding(hidden)
        return self.dropout(hidden)

    def _step(
        self,
        block: Any,
        content: Float[Tensor, "B T D"],
        query: Float[Tensor, "B T D"],
        seen: Visible,
    ) -> tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"]]:
        """Both streams through one block: both look at the contents, as they came in."""
        # With pre-norm a block normalises what asks, but not its context: that is done here.
        context = block.norm1(content) if self.config.residual == "pre" else content
        return (
            block(content, context=context, mask=seen.content),
            block(query, context=context, mask=seen.query),
        )
