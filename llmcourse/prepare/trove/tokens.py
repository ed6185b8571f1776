"""The last stages: each task tokenises what is kept of its share, and one task puts all together.

What a task leaves is in stretches, whose ends it notes, so that putting together is copying: no
text is unpacked and no document looked at. Not here: what the folder holds (`data/prepared.py`).
"""

import heapq
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt32

from llmcourse.data.documents import Document
from llmcourse.data.packing import document_ids
from llmcourse.data.prepared import DROPPED, SPLITS, foreign_to_prepared, text_path, tokens_path
from llmcourse.data.windows import write_tokens
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory, made_for
from llmcourse.locks import writing_alone
from llmcourse.prepare.corpus import rows, rows_into, side_of, write_document
from llmcourse.prepare.held_out import is_enough
from llmcourse.prepare.pipeline import check_kept, check_out, write_report
from llmcourse.prepare.report import Report, peak_megabytes
from llmcourse.prepare.trove.clean import (
    REPORTS,
    Block,
    Items,
    by_stretch,
    read_cleaned,
    read_reports,
)
from llmcourse.prepare.trove.job import Job, open_job
from llmcourse.tokenizers.base import to_bytes
from llmcourse.tokenizers.registry import load_tokenizer, save_tokenizer

ID = np.dtype("<u4")
"""How a task writes ids."""
IDS = {split: f"{split}.ids" for split in SPLITS}
TEXTS = {split: f"{split}.jsonl.gz" for split in SPLITS}
AT_ONCE = 1 << 24
"""Bytes that are copied at once."""


class ReadCleaned(Block):
    """What the task with this rank has cleaned."""

    name = "read what is clean"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield all of it, in order."""
        yield from read_cleaned(open_job(self.work).folder("clean", rank))


class HoldOut(Block):
    """Says of each document on which side of the split it is, by a hash of its text."""

    name = "hold out"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield all that comes; `split` is its side."""
        held_out = open_job(self.work).settings.held_out
        for item in data:
            if "dropped" not in item.metadata:
                split = side_of(Document(item.text, item.id), held_out)
                item.metadata["split"] = split
                self.stat_update(split)
            yield item


class Tokenize(Block):
    """Turns each document into ids."""

    name = "tokenise"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield all that comes; `ids` are the document's, the end of text included."""
        tokenizer = load_tokenizer(self.work)
        for item in data:
            if "dropped" not in item.metadata:
                steps = Report()
                with self.track_time(), steps.timed("tokenise", len(to_bytes(item.text))):
                    ids = document_ids(tokenizer, Document(item.text, item.id))
                item.metadata |= {"ids": ids, "steps": steps}
                self.stat_update("tokens", value=len(ids))
            yield item


class SaveTokens(Block):
    """The task's folder: ids and texts of both sides, what was left out, and where stretches end.

    The texts are compressed stretch by stretch.
    """

    name = "save tokens"

    def process(self, data: Items, rank: int, world_size: int) -> None:
        """Write everything that comes; the folder appears at the end."""
        place = open_job(self.work).folder("tokens", rank)
        place.parent.mkdir(exist_ok=True)
        with (
            atomic_directory(place) as folder,
            rows(folder / REPORTS) as put_report,
            ExitStack() as stack,
        ):
            names = (*IDS.values(), *TEXTS.values(), DROPPED)
            files = {name: stack.enter_context(open(folder / name, "wb")) for name in names}
            for stretch, items in by_stretch(data):
                report = _save(items, files)
                report.peak_megabytes = peak_megabytes()
                ends = {name: file.tell() for name, file in files.items()}
                put_report({"stretch": stretch, "report": report.plain(), "ends": ends})


def _save(items: Items, files: Mapping[str, BinaryIO]) -> Report:
    """Write a stretch; returns what is to be counted of it."""
    report = Report()
    with ExitStack() as stack:
        put = {
            name: stack.enter_context(rows_into(files[name])) for name in (*TEXTS.values(), DROPPED)
        }
        for item in items:
            about = item.metadata
            if "dropped" in about:
                reason, detail = about["dropped"]
                put[DROPPED](
                    report.drop(item.id, reason, detail, about["beginning"], about["bytes"])
                )
                continue
            split, ids = about["split"], about["ids"]
            report.add(about["steps"])
            report.count_masked(Counter(about["masked"]))
            write_document(put[TEXTS[split]], split, Document(item.text, item.id), report)
            files[IDS[split]].write(ids.astype(ID).tobytes())
            report.kept[split]["tokens"] += len(ids)
    return report


