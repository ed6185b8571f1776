"""What the tests of several modules stand on."""

import jaxtyping
import pytest

from llmcourse import notebook


@pytest.fixture
def live(monkeypatch):
    """As if a notebook's kernel were running."""
    monkeypatch.setattr(notebook, "has_kernel", lambda: True)


@pytest.fixture
def unchecked():
    """As in a user's run, where nothing looks at the shapes in signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
