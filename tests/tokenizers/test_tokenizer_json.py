"""The `tokenizers` library's own file, as it writes it: same ids, wherever it put what."""

import json

import pytest
import tokenizers as library

from llmcourse.errors import UserError
from llmcourse.tokenizers.base import END_OF_TEXT
from llmcourse.tokenizers.gpt2 import read_tokenizer_json
from llmcourse.tokenizers.registry import load_tokenizer, save_tokenizer
from tests.tokenizers.test_gpt2 import AWKWARD

TEXTS = [
    "the cat sat on the mat, and the cat was fat; le chat était là. 语言模型，语言\n" * 5,
    "aaaaaaaa aaaaaa aaaa abababab bababa",
]
SPECIAL = {
    "first": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    "one": [END_OF_TEXT],
    "chat": ["<|im_start|>", "<|im_end|>"],
    "none": [],
}
"""What a trainer is given; it numbers these before everything else."""


def byte_level(**options):
    made = library.Tokenizer(library.models.BPE())
    made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, **options)
    made.decoder = library.decoders.ByteLevel()
    return made


def trained(special, vocab_size=340):
    theirs = byte_level()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(TEXTS, trainer)
    return theirs


@pytest.fixture(params=SPECIAL)
def theirs(request):
    return trained(SPECIAL[request.param])


def same(ours, theirs):
    """Each text's ids are the library's, and its special tokens where they are meant."""
    for text in (*TEXTS, "the fat cat sat", *AWKWARD):
        plain = text.replace(END_OF_TEXT, "")
        assert ours.encode(plain) == theirs.encode(plain, add_special_tokens=False).ids
        assert ours.decode(ours.encode(text)) == text
    names = [token.content for token in theirs.get_added_tokens_decoder().values()]
    text = "the".join(["", *names, ""])
    assert ours.encode(text, "all") == theirs.encode(text, add_special_tokens=False).ids
    assert [ours.special_ids[name] for name in names] == [theirs.token_to_id(n) for n in names]


def test_its_file_gives_its_ids(theirs, tmp_path):
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    same(ours, theirs)
    loaded = load_tokenizer(save_tokenizer(ours, tmp_path / "ours"))
    same(loaded, theirs)
    assert loaded.eot_id == ours.eot_id
    assert [*map(loaded.token_bytes, range(loaded.vocab_size))] == [
        *map(ours.token_bytes, range(ours.vocab_size))
    ]


def test_its_two_files_give_its_ids(theirs, tmp_path):
    theirs.model.save(str(tmp_path))
    same(load_tokenizer(tmp_path), theirs)


def test_all_three_files_in_one_folder(theirs, tmp_path):
    theirs.model.save(str(tmp_path))
    theirs.save(str(tmp_path / "tokenizer.json"))
    same(load_tokenizer(tmp_path), theirs)


@pytest.mark.parametrize(
    ("special", "end"),
    [("first", "</s>"), ("one", END_OF_TEXT), ("chat", "<|im_end|>"), ("none", END_OF_TEXT)],
)
def test_what_ends_a_document(special, end, tmp_path):
    theirs = trained(SPECIAL[special])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    assert ours.eot_id == ours.special_ids[end]
    assert ours.vocab_size == theirs.get_vocab_size() + (special == "none")
    if special == "first":
        chosen = read_tokenizer_json(tmp_path / "tokenizer.json", end="<mask>")
        assert chosen.eot_id == theirs.token_to_id("<mask>")


def test_special_tokens_that_were_added_later(tmp_path):
    theirs = trained(["<s>"])
    theirs.add_special_tokens([END_OF_TEXT, "<|user|>"])
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    same(ours, theirs)
    more = ours.with_special_tokens(["<|more|>"])
    assert more.special_ids["<|more|>"] == theirs.get_vocab_size()
    again = load_tokenizer(save_tokenizer(more, tmp_path / "ours"))
    assert again.special_ids == more.special_ids
    assert again.eot_id == theirs.token_to_id(END_OF_TEXT)


