"""A start that fails leaves nothing behind: no folder, no lock, no data."""

import errno

import pytest
from small_runs import flags, small

from llmcourse.errors import UserError
from llmcourse.export.__main__ import main as export
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.runs.directory import RunDirectory

COMMANDS = {"prepare": prepare, "export": export}
REFUSED = {
    "micro_batch_size": 3,
    "optimizer__lr": float("inf"),
    "optimizer__weight_decay": 1e308,
    "data__tokenizer": "gone.json",
    "data__vocab_size": 3,
    "data__source": "gone.txt",
    "device": "tpu",
}


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a folder with a note", "below"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_is_refused(name, there, tmp_path, refused, tree):
    out = tmp_path / "run" / "deep" / "er" if there == "below" else tmp_path / "run"
    if there == "an empty folder":
        out.mkdir()
    elif there == "a folder with a note":
        out.mkdir()
        (out / "note.md").write_text("years of work")
    before = tree(tmp_path)
    given = flags(small(out, data__max_megabytes=0.02, sample_tokens=0))
    option = "--" + name.replace("__", ".").replace("_", "-")
    refused("train", *given, option, str(REFUSED[name]))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_is_interrupted_before_it_began(there, tmp_path, tree, monkeypatch, capsys):
    from llmcourse.prepare import corpus
    from llmcourse.train.__main__ import main

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpus, "write_tokens", interrupt)
    if there:
        (tmp_path / "run").mkdir()
    before = tree(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(flags(small(tmp_path / "run", data__max_megabytes=0.02)))
    assert ended.value.code == 130
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "stopped before the first checkpoint: nothing was kept"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("wrong", ["--max-length 1 --lr inf", "--epochs inf", "--data gone.csv"])
def test_a_fine_tuning_that_is_refused(wrong, there, tmp_path, trained, refused, tree):
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(20))
    )
    if there:
        (tmp_path / "run").mkdir()
    before = tree(tmp_path)
    given = ["--base", trained, "--data", tmp_path / "rows.csv", "--out", tmp_path / "run"]
    refused("finetune", *given, *wrong.split())
    assert tree(tmp_path) == before


@pytest.mark.parametrize("what", ["interrupt", "full disk", "refused"])
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("command", ["prepare", "export"])
def test_what_fails_halfway(command, there, what, text, writer, tmp_path, tree, monkeypatch):
    from llmcourse.export import ship
    from llmcourse.prepare import pipeline

    def fails(*_):
        raise {
            "interrupt": KeyboardInterrupt(),
            "full disk": OSError(errno.ENOSPC, "No space left on device"),
            "refused": UserError("no"),
        }[what]

    out = tmp_path / "new" / "deep" if there else tmp_path / "new"
    monkeypatch.setattr(ship if command == "export" else pipeline, "save_tokenizer", fails)
    before = tree(tmp_path)
    given = {
        "prepare": [text, "--no-filter", "--tokenizer", "byte"],
        "export": [writer, "--format", "int8"],
    }[command]
    with pytest.raises(SystemExit) as ended:
        COMMANDS[command]([str(one) for one in (*given, "--out", out)])
    assert ended.value.code == (130 if what == "interrupt" else 2)
    assert tree(tmp_path) == before


def test_a_run_that_began_is_kept(tmp_path):
    with RunDirectory.create(tmp_path / "run", resume=False) as run:
        run.write_config({})
    with pytest.raises(ZeroDivisionError), RunDirectory.create(run.path, resume=True):
        raise ZeroDivisionError
    assert run.config.exists()


def test_what_a_user_puts_there_meanwhile_is_kept(tmp_path):
    def start():
        with RunDirectory.create(tmp_path / "run", resume=False) as run:
            (run.path / "mine.md").write_text("years of work")
            raise UserError("no")

    with pytest.raises(UserError):
        start()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.md"]
