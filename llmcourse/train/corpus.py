"""From a source's name to what the loop reads: a tokenizer, and two files of tokens.

Everything is written into the run directory once, and a resumed run reads it from there, so a run
goes on even where its source has changed since. Documents, never windows, are held out. Not here:
where documents come from (`data/sources.py`), and cleaning.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llmcourse.data import sources
from llmcourse.data.documents import Document, is_held_out
from llmcourse.data.packing import pack
from llmcourse.data.windows import Windows, write_tokens
from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import uniform_bits_per_byte, unigram_bits_per_byte
from llmcourse.files import atomic_write_text
from llmcourse.text.base import Tokenizer, byte_lengths
from llmcourse.text.load import KINDS, load_tokenizer, save_tokenizer, train_tokenizer
from llmcourse.train.settings import DataSettings, Settings

MEGABYTE = 1_000_000


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
        UserError: the source cannot be read, or holds too little text.
    """
    done = folder / "corpus.json"
    if done.exists() and not fresh:
        return
    folder.mkdir(parents=True, exist_ok=True)
    data = settings.data
    tokenizer = _tokenizer(data)
    save_tokenizer(tokenizer, folder.parent)
    counts = {}
    for split, documents in (("train", _training(data)), ("valid", _validation(data))):
        path = folder / f"{split}.bin"
        counts[split] = write_tokens(path, pack(documents, tokenizer), tokenizer.vocab_size)
    atomic_write_text(done, json.dumps({"source": data.source, "tokens": counts}))


def open_corpus(settings: Settings, folder: Path, *, extra_tokens: int) -> Corpus:
    """Open what `prepare_corpus` wrote, as windows of the context and so many tokens more.

    Raises:
        UserError: the training or the validation text is shorter than one window.
    """
    tokenizer = load_tokenizer(folder.parent)
    lengths = np.array(byte_lengths(tokenizer))
    length = settings.model.context_length + extra_tokens
    splits = []
    for split in ("train", "valid"):
        try:
            splits.append(Windows(folder / f"{split}.bin", length, overlap=extra_tokens))
        except UserError as error:
            hint = "; hold out more (--data.held-out) or name a --data.valid"
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
    if data.tokenizer not in KINDS:
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
