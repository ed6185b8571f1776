"""From a source's name to what the loop reads: a tokenizer, and two files of tokens.

Everything is written into the run directory once, and a resumed run reads it from there, so a run
goes on even where its source has changed since. A folder that `python -m llmcourse.prepare` left
has all of it already. Documents, never windows, are held out. Not here: where documents come from
(`data/sources.py`), and how both files are made (`prepare/corpus.py`).
"""

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from llmcourse.checksums import check_files, write_checksums
from llmcourse.data import sources
from llmcourse.data.documents import MEGABYTE, Document, SkippedInput, size_in_words
from llmcourse.data.prepared import (
    AGAIN,
    SPLITS,
    is_prepared,
    read_description,
    text_path,
    tokens_path,
)
from llmcourse.data.reading import Reading
from llmcourse.data.windows import Windows, check_tokens, sidecar
from llmcourse.errors import UserError
from llmcourse.evaluate.perplexity import uniform_bits_per_byte, unigram_bits_per_byte
from llmcourse.files import atomic_copy, atomic_write_text
from llmcourse.prepare.corpus import (
    bytes_bar,
    read_text,
    saved_tokenizer,
    tokenize,
    tokenizer_from_text,
    write_text,
)
from llmcourse.prepare.held_out import split_text
from llmcourse.prepare.notes import Notes
from llmcourse.prepare.report import Report
from llmcourse.tokenizers.base import Tokenizer, byte_lengths, to_bytes
from llmcourse.tokenizers.registry import (
    load_tokenizer,
    save_tokenizer,
    seal_tokenizer,
    tokenizer_files,
)
from llmcourse.train.data_settings import DataSettings
from llmcourse.train.presets import PRESETS
from llmcourse.train.settings import Settings


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
        entropy: bits per byte of the text itself, which no model can beat; None where, as for all
            real text, nobody knows.
    """

    tokenizer: Tokenizer
    train: Windows
    valid: Windows
    lengths: np.ndarray
    uniform: float
    unigram: float
    entropy: float | None = None


def prepare_corpus(settings: Settings, folder: Path, *, fresh: bool) -> None:
    """Read the source, train the tokenizer, and write both files of tokens into `folder`.

    Where that was done it only sees that they are whole, unless `fresh`. The tokenizer goes to the
    run's top.

    Raises:
        UserError: the source cannot be read, holds too little text, or was prepared otherwise than
            the settings want it.
        Damaged: what was written has changed since.
    """
    done = folder / "corpus.json"
    if done.exists() and not fresh:
        check_tokens(*(tokens_path(folder, split) for split in SPLITS))
        return
    folder.mkdir(parents=True, exist_ok=True)
    data, notes, sums = settings.data, Notes(), dict[str, str]()
    if is_prepared(data.source):
        counts = _adopt_prepared(settings, folder, notes, sums)
    else:
        counts = _from_raw_text(data, folder, notes, sums)
    paths = [tokens_path(folder, split) for split in SPLITS]
    write_checksums(folder, [*paths, *map(sidecar, paths)], sums)
    seal_tokenizer(folder.parent)
    # Written last: the mark that both files of tokens are whole.
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
    # What any model has to beat: to know how often each token occurs, and nothing else.
    counts = np.bincount(train.tokens, minlength=tokenizer.vocab_size)
    return Corpus(
        tokenizer,
        train,
        valid,
        lengths,
        uniform_bits_per_byte(valid.tokens, lengths, tokenizer.vocab_size),
        unigram_bits_per_byte(counts, valid.tokens, lengths),
    )


def known_entropy(settings: Settings) -> float | None:
    """The entropy of the held-out text in bits per byte, for a causal model on tinytown; or None.

    What fills gaps reads both sides of them, and may well need fewer bits.
    """
    if (settings.data.valid or settings.data.source) != "tinytown":
        return None
    if settings.objective.name != "clm":
        return None
    from llmcourse.tinytown.stories import entropy_bits_per_byte  # a second, and seldom needed

    return entropy_bits_per_byte()


def fewest_tokens(folder: Path) -> int:
    """How many tokens the smaller side of what `prepare_corpus` wrote has.

    Raises:
        UserError: there is nothing on it.
    """
    return min(len(Windows(tokens_path(folder, split), 1).tokens) for split in SPLITS)


def _from_raw_text(
    data: DataSettings, folder: Path, notes: Notes, sums: dict[str, str]
) -> dict[str, int]:
    """Do what `prepare` does, but clean nothing; returns how many tokens there are."""
    # A path that names no tokenizer is refused before the source is read.
    tokenizer = saved_tokenizer(data.tokenizer)
    report = Report()
    try:
        _write_documents(data, folder, report, notes)
        if tokenizer is None:
            kind, size, megabytes = data.tokenizer, data.vocab_size, data.tokenizer_megabytes
            text = sum(kept["bytes"] for kept in report.kept.values())
            notes("tokenizer", f"{kind} is trained; then {size_in_words(text)} are tokenised")
            tokenizer = tokenizer_from_text(folder, kind, size, megabytes, report, notes)
        save_tokenizer(tokenizer, folder.parent)
        for split in SPLITS:
            tokenize(read_text(folder, split), tokenizer, folder, split, report, sums=sums)
    finally:
        # The text was only needed between the steps; a run keeps the ids.
        for split in SPLITS:
            text_path(folder, split).unlink(missing_ok=True)
    return {split: report.kept[split]["tokens"] for split in SPLITS}


def _write_documents(data: DataSettings, folder: Path, report: Report, notes: Notes) -> None:
    """Write both sides' text; the held-out side is a source of its own where one is named."""
    with bytes_bar("read") as bar:
        documents = _documents(data, notes, bar)
        if data.valid is None:
            split_text(documents, data.held_out, folder, report, notes)
        else:
            sides = chain(
                (("train", document) for document in documents),
                (("valid", document) for document in _held_out_documents(data, notes, bar)),
            )
            write_text(sides, folder, report)
    notes.close()


