"""A tokenizer beside an exported model, as `transformers` opens it with `AutoTokenizer`.

All become a `tokenizer.json` of the `tokenizers` library, but for SentencePiece's BPE, whose own
file `transformers` reads. There, a text that spells a special token means it, as in ours with
`allowed_special="all"`; and of a SentencePiece model two things that we encode ourselves are lost:
a sign `▁` becomes a blank, and a lone surrogate has no bytes. Not here: the way back, which is
`tokenizers/registry.load_tokenizer`. Chapter 17 teaches this.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.gpt2 import spell
from llmcourse.tokenizers.sentencepiece import BLANK, UNKNOWN

LIBRARY_FILE, OWN_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"

_BPE_MODEL = 2  # of SentencePiece's numbers for its models


def write_tokenizer(
    tokenizer: Tokenizer, directory: str | os.PathLike[str], context_length: int
) -> None:
    """Write what `AutoTokenizer.from_pretrained(directory)` opens.

    Raises:
        UserError: the library has no tokenizer that cuts texts as this one does.
        OSError: no room or no permission.
    """
    end = next(name for name, i in tokenizer.special_ids.items() if i == tokenizer.eot_id)
    config: dict[str, Any] = {
        "eos_token": end,
        "model_max_length": context_length,
        "clean_up_tokenization_spaces": False,
    }
    directory = Path(directory)
    is_sentencepiece = tokenizer.kind == "sentencepiece"
    if is_sentencepiece:
        tokenizer.save(directory / OWN_FILE)
    else:
        (directory / OWN_FILE).unlink(missing_ok=True)
    if is_sentencepiece and _model(tokenizer).trainer_spec.model_type == _BPE_MODEL:
        # Without these, the class puts a blank before a text, and a token.
        config |= {"tokenizer_class": "LlamaTokenizer", "unk_token": UNKNOWN, "bos_token": None}
        config |= dict.fromkeys(("add_prefix_space", "add_bos_token", "add_eos_token"), False)
        (directory / LIBRARY_FILE).unlink(missing_ok=True)
    else:
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        content = json.dumps(_library_file(tokenizer), ensure_ascii=False)
        atomic_write_text(directory / LIBRARY_FILE, content)
    atomic_write_text(directory / CONFIG_FILE, json.dumps(config, indent=2) + "\n")


def check_exportable(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer that cannot be written, before anything is.

    Raises:
        UserError: the library has no tokenizer that cuts texts as this one does.
    """
    _library_file(tokenizer)


def _library_file(tokenizer: Tokenizer) -> dict[str, Any]:
    """What `tokenizer.json` holds."""
    if tokenizer.kind not in _PARTS:
        raise UserError(
            f"Hugging Face has no tokenizer that cuts texts as a {tokenizer.kind} one: train one "
            f"of {', '.join(_PARTS)} to export it"
        )
    parts = _PARTS[tokenizer.kind](tokenizer)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    if isinstance(parts["model"]["vocab"], dict):
        # In the vocabulary, too: tokens that are added alone are numbered after all others.
        parts["model"]["vocab"] |= tokenizer.special_ids
    added = [
        {"id": index, "content": name, **plain, "special": True}
        for name, index in tokenizer.special_ids.items()
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "post_processor": None,
        **parts,
    }


def _byte_level(tokenizer: Any) -> dict[str, Any]:
    """Byte-level BPE; of bytes alone, one without merges.

    Raises:
        UserError: two ids stand for the same bytes, which the library cannot tell apart.
    """
    special = set(tokenizer.special_ids.values())
    vocab: dict[str, int] = {}
    for index in range(tokenizer.vocab_size):
        spelled = spell(tokenizer.token_bytes(index))
        if index in special:
            continue
        if spelled in vocab:
            raise UserError(
                f"ids {vocab[spelled]} and {index} both stand for {spelled!r}, of which the "
                "library allows one: train the tokenizer with another vocab_size"
            )
        vocab[spelled] = index
    spelled_of = {index: spelled for spelled, index in vocab.items()}
    merges = getattr(tokenizer, "merges", [])
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "pre_tokenizer": {**level, "use_regex": True},
        "decoder": {**level, "use_regex": True},
        "model": {
            **_bpe(byte_fallback=False),
            "vocab": vocab,
            "merges": [f"{spelled_of[left]} {spelled_of[right]}" for left, right in merges],
        },
    }


def _characters(tokenizer: Any) -> dict[str, Any]:
    """Characters: BPE without merges, which falls back to bytes for those that it does not know."""
    # An ASCII character is its own byte, so that the names of bytes are needed for the rest alone.
    vocab = {chr(value) if value < 0x80 else f"<0x{value:02X}>": value for value in range(0x100)}
    vocab |= {char: 0x100 + rank for rank, char in enumerate(tokenizer.characters)}
    return {
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {**_bpe(byte_fallback=True), "vocab": vocab, "merges": []},
    }


def _pieces(tokenizer: Any) -> dict[str, Any]:
    """SentencePiece's unigram model: the pieces, their scores, and bytes for what has no piece."""
    model = _model(tokenizer)
    # What a character costs that has no piece follows from the least score of all: bytes and
    # special tokens, which have none, must not lower it.
    least = min((p.score for p in model.pieces if p.type == p.NORMAL), default=0.0)
    vocab = [(p.piece, p.score if p.type == p.NORMAL else least) for p in model.pieces]
    blank = {"type": "Replace", "pattern": {"String": BLANK}, "content": " "}
    return {
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": BLANK},
        # A text that spells a byte is cut within it, or that byte would be found there.
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "<(?=0x[0-9A-F]{2}>)"},
            "behavior": "Isolated",
            "invert": False,
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [blank, {"type": "ByteFallback"}, {"type": "Fuse"}],
        },
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.special_ids[UNKNOWN],
            "vocab": vocab,
            "byte_fallback": True,
        },
    }


def _model(tokenizer: Any) -> Any:
    """A SentencePiece model as its library describes it, message by message."""
    from sentencepiece import sentencepiece_model_pb2  # needs protobuf, for an export alone

    messages: Any = sentencepiece_model_pb2  # which makes its classes as it is imported
    return messages.ModelProto.FromString(tokenizer.serialized)


def _bpe(*, byte_fallback: bool) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
    }


_PARTS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "bpe": _byte_level,
    "byte": _byte_level,
    "char": _characters,
    "sentencepiece": _pieces,
}
