"""Write the way through the course into its notebooks: `make chapters` and `make exercises` do.

    python tools/navigation.py                           every chapter
    python tools/navigation.py --check                   write nothing; name the files that differ

A chapter gets a line at its top (previous, contents, next, exercises, badges), a cell that installs
the course where it is missing (Colab, Binder), and at its end the learner's progress and the way
on. All of it follows from one table, `llmcourse/syllabus.py`, and from which chapters there are.
How long each takes to read is counted (`reading_time.py`), kept in `llmcourse/reading.json`, and
written into the table below its title. A second run writes the same bytes. The exercises get theirs
from `tools/exercises.py`, by the same functions.
"""

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from llmcourse import progress, syllabus  # noqa: E402
from llmcourse.syllabus import Chapter  # noqa: E402
from tools.reading_time import minutes_to_read, stated  # noqa: E402

BRANCH = "main"
TOP, SETUP, CONTENTS, PROGRESS, BOTTOM = IDS = (
    "nav-top",
    "setup",
    "nav-contents",
    "nav-progress",
    "nav-bottom",
)
"""The ids of the cells that this tool owns; it never touches another."""

SETUP_SOURCE = """\
# In Colab and Binder this installs the course. Where the course is installed, nothing happens.
import importlib.util

if importlib.util.find_spec("llmcourse") is None:
    archive = "{archive}"
    get_ipython().run_line_magic("pip", f'install --quiet "llmcourse[notebook] @ {{archive}}"')"""

READING = Path("llmcourse") / "reading.json"
"""Where the minutes that chapters take to read are kept: `syllabus.reading_minutes` reads it."""

Cell = dict[str, Any]
Notebook = dict[str, Any]
Minutes = dict[str, int]
"""Minutes by a chapter's number."""


def repository() -> str:
    """The repository's public address, from `[project.urls]` in `pyproject.toml`."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    return tomllib.loads(text)["project"]["urls"]["Repository"].rstrip("/")


def archive() -> str:
    """The address of the newest version as one file, which pip can install."""
    return f"{repository()}/archive/refs/heads/{BRANCH}.zip"


def badges(folder: str, chapter: Chapter) -> str:
    """Links that open a notebook in Colab and in Binder; the pictures are the repository's own.

    They get a line of their own: JupyterLab lays a cell's buttons over the end of its first line.
    """
    project = repository().removeprefix("https://github.com/")
    path = f"{folder}/{chapter.filename}"
    colab = f"https://colab.research.google.com/github/{project}/blob/{BRANCH}/{path}"
    binder = f"https://mybinder.org/v2/gh/{project}/{BRANCH}?labpath={quote(path, safe='')}"
    return (
        f"[![Open in Colab](../docs/badges/colab.svg)]({colab}) "
        f"[![Open in Binder](../docs/badges/binder.svg)]({binder})"
    )


def chapter_cells(
    chapter: Chapter, present: Sequence[Chapter], reading: Minutes | None = None
) -> dict[str, Cell]:
    """The cells that a chapter gets, by id; `present` are the chapters that are written.

    `reading` is how long each takes to read; what `syllabus` says unless given.
    """
    before, after = neighbours(chapter, present)
    exercises = f"[Exercises](../exercises/{chapter.filename})"
    is_first = chapter == syllabus.CHAPTERS[0]
    contents = f"[Contents]({'' if is_first else syllabus.CHAPTERS[0].filename}#Contents)"
    previous = before and f"[← {named(before)}]({before.filename})"
    following = after and f"[{named(after)} →]({after.filename})"
    top = " · ".join(filter(None, [previous, contents, following, exercises]))
    bottom = [f"**Now do the exercises:** [chapter {chapter.number}](../{exercises_of(chapter)})"]
    bottom += [f"**Next chapter:** [{named(after)}]({after.filename})"] if after else []
    bottom += [contents]
    cells = [prose(TOP, f"{top}  \n{badges('chapters', chapter)}"), setup_cell()]
    reading = syllabus.reading_minutes() if reading is None else reading
    cells += [prose(CONTENTS, contents_table(present, reading))] if is_first else []
    cells += [progress_cell(None if is_first else chapter), prose(BOTTOM, " · ".join(bottom))]
    return {cell["id"]: cell for cell in cells}


def exercise_cells(chapter: Chapter, present: Sequence[Chapter]) -> dict[str, Cell]:
    """The cells that a notebook of exercises gets, by id."""
    before, after = neighbours(chapter, present)
    home = f"../chapters/{syllabus.CHAPTERS[0].filename}#Contents"
    back = f"[Chapter {named(chapter)}](../chapters/{chapter.filename})"
    top = [
        before and f"[← Exercises {before.number}]({before.filename})",
        back,
        f"[Contents]({home})",
        after and f"[Exercises {after.number} →]({after.filename})",
    ]
    links = " · ".join(filter(None, top))
    bottom = [
        f"**Back to:** [chapter {named(chapter)}](../chapters/{chapter.filename})",
        after and f"**Next chapter:** [{named(after)}](../chapters/{after.filename})",
        f"[Worked solutions](../solutions/{chapter.filename}), for afterwards",
        f"[Contents]({home})",
    ]
    cells = [prose(TOP, f"{links}  \n{badges('exercises', chapter)}"), setup_cell()]
    cells += [progress_cell(chapter)]
    cells += [prose(BOTTOM, " · ".join(filter(None, bottom)))]
    return {cell["id"]: cell for cell in cells}


def exercises_of(chapter: Chapter) -> str:
    """The path of a chapter's exercises from the root."""
    return f"exercises/{chapter.filename}"


