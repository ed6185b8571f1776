"""A prediction in a real browser: written down by keyboard alone, then judged."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import test_browser as browser
from test_browser import SECOND, page  # noqa: F401

from llmcourse import learner
from tools.chapters import normalize

CELLS = [
    'from llmcourse import predict\n\npredict.ask("05", "nudge-through-ten")',
    'predict.ask("05", "who-notices-a-shift")',
    'predict.answer("05", "nudge-through-ten", 2.5937)',
]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """JupyterLab on a notebook that asks twice and answers once."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    normalize(notebook)
    nbformat.write(notebook, tmp_path / "small.ipynb")
    with browser.serving(tmp_path / "small.ipynb", tmp_path) as url:
        yield url


def said(name: str) -> Any:
    entry = learner.load().get("05", {}).get("predictions", {}).get(name, {})
    return entry.get("said"), entry.get("judged")


def run_cell(page: Any, number: int) -> None:  # noqa: F811
    page.locator(".jp-CodeCell").nth(number).locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def test_a_prediction_is_written_down_by_keyboard_and_judged(page, lab):  # noqa: F811
    with browser.picture_of_a_failure(page, "predictions"):
        browser.open_notebook(page, lab)
        browser.run_all(page)
        first, second = (page.locator(".llmcourse-prediction").nth(n) for n in range(2))
        first.get_by_label("from").focus()
        page.keyboard.type("2.5")
        page.keyboard.press("Tab")
        page.keyboard.type("3")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        first.get_by_text("2.5 to 3. Now run the next cell.").wait_for(timeout=30 * SECOND)
        assert said("nudge-through-ten") == ({"low": 2.5, "high": 3}, False)

        second.get_by_role("button", name="LayerNorm's").focus()
        for tabs in (1, 5, 1):  # RMSNorm's; past two options and two claims to the third; the last
            for _ in range(tabs):
                page.keyboard.press("Tab")
            page.keyboard.press("Enter")
        second.get_by_text("RMSNorm's (90 % sure).").wait_for(timeout=30 * SECOND)
        assert said("who-notices-a-shift") == ({"option": "RMSNorm's", "sure": 90}, False)

        run_cell(page, 2)
        page.get_by_text("✓ As you said").wait_for(timeout=30 * SECOND)
        assert said("nudge-through-ten") == ({"low": 2.5, "high": 3}, True)
        run_cell(page, 0)
        settled = page.get_by_text("The answer has been shown.")
        settled.wait_for(timeout=30 * SECOND)
        assert first.get_by_label("from").is_hidden()
