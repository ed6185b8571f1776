"""Make the students' notebooks from the solutions: `make exercises`.

    python tools/exercises.py                            every solution
    python tools/exercises.py --check                    write nothing; name the files that drifted

`solutions/NN_topic.ipynb` is the one source of `exercises/NN_topic.ipynb`. In its code cells

    ### BEGIN SOLUTION
    ...
    ### END SOLUTION

becomes `raise NotImplementedError` within a function, and at the margin, where the last line of the
solution assigns the answer, `answer = None  # your answer`. A cell that is tagged "solution" is
left out. Outputs stay behind: a student's notebook begins unrun. Markers are those of nbgrader.
The list of all exercises, `llmcourse/exercises.json`, is read from the same notebooks: a heading
`## 3. Title`, a line with `8 minutes`, and the checks that are called until the next heading; and
so are the references that the checks are built on (`references.py`).
"""

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from llmcourse import syllabus  # noqa: E402
from tools import navigation, references  # noqa: E402

BEGIN = re.compile(r"(?P<indent>[ \t]*)### BEGIN SOLUTION\s*")
END = re.compile(r"[ \t]*### END SOLUTION\s*")
HEADING = r"(?m)^(## (\d+)\. (.*))$|(?<= )(\d+) minutes?\*$"
SOLUTION_TAG = "solution"

BANK = "llmcourse.checks.bank"
INDEX = Path("llmcourse") / "exercises.json"
"""Where the list of all exercises is kept: it is part of the package, for `progress.py`."""

NOTICE = """\
> **Your workbook.** Fill in the cells that say `raise NotImplementedError` or `None`, and run the \
check under each. It tells you at once what is right and, often, which mistake you made."""


class BadSolution(Exception):
    """A solution that cannot be turned into an exercise; the message says where and why."""


