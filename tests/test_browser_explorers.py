"""Every explorer in JupyterLab, in both themes, under fast keys and at its controls' extremes.

The explorers are small ones (`explorers.py`), so that no cell trains anything. At the end the
kernel compares each picture with one that is drawn in peace.
"""

import ast
import time

import nbformat
import pytest

from tests.explorers import EXPLORERS, SENTENCE, UNKNOWN
from tests.test_browser import (
    ARTIFACTS,
    SECOND,
    open_notebook,
    page,  # noqa: F401  (a fixture)
    picture_of_a_failure,
    run_all,
    serving,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(580)]

FIRST = """from llmcourse.viz import style
from tests.explorers import EXPLORERS, settled, troubles

style.use()
shown, moved = {}, False"""
LAST = """if moved:
    settled(shown.values())
    print("Checked:", {name: troubles(each) for name, each in shown.items()})
moved = True"""
"""It checks when it is run again, after the playing."""
PRESSES = 10


@pytest.fixture(params=["JupyterLab Light", "JupyterLab Dark"])
def theme(request):
    return request.param


@pytest.fixture
def lab(tmp_path, theme):
    """A notebook with a cell for each explorer, in JupyterLab; its URL."""
    cells = [nbformat.v4.new_code_cell(FIRST)]
    for name in EXPLORERS:
        source = f"shown[{name!r}] = EXPLORERS[{name!r}]()\nshown[{name!r}]"
        alt = f"The explorer called {name}."
        cells.append(nbformat.v4.new_code_cell(source, metadata={"alt": alt}))
    cells.append(nbformat.v4.new_code_cell(LAST))
    notebook = tmp_path / "explorers.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    metadata = {"kernelspec": kernel}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), notebook)
    with serving(notebook, tmp_path, theme) as url:
        yield url


def test_explorers_follow_any_hand(page, lab, theme):  # noqa: F811
    name = f"explorers-{theme.split()[-1].lower()}"
    with picture_of_a_failure(page, f"{name}-failed"):
        open_notebook(page, lab)
        run_all(page)
        boxes = explorers_in(page)
        assert len(boxes) == len(EXPLORERS)
        for box in boxes:
            press_fast(page, box)
            go_to_extremes(page, box)
        assert checked(page, 2) == {kind: [] for kind in EXPLORERS}
        assert [alert.inner_text() for alert in page.locator('[role="alert"]').all()] == []
        type_an_unknown_word(page, boxes[list(EXPLORERS).index("attention")])
        for box, kind in zip(boxes, EXPLORERS, strict=True):
            has_names(box, kind)
        ARTIFACTS.mkdir(exist_ok=True)
        for box, kind in zip(boxes, EXPLORERS, strict=True):
            box.screenshot(path=ARTIFACTS / f"{name}-{kind}.png")


def explorers_in(page):  # noqa: F811
    """The boxes of controls and a picture, in the order of the cells."""
    pictures = page.locator("img.widget-image")
    pictures.nth(len(EXPLORERS) - 1).wait_for(timeout=60 * SECOND)
    return [picture.locator("..") for picture in pictures.all()]


def press_fast(page, box):  # noqa: F811
    """Ten presses of an arrow, faster than anything can be drawn; then of the other slider."""
    for slider in box.locator('.widget-hslider [role="slider"]').all()[:2]:
        slider.focus()
        for key in ["ArrowRight"] * PRESSES + ["ArrowLeft"] * (PRESSES // 2):
            page.keyboard.press(key)


def go_to_extremes(page, box):  # noqa: F811
    for slider in box.locator('.widget-hslider [role="slider"]').all():
        slider.focus()
        for key in ("Home", "End", "Home"):
            page.keyboard.press(key)
    for options in box.locator("select").all():
        count = options.locator("option").count()
        for at in (count - 1, 0):
            options.select_option(index=at)


def checked(page, run: int):  # noqa: F811
    """What the last cell prints, run once more."""
    cell = page.locator(".jp-CodeCell").last
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    number = len(EXPLORERS) + 1 + run
    page.wait_for_function(
        """([cell, number]) => cell.textContent.includes(`[${number}]:`)
        && cell.textContent.includes('Checked:')""",
        arg=[cell.element_handle(), number],
        timeout=120 * SECOND,
    )
    said = cell.locator(".jp-OutputArea-output").last.inner_text()
    return ast.literal_eval(said.removeprefix("Checked:").strip())


def type_an_unknown_word(page, box):  # noqa: F811
    """A mistake is answered under the controls, and gone when it is mended."""
    field, alert = box.locator("input[type='text']"), box.locator('[role="alert"]')
    field.fill(UNKNOWN)
    field.press("Enter")
    alert.wait_for(timeout=30 * SECOND)
    assert alert.inner_text() == "'zebra' is not a word of this world"
    field.fill(SENTENCE)
    field.press("Enter")
    alert.wait_for(state="detached", timeout=30 * SECOND)


def has_names(box, kind):
    picture = box.locator("img.widget-image")
    give_up = time.monotonic() + 10
    while f"The explorer called {kind}. Now: " not in (picture.get_attribute("alt") or ""):
        assert time.monotonic() < give_up, picture.get_attribute("alt")
        time.sleep(0.1)
    for slider in box.locator('.widget-hslider [role="slider"]').all():
        assert slider.get_attribute("aria-label")
        assert len(slider.get_attribute("aria-valuetext")) < 12
    assert {each.get_attribute("tabindex") for each in box.locator(".widget-readout").all()} <= {
        "-1"
    }
