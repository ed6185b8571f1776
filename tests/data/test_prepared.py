import json

import pytest

from llmcourse.data import sources
from llmcourse.data.prepared import (
    Amount,
    Prepared,
    is_prepared,
    read_description,
    text_path,
    tokens_path,
    write_description,
)
from llmcourse.errors import UserError

PREPARED = Prepared(
    tokenizer="bpe",
    vocab_size=300,
    held_out=0.1,
    train=Amount(documents=9, bytes=900, tokens=300),
    valid=Amount(documents=1, bytes=100, tokens=30),
)


def test_what_is_written_is_read(tmp_path):
    assert not is_prepared(tmp_path)
    write_description(tmp_path, PREPARED)
    assert is_prepared(tmp_path)
    assert read_description(tmp_path) == PREPARED


def test_where_things_are(tmp_path):
    assert text_path(tmp_path, "valid") == tmp_path / "valid.jsonl.gz"
    assert tokens_path(str(tmp_path), "train") == tmp_path / "train.bin"


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_description(tmp_path, PREPARED)
    assert is_prepared("~")
    assert read_description("~") == PREPARED


@pytest.mark.parametrize(
    "source", ["pydocs", "hf:org/name", "gone", "a\0b", "~nobody/x", "x" * 5000]
)
def test_other_sources_are_none(source):
    assert not is_prepared(source)


def test_a_folder_without_a_description(tmp_path):
    with pytest.raises(UserError, match=r"no prepared folder: it holds no prepared\.json"):
        read_description(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"format": 1}',
        '{"format": 1, "train": {}, "valid": 3}',
        "[" * 100_000,
        json.dumps({"format": 1, "train": {"documents": 1}, "valid": {}}),
    ],
)
def test_a_damaged_description(tmp_path, content):
    (tmp_path / "prepared.json").write_text(content)
    with pytest.raises(UserError, match=r"prepared\.json is damaged.*: prepare the data again"):
        read_description(tmp_path)


def test_a_description_of_a_later_version(tmp_path):
    (tmp_path / "prepared.json").write_text('{"format": 2, "new": true}')
    with pytest.raises(UserError, match="another version of llmcourse"):
        read_description(tmp_path)


def test_a_prepared_folder_is_no_source_of_raw_text(tmp_path):
    """It also holds what was dropped."""
    write_description(tmp_path, PREPARED)
    with pytest.raises(UserError, match=r"prepared already: name .*train\.jsonl\.gz"):
        sources.read(str(tmp_path))
