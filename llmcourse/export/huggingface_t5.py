"""The encoder-decoder in the Hugging Face format: T5, of the first version and of version 1.1.

Two things are the same function written differently, and are translated on the way. T5 does not
divide scores by `sqrt(K)`: its query matrices are smaller by that. And it embeds with entries of
size 1, and divides by `sqrt(D)` before a tied head: its matrix is larger than ours, which we
multiply by `sqrt(D)` where it embeds. Not here: the door to all formats (`huggingface.py`). Chapter
17 teaches this.
"""

from typing import Any

import torch

from llmcourse.errors import UserError
from llmcourse.export.formats import (
    RELATIVE,
    ROPE,
    SIZES,
    Format,
    State,
    inverse,
    own_keys,
    rename,
    require,
)
from llmcourse.models.encoder_decoder import EncoderDecoderConfig
from llmcourse.models.registry import FAMILIES

_BIAS = "relative_attention_bias"
T5_NAMES = {
    "token_embedding": "shared",
    "encoder.blocks.#.norm1": "encoder.block.#.layer.0.layer_norm",
    "encoder.blocks.#.attention.q_proj": "encoder.block.#.layer.0.SelfAttention.q",
    "encoder.blocks.#.attention.k_proj": "encoder.block.#.layer.0.SelfAttention.k",
    "encoder.blocks.#.attention.v_proj": "encoder.block.#.layer.0.SelfAttention.v",
    "encoder.blocks.#.attention.o_proj": "encoder.block.#.layer.0.SelfAttention.o",
    "encoder.blocks.#.attention.position_bias": f"encoder.block.#.layer.0.SelfAttention.{_BIAS}",
    "encoder.blocks.#.norm2": "encoder.block.#.layer.1.layer_norm",
    "encoder.blocks.#.mlp.gate_proj": "encoder.block.#.layer.1.DenseReluDense.wi_0",
    "encoder.blocks.#.mlp.up_proj": "encoder.block.#.layer.1.DenseReluDense.wi_1",
    "encoder.blocks.#.mlp.down_proj": "encoder.block.#.layer.1.DenseReluDense.wo",
    "encoder.norm": "encoder.final_layer_norm",
    "decoder.blocks.#.norm1": "decoder.block.#.layer.0.layer_norm",
    "decoder.blocks.#.attention.q_proj": "decoder.block.#.layer.0.SelfAttention.q",
    "decoder.blocks.#.attention.k_proj": "decoder.block.#.layer.0.SelfAttention.k",
    "decoder.blocks.#.attention.v_proj": "decoder.block.#.layer.0.SelfAttention.v",
    "decoder.blocks.#.attention.o_proj": "decoder.block.#.layer.0.SelfAttention.o",
    "decoder.blocks.#.attention.position_bias": f"decoder.block.#.layer.0.SelfAttention.{_BIAS}",
    "decoder.blocks.#.norm2": "decoder.block.#.layer.1.layer_norm",
    "decoder.blocks.#.cross_attention.q_proj": "decoder.block.#.layer.1.EncDecAttention.q",
    "decoder.blocks.#.cross_attention.k_proj": "decoder.block.#.layer.1.EncDecAttention.k",
    "decoder.blocks.#.cross_attention.v_proj": "decoder.block.#.layer.1.EncDecAttention.v",
    "decoder.blocks.#.cross_attention.o_proj": "decoder.block.#.layer.1.EncDecAttention.o",
    "decoder.blocks.#.norm3": "decoder.block.#.layer.2.layer_norm",
    "decoder.blocks.#.mlp.gate_proj": "decoder.block.#.layer.2.DenseReluDense.wi_0",
    "decoder.blocks.#.mlp.up_proj": "decoder.block.#.layer.2.DenseReluDense.wi_1",
    "decoder.blocks.#.mlp.down_proj": "decoder.block.#.layer.2.DenseReluDense.wo",
    "decoder.norm": "decoder.final_layer_norm",
    "lm_head": "lm_head",
}
"""Our module's name to T5's; `#` is the layer. Without a gate, `wi_1` is called `wi`."""

FEED_FORWARDS = {
    "relu": "relu",
    "gelu_tanh": "gelu_new",
    "gelu_exact": "gelu",
    "squared_relu": "relu2",
    "geglu": "gated-gelu",
    "swiglu": "gated-silu",
}
"""Our name of a feed-forward part to T5's."""


