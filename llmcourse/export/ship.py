"""What `python -m llmcourse.export` does: a run's model in another format, proven, with its card.

Each format writes into a folder that appears when all is written and checked, or not at all. Not
here: the formats (`huggingface.py`, `onnx.py`, `nn/int8.py`) and the card's words (`card.py`).
Chapter 17 teaches this.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from llmcourse.data.prepared import tokens_path
from llmcourse.data.windows import Windows, check_tokens
from llmcourse.errors import UserError, require
from llmcourse.export.card import CARD_FILE, Facts, model_card
from llmcourse.export.huggingface import from_huggingface, to_huggingface
from llmcourse.export.onnx import ONNX_FILE, OnnxModel, compare, require_library, to_onnx
from llmcourse.files import atomic_directory, atomic_write_text, kind_of, made_for, place_for_folder
from llmcourse.generate.__main__ import load_run
from llmcourse.locks import writing_alone
from llmcourse.models.base import Model
from llmcourse.models.files import load_model, save_model, unique_state
from llmcourse.nn.int8 import is_quantized, quantize_model
from llmcourse.runs.directory import RunDirectory
from llmcourse.tokenizers.base import Tokenizer
from llmcourse.tokenizers.registry import save_tokenizer, seal_tokenizer
from llmcourse.tokenizers.template_files import TEMPLATE_FILE

WINDOWS = 16
"""Windows of held-out text on which a format's loss is measured."""


class Exported(NamedTuple):
    """A folder that was written, and what was measured on the way."""

    out: Path
    size: int
    measured: dict[str, str]


class Source(NamedTuple):
    """What is exported: a run, its model and its tokenizer."""

    run: Path
    model: Model
    tokenizer: Tokenizer


def export_run(run: Path, out: Path, format: str, license: str = "other") -> Exported:
    """Write a run's model in a format, with tokenizer, chat template and card.

    Raises:
        UserError: no run, a folder that is there already, a model that the format cannot say, or a
            result that does not say the same as the model.
        OSError: no room or no permission; nothing is left half-written.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}; there are: {', '.join(FORMATS)}")
    require(not kind_of(out), f"{out} exists already: choose another --out")
    out = place_for_folder(out)
    inside = Path(os.path.realpath(out)).is_relative_to(os.path.realpath(run))
    require(not inside, f"{out} lies in the run itself: choose another --out")
    with made_for(out.absolute().parent), writing_alone(out):
        return _export(run, out, format, license)


def _export(run: Path, out: Path, format: str, license: str) -> Exported:
    writer = FORMATS[format]
    source = Source(run, *load_run(run))
    require(
        not is_quantized(source.model),
        f"{run} is in int8 already, and what was rounded is lost: name the run it was made from",
    )
    source.model.eval()
    with atomic_directory(out, foreign=lambda there: there) as folder:  # whatever has come there
        measured = writer(source, folder)
        if (run / TEMPLATE_FILE).is_file():
            shutil.copyfile(run / TEMPLATE_FILE, folder / TEMPLATE_FILE)
        facts = Facts(name=out.name, license=license, format=_WORDS[format], measured=measured)
        atomic_write_text(folder / CARD_FILE, model_card(run, facts))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Exported(out, size, measured)


def _to_hf(source: Source, folder: Path) -> dict[str, str]:
    """Hugging Face's format, read back."""
    to_huggingface(source.model, folder, source.tokenizer)
    parity = compare(source.model, from_huggingface(folder), _prompts(source))
    require(parity.holds, f"read back, the model says something else ({parity})")
    return {"largest logit difference, read back": f"{parity.difference:.1e}"}


def _to_onnx(source: Source, folder: Path) -> dict[str, str]:
    """ONNX, run by ONNX Runtime."""
    require_library("onnx", "onnxscript", "onnxruntime")
    to_onnx(source.model, folder)
    save_tokenizer(source.tokenizer, folder)
    parity = compare(source.model, OnnxModel(folder), _prompts(source))
    require(parity.holds, f"{ONNX_FILE} says something else than the model ({parity})")
    return {
        "largest logit difference from PyTorch": f"{parity.difference:.1e}",
        "tokens of greedy text that agree": f"{parity.agreeing} of {parity.tokens}",
    }


def _to_int8(source: Source, folder: Path) -> dict[str, str]:
    """Our own format with int8 weights: a folder that `generate` and `evaluate` read like a run."""
    small = quantize_model(source.model)
    save_model(small, folder / "model")
    save_tokenizer(source.tokenizer, folder)
    seal_tokenizer(folder)
    shutil.copyfile(RunDirectory(source.run).config, RunDirectory(folder).config)
    back = load_model(folder / "model")
    parity = compare(small, back, _prompts(source))
    require(parity.holds, f"read back, the model says something else ({parity})")
    measured = {"bytes of weights": f"{stored_bytes(small):,} of {stored_bytes(source.model):,}"}
    before, after = (held_out_loss(model, source.run) for model in (source.model, small))
    if before is not None and after is not None:
        measured["held-out loss in int8, nats a token"] = f"{after:.4f}, before {before:.4f}"
    return measured


FORMATS: dict[str, Callable[[Source, Path], dict[str, str]]] = {
    "hf": _to_hf,
    "onnx": _to_onnx,
    "int8": _to_int8,
}
"""Every format, by the name that the command knows."""

_WORDS = {"hf": "safetensors for `transformers`", "onnx": "ONNX", "int8": "int8 safetensors"}


def stored_bytes(model: nn.Module) -> int:
    """How many bytes a model's tensors take in a file, tied ones counted once."""
    return sum(each.numel() * each.element_size() for each in unique_state(model).values())


@torch.no_grad()
def held_out_loss(model: Any, run: Path) -> float | None:
    """Nats a token on the first windows of a run's held-out text; None where there is none.

    Raises:
        Damaged: the text's tokens are not those that were written.
    """
    path = tokens_path(run / "data", "valid")
    if not path.is_file():
        return None
    check_tokens(path)
    windows = Windows(path, model.config.context_length + 1, 1)
    total, count = 0.0, 0
    for index in range(min(WINDOWS, len(windows))):
        row = torch.as_tensor(windows.window(index))[None]
        logits = model(row[:, :-1]).logits  # 1 T V
        total += F.cross_entropy(logits[0], row[0, 1:], reduction="sum").item()
        count += row.size(1) - 1
    return total / count


def _prompts(source: Source) -> torch.Tensor:
    """Two rows of tokens to compare models on: the same on every machine."""
    vocab_size = source.model.config.vocab_size
    length = min(16, source.model.config.context_length)
    dice = torch.Generator().manual_seed(0)
    rows = torch.randint(vocab_size, (2, length), generator=dice)
    rows[:, 0] = source.tokenizer.eot_id
    return rows
