"""Each sentence of an exercise that settles something has a case that tells its readings apart.

`sentences/NN.toml` says which: for each check, the sentence as it stands in the exercise's text,
and the names of the cases in which another reading gives another result. A sentence that settles
nothing which a check could see has, instead of cases, a reason.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest

from llmcourse.checks.catalog import all_checks
from llmcourse.checks.harness import FunctionCheck

ROOT = Path(__file__).resolve().parents[2]
CHECKS = [check for check in all_checks() if isinstance(check, FunctionCheck)]
SENTENCES = {
    path.stem: tomllib.loads(path.read_text("utf-8"))
    for path in sorted((Path(__file__).parent / "sentences").glob("*.toml"))
}
SETTLES = re.compile(
    r"\b(below|above|at most|at least|also|must|never|always|even|only|empty|without|except|unless|"
    r"if|when|where|no|not|nothing|every|each|all|first|last|ties?|equal|in place|whole|more than|"
    r"less than|from|up to|round(ed)?|dtype|shape|zero|new)\b",
    re.IGNORECASE,
)
"""Words of sentences that settle something."""


def plain(text: str) -> str:
    return " ".join(text.split())


def task_of(check: FunctionCheck) -> str:
    """The text of a check's exercise: its title, what to do, and the example by hand."""
    (path,) = (ROOT / "solutions").glob(f"{check.chapter}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    at = next(
        n
        for n, cell in enumerate(cells)
        if cell["cell_type"] == "code" and f".{check.name}(" in "".join(cell["source"])
    )
    texts = []
    for cell in reversed(cells[:at]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and "<details>" not in source:
            texts.append(source)
        if source.startswith("## "):
            break
    return "\n\n".join(reversed(texts))


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, without headings, the line of difficulty, and display formulas."""
    text = re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL)
    lines = [line for line in text.split("\n") if not line.startswith(("#", "*Difficulty", "|"))]
    parts = re.split(r"(?<=[.?!:])\s+(?=[A-Z*`$(\"])|\n\s*\n|\n- ", "\n".join(lines))
    return [plain(part) for part in parts if plain(part)]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c.chapter}-{c.name}")
def test_each_sentence_that_settles_something_has_its_case(check):
    text = task_of(check)
    listed = SENTENCES.get(check.chapter, {}).get(check.name, {})
    settling = [sentence for sentence in sentences_of(text) if SETTLES.search(sentence)]
    assert [s for s in settling if s not in listed] == [], "write down which case belongs to each"
    names = {trial.name for trial in check.trials()}
    for sentence, cases in listed.items():
        assert sentence in plain(text), "no such sentence in the exercise"
        if isinstance(cases, str):
            assert len(cases) > 10
        else:
            assert cases
            assert set(cases) <= names


def test_only_checks_that_there_are_have_sentences():
    known = {(check.chapter, check.name) for check in CHECKS}
    assert {(c, name) for c, names in SENTENCES.items() for name in names} <= known
