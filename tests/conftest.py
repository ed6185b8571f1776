"""What the tests of several modules stand on."""

import jaxtyping
import pytest

from llmcourse import notebook
from llmcourse.checks import probe


@pytest.fixture
def live(monkeypatch):
    """As if a notebook's kernel were running."""
    monkeypatch.setattr(notebook, "has_kernel", lambda: True)


def pytest_terminal_summary(terminalreporter):
    """Print the share of the wrong answers made by program that the checks reject."""
    found = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "mutants"
    ]
    if found:
        rejected, same = (sum(counts) for counts in zip(*found, strict=True))
        terminalreporter.write_line(
            f"mutants of {len(found)} solutions: {rejected:,} rejected, {same:,} listed as "
            "the same thing, with the reason: 100 % of those that change a result"
        )


@pytest.fixture
def unchecked():
    """As in a user's run, where nothing looks at the shapes in signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def known_to_end(monkeypatch, unchecked):
    """For hundreds of answers that are ours: no rehearsal in a copy, and nothing looks at shapes.

    What each is for is tested where answers are strangers: in `checks/test_hostile.py`, and where
    every check takes its own right answer.
    """
    monkeypatch.setattr(probe, "rehearse", lambda calls, seconds: None)
