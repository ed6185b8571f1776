"""One preparation by many tasks: its settings, its parts, and where its files lie.

Everything lies in a folder that all machines share. A source has parts, which are its files, or is
one part. Each document has a place, by which all is put in order again whoever worked on it.
Not here: the work (`clean.py`, `copies.py`, `tokens.py`), in which order (`stages.py`).
"""

import dataclasses
import importlib.util
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from llmcourse.data import sources
from llmcourse.data.documents import raise_unless_skipped
from llmcourse.data.local import files_of
from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text, place_for_folder, read_file
from llmcourse.plain import from_plain, parse_json
from llmcourse.prepare.corpus import saved_tokenizer
from llmcourse.prepare.notes import Notes
from llmcourse.prepare.pieces import reading_of
from llmcourse.prepare.pipeline import check_out
from llmcourse.prepare.settings import Settings
from llmcourse.tokenizers.registry import save_tokenizer

STRETCH = 1_000
"""How many neighbouring documents of a part stay together: what is dealt out, and put in order."""

PART_BITS = 40
"""A place is a part's number and, in so many bits, a document's number within the part."""

PLAN = "plan.json"
FREE = ("overwrite", "workers", "on")
"""Settings that may change when a job is run again."""

Hidden = tyro.conf.Suppress


@dataclass(frozen=True, kw_only=True)
class JobSettings(Settings):
    """What is prepared, as for `python -m llmcourse.prepare`, and how it is dealt out."""

    tokenizer: Annotated[str, tyro.conf.arg(help="A trained one: what prepare left, or a run.")]
    vocab_size: Annotated[int, Hidden] = 8192
    tokenizer_megabytes: Annotated[float, Hidden] = 20.0
    work: Path
    """A folder that all machines share, for what lies between the stages; delete it afterwards."""
    tasks: int = 8
    """Into how many tasks each stage is cut; the results are the same, byte for byte."""
    workers: int = 1
    """How many tasks run at a time."""
    on: Literal["local", "slurm", "ray"] = "local"
    """What runs the tasks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tasks < 1:
            raise UserError(f"tasks={self.tasks} must be at least 1")


@dataclass(frozen=True)
class Part:
    """A file of a source, or a source that is no folder.

    Attributes:
        source: which of the settings' sources it is of.
        file: the file of a folder; None where the part is all of its source.
    """

    source: int
    file: str | None


@dataclass(frozen=True)
class Job:
    """What every task knows.

    Attributes:
        settings: what was asked for.
        parts: what there is to read, in order.
        began: when, in seconds since 1970.
    """

    settings: JobSettings
    parts: tuple[Part, ...]
    began: float

    def is_mine(self, place: int, rank: int, tasks: int) -> bool:
        """Whether a task works on a place: parts are dealt out, or where they are few, stretches.

        Where stretches are, each task reads everything and leaves out what is not its own.
        """
        part, number = part_of(place), place % 2**PART_BITS
        return (part if self.has_parts_for(tasks) else part + number // STRETCH) % tasks == rank

    def has_parts_for(self, tasks: int) -> bool:
        """Whether there is a part for each task."""
        return len(self.parts) >= tasks

    def folder(self, stage: str, rank: int) -> Path:
        """What a task of a stage leaves behind; it appears when the task is done."""
        return self.settings.work / stage / f"{rank:05}"


def place_of(part: int, number: int) -> int:
    """The place of a part's document; places are ordered as one machine would meet them."""
    return (part << PART_BITS) + number


def part_of(place: int) -> int:
    """The number of the part in which a place is."""
    return place >> PART_BITS


def stretch_of(place: int) -> int:
    """The stretch that a place is in, by its first place."""
    return place - place % 2**PART_BITS % STRETCH


def needs_datatrove() -> None:
    """Complain where the library is not installed.

    Raises:
        UserError: says how to install it.
    """
    if importlib.util.find_spec("datatrove") is None:
        raise UserError("this needs datatrove: pip install -e '.[cluster]' -c constraints.txt")


def begin(settings: JobSettings) -> Job:
    """Write down what is to be done, or find what was when this job was begun.

    Raises:
        UserError: a source, a folder or the tokenizer cannot be, or the job was begun otherwise.
    """
    settings = _absolute(settings)
    work = settings.work
    if (work / PLAN).exists():
        job = open_job(work)
        _refuse_change(job.settings.plain(), settings.plain(), work)
        return dataclasses.replace(job, settings=settings)
    if work.exists() and any(work.iterdir()):
        raise UserError(f"{work} holds no {PLAN}: it is no folder of work; choose another --work")
    check_out(settings)
    for source in settings.sources:
        if os.path.isdir(source) and work.is_relative_to(os.path.realpath(source)):
            raise UserError(f"{work} lies in the source {source}: choose another --work")
    tokenizer = saved_tokenizer(settings.tokenizer)
    if tokenizer is None:
        raise UserError(
            f"--tokenizer {settings.tokenizer} is a kind, which many tasks cannot train: run "
            "python -m llmcourse.prepare on a part of the text, and name the folder that it leaves"
        )
    job = Job(settings, _parts(settings), time.time())
    work.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, work)
    content = {
        "settings": settings.plain(),
        "parts": [dataclasses.astuple(part) for part in job.parts],
        "began": job.began,
    }
    atomic_write_text(work / PLAN, json.dumps(content, indent=1) + "\n")  # last: the mark of a job
    return job


def open_job(work: str | os.PathLike[str]) -> Job:
    """The job that `begin` has written down.

    Raises:
        UserError: there is none, or it is damaged.
    """
    path = Path(work) / PLAN
    try:
        content = parse_json(read_file(path))
        values = content["settings"]
        values |= {name: Path(values[name]) for name in ("out", "work")}
        parts = tuple(Part(source, file) for source, file in content["parts"])
        return Job(from_plain(JobSettings, values), parts, content["began"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing: begin the job again") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{path} is damaged: delete {work}, and begin the job again") from None


def _absolute(settings: JobSettings) -> JobSettings:
    """The same settings for a process that stands in another folder."""

    def absolute(name: str) -> str:
        path = os.path.expanduser(name)
        return os.path.abspath(path) if os.path.exists(path) else name

    return dataclasses.replace(
        settings,
        sources=tuple(map(absolute, settings.sources)),
        tokenizer=absolute(settings.tokenizer),
        out=Path(os.path.abspath(place_for_folder(settings.out))),
        work=Path(os.path.abspath(place_for_folder(settings.work, "--work"))),
    )


def _parts(settings: JobSettings) -> tuple[Part, ...]:
    parts: list[Part] = []
    notes = Notes()
    for number, source in enumerate(settings.sources):
        # Nothing is read yet: what can be told from its name is.
        sources.read(source, reading_of(settings, raise_unless_skipped, notes))
        is_folder = os.path.isdir(source)
        files = files_of(Path(source)) if is_folder else [None]
        parts += [Part(number, str(file) if file else None) for file in files]
    notes.close()
    return tuple(parts)


def _refuse_change(before: dict[str, Any], now: dict[str, Any], work: Path) -> None:
    for name, value in now.items():
        if name not in FREE and before[name] != value:
            raise UserError(
                f"{work} was begun with {name}={before[name]}, not {value}: "
                "give what was given then, or choose another --work"
            )
