"""From a source's name to what the loop reads: a tokenizer, and two files of tokens.

Everything is written into the run directory once, and a resumed run reads it from there, so a run
goes on even where its source has changed since. A folder that `python -m llmcourse.prepare` left
has all of it already. Documents, never windows, are held out. Not here: where documents come from
(`data/sources.py`), and cleaning (`prepare/`).
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmcourse.data import sources
from llmcourse.data.documents import MEGABYTE, Document, is_held_out
from llmcourse.data.packing import pack
from llmcourse.data.prepared import SPLITS, is_prepared, read_description, tokens_path
from llmcourse.data.windows import Windows, sidecar, write_tokens
from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import uniform_bits_per_byte, unigram_bits_per_byte
from llmcourse.files import atomic_file, atomic_write_text
from llmcourse.tokenizers.base import Tokenizer, byte_lengths
from llmcourse.tokenizers.registry import (
    TOKENIZERS,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from llmcourse.train.presets import PRESETS
from llmcourse.train.settings import DataSettings, Settings


@dataclass(frozen=True)
class Corpus:
    """What the loop reads.

    Attributes:
        tokenizer: turns text into the ids below.
        train: windows to learn from.
        valid: windows of documents that no training window comes from.
        lengths: how many bytes of text each id stands for.
        uniform: bits per byte of guessing every token alike, on `valid`.
        unigram: bits per byte of guessing by how often each token occurs in `train`, on `valid`.
    """

    tokenizer: Tokenizer
    train: Windows
    valid: Windows
    lengths: np.ndarray
    uniform: float
    unigram: float


def prepare_corpus(settings: Settings, folder: Path, *, fresh: bool) -> None:
    """Read the source, train the tokenizer, and write both files of tokens into `folder`.

    Does nothing where that was done, unless `fresh`. The tokenizer goes to the run's top.

    Raises:
        UserError: the source cannot be read, holds too little text, or was prepared otherwise than
            the settings want it.
    """
    done = folder / "corpus.json"
    if done.exists() and not fresh:
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = settings.data
    if is_prepared(data.source):
        counts = _adopt_prepared(settings, folder)
    else:
        tokenizer = _tokenizer(data)
        save_tokenizer(tokenizer, folder.parent)
        counts = {
            "train": _write_tokens(folder, "train", _training(data), tokenizer),
            "valid": _write_tokens(folder, "valid", _validation(data), tokenizer),
        }
    atomic_write_text(done, json.dumps({"source": data.source, "tokens": counts}))


def open_corpus(tokenizer: Tokenizer, folder: Path, *, length: int, overlap: int = 0) -> Corpus:
    """Open what `prepare_corpus` wrote, as windows of `length` tokens.

    Neighbours share `overlap` tokens.

    Raises:
        UserError: the training or the validation text is shorter than one window.
    """
    lengths = np.array(byte_lengths(tokenizer))
    splits = []
    for split in SPLITS:
        try:
            splits.append(Windows(tokens_path(folder, split), length, overlap))
        except UserError as error:
            hint = "; hold out more (--data.held-out, or as you prepare) or name a --data.valid"
            raise UserError(f"{split} text: {error}{hint if split == 'valid' else ''}") from None
    train, valid = splits
    counts = np.bincount(train.tokens, minlength=tokenizer.vocab_size)
    return Corpus(
        tokenizer,
        train,
        valid,
        lengths,
        uniform_bits_per_byte(valid.tokens, lengths, tokenizer.vocab_size),
        unigram_bits_per_byte(counts, valid.tokens, lengths),
    )


def _write_tokens(
    folder: Path, split: str, documents: Iterable[Document], tokenizer: Tokenizer
) -> int:
    chunks = pack(documents, tokenizer)
    return write_tokens(tokens_path(folder, split), chunks, tokenizer.vocab_size)


def _adopt_prepared(settings: Settings, folder: Path) -> dict[str, int]:
    """Take a prepared folder's tokenizer and tokens; returns how many tokens there are."""
    data = settings.data
    prepared = read_description(data.source)
    known = {
        "tokenizer": prepared.tokenizer,
        "vocab_size": prepared.vocab_size,
        "held_out": prepared.held_out,
    }
    _check_agreement(settings, known)
    source = Path(data.source).expanduser()
    tokenizer = load_tokenizer(source)
    save_tokenizer(tokenizer, folder.parent)
    counts = {"train": prepared.train.tokens, "valid": prepared.valid.tokens}
    for split in SPLITS:
        if split == "valid" and data.valid is not None:
            counts[split] = _write_tokens(folder, split, _validation(data), tokenizer)
        else:
            link_or_copy(tokens_path(source, split), tokens_path(folder, split))
    return counts


def _check_agreement(settings: Settings, known: dict[str, str | int | float]) -> None:
    """Refuse what somebody asked for and a prepared folder cannot give.

    What the preset says was asked for by nobody.

    Raises:
        UserError: names the first such setting.
    """
    data, preset = settings.data, PRESETS.get(settings.preset, Settings)().data
    for name in (*known, "max_megabytes", "tokenizer_megabytes"):
        wanted = getattr(data, name)
        if wanted not in (getattr(preset, name), known.get(name)):
            given = f"with {known[name]}" if name in known else "as it is"
            raise UserError(
                f"data.{name}={wanted} cannot be: {data.source} was prepared {given}; "
                "leave it out, or prepare the text again"
            )


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file of tokens and its description at another place: the same file, or else a copy.

    Both programs replace such files and never write into them, so sharing one is safe.

    Raises:
        UserError: the prepared folder lacks it.
    """
    for old, new in ((source, target), (sidecar(source), sidecar(target))):
        new.unlink(missing_ok=True)
        try:
            os.link(old, new)
        except FileNotFoundError:
            raise UserError(f"{old} is missing: prepare the text again") from None
        except OSError:  # another disk, or one that knows no links
            with open(old, "rb") as file, atomic_file(new) as copy:
                shutil.copyfileobj(file, copy)


def _documents(source: str, megabytes: float | None) -> Iterator[Document]:
    """A source's documents, up to so many megabytes of text."""
    left = float("inf") if megabytes is None else megabytes * MEGABYTE
    for document in sources.read(source):
        if left <= 0:
            return
        left -= len(document.text.encode("utf-8", "surrogatepass"))
        yield document


def _training(data: DataSettings) -> Iterable[Document]:
    documents = _documents(data.source, data.max_megabytes)
    if data.valid is not None:
        return documents
    return (d for d in documents if not is_held_out(d, data.held_out))


def _validation(data: DataSettings) -> Iterable[Document]:
    if data.valid is not None:
        return _documents(data.valid, None)
    documents = _documents(data.source, data.max_megabytes)
    return (d for d in documents if is_held_out(d, data.held_out))


def _tokenizer(data: DataSettings) -> Tokenizer:
    """Train the tokenizer on the beginning of the training text, or load a saved one."""
    if data.tokenizer not in TOKENIZERS:
        return load_tokenizer(Path(data.tokenizer))
    beginning = _take(_training(data), data.tokenizer_megabytes)
    return train_tokenizer(data.tokenizer, beginning, data.vocab_size)


def _take(documents: Iterable[Document], megabytes: float) -> Iterator[str]:
    """The texts of the first documents, up to so many megabytes of characters."""
    left = megabytes * MEGABYTE
    for document in documents:
        if left <= 0:
            return
        left -= len(document.text)
        yield document.text
