"""Parameter and FLOP counts of a block's parts, by formula, from its config alone.

A family adds them up in its own config (`GPTConfig.n_parameters`, `GPTConfig.forward_flops`).
Not here: bytes (`planning/memory.py`). Chapter 05 teaches this.
"""

from typing import NamedTuple

from llmcourse.models.config import BlockConfig
from llmcourse.nn.parts import MLPS


class Count(NamedTuple):
    """Parameters of one part.

    Attributes:
        matrices: weights that a token is multiplied with.
        vectors: the rest: biases and the weights of norms.
    """

    matrices: int
    vectors: int


def attention_parameters(config: BlockConfig) -> Count:
    """Parameters of one attention."""
    matrices = query_matrices(config) + key_matrices(config)
    # One for each output: H K of q, G K of k and of v, D of o.
    biases = config.head_width * (config.n_heads + 2 * config.kv_heads) + config.d_model
    norms = 2 * config.head_width * config.qk_norm
    return Count(matrices, biases * config.bias + norms)


def query_matrices(config: BlockConfig) -> int:
    """Weights of `q_proj` and `o_proj`, which the text that asks is multiplied with."""
    return 2 * config.d_model * config.n_heads * config.head_width


def key_matrices(config: BlockConfig) -> int:
    """Weights of `k_proj` and `v_proj`, which the text that is looked at is multiplied with."""
    return 2 * config.d_model * config.kv_heads * config.head_width


def mlp_parameters(config: BlockConfig) -> Count:
    """Parameters of one feed-forward part."""
    n_matrices = MLPS[config.mlp].n_matrices
    # Each matrix but the last gives F numbers; the last gives D.
    biases = (n_matrices - 1) * config.ff_width + config.d_model
    return Count(n_matrices * config.d_model * config.ff_width, biases * config.bias)


def norm_parameters(config: BlockConfig) -> int:
    """Parameters of one norm over the model's width."""
    return config.d_model * (1 + (config.norm == "layernorm" and config.bias))


def position_parameters(config: BlockConfig) -> int:
    """Parameters of the position encoding of one stack, whose blocks share it."""
    learned = config.context_length * config.d_model * (config.positions == "learned")
    biases = config.relative_buckets * config.n_heads * (config.positions == "relative")
    return learned + biases


def attention_flops(config: BlockConfig, n_queries: int, n_keys: int) -> int:
    """Floating-point operations of one attention but for its projections: `4 T S H K`.

    A multiplication and an addition for the scores, and as many to mix the values. All of the
    rectangle counts, also what a mask hides.
    """
    return 4 * n_queries * n_keys * config.n_heads * config.head_width
