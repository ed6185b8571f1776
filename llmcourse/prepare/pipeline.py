"""Clean, de-duplicate, split by document, train a tokenizer, tokenise: from sources to a folder.

Documents pass one at a time, and what must be remembered (which texts there have been) lies on the
disk. So memory does not grow with the corpus, but for the text that the tokenizer is trained on,
which `--tokenizer-megabytes` bounds. Not here: the steps of cleaning (`cleaner.py`), what follows
it (`corpus.py`), what the folder holds (`data/prepared.py`). Chapter 01 teaches this.
"""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from llmcourse.cleaning.dedup_index import disk_index
from llmcourse.data import sources
from llmcourse.data.documents import Document
from llmcourse.data.prepared import (
    DESCRIPTION,
    DROPPED,
    SPLITS,
    Amount,
    Prepared,
    foreign_to_prepared,
    is_prepared,
    write_description,
)
from llmcourse.data.reading import Say
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory, kind_of, made_for, place_for_folder
from llmcourse.locks import writing_alone
from llmcourse.prepare.cleaner import Cleaned, Cleaner, Copies, Dropped
from llmcourse.prepare.corpus import (
    Put,
    bytes_bar,
    read_text,
    rows,
    saved_tokenizer,
    tokenize,
    tokenizer_from_text,
)
from llmcourse.prepare.held_out import split_text
from llmcourse.prepare.notes import Notes
from llmcourse.prepare.parallel import ordered_map
from llmcourse.prepare.pieces import Piece, Read, pieces, reading_of, reason_of
from llmcourse.prepare.report import Report, page, peak_megabytes
from llmcourse.prepare.settings import Settings
from llmcourse.tokenizers.base import Tokenizer, to_bytes
from llmcourse.tokenizers.registry import save_tokenizer


def prepare(settings: Settings) -> Report:
    """Do all of it, and write the folder `settings.out`, whole or not at all.

    Raises:
        UserError: a source cannot be read, nothing is left of the text, the folder is in the way,
            or the vocabulary is larger than the text allows.
        OSError: the disk is full or may not be written.
    """
    settings = dataclasses.replace(settings, out=place_for_folder(settings.out))
    check_out(settings)
    tokenizer = saved_tokenizer(settings.tokenizer)
    with made_for(settings.out.parent), writing_alone(settings.out):
        check_out(settings)  # who had the folder until now may have left it full
        return _prepare(settings, tokenizer)


