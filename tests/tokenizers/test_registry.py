import json

import pytest

from llmcourse.errors import UserError
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer
from llmcourse.tokenizers.registry import load_tokenizer, save_tokenizer, train_tokenizer


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(UserError, match="tokenizer 'bite' is unknown; did you mean 'byte'"):
        train_tokenizer("bite", ["a"], 300)


def test_an_empty_folder_holds_no_tokenizer(tmp_path):
    with pytest.raises(UserError, match=r"there is no tokenizer\.json or tokenizer\.model in"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["nothing.json", "nothing.model"])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(UserError, match=f"there is no tokenizer at .*{name}"):
        load_tokenizer(tmp_path / name)


def test_a_name_nearly_right_is_recognised():
    with pytest.raises(UserError, match="there is no tokenizer at bpx; did you mean 'bpe'"):
        load_tokenizer("bpx")


def test_an_unknown_kind_in_a_file_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "bytes"}))
    with pytest.raises(UserError, match="unknown kind, 'bytes'; did you mean 'byte'"):
        load_tokenizer(path)


@pytest.mark.parametrize("kind", [["bpe"], 7, {}])
def test_a_kind_that_is_no_name_is_refused(tmp_path, kind):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": kind}))
    with pytest.raises(UserError, match="unknown kind"):
        load_tokenizer(path)


def test_a_folder_keeps_only_the_tokenizer_saved_last(tmp_path):
    save_tokenizer(ByteTokenizer(), tmp_path)
    save_tokenizer(train_tokenizer("sentencepiece", ["some text to learn from"], 270), tmp_path)
    assert load_tokenizer(tmp_path).kind == "sentencepiece"
    save_tokenizer(ByteTokenizer(), tmp_path)
    assert load_tokenizer(tmp_path).kind == "byte"
