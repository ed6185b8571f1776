"""Notebooks are recorded byte for byte the same, and `pytest --nbval` compares them strictly."""

import base64
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from tools import chapters

ROOT = Path(__file__).resolve().parent.parent

SCRIPT = """\
# %% [markdown]
# # A small notebook

# %%
import os
from llmcourse.viz import style
from llmcourse.viz.widgets import Explorer, slider
style.use()

# %% alt="A straight line."
fig, ax = style.figure(width=2, height=1)
ax.plot([0, 1]);

# %%
def draw(slope):
    fig, ax = style.figure(width=2, height=1)
    ax.plot([0, slope])
    return fig

Explorer(draw, slope=slider(1, 0, 3))

# %%
print({"a", "b", "c", "d"}, os.environ["OMP_NUM_THREADS"])
print(os.path.exists("neighbour.txt"))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "draft.py"
    path.write_text(SCRIPT)
    return path


def make(*cells, **metadata):
    return nbformat.v4.new_notebook(cells=list(cells), metadata=metadata)


def png_of(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def pixels_of(encoded):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))


# --- what is written ------------------------------------------------------------------------------


def test_what_varies_is_left_out():
    cell = nbformat.v4.new_code_cell(
        "x",
        metadata={"alt": "A picture.", "tags": ["a"], "execution": {"iopub.status.busy": "now"}},
    )
    notebook = make(
        cell,
        kernelspec={"name": "my-kernel", "display_name": "Mine"},
        language_info={"name": "python", "version": "3.11.7"},
        widgets={"application/vnd.jupyter.widget-state+json": {}},
    )
    chapters.normalize(notebook)
    assert cell.metadata == {"alt": "A picture.", "tags": ["a"]}
    assert notebook.metadata["language_info"] == {"name": "python"}
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@pytest.mark.parametrize("beside", ["image/png", "text/html"])
def test_a_widget_is_left_to_the_picture_beside_it(beside):
    data = {beside: png_of(np.zeros((2, 2, 3), np.uint8)), chapters.WIDGET_VIEW: {"model_id": "1"}}
    output = nbformat.v4.new_output("display_data", data=data)
    chapters.normalize(make(nbformat.v4.new_code_cell("x", outputs=[output])))
    assert set(output.data) == {beside}


def test_a_widget_with_nothing_beside_it_is_kept_and_the_tests_will_complain():
    output = nbformat.v4.new_output("display_data", data={chapters.WIDGET_VIEW: {}})
    chapters.normalize(make(nbformat.v4.new_code_cell("x", outputs=[output])))
    assert set(output.data) == {chapters.WIDGET_VIEW}


def test_pictures_get_lighter_and_look_the_same():
    ramp = np.linspace(0, 255, 200).astype(np.uint8)
    picture = np.stack([np.tile(ramp, (200, 1))] * 3, axis=-1)
    picture[:, :, 2] = 255 - picture[:, :, 2]
    before = png_of(picture)
    after = chapters.smaller_png(before)
    assert len(after) <= len(before)
    assert np.abs(pixels_of(after).astype(int) - picture).max() <= 6
    assert chapters.smaller_png(after) == after  # again changes nothing


def test_saving_the_same_touches_nothing(tmp_path):
    path = tmp_path / "a.ipynb"
    assert chapters.save(path, b"one")
    os.utime(path, (1, 1))
    assert not chapters.save(path, b"one")
    assert path.stat().st_mtime == 1
    assert chapters.save(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


# --- from a script --------------------------------------------------------------------------------


def test_a_new_notebook_has_the_same_ids_each_time(script, tmp_path):
    first = chapters.update_from(script, tmp_path / "new.ipynb")
    again = chapters.update_from(script, tmp_path / "new.ipynb")
    assert [cell.id for cell in first.cells] == [cell.id for cell in again.cells]
    assert len({cell.id for cell in first.cells}) == len(first.cells)
    assert first.cells[2].metadata["alt"] == "A straight line."


def test_equal_cells_get_different_ids(tmp_path):
    (tmp_path / "twice.py").write_text("# %%\nx = 1\n\n# %%\nx = 1\n")
    notebook = chapters.update_from(tmp_path / "twice.py", tmp_path / "twice.ipynb")
    assert len({cell.id for cell in notebook.cells}) == 2


def test_an_edited_cell_keeps_its_id_and_a_new_one_gets_its_own(script, tmp_path):
    path = tmp_path / "a.ipynb"
    old = chapters.update_from(script, path)
    chapters.normalize(old)
    chapters.save(path, chapters.to_bytes(old))
    script.write_text(
        SCRIPT.replace("slider(1, 0, 3)", "slider(2, 0, 3)") + "\n# %%\nprint('new')\n"
    )
    new = chapters.update_from(script, path)
    assert [cell.id for cell in new.cells[:-1]] == [cell.id for cell in old.cells]
    assert new.cells[-1].id not in {cell.id for cell in old.cells}


# --- which ones -----------------------------------------------------------------------------------


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    for name in ("chapters/00_welcome", "chapters/03_attention", "solutions/03_attention"):
        path = tmp_path / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setattr(chapters, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], ["chapters/00_welcome", "chapters/03_attention", "solutions/03_attention"]),
        (["03"], ["chapters/03_attention", "solutions/03_attention"]),
        (["chapters/03"], ["chapters/03_attention"]),
        (["solutions/03_attention.ipynb"], ["solutions/03_attention"]),
        (["03", "solutions"], ["chapters/03_attention", "solutions/03_attention"]),
    ],
)
def test_notebooks_are_found_by_number_or_path(notebooks, names, found):
    assert chapters.find(names) == [notebooks / f"{name}.ipynb" for name in found]


def test_an_unknown_name_is_refused(notebooks):
    with pytest.raises(SystemExit, match="no notebook is called '07'"):
        chapters.find(["07"])


# --- the whole way --------------------------------------------------------------------------------


def run(*arguments, cwd=ROOT, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def record(*arguments, **environment):
    return run(ROOT / "tools" / "chapters.py", *arguments, **environment)


@pytest.mark.slow
def test_recording_twice_gives_the_same_bytes_in_any_environment(script, tmp_path):
    (tmp_path / "neighbour.txt").touch()  # the notebook's own folder is where it runs
    path = tmp_path / "a.ipynb"
    first = record("--from", script, path, MPLBACKEND="Agg", OMP_NUM_THREADS="2")
    assert first.returncode == 0, first.stderr
    assert "saved" in first.stdout
    content = path.read_bytes()
    again = record("--from", script, path, PYTHONHASHSEED="7", HOME=str(tmp_path / "empty"))
    assert "unchanged" in again.stdout, again.stderr
    assert path.read_bytes() == content
    check_recorded(json.loads(content))


def check_recorded(notebook):
    assert [cell.get("execution_count") for cell in notebook["cells"]] == [None, 1, 2, 3, 4]
    picture, explorer, printed = (cell["outputs"][0] for cell in notebook["cells"][2:])
    assert set(picture["data"]) == {"image/png", "text/plain"}  # not Agg's nothing
    assert set(explorer["data"]) == {"image/png", "text/plain"}
    assert explorer["data"]["text/plain"] == ["Explorer(slope=1)"]
    assert printed["text"][0].endswith(" 1\n")
    assert printed["text"][1] == "True\n"


@pytest.mark.slow
def test_a_failing_cell_is_told_in_few_lines_and_nothing_is_written(tmp_path):
    script, path = tmp_path / "bad.py", tmp_path / "bad.ipynb"
    script.write_text("# %%\nx = 1\n\n# %%\ny = [2]\ny[x]\n\n# %%\nprint('never')\n")
    failed = record("--from", script, path)
    assert failed.returncode == 1
    assert "IndexError: list index out of range" in failed.stderr
    assert "y[x]" in failed.stderr
    assert len(failed.stderr.splitlines()) < 15
    assert not path.exists()


@pytest.fixture
def repository(script, tmp_path):
    """A clone in miniature: this repository's configuration around one small chapter."""
    root = tmp_path / "clone"
    (root / "chapters").mkdir(parents=True)
    for name in ("conftest.py", "pyproject.toml", "tools"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, root / name)
    recorded = record("--from", script, root / "chapters" / "00_small.ipynb")
    assert recorded.returncode == 0, recorded.stderr
    return root


def edit(root, change):
    path = root / "chapters" / "00_small.ipynb"
    notebook = json.loads(path.read_text())
    change(notebook["cells"])
    path.write_text(json.dumps(notebook))


def nbval(root):
    done = run("-m", "pytest", "--nbval", "chapters/", "-p", "no:cacheprovider", cwd=root)
    return done.returncode, done.stdout


@pytest.mark.slow
def test_the_plain_command_is_strict(repository):
    status, said = nbval(repository)
    assert status == 0, said
    assert "4 passed" in said

    def strip(cells):  # what nbval alone would let pass
        cells[2].update(outputs=[], execution_count=None)

    def lie(cells):
        cells[4]["outputs"][0]["text"] = ["{'a'} 1\n", "False\n"]

    edit(repository, strip)
    edit(repository, lie)
    status, said = nbval(repository)
    assert status == 1
    assert "2 failed, 2 passed" in said
    assert "no recorded outputs" in said
    assert "Cell outputs differ" in said
