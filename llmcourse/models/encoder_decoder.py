"""The encoder-decoder: one stack reads a text, another writes one and looks at what was read.

From the transformer of 2017 over T5 to parts of today: the config names the parts. Not here: what
it shares with the other families (`models/config.py`), training, generation
(`generate/seq2seq.py`), files (`models/files.py`), other libraries' formats (`export/`). Chapter
05 builds it and teaches it to translate.
"""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from llmcourse.models.assemble import (
    build_block,
    build_decoder_block,
    build_final_norm,
    build_positions,
)
from llmcourse.models.base import Model, Output
from llmcourse.models.config import BlockConfig, at_least, check_length
from llmcourse.models.counts import (
    attention_flops,
    attention_parameters,
    key_matrices,
    mlp_parameters,
    norm_parameters,
    position_parameters,
    query_matrices,
)
from llmcourse.nn.cache import KVCache
from llmcourse.nn.init import xavier_uniform_, zero_residual_outputs_


@dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig(BlockConfig):
    """The shape of an encoder-decoder and the names of its parts.

    Attributes:
        n_layers: how many blocks the encoder has.
        n_decoder_layers: how many blocks the decoder has; as many unless given.
        source_vocab_size: how many tokens the encoder reads. Unless given, both sides read the same
            tokens through one matrix.
        scale_embeddings: whether embeddings are multiplied by `sqrt(D)`. One matrix can then serve
            as input, where entries of size 1 are right, and as output head, where `1 / sqrt(D)` is.

    Raises:
        UserError: an unknown part, or sizes that do not go together.
    """

    n_decoder_layers: int | None = None
    source_vocab_size: int | None = None
    scale_embeddings: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "n_decoder_layers", self.n_decoder_layers)
        at_least(1, "source_vocab_size", self.source_vocab_size)

    @property
    def decoder_layers(self) -> int:
        """How many blocks the decoder has."""
        return self.n_layers if self.n_decoder_layers is None else self.n_decoder_layers

    @property
    def n_parameters(self) -> int:
        """Number of parameters, shared and tied matrices counted once."""
        attention, mlp = sum(attention_parameters(self)), sum(mlp_parameters(self))
        norm = norm_parameters(self)
        encoder = self.n_layers * (attention + mlp + 2 * norm)
        decoder = self.decoder_layers * (2 * attention + mlp + 3 * norm)
        final_norms = 2 * norm * (self.residual == "pre")
        # Embedding, head unless tied, and a source's own embedding unless it is shared.
        n_tokens = self.vocab_size * (2 - self.tie_embeddings) + (self.source_vocab_size or 0)
        tables = n_tokens * self.d_model + 2 * position_parameters(self)
        return encoder + decoder + final_norms + tables

    def forward_flops(self, source_length: int, target_length: int) -> int:
        """Floating-point operations to read one source and to score all of one target.

        A multiplication and an addition for each weight and token that meet, and for each query and
        key. The memory passes through the cross-attentions' `k_proj` and `v_proj`, the target
        through the rest of the decoder. Training takes three times as many.
        """
        matrices = attention_parameters(self).matrices + mlp_parameters(self).matrices
        encoder = 2 * source_length * matrices + attention_flops(self, source_length, source_length)
        decoder = 2 * target_length * (matrices + query_matrices(self))
        # Keys and values of the memory: once a layer, however long the target.
        decoder += 2 * source_length * key_matrices(self)
        # A target's position looks at T places of its own text and at S of the memory.
        decoder += attention_flops(self, target_length, target_length + source_length)
        head = 2 * target_length * self.vocab_size * self.d_model
        return self.n_layers * encoder + self.decoder_layers * decoder + head

    @property
    def flops_per_token(self) -> float:
        """Floating-point operations to train on one token of the target.

        Both sides are rows of `context_length`: reading a token of the source is paid for, too.
        """
        whole = self.forward_flops(self.context_length, self.context_length)
        return 3 * whole / self.context_length


