"""The exercises: what `tools/exercises.py` makes, and the matrix of stub, solution and mistakes.

The matrix finds its rows by looking: every check in `llmcourse/checks`, every notebook in
`solutions`. A new chapter adds nothing here.
"""

import ast
import contextlib
import io
import json
import linecache
import sys
from pathlib import Path

import pytest
import torch

from llmcourse import learner, randomness
from llmcourse.checks.answers import ChoiceCheck
from llmcourse.checks.catalog import all_checks
from llmcourse.checks.harness import FunctionCheck
from tools import exercises
from tools.exercises import BadSolution, hide, solution_lines, to_exercise

ROOT = Path(__file__).resolve().parent.parent
SOLUTIONS = sorted((ROOT / "solutions").glob("*.ipynb"))
CHECKS = all_checks()

each_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMCOURSE_HOME", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "Agg")


@pytest.fixture
def _tidy():
    """Leave the random generators, figures and figure settings as they were."""
    import matplotlib.pyplot as plt

    state = randomness.global_state()
    with plt.rc_context():
        yield
    plt.close("all")
    randomness.restore_global_state(state)


def run_cells(path: Path) -> str:
    """Run a notebook's code cells in order, in this process, and return what they print."""
    names = {"__name__": "__main__"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.chdir(path.parent):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                source, name = "".join(cell["source"]), f"<{path.name}, {cell['id']}>"
                linecache.cache[name] = (len(source), None, source.splitlines(True), name)
                exec(compile(source, name, "exec"), names)
    return printed.getvalue()


def checks_of(path: Path) -> list:
    return [check for check in CHECKS if check.chapter == path.stem[:2]]


# The matrix: stub, solution, every mistake


def test_no_exercise_has_drifted_from_its_solution():
    assert [str(path) for path in exercises.drifted()] == [], "run `make exercises`"


@each_solution
def test_no_line_of_a_solution_shows_through(path):
    solution = json.loads(path.read_text(encoding="utf-8"))
    student = json.loads((ROOT / "exercises" / path.name).read_text(encoding="utf-8"))
    hidden = solution_lines(solution)
    assert hidden, "nothing is hidden"
    assert leaks(hidden, student) == []


@each_solution
@pytest.mark.usefixtures("_tidy")
def test_an_untouched_exercise_runs_and_every_check_is_open(path):
    printed = run_cells(ROOT / "exercises" / path.name)
    for check in checks_of(path):
        assert f"· {check.name}: not attempted yet" in printed
    assert "✓" not in printed
    assert "✗" not in printed
    assert learner.load() == {}


@each_solution
@pytest.mark.usefixtures("_tidy")
def test_the_solution_passes_every_check(path):
    printed = run_cells(path)
    done = learner.load().get(path.stem[:2], {}).get("exercises", {})
    assert {name for name, entry in done.items() if entry["right"]} == {
        check.name for check in checks_of(path)
    }, printed
    assert "✗" not in printed
    assert "· " not in printed


@pytest.mark.slow
@each_solution
def test_an_untouched_exercise_runs_in_a_real_kernel(path, tmp_path, monkeypatch):
    import nbformat

    from tools import chapters

    for name in (*chapters.KERNEL_ENVIRONMENT, "IPYTHONDIR", "MPLBACKEND"):
        monkeypatch.setenv(name, "restored by the fixture")
    chapters.prepare_environment(str(tmp_path))
    notebook = nbformat.read(ROOT / "exercises" / path.name, as_version=4)
    chapters.execute(notebook, ROOT / "exercises")
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert outputs
    assert [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"] == []


@each_check
def test_the_checks_own_answer_passes(check):
    assert check.verdict(check.handed_in(check.right)).status == "passed"


@pytest.mark.slow
@each_check
@pytest.mark.usefixtures("known_to_end")
def test_every_mistake_is_rejected_with_its_own_hint(check):
    for mistake in check.mistakes:
        verdict = check.verdict(check.handed_in(mistake.answer))
        assert verdict.status == "wrong", mistake.name
        assert verdict.mistake is mistake, (mistake.name, verdict.text)
        assert mistake.hint in verdict.text
        assert len(mistake.hint) > 10


@each_check
def test_a_check_knows_enough_mistakes_by_different_names(check):
    least = 3 if isinstance(check, FunctionCheck) else 1
    assert len(check.mistakes) >= least
    assert len({mistake.name for mistake in check.mistakes}) == len(check.mistakes)
    assert len({mistake.hint for mistake in check.mistakes}) == len(check.mistakes)


def test_no_two_checks_of_a_chapter_share_a_name():
    names = [(check.chapter, check.name) for check in CHECKS]
    assert sorted(set(names)) == sorted(names)


def test_the_list_of_exercises_is_read_from_the_notebook():
    solution = {
        "cells": [
            {"cell_type": "markdown", "source": "# Title\n\nIt takes *9 minutes*"},
            {"cell_type": "code", "source": f"from {exercises.BANK} import one as check, two"},
            {"cell_type": "markdown", "source": "## 1. First\n\n*Difficulty 1 · 4 minutes*"},
            {"cell_type": "code", "source": "x = two.helper()\ncheck.a(x)\nother.b(x)"},
            {"cell_type": "code", "source": "with thing():\n    two.c(x)\ncheck.a(x)"},
            {"cell_type": "markdown", "source": "Good.\n\n## 2. Second one\n\n*Hard · 1 minute*"},
            {"cell_type": "code", "source": "two.d(x)"},
        ]
    }
    assert list(exercises.exercises_in(solution)) == [
        {"number": 1, "title": "First", "minutes": 4, "checks": ["a", "c"]},
        {"number": 2, "title": "Second one", "minutes": 1, "checks": ["d"]},
    ]
    for number, broken in ((2, "## 1. First"), (6, "two.helper")):
        cells = [dict(cell) for cell in solution["cells"]]
        cells[number]["source"] = broken
        with pytest.raises(BadSolution, match="has no `N minutes`, or no check"):
            list(exercises.exercises_in({"cells": cells}))


def test_every_check_belongs_to_an_exercise():
    assert {check.chapter for check in CHECKS} == {path.stem[:2] for path in SOLUTIONS}


def _raises(*args, **kwargs):
    raise ValueError("no")


def _spoils(*args, **kwargs):
    for value in (*args, *kwargs.values()):
        if isinstance(value, torch.Tensor):
            value.zero_()
        elif isinstance(value, list | dict | set):
            value.clear()
    return object()


ANY_ANSWERS = (
    _raises,
    _spoils,
    lambda *args, **kwargs: None,
    lambda *args, **kwargs: sys.exit("bye"),
    lambda *args, **kwargs: torch.full((7, 3), float("nan")),
    lambda *args, **kwargs: [args, kwargs],
    lambda: 0,
    "text",
    float("nan"),
    torch.zeros(0),
    [],
    int,
)


@pytest.mark.slow
@each_check
@pytest.mark.usefixtures("unchecked")
def test_every_check_survives_any_answer(check):
    for number, answer in enumerate(ANY_ANSWERS):
        verdict = check.verdict(answer)
        assert verdict.status == "wrong", number
        assert verdict.text.startswith(f"✗ {check.name}: "), number


def test_checks_stand_on_the_package_alone():
    for path in (ROOT / "llmcourse" / "checks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(n.split(".")[0] in ("solutions", "exercises", "tests") for n in names)


def test_choices_have_two_options_and_reasons():
    for check in CHECKS:
        if isinstance(check, ChoiceCheck):
            assert all(mistake.hint.strip() for mistake in check.mistakes)


# The tool


def leaks(hidden: list[str], student: dict) -> list[str]:
    """The hidden lines that a student's notebook shows anywhere. Short ones are anybody's."""
    shown = "\n".join("".join(cell["source"]) for cell in student["cells"])
    shown += json.dumps([cell.get("outputs", []) for cell in student["cells"]])
    shown += json.dumps([student["metadata"], [cell["metadata"] for cell in student["cells"]]])
    return [line for line in hidden if len(line) >= 12 and line in shown]


def notebook(*cells) -> dict:
    return {"cells": list(cells), "metadata": {"secret": "answer"}, "nbformat": 4}


def code(source: str, **metadata) -> dict:
    return {
        "cell_type": "code",
        "id": "a-cell",
        "metadata": metadata,
        "source": source.splitlines(keepends=True),
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "the answer"}],
        "execution_count": 3,
    }


def text(source: str, **metadata) -> dict:
    return {"cell_type": "markdown", "id": "a-text", "metadata": metadata, "source": source}


FUNCTION = '''\
def double(x):
    """Twice."""
    ### BEGIN SOLUTION
    twice = x + x
    return twice
    ### END SOLUTION

check.double(double)'''


def test_a_functions_solution_becomes_not_implemented():
    expected = (
        'def double(x):\n    """Twice."""\n    raise NotImplementedError\n\ncheck.double(double)'
    )
    assert hide(FUNCTION) == expected


def test_several_solutions_in_a_cell_and_in_methods():
    begin, end = (f"        ### {word} SOLUTION" for word in ("BEGIN", "END"))
    f = ["    def f(self):", "        given = 1", begin, "        return given", end]
    g = ["    def g(self):", begin, "        return 2", end]
    stub = "        raise NotImplementedError"
    hidden = ["class A:", "    def f(self):", "        given = 1", stub, "    def g(self):", stub]
    assert hide("\n".join(["class A:", *f, *g])) == "\n".join(hidden)


@pytest.mark.parametrize(
    "solution", ["guess = 0.7", "helper = 3\nguess = helper / 4", "guess: float = 0.7"]
)
def test_an_answer_at_the_margin_becomes_none(solution):
    source = f"# before\n### BEGIN SOLUTION\n{solution}\n### END SOLUTION\ncheck.guess(guess)"
    assert hide(source) == "# before\nguess = None  # your answer\ncheck.guess(guess)"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("### BEGIN SOLUTION\nx = 1", "never ended"),
        ("x = 1\n### END SOLUTION", "no partner"),
        ("### BEGIN SOLUTION\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "no partner"),
        ("### BEGIN SOLUTION\nprint(1)\n### END SOLUTION", "has to end in"),
        ("### BEGIN SOLUTION\na, b = 1, 2\n### END SOLUTION", "has to end in"),
        ("### BEGIN SOLUTION\n### END SOLUTION\nx = 1", "is empty"),
        ("def f():\n    ### BEGIN SOLUTION\n    ### END SOLUTION\n    pass", "is empty"),
        ("### BEGIN SOLUTION\nif True:\n### END SOLUTION\n    x = 1", "whole statements"),
        ("class A:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "inside a function"),
        ("if True:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "inside a function"),
        ("def f(:\n    ### BEGIN SOLUTION\n    x = 1\n    ### END SOLUTION", "no Python"),
    ],
)
def test_what_cannot_be_hidden_is_refused(source, said):
    with pytest.raises(BadSolution, match=said):
        hide(source)


def test_nothing_but_sources_comes_through():
    solution = notebook(
        text("# Title"),
        code(FUNCTION, tags=["secret"]),
        text("Because twice is a sum.", tags=["solution"]),
        code("print(double(2))  # shows the answer", tags=["solution"]),
    )
    student = to_exercise(solution, "00_welcome.ipynb")
    assert [cell["cell_type"] for cell in student["cells"]] == ["markdown", "markdown", "code"]
    notice = "".join(student["cells"][0]["source"])
    assert notice.startswith("> **Your workbook.**")
    assert all(cell["metadata"] == {} for cell in student["cells"])
    assert student["cells"][2]["outputs"] == []
    assert student["cells"][2]["execution_count"] is None
    assert "secret" not in json.dumps(student)
    hidden = solution_lines(solution)
    assert "twice = x + x" in hidden
    assert "Because twice is a sum." in hidden
    assert leaks(hidden, student) == []


def test_the_leak_test_sees_a_leak():
    solution = notebook(code(FUNCTION))
    assert leaks(solution_lines(solution), solution) == ["twice = x + x", "return twice"]


@pytest.fixture
def course(tmp_path):
    (tmp_path / "solutions").mkdir()
    path = tmp_path / "solutions" / "00_welcome.ipynb"
    path.write_text(json.dumps(notebook(text("# Title"), code(FUNCTION))))
    return tmp_path


def test_the_command_writes_once_and_then_nothing(course, capsys):
    assert exercises.main([], course) == 0
    assert capsys.readouterr().out == (
        "exercises/00_welcome.ipynb: written\n"
        "llmcourse/exercises.json: written\nllmcourse/checks/references.json: written\n"
    )
    made = (course / "exercises" / "00_welcome.ipynb").read_bytes()
    assert exercises.main([], course) == 0
    assert exercises.main(["--check"], course) == 0
    assert capsys.readouterr().out == ""
    assert (course / "exercises" / "00_welcome.ipynb").read_bytes() == made


def test_check_names_what_drifted_and_writes_nothing(course, capsys):
    exercises.main([], course)
    path = course / "exercises" / "00_welcome.ipynb"
    edited = path.read_text().replace("Title", "Other title")
    path.write_text(edited)
    (course / "exercises" / "99_gone.ipynb").write_text("{}")
    capsys.readouterr()
    assert exercises.main(["--check"], course) == 1
    printed = capsys.readouterr().out
    assert "exercises/00_welcome.ipynb: differs" in printed
    assert "exercises/99_gone.ipynb: should not be there" in printed
    assert path.read_text() == edited
    assert exercises.main([], course) == 0
    assert [p.name for p in (course / "exercises").iterdir()] == ["00_welcome.ipynb"]


def test_a_bad_solution_is_one_line_and_status_two(course, capsys):
    path = course / "solutions" / "00_welcome.ipynb"
    path.write_text(json.dumps(notebook(code("### BEGIN SOLUTION"))))
    assert exercises.main([], course) == 2
    assert capsys.readouterr().err == (
        "error: 00_welcome.ipynb, cell a-cell: ### BEGIN SOLUTION is never ended\n"
    )
    path.write_text("no notebook")
    assert exercises.main(["--check"], course) == 2
    assert "is not a notebook" in capsys.readouterr().err


def test_the_file_is_a_valid_notebook(course):
    import nbformat

    exercises.main([], course)
    nbformat.validate(nbformat.read(course / "exercises" / "00_welcome.ipynb", as_version=4))
