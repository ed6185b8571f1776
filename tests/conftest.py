"""What the tests of several modules stand on."""

import pytest

from llmcourse import notebook


@pytest.fixture
def live(monkeypatch):
    """As if a notebook's kernel were running."""
    monkeypatch.setattr(notebook, "has_kernel", lambda: True)
