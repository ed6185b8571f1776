"""Chats and pairs from tables: what columns are taken for, and what is refused, by its row."""

import json

import pytest

from llmcourse.errors import UserError
from llmcourse.finetune.chats import read_chats, read_pairs, read_texts
from llmcourse.finetune.settings import DataSettings
from llmcourse.tokenizers.chat import Message

SETTINGS = DataSettings()


@pytest.fixture
def table(tmp_path):
    def write(*rows):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


def says(*contents):
    roles = ("user", "assistant")
    return tuple(Message(roles[n % 2], content) for n, content in enumerate(contents))


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"instruction": "Add.", "input": "1, 2", "output": "3"}, says("Add.\n\n1, 2", "3")),
        ({"instruction": "Hi", "input": "", "output": "Hello"}, says("Hi", "Hello")),
        ({"instruction": "Hi", "context": "x", "response": "y"}, says("Hi\n\nx", "y")),
        ({"prompt": "a", "completion": "b"}, says("a", "b")),
        ({"id": 3, "question": "a", "answer": "b"}, says("a", "b")),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            says("a", "b"),
        ),
        (
            {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
            says("a", "b"),
        ),
        ({"history": ["a", "b"], "prompt": "c", "response": "d"}, says("a", "b", "c", "d")),
        (
            {"system": "Be kind.", "prompt": "a", "response": "b"},
            (Message("system", "Be kind."), *says("a", "b")),
        ),
    ],
)
def test_a_row_becomes_a_chat(table, row, turns):
    (chat,) = read_chats(table(row), SETTINGS)
    assert chat.turns == turns
    assert chat.where == "rows.jsonl:1"


def test_chats_are_the_same_if_all_but_the_answer_is(table):
    rows = [{"prompt": p, "response": r} for p, r in (("Who?", "I."), ("who?", "You."))]
    first, second = read_chats(table(*rows), SETTINGS)
    assert first.key == second.key


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"a": "b"}, "rows.jsonl:2 has no column of answers"),
        ({"response": "b"}, "rows.jsonl:2 holds neither turns (messages) nor a request"),
        (
            {"prompt": "a", "response": " "},
            "rows.jsonl:2: turn 2: the assistant's message is empty",
        ),
        ({"prompt": "a", "response": 3}, "rows.jsonl:2: column 'response' holds int, not text"),
        ({"messages": [{"role": "user", "content": "a"}]}, "the chat ends without an answer"),
        (
            {"messages": [{"role": "assistant", "content": "a"}] * 2},
            "rows.jsonl:2: turn 1 is the assistant's and must be the user's",
        ),
        ({"messages": [{"role": "wizard", "content": "a"}]}, "unknown role 'wizard'"),
        ({"prompt": "a" * 200_001, "response": "b"}, "200,002 characters in one chat"),
    ],
)
def test_what_is_no_chat_is_refused_with_its_row(table, row, said):
    good = {"prompt": "a", "response": "b"}
    with pytest.raises(UserError) as error:
        list(read_chats(table(good, row), SETTINGS))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_pairs_are_texts_or_chats(table):
    turns = [{"role": "user", "content": "a"}]
    rows = [
        {"prompt": "a", "chosen": "b", "rejected": "c"},
        {"instruction": "a", "input": "d", "output": "b", "chosen": "b", "rejected": "c"},
        {
            "chosen": [*turns, {"role": "assistant", "content": "b"}],
            "rejected": [*turns, {"role": "assistant", "content": "c"}],
        },
        {
            "prompt": "a",
            "chosen": [{"role": "assistant", "content": "b"}],
            "rejected": [{"role": "assistant", "content": "c"}],
        },
    ]
    pairs = list(read_pairs(table(*rows), SETTINGS))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [("b", "c")] * 4
    assert [pair.turns[-1].content for pair in pairs] == ["a", "a\n\nd", "a", "a"]
    assert pairs[0].chat(better=False)[-1] == Message("assistant", "c")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "chosen": "b"}, "rows.jsonl:1 has no column 'rejected'"),
        ({"prompt": "a", "chosen": "b", "rejected": "b "}, "are the same: nothing is preferred"),
        ({"prompt": "a", "chosen": "", "rejected": "b"}, "the assistant's message is empty"),
        (
            {
                "chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                "rejected": [
                    {"role": "user", "content": "x"},
                    {"role": "assistant", "content": "c"},
                ],
            },
            "the two chats differ before their last turns",
        ),
    ],
)
def test_what_is_no_pair_is_refused_with_its_row(table, row, said):
    with pytest.raises(UserError) as error:
        list(read_pairs(table(row), SETTINGS))
    assert said in str(error.value)


def test_texts_come_from_any_file(tmp_path, table):
    plain = tmp_path / "text.txt"
    plain.write_text("Once upon a time.\n")
    assert [text.text.strip() for text in read_texts(plain, SETTINGS)] == ["Once upon a time."]
    assert [text.text for text in read_texts(table({"text": "a b"}), SETTINGS)] == ["a b"]


def test_a_book_is_cut_into_stretches_so_that_some_can_be_held_out(tmp_path):
    path = tmp_path / "book.txt"
    lines = [f"Line {number} of a book that somebody wrote.\n" for number in range(200)]
    path.write_text("".join(lines))
    texts = [text.text for text in read_texts(path, SETTINGS)]
    assert len(texts) > 5
    assert all(len(text) >= 990 for text in texts[:-1])
    assert "\n".join(texts) == path.read_text().strip()
