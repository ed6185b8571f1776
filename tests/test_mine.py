import ast
import json
import linecache
from pathlib import Path

import pytest
import torch

from llmcourse import learner, mine, own_code
from llmcourse.checks.catalog import all_checks
from llmcourse.errors import UserError
from llmcourse.labs import own_machine
from llmcourse.labs.own_machine import Trained
from tools.exercises import BEGIN

ROOT = Path(__file__).resolve().parent.parent


def cell(source, names):
    name = f"<mine {hash(source)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    exec(compile(source, name, "exec"), names)


def notebook(source):
    names = {"__name__": "__main__"}
    cell(source, names)
    return names


RIGHT = "def next_token_pairs(tokens):\n    return tokens[:-1], tokens[1:]"
WRONG = "def next_token_pairs(tokens):\n    return tokens[:-1], tokens[:-1]"
STUB = "def next_token_pairs(tokens):\n    raise NotImplementedError"


def kept(source, capsys):
    mine.keep(notebook(source)["next_token_pairs"])
    return capsys.readouterr().out


def test_every_place_has_one_check_of_its_name():
    for name in mine.PLACES:
        assert [check.name for check in all_checks()].count(name) == 1, name
    assert set(mine.PLACES) == set(own_machine.OwnParts.__dataclass_fields__)


def test_a_stub_is_not_kept(capsys):
    assert kept(STUB, capsys) == mine.NOTHING + "\n"
    assert own_code.names() == []
    assert mine.train() is None
    assert capsys.readouterr().out == mine.NOTHING + "\n"
    assert repr(mine.machine()) == mine.NOTHING
    assert learner.load() == {}


def test_a_right_function_is_kept_and_a_wrong_one_does_not_replace_it(capsys):
    assert "next_token_pairs does not pass its check yet" in kept(WRONG, capsys)
    assert own_code.names() == []
    assert kept(RIGHT, capsys) == "next_token_pairs is in your machine\n1 of 17 parts are yours\n"
    before = (own_code.folder() / "next_token_pairs.py").read_text()
    assert "1 of 17" in kept(WRONG, capsys)
    assert "1 of 17" in kept(STUB, capsys)
    assert (own_code.folder() / "next_token_pairs.py").read_text() == before
    rows = {name: whose for _, name, _, whose in mine.machine().rows()}
    assert rows["next_token_pairs"] == "yours"
    assert rows["write"] == "the package's"
    assert "<strong>yours</strong>" in mine.machine()._repr_html_()


def test_what_cannot_be_kept_says_why(capsys):
    source = (
        f"class Cut: first = slice(None, -1)\n{RIGHT.replace('tokens[:-1]', 'tokens[Cut.first]')}"
    )
    assert "is right, and could not be kept: next_token_pairs uses 'Cut'" in kept(source, capsys)
    assert own_code.names() == []


def test_a_function_without_a_place_is_told_so():
    with pytest.raises(UserError, match="no place for 'bloc'; did you mean 'block'"):
        mine.keep(notebook("def bloc():\n    return 1")["bloc"])
    with pytest.raises(UserError, match="steps=0 must be at least 1"):
        mine.train(0)


def test_training_says_whose_each_part_is_and_compares(capsys, monkeypatch):
    kept(RIGHT, capsys)
    given = []

    def train(parts, steps):
        given.append(parts)
        return Trained([6.96, 5.5, 4.04], "Mia went home.")

    monkeypatch.setattr(own_machine, "train", train)
    monkeypatch.setattr(own_machine, "package_losses", lambda steps, of: [6.96, 5.5, 4.04][:steps])
    mine.train(3)
    said = capsys.readouterr().out
    assert "00  next_token_pairs              yours\n" in said
    assert "3 steps: from 7.0 to 4.0 nats a token\n" in said
    assert "the first 3 losses are those of the package's machine\nMia went home.\n" in said
    assert given[0].next_token_pairs([1, 2]) == ([1], [2])
    assert given[0].write is mine.checks()["write"].right
    monkeypatch.setattr(own_machine, "package_losses", lambda steps, of: [6.96, 5.4, 4.04])
    mine.train(3)
    assert "from step 2 on the losses are not those" in capsys.readouterr().out


# --- the solutions --------------------------------------------------------------------------------


def hand_over(path):
    """Run a solution's imports and functions, and the cell that hands them over."""
    names = {"__name__": "__main__"}
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [("".join(c["source"]), c["id"]) for c in cells if c["cell_type"] == "code"]
    for source, name in code:
        tree = ast.parse(source)
        if name == "own-machine-keep":
            cell(source, names)
        elif name == code[0][1] or BEGIN.search(source):
            kept = [
                n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.FunctionDef)
            ]
            if kept:
                cell("\n\n".join(ast.get_source_segment(source, n) for n in kept), names)


@pytest.fixture
def _in_double():
    """Doubles: in single precision the last digits of a sum grow into the second within a run."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.slow
@pytest.mark.usefixtures("_in_double")
def test_with_all_solutions_every_line_of_the_model_is_yours(monkeypatch):
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        hand_over(path)
    assert mine.machine().summary() == "every line of this model is yours"
    assert all(whose == "yours" for *_, whose in mine.machine().rows())
    texts = own_machine._texts()[:200]
    monkeypatch.setattr(own_machine, "_texts", lambda: texts)
    monkeypatch.setattr(own_machine, "VOCAB_SIZE", 320)
    trained = own_machine.train(mine.parts(), steps=12)
    # The package's clipping adds a millionth to the norm, so the digits are not all the same.
    assert trained.losses == pytest.approx(own_machine.package_losses(12, of=12), abs=2e-4)
    assert trained.losses[-1] < trained.losses[0] - 1
