import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.fertility import lengths
from llmcourse.tokenizers.bytes_and_chars import ByteTokenizer, CharTokenizer


def test_lengths_by_hand():
    found = lengths(ByteTokenizer(), ["two words", "下雨了。"])
    assert (found.tokens, found.words, found.characters, found.bytes) == (21, 5, 13, 21)
    assert found.fertility == pytest.approx(21 / 5)
    assert found.bytes_per_token == 1


def test_a_larger_vocabulary_makes_longer_tokens():
    found = lengths(CharTokenizer("下雨了。"), ["下雨了。"])
    assert found.bytes_per_token == 3
    assert found.fertility == pytest.approx(4 / 3)


def test_nothing_has_no_fertility():
    nothing = lengths(ByteTokenizer(), [])
    with pytest.raises(UserError, match="without words"):
        _ = nothing.fertility
    with pytest.raises(UserError, match="empty text"):
        _ = nothing.bytes_per_token


def test_a_text_is_no_list_of_texts():
    with pytest.raises(UserError, match="a single one"):
        lengths(ByteTokenizer(), "two words")
