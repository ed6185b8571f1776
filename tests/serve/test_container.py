"""The recipe of the container, read and not built: what it copies is there, and it starts this."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPE = (ROOT / "Dockerfile").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def instruction(name):
    """The arguments of each instruction of a name, its lines joined."""
    joined = RECIPE.replace("\\\n", " ")
    return re.findall(rf"(?m)^\s*{name} (.+)$", joined)


def test_what_is_copied_is_there_and_reaches_the_builder():
    allowed = re.findall(r"(?m)^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"))
    copied = [name for line in instruction("COPY") for name in line.split()[:-1]]
    assert set(copied) == set(allowed)
    assert all((ROOT / name).exists() for name in copied)
    data = [Path(name) for files in PROJECT["tool"]["setuptools"]["data-files"].values()
            for name in files]  # fmt: skip
    assert {path.parts[0] for path in data} <= set(copied)


def test_it_runs_the_server_as_a_user_without_rights_and_asks_how_it_is():
    (command,) = instruction("ENTRYPOINT")
    words = json.loads(command)
    assert importlib.util.find_spec(words[words.index("-m") + 1])
    assert words[words.index("--host") + 1] == "0.0.0.0"
    assert instruction("USER") == ["llmcourse"]
    assert RECIPE.index("\nUSER") < RECIPE.index("\nENTRYPOINT")
    (health,) = instruction("HEALTHCHECK")
    assert f":{words[words.index('--port') + 1]}/health" in health


def test_the_extra_that_it_installs_and_the_page_come_with_the_package():
    (extra,) = re.findall(r'"\.\[(\w+)\]"', RECIPE)
    assert extra in PROJECT["project"]["optional-dependencies"]
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["llmcourse"]
    found = {path for pattern in patterns for path in (ROOT / "llmcourse").glob(pattern)}
    assert ROOT / "llmcourse" / "serve" / "page.html" in found
