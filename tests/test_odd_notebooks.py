"""The campaign that runs chapters under odd conditions notices what breaks there."""

import sys
from pathlib import Path

import nbformat
import pytest

from tools.odd_notebooks import CONDITIONS, possible, run


def notebook(folder, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = folder / "00_small.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


@pytest.mark.parametrize(
    ("condition", "cell", "said"),
    [
        ("twice", "assert 'seen' not in globals()\nseen = 1", "cell 2"),
        ("restarted", "from pathlib import Path\nPath('here').mkdir()", "FileExistsError"),
        ("locale", "open('a.txt', 'w').write('猫')", "UnicodeEncodeError"),
        ("locale", "import time\nassert time.tzname[0] == 'UTC'", "AssertionError"),
    ],
)
def test_what_breaks_is_told(condition, cell, said, tmp_path):
    path = notebook(tmp_path, "print('猫')", cell, "pass")
    result = run(path, CONDITIONS[condition], sys.executable)
    assert not result["good"]
    assert said in result["said"]


FONTS = Path("/usr/share/fonts")


@pytest.mark.skipif(not possible(CONDITIONS["no-fonts"]), reason="needs Linux and root")
@pytest.mark.skipif(not FONTS.is_dir() or not any(FONTS.iterdir()), reason="has no fonts")
def test_fonts_of_the_system_are_hidden_and_the_courses_own_is_there(tmp_path):
    hidden = "import os\nassert not os.listdir('/usr/share/fonts')"
    drawn = "from matplotlib import font_manager as f\nassert f.findfont('DejaVu Sans')"
    good = run(notebook(tmp_path, hidden, drawn), CONDITIONS["no-fonts"], sys.executable)
    assert good["good"], good
    assert not run(notebook(tmp_path, hidden), CONDITIONS["twice"], sys.executable)["good"]


@pytest.mark.parametrize("condition", ["twice", "restarted", "locale"])
def test_what_does_not_break_is_good(condition, tmp_path):
    path = notebook(
        tmp_path, "from llmcourse import notebook", "print('猫', notebook.wrapped('a'))"
    )
    result = run(path, CONDITIONS[condition], sys.executable)
    assert result["good"], result
    assert "llmcourse/__init__.py" in result["said"]
