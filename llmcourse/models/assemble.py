"""Builders: from the names in a config to norms, attentions, MLPs, blocks and positions.

`nn/parts.py` holds the tables of norms, MLPs and residuals by name; how positions become parts is
here, in `build_positions`. Not here: the stacks themselves (`gpt.py`, `bert.py` and so on). Chapter
05 teaches this.
"""

from typing import NamedTuple

from torch import nn

from llmcourse.models.config import BlockConfig
from llmcourse.nn.attention import Attention
from llmcourse.nn.blocks import Block, DecoderBlock
from llmcourse.nn.norms import RMSNorm
from llmcourse.nn.parts import MLPS, NORMS, RESIDUALS
from llmcourse.nn.positions import (
    ALiBi,
    LearnedPositions,
    RelativeBias,
    RoPE,
    SinusoidalPositions,
)
from llmcourse.nn.rope_scaling import scaling_of


class PositionParts(NamedTuple):
    """Position encoding of one stack of blocks: one of these parts at the most.

    Attributes:
        embedding: added to the token embeddings, before the first block.
        rotary: turns queries and keys, in every attention.
        bias: added to the scores, in every attention.
    """

    embedding: LearnedPositions | SinusoidalPositions | None
    rotary: RoPE | None
    bias: RelativeBias | ALiBi | None


def build_norm(config: BlockConfig) -> nn.Module:
    """Norm over the model's width."""
    return NORMS[config.norm](config.d_model, config.norm_eps, config.bias)


def build_final_norm(config: BlockConfig) -> nn.Module:
    """Norm after the last block; with post-norm the identity, for it has normalised already."""
    return build_norm(config) if config.residual == "pre" else nn.Identity()


def build_attention(config: BlockConfig, positions: PositionParts | None = None) -> Attention:
    """Attention; one that looks at another text (cross-attention) has no `positions`."""
    q_norm, k_norm = None, None
    if config.qk_norm:
        # Over K, the width of one head: all heads share a norm, queries and keys have their own.
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
        rotary=None if positions is None else positions.rotary,
        position_bias=None if positions is None else positions.bias,
    )


def build_mlp(config: BlockConfig) -> nn.Module:
    """Feed-forward part (MLP)."""
    # At the usual widths, two thirds of a block's parameters.
    return MLPS[config.mlp](config.d_model, config.ff_width, bias=config.bias)


def build_block(config: BlockConfig, positions: PositionParts) -> Block:
    """Block of an encoder, or of a decoder without one: it reads one text."""
    return Block(
        build_norm(config),
        build_attention(config, positions),
        build_norm(config),
        build_mlp(config),
        config.dropout,
        RESIDUALS[config.residual],
    )


def build_decoder_block(config: BlockConfig, positions: PositionParts) -> DecoderBlock:
    """Block of a decoder that also reads an encoder's memory."""
    return DecoderBlock(
        build_norm(config),
        build_attention(config, positions),
        build_norm(config),
        build_attention(config),  # no positions: the two texts have no common ruler
        build_norm(config),
        build_mlp(config),
        config.dropout,
        RESIDUALS[config.residual],
    )


def build_positions(config: BlockConfig, *, bidirectional: bool) -> PositionParts:
    """Position encoding of one stack; its blocks share it, as in T5 (Raffel et al., 2020)."""
    embedding, rotary, bias = None, None, None
    match config.positions:
        # Added to the token embeddings, once, before the first block:
        case "learned":
            embedding = LearnedPositions(config.context_length, config.d_model)
        case "sinusoidal":
            embedding = SinusoidalPositions(config.context_length, config.d_model)
        # Turns the queries and keys of every attention:
        case "rope":
            rotary = RoPE(
                config.head_width,
                theta=config.rope_theta,
                context_length=config.context_length,
                scaling=scaling_of(
                    config.rope_scaling, config.rope_factor, config.rope_trained_length
                ),
            )
        # Added to the scores of every attention:
        case "alibi":
            bias = ALiBi(config.n_heads)
        case "relative":
            sizes = config.n_heads, config.relative_buckets, config.relative_distance
            bias = RelativeBias(*sizes, bidirectional=bidirectional)
    return PositionParts(embedding, rotary, bias)
