"""Whatever the program did not write, it neither deletes nor replaces."""

import json
import os
import subprocess
import sys

import pytest

from llmcourse.data.prepared import OWN_FILES
from llmcourse.errors import UserError
from llmcourse.files import atomic_directory, clean_up
from llmcourse.locks import try_lock, writing_alone

RAW = ("--no-filter", "--vocab-size", "260", "--tokenizer", "byte")


@pytest.fixture
def prepared(text, tmp_path, worked):
    worked("prepare", text, "--out", tmp_path / "data", *RAW)
    return tmp_path / "data"


def test_a_prepared_folder_is_overwritten(prepared, text, worked):
    """The guard of what follows: nothing is in the way here."""
    assert {path.name for path in prepared.iterdir()} <= OWN_FILES
    worked("prepare", text, "--out", prepared, "--overwrite", *RAW)
    assert {path.name for path in prepared.iterdir()} <= OWN_FILES


@pytest.mark.parametrize(
    "mine",
    ["notes.md", ".hidden", "train.bin.bak", "folder/", "report.md/", "index.sqlite",
     "x -> ../texts", "train.jsonl", "tokenizer.json.old", "prepared.json.tmp",
     "report.md -> ../texts/text.txt"],
)  # fmt: skip
def test_overwrite_keeps_what_it_did_not_write(prepared, text, mine, refused, tree):
    name, _, target = mine.partition(" -> ")
    place = prepared / name
    if mine.endswith("/") or target:
        place.unlink(missing_ok=True)
    if target:
        place.symlink_to(target)
    elif mine.endswith("/"):
        place.mkdir()
        (place / "years.tex").write_text("years of work")
    else:
        place.write_text("years of work")
    before = tree(prepared.parent)
    said = refused("prepare", text, "--out", prepared, "--overwrite", *RAW)
    assert place.name in said
    assert tree(prepared.parent) == before


@pytest.mark.parametrize("name", ["mine.txt", "train.jsonl.gz", "report.md", "below/mine.txt"])
def test_a_source_in_the_folder_is_refused(prepared, text, name, refused, tree):
    source = prepared / name
    source.parent.mkdir(exist_ok=True)
    if not source.exists():
        source.write_bytes(text.read_bytes())
    before = tree(prepared.parent)
    said = refused("prepare", source, "--out", prepared, "--overwrite", *RAW)
    assert str(source) in said
    assert tree(prepared.parent) == before


def test_a_source_behind_a_link_into_the_folder_is_refused(prepared, tmp_path, refused, tree):
    (tmp_path / "link.gz").symlink_to(prepared / "train.jsonl.gz")
    before = tree(tmp_path)
    refused("prepare", tmp_path / "link.gz", "--out", prepared, "--overwrite", *RAW)
    assert tree(tmp_path) == before


def test_what_comes_while_it_works_is_kept(prepared, text, refused, monkeypatch):
    from llmcourse.prepare import pipeline

    real = pipeline.save_tokenizer

    def save(tokenizer, folder):
        (prepared / "mine.txt").write_text("just written")
        return real(tokenizer, folder)

    monkeypatch.setattr(pipeline, "save_tokenizer", save)
    assert "mine.txt" in refused("prepare", text, "--out", prepared, "--overwrite", *RAW)
    assert (prepared / "mine.txt").read_text() == "just written"
    assert {path.name for path in prepared.parent.iterdir()} == {"data", "texts"}


def test_a_folder_that_comes_while_it_works_is_kept(text, tmp_path, refused, monkeypatch):
    from llmcourse.prepare import pipeline

    out, real = tmp_path / "new", pipeline.save_tokenizer

    def save(tokenizer, folder):
        out.mkdir()
        (out / "mine.txt").write_text("just written")
        return real(tokenizer, folder)

    monkeypatch.setattr(pipeline, "save_tokenizer", save)
    assert "mine.txt" in refused("prepare", text, "--out", out, *RAW)
    assert (out / "mine.txt").read_text() == "just written"


@pytest.mark.parametrize("name", [".data.old", ".data.new"])
def test_a_users_folder_that_looks_like_half_a_swap_is_kept(prepared, text, name, refused):
    mine = prepared.parent / name
    mine.mkdir()
    (mine / "years.tex").write_text("years of work")
    assert name in refused("prepare", text, "--out", prepared, "--overwrite", *RAW)
    assert (mine / "years.tex").read_text() == "years of work"


def test_two_at_once_into_one_folder(text, tmp_path, refused):
    out = tmp_path / "new"
    with writing_alone(out):
        assert f"in use by process {os.getpid()}" in refused("prepare", text, "--out", out, *RAW)
        assert not out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["texts"]


