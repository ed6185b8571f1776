"""The command: one table, one file, and one line where something cannot be."""

import json
import subprocess
import sys

import pytest

from llmcourse.evaluate.__main__ import main

GOOD = json.dumps({"sentence_good": "a cat", "sentence_bad": "an cat"})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "pairs.jsonl").write_text(GOOD + "\n")
    (tmp_path / "bad.jsonl").write_text(GOOD + "\n{}\n")
    (tmp_path / "bad_questions.jsonl").write_text('{"query": "q"}\n')
    (tmp_path / "text.txt").write_text("Mia had a cat.\n")
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_prints_a_table_and_writes_a_file(run, other, folder, capsys):
    line = "--suite minimal_pairs text --data minimal_pairs=pairs.jsonl text=text.txt --out f.json"
    assert main([str(run), *line.split(), "--against", str(other)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:3] == ["suite", "figure", "value"]
    assert any(row.startswith("text           bits per byte") for row in shown)
    assert any("95 % interval" in row and "p" in row.split() for row in shown[3:])
    found = json.loads((folder / "f.json").read_text())
    assert set(found) == {"run", "against_run", "suites", "against"}
    (accuracy,) = found["suites"]["minimal_pairs"]
    assert accuracy["n"] == 1
    assert accuracy["baselines"]["uniform"] == 0.5
    assert {one["suite"] for one in found["against"]} == {"minimal_pairs", "text"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--suite minimal_pairs --data bad.jsonl", "bad.jsonl, line 2: sentence_good is missing"),
        (
            "--suite multiple_choice --data bad_questions.jsonl",
            "bad_questions.jsonl, line 1: `choices` must hold",
        ),
        ("--suite minimal_pairs", "the suite minimal_pairs reads pairs"),
        ("--suite minimal_pairs --data none.jsonl", "there is no file or folder none.jsonl"),
        ("--suite tinytown --data text.txt", "none of tinytown reads one"),
        ("--suite text minimal_pairs --data text.txt", "could be for text or minimal_pairs"),
        ("--suite text --data texts=text.txt", "did you mean 'text'"),
        ("--suite text --data text=text.txt text=text.txt", "text has one already"),
        ("--suite texts", "invalid choice"),
        ("--suite labels", "is no run of llmcourse.finetune"),
        ("--n 0", "n=0 must lie between 1 and 1,000,000"),
        ("--stride 0", "stride=0 must be above 0"),
        ("--suite text --stride 321", "a stride of 321 must be at least 1 and below the 321"),
        ("--limit 0", "limit=0 must be above 0"),
        ("--out nowhere/f.json", "there is no folder nowhere"),
        ("--against nothing --suite text", "holds neither a run with a model/ nor a config.json"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, said, run, folder, capsys):
    before = sorted(folder.rglob("*"))
    extra = [] if "--out" in arguments else ["--out", "f.json"]
    with pytest.raises(SystemExit) as ended:
        main([str(run), *arguments.split(), *extra])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert sorted(folder.rglob("*")) == before


def test_a_run_that_is_none(folder, capsys):
    with pytest.raises(SystemExit):
        main(["gone"])
    assert "there is no base 'gone'" in capsys.readouterr().err


def test_help_needs_no_torch():
    script = (
        "import sys\nfrom llmcourse.evaluate.__main__ import main\ntry:\n    main(['--help'])\n"
    )
    script += "except SystemExit:\n    print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"
    assert "tinytown: agreement" in done.stdout
