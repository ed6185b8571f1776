"""The Hugging Face format, both ways: a directory that `transformers` opens, and one that it wrote.

The door to all families that this course's models span: GPT-2, Llama and its siblings, BERT, T5.
Needs no `transformers`: the format is two files. Foreign names (`c_attn`, `wte`) appear only in
this folder. Not here: what each family calls its parts (`huggingface_gpt.py` and its siblings), the
tokenizer's files (`tokenizer.py`), ONNX. Chapter 17 teaches this.
"""

import os
from pathlib import Path
from typing import Any

from llmcourse.errors import UserError
from llmcourse.export.formats import Format, State
from llmcourse.export.huggingface_bert import BERT_FORMATS
from llmcourse.export.huggingface_gpt import GPT_FORMATS
from llmcourse.export.huggingface_t5 import T5_FORMATS
from llmcourse.export.tokenizer import check_exportable, write_tokenizer
from llmcourse.models.base import Model
from llmcourse.models.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    model_of,
    read_json,
    read_tensors,
    unique_state,
    write_model,
)
from llmcourse.models.registry import FAMILIES, family_of
from llmcourse.tokenizers.base import Tokenizer

FORMATS: dict[str, Format] = {**GPT_FORMATS, **BERT_FORMATS, **T5_FORMATS}
"""The library's families that ours span, by their `model_type`."""


def to_huggingface(
    model: Model, directory: str | os.PathLike, tokenizer: Tokenizer | None = None
) -> str:
    """Write what `transformers` opens, with the class that `FORMATS` names; returns its family.

    Args:
        model: what to write.
        directory: where to.
        tokenizer: what its ids mean: `AutoTokenizer` opens it, and `generate` stops at the id that
            ends a document.

    Raises:
        UserError: the model combines parts that no family of the library combines, or the library
            has no tokenizer like this one, or it is not this model's.
    """
    ours, family = model.config, choose_format(model)
    chosen = FORMATS[family]
    if tokenizer is not None:
        check_exportable(tokenizer)
        if tokenizer.vocab_size > ours.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} ids, and the model {ours.vocab_size}: "
                "give the one that it was trained with"
            )
    config = {
        "architectures": [chosen.architecture],
        "model_type": family,
        "vocab_size": ours.vocab_size,
        "tie_word_embeddings": ours.tie_embeddings,
        # Left open, transformers would fill in token ids that the vocabulary may not have.
        "bos_token_id": None,
        "eos_token_id": None if tokenizer is None else tokenizer.eot_id,
        "pad_token_id": None,
        # The library keeps what it does not know, and so this comes back.
        "zero_init_outputs": ours.zero_init_outputs,
        **chosen.write_config(ours),
    }
    write_model(directory, chosen.to_theirs(unique_state(model), ours), config)
    if tokenizer is not None:
        write_tokenizer(tokenizer, directory, ours.context_length)
    return family


def from_huggingface(directory: str | os.PathLike) -> Model:
    """The model that `transformers` saved in `directory`, in evaluation mode.

    Raises:
        UserError: no model there, a damaged one, or one of a family that ours do not span.
    """
    directory = Path(directory)
    values = read_json(directory / CONFIG_FILE)
    chosen, settings = _read_config(values, directory / CONFIG_FILE)
    theirs = _read_shards(directory)
    try:
        config = chosen.family.config(**chosen.parts, **settings, **chosen.read_weights(theirs))
        # A model that was saved without a head can only say something if its embedding is the head.
        if chosen.head not in theirs and not values.get(
            "tie_word_embeddings", config.tie_embeddings
        ):
            raise UserError(f"there is no output head: save a {chosen.architecture}")
        tensors = chosen.to_ours(theirs, config)
    except UserError as error:
        raise UserError(f"{directory / CONFIG_FILE}: {error}") from None
    except (KeyError, TypeError) as error:
        raise _damaged(directory, error) from None
    if config.tie_embeddings:
        tensors.pop("lm_head.weight", None)  # some files hold the same matrix twice
    try:
        return model_of(chosen.family.model, config, tensors, directory)
    except UserError as error:
        raise UserError(f"{error}: the weights of a {chosen.architecture}") from None


def choose_format(model: Model) -> str:
    """The library's family that has all parts of a model.

    Raises:
        UserError: there is none; the message says what would have to change.
    """
    ours = FAMILIES[family_of(model)]
    differences = {
        name: chosen.differences(model.config)
        for name, chosen in FORMATS.items()
        if chosen.family is ours
    }
    if not differences:
        hint = ": export its encoder" if hasattr(model, "encoder") else ""
        raise UserError(f"Hugging Face has no family for a {type(model).__name__}{hint}")
    family = min(differences, key=lambda name: len(differences[name]))
    if differences[family]:
        changes = ", ".join(f"{part}={wanted!r}" for part, wanted in differences[family].items())
        raise UserError(
            f"Hugging Face has no family with all parts of this model; nearest is {family}: "
            f"train one with {changes} to export it"
        )
    return family


def _read_config(values: dict[str, Any], path: Path) -> tuple[Format, dict[str, Any]]:
    """The family that a `config.json` names, and what it says in the words of our config."""
    family = values.get("model_type")
    if family not in FORMATS:
        raise UserError(f"{path} is a {family!r}: this course's models read {', '.join(FORMATS)}")
    chosen = FORMATS[family]
    try:
        # How the weights began only our own files say; what others trained began otherwise.
        began = {"zero_init_outputs": bool(values.get("zero_init_outputs", False))}
        return chosen, {"vocab_size": values["vocab_size"], **began, **chosen.read_config(values)}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (KeyError, TypeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> UserError:
    reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return UserError(f"{path} is damaged ({reason}): save the model again")


def _read_shards(directory: Path) -> State:
    """All tensors, from one file or from the several that an index lists."""
    index = directory / f"{WEIGHTS_FILE}.index.json"
    if not index.exists():
        return read_tensors(directory / WEIGHTS_FILE)
    tensors: State = {}
    for name in sorted(set(read_json(index).get("weight_map", {}).values())):
        tensors |= read_tensors(directory / name)
    return tensors
