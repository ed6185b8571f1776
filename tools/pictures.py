"""Take the pictures of the README: an exercise's answer and a run's report.

    python tools/pictures.py exercise report

They are what a learner sees: JupyterLab, started as `make lab` starts it on copies in a folder that
is thrown away, and the report of a real run. Needs Chromium and playwright.
"""

import contextlib
import io
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from tools import lab  # noqa: E402

DOCS = ROOT / "docs"
SECOND = 1000
"""Playwright counts in milliseconds."""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WRONG_ANSWER = """\
def attention_scores(q: Tensor, k: Tensor) -> Tensor:
    \"\"\"`q k^T / sqrt(K)`, from q [B, T, K] and k [B, S, K] to [B, T, S].\"\"\"
    return q @ k.mT / q.size(-1)


check.attention_scores(attention_scores)"""


@contextlib.contextmanager
def open_lab(root: Path) -> Iterator[str]:
    """JupyterLab on the copies under `root`; yields its address and the query with its token."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    options = ["--no-browser", f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    environment = {
        **lab.environment(),
        "PYTHONPATH": str(ROOT),
        "LLMCOURSE_HOME": str(root / "home"),
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "user-settings"),
    }
    with (root / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            [*lab.command(root), *options],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            give_up = time.monotonic() + 90
            while time.monotonic() < give_up and server.poll() is None:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}")
                    break
                time.sleep(0.3)
            yield f"http://127.0.0.1:{port}/lab/tree/{{path}}?token={token}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def exercise(page: Any, root: Path) -> None:
    """A wrong answer to the first exercise of chapter 03, and what the check says."""
    for folder in lab.FOLDERS:
        (root / folder).mkdir()
        shutil.copy(ROOT / folder / "03_attention.ipynb", root / folder)
    lab.copy_all(root)
    with open_lab(root) as address:
        page.set_viewport_size({"width": 1000, "height": 1100})
        page.goto(address.format(path="work/exercises/03_attention.ipynb"), timeout=90 * SECOND)
        stub = page.locator(".jp-CodeCell", has_text="def attention_scores").first
        stub.wait_for(timeout=90 * SECOND)
        imports = page.locator(".jp-CodeCell", has_text="from llmcourse.checks.bank").first
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        idle.wait_for(timeout=90 * SECOND)
        imports.locator(".cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(6 * SECOND)
        stub.locator(".cm-content").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(WRONG_ANSWER)
        page.keyboard.press("Control+Enter")
        stub.locator(".jp-OutputArea-output").wait_for(timeout=60 * SECOND)
        idle.wait_for(timeout=90 * SECOND)
        title = page.locator(".jp-MarkdownCell", has_text="Difficulty 1 of 5").first
        title.evaluate("cell => cell.scrollIntoView({block: 'start'})")
        page.mouse.move(0, 0)
        page.wait_for_timeout(SECOND)
        top, bottom = title.bounding_box(), stub.bounding_box()
        height = bottom["y"] + bottom["height"] - top["y"]
        clip = {"x": top["x"], "y": top["y"], "width": top["width"], "height": height + 12}
        save(page.screenshot(clip=clip), "exercise.png")


def report(page: Any, root: Path) -> None:
    """The top of the report that the default run leaves, or that of the run in `LLMCOURSE_RUN`."""
    run = os.environ.get("LLMCOURSE_RUN")
    if run is None:
        run = str(root / "run")
        command = [sys.executable, "-m", "llmcourse.train", "--out", run]
        subprocess.run(command, check=True, cwd=ROOT)
    page.set_viewport_size({"width": 900, "height": 700})
    page.goto((Path(run).resolve() / "report.html").as_uri())
    save(page.screenshot(), "report.png")


def save(picture: bytes, name: str) -> None:
    """Write a picture to docs/, in a palette, which is half the size."""
    from PIL import Image

    image = Image.open(io.BytesIO(picture)).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(DOCS / name, optimize=True)
    print(f"docs/{name}: {(DOCS / name).stat().st_size // 1000} kB")


def main() -> None:
    """The command."""
    from playwright.sync_api import sync_playwright

    wanted = sys.argv[1:] or ["exercise", "report"]
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=browser_path, args=FLAGS)
        page = browser.new_page()
        for name in wanted:
            {"exercise": exercise, "report": report}[name](page, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
