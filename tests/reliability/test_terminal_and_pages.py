"""What strangers call their files reaches no terminal and no page as anything but letters."""

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError, exit_on_user_error, say, visible
from llmcourse.export.card import Facts, model_card
from llmcourse.prepare.report import Report, page

NASTY = {
    "escape": "a\x1b[31mred\x1b]0;title\x07.txt",
    "return": "a\rb.txt",
    "newline": "a\nerror: all is lost.txt",
    "c1": "a\x9b31mb.txt",
    "bidi": "a\u202etxt.exe",
    "separator": "a\u2028b.txt",
    "backspace": "a\b\b\bb.txt",
}
CONTROLS = {*map(chr, range(32)), *map(chr, range(127, 160)), *"\u2028\u202e"} - {"\n"}


@pytest.mark.parametrize("command", ["train", "prepare", "generate", "finetune", "evaluate",
                                     "export", "serve"])  # fmt: skip
@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_a_name_in_an_error(command, name, tmp_path, refused):
    place = str(tmp_path / name)
    arguments = {
        "train": ["--data.source", place, "--out", tmp_path / "out"],
        "prepare": [place, "--out", tmp_path / "out"],
        "finetune": ["--base", place, "--data", place],
        "export": [place, "--out", tmp_path / "out"],
    }.get(command, [place])
    said = refused(command, *arguments)
    assert not CONTROLS & set(said)


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_names_along_the_way(name, tmp_path, text, worked, capsys):
    source, out = tmp_path / name, tmp_path / f"out{name}"
    source.write_bytes(text.read_bytes())
    worked("prepare", source, "--out", out, "--no-filter", "--tokenizer", "byte")
    said = capsys.readouterr()
    assert not CONTROLS & set(said.err + said.out)
    assert not any(line.startswith("error") for line in (said.err + said.out).splitlines())


@given(st.text())
def test_visible_is_one_line_and_says_it_all(text):
    shown = visible(text)
    assert not (CONTROLS | {"\n"}) & set(shown)
    assert shown == text or (CONTROLS | {"\n"} | set("\u2029\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069")) & set(text)  # fmt: skip  # noqa: E501


def test_letters_of_all_languages_stay_as_they_are():
    for text in ("café 猫 हिन्दी עברית 👩‍👧", "a b\xa0c", "é"):
        assert visible(text) == text


def test_say_goes_where_it_is_told():
    file = io.StringIO()
    say("a\x1b", "b", file=file)
    assert file.getvalue() == "a\\x1b\nb\n"


def test_an_error_of_two_lines_is_one(capsys):
    with pytest.raises(SystemExit), exit_on_user_error():
        raise UserError("one\ntwo")
    assert capsys.readouterr().err == "error: one\\ntwo\n"


# --- report.md and the model card -----------------------------------------------------------------

MARKUP = ["<img src=x onerror=alert(1)>", "a\n\n# Heading\n", "`x` <b>bold</b>", "a``b<i>", "a|b",
          "[x](javascript:alert(1))", "a\r\n<script>", "```\n<script>", "\x1b[31m"]  # fmt: skip


def outside_code(line):
    """What Markdown does not show as it is: all but what stands between single backticks."""
    return "".join(line.split("`")[::2])


@pytest.mark.parametrize("name", MARKUP)
def test_names_stand_in_the_report_as_code(name):
    report = Report(tokenizer={"kind": "byte", "vocab_size": 257}, took=1.0)
    report.drop(name, "near-copy", f"of {name}", f"text {name}", 3)
    report.drop(name, "language", "other", "", 3)
    lines = page(report, (name, "b.txt")).splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# What was prepared", "## Dropped, and why", "### near-copy", "### language",
        "## Languages", "## Time",
    ]  # fmt: skip
    for line in lines:
        assert line.count("`") % 2 == 0 or line == "```"
        assert not set("<>[") & set(outside_code(line)), line
    assert not CONTROLS & set("".join(lines))


@pytest.mark.parametrize("name", MARKUP)
def test_names_stand_in_the_card_as_text(name, tmp_path, trained):
    import shutil

    run = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["data"]["source"] = name
    (run / "config.json").write_text(json.dumps(config))
    text = model_card(run, Facts(name=name, license=name, measured={}))
    head, body = text.split("---\n")[1], text.split("---\n", 2)[2]
    yaml = pytest.importorskip("yaml")
    assert set(yaml.safe_load(head)) == {"license", "pipeline_tag", "tags"}
    headings = [line for line in body.splitlines() if line.startswith("# ")]
    assert len(headings) == 1
    for line in body.splitlines():
        assert not set("<>") & set(outside_code(line)), line
    assert sys.getsizeof(text) > 500
