"""JupyterLab in a real browser: a chapter opens, runs, and its picture answers to the keyboard.

Neither nbclient nor nbval would notice a widget that does nothing: they run no browser, and an
exception in a callback passes them by.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHAPTER = ROOT / "chapters" / "03_attention.ipynb"
ARTIFACTS = ROOT / "test-artifacts"

TOKEN = "a-token-for-this-test-alone"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # this machine and no other
]
SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {
        "checkForUpdates": False,
        "doNotDisturbMode": True,
        "fetchNews": "false",
    },
    # Every cell is on the page, not only those in view.
    "notebook-extension/tracker": {"windowingMode": "none"},
}
SECOND = 1000
"""Playwright counts in milliseconds."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


def missing(what: str) -> None:
    """Skip on a learner's machine; fail where the project itself is checked."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and in CI this test must run")
    pytest.skip(what)


@pytest.fixture
def page() -> Iterator[Any]:
    """An empty page of a headless browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("no Chromium is installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser.new_page(viewport={"width": 1280, "height": 1000})
        browser.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """JupyterLab on a copy of the chapter; the chapter's URL."""
    if not CHAPTER.exists():
        missing(f"there is no {CHAPTER.name} yet")
    with serving(CHAPTER, tmp_path) as url:
        yield url


@contextlib.contextmanager
def serving(
    notebook: Path, tmp_path: Path, theme: str = "JupyterLab Light", *, bare: bool = False
) -> Iterator[str]:
    """JupyterLab on a copy of a notebook, with a configuration of its own; the copy's URL.

    A `bare` one knows nothing of the course: as if it were installed elsewhere than its kernel.
    """
    work = tmp_path / "chapters"
    work.mkdir()
    shutil.copy(notebook, work)
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")}
    environment.pop("MPLBACKEND", None)
    environment["PYTHONPATH"] = str(ROOT)
    for name in ("PATH", "CONFIG_PATH"):  # this checkout's, not the installed
        environment[f"JUPYTER_{name}"] = str(tmp_path if bare else ROOT / "jupyter-data")
    for name in ("CONFIG", "DATA", "RUNTIME"):
        environment[f"JUPYTER_{name}_DIR"] = str(tmp_path / name.lower())
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(write_settings(tmp_path / "settings", theme))
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
            yield f"http://127.0.0.1:{port}/lab/tree/{notebook.name}?token={TOKEN}"
        finally:
            stop(server)


def write_settings(folder: Path, theme: str) -> Path:
    settings = {**SETTINGS, "apputils-extension/themes": {"theme": theme}}
    for name, values in settings.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    return folder


def server_options(root: Path, port: int) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=",
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_up(server: subprocess.Popen, url: str, log: str) -> None:
    give_up = time.monotonic() + 90
    while time.monotonic() < give_up and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.3)
    pytest.fail(f"JupyterLab did not come up:\n{Path(log).read_text()[-2000:]}")


def stop(server: subprocess.Popen) -> None:
    """End the server and its kernels, whatever state they are in."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(10)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait(10)


@contextlib.contextmanager
def picture_of_a_failure(page: Any, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)
        raise


def open_notebook(page: Any, url: str) -> None:
    """Open the chapter and wait for its cells and its kernel: a menu used earlier does nothing."""
    page.goto(url, timeout=90 * SECOND)
    page.locator(".jp-CodeCell").first.wait_for(timeout=90 * SECOND)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=90 * SECOND)
    wait_until_idle(page)


def wait_until_idle(page: Any) -> None:
    idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    idle.wait_for(timeout=90 * SECOND)


def forget_outputs(page: Any) -> None:
    """Clear what is stored, so that what is seen afterwards was made here."""
    page.locator(".jp-OutputArea-output").first.wait_for(timeout=30 * SECOND)
    choose(page, "Edit", "Clear Outputs of All Cells")
    page.wait_for_function("document.querySelectorAll('.jp-OutputArea-output').length === 0")


def run_all(page: Any) -> None:
    """Run every cell from the menu, and wait until each has its number.

    A folded cell shows no number: those after it do, and the kernel is idle. A kernel that has only
    begun may say that it is idle and still take nothing, so what was not taken is asked for again.
    """
    from playwright.sync_api import TimeoutError as NotYet

    for _ in range(3):
        if page.locator(".jp-Dialog").count():  # it asks which kernel, having one
            page.locator(".jp-Dialog .jp-mod-accept").click()
        choose(page, "Run", "Run All Cells")
        begun = page.locator(".jp-InputArea-prompt").filter(has_text=re.compile(r"\[[\d*]+\]"))
        with contextlib.suppress(NotYet):
            begun.first.wait_for(timeout=10 * SECOND)
            break
    page.wait_for_function(
        """[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].every(
            (prompt) => /\\[\\d+\\]/.test(prompt.textContent))""",
        timeout=240 * SECOND,
    )
    wait_until_idle(page)


def choose(page: Any, menu: str, entry: str) -> None:
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def explorer_in(page: Any) -> Any:
    """The first output that holds both a slider and a picture."""
    outputs = page.locator(".jp-OutputArea-output")
    with_slider = outputs.filter(has=page.locator('[role="slider"]'))
    return with_slider.filter(has=page.locator("img.widget-image")).first


def test_a_chapter_runs_and_its_slider_redraws_by_keyboard(page, lab):
    with picture_of_a_failure(page, "browser"):
        open_notebook(page, lab)
        forget_outputs(page)
        run_all(page)
        assert page.locator('[data-mime-type="application/vnd.jupyter.error"]').all() == []
        assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').all() == []

        explorer = explorer_in(page)
        explorer.wait_for(timeout=30 * SECOND)
        picture, slider = explorer.locator("img.widget-image"), explorer.locator('[role="slider"]')
        before, value = picture.get_attribute("src"), slider.first.get_attribute("aria-valuenow")
        slider.first.focus()
        key = "ArrowLeft" if value == slider.first.get_attribute("aria-valuemax") else "ArrowRight"
        page.keyboard.press(key)
        page.wait_for_function(
            "([image, before]) => image.src !== before && image.naturalWidth > 0",
            arg=[picture.element_handle(), before],
            timeout=30 * SECOND,
        )
        assert slider.first.get_attribute("aria-valuenow") != value
        assert explorer.locator('[role="alert"]').all() == []


def test_figures_and_sliders_have_names(page, lab):
    """The chapter's own: figures without a kernel, and those of a run kernel in the next test."""
    with picture_of_a_failure(page, "browser-names"):
        open_notebook(page, lab)
        page.wait_for_function(
            """[...document.querySelectorAll('.jp-RenderedImage img')].length > 10
            && [...document.querySelectorAll('.jp-RenderedImage img')].every((img) => img.alt)""",
            timeout=30 * SECOND,
        )
        recorded = [
            cell["metadata"].get("alt")
            for cell in json.loads(CHAPTER.read_text())["cells"]
            if not cell["metadata"].get("jupyter", {}).get("outputs_hidden")
        ]
        shown = page.locator(".jp-RenderedImage img").evaluate_all("all => all.map((i) => i.alt)")
        assert shown == [alt for alt in recorded if alt]