HOLD = """
import sys
from pathlib import Path
from llmcourse.locks import writing_alone
with writing_alone(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_lock_whose_holder_was_killed_is_no_hindrance(text, tmp_path, refused, worked):
    out = tmp_path / "new"
    command = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        assert f"in use by process {holder.pid}" in refused("prepare", text, "--out", out, *RAW)
        holder.kill()
    worked("prepare", text, "--out", out, *RAW)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "texts"]


@pytest.mark.parametrize("command", ["export", "prepare"])
def test_a_folder_that_another_process_writes_is_refused(command, writer, text, tmp_path, refused):
    out = tmp_path / "out"
    given = [writer] if command == "export" else [text]
    with writing_alone(out):
        assert "in use by process" in refused(command, *given, "--out", out)


# --- the other commands' --out --------------------------------------------------------------------

NAMES = ["data/train.bin", "model/years.tex", "metrics.jsonl", "report.html", "tokenizer.json",
         "checkpoints/step-00000001/years.tex", ".lock", "samples.md",
         "environment.json"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("command", ["train", "finetune"])
def test_a_run_replaces_nothing_that_was_there(command, name, tmp_path, trained, refused, tree):
    out = tmp_path / "mine"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("years of work")
    (tmp_path / "rows.csv").write_text(
        "text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(20))
    )
    given = {
        "train": ["--preset", "tiny", "--steps", "1", "--data.max-megabytes", "0.02"],
        "finetune": ["--base", trained, "--data", tmp_path / "rows.csv"],
    }[command]
    before = tree(out)
    said = refused(command, *given, "--out", out)
    assert name.split("/")[0] in said
    assert tree(out) == before


def test_a_run_leaves_a_users_hidden_files_alone(tmp_path):
    for name in (".notes.tmp", ".draft.0badf00.tmp", ".my.book.tmp"):
        (tmp_path / name).write_text("years of work")
    (tmp_path / ".thesis.tmp").mkdir()
    (tmp_path / ".model.0badf00d.tmp").touch()
    clean_up(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        ".notes.tmp", ".draft.0badf00.tmp", ".my.book.tmp", ".thesis.tmp"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["content", "link", "folder"])
def test_a_lock_file_that_is_somebody_elses_is_left_alone(kind, tmp_path):
    path, other = tmp_path / ".lock", tmp_path / "other"
    other.write_text("years of work")
    if kind == "content":
        path.write_text("years of work")
    elif kind == "link":
        path.symlink_to(other)
    else:
        path.mkdir()
    with pytest.raises(UserError, match=r"\.lock"):
        try_lock(path)
    assert other.read_text() == "years of work"
    assert kind != "content" or path.read_text() == "years of work"


@pytest.mark.parametrize("kind", ["text", "json", "link", "folder", "list"])
def test_evaluate_replaces_only_its_own_figures(kind, tmp_path, writer, refused, tree):
    out, other = tmp_path / "figures.json", tmp_path / "other"
    other.write_text("years of work")
    {
        "text": lambda: out.write_text("years of work"),
        "json": lambda: out.write_text('{"work": "of years"}'),
        "list": lambda: out.write_text("[1, 2]"),
        "link": lambda: out.symlink_to(other),
        "folder": out.mkdir,
    }[kind]()
    before = tree(tmp_path)
    said = refused("evaluate", writer, "--n", "2", "--out", out)
    assert str(out) in said or str(other) in said
    assert tree(tmp_path) == before


def test_evaluate_replaces_its_own_figures(tmp_path, writer):
    from llmcourse.suites.command import check_out

    (tmp_path / "figures.json").write_text(json.dumps({"run": "runs/mine", "suites": {}}))
    check_out(tmp_path / "figures.json")


@pytest.mark.parametrize("there", ["file", "folder", "empty", "link to empty", "dangling link"])
def test_export_replaces_nothing(there, tmp_path, writer, refused, tree):
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    {
        "file": lambda: out.write_text("years of work"),
        "folder": lambda: (out.mkdir(), (out / "years.tex").write_text("of work")),
        "empty": out.mkdir,
        "link to empty": lambda: out.symlink_to(other),
        "dangling link": lambda: out.symlink_to(tmp_path / "gone"),
    }[there]()
    before = tree(tmp_path)
    assert str(out) in refused("export", writer, "--out", out)
    assert tree(tmp_path) == before


def test_the_place_behind_a_link_stays_what_it_is(tmp_path, text, worked, refused):
    """A link to an empty folder: the folder is filled, the link is a link."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)
    worked("prepare", text, "--out", link, "--overwrite", *RAW)
    assert link.is_symlink()
    assert (real / "prepared.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real", "texts"]


def test_a_file_that_comes_in_place_of_the_folder_is_kept(tmp_path):
    def race():
        with atomic_directory(tmp_path / "new"):
            (tmp_path / "new").write_text("years of work")

    with pytest.raises(UserError, match="new"):
        race()
    assert (tmp_path / "new").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
