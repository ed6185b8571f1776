"""BERT in the Hugging Face format: `BertForMaskedLM`, and the pooler of `BertModel` if it has one.

With a head for pairs of sentences it is `BertForPreTraining`. There, label 0 says that B follows A;
here, label 1 does. Not here: the door to all formats (`huggingface.py`). Chapter 17 teaches this.
"""

from typing import Any

from llmcourse.errors import UserError
from llmcourse.export.formats import (
    RELATIVE,
    ROPE,
    SIZES,
    Format,
    State,
    even_heads,
    inverse,
    rename,
    require,
)
from llmcourse.models.bert import BERTConfig
from llmcourse.models.registry import FAMILIES

BERT_NAMES = {
    "token_embedding": "bert.embeddings.word_embeddings",
    "position_embedding": "bert.embeddings.position_embeddings",
    "segment_embedding": "bert.embeddings.token_type_embeddings",
    "embedding_norm": "bert.embeddings.LayerNorm",
    "blocks.#.attention.q_proj": "bert.encoder.layer.#.attention.self.query",
    "blocks.#.attention.k_proj": "bert.encoder.layer.#.attention.self.key",
    "blocks.#.attention.v_proj": "bert.encoder.layer.#.attention.self.value",
    "blocks.#.attention.o_proj": "bert.encoder.layer.#.attention.output.dense",
    "blocks.#.norm1": "bert.encoder.layer.#.attention.output.LayerNorm",
    "blocks.#.mlp.up_proj": "bert.encoder.layer.#.intermediate.dense",
    "blocks.#.mlp.down_proj": "bert.encoder.layer.#.output.dense",
    "blocks.#.norm2": "bert.encoder.layer.#.output.LayerNorm",
    "pooler.proj": "bert.pooler.dense",
    "mlm_transform.proj": "cls.predictions.transform.dense",
    "mlm_transform.norm": "cls.predictions.transform.LayerNorm",
    "lm_head": "cls.predictions.decoder",
    "pair_head": "cls.seq_relationship",
}
"""Our module's name to BERT's; `#` is the layer."""

_BIASES = ("cls.predictions.decoder.bias", "cls.predictions.bias")
"""The output head's bias, under its two names; tied models store the second alone."""
_PAIR_HEAD = "cls.seq_relationship."


def bert_state(state: State) -> State:
    """Our weights under BERT's names."""
    theirs = rename(state, BERT_NAMES)
    theirs[_BIASES[1]] = theirs[_BIASES[0]].clone()
    if "lm_head.weight" not in state:
        del theirs[_BIASES[0]]
    return _other_labels_first(theirs)


def from_bert_state(state: State) -> State:
    """BERT's weights under our names. The hub's oldest files call a norm's weight `gamma`.

    Raises:
        UserError: there is no head for masked words.
    """
    theirs = {
        name.replace(".gamma", ".weight").replace(".beta", ".bias"): tensor
        for name, tensor in state.items()
        if not name.endswith(".position_ids")
    }
    if _BIASES[1] not in theirs:
        raise UserError(
            "this BERT has no head for masked words: save a BertForMaskedLM or BertForPreTraining"
        )
    theirs.setdefault(_BIASES[0], theirs.pop(_BIASES[1]))
    return rename(_other_labels_first(theirs), inverse(BERT_NAMES))


def _other_labels_first(theirs: State) -> State:
    """The rows of the head for pairs in the other order, and all else as it is."""
    return {
        name: tensor.flip(0) if name.startswith(_PAIR_HEAD) else tensor
        for name, tensor in theirs.items()
    }


def _changes(config: BERTConfig) -> dict[str, Any]:
    changes: dict[str, Any] = {} if config.n_segments else {"n_segments": 2}
    if config.n_pair_labels:
        changes |= {} if config.n_pair_labels == 2 else {"n_pair_labels": 2}
        changes |= {} if config.pooler else {"pooler": True}
    return even_heads(config) | changes


def _read_weights(state: State) -> dict[str, Any]:
    n_labels = 2 if f"{_PAIR_HEAD}weight" in state else 0
    return {"pooler": "bert.pooler.dense.weight" in state, "n_pair_labels": n_labels}


def _write_config(config: BERTConfig) -> dict[str, Any]:
    pairs = {"architectures": ["BertForPreTraining"]} if config.n_pair_labels else {}
    return pairs | {
        "max_position_embeddings": config.context_length,
        "hidden_size": config.d_model,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "intermediate_size": config.ff_width,
        "type_vocab_size": config.n_segments,
        "hidden_act": "gelu",
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
    }


def _read_config(values: dict[str, Any]) -> dict[str, Any]:
    require(values, "hidden_act", "gelu")
    require(values, "position_embedding_type", "absolute", None)
    require(values, "is_decoder", False)
    return {
        "context_length": values["max_position_embeddings"],
        "d_model": values["hidden_size"],
        "n_layers": values["num_hidden_layers"],
        "n_heads": values["num_attention_heads"],
        "d_ff": values["intermediate_size"],
        "n_segments": values.get("type_vocab_size", 2),
        "norm_eps": values.get("layer_norm_eps", 1e-12),
        "dropout": values.get("hidden_dropout_prob", 0.1),
        "tie_embeddings": values.get("tie_word_embeddings", True),
    }


BERT_FORMATS = {
    "bert": Format(
        architecture="BertForMaskedLM",
        head="cls.predictions.decoder.weight",
        family=FAMILIES["bert"],
        parts={
            "norm": "layernorm",
            "mlp": "gelu_exact",
            "residual": "post",
            "positions": "learned",
            "qk_norm": False,
            "bias": True,
            "mlm_transform": True,
        },
        free=(*SIZES, *ROPE, *RELATIVE, "n_segments", "pooler", "n_pair_labels"),
        changes=_changes,
        to_theirs=lambda state, config: bert_state(state),
        to_ours=lambda state, config: from_bert_state(state),
        write_config=_write_config,
        read_config=_read_config,
        read_weights=_read_weights,
    )
}
"""The library's families that `BERT` spans, by their `model_type`."""
