"""Try the oldest and the newest versions that `pyproject.toml` allows, each in its own venv.

    python tools/versions.py                             both, on the tests named in TESTS
    python tools/versions.py --which oldest tests/nn     one of them, other tests
    python tools/versions.py --out versions.json         keeps what was found

The packages are the core's (`dependencies`). PyTorch stays the pinned one: another takes gigabytes.
What tests need beside them is installed as `pip` chooses. Not here: whether outputs of notebooks
are the same, which is promised for `constraints.txt` alone.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/tokenizers", "tests/nn", "tests/data", "tests/train/test_loop.py",
         "tests/train/test_checkpoint.py", "tests/test_notebook.py")  # fmt: skip
HELPERS = ("pytest", "pytest-timeout", "hypothesis", "beartype", "tokenizers", "psutil", "nbformat",
           "nbclient", "jupytext", "peft", "pytorch-crf", "regex", "transformers")  # fmt: skip
"""What `TESTS` import beside the core and the extra `notebook`: the newest that go with them."""
EXTRA = "notebook"


def requirements() -> list[str]:
    """The core's requirements and those of notebooks, without PyTorch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = project["dependencies"] + project["optional-dependencies"][EXTRA]
    return [one for one in found if not one.startswith("torch")]


def oldest(requirement: str) -> str:
    """The requirement, of its lowest version alone: `numpy==2.0`."""
    return re.sub(r">=([^,]+).*", r"==\1", requirement)


def pinned_torch() -> str:
    """The pin of PyTorch in `constraints.txt`."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return next(line for line in lines if line.startswith("torch=="))


def make(folder: Path, which: str) -> Path:
    """A venv with the versions; returns its interpreter."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = requirements()
    if which == "oldest":
        wanted = [oldest(one) for one in wanted]
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, pinned_torch(), *wanted, *HELPERS], check=True)
    subprocess.run([*pip, "--no-deps", "--editable", str(ROOT)], check=True)
    return python


def versions(python: Path) -> dict[str, str]:
    """The versions of the packages in question, as installed."""
    names = [re.split(r"[<>=]", one)[0] for one in requirements()] + ["torch"]
    code = (
        "import importlib.metadata as m, json, sys; "
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run([python, "-c", code, *names], check=True, capture_output=True)
    return json.loads(done.stdout)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tests", nargs="*", default=TESTS)
    parser.add_argument("--which", choices=("oldest", "newest"), action="append")
    parser.add_argument("--out", type=Path, help="a JSON file for the versions and the outcome")
    options = parser.parse_args(arguments)
    status, found = 0, {}
    for which in options.which or ("oldest", "newest"):
        with tempfile.TemporaryDirectory(prefix="llmcourse-versions-") as folder:
            python = make(Path(folder) / "venv", which)
            installed = versions(python)
            print(which, json.dumps(installed), flush=True)
            # What is old warns of what is new beside it, and warnings are errors elsewhere; and the
            # oldest jaxtyping cannot check shapes once `conftest.py` has imported the course.
            quiet = ["-W", "ignore::DeprecationWarning", "-o", "addopts=--import-mode=importlib"]
            line = [python, "-m", "pytest", "-q", "-m", "not slow", *quiet, *options.tests]
            done = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            print(done.stdout, flush=True)
            said = done.stdout.splitlines()[-1:] or ["nothing"]
            found[which] = {"versions": installed, "passed": not done.returncode, "said": said[0]}
            status |= done.returncode
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
