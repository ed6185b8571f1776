"""Every chapter has the form that it must have, as it is committed.

`pytest --nbval chapters/` proves that the outputs are what running the cells gives. This proves
the form, by the rules of `chapter_rules.py`; and below stands, for each rule, a notebook that
breaks it.
"""

import base64
import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chapter_rules as rules
import pytest
from chapter_rules import MOST_BYTES, RULES, WIDGET_MIMES, Notebook, Rule, source_of
from PIL import Image

from llmcourse import syllabus
from tools import navigation
from tools.reading_time import minutes_to_read, stated

FOLDER = Path(__file__).resolve().parent.parent / "chapters"
CHAPTERS = sorted(FOLDER.glob("*.ipynb"))


# --- the chapters keep them -----------------------------------------------------------------------


def test_there_are_chapters():
    assert CHAPTERS, f"{FOLDER} holds no notebook"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_chapter_keeps_the_rule(rule, path):
    assert rule(json.loads(path.read_text("utf-8")), path) == []


# --- the rules can be broken ----------------------------------------------------------------------

PATH = FOLDER / "03_attention.ipynb"
PNG = base64.b64encode(b"\x89PNG").decode()
ASK = "quiz.ask('03', 'softmax-axis')"


def prose(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, *outputs: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": metadata, "source": text, "outputs": list(outputs)}


def shown(**data: str) -> dict[str, Any]:
    mimes = {"png": "image/png", "plain": "text/plain", "html": "text/html"}
    data = {mimes.get(name, name): value for name, value in data.items()}
    return {"output_type": "display_data", "data": data, "metadata": {}}


def good() -> Notebook:
    """A chapter in miniature that keeps every rule."""
    between = prose(
        "Words that say what comes next, and what to look out for in the cell below, now."
    )
    cells = [
        prose(
            "# Attention\n\nYou will be able to build it. See [this](03_attention.ipynb).\n\n"
            "| | |\n| --- | --- |\n| **It takes** | about 5 minutes to read, a second to run |"
        ),
        prose("## Warm-up"),
        code("import torch\nfrom x import *\n\nseed_all(0)\nstyle.use()"),
        *[between, code(ASK.replace("ask", "review"))] * 3,
        prose("## How does a token look at others?"),
        code(
            "draw()", shown(png=PNG, plain="<Figure>"), alt="A heat map of four words, dark below."
        ),
        between,
        code("source.show(attention)\nassert a == b\nassert b == c\nassert c == d"),
        prose("## Why the square root?\n\n### In numbers\n\n`just code` and $just$ a formula."),
        prose("## When it goes wrong"),
        prose("## On real data\n\nIt adjusts. [Paper](https://example.org/a)."),
        prose("## Check yourself"),
        *[between, code(ASK)] * 4,
        prose("## Key takeaways\n\n- One.\n- Two."),
        prose("## Where to look\n\n[The exercises](../exercises/03_attention.ipynb)"),
    ]
    cells = [copy.deepcopy(cell) for cell in cells]
    counts = iter(range(1, 100))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
        if cell["cell_type"] == "code":
            cell["execution_count"] = next(counts)
    minutes = minutes_to_read(cells), navigation.minutes_of_exercises(PRESENT[1])
    cells[0]["source"] = stated(cells[0]["source"], *minutes)
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}}
    return navigation.with_cells(notebook, navigation.chapter_cells(PRESENT[1], PRESENT))


PRESENT = [syllabus.CHAPTERS[0], syllabus.CHAPTERS[3]]
PICTURE, PROOFS = 12, 14


def break_cell(number: int, **changes: Any) -> Callable[[Notebook], None]:
    return lambda notebook: notebook["cells"][number].update(changes)


def swap_sections(notebook: Notebook) -> None:
    titles = [i for i, cell in enumerate(notebook["cells"]) if source_of(cell).startswith("## ")]
    first, second = titles[3], titles[4]
    cells = notebook["cells"]
    cells[first]["source"], cells[second]["source"] = (
        cells[second]["source"],
        cells[first]["source"],
    )


def edit(old: str, new: str) -> Callable[[Notebook], None]:
    """Replace words in every cell's source."""

    def change(notebook: Notebook) -> None:
        for cell in notebook["cells"]:
            cell["source"] = source_of(cell).replace(old, new)

    return change


def output(*outputs: dict[str, Any]) -> Callable[[Notebook], None]:
    return break_cell(PROOFS, outputs=list(outputs))


def square(shade: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 40), (shade,) * 3).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def beside_itself(notebook: Notebook, shade: int = 200) -> None:
    """A figure, and an explorer that begins with nearly the same picture."""
    notebook["cells"][PICTURE]["outputs"] = [shown(png=square(200), plain="<Figure>")]
    notebook["cells"][PROOFS]["outputs"] = [shown(png=square(shade), plain="Explorer(x=1)")]


