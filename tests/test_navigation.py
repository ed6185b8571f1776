"""The way through the course: links between notebooks, and the cell that installs it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from llmcourse import syllabus
from tools import navigation

ROOT = Path(__file__).resolve().parent.parent
THREE = [syllabus.CHAPTERS[number] for number in (0, 3, 4)]


def cell(name, kind="code", **more):
    extra = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "id": name, "metadata": {}, "source": name, **extra, **more}


def notebook(*, run):
    result = {"output_type": "execute_result", "execution_count": 1, "data": {}, "metadata": {}}
    first = cell("a", execution_count=1, outputs=[result]) if run else cell("a")
    second = cell("b", execution_count=2) if run else cell("b")
    return {"cells": [cell("title", "markdown"), first, second], "metadata": {}}


def done(before, chapter=THREE[1]):
    return navigation.with_cells(before, navigation.chapter_cells(chapter, THREE))


def copy_of(thing):
    return json.loads(json.dumps(thing))


def test_every_cell_has_its_place():
    ids = [one["id"] for one in done(notebook(run=True))["cells"]]
    assert ids == ["nav-top", "title", "setup", "a", "b", "nav-progress", "nav-bottom"]
    first = [one["id"] for one in done(notebook(run=True), THREE[0])["cells"]]
    assert first[-3:] == ["nav-contents", "nav-progress", "nav-bottom"]


def test_counts_move_along_once():
    once = done(notebook(run=True))
    counts = [one["execution_count"] for one in once["cells"] if one["cell_type"] == "code"]
    assert counts == [1, 2, 3, 4]
    assert once["cells"][3]["outputs"][0]["execution_count"] == 2
    assert done(copy_of(once)) == once


def test_a_cell_that_was_never_run_stays_so():
    once = done(notebook(run=False))
    assert {one.get("execution_count") for one in once["cells"]} == {None}
    half = notebook(run=True)
    half["cells"][2]["execution_count"] = None
    assert done(half)["cells"][4]["execution_count"] is None


def test_links_lead_to_the_chapters_that_are_there():
    cells = navigation.chapter_cells(THREE[1], THREE)
    top = cells["nav-top"]["source"]
    assert top.startswith(
        "[← 00 Welcome](00_welcome.ipynb) · [Contents](00_welcome.ipynb#Contents)"
    )
    assert "[04 Positions →](04_positions.ipynb)" in top
    assert "](../exercises/03_attention.ipynb)" in top
    last = navigation.chapter_cells(THREE[2], THREE)
    assert "→" not in last["nav-top"]["source"]
    assert "Next chapter" not in last["nav-bottom"]["source"]
    exercise = navigation.exercise_cells(THREE[1], THREE)
    assert "](00_welcome.ipynb)" in exercise["nav-top"]["source"]
    assert "](../solutions/03_attention.ipynb)" in exercise["nav-bottom"]["source"]


def test_the_contents_list_every_chapter_and_link_those_that_are_there():
    table = navigation.contents_table(THREE, {"00": 25, "03": 50, "04": 35})
    assert [line.split("|")[1].strip(" [")[:2] for line in table.splitlines()[4:]] == [
        chapter.number for chapter in syllabus.CHAPTERS
    ]
    assert set(re.findall(r"\]\((\d\d_\w+)\.ipynb\)", table)) == {one.stem for one in THREE}
    stated = sum(one.minutes for one in syllabus.exercises()["04"])
    work = f"[exercises](../exercises/04_positions.ipynb), {stated} minutes"
    assert f"| how does order get in? | 35 minutes | {work} |" in table


def test_the_reading_times_that_are_kept_are_those_of_the_chapters():
    present = syllabus.written(ROOT / "chapters")
    assert syllabus.reading_minutes() == navigation.count_minutes(ROOT, present)


def test_the_address_of_the_repository_stands_in_one_place(tmp_path, monkeypatch):
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    for folder in ("chapters", "exercises"):
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            cells = {
                one["id"]: "".join(one["source"]) for one in json.loads(path.read_text())["cells"]
            }
            assert f'"{address}/archive/refs/heads/main.zip"' in cells["setup"], path
            project = address.removeprefix("https://github.com/")
            assert f"/github/{project}/blob/main/{folder}/{path.name})" in cells["nav-top"], path
            assert f"/gh/{project}/main?labpath={folder}%2F{path.name})" in cells["nav-top"], path
    (tmp_path / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/someone/else"'
    )
    monkeypatch.setattr(navigation, "ROOT", tmp_path)
    assert "github.com/someone/else/archive" in navigation.setup_cell()["source"]
    assert "/gh/someone/else/main" in navigation.badges("chapters", THREE[1])


def test_the_command_writes_what_the_check_wants(tmp_path, capsys):
    (tmp_path / "chapters").mkdir()
    for name in ("00_welcome.ipynb", "03_attention.ipynb"):
        shutil.copy(ROOT / "chapters" / name, tmp_path / "chapters")
    assert navigation.main(["--check"], tmp_path) == 1
    assert navigation.main([], tmp_path) == 0
    assert "llmcourse/reading.json: written" in capsys.readouterr().out
    welcome = tmp_path / "chapters" / "00_welcome.ipynb"
    minutes = json.loads((tmp_path / "llmcourse" / "reading.json").read_text())
    assert f"about {minutes['00']} minutes to read" in welcome.read_text()
    assert f"| {minutes['03']} minutes |" in welcome.read_text()
    assert navigation.main(["--check"], tmp_path) == 0
    assert capsys.readouterr().out == ""
    stranger = tmp_path / "chapters" / "42_answers.ipynb"
    shutil.copy(tmp_path / "chapters" / "03_attention.ipynb", stranger)
    with pytest.raises(SystemExit, match="42_answers"):
        navigation.main([], tmp_path)


# --- the cell that installs ----------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path):
    """The Python of an environment with every package of this one but the course."""
    others = tmp_path / "others"
    others.mkdir()
    for entry in Path(sys.prefix).glob("lib*/python*/site-packages/*"):
        target = others / entry.name
        if "llmcourse" not in entry.name and not target.exists():
            target.symlink_to(entry)
    venv.create(tmp_path / "bare", with_pip=False)
    (site_packages,) = (tmp_path / "bare").glob("lib/python*/site-packages")
    (site_packages / "others.pth").write_text(f"{others}\n")
    return tmp_path / "bare" / "bin" / "python"


@pytest.fixture
def archive(tmp_path):
    """The repository as one file, as its host would give it, with what git would have in it."""
    path = tmp_path / "main.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            file.write(ROOT / name, f"llmcourse-main/{name}")
        for folder in ("llmcourse", "jupyter-data"):
            for source in (ROOT / folder).rglob("*"):
                if source.is_file() and "__pycache__" not in source.parts:
                    file.write(source, f"llmcourse-main/{source.relative_to(ROOT)}")
    return path


RUN = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
ran = shell.run_cell(open(sys.argv[1]).read())
assert ran.success
"""
USE = """
import llmcourse
from llmcourse import progress, quiz
assert "bare" in llmcourse.__file__, llmcourse.__file__
print(len(quiz.questions_of("03")) > 3, len(progress.show().rows) > 3)
"""


@pytest.mark.slow
def test_the_first_cell_installs_the_course_where_it_is_missing(bare, archive, tmp_path):
    source = navigation.setup_cell()["source"]
    assert source.count(navigation.archive()) == 1
    script = tmp_path / "cell.py"
    script.write_text(source.replace(navigation.archive(), archive.as_uri()))
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= {
        "PIP_NO_INDEX": "1",  # nothing comes from elsewhere
        "PIP_NO_DEPS": "1",  # what it needs is there
        "PIP_NO_BUILD_ISOLATION": "0",  # sic: pip reads it as the value of `build isolation`
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "LLMCOURSE_HOME": str(tmp_path / "home"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }

    def python(*arguments):
        return subprocess.run(
            [bare, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
        )

    assert python("-c", "import llmcourse").returncode != 0
    first = python("-c", RUN, script)
    assert first.returncode == 0, first.stdout + first.stderr
    used = python("-c", USE)
    assert used.stdout == "True True\n", used.stderr + first.stdout
    second = python("-c", RUN, script)
    assert (second.stdout, second.stderr, second.returncode) == ("", "", 0)
