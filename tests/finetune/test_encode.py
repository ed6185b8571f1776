import pytest
import torch

from llmcourse.errors import UserError
from llmcourse.finetune.base import Base
from llmcourse.finetune.encode import (
    collate_texts,
    collate_words,
    drop_words,
    encode_text,
    encode_words,
)
from llmcourse.finetune.examples import Example
from llmcourse.models.bert import BERT, modern_bert_recipe
from llmcourse.objectives.base import IGNORE
from llmcourse.randomness import numpy_rng


@pytest.fixture
def base(tmp_path):
    """A base that reads a letter as a token, framed by 1 and 2."""
    sizes = {"vocab_size": 300, "context_length": 12, "d_model": 8, "n_layers": 1, "n_heads": 2}
    model = BERT(modern_bert_recipe(**sizes))

    def encode(text):
        return [ord(letter) % 256 + 10 for letter in text if letter != "\x00"]

    return Base(model, encode, (1,), (2,), 3, 0, tmp_path)


def example(*words, tags=()):
    return Example(words, tuple(tags), "here:1")


def test_a_text_is_framed_and_cut(base):
    assert encode_text(base, example("ab"), [1], 12).ids == (1, 107, 108, 2)
    row = encode_text(base, example("a" * 30), [1], 12)
    assert (len(row.ids), row.ids[0], row.ids[-1]) == (12, 1, 2)


def test_the_first_piece_speaks_for_its_word(base):
    (row,) = encode_words(base, example("ab", "c", tags="XY"), [4, 5], 12)
    space = ord(" ") + 10
    assert row.ids == (1, 107, 108, space, 109, 2)
    assert row.places == (1, 3)
    batch = collate_words([row])
    assert batch.targets.tolist() == [[IGNORE, 4, IGNORE, 5, IGNORE, IGNORE]]
    assert batch.extras["words"].tolist() == [[1, 3]]


def test_there_is_no_space_between_words_that_have_none(base):
    (row,) = encode_words(base, example("很", "好", "a", "b"), [0] * 4, 12)
    assert row.places == (1, 2, 3, 4)


def test_a_long_text_in_words_goes_on_in_another_row(base):
    rows = list(encode_words(base, example(*["abc"] * 5), [0, 1, 2, 3, 4], 12, number=7))
    assert [row.targets for row in rows] == [(0, 1), (2, 3), (4,)]
    assert [(row.example, row.first) for row in rows] == [(7, 0), (7, 2), (7, 4)]
    assert all(len(row.ids) <= 12 for row in rows)


def test_a_word_longer_than_the_context_is_cut(base):
    rows = list(encode_words(base, example("a" * 40, "b"), [0, 1], 12))
    assert [row.targets for row in rows] == [(0,), (1,)]


def test_what_becomes_no_token_is_named(base):
    with pytest.raises(UserError, match="here:1: the tokenizer makes nothing of this text"):
        encode_text(base, example("\x00"), [0], 12)
    with pytest.raises(UserError, match="here:1: the tokenizer makes nothing of the word"):
        list(encode_words(base, example("\x00"), [0], 12))


def test_rows_are_filled_up_and_masked(base):
    rows = [encode_text(base, example(text), [label], 12) for text, label in (("a", 1), ("abc", 0))]
    batch = collate_texts(rows)
    assert batch.ids.shape == (2, 5)
    assert batch.extras["mask"][:, 0, 0].tolist() == [[True] * 3 + [False] * 2, [True] * 5]
    assert batch.labels.tolist() == [1, 0]
    rows = [next(encode_words(base, example(*words), [], 12)) for words in (["a"], ["a", "b"])]
    assert collate_words(rows).extras["words"].tolist() == [[1, -1], [1, 2]]


def test_so_many_words_are_dropped(base):
    batch = collate_texts([encode_text(base, example("abcdefgh"), [0], 12)] * 2000)
    dropped = drop_words(batch, 0.2, 3, numpy_rng(0, "x"))
    changed = dropped.ids != batch.ids
    assert torch.all(dropped.ids[changed] == 3)
    assert abs(changed.float().mean() - 0.2) < 0.01
    assert drop_words(batch, 0.0, 3, numpy_rng(0, "x")) is batch
