"""From documents to what a run reads: the split's two sides as text, a tokenizer, and files of ids.

`python -m llmcourse.prepare` hands over cleaned documents, `python -m llmcourse.train` raw ones;
from here on it is one way. The source is read once: its text lies on the disk between the steps.
Not here: where documents come from (`data/sources.py`), cleaning (`cleaner.py`).
"""

import contextlib
import gzip
import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import UInt32
from tqdm import tqdm

from llmcourse.data.documents import MEGABYTE, Document, is_held_out
from llmcourse.data.packing import document_ids
from llmcourse.data.prepared import SPLITS, text_path, tokens_path
from llmcourse.data.reading import Say
from llmcourse.data.windows import write_tokens
from llmcourse.prepare.parallel import ordered_map
from llmcourse.prepare.report import Report
from llmcourse.tokenizers.base import Tokenizer, VocabularyTooLarge, to_bytes
from llmcourse.tokenizers.registry import TOKENIZERS, load_tokenizer, train_tokenizer

TOKENIZER_SAMPLE = 1
"""The seed by which documents are drawn for the tokenizer; the held-out split's is another."""

Put = Callable[[dict[str, Any]], None]
"""Writes one row."""


def by_hash(documents: Iterable[Document], held_out: float) -> Iterator[tuple[str, Document]]:
    """Each document with the side of the split it falls on, by a hash of its text."""
    for document in documents:
        yield side_of(document, held_out), document


def side_of(document: Document, held_out: float) -> str:
    """The side of the split that a document falls on, by a hash of its text."""
    return SPLITS[is_held_out(document, held_out)]


def write_text(sides: Iterable[tuple[str, Document]], folder: Path, report: Report) -> None:
    """Write each document to the text of its side, and count it there."""
    with contextlib.ExitStack() as stack:
        put = {split: stack.enter_context(rows(text_path(folder, split))) for split in SPLITS}
        for split, document in sides:
            write_document(put[split], split, document, report)


def write_document(put: Put, split: str, document: Document, report: Report) -> None:
    """Write one document to the text of its side, and count it there."""
    size = len(to_bytes(document.text))
    with report.timed("write", size):
        put({"name": document.name, "text": document.text})
    report.kept[split].update(documents=1, bytes=size)


def read_text(folder: Path, split: str) -> Iterator[Document]:
    """The documents that `write_text` wrote, each as it was."""
    for row in read_rows(text_path(folder, split)):
        yield Document(row["text"], row["name"])


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows that `rows` wrote."""
    with gzip.open(path, "rb") as file:
        yield from map(json.loads, file)


@contextlib.contextmanager
def rows(path: Path) -> Generator[Put]:
    """Write rows to a compressed file of JSON lines; the same rows give the same bytes."""
    with open(path, "wb") as raw, rows_into(raw) as put:
        yield put


@contextlib.contextmanager
def rows_into(raw: BinaryIO) -> Generator[Put]:
    """Append rows to an open file as a compressed part of its own; parts read as one file."""
    with gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0) as file:

        def put(row: dict[str, Any]) -> None:
            line = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(line.encode("utf-8", "backslashreplace"))  # a name may hold anything

        yield put


def saved_tokenizer(name: str) -> Tokenizer | None:
    """The tokenizer that a path names; None where the name is a kind, which is to be trained.

    Raises:
        UserError: there is none, or it is damaged.
    """
    return None if name in TOKENIZERS else load_tokenizer(Path(name))


def tokenizer_from_text(
    folder: Path, kind: str, vocab_size: int, megabytes: float, report: Report, say: Say
) -> Tokenizer:
    """Train a tokenizer on a sample of about so many megabytes of the training text.

    A vocabulary larger than the text allows becomes the largest that it does, and `say` hears.

    Raises:
        UserError: the text does not allow so small a vocabulary.
    """
    try:
        return _trained(folder, kind, vocab_size, megabytes, report)
    except VocabularyTooLarge as error:
        largest = error.largest
    say("vocabulary", f"{largest:,} tokens in place of {vocab_size:,}: so little text has no more")
    return _trained(folder, kind, largest, megabytes, report)


def _trained(
    folder: Path, kind: str, vocab_size: int, megabytes: float, report: Report
) -> Tokenizer:
    wanted, available = megabytes * MEGABYTE, report.kept["train"]["bytes"]
    with (
        bytes_bar(f"train {kind}", total=min(wanted, available)) as bar,
        report.timed("train tokenizer"),
    ):
        sizes: list[int] = []
        texts = _sample(read_text(folder, "train"), wanted, available)
        tokenizer = train_tokenizer(kind, _measured(texts, sizes, bar), vocab_size)
    report.handled["train tokenizer"] = report.tokenizer["trained_on_bytes"] = sum(sizes)
    return tokenizer


def _sample(documents: Iterable[Document], wanted: float, available: int) -> Iterator[str]:
    """All of the text, if it is not more than `wanted` bytes, or texts drawn from all over it."""
    fraction = min(1.0, wanted / max(1, available))
    left = wanted
    for document in documents:
        if left <= 0:
            return
        if is_held_out(document, fraction, seed=TOKENIZER_SAMPLE):
            left -= len(to_bytes(document.text))
            yield document.text


def _measured(texts: Iterable[str], sizes: list[int], bar: tqdm) -> Iterator[str]:
    for text in texts:
        sizes.append(len(to_bytes(text)))
        bar.update(sizes[-1])
        yield text


def tokenize(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    folder: Path,
    split: str,
    report: Report,
    *,
    workers: int = 1,
    sums: dict[str, str] | None = None,
) -> None:
    """Write the ids of documents to the file of one side, in `workers` processes.

    The file's checksum is put into `sums`.
    """
    kept = report.kept[split]
    encoded = ordered_map(partial(document_ids, tokenizer), documents, workers)
    with (
        bytes_bar(f"tokenise {split}", total=kept["bytes"] or None) as bar,
        report.timed("tokenise", kept["bytes"]),
    ):
        ids = _followed(encoded, bar)
        path = tokens_path(folder, split)
        kept["tokens"] = write_tokens(path, ids, tokenizer.vocab_size, sums)


def _followed(
    encoded: Iterable[tuple[Document, UInt32[np.ndarray, " tokens"]]], bar: tqdm
) -> Iterator[UInt32[np.ndarray, " tokens"]]:
    for document, ids in encoded:
        bar.update(len(to_bytes(document.text)))
        yield ids


def bytes_bar(what: str, total: float | None = None) -> tqdm:
    """A progress bar in bytes; silent where nobody watches."""
    watched = sys.stderr.isatty()
    return tqdm(desc=what, total=total, unit="B", unit_scale=True, leave=False, disable=not watched)
