"""The site: it builds with no warning, its links lead somewhere, and it needs no network."""

import importlib
import json
import re
from pathlib import Path

import pytest
from docutils.utils.math import MathError

from llmcourse import syllabus
from llmcourse.viz.imports import source_files
from tools import exercises, website

ROOT = Path(__file__).resolve().parent.parent
CHAPTERS = syllabus.written(ROOT / "chapters")


@pytest.fixture(scope="session")
def site():
    assert website.main() == 0
    return ROOT / website.SITE


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_site_has_what_it_promises(site):
    for chapter in CHAPTERS:
        page = (site / "chapters" / f"{chapter.stem}.html").read_text("utf-8")
        assert page.count("<details") > 10  # each option of a question unfolds, with no kernel
        assert 'class="next-page"' in page
        assert "install --quiet" not in page
        pictures = re.findall(r"<img[^>]*src=\"[^\"]*_images[^>]*>", page)
        assert [tag for tag in pictures if not re.search(r'alt="[^"]{10,}"', tag)] == []
        assert "$$" not in re.sub(r"(?s)<pre.*?</pre>", "", page)
        solved = (site / "solutions" / f"{chapter.stem}.html").read_text("utf-8")
        assert "hide-input" in solved or "toggle-details" in solved or "hide above-input" in solved
        assert "BEGIN SOLUTION" not in solved
    assert "<math" in (site / "chapters" / "03_attention.html").read_text("utf-8")
    assert (site / "search.html").exists()
    reference = "".join(path.read_text("utf-8") for path in (site / "reference").glob("*.html"))
    for module in source_files():
        if not module.endswith("__main__"):
            assert f'id="module-{module}"' in reference


FORMULA = re.compile(r"(?s)\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$")


def test_every_formula_can_be_set(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    mathml = importlib.import_module("conf").mathml
    wrong = []
    for path in [ROOT / f / f"{c.stem}.ipynb" for c in CHAPTERS for f in website.NOTEBOOKS]:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                text = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", "".join(cell["source"]))
                for found in FORMULA.finditer(text):
                    formula = (found["block"] or found["inline"]).strip()
                    try:
                        mathml(formula, as_block=found["block"] is not None)
                    except (MathError, IndexError) as fault:
                        wrong.append(f"{path.parent.name}/{path.name}: {formula}: {fault}")
    assert wrong == []


def test_no_letter_follows_code_in_a_docstring():
    plural = re.compile(r"(?<![`\w])`[\w.]+`[a-z]")  # Sphinx reads `Figure`s as unfinished
    sources = {module: path.read_text("utf-8") for module, path in source_files().items()}
    assert [module for module, text in sources.items() if plural.search(text)] == []


def test_alt_texts_solutions_and_navigation_become_the_sites(tmp_path):
    cells = [
        {"cell_type": "markdown", "id": "nav-top", "metadata": {}, "source": ["[x](y.ipynb)"]},
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# 00: exercises"]},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {
                "alt": "A line.",
                "jupyter": {"source_hidden": True, "outputs_hidden": True},
            },
            "source": ["draw()"],
        },
        {
            "cell_type": "code",
            "id": "c",
            "metadata": {},
            "source": ["def f():\n", "    ### BEGIN SOLUTION\n", "    1\n", "    ### END SOLUTION"],
        },
    ]
    path = tmp_path / "solutions" / "00_welcome.ipynb"
    path.parent.mkdir()
    path.write_text(json.dumps({"cells": cells}))
    title, picture, solved = website.notebook_page(path, tmp_path)["cells"]
    assert title["source"] == "# 00: solutions"
    assert picture["metadata"]["mystnb"] == {"image": {"alt": "A line."}}
    # A prediction's answer stays folded on the site, too.
    assert picture["metadata"]["tags"] == ["hide-input", "hide-output"]
    assert (solved["source"], solved["metadata"]["tags"]) == ("def f():\n    1", ["hide-input"])
    assert exercises.is_solved(cells[3])
    assert not exercises.is_solved(cells[2])


def test_every_public_module_is_in_the_reference():
    listed = {module for modules in website.parts().values() for module in modules}
    assert listed == {module for module in source_files() if not module.endswith("__main__")}
    page = website.reference_page("nn", ["llmcourse.nn", "llmcourse.nn.mlp"])
    assert page.count("automodule::") == 2


BROKEN = {
    '<a href="nowhere.html">': "links to nowhere.html, which is not there",
    '<a href="b.html#nowhere">': "links to b.html#nowhere, and there is no such place",
    '<a href="#nowhere">': "links to #nowhere, and there is no such place",
    '<img src="gone.png">': "links to gone.png, which is not there",
    '<script src="https://cdn.example/x.js">': "loads https://cdn.example/x.js from elsewhere",
    '<link rel="stylesheet" href="//fonts.example/x">': "loads //fonts.example/x from elsewhere",
}


@pytest.mark.parametrize("tag", BROKEN)
def test_a_broken_page_is_noticed(tag, tmp_path):
    (tmp_path / "b.html").write_text('<h1 id="here">')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here"><a href="https://example.org"><img src="data:image/png;base64,">'
    )
    assert list(website.broken(tmp_path)) == []
    (tmp_path / "a.html").write_text(tag)
    assert list(website.broken(tmp_path)) == [f"a.html {BROKEN[tag]}"]