PLOT = "drawn, ax = style.figure()\n" + "ax.plot(a)\n" * 5
IGNORED = "# NBVAL_IGNORE_OUTPUT\n# a timing, which no two machines share\nx"
BROKEN: dict[str, tuple[Rule, Callable[[Notebook], Any]]] = {
    "a stripped cell": (rules.was_run_from_top_to_bottom, break_cell(PROOFS, execution_count=None)),
    "cells run out of order": (
        rules.was_run_from_top_to_bottom,
        break_cell(PROOFS, execution_count=99),
    ),
    "a stored error": (
        rules.has_no_errors,
        output({"output_type": "error", "ename": "ValueError"}),
    ),
    "a warning": (
        rules.has_no_errors,
        output({"output_type": "stream", "name": "stderr", "text": "!"}),
    ),
    "a very long cell": (rules.cells_are_short, break_cell(PROOFS, source="x\n" * 26)),
    "long cells everywhere": (rules.cells_are_short, edit("quiz", "\n" * 9 + "quiz")),
    "no seed": (rules.begins_with_imports_seed_and_style, edit("seed_all(0)", "")),
    "no style": (rules.begins_with_imports_seed_and_style, edit("style.use()", "")),
    "a long first cell": (
        rules.begins_with_imports_seed_and_style,
        edit("import torch", "import torch\nimport a\nimport b\nimport c"),
    ),
    "an install": (rules.installs_nothing, edit("draw()", "!pip install torch\ndraw()")),
    "a magic": (rules.installs_nothing, edit("draw()", "%matplotlib inline\ndraw()")),
    "a path trick": (rules.installs_nothing, edit("draw()", "sys.path.append('..')")),
    "a missing section": (rules.has_its_sections_in_order, edit("## On real data", "## Elsewhere")),
    "sections in another order": (rules.has_its_sections_in_order, swap_sections),
    "headings that ask nothing": (rules.has_its_sections_in_order, edit("others?", "others")),
    "two titles": (rules.has_one_title_and_skips_no_level, edit("## Warm-up", "# Warm-up")),
    "a title that comes later": (rules.has_one_title_and_skips_no_level, edit("# Attention", "Hi")),
    "a skipped level": (rules.has_one_title_and_skips_no_level, edit("### In", "#### In")),
    "no alt text": (rules.pictures_have_alt_text, break_cell(PICTURE, metadata={})),
    "an empty alt text": (
        rules.pictures_have_alt_text,
        break_cell(PICTURE, metadata={"alt": "figure"}),
    ),
    "the same alt text twice": (
        rules.pictures_have_alt_text,
        break_cell(
            PROOFS,
            outputs=[shown(png=PNG)],
            metadata={"alt": good()["cells"][PICTURE]["metadata"]["alt"]},
        ),
    ),
    "a picture in the prose without words": (
        rules.pictures_have_alt_text,
        edit("It adj", "![](a.png) adj"),
    ),
    "an image tag without words": (
        rules.pictures_have_alt_text,
        edit("It adj", '<img src="a.png"> adj'),
    ),
    "an open plot": (rules.long_plots_are_folded, edit("draw()", PLOT)),
    "a plot folded in JupyterLab alone": (
        rules.long_plots_are_folded,
        break_cell(PROOFS, source=PLOT, metadata={"jupyter": {"source_hidden": True}}),
    ),
    "a plot folded on the site alone": (
        rules.long_plots_are_folded,
        break_cell(PROOFS, source=PLOT, metadata={"tags": ["hide-input"]}),
    ),
    "an explorer under its own picture": (rules.shows_no_picture_twice, beside_itself),
    "simply": (rules.talks_down_to_nobody, edit("It adjusts", "Simply adjust it")),
    "just": (rules.talks_down_to_nobody, edit("It adjusts", "It just adjusts")),
    "a skipped cell": (rules.hides_little_from_nbval, edit("draw()", "# NBVAL_SKIP\ndraw()")),
    "a skipping tag": (
        rules.hides_little_from_nbval,
        break_cell(PROOFS, metadata={"tags": ["nbval-ignore-output"]}),
    ),
    "ignored without a reason": (
        rules.hides_little_from_nbval,
        edit("draw()", "# NBVAL_IGNORE_OUTPUT\ndraw()"),
    ),
    "ignored too often": (rules.hides_little_from_nbval, edit("quiz.ask", IGNORED + "\nquiz.ask")),
    "a path in an output": (
        rules.names_no_place_of_this_machine,
        output(shown(plain="saved to /home/me/runs")),
    ),
    "a path in the source": (
        rules.names_no_place_of_this_machine,
        edit("draw()", "open('/tmp/x')"),
    ),
    "an address in memory": (
        rules.names_no_place_of_this_machine,
        output(shown(plain="<Thing at 0x7f1b27942340>")),
    ),
    "a heavy notebook": (rules.is_light, output(shown(png="A" * MOST_BYTES))),
    "a dead link": (rules.links_lead_somewhere, edit("(03_attention.ipynb)", "(99_nowhere.ipynb)")),
    "a dead anchor": (rules.links_lead_somewhere, edit("(03_attention.ipynb)", "(#Nowhere)")),
    "a live widget in the file": (
        rules.keeps_no_widget_state,
        output(shown(**{WIDGET_MIMES + "-view+json": "{}"})),
    ),
    "widget state": (rules.keeps_no_widget_state, lambda nb: nb["metadata"].update(widgets={})),
    "two cells with one name": (rules.is_named_and_numbered, break_cell(PROOFS, id="cell-0")),
    "code without a word": (
        rules.has_prose_between_code,
        edit("Words that say what comes next", ""),
    ),
    "claims without proof": (rules.proves_and_asks, edit("assert b == c", "")),
    "three questions": (rules.proves_and_asks, break_cell(-5, source="1")),
    "no recall": (rules.proves_and_asks, edit("quiz.review", "quiz.skip")),
    "six takeaways": (rules.takeaways_are_few, edit("- Two.", "- Two.\n" * 5)),
    "no takeaways": (rules.takeaways_are_few, edit("- One.\n- Two.", "Much.")),
    "no way to the exercises": (
        rules.has_its_navigation,
        edit("](../exercises/03", "](../exercises/04"),
    ),
    "no time": (rules.says_how_long_it_takes, edit("**It takes**", "**It costs**")),
    "a guessed time": (
        rules.says_how_long_it_takes,
        edit("minutes to read", "000 minutes to read"),
    ),
    "an outdated time": (rules.says_how_long_it_takes, edit("Words that say", "Many words " * 900)),
    "other exercises": (rules.says_how_long_it_takes, edit("for the exercises", "for exercises")),
    "no top line": (rules.has_its_navigation, lambda nb: nb["cells"].pop(0)),
    "no installation": (rules.has_its_navigation, edit("install --quiet", "install")),
    "an outdated progress": (
        rules.has_its_navigation,
        lambda nb: nb["cells"][-2]["outputs"][0]["data"].update({"text/plain": "all done"}),
    ),
    "navigation in the middle": (
        rules.has_its_navigation,
        lambda nb: nb["cells"].insert(5, nb["cells"].pop(0)),
    ),
}


