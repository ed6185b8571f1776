from itertools import islice

import pytest

from llmcourse.data import hub, pydocs, sources
from llmcourse.data.documents import Document
from llmcourse.errors import UserError
from llmcourse.tinytown import stories as tinytown


def test_pydocs_is_read():
    assert list(islice(sources.read("pydocs"), 3)) == list(islice(pydocs.documents(), 3))


def test_tinytown_is_read(monkeypatch):
    monkeypatch.setattr(sources, "TINYTOWN_STORIES", 5)
    documents = list(sources.read("tinytown"))
    assert [document.text for document in documents] == [s.text for s in tinytown.stories(5)]
    assert documents[1].name == "tinytown/1"


def test_a_file_is_read(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("text")
    assert list(sources.read(str(tmp_path / "a.txt"))) == [Document("text", "a.txt:1")]
    assert list(sources.read(str(tmp_path))) == [Document("text", "a.txt:1")]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(sources.read("~/a.txt")) == [Document("text", "a.txt:1")]


def test_a_hub_name_is_read(monkeypatch):
    monkeypatch.setattr(hub, "read", lambda source, _: iter([Document("text", source)]))
    assert list(sources.read("hf:org/name")) == [Document("text", "hf:org/name")]


@pytest.mark.parametrize(
    "source", ["pydoc", "", "nowhere.txt", "/no/such/folder", "a\0b", "~nobody/x.txt", "x" * 5000]
)
def test_an_unknown_source_is_refused_before_anything_is_read(source):
    with pytest.raises(UserError, match=r"no folder and none of pydocs, .*; (did|there)"):
        sources.read(source)


def test_a_name_nearly_right_is_recognised():
    with pytest.raises(UserError, match="did you mean 'tinytown'"):
        sources.read("tinytwon")


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", ""), ("a.txt", " \n\n"), ("a.jsonl", ""), ("a.csv", "text\n")]
)
def test_an_empty_source_is_said(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(UserError, match="holds no text: name another data source"):
            list(sources.read(str(source)))
