import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.data.documents import DOCUMENT_LENGTH, Document, chunk_text, is_held_out, split
from llmcourse.errors import UserError

TEXTS = st.text(st.characters(), max_size=30)
FRACTIONS = st.floats(0, 1)


def numbered(n: int) -> list[Document]:
    return [Document(f"document {index}", f"d{index}") for index in range(n)]


@given(TEXTS, TEXTS, TEXTS, FRACTIONS, st.integers(0, 9))
def test_the_side_depends_on_the_text_alone(text, name, other, fraction, seed):
    assert is_held_out(Document(text, name), fraction, seed) == is_held_out(
        Document(text, other), fraction, seed
    )


@given(TEXTS, FRACTIONS, FRACTIONS)
def test_a_larger_fraction_holds_out_more_and_nothing_less(text, one, other):
    document = Document(text, "")
    smaller, larger = sorted((one, other))
    assert is_held_out(document, larger) or not is_held_out(document, smaller)


@pytest.mark.parametrize("fraction", [0.02, 0.1, 0.5])
def test_about_the_fraction_is_held_out(fraction):
    n = 4000
    held_out = sum(is_held_out(document, fraction) for document in numbered(n))
    four_sigma = 4 * (n * fraction * (1 - fraction)) ** 0.5
    assert abs(held_out - n * fraction) < four_sigma


def test_the_ends_hold_out_nothing_and_everything():
    assert not any(is_held_out(document, 0.0) for document in numbered(100))
    assert all(is_held_out(document, 1.0) for document in numbered(100))


def test_another_seed_splits_differently():
    sides = [[is_held_out(d, 0.5, seed) for d in numbered(100)] for seed in (0, 1)]
    assert sides[0] != sides[1]


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
def test_a_fraction_that_is_none_is_refused(fraction):
    with pytest.raises(UserError, match=r"is not between 0 and 1: try 0\.1"):
        is_held_out(Document("a", "a"), fraction)


def test_splitting_keeps_every_document_once_and_in_order():
    documents = numbered(200)
    train, held_out = split(iter(documents), 0.2)
    assert train
    assert held_out
    assert sorted(train + held_out, key=documents.index) == documents
    for side in (train, held_out):
        assert side == sorted(side, key=documents.index)
    assert all(is_held_out(document, 0.2) for document in held_out)


def test_more_documents_move_none_to_the_other_side():
    train, held_out = split(numbered(100), 0.3)
    more_train, more_held_out = split(numbered(300), 0.3)
    assert more_train[: len(train)] == train
    assert more_held_out[: len(held_out)] == held_out


@given(st.lists(st.sampled_from(["a", "\n", " ", "b" * 9000, "c" * 40_000]), max_size=12))
def test_gathering_loses_nothing_but_blank_lines(pieces):
    documents = list(chunk_text(iter(pieces), "book"))
    kept = "".join(document.text for document in documents)
    assert "".join(kept.split()) == "".join("".join(pieces).split())
    assert [document.name for document in documents] == [
        f"book:{number}" for number in range(1, len(documents) + 1)
    ]
    assert all(document.text.strip() for document in documents)


def test_a_gathered_document_ends_with_the_piece_that_fills_it():
    piece = "x" * (DOCUMENT_LENGTH // 2)
    documents = list(chunk_text([piece] * 5, "book"))
    assert [len(document.text) for document in documents] == [
        *(DOCUMENT_LENGTH, DOCUMENT_LENGTH, DOCUMENT_LENGTH // 2)
    ]
