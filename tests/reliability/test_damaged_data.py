"""Tokens and tokenizers that are no longer what was written are refused by name, by whoever reads.

Bits flip at places that a seed draws, the file's name. Models and checkpoints: `test_damage.py`.
"""

import os
import random
import shutil
from pathlib import Path

import pytest
from damages import damages
from small_runs import flags, log_of, small, weights_of

from llmcourse.checksums import SUMS, check_files
from llmcourse.data.prepared import READ_FILES, SPLITS
from llmcourse.errors import UserError
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.tokenizers.registry import TOKENIZERS, load_tokenizer
from llmcourse.train.__main__ import main as train
from llmcourse.train.corpus import prepare_corpus

TOKENS = [f"{split}.bin{ending}" for split in SPLITS for ending in ("", ".json")]
OWN = {"data__max_megabytes": 0.5, "data__vocab_size": 512, "data__held_out": 0.05}
"""What the tiny preset says, and so nobody asked for."""


def spoil(path, how="flipped"):
    """Flip one bit of a file in the middle, or remove it."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()  # a link shares its bytes with another place, which is to stay whole
    if how == "flipped":
        path.write_bytes(data)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared folder; never written to."""
    folder = tmp_path_factory.mktemp("prepared")
    text = "".join(f"In year {n} the mill by the river burned down {n * n} times.\n"
                   for n in range(900))  # fmt: skip
    (folder / "text.txt").write_text(text)
    given = ["--vocab-size", "280", "--no-filter", "--similarity", "1"]
    assert prepare([str(folder / "text.txt"), "--out", str(folder / "out"), *given]) == 0
    return folder / "out"


