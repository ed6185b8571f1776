"""Odd places: one line that says what, where and what to do; status 2; and nothing hangs."""

import os
import shutil
import signal

import pytest
from small_runs import flags, small

from llmcourse.errors import one_line
from llmcourse.files import kind_of

DEEP = "[" * 100_000 + "]" * 100_000
LONG = "x" * 300


@pytest.fixture(autouse=True)
def nothing_hangs():
    """Whoever waits for a pipe is woken; the test then fails."""

    def woken(*_):
        raise AssertionError("it waits for ever")

    before = signal.signal(signal.SIGALRM, woken)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def no_folder(kind, path):
    """Put something at a path that is no folder."""
    if kind == "file":
        path.write_text("years of work")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to(path.parent / "gone")
    elif kind == "link to itself":
        path.symlink_to(path)
    elif kind == "link to a file":
        (path.parent / "other").write_text("years of work")
        path.symlink_to(path.parent / "other")
    elif kind == "link in a circle":
        path.symlink_to(path.parent / "there")
        (path.parent / "there").symlink_to(path)


PLACES = ["file", "pipe", "dangling link", "link to itself", "link to a file", "link in a circle"]


def arguments(command, tmp_path, trained, text):
    """What a command takes beside --out."""
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "".join(f"a {n},x\nb {n},y\n" for n in range(20)))
    tiny = [
        "--preset",
        "tiny",
        "--steps",
        "1",
        "--data.max-megabytes",
        "0.02",
        "--sample-tokens",
        "0",
    ]
    return {
        "train": tiny,
        "prepare": [text],
        "finetune": ["--base", trained, "--data", rows],
        "export": [trained],
    }[command]


@pytest.mark.parametrize("below", [False, True])
@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize("command", ["train", "prepare", "finetune", "export"])
def test_out_is_no_folder(command, kind, below, tmp_path, trained, text, refused, tree):
    given, place = arguments(command, tmp_path, trained, text), tmp_path / "out"
    no_folder(kind, place)
    before = tree(tmp_path)
    said = refused(command, *given, "--out", place / "run" if below else place)
    assert str(place) in said
    assert "--out" in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", [LONG, f"{LONG}/run", "/".join(["y" * 200] * 25)])
@pytest.mark.parametrize("command", ["train", "prepare", "finetune", "export", "evaluate"])
def test_out_has_a_name_that_cannot_be(command, name, tmp_path, trained, text, refused, tree):
    given = [trained] if command == "evaluate" else arguments(command, tmp_path, trained, text)
    before = tree(tmp_path)
    said = refused(command, *given, "--out", tmp_path / name)
    assert "too long" in said or "no folder" in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["train", "finetune"])
def test_a_link_to_a_folder_is_followed(command, tmp_path, trained, text, worked):
    given = arguments(command, tmp_path, trained, text)
    if command == "finetune":
        given += ["--epochs", "1"]
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    worked(command, *given, "--out", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "config.json").is_file()


# --- a folder, a pipe or nonsense where a run has a file ------------------------------------------

RUN_FILES = ["config.json", "metrics.jsonl", "samples.md", "report.html", ".lock",
             "environment.json", "tokenizer.json", "data/train.bin", "data/train.bin.json",
             "data/valid.bin.json", "checkpoints/step-00000002/state.json",
             "checkpoints/step-00000002/optimizer.safetensors",
             "checkpoints/step-00000002/model.safetensors"]  # fmt: skip


def spoil(path, how):
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if how == "folder":
        path.mkdir()
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "deep":
        path.write_text(DEEP)
    elif how == "loop":
        path.symlink_to(path)


@pytest.mark.parametrize("how", ["folder", "pipe", "loop"])
@pytest.mark.parametrize("name", RUN_FILES)
def test_resuming_a_run_with_something_else_in_place_of_a_file(name, how, victim, refused):
    spoil(victim / name, how)
    shutil.rmtree(victim / "checkpoints" / "step-00000001")  # else it would be gone on from
    said = refused("train", "--out", victim, "--resume", "--steps", "3")
    assert name.split("/")[-1].removesuffix(".json") in said or str(victim) in said


