"""The stages that find copies in all of the text: `find` looks, and `settle` decides.

One machine drops a document that is like an earlier one *that it kept*. So which pairs are alike is
found first, by many tasks, each with a share of the fingerprints and of the bands' keys; then one
task goes through the pairs in the documents' order and decides as one machine would. It holds what
is like something in memory, and nothing else. Of n texts that are like each other, and differ, that
is n² / 2 pairs of 16 bytes. Not here: likeness itself (`cleaning/dedup.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt32, UInt64

from llmcourse.cleaning.dedup import N_BANDS, estimates
from llmcourse.data.sources import no_text
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory
from llmcourse.prepare.corpus import read_rows, rows
from llmcourse.prepare.report import Report
from llmcourse.prepare.trove.clean import Block, Items, column, read_cleaned, read_reports
from llmcourse.prepare.trove.job import Job, open_job, part_of

KINDS = ("copies", "twins", "pairs")
"""Pairs of places, the later and the earlier: of one fingerprint, of one signature, and alike."""


MOST_OPEN = 4096
"""How many columns of tasks are mapped into memory at a time."""


class FindCopies(Block):
    """The pairs of a task's share of the fingerprints and of the bands' keys."""

    name = "find copies"

    def process(self, data: Items, rank: int, world_size: int) -> None:
        """Write the pairs into the task's folder."""
        job = open_job(self.work)
        folders = [job.folder("clean", one) for one in range(world_size)]
        found: dict[str, list[np.ndarray]] = {kind: [np.empty((0, 2), np.int64)] for kind in KINDS}
        n_shares = -(-world_size // N_BANDS)  # of a band's keys; with few tasks, one has all
        for unit in range(rank, (N_BANDS + 1) * n_shares, world_size):
            band, share = unit % (N_BANDS + 1), unit // (N_BANDS + 1)
            with self.track_time("share"):
                if band == N_BANDS:
                    found["copies"].append(_exact(folders, share, n_shares))
                elif job.settings.similarity < 1:
                    for kind, pairs in _near(folders, band, share, n_shares, job):
                        found[kind].append(pairs)
        place = job.folder("find", rank)
        place.parent.mkdir(exist_ok=True)
        with atomic_directory(place) as folder:
            for kind, pairs in found.items():
                together = np.concatenate(pairs)
                self.stat_update(kind, value=len(together))
                np.save(folder / f"{kind}.npy", together)


def _exact(folders: list[Path], share: int, n_shares: int) -> Int64[np.ndarray, "pairs 2"]:
    keys, places = [], []
    for folder in folders:
        prints = np.asarray(column(folder, "fingerprints")).view("<u8").reshape(-1, 2)
        mine = prints[:, 0] % np.uint64(n_shares) == share
        keys.append(prints[mine])
        places.append(np.asarray(column(folder, "places"))[mine])
    return first_of_each(np.concatenate(keys), np.concatenate(places))


def first_of_each(
    keys: UInt64[np.ndarray, "n words"], places: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, "pairs 2"]:
    """Each place whose key an earlier place has, with the earliest such."""
    order = np.lexsort((places, *keys.T))
    keys, places = keys[order], places[order]
    begins = np.ones(len(keys), dtype=bool)
    begins[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    first = places[np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))]
    return np.stack([places[~begins], first[~begins]], axis=1)


def _near(
    folders: list[Path], band: int, share: int, n_shares: int, job: Job
) -> Iterator[tuple[str, Int64[np.ndarray, "pairs 2"]]]:
    """The pairs that a band is the first to show: twins in the first band, and others."""
    keys, places, rows, owners = [], [], [], []
    for number, folder in enumerate(folders):
        hashes = hash_rows(np.asarray(column(folder, f"band {band:02}")))
        (mine,) = np.nonzero(hashes % np.uint64(n_shares) == share)
        keys.append(hashes[mine])
        places.append(np.asarray(column(folder, "signed"))[mine])
        rows.append(mine)
        owners.append(np.full(len(mine), number))
    key, place, row, owner = map(np.concatenate, (keys, places, rows, owners))
    order = np.lexsort((place, key))
    opened = lru_cache(MOST_OPEN)(lambda one, name: column(folders[one], name))
    ends = np.flatnonzero(np.diff(key[order])) + 1
    for group in np.split(order, ends):
        if len(group) > 1:
            signatures = _signatures(opened, owner[group], row[group])
            yield from alike(signatures, place[group], band, job.settings.similarity)


def _signatures(
    opened: Callable[[int, str], np.ndarray],
    owners: Int64[np.ndarray, " n"],
    rows: Int64[np.ndarray, " n"],
) -> UInt32[np.ndarray, "n hashes"]:
    """Whole signatures, each put together from all bands of the task that has it."""
    found = [
        np.concatenate([opened(owner, f"band {band:02}")[row] for band in range(N_BANDS)])
        for owner, row in zip(owners.tolist(), rows.tolist(), strict=True)
    ]
    return np.stack(found)


def hash_rows(rows: UInt32[np.ndarray, "n places"]) -> UInt64[np.ndarray, " n"]:
    """A number for each row, the same on every machine and nearly always another for another."""
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for values in rows.T:
        hashes = (hashes ^ values) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    return hashes