def t5_state(state: State, config: EncoderDecoderConfig) -> State:
    """Our weights as T5's."""
    theirs = rename(_scaled(state, config, 1), T5_NAMES)
    if "gated" in FEED_FORWARDS[config.mlp]:
        return theirs
    return {name.replace(".wi_1.", ".wi."): tensor for name, tensor in theirs.items()}


def from_t5_state(state: State, config: EncoderDecoderConfig) -> State:
    """T5's weights as ours.

    Raises:
        UserError: a head that is not the embedding, where the config says that it is.
    """
    shared = state["shared.weight"]
    head = state.get("lm_head.weight", shared)
    if config.tie_embeddings and not torch.equal(head, shared):
        raise UserError(
            "this T5 scales its output as a tied one does, but its lm_head is not its embedding: "
            "save it with tie_word_embeddings=False"
        )
    theirs = {
        name.replace(".wi.", ".wi_1."): tensor
        for name, tensor in state.items()
        if ".embed_tokens." not in name and ".EncDecAttention.relative" not in name
    }
    theirs["lm_head.weight"] = head
    return _scaled(rename(theirs, inverse(T5_NAMES)), config, -1)


def _scaled(state: State, config: EncoderDecoderConfig, power: int) -> State:
    """Queries and embeddings in T5's size (power 1), or from it to ours (power -1)."""
    factors = {"q_proj": config.head_width**-0.5}
    if config.scale_embeddings:
        factors["token_embedding"] = config.d_model**0.5
    return {
        name: tensor * factors.get(name.split(".")[-2], 1.0) ** power
        for name, tensor in state.items()
    }


def _changes(config: EncoderDecoderConfig) -> dict[str, Any]:
    needs_scale = config.tie_embeddings and not config.scale_embeddings
    return own_keys(config) | ({"scale_embeddings": True} if needs_scale else {})


def _write_config(config: EncoderDecoderConfig) -> dict[str, Any]:
    return {
        "n_positions": config.context_length,
        "d_model": config.d_model,
        "d_kv": config.head_width,
        "d_ff": config.ff_width,
        "num_layers": config.n_layers,
        "num_decoder_layers": config.decoder_layers,
        "num_heads": config.n_heads,
        "relative_attention_num_buckets": config.relative_buckets,
        "relative_attention_max_distance": config.relative_distance,
        "feed_forward_proj": FEED_FORWARDS[config.mlp],
        "layer_norm_epsilon": config.norm_eps,
        "dropout_rate": config.dropout,
        "is_encoder_decoder": True,
    }


def _read_config(values: dict[str, Any]) -> dict[str, Any]:
    mlps = inverse(FEED_FORWARDS)
    require(values, "feed_forward_proj", "relu", *mlps)
    # What newer versions write as a flag of its own, older ones told from another.
    tied = values.get("scale_decoder_outputs", values.get("tie_word_embeddings", True))
    return {
        "context_length": values.get("n_positions", 512),  # what T5 was trained on; it has no limit
        "d_model": values["d_model"],
        "head_dim": values["d_kv"],
        "d_ff": values["d_ff"],
        "n_layers": values["num_layers"],
        "n_decoder_layers": values.get("num_decoder_layers"),
        "n_heads": values["num_heads"],
        "relative_buckets": values.get("relative_attention_num_buckets", 32),
        "relative_distance": values.get("relative_attention_max_distance", 128),
        "mlp": mlps[values.get("feed_forward_proj", "relu")],
        "norm_eps": values.get("layer_norm_epsilon", 1e-6),
        "dropout": values.get("dropout_rate", 0.1),
        "tie_embeddings": tied,
        "scale_embeddings": True,
    }


T5_FORMATS = {
    "t5": Format(
        architecture="T5ForConditionalGeneration",
        family=FAMILIES["encoder_decoder"],
        parts={
            "norm": "rmsnorm",
            "residual": "pre",
            "positions": "relative",
            "qk_norm": False,
            "bias": False,
        },
        free=(*SIZES, *ROPE, *RELATIVE, "n_decoder_layers", "scale_embeddings"),
        choices={"mlp": FEED_FORWARDS},
        changes=_changes,
        to_theirs=t5_state,
        to_ours=from_t5_state,
        write_config=_write_config,
        read_config=_read_config,
    )
}
"""The library's families that `EncoderDecoder` spans, by their `model_type`."""
