"""Neither side of the split is empty, nothing is on both, and nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcourse.data.documents import Document, is_held_out
from llmcourse.data.prepared import SPLITS
from llmcourse.errors import UserError
from llmcourse.prepare.corpus import read_text
from llmcourse.prepare.held_out import cut_before, split_text
from llmcourse.prepare.notes import Notes
from llmcourse.prepare.report import Report


def sides(folder, texts, held_out=0.05):
    """What is on each side, and what was said."""
    said, report = [], Report()
    documents = (Document(text, f"t:{n}") for n, text in enumerate(texts, 1))
    split_text(documents, held_out, folder, report, lambda *line: said.append(line))
    found = {split: [each.text for each in read_text(folder, split)] for split in SPLITS}
    for split in SPLITS:
        assert report.kept[split]["documents"] == len(found[split])
        assert report.kept[split]["bytes"] == sum(len(text.encode()) for text in found[split])
    assert {path.name for path in folder.iterdir()} == {"train.jsonl.gz", "valid.jsonl.gz"}
    return found["train"], found["valid"], said


def different(n: int, length: int) -> list[str]:
    return [f"{k} " + " ".join(str(k * j) for j in range(length)) for k in range(1, n + 1)]


def test_many_documents_are_split_by_their_hash_alone(tmp_path):
    texts = different(300, 40)
    train, valid, said = sides(tmp_path, texts)
    assert valid == [text for text in texts if is_held_out(Document(text, ""), 0.05)]
    assert sorted(train + valid) == sorted(texts)
    assert said == []


@pytest.mark.parametrize("held_out", [0.001, 0.05, 0.5, 0.999])
def test_one_document_is_cut(tmp_path, held_out):
    (text,) = different(1, 2000)
    train, valid, said = sides(tmp_path, [text], held_out)
    assert "".join(train + valid) == text
    assert len(train) == len(valid) == 1
    assert said[0][0] == "held out"


@given(st.lists(st.integers(30, 400), min_size=1, max_size=30), st.sampled_from([0.01, 0.05, 0.3]))
def test_nothing_is_lost_and_both_sides_hold_something(tmp_path_factory, lengths, held_out):
    texts = [
        f"{n}: " + " ".join(str(n * k) for k in range(size)) for n, size in enumerate(lengths, 1)
    ]
    train, valid, _ = sides(tmp_path_factory.mktemp("t"), texts, held_out)
    assert train
    assert valid
    together = "".join(train + valid)
    assert len(together) == sum(map(len, texts))
    assert not set(train) & set(valid)


def test_a_copy_of_a_document_stays_on_its_side(tmp_path):
    texts = [*different(12, 9), "again and again", *different(3, 5)[2:], "again and again"]
    train, valid, _ = sides(tmp_path, ["again and again", *texts])
    assert not set(train) & set(valid)
    assert valid


def test_a_text_that_only_repeats_itself_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"the text repeats itself: .*; give more text"):
        sides(tmp_path, ["a" * 5000] * 3)


@pytest.mark.parametrize(
    ("text", "share", "head"),
    [
        ("one\n\ntwo\nthree four", 0.4, "one\n\n"),
        ("one two\nthree four five", 0.6, "one two\n"),
        ("One. Two three", 0.6, "One. "),
        ("一二三。四五六", 0.7, "一二三。"),
        ("abcdefghij", 0.7, "abcdefg"),
        ("ab", 0.01, "a"),
    ],
)
def test_a_text_is_cut_at_the_best_place_near(text, share, head):
    assert cut_before(text, share) == (head, text[len(head) :])


def test_notes_count_what_they_do_not_show(capsys):
    notes = Notes()
    for n in range(10):
        notes("encoding", f"file {n}")
    notes("column", "one")
    notes.close()
    notes.close()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        *("file 0", "file 1", "file 2", "one", "... and 7 more like that")
    ]
