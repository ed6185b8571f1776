"""What the benchmarks share: taking turns, summing up, and keeping the result.

A machine is never equally fast for long. Contenders therefore take turns, round after round, each
round in another order, and what counts is the ratio within a round. A figure from one run is never
set beside a figure from another.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from llmcourse.files import atomic_write_text
from llmcourse.runs.environment import describe_environment

RESULTS = Path(__file__).parent / "results"

STARTED = {
    name: value
    for name, value in describe_environment().items()
    if name in ("started", "commit", "dirty")
}
"""When a benchmark began and by which code: what is in the tree when it ends may be another."""


def take_turns(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds that each contender took in each round, after a first round that does not count.

    By the clock on the wall, unless another (`time.process_time`) is given.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = clock()
            contenders[name]()
            if number:
                seconds[name].append(clock() - start)
    return seconds


def compare(seconds: Mapping[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Each contender's median, and how many times as long as the first it took.

    `ratio` is the median over the rounds; `ratio_range` holds the lowest and the highest.
    """
    ours = next(iter(seconds.values()))
    table = {}
    for name, theirs in seconds.items():
        ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
        table[name] = {
            "seconds": statistics.median(theirs),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
            "all_seconds": theirs,
        }
    return table


def show(title: str, table: Mapping[str, Mapping[str, Any]], unit: float, per: str) -> None:
    """Print a comparison; `unit` is how many things (`per`, such as `tokens`) one turn got done."""
    print(f"\n{title}")
    for name, row in table.items():
        low, high = row["ratio_range"]
        print(
            f"  {name:<24} {1000 * row['seconds']:9.1f} ms  {unit / row['seconds']:12,.0f} {per}/s"
            f"   {row['ratio']:5.2f} x the first's time ({low:.2f} to {high:.2f})"
        )


def machine(environment: Mapping[str, Any]) -> str:
    """The machine in one line."""
    place = environment["gpu"] or environment["cpu"] or "unknown processor"
    return (
        f"{place}, {environment['threads']} of {environment['cpus']} threads, "
        f"torch {environment['torch']}, Python {environment['python']}"
    )


def keep(name: str, settings: Mapping[str, Any], results: Mapping[str, Any], out: Path) -> Path:
    """Write what was measured, with what, where and when, into the folder `out`; return the file.

    One file a benchmark and day: a second run of a day replaces the first. `load` is how many
    processes wanted a processor in the last minute: one more than the threads, and others did too.
    """
    environment = {**describe_environment(), **STARTED}
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    path = out / f"{name}-{environment['started'][:10]}.json"
    record = {"settings": settings, "environment": environment, "load": load, "results": results}
    out.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, json.dumps(record, indent=1) + "\n")
    print(f"\n{machine(environment)}, load {load}\nkept in {path}")
    return path