@pytest.mark.parametrize(
    "name",
    ["config.json", "metrics.jsonl", "tokenizer.json", "data/train.bin.json",
     "checkpoints/step-00000002/state.json"],
)  # fmt: skip
def test_resuming_a_run_with_json_that_is_100_000_deep(name, victim, refused):
    text = DEEP + "\n" if name.endswith("jsonl") else DEEP
    (victim / name).write_text(text)
    shutil.rmtree(victim / "checkpoints" / "step-00000001")
    said = refused("train", "--out", victim, "--resume", "--steps", "3")
    assert name.split("/")[-1] in said or str(victim) in said


MODEL_FILES = ["model/config.json", "model/model.safetensors", "tokenizer.json", "model"]


@pytest.mark.parametrize("how", ["folder", "pipe", "deep", "loop"])
@pytest.mark.parametrize("name", MODEL_FILES)
@pytest.mark.parametrize("command", ["generate", "serve", "export", "evaluate"])
def test_using_a_run_with_something_else_in_place_of_a_file(
    command, name, how, writer, tmp_path, refused
):
    run = tmp_path / "run"
    shutil.copytree(writer, run)
    if (name, how) == ("model", "folder"):
        how = "pipe"
    spoil(run / name, how)
    given = {"export": ["--out", tmp_path / "out"], "evaluate": ["--n", "2"],
             "generate": ["--max-new-tokens", "2"], "serve": ["--port", "0"]}[command]  # fmt: skip
    said = refused(command, run, *given)
    assert str(run) in said


@pytest.mark.parametrize("command", ["generate", "serve", "export", "evaluate", "finetune"])
@pytest.mark.parametrize("kind", ["file", "pipe", "dangling link", "link to itself", "nothing"])
def test_a_run_that_is_no_folder(command, kind, tmp_path, text, refused):
    place = tmp_path / "run"
    no_folder(kind, place)
    given = {"export": [place, "--out", tmp_path / "out"], "evaluate": [place, "--n", "2"],
             "generate": [place], "serve": [place, "--port", "0"],
             "finetune": arguments("finetune", tmp_path, place, text)}[command]  # fmt: skip
    assert str(place) in refused(command, *given)


@pytest.mark.parametrize("how", ["folder", "pipe", "deep", "loop", "gone"])
def test_a_schema_that_cannot_be_read(how, writer, tmp_path, refused):
    spoil(tmp_path / "schema.json", how)
    assert "schema.json" in refused("generate", writer, "--json-schema", tmp_path / "schema.json")


@pytest.mark.parametrize("how", ["folder", "pipe", "deep", "loop"])
@pytest.mark.parametrize("name", ["prepared.json", "tokenizer.json", "train.bin.json", "train.bin"])
def test_training_on_a_prepared_folder_that_is_spoilt(name, how, text, tmp_path, refused, worked):
    data = tmp_path / "data"
    worked("prepare", text, "--out", data, "--no-filter", "--tokenizer", "byte")
    spoil(data / name, how)
    out = tmp_path / "run"
    said = refused("train", *flags(small(out, data__source=str(data), data__vocab_size=257)))
    assert str(data) in said or name in said
    assert not out.exists()


# --- the folder goes away while the run goes on ---------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "renamed"])
@pytest.mark.parametrize("at", ["step", "save", "evaluate"])
def test_the_runs_folder_goes_away(how, at, tmp_path, refused, monkeypatch):
    import llmcourse.train.loop as loop

    out, real, done = tmp_path / "run", getattr(loop, at), []

    def goes(*given):
        if not done and (out / "config.json").exists():
            done.append(shutil.rmtree(out) if how == "deleted" else out.rename(tmp_path / "moved"))
        return real(*given)

    monkeypatch.setattr(loop, at, goes)
    given = flags(small(out, steps=2, save_every=1, evaluate_every=1, log_every=1))
    said = refused("train", *given)
    assert str(out) in said
    assert done
    assert not out.exists(), "a second folder was made"


def test_a_bug_keeps_its_traceback():
    for error in (ValueError("x"), KeyError("x"), RuntimeError("x"), OSError("x")):
        assert one_line(error) is None


def test_kinds_by_their_names(tmp_path):
    assert kind_of(tmp_path) == "a folder"
    assert kind_of(tmp_path / "gone") == ""
    (tmp_path / "file").touch()
    assert kind_of(tmp_path / "file") == "a file"
    assert kind_of(tmp_path / "file" / "below") == ""
