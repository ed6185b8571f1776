"""What holds for every tokenizer, whichever it is."""

import functools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT, StreamDecoder, Tokenizer, to_bytes
from llmcourse.tokenizers.registry import (
    TOKENIZERS,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.\n" * 3,
    "    indented code:\n        return {'a': 1, 'b': 22}\n\n",
    "我们在学习语言模型。语言模型很有意思。Ünïcödé, too; and 🙂🙃.",
]

AWKWARD = [
    END_OF_TEXT,
    "<unk>",
    "<s>",
    "<0x41>",
    "\0",
    "\ud800",
    "\udfff",
    "\ud83d\ude00",  # a surrogate pair as two code points, which is not the emoji
    "😀",
    "👩‍👩‍👧‍👦",
    "▁",
    "▁▁ ▁",
    "▅",
    "\ufffd",
    "\ufeff",
    "语言",
    "e\u0301",
    "\r\n",
    "\t  \n ",
    "\x1c\x1d\x85\u2028",
    "don't we'll I'D",
    "½Ⅷ٣_",
    " " * 50,
    "a" * 100,
]
TEXTS = st.lists(st.sampled_from(AWKWARD) | st.text(st.characters(), max_size=20)).map("".join)

each_kind = pytest.mark.parametrize("kind", TOKENIZERS)


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    return train_tokenizer(kind, CORPUS, 320)


@each_kind
@given(text=TEXTS)
def test_decoding_inverts_encoding(kind, text):
    tokenizer = tokenizer_of(kind)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@each_kind
@pytest.mark.parametrize("text", ["", *AWKWARD])
def test_awkward_text_comes_back(kind, text):
    tokenizer = tokenizer_of(kind)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@each_kind
@given(text=TEXTS)
def test_the_tokens_bytes_are_the_texts_bytes(kind, text):
    tokenizer = tokenizer_of(kind)
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(text))) == to_bytes(text)


@each_kind
@given(text=TEXTS)
def test_ids_are_in_the_vocabulary_and_never_special(kind, text):
    tokenizer = tokenizer_of(kind)
    special = set(tokenizer.special_ids.values())
    for token_id in tokenizer.encode(text):
        assert 0 <= token_id < tokenizer.vocab_size
        assert token_id not in special


@each_kind
@given(text=TEXTS)
def test_streaming_gives_the_same_text(kind, text):
    tokenizer = tokenizer_of(kind)
    stream = StreamDecoder(tokenizer)
    parts = [stream.push(token_id) for token_id in tokenizer.encode(text)]
    assert "".join(parts) + stream.flush() == text


@each_kind
@given(data=st.data())
def test_any_ids_decode_to_some_text(kind, data):
    tokenizer = tokenizer_of(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1)))
    assert isinstance(tokenizer.decode(ids), str)


@each_kind
def test_special_tokens_are_silent(kind):
    tokenizer = tokenizer_of(kind)
    assert tokenizer.special_ids[END_OF_TEXT] == tokenizer.eot_id
    for token_id in tokenizer.special_ids.values():
        assert tokenizer.token_bytes(token_id) == b""
    assert tokenizer.decode([tokenizer.eot_id, *tokenizer.encode("so"), tokenizer.eot_id]) == "so"


@each_kind
def test_a_saved_tokenizer_is_loaded_equal(kind, tmp_path):
    tokenizer = tokenizer_of(kind)
    path = save_tokenizer(tokenizer, tmp_path / "run")
    for where in (path, tmp_path / "run", str(path)):
        loaded = load_tokenizer(where)
        assert type(loaded) is type(tokenizer)
        assert loaded.special_ids == tokenizer.special_ids
        assert [*map(loaded.token_bytes, range(loaded.vocab_size))] == [
            *map(tokenizer.token_bytes, range(tokenizer.vocab_size))
        ]
        for text in (*CORPUS, *AWKWARD):
            assert loaded.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("kind", sorted({*TOKENIZERS} - {"byte"}))  # which has nothing to learn
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a single text", r"this is a single one: give \[text\]"),
        (b"a single text", "this is a single one"),
        ([b"bytes"], "one is a bytes: give strings"),
        (["a text", Path("a.txt")], "one is a PosixPath: give strings"),
    ],
)
def test_what_is_no_texts_is_refused(unchecked, kind, texts, message):
    """A string is a sequence of strings: of single characters one would learn nothing."""
    with pytest.raises(UserError, match=message) as caught:
        TOKENIZERS[kind].train(texts, 260)
    assert "\n" not in str(caught.value)


@each_kind
def test_training_twice_gives_the_same(kind):
    first, second = tokenizer_of(kind), train_tokenizer(kind, iter(CORPUS), 320)
    assert [*map(first.token_bytes, range(first.vocab_size))] == [
        *map(second.token_bytes, range(second.vocab_size))
    ]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "sentencepiece"])
def test_trained_vocabularies_have_the_size_asked_for(kind):
    assert tokenizer_of(kind).vocab_size == 320