def make_files(root: Path) -> None:
    """The files that the miniature chapter links to."""
    badges = [f"docs/badges/{name}.svg" for name in ("colab", "binder")]
    notebooks = [f"chapters/{chapter.filename}" for chapter in PRESENT]
    for name in (*notebooks, f"exercises/{PATH.name}", *badges):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_good_chapter_passes(rule, tmp_path):
    make_files(tmp_path)
    assert rule(good(), tmp_path / "chapters" / PATH.name) == []


@pytest.mark.parametrize(("rule", "break_it"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_noticed(rule, break_it, tmp_path):
    make_files(tmp_path)
    notebook = good()
    break_it(notebook)
    assert rule(notebook, tmp_path / "chapters" / PATH.name)


def test_every_rule_can_be_broken():
    assert {rule for rule, _ in BROKEN.values()} == set(RULES)


def test_plots_that_need_no_folding():
    notebook = good()
    metadata = {"jupyter": {"source_hidden": True}, "tags": ["hide-input"]}
    break_cell(PICTURE, source=PLOT, metadata=metadata)(notebook)
    break_cell(PROOFS, source="def plot():\n    " + PLOT.replace("\n", "\n    "))(notebook)
    assert not rules.long_plots_are_folded(notebook, PATH)


def test_an_explorer_may_follow_another_picture():
    notebook = good()
    beside_itself(notebook, shade=100)
    assert not rules.shows_no_picture_twice(notebook, PATH)


def test_names_are_checked():
    assert rules.is_named_and_numbered(good(), FOLDER / "Attention.ipynb")


def test_the_first_chapter_needs_no_recall():
    first = FOLDER / "00_welcome.ipynb"
    notebook = good()
    edit("quiz.review", "quiz.ask")(notebook)
    edit("## Warm-up", "Warm-up")(notebook)
    assert not rules.proves_and_asks(notebook, first)
    assert not rules.has_its_sections_in_order(notebook, first)
    assert rules.has_its_sections_in_order(notebook, PATH)
