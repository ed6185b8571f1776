"""A learner's functions, kept from one notebook to the next: each with all that it needs.

`save` writes a function's source beside the learner's progress, together with the functions that it
calls and the imports that they use, so that the file stands alone; `load` runs it in another
notebook's kernel. Nothing else is ever loaded: the folder is the learner's own, and only `save`
writes there. Not here: which functions are right (`mine.py`), and the record (`learner.py`).
"""

import ast
import importlib.util
import inspect
import symtable
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from llmcourse import learner
from llmcourse.errors import UserError
from llmcourse.files import atomic_write_text

_MAIN = "__main__"


def folder() -> Path:
    """Where the functions are kept: `own_code`, beside the learner's progress."""
    return learner.path().parent / "own_code"


def names() -> list[str]:
    """The names of the functions that are kept."""
    return sorted(path.stem for path in folder().glob("*.py"))


def save(function: Any) -> Path:
    """Write a function, and what it needs, to a file of its own; returns the file's path.

    Raises:
        UserError: it is no function whose source can be found, or it needs what cannot be written
            down; or there is no room, or no permission, to write.
    """
    if not isinstance(function, FunctionType) or not function.__name__.isidentifier():
        raise UserError(f"{function!r} is no function of yours: hand over its name, without ()")
    path = folder() / f"{function.__name__}.py"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(path, standing_alone(function))
    except OSError as error:
        raise UserError(f"cannot keep {path}: {error.strerror}") from None
    return path


def load(name: str) -> Any:
    """The function of this name, from its file.

    Raises:
        UserError: it was never kept, or its file no longer runs.
    """
    path = folder() / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"own_code.{name}", path)
    if spec is None or spec.loader is None or not path.exists():
        raise UserError(f"no function {name!r} was kept in {path.parent}")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        return getattr(module, name)
    except Exception as error:
        raise UserError(f"{path} no longer runs ({error}): delete it, and keep it anew") from None


def standing_alone(function: FunctionType) -> str:
    """The source of a file that defines the function and all that it needs.

    Raises:
        UserError: the source is not to be found, or it needs what cannot be written down.
    """
    imports: dict[str, str] = {}
    pieces: dict[str, str] = {}  # in the order in which they were met: the function comes first
    waiting = [function]
    while waiting:
        current = waiting.pop()
        if current.__name__ in pieces:
            continue
        pieces[current.__name__] = source = _source(current)
        for name, value in _needed(source, current):
            if isinstance(value, FunctionType) and value.__module__ == _MAIN:
                waiting.append(value)
                if name != value.__name__:
                    pieces.setdefault(
                        name,
                        f"def {name}(*args, **kwargs):\n"
                        f"    return {value.__name__}(*args, **kwargs)\n",
                    )
            elif (line := _import_line(name, value)) is not None:
                imports[name] = line
            else:
                imports[name] = _constant(name, value, function.__name__)
    body = "\n\n".join(reversed(list(pieces.values())))
    return "\n".join([*sorted(imports.values()), "", "", body])


def _source(function: FunctionType) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        raise UserError(
            f"the source of {function.__name__} is not to be found: run its cell again, then this"
        ) from None
    return inspect.cleandoc("\n" + source) + "\n"


def _needed(source: str, function: FunctionType) -> Iterator[tuple[str, Any]]:
    """The notebook's names that a source uses, annotations and defaults included, with values.

    A name of its own is none, even where the notebook has another thing of that name.
    """
    found: set[str] = set()
    tables = [symtable.symtable(source, function.__name__, "exec")]
    for table in tables:
        tables += table.get_children()
        is_outside = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or is_outside):
                found.add(symbol.get_name())
    for name in sorted(found - {function.__name__}):
        if name in function.__globals__:  # else it is Python's own
            yield name, function.__globals__[name]


def _import_line(name: str, value: Any) -> str | None:
    """The line that imports a value under a name, or None where it came from no module."""
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}" if value.__name__ != _MAIN else None
    origin = getattr(value, "__name__", None)
    homes = [getattr(value, "__module__", None), *sorted(sys.modules, key=len)]
    for home in homes:
        if origin and home and home != _MAIN and _has(home, str(origin), value):
            return f"from {home} import {origin} as {name}"
    return None


def _has(home: str, name: str, value: Any) -> bool:
    return getattr(sys.modules.get(home), "__dict__", {}).get(name) is value


def _constant(name: str, value: Any, function: str) -> str:
    try:
        if ast.literal_eval(repr(value)) == value:
            return f"{name} = {value!r}"
    except (ValueError, SyntaxError):
        pass
    raise UserError(
        f"{function} uses {name!r}, which is not inside it: make it an argument, or move it in"
    )
