"""`make lab`: copies that follow the originals until a learner changes them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import lab

ROOT = Path(__file__).resolve().parent.parent


def notebook(*sources, **outputs):
    cells = [
        {
            "cell_type": "markdown" if source.startswith("[") else "code",
            "id": f"cell-{number}",
            "metadata": {},
            "source": [source],
            **({} if source.startswith("[") else {"outputs": [], "execution_count": None}),
        }
        for number, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": outputs, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    for folder in lab.FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "00_welcome.ipynb").write_text(notebook("1 + 1"))
    return tmp_path


def source_of(path):
    return ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]


def test_copies_are_made_once(root):
    assert lab.copy_all(root) == ["3 notebooks copied to work/, where you can change anything"]
    assert source_of(root / "work" / "exercises" / "00_welcome.ipynb") == ["1 + 1"]
    assert lab.copy_all(root) == []


def test_an_untouched_copy_follows_the_original_and_a_changed_one_stays(root):
    lab.copy_all(root)
    chapter, exercise = (root / "work" / f / "00_welcome.ipynb" for f in ("chapters", "exercises"))
    ran = json.loads(chapter.read_text())
    ran["cells"][0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2"}]
    chapter.write_text(json.dumps(ran))  # run and saved, but nothing written
    exercise.write_text(notebook("1 + 1", "my_answer = 2"))
    for folder in lab.FOLDERS:
        (root / folder / "00_welcome.ipynb").write_text(notebook("2 + 2"))
    said = lab.copy_all(root)
    assert source_of(chapter) == ["2 + 2"]
    assert source_of(exercise) == ["1 + 1", "my_answer = 2"]
    assert said[0].startswith("work/exercises/00_welcome.ipynb has work of yours in it and stays")
    assert lab.copy_all(root) == said[:1]
    exercise.rename(exercise.with_name("mine.ipynb"))
    lab.copy_all(root)
    assert source_of(exercise) == ["2 + 2"]
    assert source_of(exercise.with_name("mine.ipynb")) == ["1 + 1", "my_answer = 2"]


def test_what_is_no_notebook_any_more_is_left_alone(root):
    lab.copy_all(root)
    copy = root / "work" / "chapters" / "00_welcome.ipynb"
    copy.write_text("half a fi")
    (root / "chapters" / "00_welcome.ipynb").write_text(notebook("2 + 2"))
    assert "stays" in lab.copy_all(root)[0]
    assert copy.read_text() == "half a fi"
    (root / "work" / lab.RECORD).write_text("{")  # the record is lost: what differs may hold work
    (root / "exercises" / "00_welcome.ipynb").write_text(notebook("3 + 3"))
    assert [line.split()[0] for line in lab.copy_all(root) if "stays" in line] == [
        f"work/{folder}/00_welcome.ipynb" for folder in ("chapters", "exercises")
    ]


def test_links_between_copies_stay_and_all_others_lead_out(root):
    text = "[a](../exercises/00.ipynb) [b](../docs/x.md) [c](01.ipynb) [d](https://e.org/../f)"
    (root / "chapters" / "00_welcome.ipynb").write_text(notebook(text))
    lab.copy_all(root)
    assert source_of(root / "work" / "chapters" / "00_welcome.ipynb") == [
        text.replace("(../docs", "(../../docs")
    ]


def test_a_copy_of_every_notebook_has_links_that_lead_somewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    for folder in (*lab.FOLDERS, "docs", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    lab.copy_all(tmp_path)
    import chapter_rules

    for path in sorted((tmp_path / "work").rglob("*.ipynb")):
        assert chapter_rules.links_lead_somewhere(json.loads(path.read_text()), path) == []


def test_copies_are_trusted(root):
    import nbformat
    from nbformat.sign import NotebookNotary

    lab.copy_all(root)
    copy = nbformat.read(root / "work" / "chapters" / "00_welcome.ipynb", as_version=4)
    assert NotebookNotary().check_signature(copy)


def test_the_lab_starts_quietly_with_its_programs_at_hand(root):
    command = lab.command(root)
    options = dict(option.split("=", 1) for option in command if "=" in option)
    assert options["--ServerApp.root_dir"] == str(root)
    assert options["--LabApp.default_url"] == "/lab/tree/work/chapters/00_welcome.ipynb"
    settings = Path(options["--LabApp.app_settings_dir"]) / "overrides.json"
    overrides = json.loads(settings.read_text())
    assert overrides["@jupyterlab/apputils-extension:notification"]["fetchNews"] == "false"
    spaces = Path(options["--LabApp.workspaces_dir"])
    (space,) = spaces.iterdir()
    assert json.loads(space.read_text())["data"]["layout-restorer:data"]["left"]["collapsed"]
    space.write_text("{}")  # as the learner left it
    lab.command(root)
    assert space.read_text() == "{}"
    assert lab.environment()["PATH"].split(":")[0] == str(Path(lab.sys.executable).parent)


def test_the_lab_finds_what_the_course_adds_to_it(monkeypatch):
    """An editable install, which `make lab` makes, puts no files where Jupyter looks."""
    monkeypatch.setenv("JUPYTER_PATH", "mine")
    monkeypatch.delenv("JUPYTER_CONFIG_PATH", raising=False)
    asked = (
        "from jupyter_core.paths import jupyter_config_path, jupyter_path\n"
        "from jupyter_server.config_manager import BaseJSONConfigManager, recursive_update\n"
        "found = {}\n"
        "for folder in reversed(jupyter_config_path()):\n"
        "    known = BaseJSONConfigManager(config_dir=folder).get('jupyter_server_config')\n"
        "    recursive_update(found, known)\n"
        "print(found['ServerApp']['jpserver_extensions']['llmcourse.saved_notebooks'])\n"
        "print(*jupyter_path('labextensions'), sep='\\n')"
    )
    command = [sys.executable, "-c", asked]
    told = subprocess.run(
        command, env=lab.environment(), check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert told[0] == "True"
    assert str(ROOT / "jupyter-data" / "labextensions") in told
    assert str(Path("mine") / "labextensions") in told
    assert (ROOT / "jupyter-data" / "labextensions" / "llmcourse" / "package.json").exists()


@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_terminal_finds_the_courses_python_whatever_its_start_up_file_says(
    name, tmp_path, monkeypatch
):
    shell = shutil.which(name)
    if shell is None:
        pytest.skip(f"there is no {name} on this machine")
    other = tmp_path / "pyenv" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    start_up = f'PATH="{other.parent}:$PATH"\nexport FROM_MINE=1\n'
    (tmp_path / f".{name}rc").write_text(start_up)
    monkeypatch.setenv("SHELL", shell)
    command = [*lab.write_shell(tmp_path / "own"), "-i", "-c", "command -v python; echo $FROM_MINE"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(Path(lab.sys.executable).parent / "python"), "1"]


def test_another_shell_starts_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert lab.write_shell(tmp_path / "own") == ["/usr/bin/fish"]