def original_recipe(**sizes: Any) -> EncoderDecoderConfig:
    """A config by the recipe of Vaswani et al., 2017; `sizes` are any of its fields.

    Post-norm, LayerNorm, ReLU, sinusoids, biases, one matrix for both embeddings and the output,
    multiplied by `sqrt(D)` where it embeds. (Its output head has no bias here, as in the paper.)

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "layernorm",
        "mlp": "relu",
        "residual": "post",
        "positions": "sinusoidal",
        "qk_norm": False,
        "bias": True,
        "tie_embeddings": True,
        "scale_embeddings": True,
        "zero_init_outputs": False,
    }
    return EncoderDecoderConfig(**{**recipe, **sizes})


def t5_recipe(**sizes: Any) -> EncoderDecoderConfig:
    """A config by the recipe of T5 (Raffel et al., 2020); `sizes` are any of its fields.

    Pre-norm, RMSNorm, ReLU, relative biases shared by the layers of a stack, no linear biases, tied
    embeddings. T5 draws its embeddings with entries of size 1 and divides by `sqrt(D)` before the
    output head; to draw them smaller and multiply by `sqrt(D)` where they embed is the same
    function. `mlp="geglu", tie_embeddings=False` is version 1.1 (Shazeer, 2020).

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {
        "norm": "rmsnorm",
        "mlp": "relu",
        "positions": "relative",
        "norm_eps": 1e-6,
        "qk_norm": False,
        "tie_embeddings": True,
        "scale_embeddings": True,
        "zero_init_outputs": False,
    }
    return EncoderDecoderConfig(**{**recipe, **sizes})


def modern_encoder_decoder_recipe(**sizes: Any) -> EncoderDecoderConfig:
    """A config of parts of today; `sizes` are any of its fields.

    Pre-norm, RMSNorm, QK-norm, GEGLU, rotary positions in both stacks' self-attention (and none in
    between: the two texts have no common ruler), no biases, untied embeddings, blocks that begin as
    the identity.

    Raises:
        UserError: sizes that do not go together.
    """
    recipe: dict[str, Any] = {"scale_embeddings": True}
    return EncoderDecoderConfig(**{**recipe, **sizes})


class Encoder(nn.Module):
    """The stack that reads: every position looks at every other.

    Attributes:
        position_embedding: what adds positions to the embeddings, or None where attention does.
        blocks: the layers.
        norm: the final norm; with post-norm the identity.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        positions = build_positions(config, bidirectional=True)
        self.position_embedding = positions.embedding
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(build_block(config, positions) for _ in range(config.n_layers))
        self.norm = build_final_norm(config)

    def forward(
        self, hidden: Float[Tensor, "B S D"], mask: Bool[Tensor, "#B #H #S #S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Turn embedded tokens into a memory of them."""
        if self.position_embedding is not None:
            hidden = self.position_embedding(hidden)
        hidden = self.dropout(hidden)
        # Both ways, as the text to read is there as a whole: B S D throughout.
        for block in self.blocks:
            hidden = block(hidden, mask=mask)
        return self.norm(hidden)