def alike(
    signatures: UInt32[np.ndarray, "n hashes"],
    places: Int64[np.ndarray, " n"],
    band: int,
    threshold: float,
) -> Iterator[tuple[str, Int64[np.ndarray, "pairs 2"]]]:
    """Among documents in order whose keys in a band may agree: twins, and pairs that are alike.

    Twins agree in all places, so each is like whatever the first of them is like: only that one is
    compared. A pair is given by the first band that shows it, and not again by the others.
    """
    first: dict[bytes, int] = {}
    of = [first.setdefault(signatures[n].tobytes(), place) for n, place in enumerate(places)]
    alone = places == of
    if band == 0:
        yield "twins", np.stack([places, of], axis=1)[~alone]
    signatures, places = signatures[alone], places[alone]
    rows = signatures.reshape(len(signatures), N_BANDS, -1)
    for n in range(1, len(places)):
        close = estimates(signatures[:n], signatures[n]) >= threshold
        agree = (rows[:n] == rows[n]).all(axis=2)
        shown_here = agree[:, band] & ~agree[:, :band].any(axis=1)
        earlier = places[:n][close & shown_here]
        if len(earlier):
            yield "pairs", np.stack([np.full_like(earlier, places[n]), earlier], axis=1)


class SettleCopies(Block):
    """Which documents are left out as copies, and of which: a file of rows for each task."""

    name = "settle copies"

    def __init__(self, work: Path, tasks: int):
        super().__init__(work)
        self.tasks = tasks

    def process(self, data: Items, rank: int, world_size: int) -> None:
        """Write the decisions; this is one task."""
        job = open_job(self.work)
        check_read(job)
        pairs = {kind: self._found(job, kind) for kind in KINDS}
        decided = settle(pairs["copies"], pairs["twins"], pairs["pairs"])
        names = Names([job.folder("clean", one) for one in range(self.tasks)])
        place = job.folder("settle", 0)
        place.parent.mkdir(exist_ok=True)
        with atomic_directory(place) as folder:
            for number, places in enumerate(names.places):
                with rows(folder / f"{number:05}.jsonl.gz") as put:
                    for one in np.intersect1d(places, list(decided)).astype(np.int64).tolist():
                        reason, of = decided[one]
                        put({"place": one, "dropped": (reason, f"of {names.of(of)}")})

    def _found(self, job: Job, kind: str) -> Int64[np.ndarray, "pairs 2"]:
        found = [np.load(job.folder("find", one) / f"{kind}.npy") for one in range(self.tasks)]
        together = np.concatenate(found)
        return together[np.lexsort((together[:, 1], together[:, 0]))]


def settle(
    copies: Int64[np.ndarray, "copies 2"],
    twins: Int64[np.ndarray, "twins 2"],
    pairs: Int64[np.ndarray, "pairs 2"],
) -> dict[int, tuple[str, int]]:
    """From pairs, each kind in the order of places, to what one machine drops, and for which.

    It drops a copy of anything that was there, and else what is like something that it kept; of
    several such it names the first.
    """
    dropped: dict[int, tuple[str, int]] = {
        later: ("copy", earlier) for later, earlier in copies.tolist()
    }
    first: dict[int, int] = dict(twins.tolist())
    together = sorted([*first.items(), *pairs.tolist()], key=lambda pair: pair[0])
    for later, group in groupby(together, key=lambda pair: pair[0]):
        if later in dropped:
            continue
        kept = [earlier for _, earlier in group if earlier not in dropped]
        if kept:
            dropped[later] = ("near-copy", min(kept))
        elif later in first:  # like what the first of its twins is like
            dropped[later] = ("near-copy", dropped[first[later]][1])
    return dropped


class Names:
    """The names of documents that tasks have kept, by their places.

    Attributes:
        places: the places of each task's documents, in order.
    """

    def __init__(self, folders: list[Path]):
        self._folders = folders
        self.places = [column(folder, "places") for folder in folders]

    def of(self, place: int) -> str:
        """The name of the document at a place."""
        for folder, places in zip(self._folders, self.places, strict=True):
            row = int(np.searchsorted(places, place))
            if row < len(places) and places[row] == place:
                ends, names = column(folder, "name ends"), column(folder, "names")
                begin = int(ends[row - 1]) if row else 0
                return names[begin : int(ends[row])].tobytes().decode("utf-8", "surrogatepass")
        raise KeyError(place)


class DropCopies(Block):
    """Marks what `settle` has decided on."""

    name = "drop copies"

    def process(self, data: Items, rank: int, world_size: int) -> Items:
        """Yield all that comes."""
        folder = open_job(self.work).folder("settle", 0)
        decided = read_rows(folder / f"{rank:05}.jsonl.gz")  # in the order in which items come
        following = next(decided, None)
        for item in data:
            if "dropped" not in item.metadata:
                if following is not None and item.metadata["place"] == following["place"]:
                    item.text, item.metadata["dropped"] = "", following["dropped"]
                    following = next(decided, None)
                self.count(item)
            yield item


def check_read(job: Job) -> None:
    """Complain of a source that has yielded nothing.

    Raises:
        UserError: says why, if a place could not be read.
    """
    folders = [job.folder("clean", rank) for rank in range(job.settings.tasks)]
    documents = dict.fromkeys(range(len(job.settings.sources)), 0)
    for folder in folders:
        for stretch, row in read_reports(folder):
            report = Report.from_plain(row["report"])
            documents[job.parts[part_of(stretch)].source] += report.read["documents"]
    for source, count in documents.items():
        if not count:
            problem = min(_problems(job, source, folders), default=None)
            raise (
                no_text(job.settings.sources[source]) if problem is None else UserError(problem[1])
            )


def _problems(job: Job, source: int, folders: Iterable[Path]) -> Iterator[tuple[int, str]]:
    for folder in folders:
        for item in read_cleaned(folder):
            if job.parts[part_of(item.metadata["place"])].source == source:
                yield item.metadata["place"], item.id