def test_two_merges_that_make_one_piece(tmp_path):
    """The library gives it one id, and goes on merging from it whichever way it came about."""
    letters = library.pre_tokenizers.ByteLevel.alphabet()
    vocab = {letter: index for index, letter in enumerate(sorted(letters))}
    merges = [("b", "c"), ("a", "b"), ("a", "bc"), ("ab", "c"), ("abc", "d"), ("x", "abcd")]
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    assert len(vocab) == 256 + len(merges) - 1
    theirs = byte_level()
    theirs.model = library.models.BPE(vocab, merges)
    theirs.save(str(tmp_path / "tokenizer.json"))
    ours = load_tokenizer(tmp_path)
    for text in ("abcd", "xabcd", "abc", "ab c", "aabccd xabcdd", "bcabcabx"):
        assert ours.encode(text) == theirs.encode(text).ids
    same(load_tokenizer(save_tokenizer(ours, tmp_path / "ours")), theirs)


@pytest.fixture
def spoilt(tmp_path):
    """Save a file of the library after a change to what is in it; return its path."""
    path = tmp_path / "tokenizer.json"
    trained(SPECIAL["one"]).save(str(path))

    def spoil(change):
        content = json.loads(path.read_text("utf-8"))
        change(content)
        path.write_text(json.dumps(content))
        return path

    return spoil


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["model"].update(type="WordPiece"),
            "has a WordPiece model: only byte-level BPE",
        ),
        (lambda c: c["model"].update(dropout=0.1), "has dropout=0.1"),
        (lambda c: c["model"].update(ignore_merges=True), "has ignore_merges=True"),
        (lambda c: c["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix='</w>'"),
        (lambda c: c.update(normalizer={"type": "NFKC"}), "has the normalizer NFKC"),
        (lambda c: c.update(pre_tokenizer=None), "has the pre_tokenizer None"),
        (lambda c: c["pre_tokenizer"].update(type="Metaspace"), "the pre_tokenizer Metaspace"),
        (lambda c: c["pre_tokenizer"].update(add_prefix_space=True), "add_prefix_space=True or"),
        (lambda c: c["pre_tokenizer"].update(use_regex=False), "or use_regex=False"),
        (lambda c: c["added_tokens"][0].update(special=False), "added to its vocabulary"),
        (lambda c: c["model"].pop("merges"), r"is damaged \('merges'\)"),
        (lambda c: c["model"].update(vocab=7), "is damaged"),
        (lambda c: c["model"].update(merges=[["a"]]), "is damaged"),
        (
            lambda c: c["model"]["merges"].append(["q", "zz"]),
            "no piece 'qzz', which its merges make",
        ),
        (lambda c: c["model"]["merges"].reverse(), "join pieces before they have made them"),
        (lambda c: c["model"]["vocab"].update(zz=len(c["model"]["vocab"])), "piece 'zz', which no"),
        (lambda c: c["model"]["vocab"].update(a=0), "does not number its"),
        (lambda c: c["model"]["vocab"].update(a="0"), "is damaged"),
    ],
)
def test_what_would_be_cut_otherwise_is_refused(spoilt, change, message):
    with pytest.raises(UserError, match=message) as caught:
        load_tokenizer(path := spoilt(change))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_one_of_a_sequence_is_read(spoilt):
    def nest(content):
        content["pre_tokenizer"] = {
            "type": "Sequence",
            "pretokenizers": [content["pre_tokenizer"]],
        }

    assert load_tokenizer(spoilt(nest)).encode("the cat")


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("pieces", ["a"]),
        ("pieces", 7),
        ("pieces", ["語"] * 340),
        ("special_ids", {}),
        ("special_ids", {"<s>": "0"}),
        ("special_ids", [0]),
        ("end", "</x>"),
        ("merges", [[0, 1]]),
        ("merges", [[9999, 1]]),
    ],
)
def test_a_damaged_numbering_is_refused(change, value, tmp_path):
    trained(SPECIAL["first"]).save(str(tmp_path / "tokenizer.json"))
    path = save_tokenizer(load_tokenizer(tmp_path), tmp_path / "ours")
    path.write_text(json.dumps({**json.loads(path.read_text()), change: value}))
    with pytest.raises(UserError, match="its merges make no sense"):
        load_tokenizer(path)
