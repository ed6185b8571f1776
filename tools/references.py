"""The references that checks are built on, taken from the solutions by `make exercises`.

`llmcourse/checks/references.json` holds, for each check whose exercise is a function, the solution
as it stands in `solutions/`, and what the notebook defines around it. A check makes wrong answers
from it by program (`checks/mutants.py`): it is read as text, and a learner's notebook never sees
it. Not here: the students' notebooks (`exercises.py`). No chapter teaches this.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # as a script, it would see its own folder alone

from llmcourse.checks.references import BEGIN, END  # noqa: E402

FILE = Path("llmcourse") / "checks" / "references.json"
BANK = "llmcourse.checks.bank"


def generate(root: Path) -> bytes:
    """The bytes of the file of all references, by chapter and check."""
    found = {
        path.name[:2]: references_in(json.loads(path.read_bytes()))
        for path in sorted((root / "solutions").glob("[0-9][0-9]_*.ipynb"))
    }
    return (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode()


def references_in(solution: dict[str, Any]) -> dict[str, Any]:
    """A notebook's references: `around`, what it defines, and `answers`, by the check's name.

    An answer has the `name` that is handed to the check and the `source` of the cell that holds it,
    with the markers of its solution.
    """
    around: list[str] = []
    answers: dict[str, dict[str, Any]] = {}
    written: dict[str, str] = {}
    modules: set[str] = set()
    for cell in solution["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        tree = ast.parse(source)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module == BANK:
                modules.update(alias.asname or alias.name for alias in node.names)
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                written[node.name] = _lines_of(node, source)
        around += [_lines_of(node, source) for node in tree.body if _defines(node)]
        for check, name in _handed_over(tree, modules):
            if name in written and any(BEGIN in line for line in written[name].split("\n")):
                answers.setdefault(check, {"name": name, "source": written[name].split("\n")})
    return {"around": [_without_markers(text) for text in around], "answers": answers}


def _defines(node: ast.stmt) -> bool:
    """Whether a statement defines something without doing anything: an import, a function, 3."""
    if isinstance(node, ast.Assign):
        plain = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.UnaryOp, ast.USub, ast.Load)
        return all(isinstance(part, plain) for part in ast.walk(node.value))
    return isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)


def _handed_over(tree: ast.Module, modules: set[str]) -> Iterator[tuple[str, str]]:
    """Each check that a cell calls, with the name of the answer that it hands over."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(
                ast.Call(
                    func=ast.Attribute(value=ast.Name(id=module), attr=check),
                    args=[ast.Name(id=name)],
                )
            ) if module in modules:
                yield check, name


def _lines_of(node: ast.stmt, source: str) -> str:
    """A statement's whole lines, decorators and the marker below its last line included."""
    lines = source.split("\n")
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    last = node.end_lineno or node.lineno
    if last < len(lines) and END in lines[last]:
        last += 1
    return "\n".join(lines[first - 1 : last])


def _without_markers(source: str) -> str:
    return "\n".join(line for line in source.split("\n") if BEGIN not in line and END not in line)