def opens(folder, out):
    """Do what a run does with a prepared folder first."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    prepare_corpus(small(out, data__source=str(folder), **OWN), out / "data", fresh=True)


@pytest.mark.parametrize("name", [*sorted(READ_FILES - {"tokenizer.model"}), SUMS])
def test_a_file_of_a_prepared_folder(name, prepared, tmp_path):
    folder = Path(shutil.copytree(prepared, tmp_path / "folder"))
    data = (folder / name).read_bytes()
    for what, spoilt in damages(data, random.Random(name)):
        (folder / name).write_bytes(spoilt)
        with pytest.raises(UserError) as caught:
            opens(folder, tmp_path / "run")
        said = str(caught.value)
        # A list of checksums with another name or sum in it accuses another file.
        assert name in said or name == SUMS, f"{what}: {said}"
        assert said.endswith("prepare the text again"), f"{what}: {said}"
        assert str(folder) in said
        assert "\n" not in said
    (folder / name).write_bytes(data)
    opens(folder, tmp_path / "run")


@pytest.mark.parametrize("how", ["flipped", "gone"])
@pytest.mark.parametrize("name", TOKENS)
def test_training_on_a_damaged_folder(name, how, prepared, tmp_path, refused, tree):
    folder = Path(shutil.copytree(prepared, tmp_path / "folder"))
    spoil(folder / name, how)
    before = tree(tmp_path)
    given = flags(small(tmp_path / "run", data__source=str(folder), **OWN))
    assert f"{folder} is damaged: {name} " in refused("train", *given)
    assert tree(tmp_path) == before, "nothing is left behind"


@pytest.mark.parametrize("links", [True, False])
def test_a_run_keeps_the_checksums_of_the_folder(links, prepared, tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError("another disk")

    if not links:
        monkeypatch.setattr(os, "link", no_links)
    opens(prepared, tmp_path / "run")
    lists = [(tmp_path / "run" / place / SUMS).read_text() for place in ("", "data")]
    wanted = (prepared / SUMS).read_text().splitlines()
    wanted = [line for line in wanted if not line.endswith("prepared.json")]
    assert sorted("".join(lists).splitlines()) == sorted(wanted)
    check_files(*(tmp_path / "run" / "data" / name for name in TOKENS))


def test_the_checksums_are_those_that_other_programs_compute(prepared):
    import hashlib

    lines = dict(line.split("  ")[::-1] for line in (prepared / SUMS).read_text().splitlines())
    assert lines.keys() == READ_FILES - {"tokenizer.model"}
    for name, digest in lines.items():
        assert hashlib.sha256((prepared / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("name", [*TOKENS, SUMS])
def test_the_tokens_of_a_run(name, victim):
    path, settings = victim / "data" / name, small(victim)
    data = path.read_bytes()
    for what, spoilt in damages(data, random.Random(name)):
        path.write_bytes(spoilt)
        with pytest.raises(UserError) as caught:
            prepare_corpus(settings, victim / "data", fresh=False)
        said = str(caught.value)
        assert name in said or name == SUMS, f"{what}: {said}"
        assert said.endswith("put back a whole copy of the file, or start a new run"), said
        assert "\n" not in said
    path.write_bytes(data)
    prepare_corpus(settings, victim / "data", fresh=False)


@pytest.mark.parametrize("how", ["flipped", "gone"])
@pytest.mark.parametrize("name", [*(f"data/{name}" for name in TOKENS), "tokenizer.json"])
def test_going_on_with_a_run(name, how, victim, refused, tree):
    spoil(victim / name, how)
    before = tree(victim)
    said = refused("train", "--out", victim, "--resume", "--steps", "4")
    assert Path(name).name in said
    assert tree(victim) == before


READERS = {
    "generate": lambda run, _: [run],
    "evaluate": lambda run, _: [run, "--n", "2"],
    "export": lambda run, out: [run, "--out", out],
    "serve": lambda run, _: [run],
    "finetune": lambda run, out: ["--base", run, "--data", run.parent / "rows.csv", "--out", out],
    "prepare": lambda run, out: [run.parent / "rows.csv", "--tokenizer", run, "--out", out],
}


@pytest.mark.parametrize("command", READERS)
def test_a_runs_tokenizer(command, victim, tmp_path, refused, tree):
    rows = "".join(f"the mill {n},x\nthe river {n},y\n" for n in range(20))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    path = victim / "tokenizer.json"
    # Two merges change places: any parser would take it, and all texts would be read wrongly.
    text = path.read_text()
    spoilt = text.replace("[32, 116]", "[32, 117]", 1)
    assert spoilt != text
    path.write_text(spoilt)
    before = tree(tmp_path)
    said = refused(command, *READERS[command](victim, tmp_path / "out"))
    assert f"{victim} is damaged: tokenizer.json does not give its checksum" in said
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_a_runs_held_out_tokens(command, victim, tmp_path, refused):
    spoil(victim / "data" / "valid.bin")
    more = {"export": ["--format", "int8"], "evaluate": ["--suite", "text"]}[command]
    said = refused(command, *READERS[command](victim, tmp_path / "out"), *more)
    assert f"{victim / 'data'} is damaged: valid.bin does not give its checksum" in said


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_any_tokenizer(kind, text, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    wanted = {"data__tokenizer": kind, "data__vocab_size": 300, "data__source": str(text)}
    prepare_corpus(small(out, **wanted), out / "data", fresh=True)
    (path,) = out.glob("tokenizer.*")
    data = path.read_bytes()
    for what, spoilt in damages(data, random.Random(kind)):
        path.write_bytes(spoilt)
        with pytest.raises(UserError) as caught:
            load_tokenizer(out)
        assert f"{out} is damaged: {path.name} does not give" in str(caught.value), what
    path.write_bytes(data)
    load_tokenizer(out)


def test_what_was_fine_tuned(trained, tmp_path, refused, worked):
    rows = "".join(f"the mill {n},x\nthe river {n},y\n" for n in range(20))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    out = tmp_path / "tuned"
    worked("finetune", "--base", trained, "--data", tmp_path / "rows.csv", "--out", out,
           "--epochs", "1", "--batch-size", "8")  # fmt: skip
    for name in ("labels.json", "tokenizer.json"):
        data = (out / name).read_bytes()
        spoil(out / name)
        said = refused("evaluate", out, "--suite", "labels")
        assert f"{out} is damaged: {name} does not give its checksum" in said
        (out / name).write_bytes(data)


def test_what_was_written_before_there_were_checksums(victim, prepared, tmp_path, worked):
    before = weights_of(victim), log_of(victim)
    for folder in (victim, victim / "data"):
        (folder / SUMS).unlink()
    worked("train", "--out", victim, "--resume")
    assert (weights_of(victim), log_of(victim)) == before
    assert not (victim / SUMS).exists()
    folder = Path(shutil.copytree(prepared, tmp_path / "folder"))
    (folder / SUMS).unlink()
    opens(folder, tmp_path / "run")
    assert (tmp_path / "run" / "data" / SUMS).exists(), "the run's own are whole from here on"


def test_a_strangers_list_of_checksums_is_none_of_ours(trained, tmp_path):
    shutil.copyfile(trained / "tokenizer.json", tmp_path / "tokenizer.json")
    for text in ("d0 *weights.bin\n", f"{'0' * 64}  weights.bin\n", ""):
        (tmp_path / SUMS).write_text(text)
        load_tokenizer(tmp_path)
    (tmp_path / SUMS).write_text(f"{'0' * 64}  tokenizer.json\n")
    with pytest.raises(UserError, match=r"tokenizer\.json does not give its checksum"):
        load_tokenizer(tmp_path)


def test_a_sum_is_computed_while_a_file_is_written(tmp_path, text, monkeypatch):
    """Gigabytes are not read again: none of the files of tokens is opened to be hashed."""
    import llmcourse.checksums as checksums

    hashed = []
    real = checksums._sum
    monkeypatch.setattr(checksums, "_sum", lambda path: hashed.append(path.name) or real(path))
    assert (
        prepare([str(text), "--out", str(tmp_path / "out"), "--vocab-size", "280", "--no-filter"])
        == 0
    )
    assert sorted(hashed) == ["prepared.json", "tokenizer.json", *TOKENS[1::2]]
    hashed.clear()
    given = flags(small(tmp_path / "run", steps=1, data__source=str(tmp_path / "out"), **OWN))
    assert train(given) == 0
    assert hashed.count("train.bin") == hashed.count("valid.bin") == 1
