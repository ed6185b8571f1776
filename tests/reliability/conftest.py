"""What every attack needs: a victim made once, and a way to see that it was refused in one line."""

import os
import shutil
from pathlib import Path

import pytest
from small_runs import run
from small_server import small_run

from llmcourse.evaluate.__main__ import main as evaluate
from llmcourse.export.__main__ import main as export
from llmcourse.finetune.__main__ import main as finetune
from llmcourse.generate.__main__ import main as generate
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.serve.__main__ import main as serve
from llmcourse.train.__main__ import main as train

COMMANDS = {
    "train": train,
    "prepare": prepare,
    "generate": generate,
    "finetune": finetune,
    "evaluate": evaluate,
    "export": export,
    "serve": serve,
}


@pytest.fixture
def refused(capsys):
    """Run a command; it must end with status 2 and one line of error, which is returned."""

    def refused(command, *arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            COMMANDS[command]([str(one) for one in arguments])
        said = capsys.readouterr().err.splitlines()
        errors = [line for line in said if line.startswith("error: ")]
        assert ended.value.code == 2, said
        assert errors == said[-1:], said
        return errors[0]

    return refused


@pytest.fixture
def worked():
    """Run a command; it must work."""

    def worked(command, *arguments):
        assert COMMANDS[command]([str(one) for one in arguments]) == 0

    return worked


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of two steps; never written to."""
    out = tmp_path_factory.mktemp("trained") / "run"
    run(out, steps=2, save_every=1, data__max_megabytes=0.02, sample_tokens=0)
    return out


@pytest.fixture(scope="session")
def writer(tmp_path_factory):
    """A run that writes and chats, made without training; never written to."""
    return small_run(tmp_path_factory.mktemp("writer") / "run")


@pytest.fixture
def victim(trained, tmp_path):
    """A copy of the trained run, to be spoilt."""
    return Path(shutil.copytree(trained, tmp_path / "victim"))


@pytest.fixture
def text(tmp_path):
    """A text that is long enough to train on, alone in its folder."""
    (tmp_path / "texts").mkdir()
    path = tmp_path / "texts" / "text.txt"
    path.write_text(
        "".join(f"In year {n} the mill by the river burned down.\n" for n in range(400))
    )
    return path


@pytest.fixture
def tree():
    """All that is in a folder: names, kinds, and the bytes of files."""

    def tree(folder):
        found = {}
        for parent, folders, names in os.walk(folder):
            for name in (*folders, *names):
                path = Path(parent, name)
                if path.is_symlink():
                    found[path] = f"link to {os.readlink(path)}"
                else:
                    found[path] = path.read_bytes() if path.is_file() else "no file"
        return found

    return tree
