"""The first file format of llama2.c, in which there are real, tiny Llamas to play with.

Seven whole numbers, then every weight as float32. Not here: newer versions of that format, its
tokenizer files. Chapter 17 uses this.
"""

import os
import struct
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from llmcourse.errors import UserError
from llmcourse.models.files import model_of
from llmcourse.models.gpt import GPT, GPTConfig, modern_recipe

_HEADER = struct.Struct("<7i")


def read_llama2c(path: str | os.PathLike) -> GPT:
    """The model in a llama2.c checkpoint of version 0, in evaluation mode.

    Raises:
        UserError: there is no such file, or it is damaged or of another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(data) < _HEADER.size:
        raise UserError(f"{path} is no llama2.c checkpoint: it has {len(data)} bytes")
    try:
        config = _config(*_HEADER.unpack_from(data))
    except UserError as error:
        raise UserError(f"{path} is no llama2.c checkpoint of version 0: {error}") from None
    shapes = _shapes(config)
    size = _HEADER.size + 4 * sum(int(np.prod(shape)) for _, shape in shapes)
    if len(data) != size:
        raise UserError(f"{path} is damaged: {len(data)} bytes where its header says {size}")
    return model_of(GPT, config, _state(config, data, shapes), path)


def _config(
    dim: int, hidden: int, layers: int, heads: int, kv_heads: int, vocab: int, length: int
) -> GPTConfig:
    """The header's meaning; a negative vocabulary says that the output head is not tied."""
    return modern_recipe(
        vocab_size=abs(vocab),
        context_length=length,
        d_model=dim,
        n_layers=layers,
        n_heads=heads,
        n_kv_heads=kv_heads,
        d_ff=hidden,
        mlp="swiglu",
        qk_norm=False,
        tie_embeddings=vocab > 0,
        zero_init_outputs=False,
    )


def _shapes(config: GPTConfig) -> list[tuple[str, tuple[int, ...]]]:
    """What follows the header, in order: our name of the weight (`#` for each layer), its shape."""
    layers, width, ff = config.n_layers, config.d_model, config.ff_width
    queries, keys = config.n_heads * config.head_width, config.kv_heads * config.head_width
    tables = [("rope", (config.context_length, config.head_width // 2))] * 2
    head = [] if config.tie_embeddings else [("lm_head", (config.vocab_size, width))]
    return [
        ("token_embedding", (config.vocab_size, width)),
        ("blocks.#.norm1", (layers, width)),
        ("blocks.#.attention.q_proj", (layers, queries, width)),
        ("blocks.#.attention.k_proj", (layers, keys, width)),
        ("blocks.#.attention.v_proj", (layers, keys, width)),
        ("blocks.#.attention.o_proj", (layers, width, queries)),
        ("blocks.#.norm2", (layers, width)),
        ("blocks.#.mlp.gate_proj", (layers, ff, width)),
        ("blocks.#.mlp.down_proj", (layers, width, ff)),
        ("blocks.#.mlp.up_proj", (layers, ff, width)),
        ("norm", (width,)),
        *tables,
        *head,
    ]


def _state(
    config: GPTConfig, data: bytes, shapes: list[tuple[str, tuple[int, ...]]]
) -> dict[str, Tensor]:
    """Every weight by our name, layer by layer."""
    state: dict[str, Tensor] = {}
    offset = _HEADER.size
    for name, shape in shapes:
        count = int(np.prod(shape))
        array = np.frombuffer(data, "<f4", count, offset).reshape(shape)
        offset += 4 * count
        weight = torch.from_numpy(array.astype(np.float32))
        if "#" in name:
            for layer, part in enumerate(weight):
                rotated = name.endswith(("q_proj", "k_proj"))
                part = neighbours_to_halves(part, config.head_width) if rotated else part
                state[f"{name.replace('#', str(layer))}.weight"] = part
        elif name != "rope":  # tables that can be computed
            state[f"{name}.weight"] = weight
    return state


def neighbours_to_halves(weight: Float[Tensor, "HK D"], head_dim: int) -> Float[Tensor, "HK D"]:
    """Reorder the rows of a query or key projection so that rotary pairs are halves of a head.

    llama2.c (like the paper) turns neighbours `(2i, 2i + 1)`, we turn `(i, i + K/2)`. The order
    within a head is free, for scores sum over it, as long as queries and keys share it.
    """
    pairs = weight.unflatten(0, (-1, head_dim // 2, 2))  # (H K) D -> H K/2 2 D
    return pairs.transpose(1, 2).flatten(0, 2)
