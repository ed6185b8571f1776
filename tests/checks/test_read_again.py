"""Where a check sends the reader to read again: to a section that there is."""

import json
import re
from pathlib import Path

import pytest

from llmcourse import syllabus
from llmcourse.checks.catalog import all_checks

CHAPTERS = Path(__file__).resolve().parents[2] / "chapters"
CHECKS = [check for check in all_checks() if check.read]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c.chapter}-{c.name}")
def test_the_section_to_read_again_is_there(check):
    file = next(c.filename for c in syllabus.CHAPTERS if c.number == check.chapter)
    cells = json.loads((CHAPTERS / file).read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert check.read in re.findall(r"(?m)^#{2,3} (.*)$", text)


def test_every_check_says_where():
    assert [f"{c.chapter} {c.name}" for c in all_checks() if not c.read] == []
