"""A notebook that was run and saved is read again without its kernel: nothing of it may be dead."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from test_browser import (
    SECOND,
    TOKEN,
    choose,
    free_port,
    open_notebook,
    page,
    picture_of_a_failure,
    run_all,
    server_options,
    stop,
    wait_until_idle,
    wait_until_up,
    write_settings,
)

from tools.chapters import normalize

from llmcourse.notebook import LIVE, WIDGET_VIEW
from llmcourse.saved_notebooks import leave_out_widgets

ROOT = Path(__file__).resolve().parent.parent
EXTENSION = ROOT / "jupyter-config" / "llmcourse.json"
CELLS = (
    "from llmcourse import quiz\nfrom llmcourse.checks.bank import attention as check\n"
    "from llmcourse.viz import style\nfrom llmcourse.viz.widgets import Explorer, slider",
    'quiz.ask("03", "softmax-axis")',
    'quiz.ask("03", "grouped-heads")',
    "def draw(height):\n    figure, ax = style.figure(width=3, height=2)\n    ax.bar([0], [height])\n"
    "    ax.set_ylim(0, 10)\n    return figure\n\nExplorer(draw, height=slider(2, 0, 10))",
    "check.softmax(lambda scores, axis=-1: scores.exp())",
    "def softmax(scores):\n    raise NotImplementedError\n\ncheck.softmax(softmax)",
)
DEAD = "Error displaying widget"


@pytest.fixture
def lab(tmp_path: Path, request: Any) -> Iterator[tuple[str, Path]]:
    """JupyterLab on a small notebook: its URL and its file."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    normalize(notebook)
    work = tmp_path / "work"
    work.mkdir()
    nbformat.write(notebook, work / "small.ipynb")
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment.pop("MPLBACKEND", None)
    for name in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{name}_DIR"] = str(tmp_path / name.lower())
    if getattr(request, "param", True):  # where the installed package has put it
        enabled = tmp_path / "config" / "jupyter_server_config.d"
        enabled.mkdir(parents=True)
        shutil.copy(EXTENSION, enabled)
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(write_settings(tmp_path / "settings"))
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    port = free_port()
    with (tmp_path / "lab.log").open("w+b") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *server_options(work, port)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_up(server, f"http://127.0.0.1:{port}/api/status?token={TOKEN}", log.name)
            yield (
                f"http://127.0.0.1:{port}/lab/tree/small.ipynb?token={TOKEN}",
                work / "small.ipynb",
            )
        finally:
            stop(server)


def open_with_kernel(page: Any, url: str) -> None:
    """Open the notebook and wait until its kernel, and not only the page, says that it is idle."""
    open_notebook(page, url)
    root, _, token = url.partition("/lab/")[0], *url.partition("?")[1:]
    page.wait_for_function(
        """async (url) => (await (await fetch(url)).json()).some(
            (session) => session.kernel && session.kernel.execution_state === "idle")""",
        arg=f"{root}/api/sessions?{token}",
        timeout=60 * SECOND,
    )
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60 * SECOND)
