"""The form that every chapter must have, as functions from a notebook to a list of complaints.

`test_chapters.py` applies them, and proves for each that it can be broken.
"""

import base64
import io
import itertools
import json
import re
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from llmcourse import syllabus
from tools import navigation
from tools.reading_time import STATED, minutes_to_read, stated

WIDGET_MIMES = "application/vnd.jupyter.widget"
MOST_BYTES = 1_500_000
MOST_CODE_LINES = 25
MEDIAN_CODE_LINES = 8
MOST_FIRST_LINES = 6
MOST_PLOT_LINES = 5
MOST_TAKEAWAYS = 5
MOST_IGNORED = 2
PROSE_WORDS = (15, 80)
"""The median of words between two code cells lies in here."""

QUESTIONS = "a section whose heading is a question"
ORDER = (
    "Warm-up",
    QUESTIONS,
    "When it goes wrong",
    "On real data",
    "Check yourself",
    "Key takeaways",
    "Where to look",
)
NOT_IN = {"00_welcome": {"Warm-up", "When it goes wrong", "On real data"}}
"""Nothing comes before the first chapter that could be recalled, and it goes nowhere deeply."""

Notebook = dict[str, Any]


# --- reading --------------------------------------------------------------------------------------


def source_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def code_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def own(notebook: Notebook) -> Notebook:
    """The notebook without the cells that `tools/navigation.py` writes into every chapter."""
    return {**notebook, "cells": navigation.own_cells(notebook)}


def prose_cells(notebook: Notebook) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]


def outputs_of(notebook: Notebook) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            yield cell, output


def texts_of(output: dict[str, Any]) -> Iterator[str]:
    """Everything in an output that is text."""
    yield "".join(output.get("text", ""))
    for mime, data in output.get("data", {}).items():
        if mime.startswith("text/") or mime == "image/svg+xml":
            yield "".join(data)


def without_code(prose: str) -> str:
    """Markdown without code, formulas and comments."""
    prose = re.sub(r"(?ms)^(```+).*?^\1", "", prose)
    prose = re.sub(r"(?s)\$\$.*?\$\$|<!--.*?-->", "", prose)
    return re.sub(r"`[^`]*`|\$[^$\n]*\$", "", prose)


def headings(notebook: Notebook) -> list[tuple[int, str]]:
    """The level and the words of every heading."""
    found = []
    for cell in prose_cells(notebook):
        prose = re.sub(r"(?ms)^(```+).*?^\1", "", source_of(cell))
        found += [(len(m[1]), m[2].strip()) for m in re.finditer(r"(?m)^(#+) (.*)$", prose)]
    return found


def section(notebook: Notebook, name: str) -> str:
    """The prose of the section whose heading begins with `name`."""
    prose = "\n\n".join(map(source_of, prose_cells(notebook)))
    found = re.search(rf"(?ims)^##\s*{re.escape(name)}.*?$(.*?)(?=^##\s|\Z)", prose)
    return found[1] if found else ""