def to_exercise(solution: dict[str, Any], name: str) -> dict[str, Any]:
    """The student's notebook.

    Raises:
        BadSolution: markers that do not match, or an answer whose name cannot be told.
    """
    notice = {
        "cell_type": "markdown",
        "id": "generated-notice",
        "metadata": {},
        "source": _lines(NOTICE),
    }
    cells = [_student_cell(cell, name) for cell in solution["cells"] if not _is_solution(cell)]
    return {
        "cells": [notice, *cells],
        "metadata": {
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def hide(source: str) -> str:
    """A code cell's source with its solutions taken out.

    Raises:
        BadSolution: markers that do not match, or an answer whose name cannot be told.
    """
    parts = split(source)
    kept = [text if indent is None else _stub(text, indent) for text, indent in parts]
    hidden = "\n".join(kept)
    if len(parts) > 1:
        _require_functions(hidden)
    return hidden


def split(source: str) -> list[tuple[str, str | None]]:
    """The source as `(text, None)` for what stays and `(solution, indent)` for what is hidden.

    Raises:
        BadSolution: a marker without its partner.
    """
    parts: list[tuple[str, str | None]] = []
    lines: list[str] = []
    indent: str | None = None
    for line in source.split("\n"):
        begin = BEGIN.fullmatch(line)
        if not begin and not END.fullmatch(line):
            lines.append(line)
            continue
        if bool(begin) == (indent is not None):
            raise BadSolution(f"the marker {line.strip()!r} has no partner")
        if indent is not None and not "".join(lines).strip():
            raise BadSolution("a solution is empty")
        if lines:
            parts.append(("\n".join(lines), indent))
        lines, indent = [], begin["indent"] if begin else None
    if indent is not None:
        raise BadSolution("### BEGIN SOLUTION is never ended")
    return [*parts, ("\n".join(lines), None)] if lines else parts


def solution_lines(solution: dict[str, Any]) -> list[str]:
    """Every line that a student must not see, without its indent."""
    hidden: list[str] = []
    for cell in solution["cells"]:
        source = "".join(cell["source"])
        if _is_solution(cell):
            hidden += source.split("\n")
        elif cell["cell_type"] == "code":
            hidden += [
                line for text, indent in split(source) if indent is not None
                for line in text.split("\n")
            ]  # fmt: skip
    return [line.strip() for line in hidden if line.strip()]


def is_solved(cell: dict[str, Any]) -> bool:
    """Whether a cell of a solution shows what a student has to find."""
    return _is_solution(cell) or BEGIN.search("".join(cell["source"])) is not None


def without_markers(source: str) -> str:
    """A solution's source without the lines that mark its beginning and end."""
    lines = source.split("\n")
    return "\n".join(
        line for line in lines if not BEGIN.fullmatch(line) and not END.fullmatch(line)
    )


def to_bytes(notebook: dict[str, Any]) -> bytes:
    """The bytes of a notebook's file, as the notebook format writes them."""
    return (json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode()


def generate(path: Path) -> bytes:
    """The bytes of the exercise that belongs to a solution.

    Raises:
        BadSolution: the solution cannot be read or turned into an exercise.
    """
    try:
        exercise = to_exercise(json.loads(path.read_bytes()), path.name)
        present = syllabus.written(path.parent)
        for chapter in present:
            if chapter.filename == path.name:
                cells = navigation.exercise_cells(chapter, present)
                exercise = navigation.with_cells(exercise, cells)
                for cell in cells.values():
                    cell["source"] = _lines(cell["source"])
        return to_bytes(exercise)
    except (ValueError, KeyError) as error:
        raise BadSolution(f"{path.name} is not a notebook of format 4.5: {error!r}") from None
    except BadSolution as error:
        raise BadSolution(f"{path.name}, {error}") from None


def generate_index(root: Path) -> bytes:
    """The bytes of the list of all exercises, by chapter.

    Raises:
        BadSolution: an exercise does not say how long it takes, or checks nothing.
    """
    found = {}
    for path in sorted((root / "solutions").glob("[0-9][0-9]_*.ipynb")):
        try:
            found[path.name[:2]] = list(exercises_in(json.loads(path.read_bytes())))
        except BadSolution as error:
            raise BadSolution(f"{path.name}, {error}") from None
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()


def exercises_in(solution: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The exercises of a notebook, each with number, title, minutes and the names of its checks.

    Raises:
        BadSolution: an exercise does not say how long it takes, or checks nothing.
    """
    entry: dict[str, Any] = {}
    modules: set[str] = set()
    for cell in solution["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            called = _checks_called(source, modules)
            entry.setdefault("checks", []).extend(n for n in called if n not in entry["checks"])
            continue
        for heading, number, title, minutes in re.findall(HEADING, source):
            if heading:
                yield from _complete(entry)
                entry = {"number": int(number), "title": title.strip(), "checks": []}
            elif "minutes" not in entry:
                entry["minutes"] = int(minutes)
    yield from _complete(entry)


def _complete(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entry, if it is an exercise's; what stands before the first one is none."""
    if "number" not in entry:
        return
    if "minutes" not in entry or not entry["checks"]:
        raise BadSolution(f"exercise {entry['number']} has no `N minutes`, or no check")
    yield {name: entry[name] for name in ("number", "title", "minutes", "checks")}


def _checks_called(source: str, modules: set[str]) -> list[str]:
    """The names of the checks that a cell calls; adds the modules that it imports to `modules`."""
    called = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == BANK:
            modules.update(alias.asname or alias.name for alias in node.names)
        match node:
            # A check stands as a statement of its own: what returns something is a helper.
            case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name))):
                called += [name] if module in modules else []
    return called


def drifted(root: Path = ROOT) -> dict[Path, bytes | None]:
    """The exercises that are not what their solutions make: the bytes they should have.

    None stands for an exercise without a solution, which should not be there.

    Raises:
        BadSolution: a solution cannot be turned into an exercise.
    """
    made: dict[Path, bytes | None] = {
        root / "exercises" / path.name: generate(path)
        for path in sorted((root / "solutions").glob("*.ipynb"))
    }
    made[root / INDEX] = generate_index(root)
    made[root / references.FILE] = references.generate(root)
    for path in sorted((root / "exercises").glob("*.ipynb")):
        made.setdefault(path, None)
    return {path: new for path, new in made.items() if _content(path) != new}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a change")
    check = parser.parse_args(arguments).check
    try:
        changes = drifted(root)
    except BadSolution as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for path, content in changes.items():
        shown = path.relative_to(root)
        if check:
            print(f"{shown}: {'should not be there' if content is None else 'differs'}")
        else:
            _apply(path, content)
            print(f"{shown}: {'removed' if content is None else 'written'}")
    if check and changes:
        print("run `make exercises` (the solutions are the source; never edit an exercise)")
    return int(check and bool(changes))


def _student_cell(cell: dict[str, Any], name: str) -> dict[str, Any]:
    """The cell as a student sees it: no outputs, no metadata, no solution."""
    source = "".join(cell["source"])
    kept = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": {}}
    if cell["cell_type"] != "code":
        return kept | {"source": _lines(source)}
    try:
        source = hide(source)
    except BadSolution as error:
        raise BadSolution(f"cell {cell['id']}: {error}") from None
    return kept | {"execution_count": None, "outputs": [], "source": _lines(source)}


def _is_solution(cell: dict[str, Any]) -> bool:
    return SOLUTION_TAG in cell["metadata"].get("tags", ())


def _stub(solution: str, indent: str) -> str:
    """What a student finds in the solution's place."""
    if indent:
        return f"{indent}raise NotImplementedError"
    try:
        last = ast.parse(solution).body[-1]
    except (SyntaxError, IndexError):
        raise BadSolution("a solution at the margin has to be whole statements") from None
    targets = last.targets if isinstance(last, ast.Assign) else [getattr(last, "target", None)]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        raise BadSolution("a solution at the margin has to end in `name = ...`, the answer")
    return f"{targets[0].id} = None  # your answer"


def _require_functions(source: str) -> None:
    """Refuse a `raise` that would run with the cell, such as one in a class body.

    Raises:
        BadSolution: there is one, or the cell does not parse.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise BadSolution(f"without its solution it is no Python: {error.msg}") from None
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(n) for function in functions for n in ast.walk(function)}
    if any(isinstance(n, ast.Raise) and id(n) not in inside for n in ast.walk(tree)):
        raise BadSolution("an indented solution has to be inside a function")


def _lines(source: str) -> list[str]:
    """A source as the notebook format keeps it: lines with their ends."""
    return source.splitlines(keepends=True)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _apply(path: Path, content: bytes | None) -> None:
    """Write a file in one step, or remove it."""
    if content is None:
        path.unlink()
        return
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
