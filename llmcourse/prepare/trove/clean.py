"""The first stage: each task reads its share of the sources, cleans it, and signs what is kept.

A document that is left out goes on, marked and shortened, so that it is counted and listed at its
place. Not here: the steps of cleaning (`prepare/cleaner.py`), copies (`copies.py`).
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from datatrove.data import Document as Item
from datatrove.pipeline.base import PipelineStep

from llmcourse.cleaning.dedup import N_BANDS, N_HASHES, band_keys
from llmcourse.data import sources
from llmcourse.data.documents import Document
from llmcourse.data.local import read_one_of_many
from llmcourse.data.reading import say_nothing
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory
from llmcourse.prepare.cleaner import Cleaner, Dropped
from llmcourse.prepare.corpus import Put, read_rows, rows
from llmcourse.prepare.pieces import Piece, Read, pieces, reading_of, reason_of
from llmcourse.prepare.report import BEGINNING, Report
from llmcourse.prepare.trove.job import Job, open_job, place_of, stretch_of
from llmcourse.tokenizers.base import to_bytes

ROWS, REPORTS = "rows.jsonl.gz", "reports.jsonl.gz"

Items = Iterator[Item]
"""What passes from block to block. An item's `metadata` says more of it:

- `place`: where it stands among all, which orders them; every item has one.
- `read`: how many bytes a document of the source has that begins here; there is no text.
- `bytes`, `beginning`: of the text as it was read. `cut`: that it is the second piece of one.
- `dropped`: the reason and the detail, if it is left out.
- `steps`: what was done to it, a `Report`.
- `fingerprint`, `signature`, `masked`: as in `Cleaned`. `split`, `ids`: its side, its tokens.
"""


class Block(PipelineStep):
    """A step of `datatrove` that knows where the job is.

    Attributes:
        work: the folder that all machines share.
    """

    type = "llmcourse"

    def __init__(self, work: Path):
        super().__init__()
        self.work = str(work)

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:
        """Do this task's share, as an executor asks for it: `process`."""
        return self.process(iter(data or ()), rank, world_size)

    @abstractmethod
    def process(self, data: Items, rank: int, world_size: int) -> Items | None:
        """What becomes of the items that come; None where they go no further."""

    def count(self, item: Item) -> None:
        """Count a document in the statistics: as kept, or as left out for its reason."""
        dropped = item.metadata.get("dropped")
        self.stat_update("total", "dropped" if dropped else "forwarded")
        if dropped:
            self.stat_update(f"dropped_{dropped[0]}")


class ReadPieces(Block):
    """The task's share of what the sources yield, in order."""

    name = "read"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield documents; places that cannot be read are items that are left out."""
        job = open_job(self.work)
        for part in range(len(job.parts)):
            whole = job.has_parts_for(world_size)
            if whole and not job.is_mine(place_of(part, 0), rank, world_size):
                continue  # none of it is this task's: it is not even read
            for item in _items(job, part):
                if not job.is_mine(item.metadata["place"], rank, world_size):
                    continue
                if "read" in item.metadata:
                    self.stat_update("documents")
                elif "dropped" in item.metadata:
                    self.count(item)
                yield item


def _items(job: Job, part: int) -> Items:
    """All that a part yields."""
    settings, number, is_empty = job.settings, 0, True
    problems: list[UserError] = []
    reading = reading_of(settings, problems.append, say_nothing)
    source, file = settings.sources[job.parts[part].source], job.parts[part].file
    try:
        documents = read_one_of_many(Path(file), reading) if file else sources.read(source, reading)
        for found in pieces(documents, problems):
            yield _item(found, place_of(part, number))
            number += isinstance(found, Piece)
            is_empty = is_empty and not isinstance(found, Read)
    except UserError as error:
        if not is_empty:
            raise
        yield _item(error, place_of(part, 0))  # another part of the source may hold something


def _item(found: Read | Piece | UserError, place: int) -> Item:
    metadata: dict[str, Any] = {"place": place}
    if isinstance(found, Read):
        return Item("", "", metadata=metadata | {"read": found.n_bytes})
    if isinstance(found, UserError):
        metadata |= {"dropped": (reason_of(found), ""), "bytes": 0, "beginning": ""}
        return Item("", str(found), metadata=metadata)
    text = found.document.text
    metadata |= {"bytes": len(to_bytes(text)), "beginning": text[:BEGINNING]}
    return Item(text, found.document.name, metadata=metadata | {"cut": found.number == 2})


class Clean(Block):
    """Each document after all steps of cleaning, or marked with the rule that it breaks."""

    name = "clean"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield all that comes, cleaned."""
        cleaner = Cleaner(open_job(self.work).settings)
        for item in data:
            if not item.metadata.keys() & {"read", "dropped"}:
                with self.track_time():
                    _clean(cleaner, item)
                self.count(item)
            yield item