def code_lines(cell: dict[str, Any]) -> int:
    """Lines that are neither empty nor a comment alone."""
    lines = (line.strip() for line in source_of(cell).splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


def name_of(cell: dict[str, Any]) -> str:
    first = source_of(cell).strip().splitlines() or ["(empty)"]
    return f"cell {cell['id']} ({first[0][:50]})"


# --- the rules: each returns what is wrong --------------------------------------------------------


def was_run_from_top_to_bottom(notebook: Notebook, path: Path) -> list[str]:
    """nbval compares nothing in a cell without a count: such a cell would pass unseen."""
    cells = code_cells(notebook)
    return [
        f"{name_of(cell)} has execution count {cell['execution_count']}, not {expected}"
        for expected, cell in enumerate(cells, 1)
        if cell["execution_count"] != expected
    ]


def has_no_errors(notebook: Notebook, path: Path) -> list[str]:
    return [
        f"{name_of(cell)} ended in {output.get('ename') or 'stderr'}"
        for cell, output in outputs_of(notebook)
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]


def cells_are_short(notebook: Notebook, path: Path) -> list[str]:
    lengths = [len(source_of(cell).splitlines()) for cell in code_cells(notebook)]
    found = [
        f"{name_of(cell)} has {length} lines"
        for cell, length in zip(code_cells(notebook), lengths, strict=True)
        if length > MOST_CODE_LINES
    ]
    if statistics.median(lengths or [0]) > MEDIAN_CODE_LINES:
        found.append(f"half of the code cells are longer than {statistics.median(lengths)} lines")
    return found


def begins_with_imports_seed_and_style(notebook: Notebook, path: Path) -> list[str]:
    first = next(iter(code_cells(own(notebook))), None)
    if first is None:
        return ["there is no code"]
    source = source_of(first)
    found = [
        f"the first code cell has no `{needed}`"
        for needed in ("import ", "seed_all(0)", "style.use()")
        if needed not in source
    ]
    if code_lines(first) > MOST_FIRST_LINES:
        found.append(f"the first code cell has {code_lines(first)} lines")
    return found


def installs_nothing(notebook: Notebook, path: Path) -> list[str]:
    tricks = r"(?m)^\s*[!%]|sys\.path|os\.chdir|subprocess|get_ipython"
    return [
        f"{name_of(cell)} uses {found[0].strip()!r}"
        for cell in code_cells(own(notebook))
        if (found := re.search(tricks, source_of(cell)))
    ]


def has_its_sections_in_order(notebook: Notebook, path: Path) -> list[str]:
    sections = [words for level, words in headings(notebook) if level == 2]
    wanted = [name for name in ORDER if name not in NOT_IN.get(path.stem, set())]
    known = [
        next((n for n in wanted if words.lower().startswith(n.lower())), None)
        or (QUESTIONS if words.endswith("?") else None)
        for words in sections
    ]
    found = [f"there is no section {name!r}" for name in wanted if name not in known]
    places = [wanted.index(name) for name in known if name]
    if places != sorted(places):
        found.append(f"the sections stand in another order: {sections}")
    if known.count(QUESTIONS) < 2:
        found.append("fewer than two headings are questions")
    return found


def has_one_title_and_skips_no_level(notebook: Notebook, path: Path) -> list[str]:
    levels = [level for level, _ in headings(notebook)]
    found = [] if levels.count(1) == 1 else [f"there are {levels.count(1)} titles, not one"]
    if not source_of(own(notebook)["cells"][0]).startswith("# "):
        found.append("the first cell is not the title")
    skipped = [words for (a, _), (b, words) in itertools.pairwise(headings(notebook)) if b > a + 1]
    return found + [f"{words!r} skips a level" for words in skipped]


def pictures_have_alt_text(notebook: Notebook, path: Path) -> list[str]:
    """In the metadata of the cell, under `alt`: what is in `jupyter-data/` and the site read it."""
    found, seen = [], set()
    for cell in code_cells(notebook):
        if not any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            continue
        alt = cell["metadata"].get("alt", "")
        if len(alt.split()) < 5:
            found.append(f"{name_of(cell)} shows a picture and has the alt text {alt!r}")
        elif alt in seen:
            found.append(f"{name_of(cell)} has the alt text of another cell")
        seen.add(alt)
    for cell in prose_cells(notebook):
        found += [
            f"{link} has no alt text" for link in re.findall(r"!\[\s*\]\([^)]*\)", source_of(cell))
        ]
        found += [
            f"{tag} has no alt text"
            for tag in re.findall(r"<img[^>]*>", source_of(cell))
            if not re.search(r"alt=\"[^\"]+\"", tag)
        ]
    return found


def is_a_long_plot(cell: dict[str, Any]) -> bool:
    """Whether a cell is axes and legends above a picture: it makes a figure and defines nothing."""
    source = source_of(cell)
    draws = "style.figure(" in source and not re.search(r"(?m)^(def|class) ", source)
    return draws and code_lines(cell) > MOST_PLOT_LINES


def long_plots_are_folded(notebook: Notebook, path: Path) -> list[str]:
    """In JupyterLab by the metadata, on the site by the tag. What teaches is in another cell."""
    found = []
    for cell in code_cells(notebook):
        hidden = cell["metadata"].get("jupyter", {}).get("source_hidden", False)
        tagged = "hide-input" in cell["metadata"].get("tags", [])
        if is_a_long_plot(cell) and not (hidden and tagged):
            found.append(f"{name_of(cell)} is a long plot, and its code is not folded")
    return found


def shows_no_picture_twice(notebook: Notebook, path: Path) -> list[str]:
    """An explorer's output holds its picture, so a cell that shows its default state is a twin."""
    found, before = [], None
    for cell, output in outputs_of(notebook):
        data = output.get("data", {})
        if "image/png" not in data:
            continue
        explorer = "".join(data.get("text/plain", "")).startswith("Explorer(")
        if explorer and before is not None and _alike(before, "".join(data["image/png"])):
            found.append(f"{name_of(cell)} begins with the picture above it")
        before = "".join(data["image/png"])
    return found


def _alike(one: str, other: str) -> bool:
    """Whether two pictures are equal but for the edges of letters."""
    pictures = [Image.open(io.BytesIO(base64.b64decode(each))) for each in (one, other)]
    if pictures[0].size != pictures[1].size:
        return False
    grey = [picture.convert("L").resize((64, 32)) for picture in pictures]
    gaps = ImageChops.difference(*grey).tobytes()
    return sum(gaps) / len(gaps) < 2


def talks_down_to_nobody(notebook: Notebook, path: Path) -> list[str]:
    words = r"(?i)\b(simply|obviously|just)\b"
    return [
        f"{name_of(cell)} says {found[0]!r}"
        for cell in prose_cells(notebook)
        if (found := re.search(words, without_code(source_of(cell))))
    ]


def hides_little_from_nbval(notebook: Notebook, path: Path) -> list[str]:
    found, ignored = [], 0
    for cell in code_cells(notebook):
        source = source_of(cell)
        marks = re.findall(r"NBVAL_\w+|PYTEST_VALIDATE_\w+", source)
        tags = set(cell["metadata"].get("tags", [])) & {
            "raises-exception",
            "nbval-skip",
            "nbval-ignore-output",
            "nbval-raises-exception",
            "pytest-validate-ignore-output",
        }
        found += [f"{name_of(cell)} is tagged {tag!r}" for tag in sorted(tags)]
        found += [f"{name_of(cell)} uses {m}" for m in marks if m != "NBVAL_IGNORE_OUTPUT"]
        if "NBVAL_IGNORE_OUTPUT" in marks:
            ignored += 1
            reason = re.search(r"(?m)^# NBVAL_IGNORE_OUTPUT\n# *\S+( \S+){2,}", source)
            found += [] if reason else [f"{name_of(cell)} ignores its output and says not why"]
    return found + [f"{ignored} cells ignore their output"] * (ignored > MOST_IGNORED)


def names_no_place_of_this_machine(notebook: Notebook, path: Path) -> list[str]:
    places = r"(?<![\w.:/])/(home|Users|root|work|tmp|usr|opt|var|mnt)/|[A-Z]:\\\\|0x[0-9a-f]{8,}"
    found = []
    for cell in notebook["cells"]:
        texts = [source_of(cell)]
        texts += [text for output in cell.get("outputs", []) for text in texts_of(output)]
        found += [f"{name_of(cell)}: {m[0]}" for t in texts if (m := re.search(places, t))]
    return found


def is_light(notebook: Notebook, path: Path) -> list[str]:
    size = len(json.dumps(notebook))
    return [f"it weighs {size / 1e6:.2f} MB"] if size > MOST_BYTES else []


def links_lead_somewhere(notebook: Notebook, path: Path) -> list[str]:
    anchors = {words.replace(" ", "-") for _, words in headings(notebook)}
    found = []
    for cell in prose_cells(notebook):
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(source_of(cell))):
            file, _, anchor = target.partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            if (file and not (path.parent / file).exists()) or (not file and anchor not in anchors):
                found.append(f"{name_of(cell)} links to {target}, which is not there")
    return found


