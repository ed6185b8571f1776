"""The rules that keep the package readable, and for each rule a proof that it can be broken.

The rules: imports point strictly downwards and never in a circle; heavy libraries are imported only
where they are the subject; folders re-export nothing; whatever is public says what it is.
"""

import ast
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llmcourse.viz.graph import (
    LEVELS,
    SIDEWAYS,
    draw_package,
    level_of,
    part_graph,
    part_of,
    without_detours,
)
from llmcourse.viz.imports import PACKAGE, deferred_graph, module_graph, source_files

HEAVY = {"matplotlib", "ipywidgets", "IPython", "fastapi", "transformers", "onnx", "datasets"}
LIGHT_UP_TO = level_of("finetune")
SUBJECTS = {"serve"}
"""Parts that are about such a library: all but their commands may need it."""
TORCHLESS = {"tokenizers", "cleaning"}
"""Parts that work on text alone."""
LONGEST_FILE = 400
"""Lines. A file that grows past this usually holds two ideas."""
LONGEST_BODY = 45
"""Lines of a function without its signature and docstring; `train` itself included."""
MOST_PARAMETERS = 7
PARTS = {"Module", "Model", "Attention", "RoPE", "Residual", "KVCache", "Process", "Generator"}
LONGER = {"checks": 900, "tinytown": 600}
"""Parts whose files may be longer: a bank of mistakes, and a plot, are data."""


# --- the rules: each returns what breaks it -------------------------------------------------------


def unknown_parts(root: Path) -> list[str]:
    known = {part for level in LEVELS for part in level}
    return sorted(part_graph(root).keys() - known)


def upward_imports(root: Path) -> list[str]:
    """Imports, deferred ones too, of a part that is not below."""
    found = []
    for part, imported in part_graph(root).items():
        for other in imported:
            free = level_of(part) == level_of(other) == 0 or (part, other) in SIDEWAYS
            if level_of(other) >= level_of(part) and not free:
                found.append(f"{part} imports {other}")
    return sorted(found)


def circles(root: Path) -> list[str]:
    """Modules that need themselves to be imported."""
    graph = {
        module: {name for name in imported if name.startswith(root.name)}
        for module, imported in module_graph(root).items()
    }
    while True:  # take away what needs nothing more; what is left stands in a circle or above one
        leaves = {module for module, needed in graph.items() if not needed & graph.keys()}
        if not leaves:
            return sorted(graph)
        graph = {module: needed for module, needed in graph.items() if module not in leaves}


def heavy_imports(root: Path) -> list[str]:
    return sorted(
        f"{module} imports {name}"
        for module, imported in module_graph(root).items()
        if is_light(module)
        for name in imported
        if name.partition(".")[0] in HEAVY
    )


def torch_in_light_parts(root: Path) -> list[str]:
    return sorted(
        module
        for graph in (module_graph(root), deferred_graph(root))
        for module, imported in graph.items()
        if part_of(module) in TORCHLESS
        and any(name.partition(".")[0] == "torch" for name in imported)
    )


def init_files_with_code(root: Path) -> list[str]:
    """`__init__.py` files with more than a docstring; the root's may set up its environment."""
    return [
        module
        for module, path in source_files(root).items()
        if path.name == "__init__.py" and module != root.name and len(tree_of(path).body) != 1
    ]


def undocumented(root: Path) -> list[str]:
    """Modules, and public functions, classes and methods, without a docstring."""
    found = []
    for module, path in source_files(root).items():
        tree = tree_of(path)
        found += [module] * (not ast.get_docstring(tree))
        found += [f"{module}.{name}" for name in undocumented_in(tree)]
    return found


def undocumented_in(node: ast.Module | ast.ClassDef, prefix: str = "") -> list[str]:
    found = []
    for child in node.body:
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if child.name.startswith("_") or is_overload(child):
            continue
        if not ast.get_docstring(child):
            found.append(prefix + child.name)
        if isinstance(child, ast.ClassDef):
            found += undocumented_in(child, f"{prefix}{child.name}.")
    return found


