"""The answers here are ours: they come back, and how they annotate is theirs."""

import pytest


@pytest.fixture(autouse=True)
def _known_to_end(known_to_end):
    """See `tests/conftest.py`."""