def _adopt_prepared(
    settings: Settings, folder: Path, notes: Notes, sums: dict[str, str]
) -> dict[str, int]:
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
    check_files(*tokenizer_files(source), remedy=AGAIN)
    tokenizer = load_tokenizer(source)
    save_tokenizer(tokenizer, folder.parent)
    counts = {"train": prepared.train.tokens, "valid": prepared.valid.tokens}
    for split in SPLITS:
        if split == "valid" and data.valid is not None:
            report = Report()
            with bytes_bar("read") as bar:
                documents = _held_out_documents(data, notes, bar)
                tokenize(documents, tokenizer, folder, split, report, sums=sums)
            counts[split] = report.kept[split]["tokens"]
        else:
            path = tokens_path(source, split)
            sums |= check_tokens(path, remedy=AGAIN)
            link_or_copy(path, tokens_path(folder, split))
    return counts


def _check_agreement(settings: Settings, known: dict[str, str | int | float]) -> None:
    """Refuse what somebody asked for and a prepared folder cannot give.

    What the preset says was asked for by nobody.

    Raises:
        UserError: names the first such setting.
    """
    data, preset = settings.data, PRESETS.get(settings.preset, Settings)().data
    # With a text to validate on, these say how that one is read.
    reading = ("encoding", "column") if data.valid is None else ()
    for name in (*known, "max_megabytes", "tokenizer_megabytes", *reading):
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
        # A link shares the bytes on the disk; a corpus of gigabytes is not copied for each run.
        new.unlink(missing_ok=True)
        try:
            os.link(old, new)
        except FileNotFoundError:
            raise UserError(f"{old} is missing: {AGAIN}") from None
        except OSError:  # another disk, or one that knows no links
            atomic_copy(old, new)


def _held_out_documents(data: DataSettings, notes: Notes, bar: tqdm) -> Iterator[Document]:
    """All documents of the source to validate on."""
    assert data.valid is not None
    return _documents(dataclasses.replace(data, source=data.valid, max_megabytes=None), notes, bar)


def _documents(data: DataSettings, notes: Notes, bar: tqdm) -> Iterator[Document]:
    """A source's documents, up to so many megabytes of text."""

    def on_error(error: UserError) -> None:
        if not isinstance(error, SkippedInput):
            raise error
        notes("left out", str(error))

    reading = Reading(encoding=data.encoding, column=data.column, on_error=on_error, say=notes)
    left = float("inf") if data.max_megabytes is None else data.max_megabytes * MEGABYTE
    for document in sources.read(data.source, reading):
        if left <= 0:
            return
        size = len(to_bytes(document.text))
        left -= size
        bar.update(size)
        yield document
