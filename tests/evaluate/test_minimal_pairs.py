"""Which sentence is likelier, and what a file of pairs may hold."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from llmcourse.errors import UserError
from llmcourse.evaluate.minimal_pairs import MinimalPair, PairResult, judge_pairs, read_pairs


class Table:
    """A scorer that knows each token's log-probability whatever stands before it."""

    longest = None

    def __call__(self, rows):
        return [np.array([-float(token) for token in row[1:]]) for row in rows]


def letters(text):
    return [ord(letter) - ord("a") for letter in text]


def test_the_likelier_sentence_is_the_models_answer_and_a_tie_is_wrong():
    pairs = [
        MinimalPair("ab", "ac", "b before c"),  # 0 + 1 below 0 + 2
        MinimalPair("ca", "ba", "b before c"),
        MinimalPair("ba", "ab", "order"),  # a tie
        MinimalPair("bb", "c", "length"),  # sums, not means: 2 against 2 is a tie again
        MinimalPair("bb", "d", "length"),
    ]
    found = judge_pairs(Table(), letters, pairs, 0)
    assert found.right.tolist() == [True, False, False, False, True]
    assert found.accuracy.value == 0.4
    assert {kind: one.value for kind, one in found.by_kind.items()} == {
        "b before c": 0.5, "length": 0.5, "order": 0.0,
    }  # fmt: skip
    with pytest.raises(UserError, match="no pairs to judge"):
        judge_pairs(Table(), letters, [], 0)


def test_intervals_are_there_for_each_kind():
    found = PairResult(np.array([True] * 8 + [False] * 2), ("one",) * 10)
    assert found.by_kind["one"] == found.accuracy
    assert found.accuracy.low < 0.8 < found.accuracy.high


def line(good, bad, **more):
    return json.dumps({"sentence_good": good, "sentence_bad": bad, **more})


def test_files_and_folders_are_read(tmp_path):
    (tmp_path / "one.jsonl").write_text(line("a", "b", UID="x") + "\n\n" + line("c", "d", UID="x"))
    with gzip.open(tmp_path / "two.jsonl.gz", "wt") as file:
        file.write(line("e", "f"))
    (tmp_path / "readme.md").write_text("no pairs")
    assert read_pairs(tmp_path) == [
        MinimalPair("a", "b", "x"), MinimalPair("c", "d", "x"), MinimalPair("e", "f", "two"),
    ]  # fmt: skip
    assert len(read_pairs(tmp_path, limit=1)) == 2
    assert read_pairs(tmp_path / "one.jsonl")[1].good == "c"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (line("a", "b") + "\n" + line("", "b"), r"bad.jsonl, line 2: sentence_good is missing"),
        (line("a", 3), r"line 1: sentence_bad is missing or no text"),
        ('{"sentence_good": "a"}', r"line 1: sentence_bad"),
        ("{", r"line 1: this is not JSON"),
        ("", "holds no pairs"),
    ],
)
def test_what_is_no_pair_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "bad.jsonl").write_text(content)
    with pytest.raises(UserError, match=said):
        read_pairs(tmp_path / "bad.jsonl")


def test_no_file_is_said():
    with pytest.raises(UserError, match="no file or folder"):
        read_pairs(Path("nowhere"))


def test_blimp_as_it_is():
    data = os.environ.get("LLMCOURSE_DATA")
    if not data:
        pytest.skip("needs BLiMP: set LLMCOURSE_DATA")
    pairs = read_pairs(Path(data) / "blimp" / "blimp.jsonl.gz", limit=2)
    assert len(pairs) == 134
    assert len({pair.kind for pair in pairs}) == 67
