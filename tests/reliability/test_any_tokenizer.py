"""Damaged files of tokenizers, one of each program: refused in a line, or exact as ever.

That every string comes back is held for sound ones by `tests/tokenizers/test_contract.py`.
"""

import gzip
import json

import pytest
import tokenizers as library
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.read_only import ReadOnlySentencePiece
from llmcourse.tokenizers.registry import (
    TOKENIZERS,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from llmcourse.tokenizers.sentencepiece import SentencePieceTokenizer
from llmcourse.tokenizers.template_files import load_template

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.\n" * 3,
    "    indented code:\n        return {'a': 1}\n我们在学习语言模型 Ünïcödé 🙂",
]
SIZES = {"sentencepiece": 312}
TEXTS = [
    *("", "a b", f"a <s> </s> {END_OF_TEXT} <|user|>", "\ud800x", "\0", "▁▁ ▅", "👩‍👩‍👧"),
    *("e\u0301", "עברית\u202e", "\r\n\t ", " " * 30, "語言"),
]
ODD = [
    *(None, True, 0, -1, 1.5, 1e308, "", "a", "\ud800", "ééé", [], {}, [[]], [None], {"a": {}}),
    *(2**70, float("nan"), "\0", [1, 2], [[1, 2]], [[-1, 0]], [300, 300], "語", END_OF_TEXT),
]
"""What may stand anywhere in a file of JSON."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of a tokenizer of each kind, by name, with their bytes."""
    folder = tmp_path_factory.mktemp("sound")
    found = {}
    for kind in TOKENIZERS:
        trained = train_tokenizer(kind, CORPUS, SIZES.get(kind, 300), ["<|user|>"])
        path = save_tokenizer(trained, folder / kind)
        found[kind] = {path.name: path.read_bytes()}
    theirs = library.Tokenizer(library.models.BPE())
    theirs.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    trainer = library.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>"], initial_alphabet=alphabet, show_progress=False
    )
    theirs.train_from_iterator(CORPUS, trainer)
    found["library"] = {"tokenizer.json": theirs.to_str().encode()}
    theirs.model.save(str(folder))
    two = {name: (folder / name).read_bytes() for name in ("vocab.json", "merges.txt")}
    found["gpt2"] = two
    found["packed"] = {f"{name}.gz": gzip.compress(data, 1) for name, data in two.items()}
    return found


@st.composite
def places(draw, value):
    """The JSON value with something odd in one place of it."""
    if draw(st.integers(0, 4)) == 0 or not isinstance(value, dict | list) or not value:
        return draw(st.sampled_from(ODD))
    if isinstance(value, dict):
        key = draw(st.sampled_from([*value]))
        left = {name: one for name, one in value.items() if name != key}
        return (
            left
            if draw(st.booleans()) and len(value) > 9
            else left | {key: draw(places(value[key]))}
        )
    place = draw(st.integers(0, len(value) - 1))
    changed = draw(st.sampled_from(["none", "one", "twice"]))
    ends = {"none": [], "one": [draw(places(value[place]))], "twice": [value[place]] * 2}
    return [*value[:place], *ends[changed], *value[place + 1 :]]


@st.composite
def damaged(draw, data):
    """Bytes with a few places cut, turned or filled; or, of JSON, something odd within."""
    if data[:2] == b'{"' and draw(st.booleans()):
        return json.dumps(draw(places(json.loads(data)))).encode()
    spoilt = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place, length = draw(st.integers(0, len(spoilt))), draw(st.integers(0, 5))
        spoilt[place : place + length] = draw(st.binary(max_size=4))
    return bytes(spoilt[: draw(st.none() | st.integers(0, len(spoilt)))])


def short(error):
    assert 0 < len(str(error)) < 3000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("spoilt")


@pytest.mark.parametrize("kind", [*TOKENIZERS, "library", "gpt2", "packed"])
@given(data=st.data())
def test_a_damaged_file(kind, files, folder, data):
    spoil = data.draw(st.sampled_from([*files[kind]]))
    for old in folder.iterdir():
        old.unlink()
    for name, content in files[kind].items():
        (folder / name).write_bytes(data.draw(damaged(content)) if name == spoil else content)
    try:
        tokenizer = load_tokenizer(folder)
    except UserError as error:
        short(error)
        return
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert all(0 <= one < tokenizer.vocab_size for one in ids)
        assert tokenizer.decode(ids) == text


@given(data=st.data())
def test_a_damaged_model_that_is_only_read_with(files, data):
    (sound,) = files["sentencepiece"].values()
    try:
        tokenizer = ReadOnlySentencePiece(data.draw(damaged(sound)))
    except UserError:
        return
    for text in TEXTS:
        assert isinstance(tokenizer.decode(tokenizer.encode(text)), str)
    for one in range(tokenizer.vocab_size):
        assert isinstance(tokenizer.token_bytes(one), bytes)


TEMPLATE = b"{% for m in messages %}{{ m['role'] }}: {{ m.content }}\n{% endfor %}"


@given(content=damaged(TEMPLATE))
def test_a_damaged_template(folder, content):
    (folder / "chat_template.jinja").write_bytes(content)
    try:
        load_template("auto", folder)
    except UserError as error:
        short(error)


# --- what was wrong once --------------------------------------------------------------------------


def test_half_a_character_can_be_read_with_anybodys_model(files):
    (sound,) = files["sentencepiece"].values()
    tokenizer = ReadOnlySentencePiece(sound)
    assert tokenizer.decode(tokenizer.encode("a \ud800 b")) == "a ? b"


@pytest.mark.parametrize("kind", [SentencePieceTokenizer, ReadOnlySentencePiece])
def test_a_piece_that_is_no_text(kind, files):
    (sound,) = files["sentencepiece"].values()
    place = sound.index(b"<0x41>")
    for wrong in (b"\xff\xff\xff\xff\xff\xff", b"<0xzz>"):
        spoilt = sound[:place] + wrong + sound[place + 6 :]
        with pytest.raises(UserError, match="or a damaged one"):
            kind(spoilt)
