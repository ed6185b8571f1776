"""Special tokens: any number of them, in every tokenizer, meant in a text only where allowed."""

import functools
import json

import pytest
import tokenizers as library
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT, Tokenizer, VocabularyTooLarge
from llmcourse.tokenizers.registry import (
    TOKENIZERS,
    load_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from llmcourse.tokenizers.special import split_special

TURNS = ["<|user|>", "<|user|>s", "<|模型|>", "a|b"]
"""One begins another, one is Chinese, and one is no different from text."""
CORPUS = [
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.\n" * 3,
    "    indented code:\n        return {'a': 1, 'b': 22}\n\n",
    "我们在学习语言模型。语言模型很有意思。Ünïcödé, too; and 🙂🙃.",
]
TEXTS = st.lists(st.sampled_from([*TURNS, END_OF_TEXT, " ", "fox", "<|", "|>", "模"])).map("".join)

each_kind = pytest.mark.parametrize("kind", TOKENIZERS)


@functools.cache
def tokenizer_of(kind: str) -> Tokenizer:
    return train_tokenizer(kind, CORPUS, 324, TURNS)


def naive_split(text: str, names: list[str]) -> list[str]:
    """The stretches of a text and the names in it, looked for at every place, longest first."""
    parts, held, at = [], "", 0
    while at < len(text):
        found = [name for name in names if text.startswith(name, at)]
        if not found:
            held, at = held + text[at], at + 1
            continue
        longest = max(found, key=len)
        parts, held, at = [*parts, held, longest], "", at + len(longest)
    return [part for part in [*parts, held] if part]


@given(text=TEXTS, names=st.sets(st.sampled_from(TURNS)))
def test_names_are_found_as_by_looking_at_every_place(text, names):
    ids = {name: number for number, name in enumerate(TURNS)}
    spelled = {number: name for name, number in ids.items()}
    found = [spelled.get(part, part) for part in split_special(text, ids, names)]
    assert [part for part in found if part] == naive_split(text, sorted(names))


@each_kind
@given(text=TEXTS)
def test_a_text_is_only_text_unless_it_may_be_more(kind, text):
    tokenizer = tokenizer_of(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not {*ids} & {*tokenizer.special_ids.values()}
    assert tokenizer.encode(text, allowed_special=()) == tokenizer.encode(text, set()) == ids


@each_kind
@given(text=TEXTS)
def test_what_is_allowed_is_meant_and_the_rest_is_text(kind, text):
    tokenizer = tokenizer_of(kind)
    for allowed in ([TURNS[0]], {TURNS[2], END_OF_TEXT}, "all"):
        names = list(tokenizer.special_ids) if allowed == "all" else [*allowed]
        expected = []
        for part in naive_split(text, names):
            own = [tokenizer.special_ids[part]] if part in names else tokenizer.encode(part)
            expected += own
        assert tokenizer.encode(text, allowed_special=allowed) == expected
        silent = "".join(part for part in naive_split(text, names) if part not in names)
        assert tokenizer.decode(expected) == silent


@each_kind
def test_they_follow_after_all_other_ids(kind):
    plain = train_tokenizer(kind, CORPUS, 320)
    before = plain.vocab_size
    added = plain.with_special_tokens(TURNS)
    assert [added.special_ids[name] for name in TURNS] == list(range(before, before + len(TURNS)))
    assert added.vocab_size == before + len(TURNS)
    assert added.eot_id == plain.eot_id
    assert [added.token_bytes(index) for index in added.special_ids.values()] == [b""] * len(
        added.special_ids
    )
    assert plain.vocab_size == before, "the one without them is as it was"
    assert TURNS[0] not in plain.special_ids
    assert added.encode(CORPUS[0]) == plain.encode(CORPUS[0])
    again = added.with_special_tokens(["<|more|>"])
    assert again.special_ids["<|more|>"] == added.vocab_size


@each_kind
def test_they_are_saved(kind, tmp_path):
    tokenizer = tokenizer_of(kind)
    loaded = load_tokenizer(save_tokenizer(tokenizer, tmp_path))
    assert loaded.special_ids == tokenizer.special_ids
    assert loaded.vocab_size == tokenizer.vocab_size
    text = f"{TURNS[0]}fox{TURNS[1]}{END_OF_TEXT} dog{TURNS[2]}"
    assert loaded.encode(text, "all") == tokenizer.encode(text, "all")


@each_kind
def test_a_file_without_them_is_what_it_always_was(kind, tmp_path):
    path = save_tokenizer(train_tokenizer(kind, CORPUS, 320), tmp_path)
    if path.suffix == ".json":
        assert "special_tokens" not in json.loads(path.read_text())


@pytest.mark.parametrize("kind", ["bpe", "unigram", "sentencepiece"])
def test_the_size_asked_for_counts_them(kind):
    assert tokenizer_of(kind).vocab_size == 324
    with pytest.raises(VocabularyTooLarge) as caught:
        train_tokenizer(kind, CORPUS, 5000, TURNS)
    assert train_tokenizer(kind, CORPUS, caught.value.largest, TURNS).vocab_size > 300


def test_the_librarys_ids_where_its_special_tokens_are_meant():
    ours = tokenizer_of("bpe")
    theirs = library.Tokenizer(library.models.BPE())
    theirs.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = library.trainers.BpeTrainer(
        vocab_size=319,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(CORPUS, trainer)
    theirs.add_special_tokens([END_OF_TEXT, *TURNS])
    for text in (f"{TURNS[0]}The fox{TURNS[1]} dog{END_OF_TEXT}", "a|b <|user|> s", TURNS[2] * 3):
        pieces = [theirs.id_to_token(index) for index in theirs.encode(text).ids]
        found = ours.encode(text, "all")
        assert len(found) == len(pieces)
        special = {index: name for name, index in ours.special_ids.items()}
        named = [special.get(index) for index in found]
        assert named == [piece if piece in ours.special_ids else None for piece in pieces]


@each_kind
@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("<|user|>", r"several names, not one text: \['<\|user\|>'\]"),
        ([""], "'' is no name of a special token"),
        ([7], "7 is no name"),
        ([END_OF_TEXT], r"a special token '<\|endoftext\|>' already"),
        (["<|x|>", "<|x|>"], r"a special token '<\|x\|>' already"),
    ],
)
def test_names_that_are_none_are_refused(unchecked, kind, names, message):
    for add in (tokenizer_of(kind).with_special_tokens, functools.partial(trained, kind)):
        with pytest.raises(UserError, match=message) as caught:
            add(names)
        assert "\n" not in str(caught.value)


def trained(kind: str, names: list[str]) -> Tokenizer:
    return train_tokenizer(kind, CORPUS, 300, names)


def test_a_piece_of_sentencepiece_is_no_special_token():
    tokenizer = tokenizer_of("sentencepiece")
    piece = next(filter(str.isalpha, map(tokenizer._processor.id_to_piece, range(320))))
    with pytest.raises(UserError, match=f"a piece '{piece}' already"):
        tokenizer.with_special_tokens([piece])


@each_kind
@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (["<|usr|>"], r"'<\|usr\|>' is no special token here; did you mean '<\|user\|>'"),
        ("<|user|>", "must be 'all' or several names"),
    ],
)
def test_allowing_what_is_not_there_is_refused(kind, allowed, message):
    with pytest.raises(UserError, match=message) as caught:
        tokenizer_of(kind).encode("fox", allowed_special=allowed)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["byte", "char", "bpe", "unigram"])
@pytest.mark.parametrize("names", [["a", "a"], "abc", 7, [3], [END_OF_TEXT]])
def test_a_file_that_lists_no_names_is_damaged(kind, names, tmp_path):
    path = save_tokenizer(tokenizer_of(kind), tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "special_tokens": names}))
    with pytest.raises(UserError, match="special tokens make no sense"):
        load_tokenizer(path)