def neighbours(
    chapter: Chapter, present: Sequence[Chapter]
) -> tuple[Chapter | None, Chapter | None]:
    """The written chapters before and after one, or None."""
    place = syllabus.CHAPTERS.index(chapter)
    before = [one for one in present if syllabus.CHAPTERS.index(one) < place]
    after = [one for one in present if syllabus.CHAPTERS.index(one) > place]
    return (before[-1] if before else None), (after[0] if after else None)


def named(chapter: Chapter) -> str:
    """A chapter as a link names it: `03 Attention`."""
    return f"{chapter.number} {chapter.title}"


def contents_table(present: Sequence[Chapter], reading: Minutes) -> str:
    """The table of contents that stands in chapter 00, with the minutes that everything takes."""
    head = ["chapter", "it answers", "to read", ""]
    lines = ["## Contents", "", f"| {' | '.join(head)} |", "| --- | --- | --- | --- |"]
    for chapter in syllabus.CHAPTERS:
        name, minutes, work = named(chapter), "", "to come"
        if chapter in present:
            name = f"[{name}]({chapter.filename})"
            minutes = f"{reading[chapter.number]} minutes"
            work = (
                f"[exercises](../{exercises_of(chapter)}), {minutes_of_exercises(chapter)} minutes"
            )
        lines.append(f"| {name} | {chapter.question} | {minutes} | {work} |")
    return "\n".join(lines)


def minutes_of_exercises(chapter: Chapter) -> int:
    """How long a chapter's exercises take, as they say."""
    return sum(one.minutes for one in syllabus.exercises().get(chapter.number, ()))


def count_minutes(root: Path, present: Sequence[Chapter]) -> Minutes:
    """How long each chapter that is written takes to read."""
    return {
        chapter.number: minutes_to_read(own_cells(read(root / "chapters" / chapter.filename)))
        for chapter in present
    }


def read(path: Path) -> Notebook:
    """The notebook in a file."""
    return json.loads(path.read_text("utf-8"))


def own_cells(notebook: Notebook) -> list[Cell]:
    """The cells of a notebook that this tool does not write."""
    return [cell for cell in notebook["cells"] if cell["id"] not in IDS]


