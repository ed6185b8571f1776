"""What running each chapter costs: seconds of processor time, and which cells take most of them.

    python benchmarks/chapters.py                             every chapter
    python benchmarks/chapters.py 03 08                       these
    ATEN_CPU_CAPABILITY=default python benchmarks/chapters.py     as on a plain processor

Each chapter runs in a fresh kernel with one thread, in the environment in which the tests compare
it; nothing is written into it. What counts is the processor's time and not the clock's, so the
machine may be busy: the kernel's, and that of the programs which a chapter starts. Needs the
packages of `pip install -e .[test]`.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import psutil
from measure import RESULTS, keep
from nbclient import NotebookClient

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tools.chapters import CELL_TIMEOUT, find, prepare_environment

SLOWEST = 3
"""How many of a chapter's cells are named."""


def cpu_seconds(pid: int) -> float:
    """Seconds of processor time that a process and its ended children have used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system + times.children_user + times.children_system


class MeasuredClient(NotebookClient):
    """A client that notes what each cell cost.

    Attributes:
        begun: what the kernel had used when the first cell started: its own start.
        costs: seconds of processor time of each code cell, by the cell's id.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.costs: dict[str, float] = {}
        self.begun = 0.0

    async def async_execute_cell(self, cell: Any, *arguments: Any, **keywords: Any) -> Any:
        before = await self._used()
        self.begun = self.begun or before
        done = await super().async_execute_cell(cell, *arguments, **keywords)
        if cell.cell_type == "code":
            self.costs[cell.id] = await self._used() - before
        return done

    async def _used(self) -> float:
        return await asyncio.to_thread(cpu_seconds, self.km.provisioner.pid)


def measure(path: Path) -> dict[str, Any]:
    """Run one chapter; what it cost, and its slowest cells with their first lines."""
    notebook = nbformat.read(path, as_version=4)
    client = MeasuredClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    sources = {cell.id: cell.source.lstrip() for cell in notebook.cells}
    slowest = sorted(client.costs, key=lambda cell: -client.costs[cell])[:SLOWEST]
    return {
        "cpu_seconds": round(client.begun + sum(client.costs.values()), 1),
        "slowest_cells": [
            {
                "id": cell,
                "cpu_seconds": round(client.costs[cell], 1),
                "begins": sources[cell].splitlines()[0],
            }
            for cell in slowest
        ],
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="how the chapters' files begin; all unless given")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder for the result")
    return parser.parse_args()


def main() -> None:
    options = parse()
    names = [f"chapters/{name}" for name in options.names or [""]]
    results = {}
    with tempfile.TemporaryDirectory(prefix="llmcourse-chapters-") as home:
        prepare_environment(home)
        for path in find(names):
            results[path.stem] = row = measure(path)
            print(f"{path.stem:<32} {row['cpu_seconds']:6.1f} CPU s", flush=True)
            for cell in row["slowest_cells"]:
                print(f"    {cell['cpu_seconds']:6.1f}  {cell['id']}  {cell['begins'][:70]}")
    total = sum(row["cpu_seconds"] for row in results.values())
    print(f"{'together':<32} {total:6.1f} CPU s")
    settings = {"instructions": os.environ.get("ATEN_CPU_CAPABILITY", "all that there are")}
    keep("chapters", settings, results, options.out)


if __name__ == "__main__":
    main()
