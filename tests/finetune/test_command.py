"""What the command says of input that cannot be: one line, exit status 2, nothing left behind."""

import pytest
from small_runs import run

from llmcourse.finetune.__main__ import main

FILES = {
    "empty.csv": 'text,label\n"a b",x\n"",y\n',
    "unlabelled.csv": "text,label\nhello,\n",
    "long.csv": f"text,label\n{'a' * 100_000},x\n",
    "other.csv": "a,b\n1,2\n",
    "short.conll": "Tom B-PER\nran\n\n",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    out = tmp_path_factory.mktemp("base") / "run"
    run(out, objective__name="mlm", steps=2)
    return str(out)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--data empty.csv", "empty.csv:3: the text or a word is empty"),
        ("--data unlabelled.csv", "unlabelled.csv:2: the label is missing (column 'label')"),
        ("--data long.csv", "long.csv:2: 100,000 characters in one example"),
        ("--data other.csv", "other.csv has no column 'text' but a, b: name it (--data.text)"),
        ("--data other.csv --data.text a --data.label c", "other.csv:2 has no column 'c' but a, b"),
        ("--data none.csv", "there is no file none.csv"),
        ("--data .", "has no file called train: name one (--data.train)"),
        ("", "there are no examples to learn from"),
        ("--task tagging --data short.conll", "short.conll, line 2"),
        ("--task labelling --data other.csv", "invalid choice 'labelling'"),
        ("--task tagging --pooling mean", "pooling=mean does nothing with task=tagging"),
        ("--epochs 0 --data other.csv", "epochs=0.0 must be above 0"),
        ("--resume", "--resume needs the run directory"),
        ("--resume --out nothing", "there is no run of llmcourse.finetune in nothing"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, said, base, folder, capsys):
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as ended:
        main(
            ["--base", base, *arguments.split()]
            if "--resume" not in arguments
            else arguments.split()
        )
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "predict needs a run's folder"),
        (["nothing", "a text"], "there is no run of llmcourse.finetune in nothing"),
        (["BASE", "a text"], "its config.json names no base"),
    ],
)
def test_prediction_says_what_it_needs(arguments, said, base, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["predict", *(base if a == "BASE" else a for a in arguments)])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
