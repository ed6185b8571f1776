"""Tokenizers by name: train one, save it in a run's folder, load whichever a folder holds.

Not here: the tokenizers themselves (`bytes_and_chars`, `bpe`, `unigram`, `sentencepiece`).
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llmcourse.checksums import check_listed, write_checksums
from llmcourse.errors import UserError, nearest
from llmcourse.tokenizers.base import (
    END_OF_TEXT,
    Tokenizer,
    VocabularyTooLarge,
    read_json,
    read_object,
)
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer
from llmcourse.tokenizers.gpt2 import VOCABULARY, is_of_library, read_gpt2, read_tokenizer_json
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer
from llmcourse.tokenizers.special import new_names
from llmcourse.tokenizers.unigram import UnigramTokenizer

TOKENIZERS: dict[str, type[Any]] = {
    kind.kind: kind
    for kind in (
        ByteTokenizer,
        CharTokenizer,
        BPETokenizer,
        UnigramTokenizer,
        SentencePieceTokenizer,
    )
}
"""Every tokenizer by its name, from the simplest on: a new one is a module and a line here."""

KNOWN_TOKENIZERS = f"{', '.join(TOKENIZERS)}, trained on the text; or the path of a saved one."
"""What a setting that names a tokenizer may be, for `--help`."""

FILE_NAMES = ("tokenizer.json", "tokenizer.model")
"""What a tokenizer's file in a folder is called: one of ours, one of SentencePiece."""


TOKENIZER_FILES = (
    *FILE_NAMES,
    *(f"{name}{end}" for name in ("vocab.json", "merges.txt", "vocab.bpe", "encoder.json")
      for end in ("", ".gz")),
)  # fmt: skip
"""All that a tokenizer may lie in, other programs' included."""


def train_tokenizer(
    kind: str, texts: Iterable[str], vocab_size: int, special_tokens: Iterable[str] = ()
) -> Tokenizer:
    """Train a tokenizer of a kind on texts, which are read once.

    `bpe`, `unigram` and `sentencepiece` get exactly `vocab_size` ids, special tokens among them.
    For `char` it is the most to use, and `byte`, which learns nothing, takes the 257 it needs, and
    one for each special token beside END_OF_TEXT.

    Raises:
        UserError: the kind is unknown, the size is less than this text allows, or the special
            tokens are no names.
        VocabularyTooLarge: the size is more than this text allows.
    """
    if kind not in TOKENIZERS:
        raise UserError(f"tokenizer {kind!r} is unknown{nearest(kind, TOKENIZERS)}")
    names = new_names(special_tokens, {END_OF_TEXT: 0})  # checked before what takes time
    try:
        tokenizer = TOKENIZERS[kind].train(texts, vocab_size - len(names))
    except VocabularyTooLarge as error:
        raise VocabularyTooLarge(vocab_size, error.largest + len(names)) from None
    return tokenizer.with_special_tokens(names) if names else tokenizer


def save_tokenizer(tokenizer: Tokenizer, directory: str | os.PathLike[str]) -> Path:
    """Write `tokenizer.model` (SentencePiece's own format) or `tokenizer.json`; return its path.

    A folder holds one tokenizer: a file of the other name is removed.
    """
    Path(directory).mkdir(parents=True, exist_ok=True)
    ours, library = (Path(directory) / name for name in FILE_NAMES)
    path, other = (library, ours) if tokenizer.kind == "sentencepiece" else (ours, library)
    tokenizer.save(path)
    other.unlink(missing_ok=True)
    return path


def tokenizer_files(directory: str | os.PathLike[str]) -> list[Path]:
    """The files in a folder that a tokenizer may lie in."""
    paths = [Path(directory, name) for name in TOKENIZER_FILES]
    return [path for path in paths if path.is_file()]


def seal_tokenizer(directory: str | os.PathLike[str]) -> None:
    """Write the checksums of a run's tokenizer, by which `load_tokenizer` knows that it is whole.

    Raises:
        OSError: no room or no permission.
    """
    write_checksums(Path(directory), tokenizer_files(directory))


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Load the tokenizer in a file or in a folder, of whichever kind it is.

    A folder may hold what other programs wrote instead: GPT-2's two files, plain or `.gz`, or a
    `tokenizer.json` of the `tokenizers` library, if it is byte-level BPE of GPT-2's kind.

    Raises:
        UserError: there is none, or the file is damaged or of another program.
    """
    path = _tokenizer_file(Path(path))
    check_listed(path, *tokenizer_files(path.parent))
    if path.name in VOCABULARY:
        return read_gpt2(path.parent)
    if path.suffix == ".model":
        return SentencePieceTokenizer.load(path)
    if is_of_library(read_object(path)):
        model = path.with_name(FILE_NAMES[1])
        # SentencePiece's own file says what the library's translation of it no longer does.
        return SentencePieceTokenizer.load(model) if model.is_file() else read_tokenizer_json(path)
    kind = str(read_json(path)["kind"])
    if kind not in TOKENIZERS:
        raise UserError(f"{path} is of an unknown kind, {kind!r}{nearest(kind, TOKENIZERS)}")
    return TOKENIZERS[kind].load(path)


def _tokenizer_file(path: Path) -> Path:
    if not os.path.exists(path):
        raise UserError(f"there is no tokenizer at {path}{nearest(path.name, TOKENIZERS)}")
    if not path.is_dir():
        return path
    for name in (*FILE_NAMES, *VOCABULARY):
        if (path / name).is_file():
            return path / name
    raise UserError(f"there is no {' or '.join(FILE_NAMES)} in {path}")
