"""README and docs/: their links lead somewhere, and their commands are true."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from llmcourse import syllabus
from tools import website

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted(path for folder in website.NOTEBOOKS for path in (ROOT / folder).glob("*.ipynb"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
GLOSSARY = re.compile(r"(?m)^- \*\*(.+?)\*\*: (.+) \(\[chapter (\d\d), (.+)\]\((\S+?)#(\S+)\)\)$")


def texts(path):
    """What a page, or each cell of prose in a notebook, says."""
    if path.suffix == ".md":
        return [path.read_text("utf-8")]
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


# --- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.name)
def test_every_link_leads_to_a_file_and_a_heading(path):
    for text in texts(path):
        website.mend_links(text, path, ROOT)


def test_a_link_to_nowhere_is_noticed():
    page = ROOT / "docs" / "linux.md"
    for link in ("nowhere.md", "../chapters/03_attention.ipynb#Nowhere", "#nowhere"):
        with pytest.raises(SystemExit, match=r"(?i)nowhere"):
            website.mend_links(f"See [it]({link}).", page, ROOT)
    assert website.mend_links("`[it](nowhere.md)`", page, ROOT) == "`[it](nowhere.md)`"


def test_links_are_mended_for_the_site():
    page = ROOT / "docs" / "glossary.md"
    assert website.mend_links("[a](../README.md)", page, ROOT) == "[a](index.md)"
    code = website.mend_links("[a](../llmcourse/shapes.py)", page, ROOT)
    assert code == f"[a]({PROJECT['urls']['Repository']}/blob/main/llmcourse/shapes.py)"
    link = "[a](../chapters/03_attention.ipynb#9.-What-does-it-cost%3F)"
    assert website.mend_links(link, page, ROOT).endswith("#9-what-does-it-cost)")


def test_the_syllabus_is_that_of_the_table():
    rows = re.findall(r"(?m)^\| (\[?)(\d\d) ([^\]|]+?)(?:\]\((\S+)\))? \| ([^|]+) \| (.+) \|$",
                      (ROOT / "README.md").read_text("utf-8"))  # fmt: skip
    assert [(number, title, question) for _, number, title, _, question, _ in rows] == [
        (chapter.number, chapter.title, chapter.question) for chapter in syllabus.CHAPTERS
    ]
    present = {chapter.number for chapter in syllabus.written(ROOT / "chapters")}
    assert {number for bracket, number, *_ in rows if bracket} == present


# --- the glossary --------------------------------------------------------------------------------


def entries():
    return GLOSSARY.findall((ROOT / "docs" / "glossary.md").read_text("utf-8"))


def test_every_line_of_the_glossary_is_an_entry_and_in_order():
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    assert len(entries()) == sum(line.startswith("- ") for line in lines) > 100
    terms = [term.lower() for term, *_ in entries()]
    assert terms == sorted(terms)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: f"{entry[0]}-{entry[2]}")
def test_a_term_is_explained_where_the_glossary_says(entry):
    term, says, number, heading, file, anchor = entry
    assert file.startswith(f"../chapters/{number}_")
    assert unquote(anchor) == heading.replace(" ", "-")
    assert says[-1] in ".?"
    text = "\n\n".join(texts(ROOT / "docs" / file))
    found = re.search(rf"(?ms)^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text)
    assert found, f"no section {heading!r}"
    for word in re.split(r"[ -]", term):  # as it stands there: "vanishes" for "vanishing"
        assert word[:5].lower() in (heading + found[1]).lower(), f"{word!r} is not in the section"


# --- commands ------------------------------------------------------------------------------------


def blocks(page, language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", page.read_text("utf-8"))


def commands():
    """Every line of every block of commands, with slashes for Windows' backslashes."""
    for page in PAGES:
        for block in (*blocks(page, "bash"), *blocks(page, "powershell"), *blocks(page, "")):
            for line in block.splitlines():
                yield page.name, line.replace("\\", "/")


def test_commands_name_what_is_there():
    modules, files, targets, extras = set(), set(), set(), set()
    for _, line in commands():
        modules |= set(re.findall(r"python3? -m (llmcourse[\w.]*)", line))
        files |= set(re.findall(r"\b(?:tools|tests|chapters)/[\w./]+", line))
        files |= set(re.findall(r"(?:-c|--constraint) (\S+)", line))
        targets |= set(re.findall(r"^make (\w+)", line))
        extras |= set(re.findall(r'"\.\[(\w+)\]"|--extra (\w+)', line))
    assert len(modules) > 3
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()
    assert {name for name in files if not (ROOT / name).exists()} == set()
    assert {"tools/lab.py", "constraints.txt"} <= files
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert {name for name in targets if not re.search(rf"(?m)^{name}:", makefile)} == set()
    assert (
        {"".join(pair) for pair in extras}
        == {"cluster", "lab", "serve"}
        <= PROJECT["optional-dependencies"].keys()
    )


def test_the_repository_has_one_address():
    for page, line in commands():
        for address in re.findall(r"git clone (\S+)", line):
            assert address == PROJECT["urls"]["Repository"], page


SHIMS = """
set -euo pipefail
for name in sudo git brew xcode-select uv pip; do
    eval "$name() { echo $name \\"\\$@\\" >> \\"\\$CALLS\\"; }"
done
make() { echo make "$@" >> "$CALLS"; command make --dry-run "$@" > /dev/null; }
python3() { if [ "$2" != venv ]; then command python3 "$@"; fi; }
python() {
    if [ "$1" = tools/lab.py ]; then set -- "$1" --copy-only; fi  # all but the server
    command python "$@"
}
"""
"""What reaches the network, or takes minutes, is noted and not done; the rest runs."""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linux", "macos", "cloud"])
def test_the_commands_of_a_page_run(name, tmp_path):
    course = tmp_path / "llmcourse"
    course.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in (".git", ".venv", "work", "runs", "build", "tools"):
            (course / entry.name).symlink_to(entry)
    # Behind a link, lab.py would find the real course, and write into its learner's work/.
    shutil.copytree(ROOT / "tools", course / "tools")
    activate = course / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
    for number, block in enumerate(blocks(ROOT / "docs" / f"{name}.md", "bash")):
        where = tmp_path if "git clone" in block else course
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(course),
            "CALLS": str(tmp_path / "calls"),
            "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        }
        ran = subprocess.run(
            ["bash", "-c", SHIMS + block],
            cwd=where,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, f"block {number}: {ran.stdout}{ran.stderr}"
    if name != "cloud":
        assert (course / "work" / "chapters").is_dir()
        calls = (tmp_path / "calls").read_text()
        assert "make lab" in calls
        assert "pip install -e .[lab] -c constraints.txt" in calls


def test_the_cloud_builds_what_the_pages_say():
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert container["postCreateCommand"] == "bash .binder/postBuild"
    build = ROOT / ".binder" / "postBuild"
    assert os.access(build, os.X_OK)
    subprocess.run(["bash", "-n", build], check=True)
    script = build.read_text("utf-8")
    assert '--editable ".[lab]"' in script
    assert script.count("--constraint constraints.txt") == 2