def _prepare(settings: Settings, tokenizer: Tokenizer | None) -> Report:
    notes = Notes()
    began, report = time.perf_counter(), Report()
    with atomic_directory(settings.out, foreign_to_prepared) as folder:
        cleaned = _cleaned(settings, folder, report, notes)
        split_text(cleaned, settings.held_out, folder, report, notes)
        notes.close()
        check_kept(report)
        tokenizer = tokenizer or _train(settings, folder, report, notes)
        save_tokenizer(tokenizer, folder)
        report.tokenizer |= {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
        sums: dict[str, str] = {}
        for split in SPLITS:
            texts, workers = read_text(folder, split), settings.workers
            tokenize(texts, tokenizer, folder, split, report, workers=workers, sums=sums)
        report.took = time.perf_counter() - began
        report.peak_megabytes = peak_megabytes()
        write_report(settings, folder, report, sums)
    return report


def check_kept(report: Report) -> None:
    """Complain where nothing is left.

    Raises:
        UserError: says by which rules it was dropped.
    """
    if not report.n_kept:
        reasons = ", ".join(f"{name} {drop.documents}" for name, drop in report.dropped.items())
        raise UserError(
            f"no text is left to learn from: all {report.n_dropped:,} documents were dropped "
            f"({reasons}); --no-filter keeps what breaks a rule of quality, and the options "
            "--quality.* move the rules"
        )


def _train(settings: Settings, folder: Path, report: Report, say: Say) -> Tokenizer:
    kind, size, megabytes = settings.tokenizer, settings.vocab_size, settings.tokenizer_megabytes
    try:
        return tokenizer_from_text(folder, kind, size, megabytes, report, say)
    except UserError as error:
        raise UserError(f"{error} (--vocab-size)") from None


def check_out(settings: Settings) -> None:
    """Refuse to write where something else would be lost, or be read as a source.

    Raises:
        UserError: says what is in the way.
    """
    out = Path(os.path.realpath(settings.out))
    for source in settings.sources:
        place = Path(os.path.realpath(os.path.expanduser(source)))
        if place.is_dir() and out.is_relative_to(place):
            raise UserError(f"{settings.out} lies in the source {source}: write elsewhere")
        if place.exists() and place.is_relative_to(out):
            raise UserError(
                f"the source {source} lies in {settings.out}, which would be replaced: "
                "move it, or choose another --out"
            )
    if not kind_of(out):
        return
    if not settings.overwrite:
        raise UserError(f"{settings.out} exists: choose another --out, or add --overwrite")
    if not is_prepared(out) and any(out.iterdir()):
        raise UserError(f"{settings.out} holds no {DESCRIPTION}: it is not overwritten")
    found = foreign_to_prepared(out)
    if found is not None:
        raise UserError(
            f"{found} was not written by this command and would be lost: it is not overwritten; "
            "move it away, or choose another --out"
        )


# --- clean, de-duplicate --------------------------------------------------------------------------


def _cleaned(settings: Settings, folder: Path, report: Report, say: Say) -> Iterator[Document]:
    """The documents that are kept, cleaned. What is dropped is listed in a file of `folder`."""
    with (
        disk_index(folder / "index.sqlite") as index,
        rows(folder / DROPPED) as put_dropped,
        bytes_bar("clean") as bar,
    ):
        copies = Copies(settings.similarity, index)
        documents = _documents(settings, report, put_dropped, say)
        clean = Cleaner(settings).clean
        for document, (result, steps) in ordered_map(clean, documents, settings.workers):
            size = len(to_bytes(document.text))
            report.add(steps)
            if isinstance(result, Cleaned):
                with report.timed("copies", size):
                    result = copies.check(document.name, result)
            if isinstance(result, Dropped):
                reason, detail = result.reason, result.detail
                put_dropped(report.drop(document.name, reason, detail, document.text, size))
            else:
                report.count_masked(result.masked)
                yield Document(result.text, document.name)
            bar.update(size)


def _documents(
    settings: Settings, report: Report, put_dropped: Put, say: Say
) -> Iterator[Document]:
    """The documents of all sources. What cannot be read is counted and listed, and passed by.

    Raises:
        UserError: there is no such source, or nothing of it can be read.
    """
    for source in settings.sources:
        problems: list[UserError] = []
        reading = reading_of(settings, problems.append, say)
        documents = _timed(sources.read(source, reading), report)
        for found in pieces(documents, problems):
            if isinstance(found, Read):
                report.read.update(documents=1, bytes=found.n_bytes)
                report.changed["cut"] += 0  # counted, even if there is none
            elif isinstance(found, Piece):
                report.changed["cut"] += found.number == 2
                yield found.document
            else:
                put_dropped(report.drop(str(found), reason_of(found), "", "", 0))


def _timed(documents: Iterator[Document], report: Report) -> Iterator[Document]:
    """The same documents, the time that reading them takes counted."""
    while True:
        with report.timed("read"):
            document = next(documents, None)
        if document is None:
            return
        report.handled["read"] += len(to_bytes(document.text))
        yield document


# --- what was done --------------------------------------------------------------------------------


def write_report(settings: Settings, folder: Path, report: Report, sums: dict[str, str]) -> None:
    """Write the report for people and for programs, at last the description and the checksums.

    Those that are known by now, of the large files, are in `sums`.
    """
    text = page(report, settings.sources)
    (folder / "report.md").write_bytes(text.encode("utf-8", "backslashreplace"))
    content = {
        "settings": settings.plain(),
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
    write_description(folder, description, sums)
