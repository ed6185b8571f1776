"""Who imports whom in a package, read from its source: nothing is run to find out.

Not here: the layers that the imports have to respect, and the drawing (`graph.py`).
"""

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import llmcourse

PACKAGE = Path(llmcourse.__file__).parent
"""Where this package's source lies."""

Graph = dict[str, set[str]]
"""The names that each name leads to."""

_Import = ast.Import | ast.ImportFrom


def module_graph(root: Path = PACKAGE) -> Graph:
    """What each module of the package at `root` imports when it is itself imported.

    The package's own modules have their full names (`llmcourse.nn.attention`); others are named as
    they are imported (`torch.nn.functional`).
    """
    return _graph(root, inside=False)


def deferred_graph(root: Path = PACKAGE) -> Graph:
    """What each module imports only when one of its functions is called."""
    return _graph(root, inside=True)


def source_files(root: Path = PACKAGE) -> dict[str, Path]:
    """The file of each module of the package at `root`, by the module's name."""
    files = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def _graph(root: Path, *, inside: bool) -> Graph:
    files = source_files(root)
    graph: Graph = {}
    for name, path in files.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = [node for node, deferred in _imports(path.read_bytes()) if deferred is inside]
        graph[name] = {one for node in found for one in _names(node, package, files.keys())}
    return graph


@functools.cache
def _imports(source: bytes) -> list[tuple[_Import, bool]]:
    """Every import statement of a file, and whether it waits inside a function."""
    found: list[tuple[_Import, bool]] = []
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while waiting:
        node, deferred = waiting.pop()
        if isinstance(node, _Import):
            found.append((node, deferred))
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [(child, deferred or function) for child in ast.iter_child_nodes(node)]
    return found


def _names(node: _Import, package: str, known: Iterable[str]) -> Iterator[str]:
    """The modules that a statement brings in: `from a import b` is `a.b` if that is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:  # from . import x
        above = package.split(".")
        above = above[: len(above) - node.level + 1]
        base = ".".join([*above, base] if base else above)
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in known else base
