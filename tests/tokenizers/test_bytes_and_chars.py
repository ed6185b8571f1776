import json

import pytest

from llmcourse.errors import UserError
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer


def test_bytes_are_their_own_ids():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("aé") == [0x61, 0xC3, 0xA9]
    assert tokenizer.vocab_size == 257
    assert tokenizer.eot_id == 256


def test_each_known_character_is_one_id():
    tokenizer = CharTokenizer.train(["嗨é", "嗨a"])
    assert tokenizer.characters == ("é", "嗨")
    assert tokenizer.vocab_size == 259
    assert tokenizer.encode("a嗨é") == [ord("a"), 257, 256]


def test_an_unknown_character_is_spelled_in_bytes():
    tokenizer = CharTokenizer.train(["嗨"])
    assert tokenizer.encode("嗨é") == [256, 0xC3, 0xA9]


def test_ascii_text_needs_no_id_beyond_the_bytes():
    assert CharTokenizer.train(["plain English"]).vocab_size == ByteTokenizer().vocab_size


def test_the_most_frequent_characters_are_kept_when_room_is_short():
    tokenizer = CharTokenizer.train(["嗨嗨é我我我ü"], vocab_size=259)
    assert tokenizer.characters == ("嗨", "我")


def test_of_equally_frequent_characters_the_first_by_code_point_is_kept():
    assert CharTokenizer.train(["嗨é我"], vocab_size=258).characters == ("é",)


def test_no_room_for_the_bytes_is_refused():
    with pytest.raises(UserError, match="vocab_size=256 is too small: give at least 257"):
        CharTokenizer.train(["a"], vocab_size=256)


@pytest.mark.parametrize("characters", [None, "é", ["éé"], ["a"], [7]])
def test_a_damaged_character_list_is_refused(tmp_path, characters):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "char", "characters": characters}))
    with pytest.raises(UserError, match="it lists no characters"):
        CharTokenizer.load(path)
