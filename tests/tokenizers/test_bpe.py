import json
from collections import Counter
from itertools import islice, pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.data import pydocs
from llmcourse.errors import UserError
from llmcourse.tokenizers import word_cache
from llmcourse.tokenizers.base import END_OF_TEXT, to_bytes
from llmcourse.tokenizers.bpe import BPETokenizer
from llmcourse.tokenizers.pretokenize import pre_tokens

# Few different characters, so that pairs repeat, overlap and are equally frequent.
REPETITIVE = st.lists(st.text("ab c\n1'é", max_size=30), max_size=6)


# --- oracles -------------------------------------------------------------------------------------


def library_bytes() -> dict[str, int]:
    """The `tokenizers` library's spelling of bytes: which character stands for which."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [value for value in range(256) if value not in printed]
    return {chr(value): value for value in printed} | {
        chr(0x100 + rank): value for rank, value in enumerate(rest)
    }


LIBRARY_BYTES = library_bytes()


def spelled(piece: str) -> bytes:
    return bytes(LIBRARY_BYTES[char] for char in piece)


def library_training(texts, vocab_size) -> tokenizers.Tokenizer:
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    library = tokenizers.Tokenizer(tokenizers.models.BPE())
    library.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    return library


def library_merges(library: tokenizers.Tokenizer) -> list[tuple[bytes, bytes]]:
    merges = json.loads(library.to_str())["model"]["merges"]
    return [(spelled(left), spelled(right)) for left, right in merges]


def our_merges(tokenizer: BPETokenizer) -> list[tuple[bytes, bytes]]:
    return [
        (tokenizer.token_bytes(left), tokenizer.token_bytes(right))
        for left, right in tokenizer.merges
    ]


def library_pieces(library: tokenizers.Tokenizer, text: str) -> list[bytes]:
    return [spelled(piece) for piece in library.encode(text).tokens]


def our_pieces(tokenizer: BPETokenizer, text: str) -> list[bytes]:
    return [tokenizer.token_bytes(token_id) for token_id in tokenizer.encode(text)]


def replace_pair(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    merged, at = [], 0
    while at < len(word):
        if word[at : at + 2] == pair:
            merged.append(pair[0] + pair[1])
            at += 2
        else:
            merged.append(word[at])
            at += 1
    return tuple(merged)


def split_bytes(word: str) -> tuple[bytes, ...]:
    return tuple(bytes([value]) for value in to_bytes(word))


def naive_merges(texts: list[str], n_learned: int) -> list[tuple[bytes, bytes]]:
    """Byte-pair encoding as one tells it: count all pairs, merge the first, begin again."""
    order = {bytes([value]): rank for rank, value in enumerate(LIBRARY_BYTES.values())}
    words = [split_bytes(word) for text in texts for word in pre_tokens(text)]
    merges: list[tuple[bytes, bytes]] = []
    while len(order) < 256 + n_learned:
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        pair = min(counts, key=lambda pair: (-counts[pair], order[pair[0]], order[pair[1]]))
        merges.append(pair)
        order.setdefault(pair[0] + pair[1], len(order))
        words = [replace_pair(word, pair) for word in words]
    return merges


def naive_pieces(merges: list[tuple[bytes, bytes]], text: str) -> list[bytes]:
    words = [split_bytes(word) for word in pre_tokens(text)]
    for pair in merges:
        words = [replace_pair(word, pair) for word in words]
    return [piece for word in words for piece in word]


def largest_training(texts: list[str], n_learned: int) -> BPETokenizer:
    """Learn `n_learned` pieces, or as many as the text has."""
    try:
        return BPETokenizer.train(texts, 257 + n_learned)
    except UserError as error:
        return BPETokenizer.train(texts, int(str(error).split()[-1]))


# --- training ------------------------------------------------------------------------------------


def test_a_trace_by_hand():
    """aaabdaaabac: aa, 4 times; then of ab and (aa)a, twice each, the pair of older pieces."""
    tokenizer = BPETokenizer.train(["aaabdaaabac"], 257 + 3)
    a, b = ord("a"), ord("b")
    assert tokenizer.merges == [(a, a), (a, b), (256, 257)]
    assert tokenizer.encode("aaabdaaabac") == [258, ord("d"), 258, a, ord("c")]
    assert our_pieces(tokenizer, "aaab") == [b"aaab"]


def test_ids_are_bytes_then_pieces_then_end_of_text():
    tokenizer = BPETokenizer.train(["aaaa"], 258)
    assert [tokenizer.token_bytes(token_id) for token_id in (0, 255, 256, 257)] == [
        *(b"\x00", b"\xff", b"aa", b"")
    ]
    assert tokenizer.eot_id == 257
    assert tokenizer.vocab_size == 258


@given(REPETITIVE, st.integers(0, 40))
def test_training_equals_the_naive_one(texts, n_learned):
    assert our_merges(largest_training(texts, n_learned)) == naive_merges(texts, n_learned)


@given(REPETITIVE, st.integers(0, 40))
def test_training_equals_the_librarys(texts, n_learned):
    library = library_training(texts, 257 + n_learned)
    assert our_merges(largest_training(texts, n_learned)) == library_merges(library)


def test_on_real_text_merges_and_pieces_are_the_librarys():
    texts = [document.text for document in islice(pydocs.documents(), 60)]
    library, tokenizer = library_training(texts, 3000), BPETokenizer.train(texts, 3000)
    assert our_merges(tokenizer) == library_merges(library)
    assert tokenizer.vocab_size == library.get_vocab_size() == 3000
    for text in texts[::5]:
        assert our_pieces(tokenizer, text) == library_pieces(library, text)


def test_on_shakespeare_merges_and_pieces_are_the_librarys(data_dir):
    text = (data_dir / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
    library, tokenizer = library_training([text], 4096), BPETokenizer.train([text], 4096)
    assert our_merges(tokenizer) == library_merges(library)
    assert our_pieces(tokenizer, text[:100_000]) == library_pieces(library, text[:100_000])


@given(REPETITIVE)
def test_no_two_merges_spell_the_same_piece(texts):
    tokenizer = largest_training(texts, 60)
    pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    assert len(set(pieces)) == len(pieces)


@given(st.permutations(["ab ab abc", "bca", "aab aab", "cab"]))
def test_the_order_of_texts_does_not_matter(texts):
    assert BPETokenizer.train(texts, 262).merges == BPETokenizer.train(sorted(texts), 262).merges


def test_merges_do_not_cross_words():
    tokenizer = largest_training(["to be or not to be " * 20], 100)
    assert not any(b" " in tokenizer.token_bytes(index)[1:] for index in range(256, 300)
                   if index < tokenizer.vocab_size)  # fmt: skip


def test_a_vocabulary_that_is_too_large_names_the_largest():
    with pytest.raises(UserError, match="more than this text has pieces for") as error:
        BPETokenizer.train(["hello hello"], 9999)
    largest = int(str(error.value).split()[-1])
    assert BPETokenizer.train(["hello hello"], largest).vocab_size == largest
    with pytest.raises(UserError, match=f"at most {largest}$"):
        BPETokenizer.train(["hello hello"], largest + 1)


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(UserError, match="vocab_size=256 is too small: give at least 257"):
        BPETokenizer.train(["hello"], 256)


# --- encoding ------------------------------------------------------------------------------------


@given(REPETITIVE, st.text("ab c\n1'éx", max_size=60))
def test_encoding_equals_the_naive_one(texts, text):
    tokenizer = largest_training(texts, 30)
    assert our_pieces(tokenizer, text) == naive_pieces(our_merges(tokenizer), text)


@given(REPETITIVE, st.text("ab c\n1'éx", max_size=60))
def test_encoding_equals_the_librarys(texts, text):
    library, tokenizer = library_training(texts, 287), largest_training(texts, 30)
    assert our_pieces(tokenizer, text) == library_pieces(library, text)


def test_a_very_long_word_takes_no_more_than_its_length():
    """With 200 000 bytes, a quadratic algorithm would be at it for hours."""
    tokenizer = BPETokenizer.train(["ab" * 50_000, "a" * 50_000], 270)
    for text in ("a" * 200_000, "ab" * 100_000):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert len(ids) < len(text) / 16


def test_many_distinct_words_do_not_change_the_ids(monkeypatch):
    text = "one two three four five six seven one two three " * 3
    tokenizer = largest_training([text], 10)
    expected = tokenizer.encode(text)
    monkeypatch.setattr(word_cache, "MAX_CACHED_WORDS", 2)
    monkeypatch.setattr(word_cache, "MAX_CACHED_LENGTH", 4)
    assert BPETokenizer(tokenizer.merges).encode(text) == expected


@pytest.mark.parametrize(
    "merges", [None, 7, [7], [[97]], [["a", "b"]], [[97, 256]], [[97, 98], [256, 257]], [[-1, 97]]]
)
def test_damaged_merges_are_refused(tmp_path, merges):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "bpe", "merges": merges}))
    with pytest.raises(UserError, match="its merges make no sense"):
        BPETokenizer.load(path)


# --- bytes in another order ----------------------------------------------------------------------


def backwards(token_id: int) -> int:
    return 255 - token_id if token_id < 256 else token_id


def test_the_order_of_bytes_renames_ids_and_changes_no_piece(tmp_path):
    text = "ab ab abc, naïve 语言 ab"
    usual = largest_training([text], 10)
    merges = [(backwards(left), backwards(right)) for left, right in usual.merges]
    tokenizer = BPETokenizer(merges, bytes(range(255, -1, -1)))
    assert tokenizer.encode(text) == [*map(backwards, usual.encode(text))]
    assert tokenizer.decode(tokenizer.encode(text)) == text
    tokenizer.save(tmp_path / "tokenizer.json")
    assert BPETokenizer.load(tmp_path / "tokenizer.json").encode(text) == tokenizer.encode(text)


def test_a_file_from_before_the_order_was_kept_is_read(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "bpe", "merges": [[97, 98]]}))
    assert BPETokenizer.load(path).encode("cab") == [ord("c"), 256]


@pytest.mark.parametrize(
    "order", [None, 7, [], [0] * 256, list(range(255)), ["a"] * 256, list(range(1, 257))]
)
def test_a_damaged_order_of_bytes_is_refused(tmp_path, order):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"kind": "bpe", "merges": [], "byte_order": order}))
    with pytest.raises(UserError, match="damaged"):
        BPETokenizer.load(path)
