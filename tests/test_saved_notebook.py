"""A notebook that was run and saved is read again without its kernel: nothing of it may be dead."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import test_browser as browser

from llmcourse.notebook import LIVE, WIDGET_VIEW
from llmcourse.saved_notebooks import leave_out_widgets
from tools.chapters import normalize

ROOT = Path(__file__).resolve().parent.parent
CELLS = (
    "from llmcourse import quiz\nfrom llmcourse.checks.bank import attention as check\n"
    "from llmcourse.viz import style\nfrom llmcourse.viz.widgets import Explorer, slider",
    'quiz.ask("03", "softmax-axis")',
    'quiz.ask("03", "grouped-heads")',
    "def draw(height):\n    figure, ax = style.figure(width=3, height=2)\n"
    "    ax.bar([0], [height])\n    ax.set_ylim(0, 10)\n    return figure\n\n"
    "Explorer(draw, height=slider(2, 0, 10))",
    "check.softmax(lambda scores, axis=-1: scores.exp())",
    "def softmax(scores):\n    raise NotImplementedError\n\ncheck.softmax(softmax)",
)
KEY = "ArrowRight"
page = browser.page


# --- without a browser ----------------------------------------------------------------------------


def saved(*outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The outputs of a cell as the file keeps them."""
    cells = [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": list(outputs)}]
    leave_out_widgets({"type": "notebook", "content": {"cells": cells}}, path="a.ipynb")
    return cells[1]["outputs"]


def test_only_what_is_marked_as_live_is_left_out():
    words = {"output_type": "display_data", "data": {"text/plain": "words"}, "metadata": {}}
    live = {"output_type": "display_data", "data": {WIDGET_VIEW: {}}, "metadata": LIVE}
    foreign = {"output_type": "display_data", "data": {WIDGET_VIEW: {}}, "metadata": {}}
    stream = {"output_type": "stream", "name": "stdout", "text": "hello"}
    assert saved(words, live, foreign, stream) == [words, foreign, stream]


def test_a_file_that_is_no_notebook_is_left_alone():
    model = {"type": "file", "content": "words"}
    leave_out_widgets(model, path="a.txt")
    assert model == {"type": "file", "content": "words"}


@pytest.mark.slow
def test_installing_the_package_enables_it_and_brings_the_questions(tmp_path):
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    copy = tmp_path / "source"
    names = ["pyproject.toml", "README.md", "LICENSE", "llmcourse", "jupyter-data"]
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={copy}/"], cwd=ROOT, check=True)
    assert all((copy / name).exists() for name in names)
    subprocess.run([*build, "--wheel-dir", tmp_path, copy], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("llmcourse-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = archive.namelist()
        (config,) = (f for f in files if f.endswith("jupyter_server_config.d/llmcourse.json"))
        enabled = json.loads(archive.read(config))["ServerApp"]["jpserver_extensions"]
    assert "data/etc/jupyter/" in config
    assert enabled == {"llmcourse.saved_notebooks": True}
    for folder in ("questions", "predictions"):
        asked = {f"llmcourse/{folder}/{path.name}" for path in ROOT.glob(f"llmcourse/{folder}/*")}
        assert asked
        assert asked <= set(files)


# --- in a browser ---------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path, request: Any) -> Iterator[tuple[str, Path]]:
    """JupyterLab on a small notebook: its URL and its file."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    normalize(notebook)
    nbformat.write(notebook, tmp_path / "small.ipynb")
    with browser.serving(tmp_path / "small.ipynb", tmp_path, bare=request.param) as url:
        yield url, tmp_path / "chapters" / "small.ipynb"


def open_with_kernel(page: Any, url: str) -> None:
    """Open the notebook and wait until its kernel, and not only the page, says that it is idle."""
    browser.open_notebook(page, url)
    page.wait_for_function(
        """async (url) => (await (await fetch(url)).json()).some(
            (session) => session.kernel && session.kernel.execution_state === "idle")""",
        arg=url.partition("/lab/")[0] + "/api/sessions?" + url.partition("?")[2],
        timeout=60 * browser.SECOND,
    )
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60 * browser.SECOND)


def use(page: Any) -> None:
    """Answer by a click at the far end of a line, and move the slider."""
    lines = page.locator(".llmcourse-option")
    assert lines.count() == 8
    assert [still.is_visible() for still in page.locator(".llmcourse-still").all()] == [False] * 2
    box = lines.first.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2)
    page.get_by_text("Heads do not compete.").locator("visible=true").wait_for()
    assert page.get_by_text("so every row sums to one").locator("visible=true").count() == 0
    picture = page.locator("img.widget-image")
    before = picture.get_attribute("src")
    page.locator('[role="slider"]').focus()
    for _ in range(3):
        page.keyboard.press(KEY)
    page.wait_for_function(
        "Number(document.querySelector('[role=slider]').getAttribute('aria-valuenow')) === 5"
    )
    page.wait_for_function(
        "([image, before]) => image.src !== before",
        arg=[picture.element_handle(), before],
        timeout=30 * browser.SECOND,
    )


def save(page: Any, file: Path) -> list[list[dict[str, Any]]]:
    """Save by keyboard until the last picture has come; the outputs of the file's cells."""
    for _ in range(30):
        page.keyboard.press("Control+s")
        page.wait_for_timeout(browser.SECOND)
        outputs = [cell["outputs"] for cell in json.loads(file.read_text("utf-8"))["cells"]]
        if "Explorer(height=5)" in json.dumps(outputs):
            return outputs
    raise AssertionError("the saved file never had the explorer's last picture")


def restart_kernel(page: Any) -> None:
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_role("menuitem", name="Restart Kernel…").first.click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()


def end_kernel(page: Any) -> None:
    browser.choose(page, "Kernel", "Shut Down Kernel")
    page.get_by_role("button", name="No Kernel", exact=True).wait_for()


def words_are_there_and_unfold(page: Any) -> None:
    first, second = page.locator(".llmcourse-still").all()
    first.wait_for(timeout=30 * browser.SECOND)
    assert second.is_visible()
    assert first.locator("summary").count() == second.locator("summary").count() == 4
    because = first.get_by_text("so every row sums to one")
    assert not because.is_visible()
    first.get_by_text("S, the keys", exact=False).first.click()
    because.wait_for(state="visible")
    assert page.get_by_text("Not attempted yet").is_visible()
    assert page.get_by_text("Right in 0 of").is_visible()


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.parametrize("lab", [False, True], indirect=True, ids=["installed", "bare"])
def test_what_was_saved_is_readable_the_next_day(page, lab, request):
    url, file = lab
    bare = request.node.callspec.params["lab"]
    with browser.picture_of_a_failure(page, f"saved-{'bare' if bare else 'installed'}"):
        open_with_kernel(page, url)
        browser.run_all(page)
        use(page)
        outputs = save(page, file)
        live = [[o for o in cell if WIDGET_VIEW in o.get("data", {})] for cell in outputs]
        assert [len(cell) for cell in live] == ([0, 1, 1, 1, 0, 0] if bare else [0] * 6)
        last = "".join(outputs[3][0]["data"]["image/png"]).replace("\n", "")
        # The page that is still open, with a new kernel, shows the stills ...
        restart_kernel(page)
        words_are_there_and_unfold(page)
        assert page.locator(".llmcourse-option").locator("visible=true").count() == 0
        # ... and so does the one that is opened the next day.
        end_kernel(page)
        page.goto("about:blank")
        open_with_kernel(page, url)
        words_are_there_and_unfold(page)
        picture = page.locator(".jp-RenderedImage img")
        assert picture.is_visible()
        assert picture.get_attribute("src").partition("base64,")[2].replace("\n", "") == last
        dead = page.get_by_text("Error displaying widget")
        if bare:  # one line below the words: the course cannot reach this JupyterLab
            dead.nth(2).wait_for(timeout=30 * browser.SECOND)
        else:
            assert dead.count() == 0