def prose(name: str, source: str) -> Cell:
    """A cell of Markdown."""
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def code(name: str, source: str) -> Cell:
    """A cell of code that was not run."""
    cell = {"cell_type": "code", "id": name, "metadata": {}, "source": source}
    return cell | {"execution_count": None, "outputs": []}


def setup_cell() -> Cell:
    """The cell that installs the course where it is missing."""
    return code(SETUP, SETUP_SOURCE.format(archive=archive()))


def progress_cell(chapter: Chapter | None) -> Cell:
    """The cell that shows how far the learner is: in one chapter, or in all."""
    argument = f'"{chapter.number}"' if chapter else ""
    return code(PROGRESS, f"from llmcourse import progress\n\nprogress.show({argument})")


def with_cells(notebook: Notebook, cells: dict[str, Cell]) -> Notebook:
    """The notebook with these navigation cells in their places, and no other ones.

    The top line comes first, the set-up before the first code, the rest at the end. Where the
    notebook was run, the new cells count as run too, and every other count moves along.
    """
    own = own_cells(notebook)
    had_setup = any(cell["id"] == SETUP for cell in notebook["cells"])
    first_code = next(
        (place for place, cell in enumerate(own) if cell["cell_type"] == "code"), len(own)
    )
    end = [cells[name] for name in (CONTENTS, PROGRESS, BOTTOM) if name in cells]
    ordered = [cells[TOP], *own[:first_code], cells[SETUP], *own[first_code:], *end]
    runs = [cell for cell in own if cell.get("execution_count")]
    if runs:
        for cell in runs:
            _count(cell, cell["execution_count"] + (not had_setup))
        _count(cells[SETUP], 1)
        _show_progress(cells[PROGRESS], sum(cell["cell_type"] == "code" for cell in ordered))
    return {**notebook, "cells": ordered}


def _count(cell: Cell, number: int) -> None:
    cell["execution_count"] = number
    for output in cell["outputs"]:
        if "execution_count" in output:
            output["execution_count"] = number


def _show_progress(cell: Cell, number: int) -> None:
    """Give the progress cell the output that it has for a learner who has not begun."""
    number_of = cell["source"].partition('show("')[2].partition('"')[0]
    shown = progress.Progress({}, number_of or None)
    result = {
        "data": {"text/html": shown._repr_html_(), "text/plain": repr(shown)},
        "execution_count": number,
        "metadata": {},
        "output_type": "execute_result",
    }
    cell["outputs"] = [result]
    _count(cell, number)


def write(path: Path, present: Sequence[Chapter], reading: Minutes) -> bytes:
    """The bytes of a chapter's file with its navigation, and with its minutes below the title.

    Raises:
        SystemExit: the table of chapters does not know the file.
    """
    import nbformat

    chapter = next((one for one in syllabus.CHAPTERS if one.filename == path.name), None)
    if chapter is None:
        raise SystemExit(f"error: {path.name} is not in the table of llmcourse/syllabus.py")
    notebook = read(path)
    title = own_cells(notebook)[0]
    minutes = reading[chapter.number], minutes_of_exercises(chapter)
    title["source"] = stated("".join(title["source"]), *minutes)
    done = with_cells(notebook, chapter_cells(chapter, present, reading))
    return (nbformat.writes(nbformat.from_dict(done)).rstrip("\n") + "\n").encode()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a change")
    check = parser.parse_args(arguments).check
    present = syllabus.written(root / "chapters")
    reading = count_minutes(root, present)
    made = {root / READING: (json.dumps(reading, indent=1) + "\n").encode()}
    for path in sorted((root / "chapters").glob("[0-9]*.ipynb")):
        made[path] = write(path, present, reading)
    changes = {path: content for path, content in made.items() if _content(path) != content}
    for path, content in changes.items():
        if not check:
            path.parent.mkdir(exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_bytes(content)
            os.replace(temporary, path)
        print(f"{path.relative_to(root)}: {'differs' if check else 'written'}")
    if check and changes:
        print("run `python tools/navigation.py`")
    return int(check and bool(changes))


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


if __name__ == "__main__":
    sys.exit(main())
