"""Multiple choice: normalisation by hand, and what a file of questions may hold."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.choices import Question, Scores, read_questions, score_questions

# By hand: A costs 2 nats for 1 token of 4 bytes, B 3 nats for 2 of 12, C 2.5 for 1 of 2.
BY_HAND = Scores(
    np.array([-2.0, -3.0, -2.5]),
    np.array([1.0, 2.0, 1.0]),
    np.array([4.0, 12.0, 2.0]),
    np.array([-1.5, -3.5, -5.0]),
)


@pytest.mark.parametrize(
    ("by", "choice", "best"),
    [("none", 0, -2.0), ("token", 1, -1.5), ("byte", 1, -0.25), ("unconditional", 2, 2.5)],
)
def test_each_normalisation_by_hand(by, choice, best):
    assert BY_HAND.choice(by) == choice
    assert BY_HAND.normalised(by).max() == pytest.approx(best)


def test_an_unknown_normalisation_is_refused():
    with pytest.raises(UserError, match="did you mean 'byte'"):
        BY_HAND.choice("bytes")
    with pytest.raises(UserError, match="not scored without their question"):
        BY_HAND._replace(alone=None).choice("unconditional")


def test_of_equals_the_first():
    assert BY_HAND._replace(log_probs=np.array([-3.0, -2.0, -2.0])).choice() == 1


class Words:
    """A scorer to which a word costs 1 nat, and 0.5 if it stood in the row before."""

    longest = None

    def __call__(self, rows):
        return [
            np.array([-0.5 if row[t] in row[:t] else -1.0 for t in range(1, len(row))])
            for row in rows
        ]


WORDS = ["who", "had", "the", "cat", "mia", "tom", "and", "dog", ":"]


def words(text):
    known = {word: n for n, word in enumerate(WORDS)}
    return [known[word] for word in text.split()]


QUESTIONS = [
    Question(("who had the cat mia",), ("mia", "tom and dog"), 0),
    Question(("mia had the", "tom had the"), ("dog and mia", "dog and mia"), 0),
]


def test_answers_are_scored_behind_their_question():
    first, second = score_questions(Words(), words, QUESTIONS, 99, neutral=":")
    assert first.log_probs.tolist() == [-0.5, -3.0]
    assert first.tokens.tolist() == [1, 3]
    assert first.bytes.tolist() == [3, 11]
    assert first.alone.tolist() == [-1.0, -3.0]
    assert second.log_probs.tolist() == [-2.5, -3.0]  # mia again
    assert score_questions(Words(), words, QUESTIONS, 99)[0].alone is None
    with pytest.raises(UserError, match="no questions"):
        score_questions(Words(), words, [], 99)


def test_both_forms_are_read(tmp_path):
    rows = [
        {"query": "Who?", "choices": ["a", "b", "c"], "gold": 2},
        {"question": "Where?", "choices": ["a", "b"], "answer": 0},
        {"context_options": ["x he", "x she"], "continuation": "left.", "gold": 1},
    ]
    path = tmp_path / "some.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert read_questions(path) == [
        Question(("Who?",), ("a", "b", "c"), 2),
        Question(("Where?",), ("a", "b"), 0),
        Question(("x he", "x she"), ("left.", "left."), 1),
    ]
    assert len(read_questions(path, limit=2)) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"choices": ["a", "b"], "gold": 0}, "needs a `query` and `choices`"),
        ({"query": "q", "choices": ["a", 3], "gold": 0}, "needs a `query`"),
        ({"query": "q", "choices": ["a"], "gold": 0}, "two answers or more"),
        ({"query": "q", "choices": ["a", ""], "gold": 0}, "none of them empty"),
        ({"query": "q", "choices": "ab", "gold": 0}, "two answers or more"),
        ({"query": "q", "choices": ["a", "b"], "gold": 2}, "`gold` is 2"),
        ({"query": "q", "choices": ["a", "b"], "gold": True}, "`gold` is True"),
        ({"query": "q", "choices": ["a", "b"]}, "`gold` is None"),
        ({"context_options": [], "continuation": "x", "gold": 0}, "needs a `query`"),
    ],
)
def test_what_is_no_question_is_named_with_its_line(tmp_path, row, said):
    path = tmp_path / "bad.jsonl"
    good = json.dumps({"query": "q", "choices": ["a", "b"], "gold": 1})
    path.write_text(f"{good}\n{json.dumps(row)}\n")
    with pytest.raises(UserError, match=f"bad.jsonl, line 2: .*{said}"):
        read_questions(path)


def test_real_questions_as_they_are():
    data = os.environ.get("LLMCOURSE_DATA")
    if not data:
        pytest.skip("needs zeroshot_eval: set LLMCOURSE_DATA")
    folder = Path(data) / "zeroshot_eval"
    for name in ("arc_easy", "boolq", "commonsense_qa", "winograd_wsc", "winogrande"):
        assert len(read_questions(folder / f"{name}.jsonl.gz", limit=50)) == 50
