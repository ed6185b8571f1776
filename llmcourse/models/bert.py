"""BERT: a stack of blocks that see both ways, and fill in the words that were hidden from them.

From the recipe of 2018 to parts of today: the config names the parts. Not here: what it shares with
the other families (`models/config.py`); how words are hidden and sentences paired (`objectives/`);
files (`models/files.py`), other libraries' formats (`export/`). Chapter 05 builds it, chapter 07
trains it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.errors import UserError
from llmcourse.models.assemble import build_block, build_final_norm, build_norm, build_positions
from llmcourse.models.base import Model
from llmcourse.models.config import BlockConfig, at_least, check_length
from llmcourse.models.counts import (
    attention_flops,
    attention_parameters,
    mlp_parameters,
    norm_parameters,
    position_parameters,
)
from llmcourse.nn.init import normal_, zero_residual_outputs_


class BERTOutput(NamedTuple):
    """A forward pass.

    Attributes:
        logits: unnormalised log-probabilities of each token of the vocabulary, at each place.
        hidden: the final hidden states.
        pooled: a summary of the row, made of the hidden state of its first token.
        pair_logits: unnormalised log-probabilities of each label of the row, decided from its
            summary; `[B, 0]` where the config has no labels.
    """

    logits: Float[Tensor, "B T V"]
    hidden: Float[Tensor, "B T D"]
    pooled: Float[Tensor, "B D"]
    pair_logits: Float[Tensor, "B P"]


@dataclass(frozen=True, kw_only=True)
class BERTConfig(BlockConfig):
    """The shape of a BERT and the names of its parts.

    Attributes:
        n_segments: how many kinds of segment there are (sentence A, sentence B); 0 for none.
        pooler: whether the row's summary has a layer of its own, `tanh(W h + b)`; without, it is
            the first hidden state.
        mlm_transform: whether a layer stands between the blocks and the output head.
        n_pair_labels: how many labels a row may have (2 tell whether sentence B follows A), P; 0
            for no such head.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    n_segments: int = 2
    pooler: bool = True
    mlm_transform: bool = True
    n_pair_labels: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "n_segments", self.n_segments)
        at_least(0, "n_pair_labels", self.n_pair_labels)

    @property
    def n_parameters(self) -> int:
        """Number of parameters, tied matrices counted once."""
        # A matrix of D x D and its bias, D: pooler and transform have one each.
        norm, square = norm_parameters(self), self.d_model * (self.d_model + self.bias)
        block = sum(attention_parameters(self)) + sum(mlp_parameters(self)) + 2 * norm
        norms = norm * (1 + (self.residual == "pre"))  # of the embeddings, and the final one
        n_tokens = self.vocab_size * (2 - self.tie_embeddings)
        tables = (n_tokens + self.n_segments) * self.d_model + position_parameters(self)
        head = (square + norm) * self.mlm_transform + self.vocab_size * self.bias
        pairs = self.n_pair_labels * (self.d_model + self.bias)
        return self.n_layers * block + norms + tables + head + square * self.pooler + pairs

    def forward_flops(self, length: int) -> int:
        """Floating-point operations to read one row of so many tokens, and to score every place.

        A multiplication and an addition for each weight and token that meet, and for each query and
        key. Pooler and pair head see one place alone. Training takes three times as many.
        """
        head = self.d_model * (self.vocab_size + self.d_model * self.mlm_transform)
        # Once a row, not once a token.
        row = 2 * self.d_model * (self.d_model * self.pooler + self.n_pair_labels)
        return self.encoding_flops(length) + 2 * length * head + row

    def encoding_flops(self, length: int) -> int:
        """The part of `forward_flops` that the blocks take."""
        matrices = attention_parameters(self).matrices + mlp_parameters(self).matrices
        block = 2 * length * matrices + attention_flops(self, length, length)
        return self.n_layers * block

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token, in rows of `context_length`."""
        return 3 * self.forward_flops(self.context_length) / self.context_length


def bert_recipe(**sizes: Any) -> BERTConfig:
    """A config by the recipe of BERT (Devlin et al., 2018); `sizes` are any of its fields.

    Post-norm, LayerNorm, exact GELU, learned positions, two segments, biases, tied embeddings.

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "mlp": "gelu_exact",
        "residual": "post",
        "positions": "learned",
        "norm_eps": 1e-12,
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "zero_init_outputs": False,
    }
    return BERTConfig(**{**recipe, **sizes})