class Decoder(nn.Module):
    """The stack that writes: every position looks back, and at the encoder's memory.

    Attributes:
        position_embedding: what adds positions to the embeddings, or None where attention does.
        blocks: the layers.
        norm: the final norm; with post-norm the identity.
    """

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        positions = build_positions(config, bidirectional=False)
        self.position_embedding = positions.embedding
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            build_decoder_block(config, positions) for _ in range(config.decoder_layers)
        )
        self.norm = build_final_norm(config)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B S D"],
        *,
        memory_mask: Bool[Tensor, "#B #H #T #S"] | None = None,
        memory_cache: KVCache | None = None,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
        mask: Bool[Tensor, "#B #H #T #N"] | Bool[Tensor, "#T #N"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Turn embedded tokens into final hidden states; the arguments are `decode`'s."""
        if self.position_embedding is not None:
            # With a cache only the new tokens come in, and they stand behind those it holds.
            start = 0 if cache is None else cache.length
            hidden = self.position_embedding(hidden, positions, start)
        hidden = self.dropout(hidden)
        # Every layer looks at the same memory, the encoder's last states (section 3.2.3).
        for layer, block in enumerate(self.blocks):
            hidden = block(
                hidden,
                memory,
                memory_mask=memory_mask,
                memory_cache=memory_cache,
                mask=mask,
                positions=positions,
                cache=cache,
                layer=layer,
            )
        return self.norm(hidden)


class EncoderDecoder(Model):
    """A transformer with two stacks, initialised from the global generator.

    Attributes:
        config: what it was built from.
        token_embedding: a vector for each token of the target, `[V, D]`.
        source_embedding: a vector for each token of the source; the same matrix unless
            `source_vocab_size` is given.
        encoder: reads the source.
        decoder: writes the target.
        lm_head: from hidden states to logits, `[V, D]`; the token embedding itself where tied.
    """

    reads_source = True

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.source_embedding = (
            self.token_embedding
            if config.source_vocab_size is None
            else nn.Embedding(config.source_vocab_size, config.d_model)
        )
        # For embedding alone: where the matrix is tied, the output head uses it unscaled.
        self.embedding_scale = config.d_model**0.5 if config.scale_embeddings else 1.0
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        _begin_(self)  # before tying, so that a tied matrix begins as the embedding
        if config.tie_embeddings:
            self.lm_head.weight = self.token_embedding.weight

    def step_flops(self, ids: Int[Tensor, "B T"], **extras: Any) -> int:
        """Floating-point operations of one forward and backward pass over these rows."""
        return 3 * len(ids) * self.config.forward_flops(extras["source"].size(1), ids.size(1))

    def forward(
        self,
        source: Int[Tensor, "B S"],
        ids: Int[Tensor, "B T"],
        *,
        source_mask: Bool[Tensor, "#B 1 1 S"] | None = None,
        mask: Bool[Tensor, "#B #H #T #T"] | Bool[Tensor, "#T #T"] | None = None,
    ) -> Output:
        """Score every token as the successor of each position of `ids`, having read `source`.

        Args:
            source: the text to read.
            ids: the text to write, each position of which sees itself and what came before.
            source_mask: True where the source is text, not padding, as `masks.padding` makes it.
            mask: True where a position of `ids` may look, on top of causality.

        Raises:
            UserError: more tokens than the context is long.
        """
        # B S -> B S D, then B T and B S D -> B T V: the texts meet in cross-attention alone.
        memory = self.encode(source, source_mask)
        return self.decode(ids, memory, memory_mask=source_mask, mask=mask)

    def hidden_states(
        self,
        ids: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        mask: Bool[Tensor, "#B 1 1 T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The encoder's final hidden states, of a text that it reads as a source."""
        return self.encode(ids, mask)

    def encode(
        self, source: Int[Tensor, "B S"], source_mask: Bool[Tensor, "#B 1 1 S"] | None = None
    ) -> Float[Tensor, "B S D"]:
        """Read `source` into a memory, a vector for each of its positions.

        Raises:
            UserError: more tokens than the context is long.
        """
        check_length(source.size(1), self.config.context_length)
        return self.encoder(self.source_embedding(source) * self.embedding_scale, source_mask)

    def decode(
        self,
        ids: Int[Tensor, "B T"],
        memory: Float[Tensor, "B S D"],
        *,
        memory_mask: Bool[Tensor, "#B 1 1 S"] | None = None,
        memory_cache: KVCache | None = None,
        mask: Bool[Tensor, "#B #H #T #N"] | Bool[Tensor, "#T #N"] | None = None,
        positions: Int[Tensor, "#B T"] | None = None,
        cache: KVCache | None = None,
    ) -> Output:
        """Score every token as the successor of each position of `ids`, given a memory.

        Args:
            ids: the tokens to read on the writing side; with a cache, the new ones.
            memory: what `encode` made of the source.
            memory_mask: the source's mask.
            memory_cache: the memory's keys and values, computed at the first call and then kept.
            mask: True where a position may look, on top of causality; with a cache it covers the
                cached positions too.
            positions: where the tokens stand; after those in the cache, unless given.
            cache: keys and values of the tokens before these; theirs are appended.

        Raises:
            UserError: more tokens, cached ones included, than the context is long.
        """
        start = 0 if cache is None else cache.length
        check_length(start + ids.size(1), self.config.context_length)
        hidden = self.decoder(
            self.token_embedding(ids) * self.embedding_scale,
            memory,
            memory_mask=memory_mask,
            memory_cache=memory_cache,
            mask=mask,
            positions=positions,
            cache=cache,
        )
        return Output(self.lm_head(hidden), hidden)


def _begin_(model: EncoderDecoder) -> None:
    """Draw the weights: matrices as Glorot and Bengio (2010), which keeps signals their size.

    Embeddings are drawn so that they have entries of size 1 once scaled; unscaled, and in an output
    head of its own, they are as small as GPT-2's.
    """
    std = model.config.d_model**-0.5 if model.config.scale_embeddings else 0.02
    for module in model.modules():
        if isinstance(module, nn.Linear):
            xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=std)
    # After the loop, which drew the head as a matrix; where tied, the embedding replaces it.
    nn.init.normal_(model.lm_head.weight, std=0.02)
    if model.config.zero_init_outputs:
        zero_residual_outputs_(model)
