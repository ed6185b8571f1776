import pytest

from llmcourse.data.documents import Document
from llmcourse.data.rows import to_documents
from llmcourse.errors import UserError


def documents_of(*rows):
    return list(to_documents(((f"t:{n}", row) for n, row in enumerate(rows, start=1)), "t"))


def test_the_column_called_text_is_taken():
    rows = [{"title": "A", "text": "first"}, {"title": "B", "text": "second"}]
    assert documents_of(*rows) == [Document("first", "t:1"), Document("second", "t:2")]


@pytest.mark.parametrize("label", [1, "1", "-3.5", "1e9", "nan", None, ["x"], {"a": "b"}, True])
def test_else_the_only_column_of_text(label):
    assert documents_of({"label": label, "story": "once"}) == [Document("once", "t:1")]


def test_several_columns_of_text_are_listed():
    with pytest.raises(
        UserError, match=r"t has no column 'text' but en, zh, n: name .*--data\.column"
    ):
        documents_of({"en": "Hi.", "zh": "嗨。", "n": 3})


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"label": "positive or not", "Content ": "once"}, "once"),
        ({"title": "A long title, much longer than what follows", "body": "once"}, "once"),
        ({"id": "a1", "was": "once upon a time there was a king who had a daughter"}, "once upon"),
        ({"question": "Why?", "answer": "So."}, "Why?\n\nSo."),
        ({"prompt": "Why?", "chosen": "x", "completion": "So."}, "Why?\n\nSo."),
        ({"messages": [{"role": "user", "content": [{"text": "Hi"}, {"image": 1}]}]}, "user: Hi"),
        ({"messages": "Hi.", "n": 1}, "Hi."),
    ],
)
def test_columns_by_name_by_shape_and_by_prose(row, text):
    (document,) = documents_of(row)
    assert document.text.startswith(text)


def test_the_choice_is_made_from_more_than_the_first_row():
    rows = [{"a": "x", "b": None}, *({"a": "x", "b": "a whole sentence of words"} for _ in "123")]
    assert [document.text for document in documents_of(*rows)] == ["a whole sentence of words"] * 3


def test_no_column_of_text_is_listed():
    with pytest.raises(UserError, match="t has no column 'text' but n, m"):
        documents_of({"n": 3, "m": None})


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_rows_without_text_are_passed_over(nothing):
    rows = [{"text": "a"}, {"text": nothing}, {}, {"text": "b"}]
    assert documents_of(*rows) == [Document("a", "t:1"), Document("b", "t:4")]


def test_a_cell_that_is_no_text_is_named():
    with pytest.raises(UserError, match="t:2: column 'text' holds int, not text"):
        documents_of({"text": "a"}, {"text": 7})


def test_rows_are_read_one_at_a_time():
    def rows():
        yield "t:1", {"text": "a"}
        raise AssertionError("nobody asked for the second")

    assert next(to_documents(rows(), "t")) == Document("a", "t:1")
