"""Execute the notebooks and save them with their outputs: `make chapters`.

    python tools/chapters.py                             every chapter and solution
    python tools/chapters.py 03 solutions/00             those whose path matches
    python tools/chapters.py --check                     write nothing; fail if a file would change
    python tools/chapters.py --from draft.py chapters/03_attention.ipynb

A second run writes the same bytes. `--from` takes the cells from a file in jupytext's percent
format; cells that are already in the notebook keep their ids and outputs. What the tests then
compare is described in `conftest.py`, which runs the kernels in the same environment.
"""

import argparse
import base64
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("chapters", "solutions")
CELL_TIMEOUT = 240
"""Seconds that a cell may take before it is interrupted."""

KERNEL_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",  # sets are printed in one order
    "OMP_NUM_THREADS": "1",  # sums are added in one order, and small tensors are faster so
    "HF_HUB_OFFLINE": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # or the debugger warns, on stderr, of frozen modules
}
KEPT_CELL_METADATA = {"alt", "jupyter", "tags"}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class CellFailed(Exception):
    """A cell raised; the message says where and what in a few lines."""


def prepare_environment(home: str) -> None:
    """Set this process's environment to the one in which notebooks are recorded and compared.

    `home` is an empty folder: neither the user's IPython profile nor their progress takes part.
    """
    os.environ.update(KERNEL_ENVIRONMENT)
    os.environ["LLMCOURSE_HOME"] = os.path.join(home, "llmcourse")
    os.environ["IPYTHONDIR"] = os.path.join(home, "ipython")
    os.environ.pop("MPLBACKEND", None)  # with Agg there, every figure would vanish from the page


def find(names: list[str]) -> list[Path]:
    """The notebooks whose path from the root, or whose file name, starts with one of the names."""
    everything = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.ipynb"))
    if not names:
        return everything
    found: list[Path] = []
    for name in names:
        asked = Path(name).resolve()
        matches = [
            path
            for path in everything
            if path == asked
            or path.name.startswith(name)
            or path.relative_to(ROOT).as_posix().startswith(name)
        ]
        if not matches:
            raise SystemExit(f"error: no notebook is called {name!r} in {' or '.join(FOLDERS)}")
        found += [path for path in matches if path not in found]
    return found


def execute(notebook: Any, folder: Path) -> None:
    """Run every cell in a fresh kernel whose working directory is the notebook's folder.

    Raises:
        CellFailed: a cell raised, took too long, or killed its kernel.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    for cell in code_cells(notebook):
        cell.execution_count = None
        cell.outputs = []
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailed(_explain(notebook, error)) from None


def normalize(notebook: Any) -> None:
    """Reduce a notebook to what is the same on every run and every machine."""
    from llmcourse.saved_notebooks import leave_out_widgets

    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata.clear()
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for key in set(cell.metadata) - KEPT_CELL_METADATA:
            del cell.metadata[key]
    leave_out_widgets({"type": "notebook", "content": notebook})
    for cell in code_cells(notebook):
        for output in cell.outputs:
            _normalize_output(output)


def code_cells(notebook: Any) -> Iterable[Any]:
    """The notebook's code cells, in order."""
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def smaller_png(encoded: str) -> str:
    """The same picture in a palette of at most 256 colours, if that makes it smaller."""
    from PIL import Image

    data = base64.b64decode(encoded)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    reduced = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    reduced.save(buffer, format="png", optimize=True)
    best = min(data, buffer.getvalue(), key=len)
    return base64.b64encode(best).decode()


def update_from(script: Path, path: Path) -> Any:
    """The notebook at `path` with the cells of a percent-format script; matched cells keep ids."""
    import jupytext
    import nbformat
    from jupytext.combine import combine_inputs_with_outputs

    notebook = jupytext.read(script)
    known: set[str] = set()
    if path.exists():
        old = nbformat.read(path, as_version=4)
        known = {cell.id for cell in old.cells}
        notebook = combine_inputs_with_outputs(notebook, old, fmt={"extension": ".py"})
    name_new_cells(notebook, known)
    return notebook


def name_new_cells(notebook: Any, known: set[str]) -> None:
    """Give every cell whose id is not `known` (and every second bearer of an id) a fixed one."""
    taken: set[str] = set()
    for cell in notebook.cells:
        if cell.get("id") not in known or cell.id in taken:
            cell.id = _fixed_id(cell.source, taken | known)
        taken.add(cell.id)


