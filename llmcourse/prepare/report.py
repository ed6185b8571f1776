"""What preparing did to a corpus: counted as it happens, told as a page and as JSON.

Not here: the doing (`pipeline.py`).
"""

import contextlib
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmcourse.data.documents import MEGABYTE
from llmcourse.data.prepared import SPLITS
from llmcourse.plain import as_code

EXAMPLES = 3
"""How many of the dropped texts the page shows for each reason."""
BEGINNING = 200
"""Characters: how much of a dropped text is kept, to judge the rule by."""


@dataclass
class Drop:
    """What was left out for one reason."""

    documents: int = 0
    bytes: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Report:
    """The figures of one run. Bytes are those of UTF-8.

    Attributes:
        read: documents and bytes that came from the sources.
        changed: how many documents were repaired, respelled, masked or cut into shorter ones.
        boilerplate_lines: how many lines were taken out.
        masked: how many addresses, by kind.
        languages: how many documents, by language.
        dropped: what was left out, by reason; places that could not be read are among it.
        kept: documents, bytes and tokens on each side of the split.
        took: how many seconds all of it took.
        seconds: how long each stage took, summed over the processes.
        handled: how many bytes went through each stage.
        tokenizer: kind, vocab_size, and the bytes that it was trained on.
        peak_megabytes: the most memory that the process has taken; None where nobody can tell.
    """

    read: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    boilerplate_lines: int = 0
    masked: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Drop] = field(default_factory=dict)
    kept: dict[str, Counter[str]] = field(default_factory=lambda: {s: Counter() for s in SPLITS})
    took: float = 0.0
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    handled: Counter[str] = field(default_factory=Counter)
    tokenizer: dict[str, Any] = field(default_factory=dict)
    peak_megabytes: float | None = None

    @contextlib.contextmanager
    def timed(self, stage: str, n_bytes: int = 0) -> Generator[None]:
        """Count the block's time, and the bytes it is about, to a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - began
            self.handled[stage] += n_bytes

    def drop(self, name: str, reason: str, detail: str, text: str, n_bytes: int) -> dict[str, str]:
        """Count a text that is left out; returns its entry for the list of them."""
        text = text[:BEGINNING].encode("utf-8", "backslashreplace").decode()
        entry = {"name": name, "reason": reason, "detail": detail, "text": text}
        drop = self.dropped.setdefault(reason, Drop())
        drop.documents += 1
        drop.bytes += n_bytes
        if len(drop.examples) < EXAMPLES:
            drop.examples.append(entry)
        return entry

    def add(self, steps: "Report") -> None:
        """Count in what the steps did to one document, as another process has reported it."""
        for mine, other in (
            (self.changed, steps.changed),
            (self.languages, steps.languages),
            (self.handled, steps.handled),
        ):
            mine.update(other)
        for stage, seconds in steps.seconds.items():
            self.seconds[stage] += seconds
        self.boilerplate_lines += steps.boilerplate_lines

    def count_masked(self, masked: Counter[str]) -> None:
        """Count the addresses that were masked in a document that is kept."""
        self.masked.update(masked)
        self.changed["masked"] += bool(masked)

    def merge(self, other: "Report") -> None:
        """Count in what was done to other documents, which come after those counted so far."""
        self.add(other)
        self.read.update(other.read)
        self.masked.update(other.masked)
        for split, kept in other.kept.items():
            self.kept[split].update(kept)
        for reason, drop in other.dropped.items():
            mine = self.dropped.setdefault(reason, Drop())
            mine.documents += drop.documents
            mine.bytes += drop.bytes
            mine.examples = (mine.examples + drop.examples)[:EXAMPLES]

    def plain(self) -> dict[str, Any]:
        """All of it in the terms of JSON."""
        return json.loads(json.dumps(vars(self), default=vars))

    @classmethod
    def from_plain(cls, content: dict[str, Any]) -> "Report":
        """What `plain` was made from."""
        counters = ("read", "changed", "masked", "languages", "handled")
        typed: dict[str, Any] = {
            **content,
            **{name: Counter(content[name]) for name in counters},
            "seconds": defaultdict(float, content["seconds"]),
            "dropped": {reason: Drop(**drop) for reason, drop in content["dropped"].items()},
            "kept": {split: Counter(kept) for split, kept in content["kept"].items()},
        }
        return cls(**typed)

    @property
    def n_dropped(self) -> int:
        """How many documents, and places that could not be read, were left out."""
        return sum(drop.documents for drop in self.dropped.values())

    @property
    def n_kept(self) -> int:
        """How many documents are on both sides of the split."""
        return sum(kept["documents"] for kept in self.kept.values())


def peak_megabytes() -> float | None:
    """The most memory that this process has taken so far; None where the system does not say.

    Linux's own count begins anew with the program; that of `resource` begins with its parent's.
    """
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024 / MEGABYTE
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def summary(report: Report) -> list[str]:
    """The few lines that matter most."""
    train, valid = (report.kept[split] for split in SPLITS)
    n_bytes, tokens = train["bytes"] + valid["bytes"], train["tokens"] + valid["tokens"]
    lines = [
        f"read       {report.read['documents']:,} documents, {_megabytes(report.read['bytes'])}",
        f"dropped    {_dropped_line(report)}",
        f"changed    {_listed(report.changed)}; {report.boilerplate_lines:,} boilerplate lines out",
        f"masked     {_listed(report.masked)}",
        f"kept       train {_side(train)}; valid {_side(valid)}",
        f"tokenizer  {report.tokenizer['kind']}, {report.tokenizer['vocab_size']:,} tokens, "
        f"{n_bytes / max(1, tokens):.2f} bytes per token",
        f"took       {report.took:.1f} s, {report.read['bytes'] / MEGABYTE / report.took:.1f} MB/s",
    ]
    if report.peak_megabytes is not None:
        lines.append(f"memory     {report.peak_megabytes:,.0f} MB at the most")
    return lines


def page(report: Report, sources: tuple[str, ...]) -> str:
    """The report for people, in Markdown."""
    parts = ["# What was prepared", "", f"From {', '.join(map(as_code, sources))}.", ""]
    parts += ["```", *summary(report), "```", "", "## Dropped, and why", ""]
    parts += _table(
        ("reason", "documents", "MB"),
        [
            (name, f"{drop.documents:,}", f"{drop.bytes / MEGABYTE:.2f}")
            for name, drop in _by_number(report)
        ],
    )
    parts += ["", "All of them, with their beginnings, are in `dropped.jsonl.gz`. The first ones:"]
    for name, drop in _by_number(report):
        parts += ["", f"### {name}", ""]
        parts += [f"- {_one_line(entry)}" for entry in drop.examples]
    parts += ["", "## Languages", "", _listed(report.languages), "", "## Time", ""]
    parts += _table(
        ("stage", "seconds", "MB/s"),
        [
            (stage, f"{seconds:.1f}", f"{report.handled[stage] / MEGABYTE / seconds:.1f}")
            for stage, seconds in report.seconds.items()
        ],
    )
    return "\n".join(parts) + "\n"


def _by_number(report: Report) -> list[tuple[str, Drop]]:
    return sorted(report.dropped.items(), key=lambda item: -item[1].documents)


def _dropped_line(report: Report) -> str:
    reasons = ", ".join(f"{name} {drop.documents:,}" for name, drop in _by_number(report))
    return f"{report.n_dropped:,}" + (f": {reasons}" if reasons else "")


def _one_line(entry: dict[str, str]) -> str:
    """An example as a list's item."""
    detail = f" ({as_code(entry['detail'])})" if entry["detail"] else ""
    text = f": {as_code(entry['text'])}" if entry["text"].strip() else ""
    return as_code(entry["name"]) + detail + text


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "nothing"


def _side(kept: Counter[str]) -> str:
    return (
        f"{kept['documents']:,} documents, {_megabytes(kept['bytes'])}, {kept['tokens']:,} tokens"
    )


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / MEGABYTE:,.1f} MB"
