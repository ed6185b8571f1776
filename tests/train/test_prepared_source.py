"""Training on a folder that `python -m llmcourse.prepare` has written."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from small_runs import flags, log_of, opened, run, small

from llmcourse.data.prepared import SPLITS, read_description, tokens_path
from llmcourse.data.windows import sidecar
from llmcourse.errors import UserError
from llmcourse.prepare.__main__ import main as prepare
from llmcourse.tokenizers.registry import load_tokenizer
from llmcourse.train.__main__ import main
from llmcourse.train.corpus import prepare_corpus

OWN = {"data__max_megabytes": 0.5, "data__vocab_size": 512, "data__held_out": 0.05}
"""What the tiny preset says, and so nobody asked for."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    tale = "Number {} went to town with {} eggs, and came home with {} coins and a story to tell.\n"
    texts = ["".join(tale.format(n, n * k, k * k + n) for k in range(9)) for n in range(200)]
    source = folder / "tales.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    options = ["--held-out", "0.2", "--vocab-size", "290", "--no-filter", "--similarity", "1"]
    assert prepare([str(source), "--out", str(folder / "out"), *options]) == 0
    return folder / "out"


def test_a_run_uses_its_tokenizer_and_its_tokens(prepared, tmp_path):
    result = run(tmp_path / "run", data__source=str(prepared), **OWN)
    assert result.steps == 20
    assert load_tokenizer(tmp_path / "run").vocab_size == 290
    for split in SPLITS:
        used = tokens_path(tmp_path / "run" / "data", split)
        assert os.path.samefile(used, tokens_path(prepared, split))
        assert used.read_bytes() == tokens_path(prepared, split).read_bytes()
        assert sidecar(used).read_bytes() == sidecar(tokens_path(prepared, split)).read_bytes()
    counts = json.loads((tmp_path / "run" / "data" / "corpus.json").read_text())["tokens"]
    description = read_description(prepared)
    assert counts == {"train": description.train.tokens, "valid": description.valid.tokens}


def test_a_resumed_run_needs_the_folder_no_more(prepared, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    run(tmp_path / "run", data__source=str(folder), steps=14, **OWN)
    shutil.rmtree(folder)
    assert main(["--out", str(tmp_path / "run"), "--resume", "--steps", "20"]) == 0
    assert log_of(tmp_path / "run")[-1]["step"] == 20


def test_another_disk_gets_a_copy(prepared, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    settings = small(tmp_path / "run", data__source=str(prepared), **OWN)
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
    for split in SPLITS:
        used = tokens_path(tmp_path / "run" / "data", split)
        assert not os.path.samefile(used, tokens_path(prepared, split))
        assert used.read_bytes() == tokens_path(prepared, split).read_bytes()
    opened(settings, tmp_path / "run")


def test_preparing_anew_does_not_disturb_a_run(prepared, tmp_path):
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    settings = small(tmp_path / "run", data__source=str(folder), **OWN)
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
    before = tokens_path(tmp_path / "run" / "data", "train").read_bytes()
    source = str(prepared.parent / "tales.jsonl")
    options = ["--vocab-size", "260", "--no-filter", "--similarity", "1", "--overwrite"]
    assert prepare([source, "--out", str(folder), *options]) == 0
    assert tokens_path(folder, "train").read_bytes() != before
    assert tokens_path(tmp_path / "run" / "data", "train").read_bytes() == before


def test_another_source_to_validate_on(prepared, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"text": "Quite another text. " * 50}) + "\n")
    settings = small(tmp_path / "run", data__source=str(prepared), data__valid=str(other), **OWN)
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
    corpus = opened(settings, tmp_path / "run")
    assert corpus.tokenizer.decode(corpus.valid.tokens.tolist()) == "Quite another text. " * 50
    assert len(corpus.train.tokens) == read_description(prepared).train.tokens


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("vocab_size", 300, "with 290"),
        ("tokenizer", "char", "with bpe"),
        ("held_out", 0.1, r"with 0\.2"),
        ("max_megabytes", 0.1, "as it is"),
        ("tokenizer_megabytes", 1.0, "as it is"),
    ],
)
def test_what_contradicts_the_folder_is_refused(prepared, tmp_path, name, value, known):
    changes = {"data__source": str(prepared), **OWN, f"data__{name}": value}
    settings = small(tmp_path / "run", **changes)
    with pytest.raises(
        UserError, match=rf"data\.{name}={value} cannot be: .* was prepared {known}"
    ):
        prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)


def test_what_agrees_with_the_folder_is_not_refused(prepared, tmp_path):
    wanted = {"data__vocab_size": 290, "data__held_out": 0.2, "data__max_megabytes": 0.5}
    settings = small(tmp_path / "run", data__source=str(prepared), **wanted)
    prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)


def test_the_command_line_says_it_in_one_line(prepared, tmp_path, capsys):
    wanted = flags(small(tmp_path / "run", data__source=str(prepared), **OWN))
    with pytest.raises(SystemExit) as caught:
        main([*wanted, "--data.vocab-size", "300"])
    assert caught.value.code == 2
    assert re.search(r"^error: data\.vocab_size=300 cannot be", capsys.readouterr().err, re.M)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["train.bin", "valid.bin.json"])
def test_a_folder_that_lacks_a_file(prepared, tmp_path, name):
    folder = tmp_path / "folder"
    shutil.copytree(prepared, folder)
    (folder / name).unlink()
    settings = small(tmp_path / "run", data__source=str(folder), **OWN)
    with pytest.raises(UserError, match=rf"{name} is missing[:;] prepare the text again"):
        prepare_corpus(settings, tmp_path / "run" / "data", fresh=True)
