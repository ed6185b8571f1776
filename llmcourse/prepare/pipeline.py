"""Clean, de-duplicate, split by document, train a tokenizer, tokenise: from sources to a folder.

Documents pass one at a time, and what must be remembered (which texts there have been) lies on the
disk. So memory does not grow with the corpus, but for the text that the tokenizer is trained on,
which `--tokenizer-megabytes` bounds. Not here: the steps of cleaning (`cleaning.py`), what the
folder holds (`data/prepared.py`). Chapter 01 teaches this.
"""

import contextlib
import dataclasses
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from llmcourse.cleaning.dedup_index import disk_index
from llmcourse.data import local, sources
from llmcourse.data.documents import MEGABYTE, Document, SkippedInput, is_held_out
from llmcourse.data.packing import pack
from llmcourse.data.prepared import (
    DESCRIPTION,
    DROPPED,
    SPLITS,
    Amount,
    Prepared,
    is_prepared,
    text_path,
    tokens_path,
    write_description,
)
from llmcourse.data.windows import write_tokens
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory
from llmcourse.prepare.cleaner import Cleaner, Dropped, cut
from llmcourse.prepare.report import Report, page, peak_megabytes
from llmcourse.prepare.settings import Settings
from llmcourse.tokenizers.base import Tokenizer, to_bytes
from llmcourse.tokenizers.registry import (
    TOKENIZERS,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)

TOKENIZER_SAMPLE = 1
"""The seed by which documents are drawn for the tokenizer; the held-out split's is another."""

Put = Callable[[dict[str, str]], None]
"""Writes one row."""