def _clean(cleaner: Cleaner, item: Item) -> None:
    result, steps = cleaner.clean(Document(item.text, item.id))
    item.metadata["steps"] = steps
    if isinstance(result, Dropped):
        item.text, item.metadata["dropped"] = "", (result.reason, result.detail)
    else:
        item.text = result.text
        item.metadata |= {
            "masked": result.masked,
            "fingerprint": result.fingerprint,
            "signature": result.signature,
        }


class SaveCleaned(Block):
    """The task's folder: a row for each document, a report for each stretch, and columns."""

    name = "save what is clean"

    def process(self, data: Items, rank: int, world_size: int) -> None:
        """Write everything that comes; the folder appears at the end."""
        place = open_job(self.work).folder("clean", rank)
        place.parent.mkdir(exist_ok=True)
        with (
            atomic_directory(place) as folder,
            rows(folder / ROWS) as put_row,
            rows(folder / REPORTS) as put_report,
            ExitStack() as stack,
        ):
            columns = {
                name: stack.enter_context(open(folder / name, "wb")) for name in COLUMN_TYPES
            }
            for stretch, items in by_stretch(data):
                report = Report()
                for item in items:
                    _save(item, report, put_row, columns)
                put_report({"stretch": stretch, "report": report.plain()})


def by_stretch(items: Items) -> Iterator[tuple[int, Items]]:
    """The items of each stretch together."""
    return groupby(items, key=lambda item: stretch_of(item.metadata["place"]))


COLUMN_TYPES = {
    "places": np.dtype("<i8"),
    "names": np.dtype("u1"),
    "name ends": np.dtype("<i8"),
    "fingerprints": np.dtype("V16"),
    "signed": np.dtype("<i8"),
    **{f"band {band:02}": np.dtype("<u4") for band in range(N_BANDS)},
}
"""What is kept of each document that is kept, to find copies by; all that is compared, no text.

The places of those that have a signature are `signed`; a band has the same order.
"""


def column(folder: Path, name: str) -> np.ndarray:
    """One of the columns of a task's folder, mapped into memory; a band is a row a document."""
    kind, path = COLUMN_TYPES[name], folder / name
    is_empty = not path.stat().st_size  # such a file cannot be mapped
    values = np.empty(0, kind) if is_empty else np.memmap(path, kind, mode="r")
    return values.reshape(-1, N_HASHES // N_BANDS) if name.startswith("band") else values


def _save(item: Item, report: Report, put: Put, columns: Mapping[str, BinaryIO]) -> None:
    metadata = item.metadata
    if "read" in metadata:
        report.read.update(documents=1, bytes=metadata["read"])
        report.changed["cut"] += 0  # counted, even if there is none
        return
    if "steps" in metadata:
        report.add(metadata["steps"])
    report.changed["cut"] += metadata.get("cut", False)
    kept = ("place", "bytes", "beginning", "dropped", "masked")
    row = {name: metadata[name] for name in kept if name in metadata}
    put(row | {"name": item.id, "text": item.text})
    if "dropped" not in metadata:
        _sign(item, columns)


def _sign(item: Item, columns: Mapping[str, BinaryIO]) -> None:
    place = _number(item.metadata["place"])
    columns["places"].write(place)
    columns["names"].write(to_bytes(item.id))
    columns["name ends"].write(_number(columns["names"].tell()))
    columns["fingerprints"].write(item.metadata["fingerprint"])
    signature = item.metadata["signature"]
    if signature is not None:
        columns["signed"].write(place)
        for band, key in enumerate(band_keys(signature, N_BANDS)):
            columns[f"band {band:02}"].write(key)


def _number(value: int) -> bytes:
    return value.to_bytes(8, "little")


def read_cleaned(folder: Path) -> Items:
    """The documents that a task has written, as they came."""
    for row in read_rows(folder / ROWS):
        text, name = row.pop("text"), row.pop("name")
        yield Item(text, name, metadata=row)


def read_reports(folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each stretch of a task's folder, and what was written about it."""
    for row in read_rows(folder / REPORTS):
        yield row["stretch"], row
