import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import (
    StreamDecoder,
    byte_lengths,
    from_bytes,
    read_json,
    to_bytes,
    write_json,
)
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer


@given(st.text(st.characters()))
def test_utf8_round_trip_keeps_lone_surrogates(text):
    assert from_bytes(to_bytes(text)) == text


@given(st.text())
def test_bytes_of_proper_text_are_plain_utf8(text):
    assert to_bytes(text) == text.encode("utf-8")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xff", "\ufffd"),
        (b"a\xe2\x82", "a\ufffd"),  # the euro sign without its last byte
        (b"\xe2\x82\xac", "€"),
        (b"\xc0\xaf", "\ufffd\ufffd"),  # an overlong slash is no slash
        (b"\xed\xa0\x80\xff", "\ud800\ufffd"),
    ],
)
def test_bytes_that_are_no_utf8_become_the_replacement_character(data, text):
    assert from_bytes(data) == text


@given(st.lists(st.integers(0, 256)))
def test_streaming_equals_decoding_at_once(ids):
    tokenizer = ByteTokenizer()
    stream = StreamDecoder(tokenizer)
    parts = [stream.push(token_id) for token_id in ids]
    assert "".join(parts) + stream.flush() == tokenizer.decode(ids)


@given(st.text(st.characters()))
def test_streaming_never_shows_part_of_a_character(text):
    stream = StreamDecoder(ByteTokenizer())
    parts = [stream.push(value) for value in to_bytes(text)]
    assert [part for part in parts if part] == list(text)
    assert stream.flush() == ""


def test_streaming_starts_afresh_after_a_flush():
    stream = StreamDecoder(ByteTokenizer())
    assert stream.push(0xE2) == ""
    assert stream.flush() == "\ufffd"
    assert stream.push(ord("a")) == "a"


def test_byte_lengths_count_what_each_id_spells():
    tokenizer = CharTokenizer.train(["aé嗨🙂"])
    assert byte_lengths(tokenizer) == [1] * 256 + [2, 3, 4] + [0]


@pytest.mark.parametrize("token_id", [-1, 257])
def test_an_id_outside_the_vocabulary_is_refused(token_id):
    with pytest.raises(UserError, match=rf"id {token_id} is not in a vocabulary of 257"):
        ByteTokenizer().decode([token_id])


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged"):
        read_json(path)


@pytest.mark.parametrize("content", [[], {"model": {"type": "BPE"}}, {"kind": "char"}])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not a bpe tokenizer of llmcourse"):
        read_json(path, "bpe")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="there is no tokenizer at"):
        read_json(tmp_path / "nothing.json")


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "tokenizer.json", {"kind": "char", "characters": ["é", "\ud800"]})
    content = read_json(tmp_path / "tokenizer.json", "char")
    assert content == {"kind": "char", "characters": ["é", "\ud800"]}