def long_files(root: Path) -> list[str]:
    lengths = {
        module: len(path.read_text("utf-8").splitlines())
        for module, path in source_files(root).items()
    }
    return [
        f"{module}: {length} lines"
        for module, length in lengths.items()
        if length > LONGER.get(part_of(module), LONGEST_FILE)
    ]


def long_bodies(root: Path) -> list[str]:
    """Functions that no longer fit on a screen, docstring aside."""
    found = []
    for module, path in source_files(root).items():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if length > LONGEST_BODY:
                    found.append(f"{module}.{node.name}: {length} lines")
    return found


def undeclared_imports(root: Path) -> list[str]:
    """Libraries that `pyproject.toml` does not name; another library's dependency may vanish."""
    names = declared()
    graphs = (module_graph(root), deferred_graph(root))
    imported = {
        (module, name.partition(".")[0])
        for graph in graphs
        for module, found in graph.items()
        for name in found
    }
    known = sys.stdlib_module_names | {root.name} | names
    return sorted(f"{module} imports {name}" for module, name in imported if name not in known)


def declared() -> set[str]:
    """The modules of the distributions that `pyproject.toml` names."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["notebook"], *extras["lab"], *extras["test"]]
    lines += [*extras["export"], *extras["serve"], *extras["cluster"]]
    wanted = {canonical(re.match(r"[\w-]+", line)[0]) for line in lines}
    return {
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if wanted & set(map(canonical, names))
    }


def canonical(name: str) -> str:
    """A distribution's name as PyPI compares it."""
    return name.lower().replace("_", "-")


def type_tests_on_models(root: Path) -> list[str]:
    """Questions for a model's class: what it can do it declares. The table of families may ask."""
    found = []
    for module, path in source_files(root).items():
        if module == f"{root.name}.models.registry":
            continue
        tree = tree_of(path)
        kinds = {"model"} | {  # as in `isinstance(x, FAMILIES[name].model)`
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith(f"{root.name}.models")
            for alias in node.names
        }
        found += [
            f"{module}: {ast.unparse(node)}"
            for node in ast.walk(tree)
            if kinds & set(asked_for(node))
        ]
    return found


def asked_for(node: ast.AST) -> list[str]:
    """The names of the classes that a type test asks for; none where the node is no such test."""
    match node:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass"), args=[_, classes]):
            pass
        case ast.MatchClass(cls=classes):
            pass
        case ast.Compare(left=ast.Call(func=ast.Name(id="type")), comparators=[classes]):
            pass
        case _:
            return []
    return [
        part.id if isinstance(part, ast.Name) else part.attr
        for part in ast.walk(classes)
        if isinstance(part, ast.Name | ast.Attribute)
    ]


def wide_signatures(root: Path) -> list[str]:
    """Functions that ask for more than a reader can hold; parts that are passed in do not count."""
    found = []
    for module, path in source_files(root).items():
        if part_of(module) == "checks":  # an exercise asks for what its formula names
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                plain = [
                    arg for arg in every if arg.arg not in ("self", "cls") and not is_part(arg)
                ]
                if len(plain) > MOST_PARAMETERS:
                    found.append(f"{module}.{node.name}: {len(plain)} parameters")
    return found


def is_part(arg: ast.arg) -> bool:
    """Whether an argument is a piece of the machine, ready made."""
    names = re.findall(r"\w+", ast.unparse(arg.annotation)) if arg.annotation else []
    return bool(PARTS & set(names))


RULES = [
    wide_signatures,
    undeclared_imports,
    unknown_parts,
    upward_imports,
    circles,
    heavy_imports,
    torch_in_light_parts,
    init_files_with_code,
    undocumented,
    long_files,
    long_bodies,
    type_tests_on_models,
]


def is_light(module: str) -> bool:
    part = part_of(module)
    return not part or (level_of(part) <= LIGHT_UP_TO and part not in SUBJECTS)


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """A setter or an overload is described where its function is."""
    marks = (ast.unparse(mark) for mark in node.decorator_list)
    return any(mark.endswith(("overload", ".setter")) for mark in marks)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


# --- the package keeps them -----------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    assert rule(PACKAGE) == []