class PutTogether(Block):
    """The folder that `python -m llmcourse.train` reads, from what all tasks have left."""

    name = "put together"

    def process(self, data: Items, rank: int, world_size: int) -> None:
        """Write the folder, whole or not at all; this is one task."""
        job = open_job(self.work)
        report = check_amounts(job)
        out = job.settings.out
        with made_for(out.parent), writing_alone(out):
            check_out(job.settings)
            with atomic_directory(out, foreign_to_prepared) as folder:
                _put_together(job, folder, report)
        for split in SPLITS:
            self.stat_update(f"{split} tokens", value=report.kept[split]["tokens"])


def _put_together(job: Job, folder: Path, report: Report) -> None:
    tokenizer = load_tokenizer(job.settings.work)
    save_tokenizer(tokenizer, folder)
    sums: dict[str, str] = {}
    for split in SPLITS:
        path, ids = tokens_path(folder, split), _ids(job, IDS[split])
        count = write_tokens(path, ids, tokenizer.vocab_size, sums)
        assert count == report.kept[split]["tokens"]
        _copy(job, TEXTS[split], text_path(folder, split))
    _copy(job, DROPPED, folder / DROPPED)
    report.tokenizer |= {"kind": tokenizer.kind, "vocab_size": tokenizer.vocab_size}
    report.took = time.time() - job.began
    write_report(job.settings, folder, report, sums)


@dataclass(frozen=True)
class Stretch:
    """A stretch of a task's folder.

    Attributes:
        stretch: its number, by which all are in order.
        folder: the task's.
        report: what was counted.
        begins: where it begins in each file, in bytes.
        ends: where it ends.
    """

    stretch: int
    folder: Path
    report: Report
    begins: dict[str, int]
    ends: dict[str, int]


def _stretches(job: Job, stage: str) -> Iterator[Stretch]:
    """All stretches that the tasks of a stage have left, in order."""
    folders = [job.folder(stage, rank) for rank in range(job.settings.tasks)]
    return heapq.merge(*map(_stretches_of, folders), key=lambda one: one.stretch)


def _stretches_of(folder: Path) -> Iterator[Stretch]:
    begins: dict[str, int] = {}
    for stretch, row in read_reports(folder):
        ends = row.get("ends", {})
        yield Stretch(stretch, folder, Report.from_plain(row["report"]), begins, ends)
        begins = ends


def _ids(job: Job, name: str) -> Iterator[UInt32[np.ndarray, " _"]]:
    for data in _bytes(job, name):
        yield np.frombuffer(data, ID)


def _copy(job: Job, name: str, path: Path) -> None:
    with open(path, "wb") as file:
        for data in _bytes(job, name):
            file.write(data)


def _bytes(job: Job, name: str) -> Iterator[bytes]:
    """One file of all tasks, in the order of stretches."""
    for one in _stretches(job, "tokens"):
        left = one.ends[name] - one.begins.get(name, 0)
        with open(one.folder / name, "rb") as file:
            file.seek(one.begins.get(name, 0))
            while left:
                data = file.read(min(left, AT_ONCE))
                if not data:
                    raise UserError(f"{one.folder / name} is damaged: it is too short")
                left -= len(data)
                yield data


def check_amounts(job: Job) -> Report:
    """What all tasks have counted.

    Raises:
        UserError: nothing is left, or too little to be held out by a hash alone.
    """
    report, peaks = Report(), [0.0]
    for stage in ("clean", "tokens"):
        for one in _stretches(job, stage):
            report.merge(one.report)
            peaks.append(one.report.peak_megabytes or 0.0)
    report.peak_megabytes = max(peaks) or None
    check_kept(report)
    if not is_enough(report):
        raise UserError(
            "the text is too small to hold out whole documents by chance: "
            "use python -m llmcourse.prepare, or a larger --held-out"
        )
    return report