def keeps_no_widget_state(notebook: Notebook, path: Path) -> list[str]:
    found = [
        f"{name_of(cell)} has {mime} in its output"
        for cell, output in outputs_of(notebook)
        for mime in output.get("data", {})
        if mime.startswith(WIDGET_MIMES)
    ]
    allowed = {"kernelspec", "language_info"}
    return found + [f"metadata {key!r}" for key in sorted(notebook["metadata"].keys() - allowed)]


def is_named_and_numbered(notebook: Notebook, path: Path) -> list[str]:
    ids = [cell.get("id") for cell in notebook["cells"]]
    found = [] if len(set(ids)) == len(ids) and None not in ids else ["cells share an id"]
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem):
        found.append(f"{path.name} is not named NN_topic.ipynb")
    return found


def has_prose_between_code(notebook: Notebook, path: Path) -> list[str]:
    counts, words, before = [], 0, False
    for cell in own(notebook)["cells"]:
        if cell["cell_type"] == "markdown":
            words += len(source_of(cell).split())
            continue
        if re.search(r"\bpredict\.(ask|answer)\(", source_of(cell)):
            continue  # it belongs to the prose above it, or to the output
        if before:
            counts.append(words)
        words, before = 0, True
    middle = statistics.median(counts or [PROSE_WORDS[0]])
    low, high = PROSE_WORDS
    return [] if low <= middle <= high else [f"a median of {middle} words between code cells"]


