"""Run chapters where notebooks are not usually run, and say which cell raised: a campaign.

    python tools/odd_notebooks.py                            every condition on 00, 03 and 08
    python tools/odd_notebooks.py --condition twice 00 05    one condition, some chapters
    python tools/odd_notebooks.py --condition all-at-once 0 1        all of them (0*, 1*)
    python tools/odd_notebooks.py --python /tmp/venv/bin/python ...  another interpreter, such as
                                                             one where the course is a wheel

Cells are executed by an IPython shell in a process of its own, one process a chapter, in a copy of
the notebooks alone. A condition that the machine does not allow (`unshare` and `setpriv` need
Linux and root) is said to be left out. Not here: whether outputs are as recorded (`chapters.py`).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
USUAL = ("00", "03", "08")
TIMEOUT = 1800
"""Seconds for one chapter."""
OFFLINE = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
"""No network but the machine's own loopback, over which processes of one machine talk."""
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
HIDE = '[ ! -d /usr/share/fonts ] || mount -t tmpfs none /usr/share/fonts && exec "$@"'
FONTLESS = ("unshare", "--mount", "sh", "-c", HIDE, "sh")
"""No font but those that come with Python packages: a container's image has no others."""
BARE_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
FAR_AWAY = {"TZ": "Asia/Kathmandu"}

KEPT = ("PATH", "PYTHONPATH", "LLMCOURSE_DATA")
KEPT_BY_OTHERS = ("PATH", "LLMCOURSE_DATA")
"""What a run keeps of the environment; another interpreter has the course by itself."""

CHILD = """
import json, os, sys
path, times, share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
sys.stdout.reconfigure(encoding="utf-8")  # as a kernel's is, whatever the locale
os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
from IPython.core.interactiveshell import InteractiveShell
with open(path, encoding="utf-8") as file:
    cells = [c for c in json.load(file)["cells"] if c["cell_type"] == "code"]
os.chdir(os.path.dirname(path))
sys.path.insert(0, "")
shell = InteractiveShell.instance()
for time in range(times):
    for number, cell in enumerate(cells[: round(len(cells) * share)], start=1):
        ran = shell.run_cell("".join(cell["source"]), store_history=True)
        error = ran.error_before_exec or ran.error_in_exec
        if error and "raises-exception" not in cell["metadata"].get("tags", []):
            where = f"cell {number} ({cell.get('id')}), time {time + 1}"
            told = ascii(f"{where}: {type(error).__name__}: {error}"[:500])
            os.write(2, told.encode() + b"\\n")
            os._exit(3)
sys.stdout.flush()
import llmcourse
os.write(2, f"ran with {llmcourse.__file__}\\n".encode())
os._exit(0)
"""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is odd about a run.

    Attributes:
        prefix: commands that the interpreter is started through.
        environment: what is set beside the usual.
        times: how often all cells are run in the same shell.
        share: of the cells, how many are run first in a process that then ends.
        read_only: whether neither the notebooks' folder nor the home can be written to.
    """

    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    times: int = 1
    share: float = 0.0
    read_only: bool = False


CONDITIONS = {
    "twice": Condition(times=2),
    "restarted": Condition(share=0.5),
    "offline": Condition(prefix=OFFLINE),
    "no-fonts": Condition(prefix=FONTLESS, environment={"FONTCONFIG_FILE": os.devnull}),
    "locale": Condition(environment=BARE_LOCALE | FAR_AWAY),
    "read-only": Condition(prefix=NOBODY, read_only=True),
    "all-at-once": Condition(
        prefix=(*OFFLINE, *NOBODY), read_only=True,
        environment=BARE_LOCALE | FAR_AWAY,
    ),
}  # fmt: skip


def possible(condition: Condition) -> bool:
    """Whether this machine can make the condition."""
    line = [*condition.prefix, sys.executable, "-c", "pass"]
    try:
        return subprocess.run(line, capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def prepared(
    chapter: Path, folder: Path, condition: Condition, python: str
) -> tuple[Path, dict[str, str]]:
    """A copy of the notebook in a folder of its own, and the environment of its process."""
    place, home = folder / "course" / "chapters", folder / "home"
    for made in (place, home):
        made.mkdir(parents=True)
    notebook = Path(shutil.copy(chapter, place))
    notebook.chmod(0o644)
    folder.chmod(0o755)
    for made in (home, place, place.parent):
        made.chmod(0o555 if condition.read_only else 0o755)
    kept = KEPT if python == sys.executable else KEPT_BY_OTHERS
    environment = {name: value for name, value in os.environ.items() if name in kept}
    environment |= {
        "HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE", **condition.environment,
    }  # fmt: skip
    return notebook, environment


def run(chapter: Path, condition: Condition, python: str) -> dict[str, Any]:
    """Run one chapter under one condition: how long it took, and what it said last."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="llmcourse-odd-") as folder:
        notebook, environment = prepared(chapter, Path(folder), condition, python)
        parts = [(1, condition.share)] * bool(condition.share) + [(condition.times, 1.0)]
        for times, share in parts:
            line = [*condition.prefix, python, "-c", CHILD, str(notebook), str(times), str(share)]
            done = subprocess.run(
                line, env=environment, capture_output=True, timeout=TIMEOUT, cwd=folder
            )
            if done.returncode:
                break
        said = done.stderr.decode(errors="replace").strip().splitlines() or [""]
    return {
        "chapter": chapter.stem,
        "good": done.returncode == 0,
        "seconds": round(time.monotonic() - begun),
        "said": said[-1][:500],
    }


def chapters(names: list[str]) -> list[Path]:
    """The chapters whose file names begin with one of the names."""
    everything = sorted((ROOT / "chapters").glob("*.ipynb"))
    return [path for path in everything if path.name.startswith(tuple(names or USUAL))]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="how the chapters' file names begin")
    parser.add_argument("--condition", choices=CONDITIONS, action="append")
    parser.add_argument("--python", default=sys.executable, help="the interpreter")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    options = parser.parse_args(arguments)
    results: dict[str, list[dict[str, Any]]] = {}
    for name in options.condition or CONDITIONS:
        if not possible(CONDITIONS[name]):
            print(f"{name}: left out, for this machine does not allow it", flush=True)
            continue
        results[name] = []
        for chapter in chapters(options.names):
            result = run(chapter, CONDITIONS[name], options.python)
            results[name].append(result)
            told = "good" if result["good"] else f"FAILED: {result['said']}"
            print(f"{name}: {result['chapter']}: {told} ({result['seconds']} s)", flush=True)
            if options.out:
                options.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(one["good"] for found in results.values() for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