def imported_by(statements: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after some statements."""
    script = f"{statements}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return {name.partition(".")[0] for name in json.loads(ran.stdout.splitlines()[-1])}


def test_importing_all_the_light_modules_loads_nothing_heavy():
    modules = [name for name in source_files() if is_light(name) and "__main__" not in name]
    loaded = imported_by("\n".join(f"import {module}" for module in modules))
    assert "torch" in loaded
    assert loaded & HEAVY == set()


def test_tokenizers_and_cleaning_are_importable_without_torch():
    modules = [name for name in source_files() if part_of(name) in TORCHLESS]
    assert "torch" not in imported_by("\n".join(f"import {module}" for module in modules))


def test_help_is_quick_for_it_needs_no_torch():
    loaded = imported_by("import llmcourse.train.__main__")
    assert not loaded & (HEAVY | {"torch", "tensorboard"})


def test_importing_the_package_sets_the_wait_policy_before_torch():
    policy = (
        "import os, sys; os.environ.pop('GOMP_SPINCOUNT', 0); import llmcourse; "
        "print(*map(os.environ.get, ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')), 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", policy], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["PASSIVE", "3000", "False"]


# --- the rules can be broken ----------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    """Make a package from `{path: source}`; every file gets a docstring unless it has one."""

    def make(files: dict[str, str]) -> Path:
        root = tmp_path / "fake"
        for name, source in {"__init__.py": "", **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            init = path.parent / "__init__.py"
            if not init.exists():
                init.write_text('"""A folder."""\n')
            path.write_text(source if source.startswith('"""') else f'"""A file."""\n{source}')
        return root

    return make


GOOD = {
    "errors.py": "",
    "device.py": "from fake.errors import Oops",
    "tokenizers/base.py": "from fake import errors",
    "data/loader.py": "from fake.tokenizers.base import Tokenizer\nimport torch",
    "generate/decode.py": "def one():\n    '''Say.'''\n    import transformers",
    "evaluate/spans.py": "from fake.generate import decode",
    "viz/style.py": "import matplotlib.pyplot",
}


def test_a_good_package_passes(package):
    root = package(GOOD)
    assert {rule.__name__: rule(root) for rule in RULES} == {rule.__name__: [] for rule in RULES}


BROKEN = {
    "a part that no level names": (unknown_parts, {"misc/things.py": ""}, ["misc"]),
    "an import from above": (
        upward_imports,
        {"nn/mlp.py": "from fake.models.gpt import GPT", "models/gpt.py": ""},
        ["nn imports models"],
    ),
    "an import from above inside a function": (
        upward_imports,
        {"nn/mlp.py": "def f():\n    import fake.models.gpt", "models/gpt.py": ""},
        ["nn imports models"],
    ),
    "an import from above for type checkers alone": (
        upward_imports,
        {"nn/mlp.py": "if X:\n    from ..models.gpt import GPT", "models/gpt.py": ""},
        ["nn imports models"],
    ),
    "folders on one level": (
        upward_imports,
        {"nn/mlp.py": "from fake.optim import adam", "optim/adam.py": ""},
        ["nn imports optim"],
    ),
    "the right pair the wrong way round": (
        upward_imports,
        {"generate/decode.py": "import fake.evaluate.text", "evaluate/text.py": ""},
        ["generate imports evaluate"],
    ),
    "a circle within a part": (
        circles,
        {
            "nn/a.py": "from fake.nn import b",
            "nn/b.py": "from fake.nn.c import x",
            "nn/c.py": "import fake.nn.a",
            "nn/d.py": "",
        },
        ["fake.nn.a", "fake.nn.b", "fake.nn.c"],
    ),
    "a picture in the engine room": (
        heavy_imports,
        {"train/loop.py": "import matplotlib.pyplot as plt"},
        ["fake.train.loop imports matplotlib.pyplot"],
    ),
    "a library that came with another": (
        undeclared_imports,
        {"nn/mlp.py": "import urllib3.util\nimport torch.nn"},
        ["fake.nn.mlp imports urllib3"],
    ),
    "torch in a tokenizer": (
        torch_in_light_parts,
        {"tokenizers/bpe.py": "from torch import Tensor"},
        ["fake.tokenizers.bpe"],
    ),
    "torch in a tokenizer, later": (
        torch_in_light_parts,
        {"tokenizers/bpe.py": "def f():\n    import torch.nn"},
        ["fake.tokenizers.bpe"],
    ),
    "a second import path": (
        init_files_with_code,
        {"nn/__init__.py": "from fake.nn.mlp import MLP", "nn/mlp.py": ""},
        ["fake.nn"],
    ),
    "a module that says nothing": (
        undocumented,
        {"nn/mlp.py": '""""""\nx = 1'},
        ["fake.nn.mlp"],
    ),
    "functions, classes and methods that say nothing": (
        undocumented,
        {
            "nn/mlp.py": "def f(): ...\nclass C:\n    def m(self): ...\n    def _p(self): ...\n"
            "class D:\n    'Says.'\n    @property\n    def width(self): ..."
        },
        ["fake.nn.mlp.f", "fake.nn.mlp.C", "fake.nn.mlp.C.m", "fake.nn.mlp.D.width"],
    ),
    "two ideas in a file": (
        long_files,
        {"nn/mlp.py": "x = 1\n" * LONGEST_FILE},
        [f"fake.nn.mlp: {LONGEST_FILE + 1} lines"],
    ),
    "a function of too many parameters": (
        wide_signatures,
        {
            "nn/mlp.py": "class C:\n    'C.'\n"
            "    def step(self, a, b, c, d, *, e, f, g, h, i: RoPE): 'S.'"
        },
        ["fake.nn.mlp.step: 8 parameters"],
    ),
    "a function longer than a screen": (
        long_bodies,
        {"nn/mlp.py": "def f():\n    'Says.'\n" + "    x = 1\n" * (LONGEST_BODY + 1)},
        [f"fake.nn.mlp.f: {LONGEST_BODY + 1} lines"],
    ),
    "a model that is asked for its class": (
        type_tests_on_models,
        {
            "models/gpt.py": "",
            "evaluate/spans.py": "from fake.models.gpt import GPT\n"
            "a = isinstance(x, int | GPT)\nb = type(x) is GPT\nc = isinstance(x, kind.model)\n"
            "match x:\n    case GPT():\n        pass\nd = isinstance(model, Tensor)",
            "models/registry.py": "from fake.models.gpt import GPT\nisinstance(x, GPT)",
        },
        [
            "fake.evaluate.spans: isinstance(x, int | GPT)",
            "fake.evaluate.spans: type(x) is GPT",
            "fake.evaluate.spans: isinstance(x, kind.model)",
            "fake.evaluate.spans: GPT()",
        ],
    ),
}


@pytest.mark.parametrize(("rule", "files", "found"), BROKEN.values(), ids=BROKEN)
def test_a_broken_rule_is_noticed(package, rule, files, found):
    assert rule(package({**GOOD, **files})) == found


def test_a_heavy_import_is_noticed_in_the_running_interpreter():
    assert imported_by("import ipywidgets") & HEAVY == {"ipywidgets", "IPython"}


# --- the drawing is the graph ---------------------------------------------------------------------


def test_implied_arrows_are_left_out():
    graph = {"train": {"models", "nn"}, "models": {"nn"}, "nn": set()}
    assert without_detours(graph) == {"train": {"models"}, "models": {"nn"}, "nn": set()}


def test_the_drawing_shows_every_part_and_every_import():
    ax = draw_package()
    upper = {part for part in part_graph() if level_of(part)}
    written = [text.get_text() for text in ax.texts]
    assert upper <= set(written)
    graph = part_graph()
    edges = without_detours({part: graph[part] & upper for part in upper})
    for part, below in edges.items():
        arrows = re.findall(r"([↓→])([^↓→]*)", written[written.index(part) + 2])
        drawn = {name: arrow for arrow, names in arrows for name in re.findall(r"\w+", names)}
        beside = {name for name in below if level_of(name) == level_of(part)}
        assert drawn == {name: "→" if name in beside else "↓" for name in below}, part