def prepare(settings: Settings) -> Report:
    """Do all of it, and write the folder `settings.out`, whole or not at all.

    Raises:
        UserError: a source cannot be read, nothing is left of the text, the folder is in the way,
            or the vocabulary is larger than the text allows.
        OSError: the disk is full or may not be written.
    """
    check_out(settings)
    saved = None if settings.tokenizer in TOKENIZERS else load_tokenizer(Path(settings.tokenizer))
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    report = Report()
    with atomic_directory(settings.out) as folder:
        _write_text(settings, folder, report)
        tokenizer = saved or _train(settings, folder, report)
        save_tokenizer(tokenizer, folder)
        report.tokenizer |= {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
        for split in SPLITS:
            _write_tokens(tokenizer, folder, split, report)
        report.peak_megabytes = peak_megabytes()
        _write_report(settings, folder, report)
    return report


def check_out(settings: Settings) -> None:
    """Refuse to write where something else would be lost, or be read as a source.

    Raises:
        UserError: says what is in the way.
    """
    out = settings.out.expanduser().resolve()
    for source in settings.sources:
        folder = os.path.expanduser(source)
        if os.path.isdir(folder) and out.is_relative_to(Path(folder).resolve()):
            raise UserError(f"{settings.out} lies in the source {source}: write elsewhere")
    if not out.exists():
        return
    if not settings.overwrite:
        raise UserError(f"{settings.out} exists: choose another --out, or add --overwrite")
    if not is_prepared(out) and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{settings.out} holds no {DESCRIPTION}: it is not overwritten")


# --- clean, de-duplicate, split -------------------------------------------------------------------


def _write_text(settings: Settings, folder: Path, report: Report) -> None:
    """Write the cleaned documents of both sides, and the list of what was dropped."""
    with contextlib.ExitStack() as stack:
        index = stack.enter_context(disk_index(folder / "index.sqlite"))
        sides = [stack.enter_context(_rows(text_path(folder, split))) for split in SPLITS]
        put_dropped = stack.enter_context(_rows(folder / DROPPED))
        bar = stack.enter_context(_bar("clean", total=None))
        cleaner = Cleaner(settings, report, index)
        for document in _documents(settings, report, put_dropped):
            size = len(to_bytes(document.text))
            result = cleaner.clean(document)
            with report.timed("write", size):
                if isinstance(result, Dropped):
                    reason, detail = result.reason, result.detail
                    put_dropped(report.drop(document.name, reason, detail, document.text, size))
                else:
                    side = is_held_out(result, settings.held_out)
                    sides[side]({"name": result.name, "text": result.text})
                    kept = report.kept[SPLITS[side]]
                    kept["documents"] += 1
                    kept["bytes"] += len(to_bytes(result.text))
            bar.update(size)
    if not report.kept["train"]["documents"]:
        reasons = ", ".join(f"{name} {drop.documents}" for name, drop in report.dropped.items())
        raise UserError(f"no text is left to learn from (dropped: {reasons or 'nothing'})")


def _documents(settings: Settings, report: Report, put_dropped: Put) -> Iterator[Document]:
    """The documents of all sources. What cannot be read is counted and listed, and passed by.

    Raises:
        UserError: there is no such source, or nothing of it can be read.
    """
    for source in settings.sources:
        problems: list[UserError] = []

        def on_error(error: UserError, problems: list[UserError] = problems) -> None:
            problems.append(error) if not problems else None
            reason = "no text" if isinstance(error, SkippedInput) else "unreadable"
            put_dropped(report.drop(str(error), reason, "", "", 0))

        try:
            for document in _timed(sources.read(source, on_error), report):
                report.read["documents"] += 1
                report.read["bytes"] += len(to_bytes(document.text))
                pieces = 0
                for piece in cut(document):
                    pieces += 1
                    yield piece
                report.changed["cut"] += pieces > 1
        except UserError as error:
            raise (problems or [error])[0] from None


def _timed(documents: Iterator[Document], report: Report) -> Iterator[Document]:
    """The same documents, the time that reading them takes counted."""
    while True:
        with report.timed("read"):
            document = next(documents, None)
        if document is None:
            return
        report.handled["read"] += len(to_bytes(document.text))
        yield document


@contextlib.contextmanager
def _rows(path: Path) -> Generator[Put]:
    """Write rows to a compressed file of JSON lines; the same rows give the same bytes."""
    with (
        open(path, "wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=5, fileobj=raw, mtime=0) as file,
    ):

        def put(row: dict[str, str]) -> None:
            line = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(line.encode("utf-8", "backslashreplace"))  # a name may hold anything

        yield put


# --- tokenizer and tokens -------------------------------------------------------------------------


def _train(settings: Settings, folder: Path, report: Report) -> Tokenizer:
    """Train the tokenizer on a sample of the training text.

    Raises:
        UserError: the text does not allow the vocabulary's size.
    """
    wanted = settings.tokenizer_megabytes * MEGABYTE
    available = report.kept["train"]["bytes"]
    sample = _sample(text_path(folder, "train"), wanted, available)
    sizes: list[int] = []
    with (
        _bar(f"train {settings.tokenizer}", total=min(wanted, available)) as bar,
        report.timed("train tokenizer"),
    ):
        texts = _counted((document.text for document in sample), sizes, bar)
        try:
            tokenizer = train_tokenizer(settings.tokenizer, texts, settings.vocab_size)
        except UserError as error:
            raise UserError(f"{error} (--vocab-size)") from None
    report.handled["train tokenizer"] = report.tokenizer["trained_on_bytes"] = sum(sizes)
    return tokenizer


def _sample(path: Path, wanted: float, available: int) -> Iterator[Document]:
    """About `wanted` of the `available` bytes: documents drawn by a hash from all over a file."""
    share = min(1.0, wanted / available)
    left = wanted
    for document in local.read(path):
        if left <= 0:
            return
        if is_held_out(document, share, seed=TOKENIZER_SAMPLE):
            left -= len(to_bytes(document.text))
            yield document


def _counted(texts: Iterable[str], sizes: list[int], bar: tqdm) -> Iterator[str]:
    for text in texts:
        sizes.append(len(to_bytes(text)))
        bar.update(sizes[-1])
        yield text


def _write_tokens(tokenizer: Tokenizer, folder: Path, split: str, report: Report) -> None:
    """Tokenise one side of the split."""
    kept = report.kept[split]
    with _bar(f"tokenise {split}", total=kept["bytes"]) as bar:
        texts = _followed(local.read(text_path(folder, split)), bar)
        with report.timed("tokenise", kept["bytes"]):
            chunks: Iterable[np.ndarray] = pack(texts, tokenizer)
            path = tokens_path(folder, split)
            kept["tokens"] = write_tokens(path, chunks, tokenizer.vocab_size)


def _followed(documents: Iterable[Document], bar: tqdm) -> Iterator[Document]:
    for document in documents:
        bar.update(len(to_bytes(document.text)))
        yield document


# --- what was done --------------------------------------------------------------------------------


def _write_report(settings: Settings, folder: Path, report: Report) -> None:
    """Write the report for people and for programs, and at last the folder's description."""
    text = page(report, settings.sources)
    (folder / "report.md").write_bytes(text.encode("utf-8", "backslashreplace"))
    content = {
        "settings": {**dataclasses.asdict(settings), "out": str(settings.out)},
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **vars(report),
    }
    (folder / "report.json").write_text(
        json.dumps(content, indent=1, default=vars) + "\n", encoding="utf-8"
    )
    amounts = {
        split: Amount(documents=kept["documents"], bytes=kept["bytes"], tokens=kept["tokens"])
        for split, kept in report.kept.items()
    }
    description = Prepared(
        tokenizer=report.tokenizer["kind"],
        vocab_size=report.tokenizer["vocab_size"],
        held_out=settings.held_out,
        **amounts,
    )
    write_description(folder, description)


def _bar(what: str, total: float | None) -> tqdm:
    """A progress bar in bytes; silent where nobody watches."""
    return tqdm(
        desc=what,
        total=total,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=not sys.stderr.isatty(),
    )
