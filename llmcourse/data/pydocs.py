"""Real English that is on every machine with Python: its own documentation, some 2 MB of it.

Two parts, both read and never run: the language reference that `help()` shows, and the docstrings
of the standard library, taken from its source files. What there is depends on the Python version.
Not here: other texts (`sources`), and the made-up world of the chapters (`tinytown`).
"""

import ast
import os
import re
import sysconfig
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from llmcourse.data.documents import Document, chunk_text
from llmcourse.errors import UserError

SKIPPED_FOLDERS = frozenset(
    {
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "turtledemo",
        "site-packages",
        "dist-packages",
        "ensurepip",
        "__pycache__",
        "encodings",
        "distutils",
        "lib2to3",
        "pydoc_data",
    }
)
"""Tests and demonstrations; what is not the library's own; docstrings that are boilerplate."""

MIN_LENGTH = 200
"""Characters: a topic or module with less to say is left out."""

MIN_QUOTED = 0.1
"""The share of documentation below which a module is not parsed: such modules take most of the time
and have the least to say."""

_QUOTED = re.compile(r'"""(?:[^\\]|\\.)*?"""', re.DOTALL)
_SECTION = re.compile(r"^(?=\S.*\n([*=~^-])\1{2,}$)", re.MULTILINE)  # a line, and its underline
_TABLE_ROW = re.compile(r"^ *[|+][-|+ =].*\n?", re.MULTILINE)

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def documents() -> Iterator[Document]:
    """The language reference, then the library's docstrings, always in the same order.

    Nothing comes twice: no topic that is part of a longer one, and no docstring that another has.

    Raises:
        UserError: this Python was installed without its reference and its library's source.
    """
    count = 0
    for part in (_reference(), _library(Path(sysconfig.get_path("stdlib")))):
        for document in part:
            count += 1
            yield document
    if count == 0:
        raise UserError(
            "this Python has neither pydoc_data nor its library's source files: "
            "install them, or name a file of text as the data source"
        )


def _reference() -> Iterator[Document]:
    """The topics of `help()`, longest first; a long one is cut at its headings."""
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ImportError:
        return
    seen: set[str] = set()
    for label, topic in sorted(topics.items(), key=lambda item: (-len(item[1]), item[0])):
        text = _TABLE_ROW.sub("", topic)
        paragraphs = text.split("\n\n")
        new = sum(len(paragraph) for paragraph in paragraphs if paragraph not in seen)
        seen.update(paragraphs)
        if new >= max(MIN_LENGTH, len(text) / 2):
            yield from chunk_text(_cut(text), f"reference/{label}")


def _cut(text: str) -> list[str]:
    """A text's sections, each with its heading; joined, they are the text."""
    starts = [match.start() for match in _SECTION.finditer(text)]
    return [text[a:b] for a, b in zip([0, *starts], [*starts, len(text)], strict=True)]


def _library(root: Path) -> Iterator[Document]:
    """A document a module, or several for a long one, each a number of whole classes."""
    seen: set[str] = set()
    for path in _source_files(root):
        tree = _parse(path)
        if tree is None:
            continue
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        sections = [section for section in _sections(tree, module, seen) if section]
        if sum(map(len, sections)) >= MIN_LENGTH:
            yield from chunk_text(sections, f"library/{module}")


def _source_files(root: Path) -> Iterator[Path]:
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder, name)


def _parse(path: Path) -> ast.Module | None:
    """The module's syntax tree; None if it cannot be read or has too little to say."""
    try:
        source = path.read_text(encoding="utf-8")
        quoted = sum(match.end() - match.start() for match in _QUOTED.finditer(source))
        return ast.parse(source) if quoted > MIN_QUOTED * len(source) else None
    except (OSError, ValueError, SyntaxError):
        return None


def _sections(tree: ast.Module, module: str, seen: set[str]) -> Iterator[str]:
    """The module with its functions, then each class with its methods, as headed paragraphs."""
    functions = [node for node in tree.body if isinstance(node, _Function)]
    yield _entry(tree, module, seen) + "".join(
        _entry(node, _signature(node, node.name), seen) for node in functions
    )
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield _class_section(node, seen)


def _class_section(node: ast.ClassDef, seen: set[str]) -> str:
    methods = [member for member in node.body if isinstance(member, _Function)]
    return _entry(node, f"class {node.name}", seen) + "".join(
        _entry(method, _signature(method, f"{node.name}.{method.name}"), seen) for method in methods
    )


def _entry(node: ast.Module | ast.ClassDef | _Function, heading: str, seen: set[str]) -> str:
    """A heading with the docstring under it, or nothing if there is none that is new."""
    docstring = (ast.get_docstring(node) or "").strip()
    if not docstring or docstring in seen:
        return ""
    seen.add(docstring)
    underline = "*" * len(heading) + "\n" if isinstance(node, ast.Module) else ""
    return f"{heading}\n{underline}\n{docstring}\n\n"


def _signature(node: _Function, name: str) -> str:
    """`name(first, second, *rest, **options)`, without `self`, defaults and types."""
    args = node.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args) if arg.arg not in ("self", "cls")]
    names += [f"*{args.vararg.arg}"] if args.vararg else ["*"] if args.kwonlyargs else []
    names += [arg.arg for arg in args.kwonlyargs]
    names += [f"**{args.kwarg.arg}"] if args.kwarg else []
    return f"{name}({', '.join(names)})"
