"""The command behind `python -m llmcourse.evaluate`: load, measure, show, write.

Not here: the suites, and how their figures are shown (`table.py`). Chapter 16 teaches this.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from llmcourse import command_line
from llmcourse.errors import (
    UserError,
    exit_on_user_error,
    listen_to_interrupts,
    nearest,
    require,
    say,
)
from llmcourse.files import atomic_write_text, kind_of
from llmcourse.runs.directory import read_object
from llmcourse.suites.registry import KNOWN_SUITES, SUITES, SuiteName

if TYPE_CHECKING:
    from llmcourse.suites.base import Asked
    from llmcourse.suites.table import Results


MOST_MADE = 1_000_000
"""Stories that the suite tinytown may make: some gigabytes, and days of reading."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is examined, and how."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run of llmcourse.train or llmcourse.finetune, or a folder in Hugging Face's format."""
    suite: Annotated[tuple[SuiteName, ...], tyro.conf.arg(help=KNOWN_SUITES)] = ("tinytown",)
    data: tuple[str, ...] = ()
    """What a suite reads: PATH, or SUITE=PATH where several are named."""
    against: Path | None = None
    """Another run: both answer the same questions, and the differences are tested in pairs."""
    out: Path | None = None
    """A JSON file for the figures."""
    limit: int | None = None
    """At most so many questions, pairs of a kind, examples, or kilobytes of text."""
    n: int = 300
    """How many stories, pairs and questions the suite tinytown makes."""
    stride: int | None = None
    """How many tokens of a text each window scores: fewer mean more context; half unless given."""
    normalisation: Literal["none", "token", "byte", "unconditional"] = "byte"
    """How answers of different length are compared."""
    seed: int = 0
    """The seed of the exam and of the intervals."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""


def measure(options: Options) -> "tuple[Results, Results | None]":
    """The figures of the run, and of the one it is compared with.

    Raises:
        UserError: a run or a file that cannot be read, or an option out of its range.
    """
    require(
        1 <= options.n <= MOST_MADE,
        f"n={options.n} must lie between 1 and {MOST_MADE:,}: each is a text that is made and kept",
    )
    require(options.limit is None or options.limit >= 1, f"limit={options.limit} must be above 0")
    require(
        options.stride is None or options.stride >= 1, f"stride={options.stride} must be above 0"
    )
    require(bool(options.suite), "name a suite (--suite)")
    if options.out is not None:  # said before hours of measuring
        check_out(options.out)
    paths = paths_of(options)
    ours = _examine(options.run, options, paths)
    theirs = None if options.against is None else _examine(options.against, options, paths)
    return ours, theirs


def check_out(out: Path) -> None:
    """Refuse to write where there is no folder, or something that this command did not write.

    Raises:
        UserError: says what is there.
    """
    require(out.parent.is_dir(), f"there is no folder {out.parent} (--out)")
    kind = kind_of(out, follow=False)
    if kind == "":
        return
    require(kind == "a file", f"{out} is {kind}: name a new file (--out)")
    figures = read_object(out)
    require("run" in figures, f"{out} holds no figures of this command: name a new file (--out)")


def paths_of(options: Options) -> dict[str, Path]:
    """Which suite reads what.

    Raises:
        UserError: a path that no suite takes, or that several could.
    """
    readers = [name for name in options.suite if SUITES[name].reads]
    found: dict[str, Path] = {}
    for given in options.data:
        name, equals, path = given.partition("=")
        if not (equals and name.isidentifier() and not Path(given).exists()):
            require(bool(readers), f"--data {given}: none of {', '.join(options.suite)} reads one")
            require(
                len(readers) == 1,
                f"--data {given} could be for {' or '.join(readers)}: write {readers[0]}={given}",
            )
            name, path = readers[0], given
        if name not in readers:
            raise UserError(f"--data {given}: no suite {name!r} reads one{nearest(name, readers)}")
        require(name not in found, f"--data {given}: {name} has one already, {found.get(name)}")
        require(Path(path).exists(), f"there is no file or folder {path} (--data)")
        found[name] = Path(path)
    return found


def _examine(run: Path, options: Options, paths: dict[str, Path]) -> "Results":
    from llmcourse.suites.subject import load_subject

    chosen = {name: SUITES[name] for name in options.suite}
    subject = None
    if any(entry.examines_texts for entry in chosen.values()):
        subject = load_subject(run, options.device)
    return {
        name: entry.measure(subject if entry.examines_texts else run, _asked(options, paths, name))
        for name, entry in chosen.items()
    }


def _asked(options: Options, paths: dict[str, Path], suite: str) -> "Asked":
    from llmcourse.suites.base import Asked

    return Asked(
        data=paths.get(suite),
        limit=options.limit,
        n=options.n,
        stride=options.stride,
        normalisation=options.normalisation,
        seed=options.seed,
        device=options.device,
    )


def conclude(options: Options, ours: "Results", theirs: "Results | None") -> None:
    """Show the table, and write the file if one was asked for."""
    from llmcourse.suites.table import as_json, compared, table

    comparisons = None if theirs is None else compared(ours, theirs, options.seed)
    say(*table(ours, comparisons).splitlines())
    if comparisons:
        say("", f"difference: {options.run} less {options.against}, on the same questions")
    if options.out is not None:
        found: dict[str, Any] = {"run": str(options.run)}
        if options.against is not None:
            found["against_run"] = str(options.against)
        found |= as_json(ours, comparisons)
        atomic_write_text(options.out, json.dumps(found, indent=2) + "\n")


def run_command(about: str, arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. `about` is what `--help` says first."""
    with exit_on_user_error():
        options = command_line.parse(
            Options,
            sys.argv[1:] if arguments is None else arguments,
            prog="python -m llmcourse.evaluate",
            about=about,
            default=None,
        )
        import llmcourse.suites.subject  # noqa: F401 - brings torch

        listen_to_interrupts()
        ours, theirs = measure(options)
        conclude(options, ours, theirs)
    return 0