def to_bytes(notebook: Any) -> bytes:
    """What is written to the file."""
    import nbformat

    return (nbformat.writes(notebook).rstrip("\n") + "\n").encode()


def save(path: Path, content: bytes) -> bool:
    """Write a file in one step if its content changes; say whether it did."""
    if path.exists() and path.read_bytes() == content:
        return False
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return True


def record(path: Path, notebook: Any) -> bytes:
    """Execute and normalize a notebook, and return the bytes of its file."""
    execute(notebook, path.parent)
    normalize(notebook)
    return to_bytes(notebook)


def changed_cells(old: bytes, new: bytes) -> str:
    """Which cells differ between two files of a notebook, for a message."""
    try:
        before, after = (json.loads(content)["cells"] for content in (old, new))
    except (ValueError, KeyError):
        return "the file is not a notebook"
    if len(before) != len(after):
        return f"{len(before)} cells became {len(after)}"
    pairs = enumerate(zip(before, after, strict=True))
    differing = [f"{number} ({b['id']})" for number, (a, b) in pairs if a != b]
    return "cells " + ", ".join(differing) if differing else "metadata alone"


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parse(arguments)
    if options.source:
        jobs = [(options.target, update_from(options.source, options.target))]
    else:
        jobs = [(path, None) for path in find(options.names)]
    good = []
    for path, notebook in jobs:
        with tempfile.TemporaryDirectory() as home:  # what one keeps, the next does not find
            prepare_environment(home)
            good.append(_do(path, notebook, options.check))
    return 0 if all(good) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="notebooks: a path, its start, or a number")
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a change")
    parser.add_argument("--from", dest="source", type=Path, help="a percent-format .py file")
    options = parser.parse_args(arguments)
    if options.source:
        if len(options.names) != 1 or not options.names[0].endswith(".ipynb"):
            parser.error("--from needs the path of exactly one notebook to write")
        options.target = Path(options.names[0]).resolve()
    return options


def _do(path: Path, notebook: Any | None, check: bool) -> bool:
    """Record one notebook and say how it went; False if it failed."""
    import nbformat

    begun = time.monotonic()
    shown = os.path.relpath(path)
    if notebook is None:
        notebook = nbformat.read(path, as_version=4)
    try:
        content = record(path, notebook)
    except CellFailed as error:
        print(f"{shown}: FAILED\n{error}", file=sys.stderr)
        return False
    took = f"{time.monotonic() - begun:.0f} s, {len(content) / 1e6:.2f} MB"
    if check:
        old = path.read_bytes() if path.exists() else b""
        same = old == content
        where = "" if same else f": {changed_cells(old, content)}"
        print(f"{shown}: {'as recorded' if same else 'DIFFERS'}{where} ({took})")
        return same
    print(f"{shown}: {'saved' if save(path, content) else 'unchanged'} ({took})")
    return True


def _normalize_output(output: Any) -> None:
    data = output.get("data")
    if data is None:
        return
    if WIDGET_VIEW in data and ("image/png" in data or "text/html" in data):
        del data[WIDGET_VIEW]  # where no kernel runs, a page shows the picture instead
    if "image/png" in data:
        data["image/png"] = smaller_png(data["image/png"])


def _fixed_id(source: str, taken: set[str]) -> str:
    """An id made from the cell's first source, so that making it again makes the same one."""
    for attempt in range(1000):
        name = hashlib.sha256(f"{attempt}\n{source}".encode()).hexdigest()[:8]
        if name not in taken:
            return name
    raise AssertionError("a thousand equal cells")


def _explain(notebook: Any, error: Exception) -> str:
    """The failing cell's first lines and the error, without the kernel's own frames."""
    ran = [cell for cell in code_cells(notebook) if cell.execution_count or cell.outputs]
    cell = ran[-1] if ran else None
    lines = cell.source.splitlines()[:4] if cell else []
    failure = next((o for o in cell.outputs if o.output_type == "error"), None) if cell else None
    if failure is not None:
        said = f"{failure.ename}: {failure.evalue}"
        lines += ["", *_frames(failure.traceback)]
    else:
        said = str(error).strip().splitlines()[0]
    return "\n".join([*(f"    {line}" for line in lines), f"  {said}"])


def _frames(traceback: list[str]) -> list[str]:
    """The lines of a traceback that point at code: `---->` and where they are."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(traceback)).splitlines()
    return [line for line in plain if line.startswith(("--", "File ", "Cell "))][1:][-6:]


if __name__ == "__main__":
    sys.exit(main())