def modern_bert_recipe(**sizes: Any) -> BERTConfig:
    """A config of parts of today; `sizes` are any of its fields.

    Pre-norm, LayerNorm, GEGLU, rotary positions, no biases, no segments and no pooler, tied
    embeddings: what ModernBERT is built of (Warner et al., 2024), and mostly what helped, or did
    not hurt, in a day on one GPU (Geiping and Goldstein, 2022).

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "qk_norm": False,
        "n_segments": 0,
        "pooler": False,
        "tie_embeddings": True,
    }
    return BERTConfig(**{**recipe, **sizes})


class Pooler(nn.Module):
    """`tanh(W h + b)` of the first hidden state."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.d_model, config.d_model, bias=config.bias)

    def forward(self, first: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Summarise each row."""
        return self.proj(first).tanh()


class MLMTransform(nn.Module):
    """`norm(gelu(W h + b))`: turns what describes a place into what describes a word for it."""

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.d_model, config.d_model, bias=config.bias)
        self.norm = build_norm(config)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Transform each position."""
        return self.norm(F.gelu(self.proj(hidden)))


class BERT(Model):
    """An encoder with heads for words and for pairs, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token, `[V, D]`.
        position_embedding: what adds positions to the embeddings, or None where attention does.
        segment_embedding: a vector for each kind of segment, or None.
        embedding_norm: normalises the sum of the embeddings.
        blocks: the L layers.
        norm: the final norm; with post-norm the identity.
        pooler: from the first hidden state to a summary of the row.
        pair_head: from the summary to the labels of the row, or None.
        mlm_transform: from hidden states to what the output head reads.
        lm_head: to logits, `[V, D]`; its matrix is the token embedding's where tied.
    """

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        positions = build_positions(config, bidirectional=True)
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.position_embedding = positions.embedding
        self.segment_embedding = (
            nn.Embedding(config.n_segments, config.d_model) if config.n_segments else None
        )
        self.embedding_norm = build_norm(config)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(build_block(config, positions) for _ in range(config.n_layers))
        self.norm = build_final_norm(config)
        self.pooler = Pooler(config) if config.pooler else nn.Identity()
        self.mlm_transform = MLMTransform(config) if config.mlm_transform else nn.Identity()
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=config.bias)
        self.pair_head = (
            nn.Linear(config.d_model, config.n_pair_labels, bias=config.bias)
            if config.n_pair_labels
            else None
        )
        normal_(self)
        if config.zero_init_outputs:
            zero_residual_outputs_(self)
        # After the drawing: one matrix from here on, stepped once and stored once.
        if config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        segments: Int[Tensor, "#B T"] | None = None,
        mask: Bool[Tensor, "#B #H #T #T"] | Bool[Tensor, "#T #T"] | None = None,
    ) -> BERTOutput:
        """Score every token of the vocabulary for each position, seeing all of the row.

        Args:
            ids: the tokens to read, the hidden ones replaced.
            segments: which segment each belongs to; all to the first, unless given.
            mask: True where a position may look (padding, packed documents).

        Raises:
            UserError: more tokens than the context is long, or segments where the model has none.
        """
        hidden = self.encode(ids, segments=segments, mask=mask)
        # B T D -> B T V; what nobody hides is scored as well, and has no target.
        logits = self.lm_head(self.mlm_transform(hidden))
        # The first token of a row stands for the whole of it: B T D -> B D.
        pooled = self.pooler(hidden[:, 0])
        labels = pooled[:, :0] if self.pair_head is None else self.pair_head(pooled)
        return BERTOutput(logits, hidden, pooled, labels)

    def encode(
        self,
        ids: Int[Tensor, "B T"],
        *,
        segments: Int[Tensor, "#B T"] | None = None,
        mask: Bool[Tensor, "#B #H #T #T"] | Bool[Tensor, "#T #T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The final hidden states alone, where no head is asked; the arguments are `forward`'s.

        Raises:
            UserError: as `forward`.
        """
        check_length(ids.size(1), self.config.context_length)
        hidden = self.dropout(self.embedding_norm(self._embed(ids, segments)))
        # Not causal: every position sees all of the row but its padding. B T D throughout.
        for block in self.blocks:
            hidden = block(hidden, mask=mask)
        return self.norm(hidden)

    def hidden_states(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The final hidden states, each of which has seen the whole row."""
        return self.encode(ids, segments=segments, mask=mask)

    def freeze_token_heads(self) -> None:
        """Keep what only hidden tokens would train as it is, for a loss that asks for none.

        (Several processes wait for every other gradient.) A matrix that also embeds the tokens is
        trained as that.
        """
        for head in (self.lm_head, self.mlm_transform):
            for parameter in head.parameters():
                # Tied: the table still learns, as the embedding that it also is.
                parameter.requires_grad_(parameter is self.token_embedding.weight)

    def _embed(
        self, ids: Int[Tensor, "B T"], segments: Int[Tensor, "#B T"] | None
    ) -> Float[Tensor, "B T D"]:
        """The sum of what the token, its segment and its position say."""
        hidden = self.token_embedding(ids)
        if self.segment_embedding is not None:
            # One vector, broadcast: no need to look up a zero for each token.
            first = self.segment_embedding.weight[0]
            hidden = hidden + (first if segments is None else self.segment_embedding(segments))
        elif segments is not None:
            raise UserError("this model knows no segments: leave them out, or build it with some")
        return hidden if self.position_embedding is None else self.position_embedding(hidden)