def proves_and_asks(notebook: Notebook, path: Path) -> list[str]:
    code = "\n".join(map(source_of, code_cells(notebook)))
    wanted = {"assert ": 3, "quiz.ask(": 4, "source.show(": 1}
    if "Warm-up" not in NOT_IN.get(path.stem, set()):
        wanted |= {"quiz.review(": 3}
    return [
        f"there are {code.count(words)} {words.strip(' (')}, not {least} or more"
        for words, least in wanted.items()
        if code.count(words) < least
    ]


def takeaways_are_few(notebook: Notebook, path: Path) -> list[str]:
    lines = re.findall(r"(?m)^\s*(?:[-*]|\d+\.) ", section(notebook, "Key takeaways"))
    return [] if 0 < len(lines) <= MOST_TAKEAWAYS else [f"there are {len(lines)} key takeaways"]


def has_its_navigation(notebook: Notebook, path: Path) -> list[str]:
    """Every cell of the way through the course is there, in its place, and says what it should."""
    chapter = next((one for one in syllabus.CHAPTERS if one.filename == path.name), None)
    if chapter is None:
        return [f"{path.name} is not in the table of llmcourse/syllabus.py"]
    cells = navigation.chapter_cells(chapter, syllabus.written(path.parent))
    wanted = navigation.with_cells(json.loads(json.dumps(notebook)), cells)["cells"]
    found, known = [], {cell.get("id"): cell for cell in notebook["cells"]}
    if [cell["id"] for cell in wanted] != list(known):
        found.append("the navigation is not where it should be: run `python tools/navigation.py`")
    for cell in wanted:
        if cell["id"] in navigation.IDS and cell["id"] in known:
            old = known[cell["id"]]
            texts = [[*map("".join, _data(one))] for one in (old, cell)]
            if source_of(old) != cell["source"] or texts[0] != texts[1]:
                found.append(f"{name_of(old)} is outdated: run `python tools/navigation.py`")
    return found


def says_how_long_it_takes(notebook: Notebook, path: Path) -> list[str]:
    """The table below the title has the minutes that were counted."""
    cells = navigation.own_cells(notebook)
    source = source_of(cells[0])
    if not STATED.search(source):
        return ["no line below the title says `It takes`: about how many minutes to read"]
    chapter = next(one for one in syllabus.CHAPTERS if one.filename == path.name)
    minutes = minutes_to_read(cells), navigation.minutes_of_exercises(chapter)
    if source != stated(source, *minutes):
        return [f"it takes {minutes[0]} minutes to read: run `python tools/navigation.py`"]
    return []


def _data(cell: dict[str, Any]) -> list[Any]:
    """The texts of a cell's outputs."""
    outputs = cell.get("outputs", [])
    return [text for output in outputs for _, text in sorted(output.get("data", {}).items())]


Rule = Callable[[Notebook, Path], list[str]]
RULES: list[Rule] = [
    was_run_from_top_to_bottom,
    has_no_errors,
    cells_are_short,
    begins_with_imports_seed_and_style,
    installs_nothing,
    has_its_sections_in_order,
    has_one_title_and_skips_no_level,
    pictures_have_alt_text,
    long_plots_are_folded,
    shows_no_picture_twice,
    talks_down_to_nobody,
    hides_little_from_nbval,
    names_no_place_of_this_machine,
    is_light,
    links_lead_somewhere,
    keeps_no_widget_state,
    is_named_and_numbered,
    has_prose_between_code,
    proves_and_asks,
    takeaways_are_few,
    has_its_navigation,
    says_how_long_it_takes,
]
