"""Open the course in JupyterLab, on copies of your own: `make lab`.

    python tools/lab.py                        copy what is new, and open chapter 00
    python tools/lab.py --copy-only            copy, and start nothing
    python tools/lab.py --no-browser ...       further options go to JupyterLab

You work in `work/`, which git ignores, so the repository stays as it was and `git pull` never
meets your answers. A copy in which you changed no cell follows the original when that changes. A
copy with work of yours in it is never written to: delete or rename it to get the new version.
"""

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("chapters", "exercises", "solutions")
WORK = "work"
FIRST = f"{WORK}/chapters/00_welcome.ipynb"
RECORD = ".copies.json"
OUTSIDE = re.compile(rf"(?<=\]\()\.\./(?!\.\./|(?:{'|'.join(FOLDERS)})/)")
"""The beginning of a link to what is not copied: from a copy it is one folder further up."""

OVERRIDES: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension:notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },
    # A link to a page of documentation shows the page, not its source.
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
}
"""What JupyterLab starts with here; your own settings win."""


def copy_all(root: Path = ROOT) -> list[str]:
    """Make or refresh the copies; returns what is worth saying, a line each."""
    record_path = root / WORK / RECORD
    try:
        record = json.loads(record_path.read_text("utf-8"))
    except (OSError, ValueError):
        record = {}
    said, written = [], []
    for folder in FOLDERS:
        for original in sorted((root / folder).glob("*.ipynb")):
            name = f"{folder}/{original.name}"
            copy = root / WORK / name
            content = original.read_bytes()
            version = hashlib.sha256(content).hexdigest()
            known = record.get(name, {})
            if copy.exists() and known.get("original") == version:
                continue
            content = with_links_outside(content)
            untouched = {known.get("cells"), cells_digest(content)} - {None}
            if copy.exists() and cells_digest(copy.read_bytes()) not in untouched:
                said.append(
                    f"{WORK}/{name} has work of yours in it and stays; "
                    "rename it to get the new version at the next start"
                )
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
            record[name] = {"original": version, "cells": cells_digest(content)}
            written.append(copy)
    if written:
        record_path.write_text(json.dumps(record, indent=1, sort_keys=True), "utf-8")
        trust(written)
        said.append(f"{len(written)} notebooks copied to {WORK}/, where you can change anything")
    return said


def cells_digest(content: bytes) -> str | None:
    """A digest of what the cells say, whatever they put out; None if it is no notebook."""
    try:
        cells = [
            (cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]
        ]
    except (ValueError, KeyError, TypeError):
        return None
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


def with_links_outside(content: bytes) -> bytes:
    """The notebook with its links to what is not copied mended."""
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = OUTSIDE.sub("../../", "".join(cell["source"]))
            cell["source"] = text.splitlines(keepends=True)
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def trust(paths: list[Path]) -> None:
    """Sign notebooks, so that JupyterLab shows their pictures and tables in full colour at once."""
    import nbformat
    from nbformat.sign import NotebookNotary

    notary = NotebookNotary()
    for path in paths:
        notary.sign(nbformat.read(path, as_version=4))


def write_settings(folder: Path) -> Path:
    """Write JupyterLab's defaults for the course; returns the folder for `app_settings_dir`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "overrides.json").write_text(json.dumps(OVERRIDES, indent=1), "utf-8")
    return folder


def write_workspace(folder: Path) -> Path:
    """Have the first start begin with the sidebar closed; afterwards JupyterLab keeps the layout.

    Beside an open file browser, a page of 1000 pixels leaves too little for a figure.
    """
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        layout = {"main": None, "left": {"collapsed": True, "visible": True, "widgets": []}}
        space = {"data": {"layout-restorer:data": layout}, "metadata": {"id": "default"}}
        WorkspacesManager(str(folder)).save("default", json.dumps(space))
    return folder


def environment() -> dict[str, str]:
    """This environment with its own programs first, so that a terminal in the lab finds them."""
    programs = Path(sys.executable).parent
    path = os.pathsep.join([str(programs), os.environ.get("PATH", "")])
    found = {**os.environ, "PATH": path, "VIRTUAL_ENV": sys.prefix}
    # An editable install leaves out what a wheel puts where Jupyter looks for its extensions.
    for name in ("JUPYTER_CONFIG_PATH", "JUPYTER_PATH"):
        found[name] = os.pathsep.join(filter(None, [str(ROOT / "jupyter-data"), found.get(name)]))
    return found


def write_shell(folder: Path) -> list[str]:
    """The command that starts a terminal's shell, with the course's programs first on PATH.

    A login shell, the server's default, sets PATH anew, and so may the learner's own start-up file
    (pyenv, conda): it is read first, and ours has the last word.
    """
    shell = os.environ.get("SHELL", "/bin/sh")
    name = Path(shell).name
    if name not in ("bash", "zsh"):
        return [shell]
    folder.mkdir(parents=True, exist_ok=True)
    start_up = folder / f".{name}rc"
    programs = shlex.quote(str(Path(sys.executable).parent))
    own = f'if [ -f ~/.{name}rc ]; then . ~/.{name}rc; fi\nexport PATH={programs}:"$PATH"\n'
    start_up.write_text(own, "utf-8")
    return (
        [shell, "--rcfile", str(start_up)]
        if name == "bash"
        else ["env", f"ZDOTDIR={folder}", shell]
    )


def command(root: Path = ROOT) -> list[str]:
    """JupyterLab's command line."""
    own = root / WORK / ".lab"
    line = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={root}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        f"--LabApp.app_settings_dir={write_settings(own / 'settings')}",
        f"--LabApp.workspaces_dir={write_workspace(own / 'workspaces')}",
    ]
    if os.name == "posix":
        shell = write_shell(own / "shell")
        line.append(f"--ServerApp.terminado_settings=shell_command={shell!r}")
        if os.geteuid() == 0:  # in a container one is root, which JupyterLab accepts when told so
            line.append("--allow-root")
    return line


def main(arguments: list[str] | None = None) -> int:
    """The command; returns JupyterLab's exit status."""
    options = sys.argv[1:] if arguments is None else arguments
    if "--help" in options or "-h" in options:
        print(__doc__)
        return 0
    for line in copy_all():
        print(line)
    if "--copy-only" in options:
        return 0
    line = [*command(), *options]
    if os.name == "posix":  # Ctrl-C goes to JupyterLab alone
        os.chdir(ROOT)
        os.execve(line[0], line, environment())
    return subprocess.run(line, cwd=ROOT, env=environment(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
