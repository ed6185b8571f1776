import csv
import json
from dataclasses import replace

import pyarrow
import pytest
from pyarrow import parquet

from llmcourse.errors import UserError
from llmcourse.finetune.examples import (
    find_files,
    in_words,
    read_labelled,
    read_splits,
    read_tags,
    texts,
)
from llmcourse.finetune.settings import DataSettings

ROWS = [{"text": f"text number {n}", "label": n % 2} for n in range(60)]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(path, **options):
    return read_splits(read_labelled, DataSettings(source=str(path), **options), seed=0)


@pytest.fixture
def folder(tmp_path):
    written(tmp_path / "x.train.jsonl", ROWS[:40])
    written(tmp_path / "x.valid.jsonl", ROWS[40:50])
    written(tmp_path / "x.test.jsonl", ROWS[50:])
    return tmp_path


def test_a_folder_says_by_its_names_which_split_is_which(folder):
    splits = labelled(folder)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [40, 10, 10]
    assert splits.labels == ["0", "1"]
    assert splits.train[3].words == ("text number 3",)
    assert splits.train[3].labels == ("1",)
    assert splits.train[3].where == "x.train.jsonl:4"


def test_of_one_file_some_is_held_out_and_copies_stay_together(tmp_path):
    rows = ROWS + [{"text": row["text"].upper(), "label": row["label"]} for row in ROWS]
    splits = labelled(written(tmp_path / "all.jsonl", rows), held_out=0.2)
    assert len(splits.train) + len(splits.valid) + len(splits.test) == 120
    keys = [{example.key for example in part} for part in (splits.train, splits.valid, splits.test)]
    assert all(len(part) % 2 == 0 for part in (splits.train, splits.valid, splits.test))
    assert sum(map(len, keys)) == len(set.union(*keys)) == 60


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "json"])
def test_every_kind_of_table_is_read(tmp_path, kind):
    rows = [{"review": row["text"], "topic": "ab"[row["label"]]} for row in ROWS]
    path = tmp_path / f"all.{kind}"
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(
                file, ["review", "topic"], delimiter={"csv": ",", "tsv": "\t"}[kind]
            )
            table.writeheader()
            table.writerows(rows)
    splits = labelled(path)
    assert splits.labels == ["a", "b"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "x", "label": None}, "bad.jsonl:61: the label is missing"),
        ({"text": "x", "label": "  "}, "bad.jsonl:61: the label is missing"),
        ({"text": "x", "label": 0.5}, "bad.jsonl:61: label 0.5 is a number, not a class"),
        ({"text": "x", "label": ["a"]}, "bad.jsonl:61: column 'label' holds list, not a label"),
        ({"text": "x"}, "bad.jsonl:61 has no column 'label' but text"),
        ({"text": "  ", "label": 1}, "bad.jsonl:61: the text or a word is empty"),
        ({"text": 3, "label": 1}, "bad.jsonl:61: column 'text' holds int, not text"),
        ({"text": "a" * 100_000, "label": 1}, "bad.jsonl:61: 100,000 characters in one example"),
    ],
)
def test_a_bad_row_is_named(tmp_path, row, said):
    with pytest.raises(UserError) as caught:
        labelled(written(tmp_path / "bad.jsonl", [*ROWS, row]))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_label_that_training_lacks_is_named(folder):
    written(folder / "x.test.jsonl", [{"text": "new", "label": "oos"}])
    with pytest.raises(UserError, match=r"x.test.jsonl:1: label 'oos' of the test split occurs in"):
        labelled(folder)


def test_an_example_in_two_splits_is_refused_or_dropped(folder):
    written(folder / "x.test.jsonl", [*ROWS[50:], {"text": "Text  number 7", "label": 1}])
    with pytest.raises(UserError, match=r"1 training examples stand .* x.train.jsonl:8 and x.test"):
        labelled(folder)
    assert len(labelled(folder, leaks="drop").train) == 39


def test_an_example_in_validation_and_test_is_refused(folder):
    written(folder / "x.test.jsonl", ROWS[45:])
    with pytest.raises(UserError, match=r"x.test.jsonl:1 stands in the validation split, too"):
        labelled(folder)


def test_a_limit_draws_by_the_seed(folder):
    settings = DataSettings(source=str(folder), limit=12)
    first, again, other = (read_splits(read_labelled, settings, seed) for seed in (0, 0, 1))
    assert len(first.train) == 12
    assert first.train == again.train != other.train


def test_files_are_found_or_named(folder, tmp_path):
    with pytest.raises(UserError, match="no examples to learn from"):
        find_files(DataSettings())
    written(folder / "y.train.jsonl", ROWS)
    with pytest.raises(UserError, match=r"several files for train: x\.train\.jsonl, y\.train"):
        find_files(DataSettings(source=str(folder)))
    named = DataSettings(source=str(folder), train=str(folder / "y.train.jsonl"))
    assert find_files(named)["train"].name == "y.train.jsonl"
    with pytest.raises(UserError, match="has no file called train"):
        find_files(replace(named, train="", source=str(tmp_path / "..")))


def test_one_label_alone_is_nothing_to_tell(tmp_path):
    rows = [{"text": row["text"], "label": "a"} for row in ROWS]
    with pytest.raises(UserError, match="all examples have the label 'a'"):
        labelled(written(tmp_path / "all.jsonl", rows))


def test_tags_that_do_not_line_up_are_named(tmp_path):
    good = {"tokens": ["a", "b"], "tags": ["O", "B-X"]}
    rows = [good] * 3 + [{"tokens": ["a", "b"], "tags": ["O"]}]
    path = written(tmp_path / "x.train.jsonl", rows)
    with pytest.raises(UserError, match="line 4: 2 words and 1 tags"):
        list(read_tags(path, DataSettings()))


def test_plain_text_becomes_words():
    (example,) = in_words(texts(["Tom's dog, Max."]))
    assert example.words == ("Tom's", "dog", ",", "Max", ".")
